"""Checks that the networks, the data and the loss of a game fit together. The errors name the setting."""

from typing import Any

import jax

from gan_jax import losses
from gan_jax.base.errors import UserError


def check_same_shape(fake: jax.Array, image: jax.Array) -> None:
  """Raises a UserError if generated examples and data differ in shape."""
  if fake.shape[1:] != image.shape[1:]:
    if image.ndim == 4 and fake.shape[1:] == (*image.shape[2:], image.shape[1]):
      raise UserError(
        f'the data have shape {image.shape[1:]}, with channels in front, but the generator makes {fake.shape[1:]}, '
        '(H, W, C), with channels last: move the axis of the data with numpy.moveaxis(x, 1, -1)'
      )
    raise UserError(
      f'the generator makes examples of shape {fake.shape[1:]} but the data have {image.shape[1:]}: change '
      'config.data.size and config.data.channels, or the generator, until they agree: most double the side with each '
      'entry of channels, from base on, and have image_channels'
    )


def check_head(loss: losses.AdversarialLoss, name: Any, logits: jax.Array) -> None:
  """Raises a UserError if the discriminator does not return the number of logits per example that the loss takes.

  Args:
    loss: loss of the game.
    name: value of config.game.loss, for the message; '' for a game without that setting.
    logits: (B,), one per example; (B, H, W), one per patch; (B, outputs) or (B, H, W, outputs).
  """
  patches = logits.ndim == 4 and logits.shape[-1] <= 2  # else of volumes, (B, D, H, W)
  outputs = logits.shape[-1] if logits.ndim == 2 or patches else 1
  if loss.outputs in (None, outputs):
    return
  wanted = 'one logit per example' if loss.outputs == 1 else f'logits (B, {loss.outputs})'
  shape = ''.join(f', {n}' for n in logits.shape[1:])
  who = f'config.game.loss={name!r}' if name else 'this game'
  other = f', or another loss{", such as two_way_softmax" * (outputs == 2)}' if name else ''
  raise UserError(
    f'{who} takes {wanted} but the discriminator gives (B{shape}): set its outputs={loss.outputs} where it has that '
    f'setting{other}'
  )
