"""Resampling by repeat and reshape, which can be exported with a free batch size."""

import jax
import jax.numpy as jnp


def upsample(x: jax.Array) -> jax.Array:
  """Nearest neighbours, twice as high and wide: (B, H, W, C) to (B, 2H, 2W, C).

  >>> import jax.numpy as jnp
  >>> upsample(jnp.arange(4.0).reshape(1, 2, 2, 1))[0, :, :, 0].tolist()[0]
  [0.0, 0.0, 1.0, 1.0]
  """
  return x.repeat(2, 1).repeat(2, 2)


def enlarge(x: jax.Array) -> jax.Array:
  """Bilinear, twice as high and wide: (B, H, W, C) to (B, 2H, 2W, C). Pixels lie in the middle of their squares.

  >>> import jax.numpy as jnp
  >>> enlarge(jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1)).ravel().tolist()
  [0.0, 1.0, 3.0, 4.0, 0.0, 1.0, 3.0, 4.0]
  """
  for axis in (1, 2):
    first, last = (jax.lax.slice_in_dim(x, *ends, axis=axis) for ends in ((0, 1), (x.shape[axis] - 1, x.shape[axis])))
    inner = lambda start, stop: jax.lax.slice_in_dim(x, start, stop, axis=axis)  # noqa: B023
    before = jnp.concatenate([first, inner(0, x.shape[axis] - 1)], axis)
    after = jnp.concatenate([inner(1, x.shape[axis]), last], axis)
    shape = (*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    x = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1).reshape(shape)
  return x


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
  return old + share * (new - old)
