"""XLA's own convolutions for CPUs, with axes in the one order that is fast inside loops and branches too.

XLA puts the axes of a convolution in order only at the top of a program. Inside loops and branches plain loops compute
one of another order, or of a kernel that is read backwards: the adjoints that JAX derives took 20 to 60 times longer
there. These are all NHWC by HWIO, with a kernel that was turned in memory.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nets.layers.geometry import Geometry, blocked_kernel, cut, to_pixels


def _convolved(
  x: jax.Array, kernel: jax.Array, pads: Sequence[tuple[int, int]], strides: Sequence[int], spread: Sequence[int]
) -> jax.Array:
  axes = ''.join(str(i) for i in range(x.ndim - 2))
  order = (f'N{axes}C', f'{axes}IO', f'N{axes}C')
  return lax.conv_general_dilated(x, kernel, strides, pads, rhs_dilation=spread, dimension_numbers=order)


def _met(x: jax.Array, shape: Geometry) -> tuple[jax.Array, list[tuple[int, int]]]:
  """(x without the entries that no window meets, zeros around it): borders that cut off would be computed slowly."""
  sizes = zip(shape.before, shape.outputs, shape.strides, shape.window, shape.spatial, strict=True)
  pads = [(before, (o - 1) * s + k - before - n) for before, o, s, k, n in sizes]
  if any(n < 0 for pair in pads for n in pair):
    cuts = [(0, 0, 0), *((min(before, 0), min(after, 0), 0) for before, after in pads), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), cuts)
  return x, [(max(before, 0), max(after, 0)) for before, after in pads]


def _ones(shape: Geometry) -> list[int]:
  return [1 for _ in shape.window]


def forward(x: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  """x (B, *spatial, in) and a kernel (*window, in, out) to (B, *outputs, out)."""
  x, pads = _met(x, shape)
  return _convolved(x, kernel, pads, shape.strides, _ones(shape))


def input_adjoint(y: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  """y (B, *outputs, out) to x (B, *spatial, in): one convolution to the pixels of every block of the strides."""
  turned = jnp.flip(blocked_kernel(kernel, shape), range(len(shape.window))).swapaxes(-1, -2)
  blocks = _convolved(y, turned, [(r - 1, r - 1) for r in shape.taps], _ones(shape), _ones(shape))
  return cut(to_pixels(blocks, shape.strides), shape.before, shape.spatial)


def kernel_adjoint(x: jax.Array, y: jax.Array, shape: Geometry) -> jax.Array:
  """(*window, in, out): channels are examples, examples channels, and y is the kernel, spread by the strides."""
  x, pads = _met(x, shape)
  kernel = _convolved(x.swapaxes(0, -1), jnp.moveaxis(y, 0, -2), pads, _ones(shape), shape.strides)
  return jnp.moveaxis(kernel, 0, -2)
