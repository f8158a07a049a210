"""FastGAN: for a folder of a hundred to some thousand images; the discriminator also learns to show them again.

Paper: Liu et al. 2021, https://arxiv.org/abs/2101.04775; settings of the authors' code
(odegeasslbc/FastGAN-pytorch as of d34b366; the name belongs to another person now, so read it in a fork).
Command: python -m gan_jax.main --config configs/fastgan.py --workdir runs/fastgan --config.data.path=photos

  folder256   256x256 pixels of a folder of images, batch 8, 50,000 steps; the default. Unmeasured.
  folder512   the same at 512. Unmeasured.
  folder1024  the same at 1024. Unmeasured.
  faces64     64x64, a quarter as wide, batch 16; images in faces/. Unmeasured.
  digits      32x32, an eighth as wide, scikit-learn's digits: needs no download; 4 minutes on one core beside other
              work. Fréchet distance 32.5, rarest class 6.9 % (2,000 samples).

differs: decoded images are compared by the mean absolute difference of pixels; the authors sum a distance in the
  features of a VGG network that was trained on ImageNet, over the batch too, so that it counts more
  (--config.game.reconstruction is its weight here).
differs: at 256 and 512 pixels the images pass a tanh, as at 1024; in the authors' code only there.
differs: the discriminator makes its power iterations in its own moves; the authors' one more in the generator's.
differs: of a picture that is no square the middle is taken, the authors' is squeezed.
differs: no running average. The authors draw samples of averaged weights with the statistics of the batch; here each
  sample is drawn alone, of averaged statistics, and `digits` were grey (distance 681).
  With --config.ema.generator=0.999 give --standing=16 to gan_jax.sample and gan_jax.evaluate.
differs: faces64 and digits are ours: sizes, widths and lengths.
"""

from gan_jax import config as config_lib

VARIANTS = ('folder256', 'folder512', 'folder1024', 'faces64', 'digits')
#: {variant: (size, units of the widths, of the decoders', latents, batch, steps)}
SIZES = {
  'folder256': (256, 64, 32, 256, 8, 50_000),
  'folder512': (512, 64, 32, 256, 8, 50_000),
  'folder1024': (1024, 64, 32, 256, 8, 50_000),
  'faces64': (64, 16, 8, 256, 16, 20_000),
  'digits': (32, 8, 4, 64, 16, 2_000),
}


def get_config(variant):
  size, channels, hidden, latents, batch, steps = SIZES[variant]
  digits = variant == 'digits'
  colours = 1 if digits else 3
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5, b2=0.999)
  path = dict(path='faces' if variant == 'faces64' else 'photos')
  return config_lib.base(
    game=dict(
      name='fastgan.FastGAN',
      latents=dict(name='Normal', shape=(latents,)),
      augment=dict(name='DiffAugment', policy=('color', 'translation')),
      generator=dict(name='fastgan.Generator', size=size, channels=channels, out_channels=colours),
      discriminator=dict(
        name='fastgan.Discriminator', size=size, channels=channels, hidden=hidden, out_channels=colours
      ),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(
      size=size, channels=colours, flip=not digits, **(dict(name='digits') if digits else dict(name='folder', **path))
    ),
    batch_size=batch,
    steps=steps,
    log_every=50,
    sample_every=1000,
    checkpoint_every=1000,
  )
