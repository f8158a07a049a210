"""Convolutions of groups of channels, and of each channel alone, as fast on CPUs as on accelerators."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.precision import as_float
from gan_jax.nets.layers.conv import chosen, conv, kept

#: On one CPU device: up to so many groups of FEWEST_APART channels or more are a convolution each.
MOST_APART, FEWEST_APART = 32, 8


def grouped_conv(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
  """A convolution in which each group of channels sees the channels of its own group: `nn.Conv(feature_group_count=)`.

  On one CPU device, where XLA's own is slow, few groups are a convolution each, and many or narrow ones a product of
  matrices for each group and place of the window.
  Source: Xie et al. 2016 (ResNeXt), https://arxiv.org/abs/1611.05431, section 3.3.

  Args:
    x: (B, H, W, in).
    kernel: (h, w, in / groups, out), of odd h and w.
    groups: divides `in` and `out`.

  Returns:
    (B, H, W, out).

  >>> grouped_conv(jnp.ones((1, 4, 4, 6)), jnp.ones((3, 3, 2, 9)), 3).shape
  (1, 4, 4, 9)
  """
  if x.shape[-1] % groups or kernel.shape[-1] % groups or kernel.shape[-2] != x.shape[-1] // groups:
    raise ValueError(
      f'grouped_conv: {groups} groups of {x.shape[-1]} channels do not fit a kernel {kernel.shape}: its third size is '
      'channels / groups, and groups divides the channels before and after'
    )
  if not all(n % 2 for n in kernel.shape[:2]):
    raise ValueError(f'grouped_conv: the window is {kernel.shape[:2]}: make its sizes odd')
  if chosen() != 'matmul':
    return jax.lax.conv_general_dilated(
      x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count=groups
    )
  h, w, inner, outer = kernel.shape
  if groups <= MOST_APART and min(inner, outer // groups) >= FEWEST_APART:
    parts = zip(jnp.split(x, groups, -1), jnp.split(kernel, groups, -1), strict=True)
    return jnp.concatenate([conv(*part) for part in parts], -1)
  apart = kernel.reshape(h, w, inner, groups, outer // groups)
  batch, height, width = x.shape[:3]
  each = x.reshape(batch, height, width, groups, inner).transpose(3, 0, 1, 2, 4)
  padded = jnp.pad(each, ((0, 0), (0, 0), (h // 2, h // 2), (w // 2, w // 2), (0, 0)))
  seen = lambda i, j: padded[:, :, i : i + height, j : j + width].reshape(groups, -1, inner)
  made = sum(seen(i, j) @ apart[i, j].swapaxes(0, 1) for i, j in itertools.product(range(h), range(w)))
  made = jnp.asarray(made).reshape(groups, batch, height, width, outer // groups)
  return made.transpose(1, 2, 3, 0, 4).reshape(batch, height, width, outer)


class GroupedConv(nn.Module):
  """`nn.Conv(features, window, feature_group_count=groups, use_bias=False)` by `grouped_conv`.

  Attributes:
    features: output channels.
    window: height and width, odd.
    groups: divides the channels before and after.
    kernel_init: initializer of the kernel (h, w, in / groups, features).
  """

  features: int
  window: tuple[int, int] = (3, 3)
  groups: int = 1
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = as_float(x)
    shape = (*self.window, x.shape[-1] // self.groups, self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    return kept(grouped_conv(x, kernel.astype(x.dtype), self.groups))
