"""The rows of the laws: every shipped config, every probe game and the example of the docs, in full and shrunk."""

import ast
import contextlib
import dataclasses
import functools
import math
import pathlib

import jax
import numpy as np
import pytest
from flax.core.scope import Scope

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.calls import resolve
from gan_jax.config.build import HOMES, NESTED
from gan_jax.data.columns import Picture
from gan_jax.data.sources import BUILT_IN
from gan_jax.data.sources.made import is_made

KEY = jax.random.key(0)
HERE = pathlib.Path(__file__).parent
PROBES = ('pool', 'began', 'accuracy', 'growing', 'triple')
WIDTHS = ('channels', 'hidden', 'units', 'joint_units', 'label_units', 'widths')


def _paths():
  for name, _ in config_lib.shipped():
    yield name
  # Other examples are short games of their own tests (test_examples).
  examples = sorted((HERE.parent / 'docs' / 'example').glob('bigan_*.py'))
  for file in [HERE / 'probes' / f'{probe}.py' for probe in PROBES] + examples:
    for node in ast.parse(file.read_text()).body:
      if isinstance(node, ast.Assign) and node.targets[0].id == 'VARIANTS':
        yield from (f'{file}:{variant}' for variant in ast.literal_eval(node.value))


ROWS = list(_paths())
IDS = [pathlib.Path(row.partition(':')[0]).stem + ':' + row.partition(':')[2] for row in ROWS]


def _at_hand(name):
  return name in BUILT_IN or is_made(name)


_loaded = functools.cache(config_lib.load)  # read here, never changed


def _size(row):
  """Of a row's largest examples, for sorting: those of sets that need no preparing first."""
  data = _loaded(row).data
  streams = [data] if 'name' in data else list(data.values())
  return max(stream.size for stream in streams), sum(not _at_hand(stream.name) for stream in streams)


def _files():
  files = {}
  for row in ROWS:
    files.setdefault(row.partition(':')[0], []).append(row)
  return files


#: Of each file the row of the smallest examples, which `make test` plays, and the first, the paper's, whose step it
#: lowers at full size. What takes long in both is left to `make test-all`, with all other rows.
SMALLEST = {min(file, key=lambda row: (_size(row), row)) for file in _files().values()}
FIRST = {file[0] for file in _files().values()}
#: Convolutions, each counted once for every move and microbatch of a step, above which a step takes long to compile
#: even if shrunk.
MOST_COMPILED = 24


def _moves(stage):
  """Moves of a step, each microbatch counted."""
  return sum(turn.repeat for turn in stage.game.turns) * stage.accumulate


def _convolutions(stage, state):
  """How often a step calls for a kernel of convolutions."""
  kernels = [leaf for player in state.players.values() for leaf in jax.tree.leaves(player.params)]
  return _moves(stage) * sum(leaf.ndim > 3 for leaf in kernels)


def _begun(config, most=math.inf):
  """(stages, the state in which each begins, in shapes); None if their steps call for more convolutions than that."""
  stages, states, found = runs.stages_of(config), [None], 0
  for stage in stages:
    try:
      with _no_more_kernels_than((most - found) / _moves(stage)):
        states.append(jax.eval_shape(lambda before, key, stage=stage: runs.enter(stage, before, key), states[-1], KEY))
    except _Enough:
      return None
    found += _convolutions(stage, states[-1])
  return stages, states[1:]


@functools.lru_cache(maxsize=4)
def described(row, most=math.inf):
  """`_begun` of the full config."""
  return _begun(_loaded(row), most)


@functools.lru_cache(maxsize=4)
def shrunk_and_described(row):
  """`_begun` of the shrunk config."""
  return _begun(load_shrunk(row))


class _Enough(BaseException):
  """More kernels were made than are asked for; no error of a game, which its caller would explain."""


@contextlib.contextmanager
def _no_more_kernels_than(most):
  """Raises _Enough as soon as networks have made so many: tracing large ones to their ends takes long."""
  param, made = Scope.param, set()

  def watched(scope, name, *arguments, **options):
    value = param(scope, name, *arguments, **options)
    if getattr(value, 'ndim', 0) > 3:
      made.add((scope.path, name))
      if len(made) > most:
        raise _Enough
    return value

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Scope, 'param', watched)
    yield


@functools.cache
def _few(row):
  return sum(map(_convolutions, *shrunk_and_described(row))) <= MOST_COMPILED


@functools.cache
def _played(row):
  """The class of a row's game and those of its networks."""
  game = _loaded(row).game
  networks = [value for key, value in game.items() if key not in HOMES and hasattr(value, 'items') and 'name' in value]
  return game.name, frozenset(network.name for network in networks)


def is_run(row):
  """Whether `make test` compiles and runs it: the smallest row of its game and networks that has few convolutions."""
  if row not in SMALLEST or not _few(row):
    return False
  alike = [other for other in SMALLEST if _played(other) == _played(row)]
  return not any(_few(other) for other in alike if (_size(other), other) < (_size(row), row))


def _walk(settings, where, home):
  """(path, key, value) of all settings; of widths those too that a config leaves to their class."""
  target = resolve(settings['name'], home) if 'name' in settings and home else None
  fields = dataclasses.fields(target) if dataclasses.is_dataclass(target) else ()
  for field in fields:
    if field.name in WIDTHS and field.name not in settings and field.default not in (dataclasses.MISSING, ()):
      yield f'{where}.{field.name}', field.name, field.default
  for key, value in settings.items():
    entries = value if isinstance(value, tuple) else (value,)
    inner = HOMES.get(key, NESTED.get(home, home))
    for number, entry in enumerate(entries):
      if hasattr(entry, 'items'):
        yield from _walk(entry, f'{where}.{key}' + (f'[{number}]' if isinstance(value, tuple) else ''), inner)
    if not any(hasattr(entry, 'items') for entry in entries):
      yield f'{where}.{key}', key, value


class MadeUp:
  """Twenty examples with every column that a stream reads, in the place of a set that is not at hand."""

  def __init__(self, stream):
    self.kinds = {stream.columns[field].get('column', field): kind for field, kind in stream.kinds.items()}

  def __len__(self):
    return 20

  def __getitem__(self, index):
    random, example = np.random.RandomState(index), {}
    for column, kind in self.kinds.items():
      if kind.names:
        example |= {name: random.randint(2) for name in kind.names}
      elif isinstance(kind, Picture):
        example[column] = random.randint(0, 256, (12, 24, 3)).astype(np.uint8)
      else:
        example[column] = random.randint(0, 2, kind.form.shape).astype(kind.form.dtype)
    return example


def _stream_at(data, path):
  """The settings of the stream whose setting is at --config.data.name or --config.data.STREAM.name."""
  *parents, _ = path.removeprefix('--config.data').strip('.').split('.')
  return data[parents[0]] if parents else data


def shrunk(row):
  """Arguments that shrink widths, attacks, batch and data of a config: turns, losses and collections stay."""
  config = config_lib.load(row)
  arguments = []
  for path, key, value in _walk(config.game, '--config.game', 'gan_jax.games'):
    if key in WIDTHS:
      arguments.append(
        f'{path}={tuple(min(width, 8) for width in value) if isinstance(value, tuple) else min(value, 8)}'
      )
    elif path.endswith('.defence.steps'):
      arguments.append(f'{path}=2')
  for path, key, value in _walk(config.data, '--config.data', ''):
    if '.columns.' in path:
      continue
    if key == 'name' and not _at_hand(value):
      stream = path.removesuffix('name')
      columns = _stream_at(config.data, path).get('columns') or {}
      texts = any(column.name in ('Text', 'Embedding') for column in columns.values())
      tones = any(column.name == 'Tones' for column in columns.values())
      made = 'melodies' if tones else ('captioned.source' if texts else 'rows.MadeUp') if columns else 'digits'
      arguments += [f'{path}={made}', f'{stream}split=train', *([f'{stream}path='] if columns else [])]
    elif key == 'batch_size' and value:  # an even one, for the laws play on two devices
      arguments.append(f'{path}={min(value + value % 2, 8)}')
    elif key == 'per_class':
      arguments.append(f'{path}={min(value, 20)}')
  # Copies of a network share the batch out between them.
  counts = [value for _, key, value in _walk(config.game, '', '') if key == 'count']
  batch = min(config.batch_size + config.batch_size % 2, 8)
  arguments.append(f'--config.batch_size={batch if all(batch % count == 0 for count in counts) else 2 * max(counts)}')
  if not config.stages:
    arguments.append('--config.steps=4')
  elif sum(stage['steps'] for stage in config.stages) > 20:
    stages = [{**stage, 'steps': min(stage['steps'], 4)} for stage in config.stages]
    for stage in stages:
      if 'batch_size' in stage:
        stage['batch_size'] = min(stage['batch_size'], 8)
      for stream in stage.get('data', {}).values():
        if hasattr(stream, 'get') and stream.get('batch_size'):
          stream['batch_size'] = min(stream['batch_size'], 8)
    arguments.append(f'--config.stages={tuple(stages)!r}')
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
