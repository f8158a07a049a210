"""Layers that tell a discriminator how similar the examples of a batch are.

Call them on real and on generated examples separately: the statistics of a mixed batch would reveal the answer.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.weights import Dense


class MinibatchDiscrimination(nn.Module):
  r"""Appends to each example's features its closeness to the other examples of the batch, in several projections.

  $o(x_i)_b = \sum_j \exp(-\|M_{i,b} - M_{j,b}\|_1)$, M = f(x) T.
  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.2.

  Attributes:
    kernels: B, the number of learned projections.
    dimension: C, the dimension of each.
  """

  kernels: int = 100
  dimension: int = 5

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(B, n) to (B, n + kernels)."""
    # Projections of length 1 whatever n is: longer ones put wide features so far apart that every closeness is 0.
    init = nn.initializers.variance_scaling(1.0, 'fan_in', 'normal')
    projected = Dense(self.kernels * self.dimension, use_bias=False, kernel_init=init, name='project')(x, train=True)
    rows = full_precision(projected).reshape(-1, self.kernels, self.dimension)
    distances = jnp.sum(jnp.abs(rows[:, None] - rows[None]), -1)  # (B, B, kernels)
    return jnp.concatenate([x, jnp.sum(jnp.exp(-distances), 1).astype(x.dtype)], -1)


def minibatch_stddev(x: jax.Array, *, group: int = 4) -> jax.Array:
  """Appends a channel that holds the mean deviation of features within groups of the batch.

  Source: Karras et al. 2017, https://arxiv.org/abs/1710.10196, section 3.

  Args:
    x: (B, H, W, C).
    group: examples per group; it must divide B. If B is smaller than `group`, the batch is one group.

  Returns:
    (B, H, W, C + 1).

  >>> y = minibatch_stddev(jnp.array([[[[1.0]]], [[[3.0]]]]))
  >>> [round(v, 3) for v in y[:, 0, 0, 1].tolist()]
  [1.0, 1.0]
  """
  batch, height, width, channels = x.shape
  if group < 1:
    raise UserError(f'minibatch_stddev: group={group} must be at least 1')
  group = min(group, batch)
  if batch % group:
    raise ValueError(f'minibatch_stddev: group={group} does not divide the batch of {batch}')
  # Example i belongs to group i mod (B / group), as in the authors' code.
  groups = full_precision(x).reshape(group, batch // group, height, width, channels)
  deviations = jnp.sqrt(jnp.var(groups, 0) + 1e-8).mean((1, 2, 3))  # (B / group,)
  plane = jnp.tile(deviations, group).reshape(batch, 1, 1, 1)
  return jnp.concatenate([x, jnp.broadcast_to(plane, (batch, height, width, 1)).astype(x.dtype)], -1)


def packed(x: jax.Array, count: int) -> jax.Array:
  """Groups of examples as one example each, their channels side by side: (B, ..., C) to (B / count, ..., count C).

  Source: Lin et al. 2017 (PacGAN), https://arxiv.org/abs/1712.04086, section 2.

  Args:
    x: (B, ..., C).
    count: examples per group; it must divide B. Group i has the examples count i ... count i + count - 1.

  >>> packed(jnp.arange(4.0).reshape(4, 1), 2).tolist()
  [[0.0, 1.0], [2.0, 3.0]]
  """
  if count < 1 or x.shape[0] % count:
    raise UserError(f'packed: groups of {count} do not divide the batch of {x.shape[0]}: choose another batch size')
  groups = x.reshape(x.shape[0] // count, count, *x.shape[1:])
  return jnp.moveaxis(groups, 1, -2).reshape(groups.shape[0], *x.shape[1:-1], count * x.shape[-1])


class Packed(nn.Module):
  """A discriminator that judges groups of examples together (PacGAN): a mode that is missing shows in each group.

  Attributes:
    network: the discriminator of a group, (B / count, ..., count C) to (B / count,).
    count: examples per group; it must divide the batch.
  """

  network: nn.Module
  count: int = 2

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """(B, ..., C) to (B / count,)."""
    logits: jax.Array = self.network(packed(x, self.count), train=train)
    return logits
