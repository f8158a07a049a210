"""Data-dependent initialisation of weight norm: the first training batch sets the scale and the offset of each unit."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision


class DataScale(nn.Module):
  """Scales and shifts units so that on the first training batch they have mean 0 and deviation `stddev`; adds a bias.

  After a layer of unit weights (`weights.Dense(kind='unit', use_bias=False)`) it is weight norm with data-dependent
  initialisation. Source: Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868, section 3; openai/improved-gan,
  `nn.py`, where only the last layer trains its scale.

  Attributes:
    stddev: the standard deviation on the first batch.
    trained: whether to train the scale: a parameter that begins at 0 is added to what the first batch set.
  """

  stddev: float = 1.0
  trained: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    units = x.shape[-1]
    seen = self.variable('data_scale', 'seen', jnp.zeros, (), jnp.float32)
    scale = self.variable('data_scale', 'scale', jnp.ones, (units,), jnp.float32)
    shift = self.variable('data_scale', 'shift', jnp.zeros, (units,), jnp.float32)
    used = scale.value, shift.value
    if train:
      if x.size == units and not self.is_initializing():  # its deviation is 0, and what it sets is kept
        raise UserError(
          'the first training batch sets the scale of each unit by its deviation: give 2 examples or more'
        )
      exact = jax.lax.stop_gradient(full_precision(x)).reshape(-1, units)
      fresh = self.stddev * jax.lax.rsqrt(exact.var(0) + 1e-8)
      first = seen.value == 0
      used = jnp.where(first, fresh, scale.value), jnp.where(first, -exact.mean(0) * fresh, shift.value)
      if not self.is_initializing() and self.is_mutable_collection('data_scale'):
        seen.value, (scale.value, shift.value) = jnp.ones(()), used
    bias = self.param('bias', nn.initializers.zeros, (units,), jnp.float32)
    added = self.param('added', nn.initializers.zeros, (units,), jnp.float32) if self.trained else 0.0
    row = lambda v: v.reshape((1,) * (x.ndim - 1) + (units,))
    return (full_precision(x) * row(used[0] + added) + row(used[1] + bias)).astype(x.dtype)
