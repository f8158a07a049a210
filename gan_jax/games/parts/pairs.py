"""The pair of losses that a game's setting `loss` names."""

import inspect
from typing import Any

from gan_jax import losses
from gan_jax.base.calls import resolve
from gan_jax.base.errors import UserError


def pair_of(loss: Any) -> losses.AdversarialLoss:
  """An `AdversarialLoss` from config.game.loss: such a pair, the name of one, or a function of defaults that makes one.

  Raises:
    UserError: it is none.

  >>> pair_of('hinge') is losses.hinge
  True
  """
  pair = resolve(loss, 'gan_jax.losses', 'config.game.loss') if isinstance(loss, str) else loss
  if inspect.isfunction(pair) and all(p.default is not p.empty for p in inspect.signature(pair).parameters.values()):
    pair = pair()  # smoothed and targets are functions: call them with their defaults
  if not isinstance(pair, losses.AdversarialLoss):
    pairs = [name for name in losses.__all__ if isinstance(getattr(losses, name), losses.AdversarialLoss)]
    raise UserError(f'config.game.loss={loss!r} is not an AdversarialLoss: choose one of {", ".join(pairs)}')
  return pair
