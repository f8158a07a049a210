"""The metrics of steps: fetched from the device when a row is due, checked for nan and infinity, and averaged."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gan_jax import core
from gan_jax.base.errors import Diverged
from gan_jax.runs.views import Experiment
from gan_jax.training import diagnostics

#: The metrics of at most so many steps wait on the device, even if config.log_every is larger.
MOST_PENDING = 1000


class Measured:
  """The metrics of the steps since the last row.

  Args:
    experiment: the games of the run.
    saved: returns the steps of all checkpoints, for messages.
  """

  def __init__(self, experiment: Experiment, saved: Callable[[], list[int]]):
    self._experiment, self._saved = experiment, saved
    self._pending: list[tuple[int, int, Any]] = []
    self._rows: list[dict[str, float]] = []

  def add(self, first: int, count: int, metrics: Any) -> None:
    """Adds the metrics of one call.

    Args:
      first: the number of its first step.
      count: the steps of the call.
      metrics: the metrics that the call returned; if count is more than 1, their first axis is the step.

    Raises:
      Diverged: metrics of earlier steps were fetched, and are not finite.
    """
    self._pending.append((first, count, metrics))
    if first + count - self._pending[0][0] >= MOST_PENDING:
      self._fetch()

  def row(self) -> dict[str, float]:
    """The mean of each metric over the steps that have it, since the last row.

    Raises:
      Diverged: a metric is not finite; the message names it and its step.
    """
    self._fetch()
    rows, self._rows = self._rows, []
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}

  def _fetch(self) -> None:
    pending, self._pending = self._pending, []
    for first, count, metrics in jax.device_get(pending):
      for i in range(count):
        one = metrics if count == 1 else {name: value[i] for name, value in metrics.items()}
        row: dict[str, float] = {}
        for view, own in self._experiment.rows(one):
          values = core.means(own)
          self._check_finite(values, first + i, view.title)
          row |= view.named(values)
        self._rows.append(row)

  def _check_finite(self, values: Mapping[str, float], step: int, title: str) -> None:
    # Losses first: they say more than gradient norms.
    for name, value in sorted(values.items(), key=lambda item: item[0].endswith(diagnostics.NORM)):
      if not math.isfinite(value):
        saved = self._saved()
        kept = f'the checkpoint of step {saved[-1]} is kept' if saved else 'there is no checkpoint yet'
        varied = ', its own in config.vary,' if title else ''
        raise Diverged(
          f'{title}{name} is {value} at step {step}: training stopped, {kept}; lower '
          f'config.optimizers.PLAYER.learning_rate{varied} or change the loss'
        )
