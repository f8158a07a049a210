"""The rows of the laws: every shipped config, every probe game and the example of the docs, in full and shrunk."""

import ast
import pathlib

from gan_jax import config as config_lib
from gan_jax.data.sources import BUILT_IN

HERE = pathlib.Path(__file__).parent
PROBES = ('pool', 'accuracy', 'growing', 'triple')
WIDTHS = ('channels', 'hidden', 'units')


def _paths():
  for name, _ in config_lib.shipped():
    yield name
  examples = sorted((HERE.parent / 'docs' / 'example').glob('*_*.py'))
  for file in [HERE / 'probes' / f'{probe}.py' for probe in PROBES] + examples:
    for node in ast.parse(file.read_text()).body:
      if isinstance(node, ast.Assign) and node.targets[0].id == 'VARIANTS':
        yield from (f'{file}:{variant}' for variant in ast.literal_eval(node.value))


ROWS = list(_paths())
IDS = [pathlib.Path(row.partition(':')[0]).stem + ':' + row.partition(':')[2] for row in ROWS]


def _walk(settings, where):
  for key, value in settings.items():
    if hasattr(value, 'items'):
      yield from _walk(value, f'{where}.{key}')
    else:
      yield f'{where}.{key}', key, value


def shrunk(row):
  """Arguments that shrink widths, batch and data of a config, and nothing else: turns, losses and collections stay."""
  config = config_lib.load(row)
  arguments = []
  for path, key, value in _walk(config.game, '--config.game'):
    if key in WIDTHS and isinstance(value, tuple):
      arguments.append(f'{path}={tuple(min(width, 8) for width in value)}')
  for path, key, value in _walk(config.data, '--config.data'):
    if key == 'name' and value not in BUILT_IN:
      arguments.append(f'{path}=digits')
  arguments.append(f'--config.batch_size={min(config.batch_size, 8)}')
  if not config.stages:
    arguments.append('--config.steps=4')
  return [
    *arguments,
    '--config.log_every=1',
    '--config.sample_every=0',
    '--config.checkpoint_every=2',
    '--config.samples=9',
    '--config.keep=9',
  ]


def load_shrunk(row):
  return config_lib.override(config_lib.load(row), shrunk(row))
