"""The order of examples: a pure function of (seed, stream, epoch), the same for sets on the device and on the host."""

import functools
import zlib
from collections.abc import Callable

import numpy as np

from gan_jax.base.errors import UserError


class Shares:
  """How often each example of a set is drawn, in proportion.

  Args:
    weights: (N,) finite, at least 0, not all 0.

  Raises:
    UserError: they are not.
  """

  def __init__(self, weights: np.ndarray):
    weights = np.asarray(weights, np.float64)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
      raise UserError(f'weights from {weights.min():g} to {weights.max():g} must be finite, at least 0, and not all 0')
    self._bounds = np.cumsum(weights) / weights.sum()
    self._last = int(np.flatnonzero(weights)[-1])

  def epoch(self, random: np.random.RandomState) -> np.ndarray:
    """(N,) the draws of one epoch: each example as often as its share of N says, rounded up or down."""
    count = len(self._bounds)
    points = (np.arange(count) + random.random_sample()) / count
    chosen = np.minimum(np.searchsorted(self._bounds, points, side='right'), self._last)
    shuffled: np.ndarray = chosen[random.permutation(count)]
    return shuffled


@functools.lru_cache(maxsize=1024)
def _epochs(seed: int, stream: str, size: int, shares: Shares | None = None) -> Callable[[int], np.ndarray]:
  """A function epoch -> order, for one stream. It keeps the last two orders, because a batch may span two epochs.

  Every stream and seed has its own cache. With one common cache, a population of many seeds would lose each order
  before it is used again.
  """

  @functools.lru_cache(maxsize=2)
  def of(epoch: int) -> np.ndarray:
    random = np.random.RandomState([seed % 2**32, zlib.crc32(stream.encode()), epoch % 2**32])
    order = random.permutation(size) if shares is None else shares.epoch(random)
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


def indices(seed: int, stream: str, size: int, start: int, count: int, shares: Shares | None = None) -> np.ndarray:
  """The examples at positions start ... start + count - 1 of the endless sequence of epochs.

  Args:
    seed: the seed of the order.
    stream: the name of the stream; two streams of one set have different orders.
    size: the number of examples in the set.
    start: the number of examples that all processes together have drawn before.
    count: the number of examples to return.
    shares: how often each is drawn; None for once an epoch.

  Returns:
    (count,) int64, the numbers of the examples.

  >>> indices(0, 'images', 5, 3, 4).shape
  (4,)
  """
  parts = []
  while count > 0:
    epoch, offset = divmod(start, size)
    part = _epochs(seed, stream, size, shares)(epoch)[offset : offset + count]
    parts.append(part)
    start, count = start + len(part), count - len(part)
  return np.concatenate(parts) if parts else np.zeros((0,), np.int64)
