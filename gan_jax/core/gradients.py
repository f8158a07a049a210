"""Gradients of a network inside of a loss, and what JAX says when they are taken in a way that cannot work."""

import contextlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError


def input_gradients(critic: nn.Module, x: jax.Array, **inputs: Any) -> jax.Array:
  """The gradient of a critic's output with respect to each example, for a gradient penalty in a method of a game.

  It is a pass in training mode: where the critic's variables may change (batch statistics, spectral norm), they change
  once more, as in PyTorch.

  Args:
    critic: a network of the game, (x (B, ...), train) -> logits (B,) or (B, n). The logits of an example are summed.
    x: (B, ...).
    **inputs: further keyword arguments of the critic.

  Returns:
    (B, ...), the shape of x. It can be differentiated again.
  """

  def logits(critic: nn.Module, x: jax.Array) -> jax.Array:
    out: jax.Array = critic(x, train=True, **inputs)
    return out.astype(jnp.float32)

  out, backward = nn.vjp(logits, critic, x)
  gradients: jax.Array = backward(jnp.ones_like(out))[-1]
  return gradients


@contextlib.contextmanager
def explaining_leaks(game: nn.Module) -> Iterator[None]:
  """A block that traces losses of a game: what leaks from a transformation of a network is told in words.

  Raises:
    UserError: in place of jax.errors.UnexpectedTracerError.
  """
  try:
    yield
  except jax.errors.UnexpectedTracerError as error:
    raise UserError(
      f'a loss of {type(game).__name__} takes jax.grad, or another transformation, of a network that writes variables '
      'such as batch statistics, which leak from it: for a penalty take core.input_gradients(network, x), else nn.vjp, '
      'nn.vmap or nn.scan'
    ) from error
