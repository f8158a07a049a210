"""The rows of the laws: every shipped config, every probe game and the example of the docs, in full and shrunk."""

import ast
import contextlib
import dataclasses
import functools
import json
import math
import os
import pathlib
from typing import NamedTuple

import jax
import numpy as np
import pytest
from flax.core.scope import Scope

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base import files
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


def _structure(value):
  """Settings without their numbers, losses and learning rates."""
  if hasattr(value, 'items'):
    return tuple(
      (key, _structure(entry)) for key, entry in sorted(value.items()) if key not in ('loss', 'learning_rate')
    )
  if isinstance(value, tuple | list) and any(hasattr(entry, 'items') for entry in value):
    return tuple(_structure(entry) for entry in value)
  return value if isinstance(value, str | bool | None) else 'numbers'


def _at_hand(name):
  return name in BUILT_IN or is_made(name)


_loaded = functools.cache(config_lib.load)  # read here, never changed


def _size(row):
  """Of a row's largest examples, for sorting: those of sets that need no preparing first."""
  data = _loaded(row).data
  streams = [data] if 'name' in data else list(data.values())
  return max(stream.size for stream in streams), sum(not _at_hand(stream.name) for stream in streams)


@functools.cache
def _alike():
  """The rows whose games, optimizers and stages differ in numbers and losses alone, small and built-in sets first."""
  groups = {}
  for row in ROWS:
    config = _loaded(row)
    same = tuple(_structure(config[name]) for name in ('game', 'optimizers', 'stages', 'ema'))
    groups.setdefault((*same, config.accumulate > 1), []).append((_size(row), row))
  return [[row for _, row in sorted(group)] for group in groups.values()]


def _smallest():
  """The row of the smallest examples of each file."""
  rows = {}
  for group in _alike():
    rows.setdefault(group[0].partition(':')[0], []).append((_size(group[0]), group[0]))
  return {min(group)[1] for group in rows.values()}


#: Rows whose programs are looked at in `make test` whatever they cost: of each file those of the smallest examples; for
#: shapes those of its first variant instead, which is the paper's. What is compiled and run is only `cheap`, what is
#: traced and lowered at full size only `cheap_at_full_size`.
SMALLEST = _smallest()
FIRST = set({row.partition(':')[0]: row for row in reversed(ROWS)}.values())
#: Each row and the smallest that plays its game, at another size, with other losses or other numbers.
LIKE = {row: group[0] for group in _alike() for row in group}
REPEATED = {row for row, smallest in LIKE.items() if row != smallest}
#: Convolutions, each counted once for every move of a step, above which a step takes long to compile even if shrunk.
MOST_COMPILED = 24


class Counts(NamedTuple):
  """What the time of a row's tests follows from.

  Attributes:
    parameters: of all networks of all stages.
    convolutions: kernels, each as often as a step calls for it: in every move and microbatch.
  """

  parameters: int
  convolutions: int


def _described(row):
  """(stage, a function that gives the state in which it begins, in shapes) of every stage of the full config."""
  states = [None]
  for stage in runs.stages_of(config_lib.load(row)):

    def begun(stage=stage):
      states.append(jax.eval_shape(lambda before, key: runs.enter(stage, before, key), states[-1], KEY))
      return states[-1]

    yield stage, begun


@functools.lru_cache(maxsize=4)
def described(row):
  """(stages of the full config, the state in which each begins, in shapes)."""
  return tuple(zip(*((stage, begun()) for stage, begun in _described(row)), strict=True))


@functools.cache
def counts(row, enough=None):
  """Counts of a row; the convolutions are those of its full networks, which the shrunk ones have too.

  Of a row with more than `enough` convolutions only so many are counted, plus one. The processes of a run of the tests
  share what one of them has counted.
  """
  file = pathlib.Path(os.environ['GAN_JAX_TESTS']) / 'counts' / f'{ROWS.index(row)}-{enough}.json'
  if file.exists():
    return Counts(*json.loads(file.read_text()))
  found = _counted(row, enough)
  file.parent.mkdir(exist_ok=True)
  files.write_text(file, json.dumps(found))
  return found


class _Enough(BaseException):
  """More kernels were made than are asked for; no error of a game, which its caller would explain."""


def _counted(row, enough):
  parameters = convolutions = 0
  for stage, begun in _described(row):
    moves = sum(turn.repeat for turn in stage.game.turns) * stage.accumulate
    try:
      with _no_more_kernels_than((enough - convolutions) // moves if enough is not None else math.inf):
        state = begun()
    except _Enough:
      return Counts(parameters, enough + 1)
    kernels = [leaf for player in state.players.values() for leaf in jax.tree.leaves(player.params)]
    parameters += sum(kernel.size for kernel in kernels)
    convolutions += moves * sum(kernel.ndim > 3 for kernel in kernels)
  return Counts(parameters, convolutions)


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


def _parts(value, key=''):
  """The names, losses and switches in settings: what the code that a row runs follows from."""
  if hasattr(value, 'items'):
    return set().union(*(_parts(entry, name) for name, entry in value.items()))
  if isinstance(value, tuple | list):
    return set().union(*(_parts(entry, key) for entry in value))
  return {value} if isinstance(value, str) else {(key, True)} if value is True else set()


def _count(rows):
  """Counts rows: of two workers that begin at once, each from another end, so that each counts half."""
  second = os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[-1] in '13579'
  for row in reversed(rows) if second else rows:
    counts(row, MOST_COMPILED)


@functools.cache
def covering():
  """The rows that `make test` plays: the smallest of each file, and the cheapest with a part that is in none of them.

  A row of more than MOST_COMPILED convolutions is left to `make test-all`, if it is not the smallest of its file.
  """
  parts = {row: set().union(*(_parts(_loaded(row)[name]) for name in ('game', 'optimizers', 'stages'))) for row in ROWS}
  rows, shown = set(SMALLEST), set().union(*(parts[row] for row in SMALLEST))
  others = [row for row in ROWS if row not in REPEATED | SMALLEST and parts[row] - shown]
  _count(others)
  for row in sorted(others, key=lambda row: counts(row, MOST_COMPILED)[::-1]):
    if parts[row] - shown and counts(row, MOST_COMPILED).convolutions <= MOST_COMPILED:
      rows.add(row)
      shown |= parts[row]
  return rows


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


@functools.cache
def cheap():
  """The rows that `make test` compiles and runs: of SMALLEST those of no more than MOST_COMPILED convolutions."""
  _count(sorted(SMALLEST))
  return {row for row in SMALLEST if counts(row, MOST_COMPILED).convolutions <= MOST_COMPILED}


@functools.cache
def cheap_at_full_size():
  """The rows whose full-size step `make test` traces and lowers: of FIRST those of so few convolutions."""
  return {row for row in FIRST if counts(row, MOST_COMPILED).convolutions <= MOST_COMPILED}


def only_if_covering(request, row, others=frozenset(), among=covering):
  """Skips a row in `make test` if it is neither among those rows nor one of the others."""
  if 'not slow' in request.config.option.markexpr and row not in among() | others:
    pytest.skip('for make test-all: smaller rows stand for this one, or it takes long')
