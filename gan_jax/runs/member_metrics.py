"""Means and standard errors of metrics over the members of a population."""

import math
from collections.abc import Mapping

import numpy as np


def statistics(values: Mapping[str, float]) -> dict[str, float]:
  """Means and standard errors over members.

  The standard error is the standard deviation (of N - 1 degrees of freedom) over the square root of N, the members
  that have the metric; one alone has none.

  Args:
    values: {NAME_i: value of member i}.

  >>> statistics({'loss_0': 1.0, 'loss_1': 3.0, 'rare_1': 2.0})
  {'loss': 2.0, 'rare': 2.0, 'loss_standard_error': 1.0, 'loss_0': 1.0, 'loss_1': 3.0, 'rare_1': 2.0}
  """
  found: dict[str, list[float]] = {}
  for name, value in values.items():
    found.setdefault(name.rpartition('_')[0], []).append(value)
  means = {name: float(np.mean(row)) for name, row in found.items()}
  errors = {
    f'{name}_standard_error': float(np.std(row, ddof=1) / math.sqrt(len(row)))
    for name, row in found.items()
    if len(row) > 1
  }
  return {**means, **errors, **values}
