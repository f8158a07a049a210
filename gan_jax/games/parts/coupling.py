"""Whether a discriminator judges each example by itself, so that real and generated ones may share a batch."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.core.game import RANDOM_STREAMS

CURE = 'set config.game.one_pass=False, or take a discriminator without batch norm and minibatch layers'


def check_uncoupled(discriminator: nn.Module, image: jax.Array, **inputs: jax.Array) -> None:
  """Raises a UserError if a discriminator's logit of one example depends on the others of the batch.

  Not found out is what couples only groups of more than two examples.

  Args:
    discriminator: a child of a game that is being initialised, and was called.
    image: (B, ...), of which only shape and dtype matter.
    **inputs: what else it takes of an example, such as a label; likewise.
  """
  if 'batch_stats' in discriminator.variables:
    raise UserError(f'config.game.one_pass would mix the batch statistics of real and generated examples: {CURE}')
  others = tuple((name, x.shape[1:], x.dtype) for name, x in inputs.items())
  arguments = discriminator.clone(parent=None, name=None), image.shape[1:], image.dtype, others
  try:
    hash(arguments)
  except TypeError:
    found = couples.__wrapped__(*arguments)
  else:
    found = couples(*arguments)
  if found:
    raise UserError(f'config.game.one_pass: a logit depends on the other examples of the batch, so {CURE}')


@functools.lru_cache(maxsize=8)
def couples(
  discriminator: nn.Module,
  shape: tuple[int, ...],
  dtype: Any,
  others: tuple[tuple[str, tuple[int, ...], Any], ...] = (),
) -> bool:
  """Whether a network's output for an example changes with its neighbour, in a batch of two with random weights.

  Computes, even where it is called from what is being traced.

  Args:
    discriminator: (2, *shape), train -> (2, ...).
    shape: of an example.
    dtype: of an example.
    others: (name, shape, dtype) of what else the network takes of an example; zeros are given.

  >>> from gan_jax.nets import dcgan, mlp
  >>> couples(mlp.Discriminator((8,)), (2,), np.dtype('float32'))
  False
  >>> couples(dcgan.Discriminator((4, 4), norm='none', minibatch_kernels=3), (8, 8, 1), np.dtype('float32'))
  True
  """
  random = np.random.RandomState(0)
  inputs: dict[str, Any] = {name: np.zeros((2, *shape), dtype) for name, shape, dtype in others}
  keys = lambda: {name: jax.random.key(0) for name in ('params', *RANDOM_STREAMS)}
  # An example beside a copy of itself, as nothing shows more to what looks for likeness, and beside another.
  first, other = random.standard_normal((2, 1, *shape)).astype(dtype)
  copies, apart = np.concatenate([first, first]), np.concatenate([first, other])

  def filled(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    """Random weights: initial ones may hide something, such as a gate at 0."""
    fan = math.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 1
    return (random.standard_normal(leaf.shape) / math.sqrt(fan)).astype(leaf.dtype)

  def judge(variables: Any, x: jax.Array) -> Any:
    return discriminator.apply(variables, x, train=True, rngs=keys(), mutable=True, **inputs)[0][0]

  variables = jax.tree.map(
    filled, jax.eval_shape(lambda x: discriminator.init(keys(), x, train=True, **inputs), copies)
  )
  # Compiled ahead, it gives numbers though the caller is being traced.
  compiled = jax.jit(judge).lower(variables, copies).compile()
  beside_copy, beside_another = compiled(variables, copies), compiled(variables, apart)
  return not np.allclose(beside_copy, beside_another, rtol=1e-5, atol=1e-6)
