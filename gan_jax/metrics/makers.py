"""How several generators divide the modes of the data among them."""

from typing import NamedTuple

import numpy as np
from scipy import special

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import check_count


class Division(NamedTuple):
  """How generators divide the modes.

  Attributes:
    counts: (makers, modes) samples.
    modes: (makers,) number of modes that each generator covers.
    information: mutual information of generator and mode, of the samples at a mode, above that by chance, divided by
      the smaller of their entropies above it. 0: all generators make the same modes, or there is one generator. 1: no
      mode has two generators, or no generator has two modes.
  """

  counts: np.ndarray
  modes: np.ndarray
  information: float


def division(maker: np.ndarray, mode: np.ndarray, makers: int, modes: int, *, least: float = 0.01) -> Division:
  """Counts the modes of each generator.

  Few samples of each mode come from few generators, even where all generators make the same. The mutual information by
  chance is the mean over all ways to give the samples to the generators, as many to each as it has.
  Source: Vinh et al. 2010, "Information theoretic measures for clusterings comparison", section 4, AMI.

  Args:
    maker: (N,) integers 0 ... makers - 1.
    mode: (N,) integers 0 ... modes - 1; -1 for none.
    makers: how many generators there are.
    modes: how many modes.
    least: the share of all of a generator's samples that a mode needs to count; 0 for one sample.

  Raises:
    UserError: arrays of different lengths, or empty.

  >>> found = division(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]), 2, 3)
  >>> found.counts.tolist(), found.modes.tolist(), round(found.information, 6)
  ([[1, 1, 0], [0, 0, 2]], [2, 1], 1.0)
  """
  maker, mode = np.asarray(maker), np.asarray(mode)
  if maker.shape != mode.shape:
    raise UserError(f'maker {maker.shape} and mode {mode.shape} must be of one length')
  check_count(1, samples=maker)
  kept = mode >= 0
  counts = np.bincount(maker[kept] * modes + mode[kept], minlength=makers * modes).reshape(makers, modes)
  shares = counts / np.maximum(np.bincount(maker, minlength=makers), 1)[:, None]
  of_maker, of_mode = counts.sum(1), counts.sum(0)
  smaller = min(_entropy(of_maker), _entropy(of_mode))
  shared = _entropy(of_maker) + _entropy(of_mode) - _entropy(counts)
  chance = _shared_by_chance(of_maker, of_mode)
  # Nothing is known where every way to give the samples to the generators shares all.
  information = max((shared - chance) / (smaller - chance), 0.0) if smaller - chance > 1e-9 else 0.0
  return Division(counts, ((counts > 0) & (shares >= least)).sum(1), information)


def _entropy(counts: np.ndarray) -> float:
  shares = counts[counts > 0] / max(counts.sum(), 1)
  return float(-np.sum(shares * np.log(shares)))


def _shared_by_chance(of_maker: np.ndarray, of_mode: np.ndarray) -> float:
  """The mean mutual information, nats, over all tables of these sums; a cell n is then hypergeometric."""
  total, log_factorial = int(of_maker.sum()), lambda n: special.gammaln(n + 1)
  (makers, several), (modes, alike) = (np.unique(x[x > 0], return_counts=True) for x in (of_maker, of_mode))
  mean = 0.0
  for a, makers_of_a in zip(makers, several, strict=True):
    for b, modes_of_b in zip(modes, alike, strict=True):
      n = np.arange(max(1, a + b - total), min(a, b) + 1)
      log_ways = sum(map(log_factorial, (a, b, total - a, total - b))) - log_factorial(total)
      log_ways = log_ways - sum(map(log_factorial, (n, a - n, b - n, total - a - b + n)))
      information = n / total * np.log(n * total / (a * b))
      mean += makers_of_a * modes_of_b * np.sum(np.exp(log_ways) * information)
  return float(mean)
