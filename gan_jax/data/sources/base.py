"""A source has a length, and gives the fields of example i as numpy arrays."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from gan_jax.base.errors import UserError


class Source(Protocol):
  """Random access to examples.

  Example i is a dict. 'image' is a picture, a volume, a sequence or a point: the game learns to generate it. 'label' is
  its class, if config.data.classes is not 0.
  """

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...


class ArraySource:
  """A source of arrays in memory.

  Attributes:
    arrays: {field: (N, ...)}.
  """

  def __init__(self, arrays: Mapping[str, np.ndarray]):
    self.arrays = dict(arrays)

  def __len__(self) -> int:
    return len(next(iter(self.arrays.values())))

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    return {name: array[index] for name, array in self.arrays.items()}


class Table:
  """Columns in memory.

  Attributes:
    columns: {column: what it is, in words}.
    identity: of all values, for a fingerprint.
  """

  def __init__(self, arrays: Mapping[str, Sequence[Any] | np.ndarray]):
    self._arrays = dict(arrays)
    self.columns = {
      name: f'{array.dtype} {array.shape[1:]}' if isinstance(array, np.ndarray) else 'a column'
      for name, array in self._arrays.items()
    }

  def __len__(self) -> int:
    return len(next(iter(self._arrays.values())))

  def __getitem__(self, index: int) -> dict[str, Any]:
    return {name: array[index] for name, array in self._arrays.items()}

  @functools.cached_property
  def identity(self) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(self._arrays.items()):
      digest.update(f'{name} {self.columns[name]}'.encode())
      if isinstance(values, np.ndarray) and not values.dtype.hasobject and values.size:
        digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)  # no copy
        continue
      for value in values:
        whole = isinstance(value, np.ndarray) and not value.dtype.hasobject
        digest.update(value.tobytes() if whole else repr(value).encode('utf-8', 'replace'))
    return digest.hexdigest()

  def column(self, name: str) -> Sequence[Any] | np.ndarray:
    return self._arrays[name]


class Subset:
  """Some examples of a source.

  Attributes:
    source: the whole source.
    chosen: (n,) the numbers of the examples in the subset.
    notes: of the whole source.
  """

  def __init__(self, source: Source, chosen: np.ndarray):
    self.source, self.chosen = source, chosen
    self.notes = tuple(getattr(source, 'notes', ()))

  def __len__(self) -> int:
    return len(self.chosen)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    return self.source[int(self.chosen[index])]


def per_class(source: Source, count: int, seed: int) -> Source:
  """`count` examples of each class, for the labelled stream of semi-supervised training.

  Args:
    source: a source with labels.
    count: examples per class.
    seed: the same seed chooses the same examples.

  Raises:
    UserError: the source has no labels, or a class has fewer examples.

  >>> chosen = per_class(ArraySource({'label': np.array([0, 1, 0, 1, 0])}), 2, 0)
  >>> [int(chosen[i]['label']) for i in range(4)]
  [0, 0, 1, 1]
  """
  labels = labels_of(source)
  chosen = []
  for label in np.unique(labels):
    members = np.flatnonzero(labels == label)
    if len(members) < count:
      raise UserError(f'config.data.per_class={count} but class {label} has {len(members)} examples: ask for fewer')
    chosen.append(np.random.RandomState([seed % 2**32, int(label)]).permutation(members)[:count])
  return Subset(source, np.concatenate(chosen))


def labels_of(source: Source) -> np.ndarray:
  """(N,) the labels of all examples.

  Raises:
    UserError: the source has none.
  """
  if isinstance(source, ArraySource):
    if 'label' not in source.arrays:
      raise UserError('this needs labels: set config.data.classes to the number of classes')
    return source.arrays['label']
  labels = getattr(source, 'labels', None)
  if callable(labels):
    return np.asarray(labels())
  rows = [source[i] for i in range(len(source))]
  if rows and 'label' not in rows[0]:
    raise UserError('this needs labels: set config.data.classes to the number of classes')
  return np.array([row['label'] for row in rows])


def into_memory(source: Source, limit: int, threads: int = 2) -> ArraySource | None:
  """The whole source as arrays, or None if it needs more than `limit` bytes."""
  first = source[0]
  if len(source) * sum(np.asarray(value).nbytes for value in first.values()) > limit:
    return None
  if isinstance(source, ArraySource):
    return source
  arrays = {name: np.empty((len(source), *np.shape(value)), np.asarray(value).dtype) for name, value in first.items()}

  def read(i: int) -> None:
    for name, value in source[i].items():
      arrays[name][i] = value

  import concurrent.futures

  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for _ in pool.map(read, range(len(source)), chunksize=64):
      pass
  return ArraySource(arrays)
