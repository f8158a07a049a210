"""pix2pix: turns pictures into pictures, learnt from pairs: outlines into shoes, grey into colour, damaged into whole.

Paper: Isola et al. 2016, https://arxiv.org/abs/1611.07004; settings of the authors' code (phillipi/pix2pix,
junyanz/pytorch-CycleGAN-and-pix2pix).
Command: python -m gan_jax.main --config configs/pix2pix.py --workdir runs/shoes --config.data.path=edges2shoes

  edges2shoes    256 pixels, pairs side by side in one picture, 15 epochs of 49,825 at batch 4; the default. Unmeasured.
  facades        256 pixels, labels into photographs, cut from 286, 200 epochs of 400 at batch 1. Unmeasured.
  edges2shoes64  64 pixels, half as wide, of 1,000 pairs. Measured after 5,000 of 20,000 steps.
  facades128     128 pixels, half as wide, left into right. Unmeasured.
  colour         CIFAR-10 in grey into CIFAR-10: 32 pixels. Measured after 5,000 of 20,000 steps.
  holes          CIFAR-10 with a square cut out: 32 pixels. After 5,000 steps PSNR 20.1 dB, Fréchet distance 17.5
                 (the picture's mean in the hole: 19.6, 32.6).
  enlarge        8 pixels into 32: shuffled pixels, a term of D's features. After 5,000 steps PSNR 20.6 dB, Fréchet
                 distance 28.8 (bicubic: 21.2, 127.3).
  digits         scikit-learn's digits (16x16) from their outlines: needs no download; half a minute. L1 0.021.

Any folder of photographs gives pairs: `colour` with --config.data.name=folder --config.data.path=photos
--config.data.size=64; so do blur and noise: --config.data.columns.a.by="('blur','noise')". To colour old ones:
python -m gan_jax.sample --workdir runs/colour --inputs photos --out coloured

L1 alone: --config.game.adversarial=0. The GAN alone: --config.game.l1=0. Without the condition:
--config.game.conditional=False. Patches of 1, 16, 70 or 286 pixels: --config.game.discriminator.layers=0, 1, 3 or 5;
the whole picture: --config.game.discriminator.whole=True.

differs: instance norm with a gain and a bias. At a batch of 1 the authors' batch norm, which they keep in tests, is the
  same; at their batch of 4 it is not.
differs: pictures are resized by a bilinear filter, in the PyTorch code by a bicubic one.
differs: the two codes differ, and this has dropout in the places of the PyTorch code, and its second look of D at what
  G made, after D's move; the rate is constant, as in the Lua code, which sets biases of convolutions to 0 again and
  again and draws each pair at random.
differs: the U-Nets of `edges2shoes64`, `facades128`, `colour`, `holes` and `digits` end at 2x2 pixels, the authors' at
  one: they have no dropout, `facades128` one layer of it, where the authors' has two. Patches are of 34 pixels at 64
  and 32 pixels.
differs: `colour` makes all three channels from grey, the authors' code two of Lab from the third; `holes` are grey and
  anywhere, in the Lua code white and in the middle. `digits` learns five times as fast.
differs: of a picture that is no square the middle is taken, the authors' is squeezed.
differs: `edges2shoes` is cut from 286 pixels and flipped, as in the code by default; the paper says so of other sets.
differs: `enlarge` compares features of the discriminator, not of a network trained on ImageNet, in the mean over its
  layers but the first, where pix2pixHD's term of them is the sum over all; its generator has 4
  blocks, SRGAN's 16.
"""

from gan_jax import config as config_lib

VARIANTS = ('edges2shoes', 'facades', 'edges2shoes64', 'facades128', 'colour', 'holes', 'enlarge', 'digits')
#: {variant: (pixels, resized to, channels, layers that halve, of the discriminator, batch, steps)}
SIZES = {
  'edges2shoes': (256, 286, 64, 8, 3, 4, 15 * 49_825 // 4),
  'facades': (256, 286, 64, 8, 3, 1, 200 * 400),
  'edges2shoes64': (64, 72, 32, 5, 2, 4, 20_000),
  'facades128': (128, 143, 32, 6, 3, 1, 60_000),
  'digits': (16, 0, 16, 3, 1, 16, 2_000),
}
RESTORED = (32, 0, 32, 4, 2, 16, 20_000)


def get_config(variant):
  size, cut_from, channels, halvings, layers, batch, steps = SIZES.get(variant, RESTORED)
  enlarge, digits = variant == 'enlarge', variant == 'digits'
  depth = 1 if digits else 3
  generator = dict(
    name='translation.UNet',
    channels=tuple(channels * min(2**i, 8) for i in range(halvings)),
    image_channels=depth,
    norm='instance',
    gain=True,
    dropout=max(halvings - 5, 0),
  )
  if enlarge:
    generator = dict(name='translation.SubpixelGenerator', channels=channels, blocks=4, factor=4, kernel=9)
  adam = dict(name='optax.adam', learning_rate=1e-3 if digits else 2e-4, b1=0.5)
  stream = config_lib.stream(size=size, channels=depth, random_crop=cut_from, flip=not digits, **_data(variant))
  return config_lib.base(
    game=dict(
      name='pix2pix.Pix2Pix',
      loss='nonsaturating',
      adversarial=1.0,
      l1=100.0,
      perceptual=10.0 if enlarge else 0.0,
      conditional=not enlarge,
      generator=generator,
      discriminator=dict(
        name='translation.PatchGAN', channels=channels, layers=layers, norm='instance', gain=True, whole=False
      ),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=stream,
    batch_size=batch,
    steps=steps,
    samples=32,
    log_every=100,
    sample_every=max(steps // 20, 500),
    checkpoint_every=max(steps // 20, 500),
  )


def _data(variant):
  """Name, path and columns: halves of one picture, or a picture and what is left of it."""
  if variant not in ('colour', 'holes', 'enlarge', 'digits'):
    name = dict(name='folder', path='facades' if variant.startswith('facades') else 'edges2shoes')
    given, wanted = ('right', 'left') if variant == 'facades' else ('left', 'right')
    half = lambda part: dict(name='Picture', column='image', part=part)
    return dict(name, columns=dict(a=half(given), b=half(wanted)))
  by = {'colour': ('grey',), 'holes': ('holes',), 'enlarge': ('small',), 'digits': ('edges',)}[variant]
  worse = dict(name='data.degradations.Degraded', column='image', by=by, hole=0.5, sigma=1.5, noise=0.1, factor=4)
  whole = dict(name='Picture', column='image')
  return dict(name='digits' if variant == 'digits' else 'cifar10', columns=dict(a=worse, b=whole))
