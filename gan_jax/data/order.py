"""The order of examples: one pure function of (seed, stream, epoch), for the host and the device path alike."""

import functools
import zlib
from collections.abc import Callable

import numpy as np


@functools.lru_cache(maxsize=1024)
def _epochs(seed: int, stream: str, size: int) -> Callable[[int], np.ndarray]:
  """The order of each epoch of one stream, of which the last two are kept: a batch may end one and begin the next.

  One cache for all streams would forget every order before it is asked for again where a population has many seeds.
  """

  @functools.lru_cache(maxsize=2)
  def of(epoch: int) -> np.ndarray:
    order = np.random.RandomState([seed % 2**32, zlib.crc32(stream.encode()), epoch % 2**32]).permutation(size)
    order.setflags(write=False)
    return order

  return of


def permutation(seed: int, stream: str, epoch: int, size: int) -> np.ndarray:
  """The order of one epoch: a permutation of 0 ... size - 1, int64.

  numpy keeps the numbers of `RandomState` fixed for ever, so a run resumed under another version goes on in the same
  order.

  >>> bool((np.sort(permutation(0, 'images', 1, 5)) == np.arange(5)).all())
  True
  """
  return _epochs(seed, stream, size)(epoch)


def indices(seed: int, stream: str, size: int, start: int, count: int) -> np.ndarray:
  """The examples at positions start ... start + count - 1 of the endless stream of epochs.

  Args:
    seed: of the order.
    stream: the stream's name; two streams of one set have different orders.
    size: of the set.
    start: examples drawn before, over all processes.
    count: how many.

  Returns:
    (count,) int64.

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
