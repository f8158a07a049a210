"""The works that are measured: what gan_jax trains in each, and the sizes that the PyTorch program shares with it.

Latents and passes are the same on both sides: `gan2014` draws latents anew for the generator's move, as the paper does;
`dcgan64` shares them between the two moves, as PyTorch's example does, so the generator runs forward once per step; in
the two residual works the discriminator sees real and fake as one batch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from gan_jax import config as config_lib
from gan_jax.nets.biggan import WIDTHS, channels_of


@dataclasses.dataclass(frozen=True)
class Work:
  """One row of the table.

  Attributes:
    title: in words.
    batch: examples per move.
    size: height and width of the images, depth too of volumes.
    channels: 1 or 3.
    examples: of the synthetic set.
    classes: 0 for no labels.
    moves: discriminator's per step.
    steps: in one timed run, on a CPU and on an accelerator.
    target: ratio wanted on a CPU and on an accelerator.
    gpu_batch: the batch on an accelerator.
    per_call: steps per compiled call.
    axes: 2 of images, 3 of volumes.
  """

  title: str
  batch: int
  size: int
  channels: int
  examples: int
  classes: int
  moves: int
  steps: tuple[int, int]
  target: tuple[float, float]
  gpu_batch: int = 0
  per_call: int = 1
  axes: int = 2

  @property
  def shape(self) -> tuple[int, ...]:
    """Of an example."""
    return (*[self.size] * self.axes, self.channels)


WORKS: Mapping[str, Work] = {
  'gan2014': Work('GAN 2014, one MNIST epoch', 100, 28, 1, 60_000, 0, 1, (600, 600), (2.0, 10.0), per_call=50),
  'dcgan64': Work('DCGAN-64 (512-256-128-64)', 64, 64, 3, 2_048, 0, 1, (8, 96), (1.1, 1.3), gpu_batch=512, per_call=8),
  'sngan32': Work('SNGAN ResNet-32', 64, 32, 3, 4_096, 0, 5, (1, 50), (1.3, 1.3)),
  'biggan32': Work('BigGAN-32', 64, 32, 3, 4_096, 10, 4, (1, 50), (1.3, 1.3)),
  **{
    f'progressive{size}': Work(
      f'Progressive GAN, CIFAR-10 at {size}x{size}', 16, size, 3, 2_048, 0, 1, steps, (1.1, 1.1)
    )
    for size, steps in ((4, (100, 100)), (8, (50, 100)), (16, (20, 100)), (32, (10, 100)))
  },
  'biggan128': Work('BigGAN-128, ch 96', 64, 128, 3, 512, 1000, 2, (0, 10), (0.0, 1.3)),
  'cyclegan64': Work('CycleGAN, 64 pixels, 32 channels', 1, 64, 3, 256, 0, 2, (16, 96), (1.2, 1.2), per_call=8),
  'cyclegan128': Work('CycleGAN, 128 pixels, 64 channels', 1, 128, 3, 256, 0, 2, (3, 100), (1.2, 1.2)),
  'pix2pix64': Work('pix2pix, 64 pixels, 32 channels', 4, 64, 3, 256, 0, 1, (24, 96), (1.2, 1.2), per_call=8),
  'volumes32': Work('3D-GAN, 32^3 (128-64-32)', 32, 32, 1, 512, 0, 1, (4, 100), (1.0, 1.0), per_call=4, axes=3),
  'stylegan64': Work(
    'StyleGAN 2, 64 pixels (128-128-128-64-32)', 16, 64, 3, 512, 0, 1, (16, 96), (1.1, 1.1), per_call=4
  ),
  'fastgan256': Work('FastGAN, 256 pixels, 16 channels', 8, 256, 3, 256, 0, 1, (4, 100), (1.1, 1.1), per_call=4),
  'r3gan64': Work('R3GAN, 64 pixels (48-48-48-48-32)', 16, 64, 3, 512, 0, 1, (4, 100), (1.1, 1.1), per_call=4),
  'crnngan': Work('C-RNN-GAN, 100 tones, LSTMs of 350', 20, 100, 4, 1_000, 0, 1, (2, 20), (1.0, 1.0), axes=1),
}
#: Works of two domains of pictures. In the first two, moves counts the domains.
TRANSLATIONS = ('cyclegan64', 'cyclegan128', 'pix2pix64')
#: Works whose networks have the names of the authors' code: their configs.
LIKE_AUTHORS = {
  'stylegan64': 'stylegan2.py:faces64',
  'fastgan256': 'fastgan.py:folder256',
  'r3gan64': 'r3gan.py:faces64',
}
#: Works of sequences: `size` steps of `channels` numbers.
SEQUENCES = ('crnngan',)

#: Widths that make every work small, for a run of 2 steps in the tests.
SMALL = {
  'gan2014': dict(hidden=(16, 16), units=(8, 8)),
  'dcgan64': dict(channels=(32, 16, 8, 4)),
  'sngan32': dict(generator=8, discriminator=8),
  'biggan32': dict(channels=4),
  'biggan128': dict(channels=4),
  **{f'progressive{size}': dict(channels=(8, 8, 8, 8)) for size in (4, 8, 16, 32)},
  'cyclegan64': dict(channels=4, blocks=2, layers=2),
  'cyclegan128': dict(channels=4, blocks=2, layers=3),
  'pix2pix64': dict(unet=(4, 8, 8), channels=4, layers=2, dropout=0),
  'volumes32': dict(channels=(8, 8, 4)),
  'stylegan64': dict(channels=(8,) * 5, units=16),
  'fastgan256': dict(channels=4, hidden=4),
  'r3gan64': dict(channels=(8,) * 5),
  'crnngan': dict(hidden=8),
}
FULL = {
  'gan2014': dict(hidden=(1200, 1200), units=(240, 240)),
  'dcgan64': dict(channels=(512, 256, 128, 64)),
  'sngan32': dict(generator=256, discriminator=128),
  'biggan32': dict(channels=64),
  'biggan128': dict(channels=96),
  **{f'progressive{size}': dict(channels=(128, 128, 128, 128)) for size in (4, 8, 16, 32)},
  'cyclegan64': dict(channels=32, blocks=6, layers=2),
  'cyclegan128': dict(channels=64, blocks=6, layers=3),
  'pix2pix64': dict(unet=(32, 64, 128, 256, 256), channels=32, layers=2, dropout=0),
  'volumes32': dict(channels=(128, 64, 32)),
  'stylegan64': dict(channels=(128, 128, 128, 64, 32), units=512),
  'fastgan256': dict(channels=16, hidden=8),
  'r3gan64': dict(channels=(48, 48, 48, 48, 32)),
  'crnngan': dict(hidden=350),
}


def widths(name: str, small: bool) -> dict[str, Any]:
  return (SMALL if small else FULL)[name]


def latents_shape(name: str) -> tuple[int, ...]:
  """Of the latents of an example."""
  return (WORKS[name].size + 1, WORKS[name].channels) if name in SEQUENCES else (latents_of(name),)


def latents_of(name: str) -> int:
  return {
    'gan2014': 100,
    'dcgan64': 100,
    'sngan32': 128,
    'biggan32': 80,
    'biggan128': 120,
    'volumes32': 200,
    'stylegan64': 512,
    'fastgan256': 256,
    'r3gan64': 64,
    **dict.fromkeys(TRANSLATIONS, 0),
  }.get(name, 128)


def noise(*shape: int) -> np.ndarray:
  """What both sides have in the place of normal numbers while losses are compared.

  A wave would be nearly cancelled by low-pass filters, so that losses behind them showed rounding alone.
  """
  return np.random.RandomState(0).standard_normal(shape).astype(np.float32)


def batch_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
  """The batch of fixed inputs as the work's game sees it."""
  if name.startswith('cyclegan'):
    return {'a': {'image': given['image']}, 'b': {'image': given['other']}}
  if name in TRANSLATIONS:
    return {'images': {'a': given['image'], 'b': given['other']}}
  if name in SEQUENCES:
    return {'images': {'tones': given['image']}, 'latents': given['z']}
  classes = WORKS[name].classes
  return {
    'images': {'image': given['image'], **({'label': given['real']} if classes else {})},
    'latents': {'z': given['z'], 'label': given['asked']} if classes else given['z'],
  }


def _translation(name: str, path: str, batch: int, small: bool, dropout: bool) -> ml_collections.ConfigDict:
  """The shipped config of the work's system, with the work's networks and examples."""
  work, width = WORKS[name], widths(name, small)
  system = name.rstrip('0123456789')
  config = config_lib.load(f'configs/{system}.py:{"horse2zebra64" if system == "cyclegan" else "edges2shoes64"}')
  pixels = dict(name='npz', path=path, size=work.size, channels=work.channels)
  if system == 'cyclegan':
    config.data = {domain: config_lib.stream(seed=i, **pixels) for i, domain in enumerate('ab')}
    config.game.pool = 50 if dropout else 0
  else:
    column = dict(name='Picture', column='image')
    config.data = config_lib.stream(columns=dict(a=column, b=column), **pixels)
    # PyTorch's side has batch norm, as the authors' code.
    config.game.generator.norm = config.game.discriminator.norm = 'batch'
    config.game.generator.channels = width['unet']
    config.game.generator.dropout = width['dropout'] if dropout else 0
  for network, settings in config.game.items():
    if network.startswith(('generator_', 'discriminator')):
      settings.channels = width['channels']
      settings.update({key: width[key] for key in ('blocks', 'layers') if key in settings})
  rate = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  config.optimizers = dict(generator=dict(rate), discriminator=dict(rate))
  config.batch_size, config.steps = batch, 1_000_000
  return config


def _volumes(name: str, path: str, batch: int, small: bool) -> ml_collections.ConfigDict:
  """The shipped config; the discriminator moves in every step, or the work would depend on the losses."""
  config, channels = config_lib.load('configs/gan3d.py:modelnet32'), widths(name, small)['channels']
  config.data = config_lib.stream(name='npz', path=path, size=WORKS[name].size, channels=1, range=(0.0, 1.0))
  config.game.generator.channels, config.game.discriminator.channels = channels, channels[::-1]
  config.game.most_accuracy = 1.0
  config.batch_size, config.steps = batch, 1_000_000
  return config


def _sequences(name: str, path: str, batch: int, small: bool, dropout: bool) -> ml_collections.ConfigDict:
  """The shipped config's second stage, the discriminator never at rest, on examples of numbers."""
  config = config_lib.load('configs/crnngan.py')
  for network in (config.game.generator, config.game.discriminator):
    network.update(hidden=widths(name, small)['hidden'], dropout=0.5 if dropout else 0.0)
  config.game.rest = 0.0
  config.data = config_lib.stream(
    name='npz', path=path, columns=dict(tones=dict(name='Array', column='image', range=(0.0, 1.0), low=0.0, high=1.0))
  )
  config.batch_size, config.steps, config.stages = batch, 1_000_000, ()
  return config


def _published(name: str, path: str, batch: int, small: bool, dropout: bool) -> ml_collections.ConfigDict:
  """The shipped config with the work's widths, without augmentation, average and mirroring."""
  config, width, work = config_lib.load(f'configs/{LIKE_AUTHORS[name]}'), widths(name, small), WORKS[name]
  game = config.game
  game.augment = None
  game.generator.channels = game.discriminator.channels = width['channels']
  if name == 'stylegan64':
    game.generator.units, game.generator.mixing = width['units'], 0.9 if dropout else 0.0
  elif name == 'fastgan256':
    game.discriminator.hidden = width['hidden']
  else:
    game.discriminator.channels, game.discriminator.embedding = width['channels'][::-1], width['channels'][0]
    game.penalty_schedule = None
  config.data = config_lib.stream(name='npz', path=path, size=work.size, channels=work.channels)
  config.ema, config.batch_size, config.steps = {}, batch, 1_000_000
  return config


def config(name: str, path: str, *, batch: int, small: bool, dropout: bool = True) -> ml_collections.ConfigDict:
  """The config that gan_jax trains.

  Args:
    name: of the work.
    path: of the .npz file of the examples.
    batch: examples per move.
    small: take the widths of the tests.
    dropout: False leaves out dropout, mixing of styles, penalties at random points and the pool of fakes, for comparing
      losses.
  """
  if name in LIKE_AUTHORS:
    return _published(name, path, batch, small, dropout)
  if name in TRANSLATIONS:
    return _translation(name, path, batch, small, dropout)
  if name == 'volumes32':
    return _volumes(name, path, batch, small)
  if name in SEQUENCES:
    return _sequences(name, path, batch, small, dropout)
  work, width = WORKS[name], widths(name, small)
  unit = name == 'gan2014'
  latents: dict[str, Any] = dict(name='Normal', shape=(latents_of(name),))
  if name == 'gan2014':
    game = dict(
      name='standard.Standard',
      loss='nonsaturating',
      latents=dict(name='Uniform', shape=(100,), low=-(3**0.5), high=3**0.5),
      generator=dict(name='mlp.Generator', hidden=width['hidden'], irange=0.05),
      discriminator=dict(
        name='mlp.MaxoutDiscriminator',
        units=width['units'],
        dropout=(0.2, 0.5, 0.5) if dropout else (0.0,) * 3,
        irange=0.005,
      ),
    )
    optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.5)
  elif name == 'dcgan64':
    game = dict(
      name='standard.Standard',
      loss='nonsaturating',
      latents=latents,
      generator=dict(name='dcgan.Generator', channels=width['channels'], kernel=4),
      discriminator=dict(name='dcgan.Discriminator', channels=width['channels'][::-1], kernel=4),
      share_latents=True,
    )
    optimizer = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  elif name == 'sngan32':
    game = dict(
      name='standard.Standard',
      loss='hinge',
      latents=latents,
      generator=dict(name='sngan.Generator', channels=(width['generator'],) * 4),
      discriminator=dict(name='sngan.Discriminator', channels=(width['discriminator'],) * 4, halvings=2),
      discriminator_steps=work.moves,
      one_pass=True,
    )
    optimizer = dict(name='optax.adam', learning_rate=2e-4, b1=0.0, b2=0.9)
  elif name.startswith('progressive'):
    nets = dict(resolution=work.size, channels=width['channels'])
    game = dict(
      name='progressive.ProgressiveGAN',
      latents=latents,
      generator=dict(name='progressive.Generator', **nets),
      discriminator=dict(name='progressive.Discriminator', **nets),
      penalty=10.0 if dropout else 0.0,
    )
    optimizer = dict(name='optax.adam', learning_rate=1e-3, b1=0.0, b2=0.99)
  else:
    multiples, ch = WIDTHS[work.size], width['channels']
    common = dict(classes=work.classes, attention=(64,))
    game = dict(
      name='standard.Standard',
      loss='hinge',
      latents=dict(z=latents, label=dict(name='Label', classes=work.classes)),
      generator=dict(name='biggan.Generator', channels=channels_of(multiples.generator, ch), **common),
      discriminator=dict(
        name='sngan.Discriminator',
        channels=channels_of(multiples.discriminator, ch),
        halvings=multiples.halvings,
        wide=True,
        **common,
      ),
      discriminator_steps=work.moves,
      one_pass=True,
    )
    optimizer = dict(name='optax.adam', learning_rate=2e-4, b1=0.0, b2=0.999)
  stream = config_lib.stream(
    name='npz',
    path=path,
    size=work.size,
    channels=work.channels,
    classes=work.classes,
    range=(0.0, 1.0) if unit else (-1.0, 1.0),
  )
  return config_lib.base(
    game=game,
    optimizers=dict(generator=dict(optimizer), discriminator=dict(optimizer)),
    data=stream,
    batch_size=batch,
    steps=1_000_000,
  )
