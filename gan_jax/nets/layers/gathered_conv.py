"""Convolutions by the windows of x side by side (im2col) and one matrix product: fastest with very few channels."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nets.layers.geometry import Geometry, as_rows, blocked_kernel, cut, fit, indices, to_pixels


def _windows(x: jax.Array, shape: Geometry) -> jax.Array:
  """(B, *outputs, window... C): the windows side by side."""
  sizes = [(o - 1) * s + k for o, s, k in zip(shape.outputs, shape.strides, shape.window, strict=True)]
  x = fit(x, shape.before, sizes)
  # One axis after the other: all at once would copy C numbers at a time, which takes 3 times as long where C is small.
  for axis in reversed(range(len(shape.window))):
    span, stride = (shape.outputs[axis] - 1) * shape.strides[axis] + 1, shape.strides[axis]
    parts = [lax.slice_in_dim(x, i, i + span, stride, axis + 1) for i in range(shape.window[axis])]
    x = jnp.concatenate(parts, -1) if len(parts) > 1 else parts[0]
  return x


def forward(x: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  """x (B, *spatial, in) and a kernel (*window, in, out) to (B, *outputs, out)."""
  return _windows(x, shape) @ kernel.reshape(-1, kernel.shape[-1])


def kernel_adjoint(x: jax.Array, y: jax.Array, shape: Geometry) -> jax.Array:
  """(*window, in, out), of x and of y (B, *outputs, out)."""
  product = as_rows(_windows(x, shape)).T @ as_rows(y)
  return product.reshape(*shape.window, x.shape[-1], y.shape[-1])


def input_adjoint(y: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  """y (B, *outputs, out) to x (B, *spatial, in): every output's window, added up where they overlap."""
  kernel = blocked_kernel(kernel, shape)  # (*taps, strides... in, out)
  channels = kernel.shape[-2]
  products = lax.dot_general(y, kernel.reshape(-1, kernel.shape[-1]), (((y.ndim - 1,), (1,)), ((), ())))
  total: Any = None
  for number, index in enumerate(indices(shape.taps)):
    part = products[..., number * channels : (number + 1) * channels]
    part = fit(part, index, [o + r - 1 for o, r in zip(shape.outputs, shape.taps, strict=True)])
    total = part if total is None else total + part
  return cut(to_pixels(total, shape.strides), shape.before, shape.spatial)
