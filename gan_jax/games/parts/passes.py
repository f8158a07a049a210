"""Several batches through one network: in a pass each, or in one pass for all."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError


def passes(network: nn.Module, *batches: jax.Array, one: bool = False, **options: Any) -> list[jax.Array]:
  """What a network makes of each of several batches (B, ...).

  Args:
    network: a child of a game, x, train -> (B, ...).
    *batches: of one shape.
    one: all in one pass, which takes less time where batches are small. Only for networks that make of an example what
      they would make of it alone; that they keep no batch statistics is checked.
    **options: further keyword arguments of the network.

  Raises:
    UserError: with `one`, the network keeps batch statistics, which one pass would mix.
  """
  if not one or len(batches) == 1:
    return [network(x, train=True, **options) for x in batches]
  # Example i of all batches side by side: to concatenate them would move them between devices.
  x = jnp.stack(batches, 1)
  y = network(x.reshape(-1, *x.shape[2:]), train=True, **options)
  if 'batch_stats' in network.variables:
    raise UserError('config.game.one_pass would mix the batch statistics of several batches: set it to False')
  y = y.reshape(*x.shape[:2], *y.shape[1:])
  return [y[:, i] for i in range(len(batches))]
