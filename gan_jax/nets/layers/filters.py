"""Low-pass filters around resampling, as sums of shifted copies: fast on every backend, exported for any batch."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError

#: The filter of StyleGAN 2, of a sum of 1.
BINOMIAL = (1 / 8, 3 / 8, 3 / 8, 1 / 8)


def filtered(
  x: jax.Array, taps: Sequence[Any], axis: int, pads: tuple[int, int] = (0, 0), *, stride: int = 1
) -> jax.Array:
  """The sums y[i] = sum over k of taps[k] x[stride i + k] along one axis.

  Args:
    x: (B, H, W, C).
    taps: numbers, or arrays that broadcast against x, such as (B, 1, 1, 1).
    axis: 1 or 2.
    pads: zeros before and after x; negative numbers cut off.
    stride: step between sums.

  Returns:
    x with (n + before + after - taps) // stride + 1 entries along the axis.

  >>> filtered(jnp.arange(4.0).reshape(1, 4, 1, 1), (0.5, 0.5), 1, (1, 0)).ravel().tolist()
  [0.0, 0.5, 1.5, 2.5]
  """
  size = (x.shape[axis] + sum(pads) - len(taps)) // stride + 1
  if size < 1:
    raise UserError(f'a filter of {len(taps)} taps does not fit into {x.shape[axis]} pixels: take larger pictures')
  padding = [(0, 0, 0)] * x.ndim
  padding[axis] = (*pads, 0)
  x = jax.lax.pad(x, jnp.zeros((), x.dtype), padding)
  cut = lambda k: jax.lax.slice_in_dim(x, k, k + stride * (size - 1) + 1, stride, axis)
  weight = lambda tap: jnp.asarray(tap, x.dtype)
  parts = [weight(tap) * cut(k) for k, tap in enumerate(taps)]
  return sum(parts[1:], parts[0])


def enlarged(x: jax.Array, taps: Sequence[float] = BINOMIAL) -> jax.Array:
  """Twice as high and wide: zeros between the pixels, then the filter: (B, H, W, C) to (B, 2H, 2W, C).

  Beyond the borders are zeros.

  Source: Karras et al. 2019 (StyleGAN 2), https://arxiv.org/abs/1912.04958, appendix B.

  Args:
    x: (B, H, W, C).
    taps: a multiple of 4 of them; their sum is the gain of a constant picture.

  >>> enlarged(jnp.full((1, 2, 2, 1), 16.0))[0, :, :, 0].tolist()[1]
  [12.0, 16.0, 16.0, 12.0]
  """
  if len(taps) % 4:
    raise UserError(f'a filter that enlarges has {len(taps)} taps: give it a multiple of 4')
  # A pixel of even place meets every second tap, one of odd place the others; the filter is turned round, as in a
  # convolution.
  first, second = ([2 * tap for tap in tuple(taps)[::-1][start::2]] for start in (0, 1))
  before = len(taps) // 4
  for axis in (1, 2):
    even = filtered(x, first, axis, (before, before - 1))
    odd = filtered(x, second, axis, (before - 1, before))
    shape = [n * (2 if i == axis else 1) for i, n in enumerate(x.shape)]
    x = jnp.stack([even, odd], axis + 1).reshape(shape)
  return x


def reduced(x: jax.Array, taps: Sequence[float] = BINOMIAL) -> jax.Array:
  """Half as high and wide: the filter, then every second pixel; borders of zeros: (B, H, W, C) to (B, H/2, W/2, C).

  Source: as `enlarged`.

  Args:
    x: (B, H, W, C), of even sizes.
    taps: an even number of them.

  >>> reduced(jnp.full((1, 4, 4, 1), 64.0))[0, :, :, 0].tolist()
  [[49.0, 49.0], [49.0, 49.0]]
  """
  if len(taps) % 2 or x.shape[1] % 2 or x.shape[2] % 2:
    raise UserError(f'{len(taps)} taps reduce {x.shape[1]}x{x.shape[2]} pixels: all three numbers must be even')
  pads = ((len(taps) - 1) // 2, len(taps) // 2 - 1)
  for axis in (1, 2):
    x = filtered(x, tuple(taps)[::-1], axis, pads, stride=2)
  return x
