"""What a run remembers of its examples, so that it can be sampled where the data are not."""

import contextlib
import contextvars
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

Fields = dict[str, jax.ShapeDtypeStruct]
_known: contextvars.ContextVar[Mapping[tuple[str, ...], Fields] | None] = contextvars.ContextVar('known', default=None)


def _key(stream: 'Stream') -> tuple[str, ...]:
  """What the fields of an example follow from; the first three alone are the key in older files."""
  sizes = stream.size, stream.random_crop, stream.channels, stream.classes
  return (stream.name, stream.path, stream.split, *map(str, sizes), *map(str, stream.columns.items()))


def note(stream: 'Stream') -> dict[str, Any]:
  """The fields of one stored example of a stream, for a JSON file."""
  fields = {name: [list(s.shape[1:]), np.dtype(s.dtype).name] for name, s in stream.stored(1).items()}
  return {'stream': list(_key(stream)), 'fields': fields}


@contextlib.contextmanager
def remembering(notes: Iterable[Mapping[str, Any]]) -> Iterator[None]:
  """While it lasts, streams have the examples that `note` noted, whatever their data have become."""
  struct = lambda shape, dtype: jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype))
  known = {tuple(n['stream']): {name: struct(*field) for name, field in n['fields'].items()} for n in notes}
  token = _known.set(known)
  try:
    yield
  finally:
    _known.reset(token)


def recall(stream: 'Stream') -> Fields | None:
  """The fields of one stored example; None if nothing is known of the stream."""
  known, key = _known.get() or {}, _key(stream)
  return known.get(key)


def recall_older(stream: 'Stream') -> Fields | None:
  """The same of a run of an older version, whose notes do not say with which sizes and columns."""
  return (_known.get() or {}).get(_key(stream)[:3])
