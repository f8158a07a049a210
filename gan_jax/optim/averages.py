"""Decay schedules for the running averages of weights, as functions of the clock, for `config.ema`.

In a training loop of your own they take the number of finished steps in place of the clock.

Write in a config: ema=dict(generator=dict(name='averages.warm_up', decay=0.999)).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.functions import known
from gan_jax.optim.schedules import Schedule, at

Decay = Callable[[Any], Any]


def _step(clock: Any) -> Any:
  """The number of finished steps, of a clock or as it is given."""
  return getattr(clock, 'step', clock)


def _check(decay: float) -> None:
  if known(decay) and not 0 <= decay <= 1:
    raise UserError(f'a decay of {decay} must be from 0 to 1, such as 0.999')


def warm_up(decay: float) -> Decay:
  """min(decay, (1 + t) / (10 + t)) at step t. The decay is small at first, so that the average soon forgets the start.

  The steps are those of the run: an average that begins in a later stage has no warm-up.

  Source: TensorFlow's ExponentialMovingAverage with `num_updates`.

  Args:
    decay: the decay after the warm-up.

  >>> from gan_jax.core.clock import Clock
  >>> clock = Clock(jnp.int32(0), jnp.int32(0), jnp.int32(9), jnp.float32(0))
  >>> round(float(warm_up(0.999)(clock)), 3), round(float(warm_up(0.999)(0)), 3)
  (0.1, 0.1)
  """
  _check(decay)
  return lambda clock: jnp.minimum(decay, (1.0 + _step(clock)) / (10.0 + _step(clock)))


def unbiased(decay: float) -> Decay:
  """The average of the weights of all steps so far, without those before them: begun at 0, corrected as in Adam.

  The decay is d (1 - d^t) / (1 - d^(t + 1)) after t steps, so step i of t has the share d^(t - i) (1 - d) / (1 - d^t).

  Source: Kingma and Ba 2014, https://arxiv.org/abs/1412.6980, section 3. Where weights are normalised, the code of
  Salimans et al. (openai/improved-gan), whose averages begin at 0, gives the same directions.

  This is so for a player that moves once in each step, from the first step of the run on. For others take `warm_up`.

  Args:
    decay: d, between 0 and 1.

  Raises:
    UserError: d is not.

  >>> from gan_jax.core.clock import Clock
  >>> decays = [float(unbiased(0.5)(Clock(jnp.int32(t), jnp.int32(0), jnp.int32(9), jnp.float32(0)))) for t in range(3)]
  >>> [round(x, 3) for x in decays]  # the first is forgotten; then 1 / 3 old and 2 / 3 new
  [0.0, 0.333, 0.429]
  """
  if known(decay) and not 0 < np.float32(decay) < 1:
    raise UserError(f'averages.unbiased(decay={decay}) must lie between 0 and 1, such as 0.999')
  share = lambda steps: -jnp.expm1(steps * jnp.log(jnp.float32(decay)))
  return lambda clock: decay * share(_step(clock)) / share(_step(clock) + 1)


def starting_at(decay: float, step: int) -> Decay:
  """Starts the average at a step. Before it, the average is a copy of the weights.

  Source: BigGAN's code, `utils.ema`, which starts at step 20,000.

  Args:
    decay: the decay from that step on.
    step: the first step that is averaged, counted from 1, as in the log.

  >>> from gan_jax.core.clock import Clock
  >>> clock = lambda finished: Clock(jnp.int32(finished), jnp.int32(0), jnp.int32(9), jnp.float32(0))
  >>> [round(float(starting_at(0.9, 3)(clock(finished))), 1) for finished in range(4)]  # of steps 1 to 4
  [0.0, 0.0, 0.9, 0.9]
  """
  _check(decay)
  # The clock counts finished steps, so the step in progress has the next number.
  return lambda clock: jnp.where(_step(clock) + 1 < step, 0.0, decay)


def half_life(images: float | Schedule, batch_size: float, ramp_up: float | None = 0.05) -> Decay:
  """A decay with a half-life in images: after that many images the old weights count half. It ramps up at the start.

  Source: Karras et al. 2017 (Progressive GAN) and the code of StyleGAN 2 ADA, `ema_kimg` and `ema_rampup`.

  Args:
    images: the half-life; a number, or a schedule of it by the step.
    batch_size: images for one move of the player: those of a step (of the turn that draws most), divided by the
      player's own moves in a step. A run says at its start if this number is another.
    ramp_up: the half-life is at most this share of the images that the run has trained on so far; None for no limit.
      Every draw from the data counts: 2 batches a step where the generator's move has data of its own, as with
      relativistic losses.

  >>> from gan_jax.core.clock import Clock
  >>> clock = Clock(jnp.int32(0), jnp.int32(0), jnp.int32(9), jnp.float32(1e9))
  >>> round(float(half_life(64.0, 64)(clock)), 3)
  0.5
  """
  if known(batch_size) and not batch_size > 0:
    raise UserError(f'averages.half_life(batch_size={batch_size}) must be above 0')
  return HalfLife(images, batch_size, ramp_up)


@dataclasses.dataclass(frozen=True, eq=False)
class HalfLife:
  """What `half_life` returns, with its arguments: the decay at a time of the clock."""

  images: float | Schedule
  batch_size: float
  ramp_up: float | None

  def __call__(self, clock: Any) -> Any:
    life = at(self.images, _step(clock))
    if self.ramp_up is not None:
      seen = getattr(clock, 'images', _step(clock) * self.batch_size)
      life = jnp.minimum(life, seen * self.ramp_up)
    return 0.5 ** (self.batch_size / jnp.maximum(life, 1e-8))
