"""The order of examples: a pure function of (seed, stream, epoch), the same for sets on the device and on the host."""

import functools
import zlib
from collections.abc import Callable

import numpy as np


@functools.lru_cache(maxsize=1024)
def _epochs(seed: int, stream: str, size: int) -> Callable[[int], np.ndarray]:
  """A function epoch -> order, for one stream. It keeps the last two orders, because a batch may span two epochs.

  Every stream and seed has its own cache. With one common cache, a population of many seeds would lose each order
  before it is used again.
  """

  @functools.lru_cache(maxsize=2)
  def of(epoch: int) -> np.ndarray:
    order = np.random.RandomState([seed % 2**32, zlib.crc32(stream.encode()), epoch % 2**32]).permutation(size)
    order.setflags(write=False)
    return order

  return of


def permutation(seed: int, stream: str, epoch: int, size: int) -> np.ndarray:
  """The order of one epoch: a permutation of 0 ... size - 1, int64.

  numpy guarantees that `RandomState` gives the same numbers in all versions. So a resumed run has the same order under
  another version of numpy.

  >>> bool((np.sort(permutation(0, 'images', 1, 5)) == np.arange(5)).all())
  True
  """
  return _epochs(seed, stream, size)(epoch)


def indices(seed: int, stream: str, size: int, start: int, count: int) -> np.ndarray:
  """The examples at positions start ... start + count - 1 of the endless sequence of epochs.

  Args:
    seed: the seed of the order.
    stream: the name of the stream; two streams of one set have different orders.
    size: the number of examples in the set.
    start: the number of examples that all processes together have drawn before.
    count: the number of examples to return.

  Returns:
    (count,) int64, the numbers of the examples.

  >>> indices(0, 'images', 5, 3, 4).shape
  (4,)
  """
  parts = []
  while count > 0:
    epoch, offset = divmod(start, size)
    part = permutation(seed, stream, epoch, size)[offset : offset + count]
    parts.append(part)
    start, count = start + len(part), count - len(part)
  return np.concatenate(parts) if parts else np.zeros((0,), np.int64)
