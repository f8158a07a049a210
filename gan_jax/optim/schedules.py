"""Values that change with the step: for learning rates, weights of penalties, probabilities of augmentation."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.functions import known

#: A function of the number of finished steps.
Schedule = Callable[[Any], Any]


def cosine(start: float, end: float, steps: int) -> Schedule:
  """From `start` to `end` along half a cosine, then `end`. Unlike optax's it may rise, and begin at 0.

  Source: the schedules of Huang et al. 2024 (R3GAN), https://arxiv.org/abs/2501.05441, table 6.

  Args:
    start: the value at step 0.
    end: the value from step `steps` on.
    steps: how many steps it takes, at least 1.

  Raises:
    UserError: it takes no step.

  >>> [round(float(cosine(0.0, 1.0, 4)(step)), 2) for step in (0, 1, 2, 4, 9)]
  [0.0, 0.15, 0.5, 1.0, 1.0]
  """

  if known(steps) and steps < 1:
    raise UserError(
      f'steps={steps} of the schedule cosine must be at least 1: or give a number in place of the schedule'
    )

  def value(step: Any) -> Any:
    share = jnp.clip(jnp.asarray(step, jnp.float32) / steps, 0.0, 1.0)
    return end + (start - end) * 0.5 * (1.0 + jnp.cos(math.pi * share))

  return value


def at(value: float | Schedule, step: Any) -> Any:
  """The value at a step, of a number or of a schedule.

  >>> at(0.5, 3), float(at(lambda step: 2.0 * step, 3))
  (0.5, 6.0)
  """
  return value(step) if callable(value) else value
