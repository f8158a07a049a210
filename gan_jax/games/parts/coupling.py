"""Checks that a network computes its output for an example from that alone, so that batches can share a pass."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.core.game import RANDOM_STREAMS

CURE = 'set config.game.one_pass=False, or take a network without batch norm and minibatch layers'


def check_statistics(network: nn.Module) -> None:
  """Raises a UserError if a child of a game, which the game has called, keeps batch statistics."""
  if 'batch_stats' in network.variables:
    raise UserError(f'config.game.one_pass would mix the batch statistics of several batches: {CURE}')


def check_uncoupled(network: nn.Module, image: jax.Array, **inputs: jax.Array) -> None:
  """Raises a UserError if what a network makes of one example depends on the other examples of the batch.

  The check uses batches of two. It cannot detect a network that mixes only groups of three or more examples.

  Args:
    network: a child of a game. The game is being initialised and has called it once.
    image: (B, ...); only its shape and dtype matter.
    **inputs: further inputs of the network, such as a label; only their shapes and dtypes matter. Floating-point
      inputs are checked in float32.
  """
  check_statistics(network)
  # In bfloat16 rounding looked like coupling: BigGAN-128 was refused (jax 0.11.2 on a CPU).
  exact = lambda x: np.dtype('float32') if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype
  others = tuple((name, x.shape[1:], exact(x)) for name, x in inputs.items())
  arguments = network.clone(parent=None, name=None), image.shape[1:], exact(image), others
  try:
    hash(arguments)
  except TypeError:
    coupled = couples.__wrapped__(*arguments)
  else:
    coupled = couples(*arguments)
  if coupled:
    raise UserError(
      f'config.game.one_pass: the output for an example depends on the other examples of the batch: {CURE}'
    )


@functools.lru_cache(maxsize=8)
def couples(
  network: nn.Module,
  shape: tuple[int, ...],
  dtype: Any,
  others: tuple[tuple[str, tuple[int, ...], Any], ...] = (),
) -> bool:
  """Whether the output for one example of a batch of two changes when the other one changes, with random weights.

  It computes numbers even if the caller is being traced.

  Args:
    network: (2, *shape), train -> (2, ...).
    shape: shape of one example.
    dtype: dtype of the examples.
    others: (name, shape, dtype) of each further input; the check passes zeros.

  >>> from gan_jax.nets import dcgan, mlp
  >>> couples(mlp.Discriminator((8,)), (2,), np.dtype('float32'))
  False
  >>> couples(dcgan.Discriminator((4, 4), norm='none', minibatch_kernels=3), (8, 8, 1), np.dtype('float32'))
  True
  """
  random = np.random.RandomState(0)
  inputs: dict[str, Any] = {name: np.zeros((2, *shape), dtype) for name, shape, dtype in others}
  keys = lambda: {name: jax.random.key(0) for name in ('params', *RANDOM_STREAMS)}
  # An example with a copy of itself, and with another. A layer that measures similarity reacts most to the copy.
  first, other = random.standard_normal((2, 1, *shape)).astype(dtype)
  copies, apart = np.concatenate([first, first]), np.concatenate([first, other])

  def filled(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    """Random weights. Initial weights can hide a coupling, for example behind a gate that starts at 0."""
    fan = math.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 1
    return (random.standard_normal(leaf.shape) / math.sqrt(fan)).astype(leaf.dtype)

  def output(variables: Any, x: jax.Array) -> Any:
    return network.apply(variables, x, train=True, rngs=keys(), mutable=True, **inputs)[0][0]

  variables = jax.tree.map(filled, jax.eval_shape(lambda x: network.init(keys(), x, train=True, **inputs), copies))
  # Compiled ahead of time, it gives numbers even if the caller is being traced.
  with jax.default_matmul_precision('highest'):  # on a GPU float32 is multiplied as TF32 otherwise
    compiled = jax.jit(output).lower(variables, copies).compile()
  beside_copy, beside_another = compiled(variables, copies), compiled(variables, apart)
  size = max(np.abs(beside_copy).max(), 1e-2)
  return not np.allclose(beside_copy, beside_another, rtol=0, atol=1e-4 * size)
