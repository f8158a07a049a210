"""The rows of the laws: every shipped config, every probe game and the example of the docs, in full and shrunk."""

import ast
import pathlib

from gan_jax import config as config_lib
from gan_jax.data.sources import BUILT_IN

HERE = pathlib.Path(__file__).parent
PROBES = ('pool', 'began', 'accuracy', 'growing', 'triple')
WIDTHS = ('channels', 'hidden', 'units', 'joint_units', 'label_units')


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


def _structure(value):
  """Settings without their numbers, losses and learning rates."""
  if hasattr(value, 'items'):
    return tuple(
      (key, _structure(entry)) for key, entry in sorted(value.items()) if key not in ('loss', 'learning_rate')
    )
  if isinstance(value, tuple | list) and any(hasattr(entry, 'items') for entry in value):
    return tuple(_structure(entry) for entry in value)
  return value if isinstance(value, str | bool | None) else 'numbers'


def _alike():
  """The rows whose games, optimizers and stages differ in numbers and losses alone, small and built-in sets first."""
  groups = {}
  for row in ROWS:
    config = config_lib.load(row)
    same = tuple(_structure(config[name]) for name in ('game', 'optimizers', 'stages', 'ema'))
    size = (config.data.size, config.data.name not in BUILT_IN) if 'name' in config.data else ()
    groups.setdefault((*same, config.accumulate > 1), []).append((size, row))
  return [[row for _, row in sorted(group)] for group in groups.values()]


#: Rows that compile for half a minute (many convolutions, windows of 8x8, high resolutions), and some that others all
#: but play; the quickstart trains in other tests too.
LONG = (
  'began:digits', 'dcgan:imagenet32', 'gan:cifar10_conv', 'gan:cifar10_fc', 'gan:digits_nonsaturating', 'dragan:digits',
  'lsgan:digits', 'gan:', 'gan:mnist_saturating', 'sngan:', 'sagan:digits', 'biggan:imagenet64',
  'biggan:imagenet128_deep', 'biggan:imagenet128_256x8', 'biggan:cifar10', 'biggan:digits', 'sngan:digits',
  'wgan:digits', 'cgan:digits_tags', 'quickstart:', 'pool:accumulate', 'began:accumulate',
  'adversarial_examples:mnist_pgd', 'adversarial_examples:mnist_trades', 'adversarial_examples:mnist_softmax',
  'adversarial_examples:cifar10_plain', 'adversarial_examples:cifar10_pgd', 'adversarial_examples:mnist_ensemble',
  'adversarial_examples:digits_plain',
)  # fmt: skip
#: Rows whose full size takes long to lower and is another's but for blocks or classes: law 1 of these is for
#: `make test-all`.
GIANT = {
  ROWS[IDS.index(name)]
  for name in (
    'biggan:imagenet64', 'biggan:imagenet128_deep', 'biggan:imagenet256', 'biggan:imagenet512',
    'biggan:imagenet256_deep', 'biggan:imagenet512_deep', 'biggan:imagenet128_256x8', 'biggan:cifar10',
    'sngan:stl10', 'sngan:imagenet128', 'sngan:cifar10_classes', 'sagan:cifar10',
  )
}  # fmt: skip
#: Rows whose laws of moves and runs are for `make test-all`: these, and those that play another row's game at another
#: size.
LATER = {row for group in _alike() for row in group[1:]} | {ROWS[IDS.index(name)] for name in LONG}


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
    if key in WIDTHS:
      arguments.append(
        f'{path}={tuple(min(width, 8) for width in value) if isinstance(value, tuple) else min(value, 8)}'
      )
  for path, key, value in _walk(config.data, '--config.data'):
    if key == 'name' and value not in BUILT_IN:
      arguments += [f'{path}=digits', f'{path.removesuffix("name")}split=train']
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
    '--config.keep_best=',
    '--config.eval.every=0',
  ]


def load_shrunk(row):
  return config_lib.override(config_lib.load(row), shrunk(row))
