"""The settings that differ between the members of a population: their seeds and the numbers in `config.vary`."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from gan_jax import config as config_lib
from gan_jax.base.errors import UserError
from gan_jax.config.settings import copied

#: Numbers in these settings may vary, and so may the seed. Other settings are the same for all members.
VARIED = ('game', 'optimizers', 'ema')


def varied(config: ml_collections.ConfigDict) -> dict[str, tuple[float, ...]]:
  """{dotted path: a value per member}, from config.vary.

  Raises:
    UserError: a value is not a number, the number of values is not config.population, or the setting cannot vary.

  >>> config = config_lib.load('configs/quickstart.py')
  >>> varied(config_lib.override(config, ['--config.population=2', '--config.vary.ema.generator=(0.9, 0.99)']))
  {'ema.generator': (0.9, 0.99)}
  """
  found: dict[str, tuple[float, ...]] = {}
  _collect(config.to_dict()['vary'], (), found)
  size = config.population
  for path, values in found.items():
    where = f'config.vary.{path}'
    if not size:
      raise UserError(
        f'{where}={values} but config.population=0: set config.population={len(values)}, or leave out config.vary'
      )
    if path != 'seed' and path.partition('.')[0] not in VARIED:
      raise UserError(
        f'{where}={values}: all members share config.{path}; only the seed and numbers in '
        f'{", ".join(f"config.{name}" for name in VARIED)} may vary'
      )
    if len(values) != size:
      raise UserError(f'{where} has {len(values)} values for config.population={size}: give one to each member')
    kind, words = (int, 'a whole number') if path == 'seed' else (int | float, 'a number')
    for value in values:
      if isinstance(value, bool) or not isinstance(value, kind):
        raise UserError(
          f'{where}={values}: {value!r} is not {words}, and only numbers vary: train each value in a run of its own'
        )
    for i, changes in enumerate(config.stages):
      if sets_anew(changes, path, config.to_dict()):
        raise UserError(f'{where}: config.stages[{i}] sets it for all members: leave it out of one of the two')
  return found


def _collect(settings: Mapping[str, Any], path: tuple[str, ...], found: dict[str, tuple[float, ...]]) -> None:
  for key, value in settings.items():
    here = (*path, str(key))
    if isinstance(value, Mapping):
      _collect(value, here, found)
    elif isinstance(value, tuple | list) and value:
      found['.'.join(here)] = tuple(value)
    else:
      raise UserError(
        f'config.vary.{".".join(here)}={value!r} is not a list: give a value to each member, such as (1, 2)'
      )


def sets_anew(changes: Mapping[str, Any], path: str, settings: Mapping[str, Any]) -> bool:
  """Whether the changes of a stage take the place of what is at a dotted path, not only of parts of it.

  An optimizer and a running average are set anew as a whole where they get another name.

  Args:
    changes: of the stage.
    path: such as 'optimizers.generator.b1' or 'game.generators[0].channels'.
    settings: of the run.

  >>> adam, sgd = dict(name='optax.adam', b1=0.5), dict(name='optax.sgd')
  >>> sets_anew({'optimizers': {'generator': sgd}}, 'optimizers.generator.b1', {'optimizers': {'generator': adam}})
  True
  """
  whole = path.partition('.')[0] in ('optimizers', 'ema')
  renamed = lambda new, old: whole and 'name' in new and new['name'] != old.get('name')
  new: Any = changes
  old: Any = settings
  for part in path.split('.'):
    if not isinstance(new, Mapping) or not isinstance(old, Mapping) or renamed(new, old):
      return True
    name, _, number = part.partition('[')
    if name not in new or number:  # a sequence is set as a whole
      return name in new
    new, old = new[name], old.get(name)
  return not isinstance(new, Mapping) or not isinstance(old, Mapping) or renamed(new, old)


def put(settings: dict[str, Any], path: str, value: Any) -> None:
  """Sets a value at a dotted path in nested dicts; `links[0]` is an element of a sequence.

  Raises:
    UserError: there is no such path, or its old value is not a number.
  """
  *parents, last = path.split('.')
  here: Any = settings
  for depth, name in enumerate(parents):
    inner = _within(here, name)
    if not isinstance(inner, dict):
      where = '.'.join(('config', *parents[: depth + 1]))
      raise UserError(f'config.vary.{path}: there is no {where}: known here are {", ".join(map(str, here))}')
    here = inner
  old = here.get(last, 0)
  if last not in here and 'name' not in here and parents != ['ema']:
    raise UserError(f'config.vary.{path}: unknown setting {last!r}: known here are {", ".join(map(str, here))}')
  if isinstance(old, bool) or not isinstance(old, int | float | None):
    raise UserError(f'config.vary.{path}: config.{path}={old!r} is not a number, and only numbers vary')
  here[last] = float(value) if isinstance(old, float) and isinstance(value, int) else value


def value_at(settings: dict[str, Any], path: str) -> Any:
  """What `put` has set at a dotted path."""
  *parents, last = path.split('.')
  for name in parents:
    settings = _within(settings, name)
  return settings[last]


def _within(settings: dict[str, Any], part: str) -> Any:
  """What is at a part of a path, such as `generator` or `links[0]`, to be changed; None if there is nothing."""
  name, _, number = part.removesuffix(']').partition('[')
  if not number:
    return settings.get(name)
  entries = settings.get(name)
  if not isinstance(entries, tuple | list) or not number.isdecimal() or int(number) >= len(entries):
    return None
  # What is in tuples is shared with the config that these settings are of.
  settings[name] = copied(entries)
  return settings[name][int(number)]


def member_config(config: ml_collections.ConfigDict, number: int) -> ml_collections.ConfigDict:
  """The config of one member, with which it can be trained alone.

  Args:
    config: the config of the population.
    number: the number of the member, from 0.

  Raises:
    UserError: there is no such member, or config.vary does not fit the config.

  >>> config = config_lib.override(config_lib.load('configs/quickstart.py'), ['--config.population=3'])
  >>> alone = member_config(config, 2)
  >>> alone.seed, alone.population
  (2, 0)
  """
  if not 0 <= number < config.population:
    raise UserError(f'there is no member {number} in a population of {config.population}: members count from 0')
  settings = config.to_dict()
  settings |= {'population': 0, 'vary': {}, 'seed': config.seed + number}
  for path, values in varied(config).items():
    put(settings, path, values[number])
  return config_lib.base(**settings)
