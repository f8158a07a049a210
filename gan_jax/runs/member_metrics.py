"""Means and standard errors of metrics over the members of a population."""

import math
from collections.abc import Mapping

import numpy as np


def statistics(values: Mapping[str, float]) -> dict[str, float]:
  """Adds the mean and the standard error over members to the metrics of all members.

  N members have a metric. Its standard error is the standard deviation (with N - 1 degrees of freedom) divided by the
  square root of N; if N is 1 there is none.

  Args:
    values: {NAME_i: value of member i}.

  Returns:
    {NAME: mean, NAME_standard_error: standard error, NAME_i: value of member i}.

  >>> statistics({'loss_0': 1.0, 'loss_1': 3.0, 'rare_1': 2.0})
  {'loss': 2.0, 'rare': 2.0, 'loss_standard_error': 1.0, 'loss_0': 1.0, 'loss_1': 3.0, 'rare_1': 2.0}
  """
  rows: dict[str, list[float]] = {}
  for name, value in values.items():
    rows.setdefault(name.rpartition('_')[0], []).append(value)
  means = {name: float(np.mean(values_of_name)) for name, values_of_name in rows.items()}
  errors = {
    f'{name}_standard_error': float(np.std(values_of_name, ddof=1) / math.sqrt(len(values_of_name)))
    for name, values_of_name in rows.items()
    if len(values_of_name) > 1
  }
  return {**means, **errors, **values}
