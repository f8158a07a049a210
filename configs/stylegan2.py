"""StyleGAN 2 with adaptive augmentation: styles from a mapping network govern each layer; for small sets of pictures.

Paper: Karras et al. 2019, https://arxiv.org/abs/1912.04958 and Karras et al. 2020 (ADA),
https://arxiv.org/abs/2006.06676; settings of the authors' code (NVlabs/stylegan2-ada-pytorch: `train.py`).
Command: python -m gan_jax.main --config configs/stylegan2.py --config.data.path=photos/ --workdir runs/photos

  faces64        64x64, the authors' `auto` for one GPU; pictures in faces/, or --config.data.path=FOLDER; the default.
                 Unmeasured.
  cifar          32x32, the authors' `cifar`, 100 million pictures. Unmeasured.
  cifar_classes  the same with classes. Unmeasured.
  paper256       256x256, the authors' `paper256`, 25 million pictures; pictures in faces/. Unmeasured.
  paper1024      1024x1024, the authors' `paper1024`. Unmeasured.
  digits         4x4 and 8x8, scikit-learn's digits: needs no download. 3,000 of its 5,000 steps, seed 0,
                 7 minutes on one core beside other work (docs/results.md): Fréchet distance 49.6, rarest class 3.6 %.

Truncation: --truncation=0.7 of `sample` and `evaluate` is the authors' psi. Without ADA: --config.game.augment=None.
Without path length: --config.game.path_weight=0 --config.ema.generator.batch_size=32 (64 of paper256): the batch
itself, not 4/5 of it.
Other transformations: --config.game.augment.groups="('blit', 'geometry', 'colour', 'filter')". Of pictures that may
not be mirrored: --config.data.flip=False. Narrower, for a CPU:
--config.game.generator.channels="(128, 128, 128, 64, 32)", and the same of the discriminator.

Weights of the authors' code, saved there by torch.save(G_ema.state_dict(), 'G_ema.pth'), become a run by
python -m gan_jax.convert --layout stylegan2 --generator G_ema.pth --config configs/stylegan2.py:paper256 and --workdir.

differs: everything is float32; the authors compute the four highest resolutions in float16 (--config.dtype=bfloat16).
  On NVIDIA GPUs products of float32 are TF32, which the authors forbid (JAX_DEFAULT_MATMUL_PRECISION=highest).
differs: pictures of a folder are reduced by a bilinear filter, of those that are no squares the middle; the authors'
  are reduced by Lanczos' filter and squeezed (--config.data.filter=box is theirs for FFHQ at 256 pixels).
differs: R1 is of the pictures of the discriminator's move, before transformations that are drawn once for both; the
  authors draw them anew.
differs: path length holds its running mean fixed when it is differentiated.
differs: styles are mixed from a layer of each example's own; the authors' code draws one for a batch.
differs: the mean of w follows the generator's moves, not the discriminator's too, and the running average of the
  generator has the running average of it.
differs: the running average moves with each move of the generator, also with that of path length, which counts as 4/5
  of a batch; the authors' moves once a step.
differs: the probability of augmentation is at most 1; the authors' may rise above, where it acts as 1.
differs: what lies outside of a picture that was moved is mirrored after the filter, beyond three pixels; pictures that
  are no squares are not turned by 90 degrees.
differs: blit without geometry moves whole pixels; the authors filter there too, not quite without loss.
differs: classes of generated pictures are uniform, in the discriminator's moves those of its real batch; the authors'
  are drawn with the frequency that they have in the data.
differs: gradients that are not finite stop the run; the authors replace them by numbers.
differs: faces64, paper256 and paper1024 mirror half of the data; the authors only with --mirror=1.
differs: figures are of one fixed noise map for each layer; the authors' figures of new noise for each picture.
differs: the discriminator moves first and then its penalty, the authors' generator and path length do; the probability
  of augmentation follows the discriminator's moves, not those of the penalty too.
differs: digits is ours: widths, batch and length; its transformations are blit and colour, at ten times the speed, its
  gamma is 0.1. (The authors' rule gives 0.0004, which trains worse here: docs/results.md.)
"""

from gan_jax import config as config_lib
from gan_jax.nets.stylegan2 import widths

VARIANTS = ('faces64', 'cifar', 'cifar_classes', 'paper256', 'paper1024', 'digits')
#: (resolution, base of the widths, mapping layers, batch, group of the deviation, learning rate, gamma of R1, half-life
#: of the average in thousand pictures, its limit as a share of the pictures so far, thousand pictures in all).
RECIPES = {
  'faces64': (64, 16_384, 2, 32, 4, 2.5e-3, 0.0256, 10, 0.05, 25_000),
  'cifar': (32, 32_768, 2, 64, 32, 2.5e-3, 0.01, 500, 0.05, 100_000),
  'paper256': (256, 16_384, 8, 64, 8, 2.5e-3, 1.0, 20, None, 25_000),
  'paper1024': (1024, 32_768, 8, 32, 4, 2e-3, 2.0, 10, None, 25_000),
  'digits': (8, 256, 2, 32, 4, 2.5e-3, 0.1, 10, 0.05, 160),
}


def get_config(variant):
  name = variant.removesuffix('_classes')
  size, base, layers, batch, group, rate, gamma, life, ramp, thousands = RECIPES[name]
  cifar, digits, classes = name == 'cifar', name == 'digits', 10 if variant.endswith('_classes') else 0
  channels, units, colours = widths(size, base), 32 if digits else 512, 1 if digits else 3
  z, steps = dict(name='Normal', shape=(units,)), 1000 * thousands // batch
  return config_lib.base(
    game=dict(
      name='stylegan2.StyleGAN2',
      latents=dict(z=z, label=dict(name='Label', classes=classes)) if classes else z,
      generator=dict(
        name='stylegan2.Generator',
        resolution=size,
        channels=channels,
        image_channels=colours,
        units=units,
        layers=layers,
        classes=classes,
        mixing=0.0 if cifar else 0.9,
      ),
      discriminator=dict(
        name='stylegan2.Discriminator',
        resolution=size,
        channels=channels,
        group=group,
        classes=classes,
        form='plain' if cifar else 'residual',
      ),
      loss='nonsaturating',
      penalty=dict(name='GradientPenalty', weight=gamma / 2, at='real', target=0.0, every=16),
      augment=dict(
        name='Adaptive',
        target=0.6,
        speed=50_000 if digits else 500_000,
        groups=('blit', 'colour') if digits else ('blit', 'geometry', 'colour'),
        every=4,
      ),
      path_weight=0.0 if cifar else 2.0,
    ),
    optimizers=dict(generator=_adam(rate, 4), discriminator=_adam(rate, 16)),
    # The average follows each move of the generator. With path length there are 5 in 4 steps.
    ema=dict(
      generator=dict(
        name='averages.half_life', images=1000.0 * life, batch_size=batch * (1.0 if cifar else 4 / 5), ramp_up=ramp
      )
    ),
    data=_data(name, size, classes),
    batch_size=batch,
    steps=steps,
    log_every=50,
    sample_every=1000,
    checkpoint_every=1000,
  )


def _adam(rate, every):
  """Adam of a player whose lazy penalty is played every so many steps: as far in as many steps as without it."""
  share = every / (every + 1)
  return dict(name='optax.adam', learning_rate=rate * share, b1=0.0, b2=0.99**share, eps=1e-8)


def _data(name, size, classes):
  if name in ('cifar', 'digits'):
    colours = 3 if name == 'cifar' else 1
    return config_lib.stream(name={'cifar': 'cifar10'}.get(name, name), size=size, channels=colours, classes=classes)
  return config_lib.stream(name='folder', path='faces/', size=size, channels=3, flip=True)
