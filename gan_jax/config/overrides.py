"""Settings from the command line: `--config.a.b=value`."""

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from gan_jax.base.errors import UserError
from gan_jax.config.build import takes_text
from gan_jax.config.followers import follow, numbers
from gan_jax.config.settings import copied, nested

#: What takes the place of settings with settings in them, in words.
GROUP = 'a dict of settings'
#: An element of a sequence as an attribute, which config_flags does not know.
ELEMENT = re.compile(r'\.(\d+)(?=\.|$)')
#: The name of a set, a class or a function.
DOTTED = re.compile(r'[A-Za-z_][\w.]*')


def override(
  config: ml_collections.ConfigDict, arguments: Sequence[str], say: Callable[[str], object] = lambda line: None
) -> ml_collections.ConfigDict:
  """Applies `--config.a.b=value` arguments.

  The numbers of classes, channels and pixels are given for the data alone: `followers` sets them in the networks, and
  `say` is told.

  Raises:
    UserError: a setting is unknown, or a value has the wrong type.
  """
  before = numbers(config)
  for argument in arguments:
    name, value = _path(argument), argument.partition('=')[2]
    if name[0] == 'vary':  # config_flags cannot set it: the entries are new, and lists may change their length
      settings = nested({'.'.join(name): _literal(value)})
      if not isinstance(settings['vary'], dict):
        raise UserError(f'{argument}: name the setting, as in --config.vary.seed=(1,2,3)')
      with config.unlocked():
        if not settings['vary']:
          config.vary = ml_collections.ConfigDict()
        config.vary.update(ml_collections.ConfigDict(copied(settings['vary'])))
      continue
    if name[0] == 'data' and 'columns' in name[1:3]:  # its entries are new, and of any kind
      _set_column(config, name, argument)
      continue
    literal = _literal(value)
    if (
      _is_new(config, argument)
      or (literal is None and _takes_none(config, argument))
      or _is_other_kind(config, argument, literal)
    ):
      with config.unlocked(), config.ignore_type():
        _holder(config, argument)[name[-1]] = copied(literal)
      continue
    try:
      _set(config, argument)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
      here = _within(_holder(config, argument), name[-1])
      if '=' in argument and (wanted := _wanted(here)):
        named = wanted == GROUP and 'name' in here and isinstance(_literal(value), str) and DOTTED.fullmatch(value)
        # All settings anew: those of the old name need not be those of the new one.
        more = f': write --config.{".".join(name)}{_named(name, value)}' if named else ''
        raise UserError(f'config.{".".join(name)}={value!r} must be {wanted}{more}') from error
      reason = ' '.join(str(error).strip('\'"').split())
      raise UserError(f'{argument}: {reason}; settings here: {_siblings(config, argument)}') from error
  for line in follow(config, before, [_parts(argument) for argument in arguments]):
    say(line)
  return config


def _set(config: ml_collections.ConfigDict, argument: str) -> None:
  """Lets config_flags parse the value and check its type.

  Its flag is of a dict of this setting alone: absl writes the default of every flag as YAML, and of a whole config that
  takes longer than all else.
  """
  holder, values, last = _holder(config, argument), flags.FlagValues(), _path(argument)[-1]
  name = last.partition('[')[0]
  alone = isinstance(holder, ml_collections.ConfigDict) and '=' in argument and name in holder
  here, given = config, argument
  if alone:
    kept = dict(holder.items(preserve_field_references=True))
    here, given = ml_collections.ConfigDict({name: kept[name]}), f'--config.{last}={argument.partition("=")[2]}'
  config_flags.DEFINE_config_dict('config', here, flag_values=values, sys_argv=['', given])
  values(['', given])
  if alone:
    holder[name] = here[name]
  config.lock()


def values_of(arguments: Sequence[str]) -> dict[str, Any]:
  """{'a.b': value} of `--config.a.b=value` arguments.

  >>> values_of(['--config.data.path=photos', '--config.hours=0.5'])
  {'data.path': 'photos', 'hours': 0.5}
  """
  pairs = [(_path(argument), argument.partition('=')[2]) for argument in arguments]
  return {'.'.join(path): value if path[-1] == 'path' else _literal(value) for path, value in pairs}


def _set_column(config: ml_collections.ConfigDict, name: list[str], argument: str) -> None:
  at = name.index('columns')
  stream, value = config.data if at == 1 else config.data.get(name[1], {}), _literal(argument.partition('=')[2])
  if 'name' not in stream:
    raise UserError(f'unknown setting {argument.split("=")[0]!r}; settings here: {_siblings(config, argument)}')
  if at == len(name) - 1 and not isinstance(value, dict):
    raise UserError(f"{argument}: give columns as {{'image': {{'name': 'Picture'}}}}, or one by its name")
  columns = {} if at == len(name) - 1 else copied(stream.get('columns', {}))
  here = columns
  for part in name[at + 1 : -1]:
    here = here.setdefault(part, {})
    if not isinstance(here, dict):
      raise UserError(
        f'{argument}: {part!r} is {here!r}, which has no settings; give it a name first, as in .name=Picture'
      )
  if at == len(name) - 1:
    columns = value
  else:
    here[name[-1]] = value
  with config.unlocked():
    stream['columns'] = ml_collections.ConfigDict(copied(columns))


def _literal(text: str) -> Any:
  """The value of a Python literal; also of true and false. Any other text is a string."""
  if text.lower() in ('true', 'false'):
    return text.lower() == 'true'
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def _path(argument: str) -> list[str]:
  return argument.lstrip('-').split('=')[0].split('.')[1:]


def _parts(argument: str) -> tuple[str | int, ...]:
  """The path of an argument, with the numbers of elements.

  >>> _parts('--config.game.generators[0].classes=2')
  ('game', 'generators', 0, 'classes')
  """
  parts = [part for name in _path(argument) for part in name.replace(']', '').split('[')]
  return tuple(int(part) if part.isdecimal() else part for part in parts)


def _within(here: Any, part: str) -> Any:
  """What is at a part of a path, such as `game` or `generators[0]`; None where there is no such thing."""
  name, *numbers = part.replace(']', '').split('[')
  here = here[name] if hasattr(here, 'keys') and name in here else None
  for number in numbers:
    known = isinstance(here, tuple | list) and number.isdecimal() and int(number) < len(here)
    here = here[int(number)] if known else None
  return here


def _holder(config: Any, argument: str) -> Any:
  """The dict that has the setting of an argument, or may have it; None where there is no such dict."""
  here = config
  for part in _path(argument)[:-1]:
    if isinstance(here := _within(here, part), tuple | list) and ELEMENT.search(argument.split('=')[0]):
      name = argument.split('=')[0]
      right = ELEMENT.sub(r'[\1]', name)
      raise UserError(f'{name}: write {right}')
  return here if hasattr(here, 'keys') else None


def _is_new(config: Any, argument: str) -> bool:
  """Whether the setting of an argument is not in the config yet, or is None: config_flags cannot set it then.

  A setting may be added to every dict that has a name; `build` raises an error if its class does not have it.
  """
  holder, path = _holder(config, argument), _path(argument)
  if '[' in path[-1]:  # an element of a sequence: config_flags finds it
    return False
  if holder is not None and path[-1] in holder:
    return holder[path[-1]] is None
  if holder is not None and ('name' in holder or path[:-1] == ['ema']):
    return True
  raise UserError(f'unknown setting {argument.split("=")[0]!r}; settings here: {_siblings(config, argument)}')


def _takes_none(config: Any, argument: str) -> bool:
  """Whether None may take the place of a value: of a dict with a name, such as a penalty, or in one, such as a limit.

  `build` raises an error if the setting must have a value. config_flags cannot set None.
  """
  holder, last = _holder(config, argument), _path(argument)[-1]
  value = _within(holder, last)
  return (hasattr(value, 'keys') and 'name' in value) or (holder is not None and 'name' in holder and last in holder)


def _is_other_kind(config: Any, argument: str, value: Any) -> bool:
  """Whether a value takes the place of one of another kind in a dict with a name or in `ema`.

  A number and what is built by a name, such as a schedule, take each other's place; so do a name and a dict with a name
  where the class takes both, as a game its loss. `build` raises an error if the class takes no such value.
  """
  holder, path = _holder(config, argument), _path(argument)
  old = _within(holder, path[-1])
  if path[-1] == 'name' or '[' in path[-1] or holder is None or not ('name' in holder or path[:-1] == ['ema']):
    return False
  of_name = isinstance(value, dict) and 'name' in value
  if of_name:
    return isinstance(old, str | int | float)
  if not (hasattr(old, 'keys') and 'name' in old) or isinstance(value, bool):
    return False
  if isinstance(value, str):  # a file or a number in words would be a mistake
    return path[:-1] == ['game'] and DOTTED.fullmatch(value) is not None and takes_text(config.game.name, path[-1])
  return isinstance(value, int | float)


def _named(path: Sequence[str], name: str) -> str:
  """How something is chosen by its name; settings of another class would be none of its own, those of data are all."""
  return f'.name={name}' if path[0] == 'data' else f"""="{{'name': '{name}'}}\""""


def _wanted(here: Any) -> str:
  """What can take the place of a value, in words; '' where config_flags says it."""
  if isinstance(here, bool):
    return 'true or false'
  if hasattr(here, 'keys'):
    return GROUP
  kinds = {int: 'a whole number', float: 'a number'}
  return f'{kinds[type(here)]}, such as {here!r}' if type(here) in kinds else ''


def _siblings(config: Any, argument: str) -> str:
  here = config
  for part in _path(argument)[:-1]:
    if not hasattr(inner := _within(here, part), 'keys'):
      break
    here = inner
  return ', '.join(f'{key}={here[key]!r}' if not hasattr(here[key], 'keys') else key for key in here)
