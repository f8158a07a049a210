"""DCGAN: strided and transposed convolutions, batch norm everywhere but the ends, Adam 2e-4 with beta1 0.5.

Paper: Radford et al. 2015, https://arxiv.org/abs/1511.06434.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/dcgan.py:mnist --workdir runs/mnist

  paper            64x64, 1024 channels, LSUN bedrooms (the paper's main set); the default. Unmeasured.
  lsun             the same networks with the two-way softmax head. Unmeasured.
  celeb_a          64x64 faces. Of 9,000 faces, a quarter as wide, 1:41 hours of a core: docs/results.md.
  cifar10          32x32, 256 channels. 22,775 steps of batch 64, 4 minutes of a shared H100: Fréchet distance 29.5.
  mnist            32x32, 256 channels. 7 minutes on 2 cores: recognisable digits.
  digits           32x32, 256 channels, scikit-learn's digits: needs no download. Unmeasured.
  imagenet32       the networks of the paper's probe (section 5.1; the authors' code, folder `imagenet`): 32x32, six 3x3
                   convolutions of widths 128 to 512, 256 latents. Unmeasured.
  probe_cifar10    the same on CIFAR-10, for `python -m benchmarks.probe`. At this width unmeasured; docs/results.md has
                   1,000 steps of half the width.

differs: the authors' code is that of one of them, Newmu/dcgan_code; that of another, soumith/dcgan.torch, moves the
  discriminator first, has normal latents, batches of 64, half of the width and 4x4 windows.
differs: `paper` and `lsun` go 25 times through all bedrooms; the authors' are of one epoch or of five, and of no
  pictures that are nearly alike. The head of `lsun` is in no code of theirs.
differs: `celeb_a` takes the largest square of a picture and flips none; the authors' faces are pictures of their own.
differs: the paper's public code adds an l2 penalty of 1e-5 on weights, gains and biases; the paper itself names none.
differs: the authors' networks have no bias in the ends; their batch norm of the projection is of each unit for itself
  (--config.game.generator.project_norm=unit), and has an epsilon of 1e-8.
differs: the discriminator moves first, in the authors' code the generator, and each batch of data moves both; there one
  of them, so that the 25 epochs of its faces are half as many moves of a player as here.
differs: samples are of running statistics, the authors' of those of their batch.
differs: `mnist` and `digits` have a batch of 64, as `mnist` was measured; the paper's 128 elsewhere.
differs: `imagenet32` reads imagenet_resized, whose pictures are squeezed to squares; the paper takes their middles.
differs: where a stride leaves an odd border, the wider side of zeros is behind the picture, in the authors' code
  before.
differs: windows are 4x4 at 32x32 (a window divisible by the stride leaves no checkerboard); 5x5 at 64x64
  and 3x3 in the probe networks as published.
"""

from gan_jax import config as config_lib

VARIANTS = ('paper', 'lsun', 'celeb_a', 'cifar10', 'mnist', 'digits', 'imagenet32', 'probe_cifar10')

DATA = {
  'paper': dict(name='lsun/bedroom', size=64, channels=3),
  'lsun': dict(name='lsun/bedroom', size=64, channels=3),
  'celeb_a': dict(name='celeb_a', size=64, channels=3),
  'cifar10': dict(name='cifar10', size=32, channels=3),
  'mnist': dict(name='mnist', size=32, channels=1),
  'digits': dict(name='digits', size=32, channels=1),
  'imagenet32': dict(name='imagenet_resized/32x32', size=32, channels=3),
  'probe_cifar10': dict(name='cifar10', size=32, channels=3),
}
STEPS = {'paper': 600_000, 'lsun': 600_000, 'celeb_a': 40_000, 'cifar10': 50_000, 'mnist': 4_000, 'digits': 1_000}
STEPS |= {'imagenet32': 300_000, 'probe_cifar10': 10_000}


def networks(variant, size):
  """(settings of the generator, of the discriminator, number of latents)."""
  if variant in ('imagenet32', 'probe_cifar10'):
    widths, strides = (128, 128, 256, 256, 512, 512), (1, 2, 1, 2, 1, 2)
    common, latents = dict(kernel=3), 256
    generator = dict(channels=widths[::-1], strides=strides[::-1])
    discriminator = dict(channels=widths, strides=strides)
  else:
    widths, kernel = ((128, 256, 512, 1024), 5) if size == 64 else ((64, 128, 256), 4)
    common, latents = dict(kernel=kernel), 100
    generator, discriminator = dict(channels=widths[::-1]), dict(channels=widths)
  return {**generator, **common, 'base': 4}, {**discriminator, **common}, latents


def get_config(variant):
  data = config_lib.stream(**DATA[variant])
  generator, discriminator, latents = networks(variant, data['size'])
  small = variant in ('mnist', 'digits')
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  two_way = variant == 'lsun'
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='two_way_softmax' if two_way else 'nonsaturating',
      discriminator_steps=1,
      latents=dict(name='Uniform', shape=(latents,), low=-1.0, high=1.0),
      generator=dict(name='dcgan.Generator', **generator, image_channels=data['channels']),
      discriminator=dict(name='dcgan.Discriminator', **discriminator, outputs=2 if two_way else 1),
    ),
    optimizers=dict(generator=dict(adam), discriminator=dict(adam)),
    data=data,
    batch_size=64 if small else 128,
    steps=STEPS[variant],
    log_every=50 if small else 100,
    sample_every=400 if small else 5000,
    checkpoint_every=800 if small else 5000,
  )
