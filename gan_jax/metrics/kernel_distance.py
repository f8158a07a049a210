"""Kernel (Inception) distance: the squared maximum mean discrepancy with a cubic kernel, without bias."""

import math
from typing import NamedTuple

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed
from gan_jax.metrics.checks import check_count, check_finite

PAIRS = '{} and {} examples are no pairs: give both sides the same scenes in the same order'


class KernelDistance(NamedTuple):
  """
  Attributes:
    value: mean over subsets.
    standard_error: of the value, by how much single examples of either side matter, and by how far subsets differ.
      Where both sides are of one distribution it is too large rather than too small.
    subset_deviation: standard deviation over subsets, what other libraries print after the sign +-.
  """

  value: float
  standard_error: float
  subset_deviation: float


def squared_mmd(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> float:
  """The unbiased estimate of the squared maximum mean discrepancy with kernel (x.y / n + 1)^3.

  Source: Binkowski et al. 2018, https://arxiv.org/abs/1801.01401, eq. 4 and section 3.1.

  Args:
    x: (M, n).
    y: (K, n).
    paired: whether example i of both sides is of one scene, such as a picture and its restoration. Such pairs are not
      independent, and the nearer they are, the more they would lower the estimate: they are left out.

  Raises:
    UserError: a set has fewer than two examples, pairs are of two lengths, or a feature is not finite.

  >>> squared_mmd(np.zeros((3, 2)), np.zeros((4, 2)))
  0.0
  """
  x, y = np.asarray(x), np.asarray(y)
  check_count(2, x=x, y=y)
  check_finite(x=x, y=y)
  return _estimate(x, y, paired)[0]


def _estimate(x: np.ndarray, y: np.ndarray, paired: bool) -> tuple[float, float, float]:
  """`squared_mmd`, and the variances of what an example of each side adds to it; of a pair, the first of both."""
  if paired and len(x) != len(y):
    raise UserError(PAIRS.format(len(x), len(y)))
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  kernel = lambda a, b: (a @ b.T / a.shape[1] + 1.0) ** 3
  apart = lambda k, axis: (k.sum(axis) - np.diag(k)) / (len(k) - 1)
  across = apart if paired else np.mean
  of_x, of_y, of_both = kernel(x, x), kernel(y, y), kernel(x, y)
  # The first terms of Hoeffding's decomposition, of which the variance of a U-statistic is made for large sets.
  for_x = apart(of_x, 1) - across(of_both, 1)
  for_y = apart(of_y, 1) - across(of_both, 0)
  variance = lambda added: 4 * float(np.var(added, ddof=1))
  variances = (variance(for_x + for_y), 0.0) if paired else (variance(for_x), variance(for_y))
  return float(for_x.mean() + for_y.mean()), *variances


def kernel_distance(
  real: np.ndarray,
  fake: np.ndarray,
  *,
  subsets: int = 100,
  size: int = 1000,
  seed: int = 2020,
  paired: bool = False,
) -> KernelDistance:
  """`squared_mmd` over random subsets: KID if the features are those of Inception.

  Subsets are drawn as torch-fidelity 0.3 and later draw them (generated first), so that the same seed gives its number.

  Args:
    real: (M, n).
    fake: (K, n).
    subsets: how many.
    size: examples of each side in a subset; all if there are fewer.
    seed: of the subsets.
    paired: whether example i of both sides is of one scene, as for `squared_mmd`; subsets then have the same scenes.

  Raises:
    UserError: a set, or a subset, has fewer than two examples, pairs are of two lengths, or a feature is not finite.

  >>> x = np.random.RandomState(0).randn(500, 4)
  >>> abs(kernel_distance(x[:250], x[250:], subsets=10, size=100).value) < 0.1
  True
  """
  real, fake = np.asarray(real), np.asarray(fake)
  check_count(2, real=real, generated=fake)
  check_finite(real=real, generated=fake)
  if size < 2 or subsets < 1:
    raise UserError(f'size={size} and subsets={subsets}: give subsets of two examples or more, one or more')
  if paired and len(real) != len(fake):
    raise UserError(PAIRS.format(len(real), len(fake)))
  size = min(size, len(real), len(fake))
  random = np.random.RandomState(check_seed(seed))
  found = []
  for _ in range(subsets):
    chosen = random.choice(len(fake), size, replace=False)
    some_real = real[chosen if paired else random.choice(len(real), size, replace=False)]
    found.append(_estimate(fake[chosen], some_real, paired))
  values, of_fake, of_real = np.array(found).T
  deviation = float(np.std(values))
  variance = of_fake.mean() / len(fake) + of_real.mean() / len(real) + deviation**2 / subsets
  return KernelDistance(float(np.mean(values)), math.sqrt(variance), deviation)
