"""N networks of one kind with weights of their own, as one network: GMAN's discriminators, MAD-GAN's generators."""

from typing import Any

import flax.linen as nn
import jax


class Copies(nn.Module):
  """Runs all copies in one `jax.vmap` over their stacked weights: compiled once, however many they are.

  Every copy starts from other weights, and has its own dropout, noise and batch statistics.

  Attributes:
    network: the kind; its own weights are none, they lie stacked, (count, ...), under its name.
    count: how many.
  """

  network: nn.Module
  count: int

  @nn.compact
  def __call__(self, x: Any, *, train: bool, shared: bool = False, **each: Any) -> Any:
    """(count, B, ...) to (count, B, ...): copy i reads row i.

    Args:
      x: (count, B, ...); or with `shared` (B, ...), which all read.
      train: as for the network.
      shared: whether all copies read the same.
      **each: (count, ...) arrays, what else copy i takes.
    """
    run = nn.vmap(
      lambda network, x, each: network(x, train=train, **each),
      in_axes=(None if shared else 0, 0),
      variable_axes={True: 0},
      split_rngs={True: True},
      axis_size=self.count,
    )
    return run(self.network, x, each)


def dealt(x: jax.Array, count: int) -> jax.Array:
  """(B, ...) to (count, B / count, ...): examples dealt out in turn, so that each device deals out its own.

  >>> import jax.numpy as jnp
  >>> dealt(jnp.arange(6), 2).tolist()
  [[0, 2, 4], [1, 3, 5]]
  """
  return x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)


def joined(x: jax.Array) -> jax.Array:
  """(count, B, ...) to (B count, ...), the inverse of `dealt`.

  >>> import jax.numpy as jnp
  >>> joined(dealt(jnp.arange(6), 2)).tolist()
  [0, 1, 2, 3, 4, 5]
  """
  return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
