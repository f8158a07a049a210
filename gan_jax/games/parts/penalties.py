"""Penalties for games: with a weight, the points where the gradient is taken, and how often."""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError, one_of
from gan_jax.core.gradients import input_gradients
from gan_jax.losses import penalties

PLACES = ('real', 'fake', 'between', 'around', 'both')


@dataclass(frozen=True)
class GradientPenalty:
  """A penalty on the norm of the discriminator's input gradient.

  WGAN-GP is `GradientPenalty(10.0)`, DRAGAN `GradientPenalty(10.0, at='around')`, R1 with gamma 10
  `GradientPenalty(5.0, at='real', target=0.0)` (a half of gamma), R2 the same `at='fake'`, the sum of the two
  `at='both'`.
  Source: see `gan_jax.losses.penalties`.

  Attributes:
    weight: factor of E[(norm - target)^2].
    at: the points of the gradient: 'real', 'fake', 'between' (WGAN-GP's lines), 'around' (DRAGAN's neighbourhood) or
      'both', the penalty at 'real' plus that at 'fake'.
    target: the norm that the gradient should have.
    one_sided: penalise only norms above the target.
    every: compute the penalty only in every n-th step, with n times the weight (lazy regularisation), of games that
      have a turn for it: `standard.Standard` and what is made of it.
  """

  weight: float = 10.0
  at: Literal['real', 'fake', 'between', 'around', 'both'] = 'between'
  target: float = 1.0
  one_sided: bool = False
  every: int = 1

  def __post_init__(self) -> None:
    if self.at not in PLACES:
      raise one_of('place of a GradientPenalty', self.at, PLACES)
    if self.every < 1:
      raise UserError(f'GradientPenalty: every={self.every} must be at least 1')

  def __call__(self, discriminator: nn.Module, key: jax.Array, real: jax.Array, fake: jax.Array, **inputs: Any) -> Any:
    """The penalty, multiplied by `weight` and `every`.

    Args:
      discriminator: a child of the game.
      key: a PRNG key for the points.
      real: (B, ...).
      fake: the same shape.
      **inputs: further inputs of the discriminator, such as a label.
    """
    places = ('real', 'fake') if self.at == 'both' else (self.at,)
    return sum(self.of(self._at(place, discriminator, key, real, fake, inputs)) for place in places)

  def _at(self, place: str, discriminator: nn.Module, key: jax.Array, real: Any, fake: Any, inputs: Any) -> Any:
    points = {
      'real': lambda: real,
      'fake': lambda: fake,
      'between': lambda: penalties.between(key, real, fake),
      'around': lambda: penalties.around(key, real),
    }[place]()
    return input_gradients(discriminator, points, **inputs)

  def of(self, gradients: jax.Array) -> jax.Array:
    """The penalty of gradients (B, ...), multiplied by `weight` and `every`."""
    return (
      self.weight * self.every * penalties.gradient_penalty(gradients, target=self.target, one_sided=self.one_sided)
    )


def check_eager(penalty: Any, game: nn.Module) -> None:
  """Raises a UserError if a penalty is lazy, for a game that adds it in every step.

  >>> check_eager(GradientPenalty(every=1), nn.Module())
  """
  every = getattr(penalty, 'every', 1)
  if every != 1:
    raise UserError(
      f'config.game.penalty.every={every}: {type(game).__name__} adds its penalty in every step, so it would be '
      f'{every} times as strong: leave every out'
    )
