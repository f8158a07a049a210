"""N copies of a network, each with its own weights: the discriminators of GMAN, the generators of MAD-GAN."""

from typing import Any

import flax.linen as nn
import jax


class Copies(nn.Module):
  """Runs all copies in one `jax.vmap` over their stacked weights, so the network is compiled once.

  Each copy has its own initial weights, dropout, noise and batch statistics.

  Attributes:
    network: the network to copy. The weights of all copies are stacked, (count, ...), under its name.
    count: number of copies.
  """

  network: nn.Module
  count: int

  @nn.compact
  def __call__(self, x: Any, *, train: bool, shared: bool = False, **each: Any) -> Any:
    """(count, B, ...) to (count, B, ...): copy i reads row i.

    Args:
      x: (count, B, ...); with `shared` (B, ...), the input of all copies.
      train: passed to the network.
      shared: whether all copies read the same input.
      **each: (count, ...) arrays; copy i gets row i as a keyword argument.
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
  """(B, ...) to (count, B / count, ...): example i goes to copy i mod count, so that no example changes its device.

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
