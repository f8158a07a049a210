"""Improved precision and recall, density and coverage: do samples lie where data lie, and data where samples lie.

All four take the union of balls around points, each reaching to its k-th neighbour, for the support of a set. They are
computed in float64, block by block: a borderline example must not change sides by rounding.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gan_jax.metrics.checks import check_finite

#: Rows of a block of distances.
BLOCK = 512


class Manifolds(NamedTuple):
  """
  Attributes:
    precision: share of generated examples within the real manifold.
    recall: share of real examples within the generated manifold.
    density: real balls that a generated example lies in, divided by k; 1 is expected for equal distributions.
    coverage: share of real balls with a generated example in them.
  """

  precision: float
  recall: float
  density: float
  coverage: float


def _blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
  """(rows, squared distances (rows, len(y))) for blocks of rows of x."""
  squares = np.einsum('ij,ij->i', y, y)
  rounding = 8 * np.finfo(np.float64).eps * x.shape[1] ** 0.5
  for start in range(0, len(x), BLOCK):
    rows = slice(start, min(start + BLOCK, len(x)))
    part = x[rows]
    lengths = np.einsum('ij,ij->i', part, part)[:, None] + squares[None]
    distances = lengths - 2 * (part @ y.T)
    # Rounding can leave a small positive number between equal examples; it is set to 0.
    yield rows, np.where(distances > rounding * lengths, distances, 0.0)


def radii(x: np.ndarray, k: int) -> np.ndarray:
  """(N,) squared distance of each example to its k-th neighbour, itself not counted.

  >>> radii(np.array([[0.0], [1.0], [3.0]]), 1).tolist()
  [1.0, 1.0, 4.0]
  """
  squared = np.empty(len(x))
  for rows, distances in _blocks(np.asarray(x, np.float64), np.asarray(x, np.float64)):
    # Its own distance is 0 by definition; cancellation must not leave it behind that of a near neighbour.
    distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = 0.0
    squared[rows] = np.partition(distances, k, axis=1)[:, k]
  return squared


def crowded(x: np.ndarray, k: int) -> float:
  """The share of examples with k or more copies in the set. Their balls have radius 0, so nothing lies in them.

  >>> crowded(np.array([[0.0], [0.0], [0.0], [1.0]]), 2)
  0.75
  """
  counts = np.unique(x, axis=0, return_counts=True)[1]
  return float(counts[counts > k].sum() / len(x))


def manifolds(real: np.ndarray, fake: np.ndarray, *, k: int = 5) -> Manifolds:
  """Precision, recall, density and coverage with balls that reach to the k-th neighbour.

  Source: Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991, eq. 1 to 3 (precision, recall); Naeem et al. 2020,
  https://arxiv.org/abs/2002.09797, eq. 3 to 5 (density, coverage).
  differs: a ball is open, as in the code of Naeem et al., so that density of a set with itself is 1. The ball of an
  example that has k equal ones is empty (`crowded`).

  Args:
    real: (M, n) features.
    fake: (K, n) features.
    k: neighbours; Naeem et al. use 5, Kynkaanniemi et al. 3.

  Raises:
    ValueError: a set has no k-th neighbour.
    UserError: a feature is not finite.

  Returns:
    The shares; NaN for precision, density and coverage if all real balls are empty.

  >>> x = np.random.RandomState(0).randn(100, 3)
  >>> manifolds(x, x)
  Manifolds(precision=1.0, recall=1.0, density=1.0, coverage=1.0)
  """
  if min(len(real), len(fake)) <= k:
    raise ValueError(f'manifolds: k={k} needs more than {k} examples of each, got {len(real)} and {len(fake)}')
  check_finite(real=real, generated=fake)
  real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
  # About one of them, so that equal examples are at a distance of exactly 0 wherever they lie.
  real, fake = real - real[:1], fake - real[:1]
  real_radii, fake_radii = radii(real, k), radii(fake, k)
  inside = np.zeros(len(fake), np.int64)  # real balls that each generated example lies in
  recalled = covered = 0
  for rows, distances in _blocks(real, fake):
    within = distances < real_radii[rows, None]
    inside += within.sum(0)
    covered += int(within.any(1).sum())
    recalled += int((distances < fake_radii[None]).any(1).sum())
  defined = 1.0 if real_radii.any() else np.nan  # NaN if every real ball is empty
  return Manifolds(
    precision=defined * float((inside > 0).mean()),
    recall=recalled / len(real),
    density=defined * float(inside.mean() / k),
    coverage=defined * covered / len(real),
  )
