"""Stacked MNIST: how many of 1,000 modes each loss reaches with the same networks in the same generator steps.

    TFDS_DATA_DIR=<prepared data> python -m benchmarks.stacked --workdir runs/stacked [--rows dcgan,wgan] [--table]

Every row is a run of a shipped config in WORKDIR/ROW, which the same command resumes; rows that are evaluated are not
run again, and --table prints those there are. Protocol (Metz et al. 2016, section 3.3.1; 26,000 samples as VEEGAN and
PacGAN): three digits as the channels of one picture of 32x32, 128,000 of them; a classifier of single digits labels
each channel of 26,000 samples (the weights as they are); modes are combinations that occur, KL is that of their
shares from equal ones, in nats. Networks for all: transposed convolutions 4x4 of 128, 64 and 32 channels with batch
norm, convolutions 4x4 of 32, 64 and 128; latents, norm, optimizer and moves per step are those of each config.
"""

import argparse
import pathlib
import time

import gan_jax
from benchmarks import rows as rows_lib
from gan_jax import config as config_lib
from gan_jax.evaluate import evaluate
from gan_jax.training import loop as train

ROWS = {
  'dcgan': ('DCGAN (-log D)', 'configs/dcgan.py:mnist'),
  'lsgan': ('LSGAN', 'configs/lsgan.py'),
  'sndcgan': ('SNGAN (hinge)', 'configs/sndcgan.py'),
  'dragan': ('DRAGAN', 'configs/dragan.py'),
  'wgan': ('WGAN, clipping', 'configs/wgan.py'),
  'wgan_gp': ('WGAN-GP', 'configs/wgan_gp.py'),
  'ebgan': ('EBGAN-PT', 'configs/ebgan.py'),
}
UP, DOWN = (128, 64, 32), (32, 64, 128)


def settings(row: str, data: str, size: int, up: tuple[int, ...], steps: int):
  """The config of a row."""
  config = config_lib.load(ROWS[row][1])
  game, base = 'config.game', size >> len(up)
  generators, discriminators, arguments = [f'{game}.generator'], [f'{game}.discriminator'], []
  if row == 'ebgan':
    generators += [f'{game}.discriminator.decoder']
    discriminators = [f'{game}.discriminator.encoder']
    # The norm over three channels is sqrt(3) times that over one.
    arguments += [f'--{game}.margin={3**0.5 * config.game.margin}']
  arguments += [f'--{name}.channels={up}' for name in generators]
  arguments += [f'--{name}.base={base}' for name in generators] + [f'--{name}.image_channels=3' for name in generators]
  arguments += [f'--{name}.channels={up[::-1]}' for name in discriminators]
  arguments += [f'--config.data.name={data}', f'--config.data.size={size}', '--config.data.channels=3']
  arguments += [f'--config.steps={steps}', '--config.batch_size=64', '--config.devices=1', '--config.sample_every=0']
  return config_lib.override(config, arguments)


def measure(row: str, folder: pathlib.Path, samples: int, **options) -> None:
  """Trains and evaluates a row, where that is not done."""
  if rows_lib.measured(folder, samples=samples, **options):
    return
  config = settings(row, **options)
  since = time.perf_counter()
  train.run(config, folder)
  seconds = time.perf_counter() - since
  found = evaluate(gan_jax.load(folder), samples=samples, weights='raw', metrics=('modes',))
  turns = gan_jax.load(folder).stage.game.turns
  content = {
    'modes': found.values['modes'],
    'kl': found.values['mode_kl'],
    'moves': turns[0].repeat,
    'seconds': seconds,
    'features': found.shared['features'],
  }
  rows_lib.write(folder, content, samples=samples, **options)


def table(workdir: pathlib.Path) -> str:
  """The rows there are, in Markdown, and how the digits were told."""
  lines = [
    '| | moves of the discriminator | generator steps | modes of 1,000 | KL | time |',
    '|---|---|---|---|---|---|',
  ]
  features = set()
  for row, (title, _) in ROWS.items():
    if (r := rows_lib.read(workdir / row)) is not None:
      own = r['options']
      features.add(f'{own["data"]}, {own["size"]} pixels, {own["samples"]:,} samples; {r["features"]}')
      time_of = f'{r["seconds"] // 60:.0f}:{r["seconds"] % 60:02.0f}'
      lines.append(f'| {title} | {r["moves"]} | {own["steps"]:,} | {r["modes"]:.0f} | {r["kl"]:.2f} | {time_of} |')
  return '\n'.join([*lines, '', *sorted(features)])


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--rows', default=','.join(ROWS), help='by commas')
  parser.add_argument('--data', default='stacked/mnist')
  parser.add_argument('--size', type=int, default=32)
  parser.add_argument(
    '--channels', default=','.join(map(str, UP)), help="of the generator; the discriminator's mirrored"
  )
  parser.add_argument('--steps', type=int, default=2_000, help='of the generator')
  parser.add_argument('--samples', type=int, default=26_000)
  parser.add_argument('--table', action='store_true', help='train nothing')
  values = parser.parse_args(arguments)
  workdir = pathlib.Path(values.workdir)
  up = tuple(int(width) for width in values.channels.split(','))
  for row in [] if values.table else values.rows.split(','):
    if row not in ROWS:
      parser.error(f'--rows: {row!r} is none of {", ".join(ROWS)}')
    options = dict(data=values.data, size=values.size, up=up, steps=values.steps)
    measure(row, workdir / row, values.samples, **options)
  printed = table(workdir)
  print(printed)
  return printed


if __name__ == '__main__':
  main()
