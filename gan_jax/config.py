"""Configs: the settings of a run with their defaults, files that set them, and overrides from the command line.

A config is a Python file with `get_config(variant) -> ConfigDict` and a tuple `VARIANTS`, whose first entry is the
default. It is code: run only files that you trust.
"""

import ast
import contextlib
import dataclasses
import importlib.util
import json
import pathlib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from gan_jax.data.streams import Stream
from gan_jax.errors import UserError, one_of, short
from gan_jax.evaluation.options import IN_TRAINING


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """Everything a config may set.

  Attributes:
    game: {'name': dotted name of a class, its settings, its networks as nested dicts}.
    optimizers: {player: {'name': 'optax.adam', settings}}; looked up in gan_jax.minimax, then as a dotted name.
    data: the settings of one stream (`data.streams.Stream`), or {stream: settings}.
    ema: {player: decay of the running averages used for sampling}; none by default.
    batch_size: examples per move and stream, and latents per move.
    steps: steps of training; a step plays every turn once (times its repeat).
    seed: of parameters, order, latents and noise.
    population: train so many games in one compiled step, of seeds seed, seed + 1, ...; 0 for one game. See
      `gan_jax.population`.
    vary: {dotted path in the config: a value for each member of the population}, of the seed and of numbers in game,
      optimizers and ema, such as {'optimizers.generator.learning_rate': (1e-4, 2e-4)}.
    accumulate: microbatches that each move is split into.
    steps_per_call: steps in one compiled call, to save the time between calls where steps are short; a call that would
      pass over a step at which something is due (a log line, a checkpoint) is made of single steps instead. Signals
      are noticed between calls.
    devices: how many devices to use; 0 for all.
    parallel: 'jit', one program of the whole batch divided by the compiler; or 'pmap', the same program on every device
      for its share, with batch statistics of its own (`gan_jax.parallel`).
    dtype: 'bfloat16' to compute networks in; parameters, normalisations and losses stay float32.
    remat: keep only the outputs of convolutions and dense layers for the backward pass: less memory, more work.
    shard_state: divide optimizer states and running averages over the devices: less memory, more communication.
    stages: overrides, one dict per stage, each with its own `steps`; and `reset`, {'params' | 'optimizer' | 'ema':
      players that start anew on entering}. Empty: one stage.
    log_every: steps between lines of metrics.
    sample_every: steps between sample grids; 0 for only the last.
    checkpoint_every: steps between checkpoints; 0 for only the last.
    keep: checkpoints kept, the latest.
    keep_best: a metric; the checkpoint where it was lowest is kept too ('-NAME': highest). Empty: none.
    samples: examples on a grid.
    eval: {'every': steps between evaluations, 0 for none; and any of `evaluation.options.Options`, such as 'metrics',
      'samples', 'features'}. Its figures are metrics called eval_NAME, which keep_best may name.
    profile: steps of a trace for TensorBoard and Perfetto in WORKDIR/profile, after the first 10 steps; 0 for none.
    init_from: a run whose weights and running averages to start from; empty for none.
    init_players: the players that take them; empty for all that the two runs share.
    resume: 'auto' goes on with a run of the same settings; 'force' with one of others, as far as its arrays fit.
  """

  game: Mapping[str, Any]
  optimizers: Mapping[str, Any]
  data: Mapping[str, Any]
  ema: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  batch_size: int = 64
  steps: int = 10_000
  seed: int = 0
  population: int = 0
  vary: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  accumulate: int = 1
  steps_per_call: int = 1
  devices: int = 0
  parallel: str = 'jit'
  dtype: str = 'float32'
  remat: bool = False
  shard_state: bool = False
  stages: Sequence[Mapping[str, Any]] = ()
  log_every: int = 50
  sample_every: int = 1000
  checkpoint_every: int = 1000
  keep: int = 3
  keep_best: str = ''
  samples: int = 64
  eval: Mapping[str, Any] = dataclasses.field(default_factory=lambda: dict(IN_TRAINING))
  profile: int = 0
  init_from: str = ''
  init_players: Sequence[str] = ()
  resume: str = 'auto'


def base(**settings: Any) -> ml_collections.ConfigDict:
  """A config with every setting at its default but those given.

  >>> base(game={}, optimizers={}, data=stream(name='digits'), steps=5).steps
  5
  """
  fields = dataclasses.fields(Settings)
  unknown = set(settings) - {field.name for field in fields}
  if unknown:
    raise UserError(f'unknown setting {sorted(unknown)[0]!r}: a config has {", ".join(f.name for f in fields)}')
  values = {}
  for field in fields:
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if field.name in settings:
      values[field.name] = settings[field.name]
      if field.name == 'eval':  # a file may name some of its settings only
        values['eval'] = {**IN_TRAINING, **settings['eval']}
      if field.name == 'vary':  # ConfigDict takes no dots in names
        values['vary'] = _nested(settings['vary'])
    elif default is not dataclasses.MISSING:
      values[field.name] = default
    else:
      raise UserError(f'the config lacks the setting {field.name!r}')
  return ml_collections.ConfigDict(_copied(values))


def _copied(value: Any) -> Any:
  """Dicts of its own for every place: a file may give two players one dict, an override is for one of them."""
  if isinstance(value, ml_collections.ConfigDict):
    value = value.to_dict()
  if isinstance(value, Mapping):
    return {key: _copied(entry) for key, entry in value.items()}
  return tuple(_copied(entry) for entry in value) if isinstance(value, list | tuple) else value


def _nested(settings: Any) -> Any:
  """Dicts with dotted keys as dicts in dicts.

  >>> _nested({'a.b': (1, 2), 'a': {'c.d': (3, 4)}})
  {'a': {'b': (1, 2), 'c': {'d': (3, 4)}}}
  """
  if not isinstance(settings, Mapping | ml_collections.ConfigDict):
    return settings
  tree: dict[str, Any] = {}
  for path, value in settings.items():
    here, (*parents, last), value = tree, str(path).split('.'), _nested(value)
    for name in parents:
      here = here.setdefault(name, {})
    if isinstance(value, dict) and isinstance(here.get(last), dict):
      here[last].update(value)
    else:
      here[last] = value
  return tree


def stream(**settings: Any) -> dict[str, Any]:
  """The settings of a stream, every one at its default but those given, so that all can be overridden.

  >>> stream(name='mnist', channels=1)['size']
  32
  """
  names = {field.name: field.default for field in dataclasses.fields(Stream)}
  unknown = set(settings) - set(names)
  if unknown:
    raise UserError(f'unknown setting config.data.{sorted(unknown)[0]}: a stream has {", ".join(names)}')
  return {**names, **settings}


def find(path: str) -> pathlib.Path:
  """A config file: from the working folder, else from those shipped with the package."""
  here = pathlib.Path(path)
  if here.is_file():
    return here
  shipped_file = shipped_folder() / here.name
  if here.suffix == '.py' and here.parent.name in ('configs', '') and shipped_file.is_file():
    return shipped_file
  names = ', '.join(f'configs/{file.name}' for file in _shipped_files())
  raise UserError(f'config file {path!r} is not there: name one of yours, or one of {names}')


def shipped_folder() -> pathlib.Path:
  package = pathlib.Path(__file__).parent
  # In the wheel the configs lie inside the package, in a checkout beside it.
  return package / 'configs' if (package / 'configs').is_dir() else package.parent / 'configs'


def _shipped_files() -> list[pathlib.Path]:
  return sorted(file for file in shipped_folder().glob('*.py') if not file.name.startswith('_'))


def _module(file: pathlib.Path):
  spec = importlib.util.spec_from_file_location(f'gan_jax_config_{file.stem}', file)
  if spec is None or spec.loader is None:
    raise UserError(f'config file {str(file)!r} is not Python: name a file that ends in .py')
  module = importlib.util.module_from_spec(spec)
  with _code_of(file, 'does not load'):
    spec.loader.exec_module(module)
  if not hasattr(module, 'get_config') or not getattr(module, 'VARIANTS', None):
    raise UserError(f'config file {str(file)!r} lacks get_config(variant) or VARIANTS: see configs/quickstart.py')
  return module


@contextlib.contextmanager
def _code_of(file: pathlib.Path, what: str) -> Iterator[None]:
  """Turns what a config's code raises into one line, with the line of the file."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    where = f', line {lines[-1]}' if lines else ''
    raise UserError(f'config file {str(file)!r}{where} {what}: {short(error)}') from error


def load(path: str) -> ml_collections.ConfigDict:
  """The config that 'FILE.py' or 'FILE.py:VARIANT' names.

  Raises:
    UserError: no such file or variant.

  >>> load('configs/quickstart.py').data.name
  'digits'
  """
  file, _, variant = path.partition(':')
  module = _module(find(file))
  if variant and variant not in module.VARIANTS:
    raise one_of(f'variant of {file}', variant, module.VARIANTS)
  with _code_of(pathlib.Path(module.__file__), 'gives no config'):
    config = module.get_config(variant or module.VARIANTS[0])
  if not isinstance(config, ml_collections.ConfigDict):
    raise UserError(
      f'config file {file!r}: get_config gave {type(config).__name__}, not what gan_jax.config.base gives'
    )
  return base(**{key: config[key] for key in config})


def shipped() -> Iterator[tuple[str, ml_collections.ConfigDict]]:
  """All shipped configs, ('configs/FILE.py:VARIANT', config)."""
  for file in _shipped_files():
    module = _module(file)
    for variant in module.VARIANTS:
      name = f'configs/{file.name}' + ('' if variant == module.VARIANTS[0] else f':{variant}')
      yield name, load(f'{file}:{variant}')


def descriptions() -> Iterator[tuple[str, tuple[str, ...], str]]:
  """(file, variants, docstring) of every shipped config."""
  for file in _shipped_files():
    module = _module(file)
    yield f'configs/{file.name}', tuple(module.VARIANTS), (module.__doc__ or file.name).strip()


def override(config: ml_collections.ConfigDict, arguments: Sequence[str]) -> ml_collections.ConfigDict:
  """Applies `--config.a.b=value` arguments.

  Raises:
    UserError: an unknown setting or a value of the wrong type.
  """
  for argument in arguments:
    name, value = _path(argument), argument.partition('=')[2]
    if name[0] == 'vary':  # its entries are new, and lists of another length
      given = _nested({'.'.join(name): _literal(value)})
      if not isinstance(given['vary'], dict):
        raise UserError(f'{argument}: name the setting, as in --config.vary.seed=(1,2,3)')
      with config.unlocked():
        config.vary.update(ml_collections.ConfigDict(_copied(given['vary'])))
      continue
    if _is_new(config, argument):
      with config.unlocked():
        here = config
        for part in name[:-1]:
          here = here[part]
        here[name[-1]] = _literal(value)
      continue
    try:
      values = flags.FlagValues()
      config_flags.DEFINE_config_dict('config', config, flag_values=values, sys_argv=['', argument])
      values(['', argument])
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
      reason = ' '.join(str(error).strip('\'"').split())
      raise UserError(f'{argument}: {reason}; settings here: {_siblings(config, argument)}') from error
  return config


def _literal(text: str) -> Any:
  """A value as Python writes it; true and false too; other text is text."""
  if text.lower() in ('true', 'false'):
    return text.lower() == 'true'
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def _path(argument: str) -> list[str]:
  return argument.lstrip('-').split('=')[0].split('.')[1:]


def _is_new(config: Any, argument: str) -> bool:
  """Whether an argument sets what the config leaves out or at None, which config_flags cannot.

  What a constructor takes but the file does not mention may be added; `build` refuses what it does not take.
  """
  path, here = _path(argument), config
  for depth, part in enumerate(path):
    if '[' in part:  # an element of a sequence, which config_flags looks up
      return False
    if not isinstance(here, ml_collections.ConfigDict) or part not in here:
      last = depth == len(path) - 1
      if last and isinstance(here, ml_collections.ConfigDict) and ('name' in here or path[:-1] == ['ema']):
        return True
      raise UserError(f'unknown setting {argument.split("=")[0]!r}; settings here: {_siblings(config, argument)}')
    here = here[part]
  return here is None


def _siblings(config: Any, argument: str) -> str:
  for part in _path(argument)[:-1]:
    if not (isinstance(config, ml_collections.ConfigDict) and part in config):
      break
    config = config[part]
  if not isinstance(config, ml_collections.ConfigDict):
    return 'none'
  return ', '.join(f'{key}={config[key]!r}' if not hasattr(config[key], 'keys') else key for key in config)


def to_json(config: ml_collections.ConfigDict) -> str:
  return json.dumps(json.loads(config.to_json_best_effort()), indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ml_collections.ConfigDict:
  """The config that `to_json` wrote."""
  # JSON has neither tuples nor numbers as keys, such as optax.piecewise_constant_schedule takes.
  key = lambda k: int(k) if k.lstrip('-').isdigit() else k
  return base(**json.loads(text, object_pairs_hook=lambda pairs: {key(k): _tuples(v) for k, v in pairs}))


def _tuples(value: Any) -> Any:
  return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def differences(old: Any, new: Any, where: str = 'config') -> list[str]:
  """What two configs (as read from JSON) disagree on, 'config.a.b: old -> new'.

  >>> differences({'a': 1, 'b': {'c': 2}}, {'a': 1, 'b': {'c': 3}})
  ['config.b.c: 2 -> 3']
  """
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    lines = []
    for key in sorted({*old, *new}):
      lines += differences(old.get(key), new.get(key), f'{where}.{key}')
    return lines
  return [] if old == new else [f'{where}: {old!r} -> {new!r}']
