"""Sources give examples. `open_source` opens one by its name."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.data.sources import remembered
from gan_jax.data.sources.base import ArraySource, Source, Subset, into_memory, labels_of, per_class
from gan_jax.data.sources.builtin import BUILT_IN, POINTS
from gan_jax.data.sources.checked import Checked, check_range, checked, extent
from gan_jax.data.sources.folder import class_names_in
from gan_jax.data.sources.identity import classes_in, content, fingerprint
from gan_jax.data.sources.made import is_made
from gan_jax.data.sources.transformed import transform_of, transformed

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: Folders within folders of a set in which changes are noticed: splits, columns, classes.
DEEP = 4

__all__ = [
  'ArraySource',
  'Checked',
  'Source',
  'Subset',
  'check_range',
  'class_names_in',
  'classes_in',
  'content',
  'example',
  'extent',
  'fingerprint',
  'has_arrays',
  'into_memory',
  'labels_of',
  'open_source',
  'per_class',
  'remark',
]


def open_source(stream: 'Stream') -> Source:
  """Opens the source that a stream names.

  Args:
    stream: its name is a built-in set (digits, ring, grid, line, spirals), 'folder' or 'npz' (with its path),
      'stacked/', 'edges/' or 'negatives/' and the name of another set, the dotted name of a function of yours, which
      takes the stream and returns a source, or a TFDS name.

  Raises:
    UserError: the source does not exist, or it does not fit the settings.
  """
  # Settings that do not change the stored examples are left out, so that two streams of one set open it once.
  key = _stored(stream)
  source = _open(key, _there(key))
  remark(stream)
  return source


def remark(stream: 'Stream') -> str | None:
  """A line of text if the values of float examples do not fit the stream's range well; else None.

  Raises:
    UserError: the examples are pictures of floats outside the range.
  """
  if stream.columns or not (stream.name == 'npz' or _is_dotted(stream.name)):
    return None
  key = _stored(stream)
  return check_range(stream, example(stream)['image'].shape, _extent(key, _there(key)))


def _stored(stream: 'Stream') -> 'Stream':
  # With `values`, floats are scaled to the range when they are read; bytes are scaled on the device.
  limits = (0.0, 1.0) if stream.values is None else stream.range
  return dataclasses.replace(
    stream, range=limits, flip=False, batch_size=1, seed=0, weights='', resident=None, workers=0
  )


def _there(stream: 'Stream') -> tuple[Any, ...]:
  """What is known at once of the files of a stream: when they change, its source is opened anew."""
  if not stream.path:
    return (os.environ.get('TFDS_DATA_DIR'),)
  split = stream.split.partition('[')[0]
  path = os.path.abspath(str(paths.expand(stream.path.replace('{split}', split))))
  found: list[Any] = [path]
  parts = [(), ('metadata.csv',), ('metadata.jsonl',)]
  for place in (os.path.join(path, *of, *part) for of in ((), (split,)) for part in parts):
    with contextlib.suppress(OSError, ValueError):
      stat = os.stat(place)
      found += [stat.st_size, stat.st_mtime_ns]
  return (*found, *_times(os.path.realpath(path), DEEP, ()))


def _times(path: str, deep: int, above: tuple[str, ...]) -> Iterator[int]:
  """The times at which files came into the folders below one, or left them, or were named anew."""
  with contextlib.suppress(OSError, ValueError):
    changed = os.stat(path).st_mtime_ns
    yield changed
    if deep and path not in above:
      if _folders.get(path, (0, ()))[0] != changed:
        _folders[path] = changed, _folders_in(path)
      for inner in _folders[path][1]:
        yield from _times(inner, deep - 1, (*above, path))


#: {folder: (when it changed, the folders in it then, links by where they lead)}.
_folders: dict[str, tuple[int, tuple[str, ...]]] = {}


def _folders_in(path: str) -> tuple[str, ...]:
  if not os.path.isdir(path):
    return ()
  with os.scandir(path) as entries:
    inner = [entry for entry in entries if entry.is_dir() and not entry.name.startswith('.')]
    return tuple(sorted(os.path.realpath(entry) if entry.is_symlink() else entry.path for entry in inner))


@functools.lru_cache(maxsize=8)
def _extent(stream: 'Stream', there: tuple[Any, ...]) -> tuple[float, float] | None:
  return extent(_open(stream, there))


@functools.lru_cache(maxsize=8)
def _open(stream: 'Stream', there: tuple[Any, ...]) -> Source:
  if stream.columns:
    from gan_jax.data.sources.columned import columned

    source: Source = columned(stream)
  else:
    source = _named(stream)
    if stream.name != 'folder':  # whose pictures are decoded to bytes, and whose labels are numbered here
      source = checked(source, stream)
  if stream.per_class:
    return per_class(source, stream.per_class, stream.per_class_seed)
  return source


def has_arrays(name: str) -> bool:
  """Whether a set is built in, or made of another's pictures: it is in memory, with 'image' and 'label' only."""
  return name in BUILT_IN or bool(transform_of(name)[0]) or name.startswith('stacked/')


def _is_dotted(name: str) -> bool:
  return '.' in name and '/' not in name


def _named(stream: 'Stream') -> Source:
  if stream.name in BUILT_IN:
    return BUILT_IN[stream.name](stream)
  if stream.name in ('lines', 'midi') or is_made(stream.name):
    raise UserError(
      f"config.data.name={stream.name!r} has columns only: set config.data.columns, such as {{'tones': {{'name': "
      "'Tones', 'length': 100}}}, {'tokens': {'name': 'Array'}}, or for texts {'tokens': {'name': 'Text', 'column': "
      "'text', 'length': 20, 'level': 'words'}}"
    )
  if stream.name == 'folder':
    from gan_jax.data.sources.folder import FolderSource

    return FolderSource(stream)
  if stream.name == 'npz':
    from gan_jax.data.sources.npz import npz

    return npz(stream)
  if transform_of(stream.name)[0]:
    return transformed(stream)
  if stream.name.startswith('stacked/'):
    from gan_jax.data.sources.stacked import stacked

    return stacked(stream)
  if _is_dotted(stream.name):
    from gan_jax.base.calls import resolve

    return resolve(stream.name, where='config.data.name')(stream)
  from gan_jax.data.sources.prepared import PreparedSource

  return PreparedSource(stream)


def _declared(stream: 'Stream') -> dict[str, jax.ShapeDtypeStruct] | None:
  """The fields of a stored example as the columns declare them, where the files are not on this machine."""
  split = stream.split.partition('[')[0]
  if not stream.columns or (stream.path and paths.expand(stream.path.replace('{split}', split)).exists()):
    return None  # what is there says more: that a column is missing, say
  forms = {field: getattr(kind, 'form', None) for field, kind in stream.kinds.items()}
  known = {field: form for field, form in forms.items() if form is not None}
  return known if len(known) == len(forms) else None


def example(stream: 'Stream') -> dict[str, jax.ShapeDtypeStruct]:
  """The fields of one stored example: those of a run's notes, what they always are for the stream, or of the data."""
  if stream.columns or stream.name == 'npz' or _is_dotted(stream.name):
    key = _stored(stream)
    known = remembered.recall(stream)  # of a finished run, whose data may be others by now
    if known is not None:
      return known
    try:
      first = _open(key, _there(key))[0]
    except UserError:
      known = remembered.recall_older(stream) or _declared(stream)
      if known is None:
        raise
      return known
    return {name: jax.ShapeDtypeStruct(np.shape(value), value.dtype) for name, value in first.items()}
  fields = {'image': jax.ShapeDtypeStruct((stream.stored_size, stream.stored_size, stream.channels), np.uint8)}
  if stream.name == 'solids':
    fields = {'image': jax.ShapeDtypeStruct((*[stream.size] * 3, 1), np.uint8)}
  if stream.name in POINTS:
    fields = {'image': jax.ShapeDtypeStruct((POINTS[stream.name],), np.float32)}
  if stream.classes:
    fields['label'] = jax.ShapeDtypeStruct((), np.int32)
  return fields
