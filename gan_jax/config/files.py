"""Files of settings: the configs of this package, those of a user, and the config.json of a run.

A config is a Python file with `get_config(variant) -> ConfigDict` and a tuple `VARIANTS`, whose first entry is the
default. It is code: run only files that you trust.

A file that chooses settings by what the user gives has `OWN`, {name: default} of settings that only it knows, and
`get_config(variant, given)`: `given` has these and every setting of the command line, {'data.path': 'photos', ...}.
"""

import contextlib
import importlib.util
import json
import pathlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import ml_collections

from gan_jax.base.errors import UserError, one_of, short
from gan_jax.config.overrides import override, values_of
from gan_jax.config.settings import base, stream


def find(path: str) -> pathlib.Path:
  """A config file: from the working folder, else from those shipped with the package."""
  here = pathlib.Path(path).expanduser()
  if here.is_file():
    return here
  shipped_file = shipped_folder() / here.name
  if here.suffix == '.py' and here.parent.name in ('configs', '') and shipped_file.is_file():
    return shipped_file
  names = ', '.join(f'configs/{file.name}' for file in _shipped_files())
  raise UserError(f'config file {path!r} does not exist: name one of yours, or one of {names}')


def shipped_folder() -> pathlib.Path:
  """The folder with the configs of this package."""
  package = pathlib.Path(__file__).parent.parent
  # In a wheel the configs are inside the package, in a clone of the repository beside it.
  return package / 'configs' if (package / 'configs').is_dir() else package.parent / 'configs'


def _shipped_files() -> list[pathlib.Path]:
  return sorted(file for file in shipped_folder().glob('*.py') if not file.name.startswith('_'))


def _module(file: pathlib.Path) -> ModuleType:
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
  """Turns an exception of a config's code into a UserError that names the line of the file."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    where = f', line {lines[-1]}' if lines else ''
    raise UserError(f'config file {str(file)!r}{where} {what}: {short(error)}') from error


def read(
  path: str, arguments: Sequence[str], say: Callable[[str], object] = lambda line: None
) -> ml_collections.ConfigDict:
  """The config of 'FILE.py', 'FILE.py:VARIANT' or a run's 'config.json' with `--config.a.b=value` arguments.

  It is `load`, then `override`, which tells `say` what else it sets.

  Raises:
    UserError: there is no such file, variant or setting, or the file's code fails.

  >>> read('configs/quickstart.py', ['--config.steps=5']).steps
  5
  """
  own = {} if path.endswith('.json') else _own(_module(find(path.partition(':')[0])))
  rest = [given for given in arguments if not values_of([given]).keys() & own.keys()]
  return override(load(path, arguments), rest, say)


def _own(module: ModuleType) -> dict[str, Any]:
  return dict(getattr(module, 'OWN', {}))


def load(path: str, arguments: Sequence[str] = ()) -> ml_collections.ConfigDict:
  """The config of 'FILE.py', 'FILE.py:VARIANT' or a run's 'config.json'.

  Args:
    path: the file, with a variant behind a colon.
    arguments: `--config.a.b=value`, for a file that chooses by them; `read` applies them as well.

  Raises:
    UserError: there is no such file or variant, or its code fails.

  >>> load('configs/quickstart.py').data.name
  'digits'
  """
  if path.endswith('.json'):
    return _of_run(find(path))
  file, _, variant = path.partition(':')
  module = _module(find(file))
  if variant and variant not in module.VARIANTS:
    raise one_of(f'variant of {file}', variant, module.VARIANTS)
  with _code_of(pathlib.Path(str(module.__file__)), 'gives no config'):
    given = ({**_own(module), **values_of(arguments)},) if hasattr(module, 'OWN') else ()
    config = module.get_config(variant or module.VARIANTS[0], *given)
  if not isinstance(config, ml_collections.ConfigDict):
    raise UserError(
      f'config file {file!r}: get_config returned a {type(config).__name__}: return gan_jax.config.base(...)'
    )
  return base(**{key: config[key] for key in config})


def _of_run(file: pathlib.Path) -> ml_collections.ConfigDict:
  try:
    config = from_json(file.read_text())
    config.resume = 'auto'  # of the run's last start, maybe by force: that was asked for once
    return config
  except (TypeError, ValueError) as error:
    raise UserError(f'{str(file)!r} is no config.json of a run ({short(error)}): name that of a run') from error


def shipped() -> Iterator[tuple[str, ml_collections.ConfigDict]]:
  """('configs/FILE.py:VARIANT', config) of every config of this package."""
  for file in _shipped_files():
    module = _module(file)
    for variant in module.VARIANTS:
      name = f'configs/{file.name}' + ('' if variant == module.VARIANTS[0] else f':{variant}')
      yield name, load(f'{file}:{variant}')


def descriptions() -> Iterator[tuple[str, tuple[str, ...], str]]:
  """(file, variants, docstring) of every config file of this package."""
  for file in _shipped_files():
    module = _module(file)
    yield f'configs/{file.name}', tuple(module.VARIANTS), (module.__doc__ or file.name).strip()


def to_json(config: ml_collections.ConfigDict) -> str:
  """The text of a run's config.json."""
  return json.dumps(json.loads(config.to_json_best_effort()), indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ml_collections.ConfigDict:
  """The config of a text from `to_json`."""
  # JSON has no tuples, and no numbers as keys, which optax.piecewise_constant_schedule needs.
  key = lambda k: int(k) if k.lstrip('-').isdigit() else k
  return base(**json.loads(text, object_pairs_hook=lambda pairs: {key(k): _tuples(v) for k, v in pairs}))


def _tuples(value: Any) -> Any:
  return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def with_stream_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
  """Adds defaults to config.data as read from JSON, for settings that an older version did not have.

  >>> with_stream_defaults({'a': {'name': 'mnist', 'size': 28}})['a']['range']
  [-1.0, 1.0]
  """
  if not all(isinstance(value, Mapping) for value in data.values()):
    return {**json.loads(json.dumps(stream(name=''))), **data}
  return {name: with_stream_defaults(settings) for name, settings in data.items()}


def differences(old: Any, new: Any, where: str = 'config') -> list[str]:
  """Lines 'config.a.b: old -> new' for the settings that differ between two configs as read from JSON.

  >>> differences({'a': 1, 'b': {'c': 2}}, {'a': 1, 'b': {'c': 3}})
  ['config.b.c: 2 -> 3']
  """
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    lines = []
    for key in sorted({*old, *new}):
      lines += differences(old.get(key), new.get(key), f'{where}.{key}')
    return lines
  nested = lambda value: isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value)
  if nested(old) and nested(new) and len(old) == len(new):
    return [line for i, two in enumerate(zip(old, new, strict=True)) for line in differences(*two, f'{where}[{i}]')]
  return [] if old == new else [f'{where}: {old!r} -> {new!r}']
