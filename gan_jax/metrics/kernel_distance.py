"""Kernel (Inception) distance: the squared maximum mean discrepancy with a cubic kernel, without bias."""

import math
from typing import NamedTuple

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed
from gan_jax.metrics.checks import check_count, check_finite


class KernelDistance(NamedTuple):
  """
  Attributes:
    value: mean over subsets.
    standard_error: of the mean; subsets that overlap count for as many as fit into the smaller set. NaN if every subset
      is the whole of a side, which then shows no spread.
    subset_deviation: standard deviation over subsets, what other libraries print after the sign +-.
  """

  value: float
  standard_error: float
  subset_deviation: float


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
  """The unbiased estimate of the squared maximum mean discrepancy with kernel (x.y / n + 1)^3.

  Source: Binkowski et al. 2018, https://arxiv.org/abs/1801.01401, eq. 4 and section 3.1.

  Args:
    x: (M, n).
    y: (K, n).

  Raises:
    UserError: a set has fewer than two examples, or a feature is not finite.

  >>> squared_mmd(np.zeros((3, 2)), np.zeros((4, 2)))
  0.0
  """
  check_count(2, x=x, y=y)
  check_finite(x=x, y=y)
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  kernel = lambda a, b: (a @ b.T / a.shape[1] + 1.0) ** 3
  within = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
  return float(within(kernel(x, x)) + within(kernel(y, y)) - 2 * kernel(x, y).mean())


def kernel_distance(
  real: np.ndarray, fake: np.ndarray, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> KernelDistance:
  """`squared_mmd` over random subsets: KID if the features are those of Inception.

  Subsets are drawn as torch-fidelity 0.3 and later draw them (generated first), so that the same seed gives its number.

  Args:
    real: (M, n).
    fake: (K, n).
    subsets: how many.
    size: examples of each side in a subset; all if there are fewer.
    seed: of the subsets.

  Raises:
    UserError: a set, or a subset, has fewer than two examples, or a feature is not finite.

  >>> x = np.random.RandomState(0).randn(500, 4)
  >>> abs(kernel_distance(x[:250], x[250:], subsets=10, size=100).value) < 0.1
  True
  """
  check_count(2, real=real, generated=fake)
  check_finite(real=real, generated=fake)
  if size < 2 or subsets < 1:
    raise UserError(f'size={size} and subsets={subsets}: give subsets of two examples or more, one or more')
  size = min(size, len(real), len(fake))
  random = np.random.RandomState(check_seed(seed))
  values = []
  for _ in range(subsets):
    some_fake = fake[random.choice(len(fake), size, replace=False)]
    some_real = real[random.choice(len(real), size, replace=False)]
    values.append(squared_mmd(some_fake, some_real))
  deviation = float(np.std(values))
  independent = min(subsets, len(real) / size, len(fake) / size)
  error = deviation / float(np.sqrt(independent)) if independent > 1 else math.nan
  return KernelDistance(float(np.mean(values)), error, deviation)
