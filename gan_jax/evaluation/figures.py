"""Figures: the results of a metric, each with its protocol."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gan_jax.evaluation.evidence import Evidence
from gan_jax.metrics.checks import mean_error


class Figure(NamedTuple):
  """One figure.

  Attributes:
    name: its name in evaluation.json and in metrics.
    value: its value.
    protocol: how it was computed, in words. The samples, the reference and the features, which all figures share, are
      not part of it.
    standard_error: standard error of the value; None if it is not defined, NaN if there are too few examples for it.
    parts: values of its parts, such as one per class; None if it has no parts.
  """

  name: str
  value: float
  protocol: str
  standard_error: float | None = None
  parts: list[float] | None = None


def mean_figure(name: str, of_each: np.ndarray, protocol: str) -> Figure:
  """The mean of figures of examples (N,) and its standard error."""
  return Figure(name, float(of_each.mean()) if len(of_each) else float('nan'), protocol, mean_error(of_each))


Measure = Callable[[Evidence], Iterable[Figure]]
