"""Penalties for games: with a weight, the points where the gradient is taken, and how often."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError, one_of
from gan_jax.core.gradients import gradients_of
from gan_jax.losses import penalties
from gan_jax.losses.adversarial import AdversarialLoss

PLACES = ('real', 'fake', 'between', 'around', 'both')


@dataclass(frozen=True)
class GradientPenalty:
  """A penalty on the norm of the input gradient of the discriminator's logit; of two outputs, of real minus fake.

  WGAN-GP is `GradientPenalty(10.0)`, DRAGAN `GradientPenalty(10.0, at='around')`, R1 with gamma 10
  `GradientPenalty(5.0, at='real', target=0.0)` (a half of gamma), R2 the same `at='fake'`, the sum of the two
  `at='both'`.
  Source: see `gan_jax.losses.penalties`. Where a logit judges a group of examples (`Packed`), the norm is the group's;
  points are those of each example.

  Attributes:
    weight: factor of E[(norm - target)^2].
    at: the points of the gradient: 'real', 'fake', 'between' (WGAN-GP's lines), 'around' (DRAGAN's neighbourhood) or
      'both', the penalty at 'real' plus that at 'fake'.
    target: the norm that the gradient should have.
    one_sided: penalise only norms above the target.
    every: compute the penalty only in every n-th step, with n times the weight (lazy regularisation), of games that
      have a turn for it: `standard.Standard` and what is made of it. Where the discriminator moves k times in a step
      the weight is k n times as large, so that it pulls as in every move. A lazy penalty is one more update of the
      discriminator, which the schedules of its optimizer count.
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

  def __call__(
    self,
    discriminator: nn.Module,
    key: jax.Array,
    real: jax.Array,
    fake: jax.Array,
    *,
    log_odds: Callable[[jax.Array], jax.Array] = lambda logits: logits,
    **inputs: Any,
  ) -> Any:
    """The penalty, multiplied by `weight` and `every` (and by its game, if lazy, by the moves of a step).

    Args:
      discriminator: a child of the game.
      key: a PRNG key for the points.
      real: (B, ...).
      fake: the same shape.
      log_odds: from the discriminator's outputs to what the gradient is of: `AdversarialLoss.log_odds`.
      **inputs: further inputs of the discriminator, such as a label.
    """
    judge = lambda critic, x: log_odds(critic(x, train=True, **inputs))
    places = ('real', 'fake') if self.at == 'both' else (self.at,)
    return sum(self.of(gradients_of(judge, discriminator, self._at(place, key, real, fake))) for place in places)

  def _at(self, place: str, key: jax.Array, real: jax.Array, fake: jax.Array) -> jax.Array:
    """The points of a place."""
    return {
      'real': lambda: real,
      'fake': lambda: fake,
      'between': lambda: penalties.between(key, real, fake),
      'around': lambda: penalties.around(key, real),
    }[place]()

  def of(self, gradients: jax.Array) -> jax.Array:
    """The penalty of gradients (B, ...), or of groups (groups, examples, ...), multiplied by `weight` and `every`."""
    return (
      self.weight * self.every * penalties.gradient_penalty(gradients, target=self.target, one_sided=self.one_sided)
    )


def penalty_of(
  penalty: Callable[..., Any],
  pair: AdversarialLoss,
  discriminator: nn.Module,
  key: jax.Array,
  real: jax.Array,
  fake: jax.Array,
  **inputs: Any,
) -> Any:
  """A game's penalty; a `GradientPenalty` is of what the game's losses take for one logit."""
  log_odds = {'log_odds': pair.log_odds} if isinstance(penalty, GradientPenalty) else {}
  return penalty(discriminator, key, real, fake, **log_odds, **inputs)


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
