"""Resampling by repeat, reshape and matrix products, which can be exported with a free batch size."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError, one_of


def upsample(x: jax.Array) -> jax.Array:
  """Nearest neighbours, twice as high and wide: (B, H, W, C) to (B, 2H, 2W, C).

  >>> import jax.numpy as jnp
  >>> upsample(jnp.arange(4.0).reshape(1, 2, 2, 1))[0, :, :, 0].tolist()[0]
  [0.0, 0.0, 1.0, 1.0]
  """
  if x.ndim != 4:
    raise ValueError(f'upsample: x is of shape {x.shape}, must be (B, H, W, C)')
  return x.repeat(2, 1).repeat(2, 2)


def enlarge(x: jax.Array) -> jax.Array:
  """Bilinear, twice as high and wide: (B, H, W, C) to (B, 2H, 2W, C). Pixels lie in the middle of their squares.

  >>> import jax.numpy as jnp
  >>> enlarge(jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1)).ravel().tolist()
  [0.0, 1.0, 3.0, 4.0, 0.0, 1.0, 3.0, 4.0]
  """
  return resize(x, (2 * x.shape[1], 2 * x.shape[2]))


def downsample(x: jax.Array) -> jax.Array:
  """Means of 2 x 2 pixels: (B, H, W, C) to (B, H/2, W/2, C).

  >>> import jax.numpy as jnp
  >>> downsample(jnp.arange(4.0).reshape(1, 2, 2, 1)).ravel().tolist()
  [1.5]
  """
  batch, height, width, channels = x.shape
  if height % 2 or width % 2:
    raise ValueError(f'downsample: height and width must be even, not {height} and {width}')
  return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def blend(old: jax.Array, new: jax.Array, share: jax.Array | float) -> jax.Array:
  """(1 - share) old + share new: fades in a new resolution.

  Source: Karras et al. 2017, https://arxiv.org/abs/1710.10196, figure 2.

  >>> import jax.numpy as jnp
  >>> blend(jnp.zeros(1), jnp.ones(1), 0.25).tolist()
  [0.25]
  """
  return old + jnp.asarray(share, new.dtype) * (new - old)


def _cubic(t: np.ndarray) -> np.ndarray:
  """Keys' kernel with a = -1/2, as PIL's and TensorFlow's bicubic."""
  near, far = ((1.5 * t - 2.5) * t) * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
  return np.where(t < 1, near, np.where(t < 2, far, 0.0))


#: Weights by distance in pixels.
KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'nearest': lambda t: (t < 0.5).astype(float),
  'linear': lambda t: np.maximum(1 - t, 0.0),
  'cubic': _cubic,
}


@functools.lru_cache(maxsize=64)
def resize_matrix(old: int, new: int, method: str, antialias: bool) -> np.ndarray:
  """(new, old) float32: how each of `new` pixels is made of `old` ones; pixel centres at 1/2, edges cut off."""
  scale = old / new
  centres = (np.arange(new) + 0.5) * scale - 0.5
  if method == 'nearest':
    matrix = np.zeros((new, old))
    matrix[np.arange(new), np.clip(np.floor((np.arange(new) + 0.5) * scale).astype(int), 0, old - 1)] = 1
    return matrix.astype(np.float32)
  wide = max(scale, 1.0) if antialias else 1.0
  matrix = KERNELS[method](np.abs(centres[:, None] - np.arange(old)[None]) / wide)
  return (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)


def resize(x: jax.Array, sizes: Sequence[int], *, method: str = 'linear', antialias: bool = True) -> jax.Array:
  """x (B, *spatial, C) at any other sizes: a matrix product for each axis. It equals `jax.image.resize`.

  Integers are rounded.

  Args:
    x: (B, *spatial, C).
    sizes: the new ones, one per spatial axis.
    method: 'nearest', 'linear' or 'cubic'.
    antialias: widens the kernel where the picture shrinks.

  Returns:
    (B, *sizes, C), the dtype of x.

  >>> resize(jnp.array([0.0, 1.0]).reshape(1, 2, 1), (4,)).ravel().tolist()
  [0.0, 0.25, 0.75, 1.0]
  """
  if method not in KERNELS:
    raise one_of('method of resize', method, KERNELS)
  if len(sizes) != x.ndim - 2 or min(sizes) < 1:
    raise UserError(f'resize of x {x.shape} to sizes={tuple(sizes)}: give a size of at least 1 per spatial axis')
  y = x
  for axis, new in enumerate(sizes, 1):
    if (old := x.shape[axis]) != new:
      # In the type of x, as convolutions: a network that computes in bfloat16 resizes in it too, summing in float32.
      kind = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.float32
      matrix = jnp.asarray(resize_matrix(old, new, method, antialias), kind)
      sums = jnp.promote_types(kind, jnp.float32)
      y = jnp.tensordot(y.astype(kind), matrix, (axis, 1), preferred_element_type=sums)
      y = jnp.moveaxis(y, -1, axis).astype(kind)
  if jnp.issubdtype(x.dtype, jnp.integer) and y.dtype != x.dtype:  # cubic kernels leave the range
    limits = jnp.iinfo(x.dtype)
    y = jnp.clip(jnp.round(y), limits.min, limits.max)
  return y.astype(x.dtype)


def pixel_shuffle(x: jax.Array) -> jax.Array:
  """Four channels become 2 x 2 pixels: (B, H, W, 4 C) to (B, 2H, 2W, C).

  Channel 4 c + 2 i + j becomes channel c of pixel (i, j), as in PyTorch's `PixelShuffle(2)`.
  Source: Shi et al. 2016, https://arxiv.org/abs/1609.05158, eq. 4.

  >>> import jax.numpy as jnp
  >>> pixel_shuffle(jnp.arange(4.0).reshape(1, 1, 1, 4))[0, :, :, 0].tolist()
  [[0.0, 1.0], [2.0, 3.0]]
  """
  batch, height, width, channels = x.shape
  if channels % 4:
    raise ValueError(f'pixel_shuffle: channels must be a multiple of 4, not {channels}')
  x = x.reshape(batch, height, width, channels // 4, 2, 2)
  return x.transpose(0, 1, 4, 2, 5, 3).reshape(batch, 2 * height, 2 * width, channels // 4)
