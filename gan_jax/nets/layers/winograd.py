r"""Convolutions by fewer products: tiles of m outputs per axis from m + r - 1 products instead of m r.

F(m, r) of Lavin and Gray 2015, https://arxiv.org/abs/1509.09308, section 4.1, in every axis of windows of r. A stride
of s is first turned into channels (blocks of s pixels per axis), so that 4x4 at stride 2 has r = 2.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nets.layers.geometry import (
  Geometry,
  Index,
  as_rows,
  blocked_kernel,
  cut,
  every,
  fit,
  indices,
  plain_kernel,
  to_blocks,
  to_pixels,
)

#: Outputs of a tile of winograd per axis, m. Tiles of 4 are no faster for the outputs, and ten times less exact.
TILE = 2
#: Windows of winograd per axis, in strides: what larger ones would save is lost in rounding. In float32 the largest
#: error over the largest entry, of 64 channels, is 3e-7 for windows of 3 and 2e-6 for 4 and 5, in the adjoint in the
#: kernel 1e-5.
WINDOWS = range(2, 6)
#: Products of winograd: each is a line of the program, and with more (windows of 4 in a volume) it compiles too long.
MOST_PRODUCTS = 64
Parts = dict[Index, jax.Array]
Matrix = Sequence[Sequence[float]]


class Transforms(NamedTuple):
  """F(m, r): y = A^T [(G g) * (B^T d)], of r weights g, m + r - 1 inputs d, m outputs y: the matrices B^T, G, A^T."""

  input: Matrix
  weights: Matrix
  output: Matrix


#: Where the polynomials of F(m, r) are evaluated, and at infinity: m + r - 2 of them, in this order. With -1/2 the
#: error is less than half of what it is with -2.
POINTS = (0, 1, -1, -0.5, 2)


@functools.cache
def transforms(m: int, r: int) -> Transforms:
  """The matrices of F(m, r) of Cook and Toom.

  Args:
    m: outputs.
    r: weights.

  Raises:
    ValueError: there are fewer POINTS than it takes.

  >>> transforms(2, 2).output
  ((1, 1, 0), (0, 1, 1))
  """
  if m + r - 2 > len(POINTS):
    raise ValueError(f'F({m}, {r}) takes {m + r - 2} points, there are {len(POINTS)}: add to winograd.POINTS')
  points = POINTS[: m + r - 2]
  rest = lambda i: [p for j, p in enumerate(points) if j != i]
  powers = lambda p, n: [p**k for k in range(n)]
  slopes = [math.prod(p - q for q in rest(i)) for i, p in enumerate(points)]
  at_infinity = lambda n: (*[0] * (n - 1), 1)
  return Transforms(
    (*((*_coefficients(rest(i)), 0) for i in range(len(points))), _coefficients(points)),
    (
      *(tuple(power / slope for power in powers(p, r)) for p, slope in zip(points, slopes, strict=True)),
      at_infinity(r),
    ),
    _turned((*(tuple(powers(p, m)) for p in points), at_infinity(m))),
  )


def _coefficients(roots: Sequence[float]) -> tuple[float, ...]:
  """Of the polynomial with these roots, lowest power first."""
  out: list[float] = [1]
  for root in roots:
    out = [b - root * a for a, b in zip([*out, 0], [0, *out], strict=True)]
  return tuple(out)


def fits(shape: Geometry) -> bool:
  """Whether these windows are computed by tiles."""
  return all(r in WINDOWS for r in shape.taps) and math.prod(products(shape)) <= MOST_PRODUCTS


def products(shape: Geometry) -> Index:
  """Of a tile, per axis: m + r - 1."""
  return tuple(TILE + r - 1 for r in shape.taps)


def tiles(shape: Geometry) -> Index:
  """Per axis, the last one filled with zeros."""
  return tuple(-(-o // TILE) for o in shape.outputs)


def _transforms(shape: Geometry) -> list[Transforms]:
  return [transforms(TILE, r) for r in shape.taps]


def _combined(matrix: Matrix, parts: Sequence[jax.Array]) -> list[jax.Array]:
  """The linear combinations that the rows of the matrix name."""
  sums: list[Any] = []
  for row in matrix:
    terms = [(weight, part) for weight, part in zip(row, parts, strict=True) if weight]
    total = None
    for weight, part in terms:
      term = part if weight == 1 else -part if weight == -1 else weight * part
      total = term if total is None else total + term
    sums.append(total)
  return sums


def _transformed(matrices: Sequence[Matrix], parts: Parts) -> Parts:
  """A matrix for each axis of the index."""
  for axis, matrix in enumerate(matrices):
    after: Parts = {}
    for rest in dict.fromkeys(index[:axis] + index[axis + 1 :] for index in parts):
      at = lambda i, rest=rest, axis=axis: (*rest[:axis], i, *rest[axis:])
      row = [parts[at(i)] for i in range(len(matrix[0]))]
      after |= {at(i): part for i, part in enumerate(_combined(matrix, row))}
    parts = after
  return parts


def _turned(matrix: Matrix) -> Matrix:
  return tuple(zip(*matrix, strict=True))


def _stacked(parts: Parts, sizes: Index) -> jax.Array:
  """{index: (...)} to (*sizes, ...)."""
  first = next(iter(parts.values()))
  return jnp.stack([parts[i] for i in indices(sizes)]).reshape(*sizes, *first.shape)


def _input_tiles(x: jax.Array, shape: Geometry) -> Parts:
  """The windows of m + r - 1 pixels per axis that make m outputs, transformed: {index: (B, *tiles, C)}."""
  sizes = [(TILE * t + r - 1) * s for t, r, s in zip(tiles(shape), shape.taps, shape.strides, strict=True)]
  x = to_blocks(fit(x, shape.before, sizes), shape.strides)
  parts = {}
  for index in indices(products(shape)):
    stop = [i + TILE * (t - 1) + 1 for i, t in zip(index, tiles(shape), strict=True)]
    parts[index] = every(x, index, stop, [TILE] * len(stop))
  return _transformed([t.input for t in _transforms(shape)], parts)


def kernel_tiles(kernel: jax.Array, shape: Geometry) -> Parts:
  """The kernel (*window, in, out), transformed: {index: (in, out)}, for `forward` and `input_adjoint`."""
  kernel = blocked_kernel(kernel, shape)
  return _transformed([t.weights for t in _transforms(shape)], {i: kernel[i] for i in indices(shape.taps)})


def _output_tiles(y: jax.Array, shape: Geometry) -> Parts:
  """Cotangents of the outputs, transformed by the adjoint of A^T."""
  square = (TILE,) * len(shape.window)
  y = fit(y, [0] * len(square), [TILE * t for t in tiles(shape)])
  parts = {i: every(y, i, y.shape[1:-1], square) for i in indices(square)}
  return _transformed([_turned(t.output) for t in _transforms(shape)], parts)


def _times(tiles: Parts, kernel: Parts, axis: int) -> Parts:
  """Products of the channels with one axis of the kernel: 0 its inputs, 1 its outputs, without turning it."""
  return {i: lax.dot_general(x, kernel[i], (((x.ndim - 1,), (axis,)), ((), ()))) for i, x in tiles.items()}


def forward(x: jax.Array, kernel: Parts, shape: Geometry, axis: int = 0) -> jax.Array:
  """The convolution, (B, *spatial, C) to (B, *outputs, out); `axis` of the kernel's tiles, 0 or 1, is that of C."""
  axes = len(shape.window)
  outputs = _times(_input_tiles(x, shape), kernel, axis)
  outputs = _transformed([t.output for t in _transforms(shape)], outputs)  # {(m, m): (B, *tiles, out)}
  joined = _stacked(outputs, (TILE,) * axes)  # (m, m, B, *tiles, out)
  order = (axes, *(a for i in range(axes) for a in (axes + 1 + i, i)), 2 * axes + 1)
  y = joined.transpose(order).reshape(x.shape[0], *(TILE * t for t in tiles(shape)), joined.shape[-1])
  return cut(y, [0] * axes, shape.outputs)


def _overlapped(parts: Sequence[jax.Array], axis: int) -> jax.Array:
  """Windows at every m-th pixel, added up: an array for each of their pixels, with t along the axis, to one."""
  count, step = parts[0].shape[axis], TILE
  length = count + (len(parts) - 1) // step
  placed = []
  for i, part in enumerate(parts):
    pads = [(0, 0, 0)] * part.ndim
    pads[axis] = (i // step, length - count - i // step, 0)
    placed.append(lax.pad(part, jnp.zeros((), part.dtype), pads))
  joined = jnp.stack([sum(placed[i + step :: step], placed[i]) for i in range(step)], axis + 1)
  return joined.reshape(*joined.shape[:axis], step * length, *joined.shape[axis + 2 :])


def input_adjoint(y: jax.Array, kernel: Parts, shape: Geometry) -> jax.Array:
  """The adjoint in x, (B, *outputs, out) to (B, *spatial, in)."""
  windows = _times(_output_tiles(y, shape), kernel, 1)
  windows = _transformed([_turned(t.input) for t in _transforms(shape)], windows)
  for axis in reversed(range(len(shape.window))):  # {(i, j): ...} to {(i,): ...} to {(): ...}
    pixels = range(products(shape)[axis])
    rests = dict.fromkeys(index[:-1] for index in windows)
    windows = {rest: _overlapped([windows[(*rest, i)] for i in pixels], axis + 1) for rest in rests}
  return cut(to_pixels(windows[()], shape.strides), shape.before, shape.spatial)


def kernel_adjoint(x: jax.Array, y: jax.Array, shape: Geometry) -> jax.Array:
  """The adjoint in the kernel, (B, *spatial, in) and (B, *outputs, out) to (*window, in, out)."""
  sides = _input_tiles(x, shape), _output_tiles(y, shape)
  parts = {i: as_rows(tile).T @ as_rows(sides[1][i]) for i, tile in sides[0].items()}
  parts = _transformed([_turned(t.weights) for t in _transforms(shape)], parts)
  return plain_kernel(_stacked(parts, shape.taps), shape)
