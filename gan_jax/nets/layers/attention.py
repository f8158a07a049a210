"""Self-attention over the pixels of a feature map."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.weights import Conv


def check_heights(module: nn.Module, heights: Sequence[int], network: str, *, train: bool) -> None:
  """Raises a UserError in training if `attention` of a module names a height that no map behind its blocks has.

  Not where it only samples: runs that were trained so can still be loaded.

  (64,), BigGAN's default, passes at every size, as in the authors' code: smaller networks are without attention then.
  """
  attention = tuple(module.attention)
  if train and not module.is_initializing() and not set(attention) <= set(heights) and attention != (64,):
    raise UserError(
      f'{network}.attention={attention}, but the maps behind its blocks are {tuple(heights)} high: name some of '
      'these, or set it to ()'
    )


class SelfAttention(nn.Module):
  r"""x + gamma o(softmax(theta phi^T) g), gamma starts at 0, so the network starts without attention.

  Source: Zhang et al. 2018 (SAGAN), https://arxiv.org/abs/1805.08318, section 3, eq. 1-3. As in the authors' code and
  BigGAN's, keys and values are max-pooled by 2, queries and keys have C / 8 channels, values C / 2.

  Attributes:
    kind: kind of the weights, 'spectral' in both papers.
  """

  kind: str = 'spectral'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    batch, height, width, channels = x.shape
    few, half = max(channels // 8, 1), max(channels // 2, 1)
    one = lambda features, name: Conv(features, (1, 1), kind=self.kind, use_bias=False, name=name)
    pool = lambda y: nn.max_pool(y, window_shape=(2, 2), strides=(2, 2)) if min(height, width) > 1 else y
    flat = lambda y: y.reshape(batch, -1, y.shape[-1])
    query = flat(one(few, 'theta')(x, train=train))  # (B, HW, C / 8)
    key = flat(pool(one(few, 'phi')(x, train=train)))  # (B, HW / 4, C / 8)
    value = flat(pool(one(half, 'g')(x, train=train)))  # (B, HW / 4, C / 2)
    weights = nn.softmax(jnp.einsum('bqc,bkc->bqk', query, key).astype(jnp.float32), -1)
    self.sow('intermediates', 'attention', weights)  # flax keeps it only if 'intermediates' is mutable
    seen = jnp.einsum('bqk,bkc->bqc', weights.astype(x.dtype), value).reshape(batch, height, width, half)
    gamma = self.param('gamma', nn.initializers.zeros, (), jnp.float32)
    return x + gamma.astype(x.dtype) * one(channels, 'o')(seen, train=train)
