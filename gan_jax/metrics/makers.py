"""How several generators divide the modes of the data among them."""

from typing import NamedTuple

import numpy as np

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
    UserError: arrays of different lengths, or empty; a number is out of range.

  >>> found = division(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]), 2, 3)
  >>> found.counts.tolist(), found.modes.tolist(), round(found.information, 6)
  ([[1, 1, 0], [0, 0, 2]], [2, 1], 1.0)
  """
  from sklearn.metrics import adjusted_mutual_info_score

  maker, mode = (np.asarray(value).astype(np.int64) for value in (maker, mode))  # in bytes products wrap around
  if maker.shape != mode.shape:
    raise UserError(f'maker {maker.shape} and mode {mode.shape} must be of one length')
  check_count(1, samples=maker)
  if maker.min() < 0 or maker.max() >= makers or mode.max() >= modes:
    raise UserError(
      f'makers from {maker.min()} to {maker.max()} and modes up to {mode.max()}: with makers={makers} and '
      f'modes={modes} they must be below these'
    )
  kept = mode >= 0
  counts = np.bincount(maker[kept] * modes + mode[kept], minlength=makers * modes).reshape(makers, modes)
  shares = counts / np.maximum(np.bincount(maker, minlength=makers), 1)[:, None]
  # Where no mode has two samples, every way to give them to the generators shares all: nothing is known.
  known = (counts.sum(1) > 0).sum() > 1 and counts.sum(0).max() > 1
  information = adjusted_mutual_info_score(maker[kept], mode[kept], average_method='min') if known else 0.0
  return Division(counts, ((counts > 0) & (shares >= least)).sum(1), max(float(information), 0.0))
