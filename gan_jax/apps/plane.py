"""Points of the plane: sets to choose from, drawings, and how far two sets are apart."""

from collections.abc import Callable

import numpy as np
from scipy.special import rel_entr

from gan_jax.base.errors import UserError, one_of
from gan_jax.data import sets
from gan_jax.data.sources.builtin import POINTS
from gan_jax.data.streams import Stream

#: The part of the plane that is seen: -EXTENT to EXTENT.
EXTENT = 1.5
#: Points of a set; cells a side of the divergence.
SET, BINS = 4000, 24


def _blob(random: np.random.RandomState, count: int) -> np.ndarray:
  return 0.25 * random.randn(count, 2)


def _two(random: np.random.RandomState, count: int) -> np.ndarray:
  return np.where(random.rand(count, 1) < 0.5, -0.7, 0.7) * [[1.0, 0.6]] + 0.12 * random.randn(count, 2)


def _circle(random: np.random.RandomState, count: int) -> np.ndarray:
  angle = 2 * np.pi * random.rand(count)
  return np.stack([np.cos(angle), np.sin(angle)], -1) + 0.03 * random.randn(count, 2)


MADE: dict[str, Callable[[np.random.RandomState, int], np.ndarray]] = {
  'one Gaussian': _blob,
  'two Gaussians': _two,
  'circle': _circle,
}
#: The sets that can be chosen: the library's of the plane, and those above.
DISTRIBUTIONS = (*(name for name, size in POINTS.items() if size == 2), *MADE)


def points_of(distribution: str, count: int = SET) -> np.ndarray:
  """(count, 2) float32 points of a set.

  >>> points_of('ring', 8).shape
  (8, 2)
  """
  if distribution in MADE:
    return MADE[distribution](np.random.RandomState(0), count).astype(np.float32)
  if distribution not in DISTRIBUTIONS:
    raise one_of('distribution', distribution, DISTRIBUTIONS)
  points: np.ndarray = sets.examples(Stream(name=distribution), count)[0]
  return points


def points_of_drawing(ink: np.ndarray, count: int = SET, seed: int = 0) -> np.ndarray:
  """(count, 2) float32 points where a drawing has ink, as often as there is ink.

  Args:
    ink: (H, W), 0 for none; the picture is the square from -1.3 to 1.3.
    count: points.
    seed: of the choice.

  Raises:
    UserError: there is no ink.

  >>> ink = np.zeros((4, 4)); ink[0, 3] = 1  # the corner above, to the right
  >>> (points_of_drawing(ink, 5) > 0.6).all().item()
  True
  """
  weights = np.asarray(ink, np.float64)
  if not weights.any():
    raise UserError('the drawing is empty: draw where the data should be')
  random = np.random.RandomState(seed)
  places = random.choice(weights.size, count, p=weights.ravel() / weights.sum())
  rows, columns = np.divmod(places, weights.shape[1])
  inside = random.rand(2, count)
  x, y = (columns + inside[0]) / weights.shape[1], 1 - (rows + inside[1]) / weights.shape[0]
  return (1.3 * (2 * np.stack([x, y], -1) - 1)).astype(np.float32)


def divergence(one: np.ndarray, other: np.ndarray) -> float:
  """Jensen-Shannon divergence of two sets of points, nats, of their shares in 24 x 24 cells; at most log 2 = 0.693.

  What lies outside of the plane that is seen counts in the cells at its edge. Few points in many cells differ by
  chance: two halves of 4,000 points of these sets are 0.004 to 0.02 apart.

  >>> round(divergence(np.zeros((4, 2)), np.ones((4, 2))), 3), divergence(np.ones((4, 2)), np.ones((2, 2)))
  (0.693, 0.0)
  """
  edges = np.linspace(-EXTENT, EXTENT, BINS + 1)
  inside = lambda x: np.clip(np.asarray(x, np.float64), -EXTENT, EXTENT)
  p, q = (np.histogramdd(inside(x), [edges, edges])[0].ravel() / len(x) for x in (one, other))
  middle = (p + q) / 2
  return float(rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / 2
