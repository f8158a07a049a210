"""Distances between the histograms of two sets of single numbers."""

from typing import NamedTuple

import numpy as np

from gan_jax.metrics.checks import check_count, check_finite


class HistogramDistances(NamedTuple):
  """How far the histogram of samples is from that of data.

  Attributes:
    chi_square: sum over bins of (made - real)^2 / real, of shares; bins without data are left out.
    kl: KL(made || real) in nats over the bins with data, the shares of samples there made to sum to 1.
    outside: share of samples in bins without data, or beyond all bins.
    low: where the first bin begins.
    high: where the last one ends.
  """

  chi_square: float
  kl: float
  outside: float
  low: float
  high: float


def histogram_distances(samples: np.ndarray, real: np.ndarray, *, bins: int = 280) -> HistogramDistances:
  """Chi-square and KL of two histograms with the same bins.

  Source: the tables of Ghosh et al. 2017, https://arxiv.org/abs/1704.02906, section 5.1, and `metrics/metric.py` of the
  authors' code, which leaves out the bins without data too; its 279 bins of 0.5 run from -10 to 129.5.
  Chi-square grows with the number of data: with few, rare bins are empty and are left out.
  differs: of shares; the authors' chi-square is of counts, and so larger by a factor of their number of samples.
  differs: the bins run over the data and a tenth of their range on either side; `outside` says what was left out.

  Args:
    samples: (N,).
    real: (M,).
    bins: how many.

  Raises:
    UserError: a side is empty, or a number is not finite.

  >>> found = histogram_distances(np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0]), bins=2)
  >>> found.chi_square, round(found.kl, 4), found.outside  # (1/4)^2 / (1/2) twice; 3/4 log 3/2 + 1/4 log 1/2
  (0.25, 0.1308, 0.0)
  """
  check_count(1, samples=samples, real=real)
  check_finite(samples=samples, real=real)
  low, high = float(np.min(real)), float(np.max(real))
  margin = 0.1 * (high - low) or 0.5  # data that are all equal have no range
  edges = np.linspace(low - margin, high + margin, bins + 1)
  made, wanted = (np.histogram(x, edges)[0] / np.size(x) for x in (samples, real))
  present = wanted > 0
  made, wanted = made[present], wanted[present]
  inside = made.sum()
  with np.errstate(divide='ignore', invalid='ignore'):
    shares = made / inside
    kl = np.where(shares > 0, shares * np.log(shares / wanted), 0.0).sum() if inside else np.inf
  chi_square = float(((made - wanted) ** 2 / wanted).sum())
  return HistogramDistances(chi_square, float(kl), float(1 - inside), float(edges[0]), float(edges[-1]))
