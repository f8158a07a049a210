"""Whether the networks, the data and the loss of a game fit together: errors that name the setting."""

from typing import Any

import jax

from gan_jax import losses
from gan_jax.errors import UserError


def check_same_shape(fake: jax.Array, image: jax.Array) -> None:
  """Raises a UserError if generated examples and data differ in shape."""
  if fake.shape[1:] != image.shape[1:]:
    if image.ndim == 4 and fake.shape[1:] == (*image.shape[2:], image.shape[1]):
      raise UserError(
        f'the data have shape {image.shape[1:]}, with channels in front, but the generator makes {fake.shape[1:]}, '
        '(H, W, C), with channels last: store the data so, as numpy.moveaxis(x, 1, -1) does'
      )
    raise UserError(
      f'the generator makes examples of shape {fake.shape[1:]} but the data have {image.shape[1:]}: change '
      "config.data.size and config.data.channels, or the generator's channels and shape, until they agree"
    )


def check_head(loss: Any, logits: jax.Array) -> None:
  """Raises a UserError if a loss of `gan_jax.losses` and the discriminator's head do not fit."""
  if loss == 'two_way_softmax' and (logits.ndim != 2 or logits.shape[-1] != 2):
    raise UserError(
      f'config.game.loss={loss!r} takes logits (B, 2) but the discriminator gives (B{_tail(logits)}): set '
      'config.game.discriminator.outputs=2, or another loss'
    )
  # (B,) is one logit per example, (B, H, W) one per patch; (B, n) is the head of something else.
  if isinstance(loss, str) and loss != 'two_way_softmax' and loss in losses.__all__ and logits.ndim == 2:
    raise UserError(
      f'config.game.loss={loss!r} takes one logit per example but the discriminator gives (B{_tail(logits)}): set '
      "config.game.discriminator.outputs=1, or loss='two_way_softmax' with two"
    )


def _tail(array: jax.Array) -> str:
  return ''.join(f', {n}' for n in array.shape[1:])
