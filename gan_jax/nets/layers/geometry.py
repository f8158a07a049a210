"""Sizes of a convolution, and what both its formulations do to pixels: zeros around them, strides as channels."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Index = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


class Geometry(NamedTuple):
  """Sizes of a convolution, per spatial axis.

  Attributes:
    batch: examples.
    spatial: of the input.
    window: of the kernel.
    strides: one per axis.
    pads: zeros (before, after) the input; None for 'SAME'.
  """

  batch: int
  spatial: Index
  window: Index
  strides: Index
  pads: Pads | None = None

  @property
  def outputs(self) -> Index:
    if self.pads is None:
      return tuple(-(-n // s) for n, s in zip(self.spatial, self.strides, strict=True))
    sizes = zip(self.spatial, self.window, self.strides, self.pads, strict=True)
    return tuple((n + sum(pad) - k) // s + 1 for n, k, s, pad in sizes)

  @property
  def before(self) -> Index:
    """Zeros in front of the input."""
    if self.pads is not None:
      return tuple(before for before, _ in self.pads)
    sizes = zip(self.spatial, self.window, self.strides, self.outputs, strict=True)
    return tuple(max((o - 1) * s + k - n, 0) // 2 for n, k, s, o in sizes)

  @property
  def taps(self) -> Index:
    """Windows in blocks of the strides: r."""
    return tuple(-(-k // s) for k, s in zip(self.window, self.strides, strict=True))


def indices(sizes: Sequence[int]) -> list[Index]:
  return list(itertools.product(*(range(n) for n in sizes)))


def fit(x: jax.Array, before: Sequence[int], sizes: Sequence[int]) -> jax.Array:
  """x (B, *spatial, C) with zeros in front of each axis, and then zeros added or entries cut to the sizes."""
  after = [size - b - n for size, b, n in zip(sizes, before, x.shape[1:-1], strict=True)]
  return lax.pad(
    x, jnp.zeros((), x.dtype), [(0, 0, 0), *((b, a, 0) for b, a in zip(before, after, strict=True)), (0, 0, 0)]
  )


def cut(x: jax.Array, before: Sequence[int], sizes: Sequence[int]) -> jax.Array:
  """The adjoint of `fit`: the `sizes` entries that follow the first `before` of each axis, zeros beyond the end."""
  return fit(x, [-b for b in before], sizes)


def every(x: jax.Array, first: Sequence[int], stop: Sequence[int], steps: Sequence[int]) -> jax.Array:
  """x[:, first:stop:steps, ...] along the spatial axes of x (B, *spatial, C).

  Before jax 0.9.1 indexing with steps is a gather: slower, and the loop that `_in_parts` makes of it has no second
  derivative inside another loop.
  """
  return lax.slice(x, (0, *first, 0), (x.shape[0], *stop, x.shape[-1]), (1, *steps, 1))


def to_blocks(x: jax.Array, strides: Index) -> jax.Array:
  """(B, *(n s), C) to (B, *n, s... C): the pixels of a block become channels."""
  if math.prod(strides) == 1:
    return x
  axes = len(strides)
  shape = [size for n, s in zip(x.shape[1:-1], strides, strict=True) for size in (n // s, s)]
  x = x.reshape(x.shape[0], *shape, x.shape[-1])
  x = x.transpose(0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1)
  return x.reshape(*x.shape[: axes + 1], math.prod(x.shape[axes + 1 :]))


def to_pixels(x: jax.Array, strides: Index) -> jax.Array:
  """The inverse of `to_blocks`."""
  if math.prod(strides) == 1:
    return x
  axes = len(strides)
  sizes = x.shape[1:-1]
  x = x.reshape(x.shape[0], *sizes, *strides, x.shape[-1] // math.prod(strides))
  x = x.transpose(0, *(a for i in range(1, axes + 1) for a in (i, i + axes)), 2 * axes + 1)
  return x.reshape(x.shape[0], *(n * s for n, s in zip(sizes, strides, strict=True)), x.shape[-1])


def blocked_kernel(kernel: jax.Array, shape: Geometry) -> jax.Array:
  """(*window, in, out) to (*taps, strides... in, out), the window filled with zeros to whole blocks."""
  if math.prod(shape.strides) == 1:
    return kernel
  sizes = [r * s for r, s in zip(shape.taps, shape.strides, strict=True)]
  outs = jnp.moveaxis(kernel, -1, 0)
  return jnp.moveaxis(to_blocks(fit(outs, [0] * len(sizes), sizes), shape.strides), 0, -1)


def plain_kernel(kernel: jax.Array, shape: Geometry) -> jax.Array:
  """The adjoint of `blocked_kernel`."""
  if math.prod(shape.strides) == 1:
    return kernel
  outs = to_pixels(jnp.moveaxis(kernel, -1, 0), shape.strides)
  return jnp.moveaxis(cut(outs, [0] * len(shape.window), shape.window), 0, -1)


def as_rows(x: jax.Array) -> jax.Array:
  """(..., C) to (N, C)."""
  return x.reshape(-1, x.shape[-1])
