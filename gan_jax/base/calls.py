"""Finds objects by dotted names, and checks the arguments of a call before the call."""

import contextlib
import difflib
import importlib
import inspect
import sys
import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import typeguard

from gan_jax.base.errors import UserError, one_of


def resolve(name: str, home: str = 'gan_jax', where: str = '') -> Any:
  """The object that a dotted name stands for.

  Args:
    name: such as 'dcgan.Generator', 'optax.adam' or 'my_module.MyGame'.
    home: the package or module to look in first.
    where: the setting that has the name, for messages.

  Raises:
    UserError: nothing has that name, or its module does not import.

  >>> resolve('hinge', home='gan_jax.losses').generator is resolve('gan_jax.losses.hinge').generator
  True
  """
  start = f'{where}: ' if where else ''
  if not isinstance(name, str) or not name:
    raise UserError(f'{start}{name!r} is not a name: write it dotted, such as dcgan.Generator')
  candidates = list(dict.fromkeys((f'{home}.{name}', f'gan_jax.{name}', name)))
  for candidate in candidates:
    exists, value = _look_up(candidate, start)
    if exists:
      return value
  raise UserError(
    f'{start}nothing is called {name!r}: {_near(candidates)}looked for {", ".join(candidates)}; a class of your own is '
    'named as you would import it, from the folder you start in'
  )


def _near(candidates: Sequence[str]) -> str:
  """A question after the names beside the candidates that look like them; '' if none does."""
  last = candidates[0].rpartition('.')[2]
  # Looking for the candidates has imported the modules that would hold them.
  modules = [sys.modules[parent] for name in candidates if (parent := name.rpartition('.')[0]) in sys.modules]
  near = difflib.get_close_matches(last, sorted({other for module in modules for other in dir(module)}))
  return f'did you mean {" or ".join(near)}? ' if near else ''


def _look_up(path: str, start: str) -> tuple[bool, Any]:
  parts = path.split('.')
  for split in range(len(parts) - 1, 0, -1):
    module_name = '.'.join(parts[:split])
    try:
      value: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
      # Try the next candidate only if this module does not exist. If an import inside it fails, raise an error.
      if error.name is not None and (module_name == error.name or module_name.startswith(error.name + '.')):
        continue
      raise UserError(f'{start}module {module_name!r} does not import: {error}') from error
    except (ImportError, SyntaxError) as error:
      raise UserError(f'{start}module {module_name!r} does not import: {error}') from error
    for part in parts[split:]:
      if not hasattr(value, part):
        return False, None
      value = getattr(value, part)
    return True, value
  return False, None


def check_call(target: Any, keywords: Mapping[str, Any], where: str) -> None:
  """Raises a UserError unless `target(**keywords)` has known, complete and well-typed keywords."""
  # Linen's own fields cannot be set: a network's name is the name of the game's field.
  hidden = ('parent', 'name') if inspect.isclass(target) and issubclass(target, nn.Module) else ()
  parameters = {name: p for name, p in inspect.signature(target).parameters.items() if name not in hidden}
  any_keyword = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
  names = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
  for key in keywords:
    if key not in names and not any_keyword:
      raise UserError(f'unknown setting {where}.{key}: {_title(target)} takes {", ".join(names) or "none by name"}')
  missing = [n for n in names if parameters[n].default is inspect.Parameter.empty and n not in keywords]
  if missing:
    raise UserError(f'{where} lacks {", ".join(missing)}: {_title(target)} needs it')
  hints = hints_of(target)
  for key, value in keywords.items():
    # A traced number varies over a population, which checked each of its values.
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
      continue
    if key in hints and not fits(value, hints[key]):
      raise _misfit(f'{where}.{key}', value, hints[key])


def hints_of(target: Any) -> dict[str, Any]:
  """{argument: its type hint} of a class or function; {} where hints have names that only a type checker knows."""
  try:
    hints = typing.get_type_hints(target if inspect.isfunction(target) else target.__init__)
    return {**(typing.get_type_hints(target) if inspect.isclass(target) else {}), **hints}
  except Exception:
    return {}


def fits(value: Any, hint: Any) -> bool:
  """Whether a type hint allows a value; a bool is no number."""
  members = _members(hint)
  if isinstance(value, bool) and bool not in members and any(kind in members for kind in (int, float)):
    return False
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    try:
      typeguard.check_type(value, hint, collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS)
    except typeguard.TypeCheckError:
      return False
  return True


def _misfit(where: str, value: Any, hint: Any) -> UserError:
  """The error for a value that a hint does not allow."""
  members = _members(hint)
  if members and all(typing.get_origin(member) is typing.Literal for member in members):
    return one_of(where, value, [choice for member in members for choice in typing.get_args(member)])
  start = f'{where}={value!r} is of type {type(value).__name__}'
  if isinstance(value, str) and not _is_number(value) and any(map(_is_built, members)):
    return UserError(f"{start}: write {{'name': {value!r}}} for the function or class of that name")
  expected = [_short(member) for member in (*members, *([None] if len(members) < len(_choices(hint)) else ()))]
  return UserError(f'{start}: it must be {" or ".join(dict.fromkeys(expected)) or hint}')


def _is_number(text: str) -> bool:
  with contextlib.suppress(ValueError):
    float(text)
    return True
  return False


def _short(hint: Any) -> str:
  """A hint in a word or two."""
  kind = typing.get_origin(hint) or hint
  if kind is Callable:
    return 'a function'
  return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


def _members(hint: Any) -> list[Any]:
  """What a hint allows besides None."""
  return [member for member in _choices(hint) if member is not type(None)]


def _choices(hint: Any) -> tuple[Any, ...]:
  return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _is_built(hint: Any) -> bool:
  """Whether values of a hint are built from a dict with a name: callables, and objects of other types than Python's."""
  kind = typing.get_origin(hint) or hint
  return kind is Callable or (inspect.isclass(kind) and kind.__module__ not in ('builtins', Mapping.__module__))


def _title(target: Any) -> str:
  return f'{target.__module__.removeprefix("gan_jax.")}.{target.__qualname__}'
