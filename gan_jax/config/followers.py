"""Numbers of the data that the networks must know, too: given once, for the data, they are set for both."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import ml_collections

Path = tuple[str | int, ...]

#: {setting of a stream: what networks call it}.
NAMES = {'classes': ('classes',), 'channels': ('image_channels', 'out_channels'), 'size': ('size', 'resolution')}


def numbers(config: Mapping[str, Any]) -> dict[str, int]:
  """{'classes', 'channels', 'size': its value in the streams}, of those above 0 that all streams have alike.

  A stream without classes has none to differ by.

  >>> data = {'a': {'name': 'x', 'classes': 10, 'channels': 3}, 'b': {'name': 'y', 'classes': 0, 'channels': 1}}
  >>> numbers({'data': data})
  {'classes': 10}
  """
  data = config.get('data', {})
  several = data.values() if isinstance(data, _DICTS) and 'name' not in data else [data]
  streams = [stream for stream in several if isinstance(stream, _DICTS)]
  found = {setting: {stream.get(setting, 0) for stream in streams} - {0, None} for setting in NAMES}
  return {setting: values.pop() for setting, values in found.items() if len(values) == 1}


def follow(config: ml_collections.ConfigDict, before: Mapping[str, int], given: Collection[Path]) -> list[str]:
  """Sets, where a number of the data has changed, the settings of the game that were equal to it, in stages too.

  Settings that were given stay, and so do those of a number that a stage sets anew, and parts of the latents other than
  the label: how many codes or makers there are is no matter of the data.

  Args:
    config: it is changed.
    before: `numbers` of the config before.
    given: paths that somebody has set.

  Returns:
    A line for the settings that have changed; none if there are none.
  """
  stages = {i: stage for i, stage in enumerate(config.get('stages', ())) if isinstance(stage, _DICTS)}
  anew = {path[-1] for stage in stages.values() for path, _ in _named(stage.get('data', {}), NAMES, ())}
  old = _in_networks(before)
  new = _in_networks({**numbers(config), **{name: before[name] for name in before.keys() & anew}})
  changed = {name: value for name, value in new.items() if old.get(name, value) != value}
  games: list[Path] = [('game',), *(('stages', i, 'game') for i in stages)]
  followed = []
  for path, value in [found for game in games for found in _named(_at(config, game), changed, game)] if changed else ():
    inner = path[path.index('game') + 1 :]
    own = inner[0] == 'latents' and inner != ('latents', 'label', 'classes')
    if value == old[path[-1]] and not own and not any(path[: len(some)] == some for some in given):
      _at(config, path[:-1])[path[-1]] = changed[path[-1]]
      followed.append(f'{_shown(path)}={changed[path[-1]]}')
  return [f'note: as the data have it, too: {", ".join(followed)}'] if followed else []


_DICTS = (Mapping, ml_collections.ConfigDict)


def _in_networks(found: Mapping[str, int]) -> dict[str | int, Any]:
  """{what networks call it: its value}; the `shape` of a picture is made of two of them."""
  named: dict[str | int, Any] = {name: found[setting] for setting in found for name in NAMES[setting]}
  if 'size' in found and 'channels' in found:
    named['shape'] = (found['size'], found['size'], found['channels'])
  return named


def _named(here: Any, names: Collection[str | int], path: Path) -> Iterator[tuple[Path, Any]]:
  """(path, value) of the settings of some names below a path."""
  if isinstance(here, _DICTS):
    for key in here:
      yield from [((*path, key), here[key])] if key in names else _named(here[key], names, (*path, key))
  elif isinstance(here, tuple | list):
    for i, entry in enumerate(here):
      yield from _named(entry, names, (*path, i))


def _at(here: Any, path: Path) -> Any:
  """What is at a path; {} where there is nothing."""
  for part in path:
    here = here.get(part, {}) if isinstance(part, str) else here[part]
  return here


def _shown(path: Path) -> str:
  """
  >>> _shown(('game', 'generators', 0, 'shape'))
  'config.game.generators[0].shape'
  """
  return 'config' + ''.join(f'[{part}]' if isinstance(part, int) else f'.{part}' for part in path)
