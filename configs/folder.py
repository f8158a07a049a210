"""Your own pictures: looks at a folder and at the machine, and chooses the system, its size and its length.

Paper: Liu et al. 2021, https://arxiv.org/abs/2101.04775, or Huang et al. 2024, https://arxiv.org/abs/2501.05441.
Command: python -m gan_jax.main --config configs/folder.py --config.data.path=photos --workdir runs/photos

  auto  FastGAN for fewer than 5,000 pictures or a small machine, R3GAN else; the default. It prints what it chose.
        With --config.data.classes=2 R3GAN can be asked for a class, a subfolder each; FastGAN has no classes.

--config.hours=2 is the time for training; repeat it when you resume. Give --config RUN/config.json --config.steps=N in
place of this file and its settings to train longer than it chose. Every choice can be overridden, such as
--config.steps. The rest is chosen for the --config.data.size, --config.data.channels and --config.batch_size that you
give. Without a path it is scikit-learn's digits: needs no download.

Pictures are mirrored at random. For pictures that must not be (text, digits): --config.data.flip=False.

differs: these are rules of thumb. The largest size and width is taken of which 100,000 pictures can be shown in the
  time, R3GAN only where there are 1,000,000. The speed of a machine is looked up by its name, not measured.
"""

import math

from gan_jax import config as config_lib
from gan_jax.base import console
from gan_jax.base.errors import UserError
from gan_jax.data.looks import look

VARIANTS = ('auto',)
OWN = {'hours': 2.0}
#: {side: what FastGAN of 64 channels computes for a picture, 1e9 operations}, by `--dry_run`; and R3GAN of 96 channels.
FASTGAN = {1024: 109, 512: 96, 256: 77, 128: 57, 64: 31, 32: 21}
R3GAN = {256: 31, 128: 15, 64: 8, 32: 4}
#: {side: R3GAN's gamma}: the authors' for ImageNet at 32, faces at 64 and 256 pixels; between the last two for 128.
GAMMAS = {256: 150.0, 128: 17.0, 64: 2.0, 32: 0.5}
#: {side: FastGAN's channels}: large pictures are not made by narrow networks; and R3GAN's widths.
CHANNELS = {1024: (64,), 512: (64,), 256: (64, 32), 128: (64, 32, 16), 64: (64, 32, 16), 32: (64, 32, 16)}
WIDTHS = (8, 4, 2, 1)
LEAST, MANY, ENOUGH = 100_000, 5_000, 1_000_000
#: Operations per second while training: of a core, where 4.4e10 to 1e11 were measured, and of accelerators by parts of
#: their names (guesses).
CORE = 5e10
DEVICES = {
  'H100': 1.5e14, 'H200': 1.5e14, 'A100': 6e13, 'L4': 2e13, 'V100': 2e13, 'T4': 8e12, 'P100': 4e12, 'K80': 1.5e12,
  'v6': 2e14, 'v5p': 1e14, 'v5': 5e13, 'v4': 6e13, 'v3': 2e13, 'v2': 1e13,
}  # fmt: skip


def get_config(variant, given):
  if not given.get('data.path'):
    return config_lib.load('configs/fastgan.py:digits')
  hours, path = given['hours'], str(given['data.path'])
  if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours < math.inf:
    raise UserError(f'config.hours={hours!r} must be a number of hours above 0, such as 2')
  seen = look(path)
  name, speed = machine()
  operations = 3600 * hours * speed
  asked, batch = given.get('data.size'), given.get('batch_size')
  colours = given.get('data.channels', 1 if seen.grey else 3)
  if 'data.size' in given and asked not in FASTGAN:
    raise UserError(f'config.data.size={asked!r}: networks are made for {", ".join(map(str, sorted(FASTGAN)))} pixels')
  if 'batch_size' in given and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
    raise UserError(f'config.batch_size={batch!r} must be a whole number of at least 1')
  sizes = [size for size in FASTGAN if size <= max(seen.side, 32)] if asked is None else [asked]
  console.say(
    f'pictures  {seen.pictures} in {path}, {"grey" if seen.grey else "colour"}, mostly {seen.side} pixels or larger\n'
    f'machine   {name}: about {speed:.1g} operations per second, {operations:.1g} in {hours:g} hours'
  )
  if seen.pictures < 100:
    console.say(f'warning   {seen.pictures} pictures are few: it will mostly learn to repeat them; give some hundreds')
  choice = _r3gan(operations, sizes, batch, given.get('steps')) if seen.pictures >= MANY else None
  config = choice or _fastgan(operations, sizes, batch)
  config.data.path, config.data.channels = path, colours
  for network in (config.game.generator, config.game.discriminator):
    if 'out_channels' in network:
      network.out_channels = colours
  classes = given.get('data.classes', 0)
  if choice and isinstance(classes, int) and classes > 1:
    label = dict(name='Label', classes=classes)
    config.game.latents = dict(z=config.game.latents.to_dict(), label=label)
    config.game.generator.classes = config.game.discriminator.classes = config.data.classes = classes
  if seen.classes and not choice:
    console.say(
      f'classes   {_listed(seen.classes)}: FastGAN makes all, none can be asked for (docs/choosing.md: BigGAN can)'
    )
  elif seen.classes and not config.data.classes:
    console.say(f'classes   {_listed(seen.classes)}: to ask for one, add --config.data.classes={len(seen.classes)}')
  every = max(config.steps // 20, 100)
  config.sample_every = config.checkpoint_every = every
  if seen.pictures < MANY:
    why = 'fewer than 5,000 pictures'
  elif sizes[-1] not in R3GAN:
    why = f'R3GAN is for {max(R3GAN)} pixels at most'
  else:
    why = 'many pictures' if choice else 'a small machine'
  console.say(
    f'chosen    {"R3GAN" if choice else "FastGAN"} ({why}), {config.data.size}x{config.data.size} pixels\n'
    f'          batch {config.batch_size}, {config.steps} steps, a grid of samples every {every}; other choices: '
    '--config.data.size, --config.steps, --config.hours'
  )
  return config


def _listed(names):
  more = f' and {len(names) - 5} more' if len(names) > 5 else ''
  return ', '.join(names[:5]) + more


def machine():
  """(its name, operations per second while it trains)."""
  import jax

  devices = jax.devices()
  kind = devices[0].device_kind
  if devices[0].platform == 'cpu':
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return f'{cores} cores', cores * CORE
  found = next((speed for part, speed in DEVICES.items() if part in kind), 1e13)
  return f'{len(devices)} x {kind}', len(devices) * found


def _divisible(batch):
  """The next batch size that all devices share evenly."""
  import jax

  count = len(jax.devices())
  return -(-batch // count) * count


def _fastgan(operations, sizes, batch):
  # The largest pictures first, then the widest networks of which enough pictures can be shown.
  fits = [
    (size, channels)
    for size in sizes
    for channels in CHANNELS[size]
    if operations / (FASTGAN[size] * 1e9 * (channels / 64) ** 2) >= LEAST
  ]
  size, channels = fits[0] if fits else (sizes[-1], CHANNELS[sizes[-1]][-1])
  config = config_lib.load('configs/fastgan.py:folder256')
  config.batch_size = batch or _divisible(8 if size >= 256 else 16)
  for network in (config.game.generator, config.game.discriminator):
    network.size, network.channels = size, channels
  config.game.discriminator.hidden = channels // 2
  config.data.size = size
  shown = operations / (FASTGAN[size] * 1e9 * (channels / 64) ** 2)
  config.steps = _rounded(min(shown, 800_000) / config.batch_size)
  return config


def _r3gan(operations, sizes, batch, length):
  # FastGAN makes larger pictures in the same time: R3GAN at 32 pixels is for pictures of less than 64.
  fits = [size for size in R3GAN if size in sizes]
  for size in (size for size in fits if size >= min(64, fits[0])):
    for width in WIDTHS:
      shown = operations / (R3GAN[size] * 1e9 * width**2)
      if shown >= ENOUGH:
        config = config_lib.load('configs/r3gan.py:faces64')
        config.batch_size = config.ema.generator.batch_size = batch or _divisible(config.batch_size)
        count = int(math.log2(size)) - 1
        # Twice the channels are divided into groups of 16.
        channels = tuple(width * max(96 >> max(i - 3, 0), 16) for i in range(count))
        config.game.generator.channels, config.game.discriminator.channels = channels, channels[::-1]
        config.game.generator.blocks = config.game.discriminator.blocks = (1,) * count
        config.data.size, config.data.flip = size, True
        config.game.penalty.weight = GAMMAS[size] / 2
        shown = min(shown, 20_000_000)
        config.ema.generator.images.end = max(shown / 40, 1e5)  # the authors' 500,000 of 20,000,000
        steps = length if isinstance(length, int) and length > 0 else _rounded(shown / config.batch_size)
        # The schedules of faces64 end with its steps: so do these, also of a length that was asked for.
        for schedule in (
          config.game.penalty_schedule, config.game.augment.probability, config.ema.generator.images,
          *(optimizer[name] for optimizer in config.optimizers.values() for name in ('learning_rate', 'b2')),
        ):  # fmt: skip
          schedule.steps = steps
        config.steps = steps
        return config
  return None


def _rounded(steps):
  """To two digits, at least 100: the same command chooses the same again."""
  digits = max(10 ** (int(math.log10(max(steps, 1))) - 1), 1)
  return max(int(steps // digits * digits), 100)
