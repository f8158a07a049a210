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
    information: mutual information of generator and mode, divided by the smaller of their entropies. 0: all generators
      make the same modes, or there is one generator. 1: no mode has two generators, or no generator has two modes.
  """

  counts: np.ndarray
  modes: np.ndarray
  information: float


def division(maker: np.ndarray, mode: np.ndarray, makers: int, modes: int, *, least: float = 0.01) -> Division:
  """Counts the modes of each generator.

  Args:
    maker: (N,) integers 0 ... makers - 1.
    mode: (N,) integers 0 ... modes - 1; -1 for none, which is left out.
    makers: how many generators there are.
    modes: how many modes.
    least: the share of a generator's samples that a mode needs to count; 0 for one sample.

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
  shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  joint = counts / max(counts.sum(), 1)
  of_maker, of_mode = joint.sum(1), joint.sum(0)
  smaller = min(_entropy(of_maker), _entropy(of_mode))
  shared = _entropy(of_maker) + _entropy(of_mode) - _entropy(joint)
  return Division(counts, ((counts > 0) & (shares >= least)).sum(1), float(shared / smaller) if smaller > 0 else 0.0)


def _entropy(shares: np.ndarray) -> float:
  present = shares[shares > 0]
  return float(-np.sum(present * np.log(present)))
