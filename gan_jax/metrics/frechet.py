"""Frechet distance between Gaussians, and the mean and covariance it needs, gathered from a stream of batches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError


class Moments(NamedTuple):
  """Count, mean and scatter of features, in float64 on the host.

  Attributes:
    examples: how many.
    mean: (n,).
    scatter: (n, n), the sum of (x - mean)(x - mean)'.
  """

  examples: int
  mean: np.ndarray
  scatter: np.ndarray

  @property
  def covariance(self) -> np.ndarray:
    """(n, n), unbiased."""
    return self.scatter / max(self.examples - 1, 1)

  def merge(self, other: 'Moments') -> 'Moments':
    """The moments of both sets together.

    Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.

    >>> both = moments(np.array([[1.0]])).merge(moments(np.array([[3.0]])))
    >>> both.examples, float(both.mean[0]), float(both.covariance[0, 0])
    (2, 2.0, 2.0)
    """
    count = self.examples + other.examples
    if not count:
      return self
    shift = other.mean - self.mean
    mean = self.mean + shift * (other.examples / count)
    between = np.outer(shift, shift) * (self.examples * other.examples / count)
    return Moments(count, mean, self.scatter + other.scatter + between)


def moments(features: np.ndarray) -> Moments:
  """The moments of features (N, n), in float64.

  >>> moments(np.array([[0.0, 1.0], [2.0, 1.0]])).covariance.tolist()
  [[2.0, 0.0], [0.0, 0.0]]
  """
  features = np.asarray(features, np.float64)
  if features.ndim != 2:
    raise UserError(f'features of shape {features.shape}: give (N, n), a row for each example')
  mean = features.mean(0)
  centred = features - mean
  return Moments(len(features), mean, centred.T @ centred)


def batch_moments(features: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """What `to_moments` needs of one batch, in float32 on its device; sharded batches are summed over all devices.

  Centred before squaring, so that a mean much larger than the deviation costs nothing.

  Args:
    features: (B, n).
    valid: (B,), 0 for rows of padding and 1 for others.

  Returns:
    (count, mean (n,), what rounding left in the mean (n,), scatter (n, n)).
  """
  features, valid = features.astype(jnp.float32), valid.astype(jnp.float32)
  count = valid.sum()
  divisor = jnp.maximum(count, 1.0)
  mean = (features * valid[:, None]).sum(0) / divisor
  centred = (features - mean[None]) * valid[:, None]
  scatter = jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST)
  return count, mean, centred.sum(0) / divisor, scatter


def to_moments(parts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> Moments:
  """The moments of a batch from what `batch_moments` gave."""
  count, mean, rest, scatter = (np.asarray(part, np.float64) for part in parts)
  return Moments(int(count), mean + rest, scatter - count * np.outer(rest, rest))


def _root(covariance: np.ndarray, rank: int) -> np.ndarray:
  """A such that A A' = covariance; directions without variance, and all but the `rank` largest, are exactly zero."""
  values, vectors = np.linalg.eigh(covariance)
  # What a covariance of less than full rank has there is rounding, of which a root would make a thousand times as much.
  floor = len(values) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
  possible = np.arange(len(values)) >= len(values) - rank
  return vectors * np.sqrt(np.where((values > floor) & possible, values, 0.0))


def frechet_distance(
  mean: np.ndarray,
  covariance: np.ndarray,
  other_mean: np.ndarray,
  other_covariance: np.ndarray,
  *,
  ranks: tuple[int, int] | None = None,
) -> float:
  """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), the squared 2-Wasserstein distance of two Gaussians.

  Source: Dowson and Landau 1982; Heusel et al. 2017, https://arxiv.org/abs/1706.08500, eq. 6. The trace of the root is
  the sum of the singular values of A1' A2 with C = A A', which needs no root of a matrix that is not symmetric and is
  exact for singular covariances.

  Args:
    mean: (n,).
    covariance: (n, n), symmetric, positive semidefinite.
    other_mean: (n,).
    other_covariance: (n, n).
    ranks: that the covariances can have at most, one less than the examples they are of; None for n.

  Raises:
    ValueError: shapes do not fit.

  >>> frechet_distance(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2))
  4.0
  """
  mean, other_mean = np.asarray(mean, np.float64), np.asarray(other_mean, np.float64)
  covariance, other_covariance = np.asarray(covariance, np.float64), np.asarray(other_covariance, np.float64)
  size = mean.shape[0]
  if mean.shape != other_mean.shape or covariance.shape != (size, size) or other_covariance.shape != (size, size):
    raise ValueError(
      f'frechet_distance: shapes {mean.shape}, {covariance.shape}, {other_mean.shape}, {other_covariance.shape}'
    )
  rank, other_rank = ranks or (size, size)
  cross = np.linalg.svd(_root(covariance, rank).T @ _root(other_covariance, other_rank), compute_uv=False).sum()
  shift = mean - other_mean
  return float(shift @ shift + np.trace(covariance) + np.trace(other_covariance) - 2 * cross)


def frechet(one: Moments, other: Moments) -> float:
  """`frechet_distance` of two sets of features.

  Fewer examples than features leave directions without variance: the distance of two such sets is large though they
  come from one distribution, and larger the fewer there are.

  Raises:
    UserError: a set has fewer than two examples, of which there is no covariance, or features that are not finite.
  """
  for side in (one, other):
    if side.examples < 2:
      raise UserError(f'Frechet distance of a set of {side.examples} examples: it needs two or more of each')
    if not (np.isfinite(side.mean).all() and np.isfinite(side.scatter).all()):
      raise UserError('Frechet distance of features that are not finite: what made them has diverged')
  # Scatter gathered in float32 has noise where few examples leave no variance.
  ranks = (max(one.examples - 1, 0), max(other.examples - 1, 0))
  return frechet_distance(one.mean, one.covariance, other.mean, other.covariance, ranks=ranks)
