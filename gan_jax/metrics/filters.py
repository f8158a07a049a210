"""Smoothing of pictures by a separable window, as sums of shifted copies: fast on every backend, exact in float32."""

from collections.abc import Sequence

import jax


def smooth(x: jax.Array, taps: Sequence[float]) -> jax.Array:
  """Weighted sums over a square window, the same weights along both sides, where the window fits.

  Args:
    x: (B, H, W, C).
    taps: n weights along one side, n <= H and W.

  Returns:
    (B, H - n + 1, W - n + 1, C).

  >>> import jax.numpy as jnp
  >>> smooth(jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1), [0.5, 0.5]).tolist()
  [[[[2.5]]]]
  """
  for axis in (1, 2):
    size = x.shape[axis] - len(taps) + 1
    parts = [float(tap) * jax.lax.slice_in_dim(x, i, i + size, axis=axis) for i, tap in enumerate(taps)]
    x = sum(parts[1:], parts[0])
  return x
