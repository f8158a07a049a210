"""Gradients of a network inside of a loss, and what JAX says when they are taken in a way that cannot work."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
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
      Or of groups of examples that follow one another, as `nets.layers.minibatch.Packed`: (groups,) or (groups, n).
    x: (B, ...).
    **inputs: further keyword arguments of the critic.

  Returns:
    (B, ...), the shape of x; of groups (groups, B / groups, ...). It can be differentiated again.
  """
  return gradients_of(lambda critic, x: critic(x, train=True, **inputs), critic, x)


def gradients_of(judge: Callable[[Any, jax.Array], jax.Array], critic: nn.Module, x: jax.Array) -> jax.Array:
  """`input_gradients` of what is made of a critic's output, or of what is judged in place of x.

  Args:
    judge: (critic, x) -> logits.
    critic: a network of the game.
    x: (B, ...).
  """
  logits = lambda critic, x: judge(critic, x).astype(jnp.float32)
  gradients: jax.Array
  if not _holds_networks(critic):
    out, backward = nn.vjp(logits, critic, x)
    gradients = backward(jnp.ones_like(out))[-1]
  elif critic.is_initializing():  # its variables may not exist yet
    out, gradients = logits(critic, x), jnp.zeros_like(x)
  else:
    out, gradients = _gradients_outside(logits, critic, x)
  if out.shape[:1] in ((), x.shape[:1]):
    return gradients
  if len(x) % len(out):
    raise UserError(
      f'{type(critic).__name__} gives {len(out)} logits for {len(x)} examples: for input gradients it must give one '
      'for each example, or for each of equal groups'
    )
  return gradients.reshape(len(out), -1, *x.shape[1:])


def _holds_networks(module: nn.Module) -> bool:
  """Whether some of its fields are networks, or have networks in them."""
  fields = [getattr(module, f.name) for f in dataclasses.fields(module) if f.name not in ('parent', 'name')]
  return any(isinstance(leaf, nn.Module) for leaf in jax.tree.leaves(fields))


def _gradients_outside(
  logits: Callable[..., jax.Array], critic: nn.Module, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """(logits, gradients) of a critic outside of its game, for `nn.vjp` takes no network with networks in its fields.

  The game gets the variables that the critic writes.
  """
  assert critic.scope is not None
  module, variables = critic.unbind()
  keys = {name: critic.make_rng(name) for name in critic.scope.rngs}
  apply = nn.apply(logits, module, mutable=critic.scope.mutable or ())
  out, backward, written = jax.vjp(lambda x: apply(variables, x, rngs=keys), x, has_aux=True)
  for collection, tree in written.items():
    for name, value in tree.items():
      critic.put_variable(collection, name, value)
  return out, backward(jnp.ones_like(out))[0]


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
