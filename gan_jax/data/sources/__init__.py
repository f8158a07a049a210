"""Sources: where examples come from. `open_source` finds one by its name."""

import dataclasses
import functools
from typing import TYPE_CHECKING

import jax
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.data.sources.base import ArraySource, Source, Subset, into_memory, labels_of, per_class
from gan_jax.data.sources.builtin import BUILT_IN, POINTS
from gan_jax.data.sources.identity import classes_in, fingerprint
from gan_jax.data.sources.transformed import transform_of, transformed

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

__all__ = [
  'ArraySource',
  'Source',
  'Subset',
  'classes_in',
  'example',
  'fingerprint',
  'into_memory',
  'labels_of',
  'open_source',
  'per_class',
]


def open_source(stream: 'Stream') -> Source:
  """Opens the source that a stream names.

  Args:
    stream: its name is a built-in set (digits, ring, grid, line, spirals), 'folder' or 'npz' (with its path),
      'stacked/', 'edges/' or 'negatives/' and the name of another, a function of yours by its dotted name, which takes
      the stream and returns a source, or a TFDS name.

  Raises:
    UserError: it is not there, or lacks what is asked of it.
  """
  # What does not change the stored examples is put aside, so that two streams of one set open it once.
  return _open(
    dataclasses.replace(stream, range=(0.0, 1.0), flip=False, batch_size=1, seed=0, resident=None, workers=0)
  )


@functools.lru_cache(maxsize=8)
def _open(stream: 'Stream') -> Source:
  source = _named(stream)
  if len(source) == 0:
    raise UserError(f'data set {stream.name!r} has no examples in split {stream.split!r}')
  if stream.classes and isinstance(source, ArraySource):
    low, high = int(source.arrays['label'].min()), int(source.arrays['label'].max())
    if low < 0 or high >= stream.classes:
      raise UserError(f'config.data.classes={stream.classes} but labels of {stream.name!r} run from {low} to {high}')
  if stream.per_class:
    return per_class(source, stream.per_class, stream.per_class_seed)
  return source


def _is_dotted(name: str) -> bool:
  return '.' in name and '/' not in name


def _named(stream: 'Stream') -> Source:
  if stream.name in BUILT_IN:
    return BUILT_IN[stream.name](stream)
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

    return resolve(stream.name)(stream)
  from gan_jax.data.sources.prepared import PreparedSource

  return PreparedSource(stream)


def example(stream: 'Stream') -> dict[str, jax.ShapeDtypeStruct]:
  """The fields of one stored example; known without opening the source where they always are the stream's."""
  if stream.name == 'npz' or _is_dotted(stream.name):
    first = {name: np.asarray(value) for name, value in open_source(stream)[0].items()}
    return {name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in first.items()}
  fields = {'image': jax.ShapeDtypeStruct((stream.stored_size, stream.stored_size, stream.channels), np.uint8)}
  if stream.name in POINTS:
    fields = {'image': jax.ShapeDtypeStruct((POINTS[stream.name],), np.float32)}
  if stream.classes:
    fields['label'] = jax.ShapeDtypeStruct((), np.int32)
  return fields
