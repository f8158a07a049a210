"""Builds objects from settings: the setting `name` names a class or function, the other settings are its arguments.

    build({'name': 'dcgan.Generator', 'channels': (256, 128)}, home='gan_jax.nets')

returns `gan_jax.nets.dcgan.Generator(channels=(256, 128))`. Arguments that are dicts with a name are built first. A
name is looked up in its home (`gan_jax.nets`), then in `gan_jax`, then as a full dotted name, such as 'optax.adam'. So
a class in your own file needs no registration.
"""

from collections.abc import Mapping
from typing import Any

from gan_jax.base.calls import check_call, fits, hints_of, resolve
from gan_jax.base.errors import UserError

#: {setting: home of its names}; for other settings the home follows from that of the dict around it, by NESTED.
HOMES = {
  'latents': 'gan_jax.latents.distributions',
  'loss': 'gan_jax.losses',
  'penalty': 'gan_jax.games.parts.penalties',
  'augment': 'gan_jax.augment.augmentations',
  'dynamics': 'gan_jax.optim.dynamics',
  'defence': 'gan_jax.games.parts.defences',
}
NESTED = {'gan_jax.games': 'gan_jax.nets'}


def takes_text(name: str, setting: str) -> bool:
  """Whether a game takes a text for a setting, such as the name of its loss.

  >>> takes_text('standard.Standard', 'loss'), takes_text('standard.Standard', 'generator')
  (True, False)
  """
  hints = hints_of(resolve(name, 'gan_jax.games', 'config.game.name'))
  return setting in hints and fits('', hints[setting])


def build(settings: Any, *, home: str, where: str = 'config') -> Any:
  """Builds the object that a dict of settings describes. Other values are returned unchanged.

  Args:
    settings: {'name': dotted name, argument: value, ...}; values are built recursively.
    home: the package in which names are looked up first.
    where: the path of the settings, for messages.

  Raises:
    UserError: a name or setting is unknown, a setting is missing, or a value has the wrong type.
  """
  if isinstance(settings, (list, tuple)):
    return tuple(build(value, home=home, where=f'{where}[{i}]') for i, value in enumerate(settings))
  if not isinstance(settings, Mapping):
    return settings
  if 'name' not in settings:
    return {key: build(value, home=home, where=f'{where}.{key}') for key, value in settings.items()}
  target = resolve(settings['name'], home, f'{where}.name')
  if not callable(target):
    raise UserError(f'{where}.name={settings["name"]!r} is not a class or function')
  keywords = {
    key: build(value, home=HOMES.get(key, NESTED.get(home, home)), where=f'{where}.{key}')
    for key, value in settings.items()
    if key != 'name'
  }
  check_call(target, keywords, where)
  try:
    return target(**keywords)
  except (TypeError, ValueError) as error:
    raise UserError(f'{where} ({settings["name"]}): {error}') from error
