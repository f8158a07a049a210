"""Metrics of the members of a population: taken apart by member, and put together as means with standard errors."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def by_member(metrics: Mapping[str, Any]) -> list[tuple[int | None, dict[str, Any]]]:
  """(number of a member, metrics of one step) of each; (None, metrics) where a step has those of one game.

  Args:
    metrics: {name: (2,)} or, of N members, {name: (N, 2)}, as in `moves.make_step`.
  """
  if all(np.ndim(value) == 1 for value in metrics.values()):
    return [(None, dict(metrics))]
  size = len(next(iter(metrics.values())))
  return [(i, {name: value[i] for name, value in metrics.items()}) for i in range(size)]


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
