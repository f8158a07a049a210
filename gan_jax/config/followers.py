"""Numbers of the data that the networks must know, too: given once, for the data, they are set for both."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import ml_collections

Path = tuple[str | int, ...]


def numbers(config: Mapping[str, Any]) -> dict[str, int]:
  """{'classes', 'channels', 'size': its value in the streams}, of those that are above 0 and alike in all streams.

  A stream without classes has none to differ by.

  >>> data = {'a': {'name': 'x', 'classes': 10, 'channels': 3}, 'b': {'name': 'y', 'classes': 0, 'channels': 1}}
  >>> numbers({'data': data})
  {'classes': 10}
  """
  data = config.get('data', {})
  streams = [data] if 'name' in data else list(data.values())
  found = {setting: {stream.get(setting, 0) for stream in streams} - {0, None} for setting in _NAMES}
  return {setting: values.pop() for setting, values in found.items() if len(values) == 1}


def follow(config: ml_collections.ConfigDict, before: Mapping[str, int], given: Collection[Path]) -> None:
  """Sets, where a number of the data has changed, the settings of the game that were equal to it.

  Settings that were given stay, and so do parts of the latents other than the label: how many codes or makers there are
  is no matter of the data.

  Args:
    config: it is changed.
    before: `numbers` of the config before.
    given: paths that somebody has set.
  """
  old, new = _in_networks(before), _in_networks(numbers(config))
  changed = {name: value for name, value in new.items() if old.get(name, value) != value}
  for path, value in list(_named(config['game'], changed, ('game',))) if changed else ():
    name = path[-1]
    own = path[1] == 'latents' and path[2:] != ('label', 'classes')
    if value == old[name] and not own and not any(path[: len(some)] == some for some in given):
      _set(config, path, changed[name])


#: {setting of a stream: what networks call it}.
_NAMES = {'classes': ('classes',), 'channels': ('image_channels', 'out_channels'), 'size': ('size', 'resolution')}


def _in_networks(found: Mapping[str, int]) -> dict[str | int, Any]:
  """{what networks call it: its value}; the `shape` of a picture is made of two of them."""
  named: dict[str | int, Any] = {name: found[setting] for setting in found for name in _NAMES[setting]}
  if 'size' in found and 'channels' in found:
    named['shape'] = (found['size'], found['size'], found['channels'])
  return named


def _named(here: Any, names: Collection[str | int], path: Path) -> Iterator[tuple[Path, Any]]:
  """(path, value) of the settings of some names below a path."""
  if hasattr(here, 'keys'):
    for key in here:
      yield from [((*path, key), here[key])] if key in names else _named(here[key], names, (*path, key))
  elif isinstance(here, tuple | list):
    for i, entry in enumerate(here):
      yield from _named(entry, names, (*path, i))


def _set(here: Any, path: Path, value: Any) -> None:
  for part in path[:-1]:
    here = here[part]
  here[path[-1]] = value
