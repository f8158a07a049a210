"""Mode coverage: how many modes of a mixture, or of stacked classes, a generator reaches, and how evenly."""

from typing import NamedTuple

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import check_finite


class MixtureCoverage(NamedTuple):
  """How samples cover a mixture of Gaussians.

  Attributes:
    modes: modes with at least `minimum` high-quality samples.
    total: modes of the mixture.
    quality: share of samples within 3 standard deviations of their nearest mode.
    kl: KL(generated || uniform) in nats, of the shares of all samples by nearest mode.
    counts: (total,) high-quality samples of each mode.
    minimum: high-quality samples that a mode needs to count.
  """

  modes: int
  total: int
  quality: float
  kl: float
  counts: np.ndarray
  minimum: int


class StackedCoverage(NamedTuple):
  """How samples cover stacked classes.

  Attributes:
    modes: combinations of classes that at least one sample has.
    total: combinations there are.
    kl: KL(generated || reference) in nats.
    samples: how many were judged; from N samples of K equally likely combinations kl is about (K - 1) / 2N, not 0.
  """

  modes: int
  total: int
  kl: float
  samples: int


def divergence(counts: np.ndarray, reference: np.ndarray | None = None) -> float:
  """KL divergence of the shares of some counts from reference shares, nats; infinite where the reference has none.

  Args:
    counts: (K,) of samples.
    reference: (K,) of anything; None for the same of each.

  >>> round(divergence(np.array([2, 0])), 6), divergence(np.array([1, 1]), np.array([1, 0]))
  (0.693147, inf)
  """
  made = np.asarray(counts, np.float64) / np.sum(counts)
  wanted = np.full(len(made), 1 / len(made)) if reference is None else np.asarray(reference) / np.sum(reference)
  present = made > 0
  with np.errstate(divide='ignore'):
    return float(np.sum(made[present] * (np.log(made[present]) - np.log(wanted[present]))))


def mixture_coverage(
  samples: np.ndarray, centers: np.ndarray, stddev: float | np.ndarray, *, minimum: int = 20, deviations: float = 3.0
) -> MixtureCoverage:
  """Modes of a mixture of equal, round Gaussians that samples reach; the papers take 2,500 samples.

  Source: Srivastava et al. 2017 (VEEGAN), https://arxiv.org/abs/1705.07761, section 5.1: a sample is of high quality
  within 3 standard deviations of its nearest mode. KL from the nearest modes of all samples is that of PacGAN,
  https://arxiv.org/abs/1712.04086, section 4.1. differs: a mode needs 20 such samples, the papers count it from the
  first (`minimum=1`): a few strays on the way between two modes then cover all of a ring.

  Args:
    samples: (N, d).
    centers: (K, d).
    stddev: of each mode, in every direction: one number, or (K,).
    minimum: high-quality samples that a mode needs; 1 to compare with the papers' tables.
    deviations: radius of high quality, in standard deviations.

  Raises:
    UserError: shapes that do not fit, or samples that are not finite.

  >>> report = mixture_coverage(np.array([[0.0], [0.2], [0.6], [1.0]]), np.array([[0.0], [1.0]]), 0.1, minimum=1)
  >>> report.modes, report.quality, report.kl, report.counts.tolist()
  (2, 0.75, 0.0, [2, 1])
  """
  samples, centers = np.asarray(samples, np.float64), np.asarray(centers, np.float64)
  if samples.ndim != 2 or centers.ndim != 2 or samples.shape[1] != centers.shape[1] or not len(samples):
    raise UserError(f'samples {samples.shape} and centers {centers.shape} must be (N, d) and (K, d), N at least 1')
  check_finite(samples=samples, centers=centers)
  nearest, squares = _nearest(samples, centers)
  good = squares <= (deviations * np.broadcast_to(stddev, len(centers))[nearest]) ** 2
  counts = np.bincount(nearest[good], minlength=len(centers))
  kl = divergence(np.bincount(nearest, minlength=len(centers)))
  return MixtureCoverage(int((counts >= minimum).sum()), len(centers), float(good.mean()), kl, counts, minimum)


def _nearest(samples: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  # Center by center: (N, K, d) at once would be large for many modes.
  squares = np.stack([((samples - center[None]) ** 2).sum(-1) for center in centers], -1)  # (N, K)
  return squares.argmin(-1), squares.min(-1)


def nearest_mode(
  samples: np.ndarray, centers: np.ndarray, stddev: float | np.ndarray, *, deviations: float = 3.0
) -> np.ndarray:
  """(N,) the mode that each sample is of: the nearest; -1 for one farther than some deviations from it.

  Args:
    samples: (N, d).
    centers: (K, d).
    stddev: of each mode, in every direction: one number, or (K,).
    deviations: in standard deviations.

  >>> nearest_mode(np.array([[0.1], [0.5], [1.0]]), np.array([[0.0], [1.0]]), 0.1).tolist()
  [0, -1, 1]
  """
  nearest, squares = _nearest(np.asarray(samples, np.float64), np.asarray(centers, np.float64))
  return np.where(squares <= (deviations * np.broadcast_to(stddev, len(centers))[nearest]) ** 2, nearest, -1)


def stacked_coverage(labels: np.ndarray, modes: int = 1000, *, real: np.ndarray | None = None) -> StackedCoverage:
  """Modes of stacked MNIST, or of other stacked classes, that samples reach; the papers take 26,000 samples.

  A classifier of single pictures labels each channel. Source: Metz et al. 2016, https://arxiv.org/abs/1611.02163,
  section 3.3.1; 26,000 samples as VEEGAN, https://arxiv.org/abs/1705.07761, section 5.2, and PacGAN,
  https://arxiv.org/abs/1712.04086, section 4.2.

  Args:
    labels: (N, 3) labels 0 ... 9 of the channels, or (N,) codes 100 a + 10 b + c.
    modes: how many combinations there are.
    real: labels or codes of real examples, whose shares are the reference; None for equal shares. Combinations that no
      real example has make the divergence infinite.

  Raises:
    UserError: labels out of range.

  >>> stacked_coverage(np.array([[0, 0, 7], [9, 9, 9], [0, 0, 7]]))[:2]
  (2, 1000)
  """
  counts = _count(labels, modes, 'labels')
  kl = divergence(counts, None if real is None else _count(real, modes, 'real'))
  return StackedCoverage(int((counts > 0).sum()), modes, kl, len(labels))


def _count(labels: np.ndarray, modes: int, name: str) -> np.ndarray:
  labels = np.asarray(labels)
  if labels.ndim not in (1, 2) or not len(labels) or (labels.ndim == 2 and labels.shape[1] != 3):
    raise UserError(f'{name} has shape {labels.shape}, must be (N, 3) labels or (N,) codes, N at least 1')
  if labels.ndim == 2 and (labels.min() < 0 or labels.max() > 9):
    raise UserError(f'{name} of channels run from {labels.min()} to {labels.max()}, must be 0 to 9')
  codes = labels if labels.ndim == 1 else labels @ np.array([100, 10, 1])
  if codes.min() < 0 or codes.max() >= modes:
    raise UserError(f'{name} run from {codes.min()} to {codes.max()} but there are {modes} modes: set modes')
  return np.bincount(codes, minlength=modes)
