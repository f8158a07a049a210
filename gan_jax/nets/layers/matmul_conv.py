r"""Convolutions as matrix products, for CPUs: there XLA's own are slow in the backward pass and slower inside loops.

A convolution y = conv(x, kernel) and its two adjoints, each in the faster of two formulations:

  gathering  the windows of the side with fewer channels side by side (im2col) and one matrix product; or one matrix
             product to all windows, which are then added up
  winograd   tiles of 2 outputs per axis, from r + 1 products instead of 2 r: F(2, r) of Lavin and Gray 2015,
             https://arxiv.org/abs/1509.09308, section 4.1, for r of 2 to 5 in every axis. A stride of s is first turned
             into channels (blocks of s pixels per axis), so that 4x4 at stride 2 has r = 2

The three are jitted: a program that has a convolution of the same sizes many times is traced and written out once for
all of them, and XLA compiles it as before.

Both work through the batch in parts that fit into the cache. Inputs of less than 32 bits are computed in float32.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

#: What the transforms, or the windows, of one part of a batch may need, bytes: more leaves the cache of a core or two.
WORKING_SET = {'winograd': 1 << 24, 'gathering': 1 << 22}
#: The same of winograd with three axes, whose 27 transforms of a tile want to stay in the second level's cache.
WORKING_SET_OF_VOLUMES = 1 << 21
#: Outputs of a tile of winograd per axis, m. Tiles of 4 are no faster for the outputs, and ten times less exact.
TILE = 2
#: Windows of winograd per axis, in strides: what larger ones would save is lost in rounding.
WINDOWS = range(2, 6)
#: Products of winograd: each is a line of the program, and with more (windows of 4 in a volume) it compiles too long.
MOST_PRODUCTS = 64
#: With fewer channels than this the transforms of winograd cost more than the products that they save.
FEWEST_CHANNELS = 32
#: With fewer outputs in the whole batch than this the transform of the kernel costs more.
FEWEST_OUTPUTS = 64

Index = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Parts = dict[Index, jax.Array]
Matrix = Sequence[Sequence[float]]


class Transforms(NamedTuple):
  """F(m, r): y = A^T [(G g) * (B^T d)], of r weights g, m + r - 1 inputs d, m outputs y: the matrices B^T, G, A^T."""

  input: Matrix
  weights: Matrix
  output: Matrix


#: Where the polynomials of F(m, r) are evaluated, and at infinity: m + r - 2 of them, in this order.
POINTS = (0, 1, -1, 2, -2)


@functools.cache
def transforms(m: int, r: int) -> Transforms:
  """The matrices of F(m, r) of Cook and Toom.

  Args:
    m: outputs.
    r: weights.

  >>> transforms(2, 2).output
  ((1, 1, 0), (0, 1, 1))
  """
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


def _coefficients(roots: Sequence[int]) -> tuple[int, ...]:
  """Of the polynomial with these roots, lowest power first."""
  out = [1]
  for root in roots:
    out = [b - root * a for a, b in zip([*out, 0], [0, *out], strict=True)]
  return tuple(out)


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

  @property
  def tile(self) -> Index:
    """Outputs of a tile of winograd: m."""
    return (TILE,) * len(self.window)

  @property
  def products(self) -> Index:
    """Of a tile of winograd: m + r - 1."""
    return tuple(m + r - 1 for m, r in zip(self.tile, self.taps, strict=True))

  @property
  def tiles(self) -> Index:
    return tuple(-(-o // m) for o, m in zip(self.outputs, self.tile, strict=True))

  @property
  def transforms(self) -> list[Transforms]:
    return [transforms(m, r) for m, r in zip(self.tile, self.taps, strict=True)]


def _indices(sizes: Sequence[int]) -> list[Index]:
  return list(itertools.product(*(range(n) for n in sizes)))


def _fit(x: jax.Array, before: Sequence[int], sizes: Sequence[int]) -> jax.Array:
  """x (B, *spatial, C) with zeros in front of each axis, and then zeros added or entries cut to the sizes."""
  after = [size - b - n for size, b, n in zip(sizes, before, x.shape[1:-1], strict=True)]
  return lax.pad(
    x, jnp.zeros((), x.dtype), [(0, 0, 0), *((b, a, 0) for b, a in zip(before, after, strict=True)), (0, 0, 0)]
  )


def _cut(x: jax.Array, before: Sequence[int], sizes: Sequence[int]) -> jax.Array:
  """The adjoint of `_fit`: the `sizes` entries that follow the first `before` of each axis, zeros beyond the end."""
  return _fit(x, [-b for b in before], sizes)


def every(x: jax.Array, first: Sequence[int], stop: Sequence[int], steps: Sequence[int]) -> jax.Array:
  """x[:, first:stop:steps, ...] along the spatial axes of x (B, *spatial, C).

  Before jax 0.9.1 indexing with steps is a gather: slower, and the loop that `_in_parts` makes of it has no second
  derivative inside another loop.
  """
  return lax.slice(x, (0, *first, 0), (x.shape[0], *stop, x.shape[-1]), (1, *steps, 1))


def _blocks(x: jax.Array, strides: Index) -> jax.Array:
  """(B, *(n s), C) to (B, *n, s... C): the pixels of a block become channels."""
  if math.prod(strides) == 1:
    return x
  axes = len(strides)
  shape = [size for n, s in zip(x.shape[1:-1], strides, strict=True) for size in (n // s, s)]
  x = x.reshape(x.shape[0], *shape, x.shape[-1])
  x = x.transpose(0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1)
  return x.reshape(*x.shape[: axes + 1], math.prod(x.shape[axes + 1 :]))


def _pixels(x: jax.Array, strides: Index) -> jax.Array:
  """The inverse of `_blocks`."""
  if math.prod(strides) == 1:
    return x
  axes = len(strides)
  sizes = x.shape[1:-1]
  x = x.reshape(x.shape[0], *sizes, *strides, x.shape[-1] // math.prod(strides))
  x = x.transpose(0, *(a for i in range(1, axes + 1) for a in (i, i + axes)), 2 * axes + 1)
  return x.reshape(x.shape[0], *(n * s for n, s in zip(sizes, strides, strict=True)), x.shape[-1])


def _blocked_kernel(kernel: jax.Array, shape: Geometry) -> jax.Array:
  """(*window, in, out) to (*taps, strides... in, out), the window filled with zeros to whole blocks."""
  if math.prod(shape.strides) == 1:
    return kernel
  sizes = [r * s for r, s in zip(shape.taps, shape.strides, strict=True)]
  outs = jnp.moveaxis(kernel, -1, 0)
  return jnp.moveaxis(_blocks(_fit(outs, [0] * len(sizes), sizes), shape.strides), 0, -1)


def _plain_kernel(kernel: jax.Array, shape: Geometry) -> jax.Array:
  """The adjoint of `_blocked_kernel`."""
  if math.prod(shape.strides) == 1:
    return kernel
  outs = _pixels(jnp.moveaxis(kernel, -1, 0), shape.strides)
  return jnp.moveaxis(_cut(outs, [0] * len(shape.window), shape.window), 0, -1)


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


def _rows(x: jax.Array) -> jax.Array:
  return x.reshape(-1, x.shape[-1])


def _stacked(parts: Parts, sizes: Index) -> jax.Array:
  """{index: (...)} to (*sizes, ...)."""
  first = next(iter(parts.values()))
  return jnp.stack([parts[i] for i in _indices(sizes)]).reshape(*sizes, *first.shape)


def _input_tiles(x: jax.Array, shape: Geometry) -> Parts:
  """The windows of m + r - 1 pixels per axis that make m outputs, transformed: {index: (B, *tiles, C)}."""
  sizes = [(m * t + r - 1) * s for m, t, r, s in zip(shape.tile, shape.tiles, shape.taps, shape.strides, strict=True)]
  x = _blocks(_fit(x, shape.before, sizes), shape.strides)
  parts = {}
  for index in _indices(shape.products):
    stop = [i + m * (t - 1) + 1 for i, m, t in zip(index, shape.tile, shape.tiles, strict=True)]
    parts[index] = every(x, index, stop, shape.tile)
  return _transformed([t.input for t in shape.transforms], parts)


def _kernel_tiles(kernel: jax.Array, shape: Geometry) -> Parts:
  kernel = _blocked_kernel(kernel, shape)
  return _transformed([t.weights for t in shape.transforms], {i: kernel[i] for i in _indices(shape.taps)})


def _output_tiles(y: jax.Array, shape: Geometry) -> Parts:
  """Cotangents of the outputs, transformed by the adjoint of A^T."""
  y = _fit(y, [0] * len(shape.window), [m * t for m, t in zip(shape.tile, shape.tiles, strict=True)])
  parts = {i: every(y, i, y.shape[1:-1], shape.tile) for i in _indices(shape.tile)}
  return _transformed([_turned(t.output) for t in shape.transforms], parts)


def _times(tiles: Parts, kernel: Parts, axis: int) -> Parts:
  """Products of the channels with one axis of the kernel: 0 its inputs, 1 its outputs, without turning it."""
  return {i: lax.dot_general(x, kernel[i], (((x.ndim - 1,), (axis,)), ((), ()))) for i, x in tiles.items()}


def _winograd(x: jax.Array, kernel: Parts, shape: Geometry, axis: int = 0) -> jax.Array:
  axes = len(shape.window)
  products = _times(_input_tiles(x, shape), kernel, axis)
  outputs = _transformed([t.output for t in shape.transforms], products)  # {(m, m): (B, *tiles, out)}
  tiles = _stacked(outputs, shape.tile)  # (m, m, B, *tiles, out)
  order = (axes, *(a for i in range(axes) for a in (axes + 1 + i, i)), 2 * axes + 1)
  sizes = [m * t for m, t in zip(shape.tile, shape.tiles, strict=True)]
  y = tiles.transpose(order).reshape(x.shape[0], *sizes, tiles.shape[-1])
  return _cut(y, [0] * axes, shape.outputs)


def _overlapped(parts: Sequence[jax.Array], axis: int, step: int) -> jax.Array:
  """Windows at every `step`-th pixel, added up: an array for each of their pixels, with t along the axis, to one."""
  tiles = parts[0].shape[axis]
  length = tiles + (len(parts) - 1) // step
  placed = []
  for i, part in enumerate(parts):
    pads = [(0, 0, 0)] * part.ndim
    pads[axis] = (i // step, length - tiles - i // step, 0)
    placed.append(lax.pad(part, jnp.zeros((), part.dtype), pads))
  joined = jnp.stack([sum(placed[i + step :: step], placed[i]) for i in range(step)], axis + 1)
  return joined.reshape(*joined.shape[:axis], step * length, *joined.shape[axis + 2 :])


def _winograd_input(y: jax.Array, kernel: Parts, shape: Geometry) -> jax.Array:
  products = _times(_output_tiles(y, shape), kernel, 1)
  windows = _transformed([_turned(t.input) for t in shape.transforms], products)
  for axis in reversed(range(len(shape.window))):  # {(i, j): ...} to {(i,): ...} to {(): ...}
    m = shape.tile[axis]
    pixels = range(shape.products[axis])
    rests = dict.fromkeys(index[:-1] for index in windows)
    windows = {rest: _overlapped([windows[(*rest, i)] for i in pixels], axis + 1, m) for rest in rests}
  return _cut(_pixels(windows[()], shape.strides), shape.before, shape.spatial)


def _winograd_kernel(x: jax.Array, y: jax.Array, shape: Geometry) -> jax.Array:
  tiles = _output_tiles(y, shape)
  products = {i: _rows(tile).T @ _rows(tiles[i]) for i, tile in _input_tiles(x, shape).items()}
  parts = _transformed([_turned(t.weights) for t in shape.transforms], products)
  return _plain_kernel(_stacked(parts, shape.taps), shape)


def _windows(x: jax.Array, shape: Geometry) -> jax.Array:
  """(B, *outputs, window... C): the windows side by side."""
  sizes = [(o - 1) * s + k for o, s, k in zip(shape.outputs, shape.strides, shape.window, strict=True)]
  x = _fit(x, shape.before, sizes)
  # One axis after the other: all at once would copy C numbers at a time, which takes 3 times as long where C is small.
  for axis in reversed(range(len(shape.window))):
    span, stride = (shape.outputs[axis] - 1) * shape.strides[axis] + 1, shape.strides[axis]
    parts = [lax.slice_in_dim(x, i, i + span, stride, axis + 1) for i in range(shape.window[axis])]
    x = jnp.concatenate(parts, -1) if len(parts) > 1 else parts[0]
  return x


def _gathered(x: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  return _windows(x, shape) @ kernel.reshape(-1, kernel.shape[-1])


def _gathered_kernel(x: jax.Array, y: jax.Array, shape: Geometry) -> jax.Array:
  product = _rows(_windows(x, shape)).T @ _rows(y)
  return product.reshape(*shape.window, x.shape[-1], y.shape[-1])


def _scattered(y: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  """The adjoint of `_gathered`: every output's window, added up where they overlap."""
  kernel = _blocked_kernel(kernel, shape)  # (*taps, strides... in, out)
  channels = kernel.shape[-2]
  products = lax.dot_general(y, kernel.reshape(-1, kernel.shape[-1]), (((y.ndim - 1,), (1,)), ((), ())))
  total: Any = None
  for number, index in enumerate(_indices(shape.taps)):
    part = products[..., number * channels : (number + 1) * channels]
    part = _fit(part, index, [o + r - 1 for o, r in zip(shape.outputs, shape.taps, strict=True)])
    total = part if total is None else total + part
  return _cut(_pixels(total, shape.strides), shape.before, shape.spatial)


def _is_winograd(shape: Geometry, inputs: int, outputs: int) -> bool:
  few = min(inputs * math.prod(shape.strides), outputs) < FEWEST_CHANNELS
  few = few or shape.batch * math.prod(shape.outputs) < FEWEST_OUTPUTS
  return all(r in WINDOWS for r in shape.taps) and math.prod(shape.products) <= MOST_PRODUCTS and not few


def _in_blocks(shape: Geometry, inputs: int, outputs: int) -> Geometry | None:
  """The sizes of a gathering convolution whose strides are turned into channels; None if that does not pay.

  A volume's windows of 4x4x4 are then 8 slices of 8 C channels, not 64 of C, and the side to gather can be chosen.
  """
  whole = all(k % s == 0 for k, s in zip(shape.window, shape.strides, strict=True))
  if len(shape.window) < 3 or math.prod(shape.strides) == 1 or not whole or _is_winograd(shape, inputs, outputs):
    return None
  blocks = tuple(o + r - 1 for o, r in zip(shape.outputs, shape.taps, strict=True))
  return Geometry(shape.batch, blocks, shape.taps, (1,) * len(blocks), ((0, 0),) * len(blocks))


def _fit_blocks(x: jax.Array, shape: Geometry, blocks: Geometry) -> jax.Array:
  return _blocks(
    _fit(x, shape.before, [n * s for n, s in zip(blocks.spatial, shape.strides, strict=True)]), shape.strides
  )


def _bytes(shape: Geometry, inputs: int, outputs: int) -> tuple[int, int]:
  """(working set of one example, of a part), bytes."""
  if _is_winograd(shape, inputs, outputs):
    entries = math.prod(shape.products) * (inputs * math.prod(shape.strides) + outputs)
    volumes = len(shape.window) == 3
    return 4 * math.prod(shape.tiles) * entries, WORKING_SET_OF_VOLUMES if volumes else WORKING_SET['winograd']
  window = math.prod(shape.window) * inputs
  # Windows that are no larger than the outputs cost less than going through them in parts.
  return 4 * math.prod(shape.outputs) * (window if window > outputs else 0), WORKING_SET['gathering']


def _in_parts(function: Callable[..., jax.Array], arrays: Sequence[jax.Array], size: tuple[int, int], *, add: bool):
  """The function over parts of the batch: what it gives is joined, or added up."""
  batch, (each, limit) = arrays[0].shape[0], size
  count = min(-(-batch * each // limit), batch)
  if count <= 1:
    return function(*arrays)
  rows = -(-batch // count)
  count = -(-batch // rows)
  # Rows of zeros add nothing to a sum, and are cut from what is joined.
  fill = lambda x: lax.pad(x, jnp.zeros((), x.dtype), [(0, rows * count - batch, 0), *[(0, 0, 0)] * (x.ndim - 1)])
  parts = [fill(x).reshape(count, rows, *x.shape[1:]) for x in arrays]
  if not add:
    joined = lax.map(lambda part: function(*part), parts)
    return joined.reshape(count * rows, *joined.shape[2:])[:batch]
  shape = jax.eval_shape(function, *[x[0] for x in parts])
  body = lambda total, part: (total + function(*part), None)
  return lax.scan(body, jnp.zeros(shape.shape, shape.dtype), parts)[0]


def _mirrored(kernel: jax.Array) -> jax.Array:
  """The kernel of the adjoint, where that is a convolution too."""
  return jnp.flip(kernel, range(kernel.ndim - 2)).swapaxes(-1, -2)


def _mirror(shape: Geometry) -> Geometry | None:
  """The sizes of the adjoint, if that is a convolution too."""
  if math.prod(shape.strides) > 1:
    return None
  sizes = zip(shape.window, shape.before, shape.outputs, shape.spatial, strict=True)
  return Geometry(
    shape.batch, shape.outputs, shape.window, shape.strides, tuple((k - 1 - b, n - o + b) for k, b, o, n in sizes)
  )


def _written_once(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
  """Jits a function of two arrays and sizes, anew where a constant above was changed, as tests and benchmarks do."""

  def of(choices: Any, sizes: Any, a: jax.Array, b: jax.Array) -> jax.Array:
    return function(a, b, *sizes)

  of.__name__ = function.__name__
  jitted = jax.jit(of, static_argnums=(0, 1))

  @functools.wraps(function)
  def call(a: jax.Array, b: jax.Array, *sizes: Any) -> jax.Array:
    return jitted((FEWEST_CHANNELS, FEWEST_OUTPUTS, *WORKING_SET.values(), WORKING_SET_OF_VOLUMES, _bytes), sizes, a, b)

  return call


def _wide(*arrays: jax.Array) -> list[jax.Array]:
  return [x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in arrays]


@_written_once
def forward(x: jax.Array, kernel: jax.Array, strides: Index, pads: Pads | None = None) -> jax.Array:
  """The convolution.

  Args:
    x: (B, *spatial, in).
    kernel: (*window, in, out).
    strides: one per spatial axis.
    pads: zeros (before, after) per spatial axis; None for 'SAME'.

  Returns:
    (B, *outputs, out).
  """
  shape = Geometry(len(x), x.shape[1:-1], kernel.shape[:-2], strides, pads)
  inputs, outputs = kernel.shape[-2:]
  if (blocks := _in_blocks(shape, inputs, outputs)) is not None:
    return forward(_fit_blocks(x, shape, blocks), _blocked_kernel(kernel, shape), blocks.strides, blocks.pads)
  mirror = _mirror(shape)
  wide, kernel = _wide(x, kernel)
  size = _bytes(shape, inputs, outputs)
  if _is_winograd(shape, inputs, outputs):
    tiles = _kernel_tiles(kernel, shape)
    y = _in_parts(lambda x: _winograd(x, tiles, shape), [wide], size, add=False)
  elif outputs < inputs and mirror is not None:
    turned = _mirrored(kernel)
    size = _bytes(mirror, outputs, inputs)
    y = _in_parts(lambda x: _scattered(x, turned, mirror), [wide], size, add=False)
  else:
    y = _in_parts(lambda x: _gathered(x, kernel, shape), [wide], size, add=False)
  return y.astype(x.dtype)


@_written_once
def input_adjoint(
  y: jax.Array, kernel: jax.Array, strides: Index, spatial: Index, pads: Pads | None = None
) -> jax.Array:
  """The adjoint of `forward` in x: the transposed convolution.

  Args:
    y: (B, *outputs, out).
    kernel: (*window, in, out).
    strides: one per spatial axis.
    spatial: sizes of x.
    pads: zeros (before, after) per spatial axis of x; None for 'SAME'.

  Returns:
    (B, *spatial, in).
  """
  shape = Geometry(len(y), tuple(spatial), kernel.shape[:-2], strides, pads)
  inputs, outputs = kernel.shape[-2:]
  if (blocks := _in_blocks(shape, inputs, outputs)) is not None:
    x = input_adjoint(y, _blocked_kernel(kernel, shape), blocks.strides, blocks.spatial, blocks.pads)
    return _cut(_pixels(x, shape.strides), shape.before, shape.spatial)
  mirror = _mirror(shape)
  if mirror is not None and not _is_winograd(shape, inputs, outputs):
    return forward(y, _mirrored(kernel), strides, mirror.pads)
  wide, kernel = _wide(y, kernel)
  if mirror is not None:
    # A kernel that is turned before it is transformed would be read across its rows, which takes longer than the rest.
    tiles = _kernel_tiles(jnp.flip(kernel, range(kernel.ndim - 2)), mirror)
    size = _bytes(mirror, outputs, inputs)
    return _in_parts(lambda y: _winograd(y, tiles, mirror, 1), [wide], size, add=False).astype(y.dtype)
  size = _bytes(shape, inputs, outputs)
  if _is_winograd(shape, inputs, outputs):
    tiles = _kernel_tiles(kernel, shape)
    x = _in_parts(lambda y: _winograd_input(y, tiles, shape), [wide], size, add=False)
  else:
    x = _in_parts(lambda y: _scattered(y, kernel, shape), [wide], size, add=False)
  return x.astype(y.dtype)


@_written_once
def kernel_adjoint(x: jax.Array, y: jax.Array, strides: Index, window: Index, pads: Pads | None = None) -> jax.Array:
  """The adjoint of `forward` in the kernel.

  Args:
    x: (B, *spatial, in).
    y: (B, *outputs, out).
    strides: one per spatial axis.
    window: of the kernel.
    pads: zeros (before, after) per spatial axis of x; None for 'SAME'.

  Returns:
    (*window, in, out).
  """
  shape = Geometry(len(x), x.shape[1:-1], tuple(window), strides, pads)
  inputs, outputs = x.shape[-1], y.shape[-1]
  if (blocks := _in_blocks(shape, inputs, outputs)) is not None:
    kernel = kernel_adjoint(_fit_blocks(x, shape, blocks), y, blocks.strides, blocks.window, blocks.pads)
    return _plain_kernel(kernel, shape)
  mirror = _mirror(shape)
  if outputs < inputs and mirror is not None and not _is_winograd(shape, inputs, outputs):
    return _mirrored(kernel_adjoint(y, x, strides, window, mirror.pads)).astype(x.dtype)
  function = _winograd_kernel if _is_winograd(shape, inputs, outputs) else _gathered_kernel
  wide = _wide(x, y)
  kernel = _in_parts(lambda x, y: function(x, y, shape), wide, _bytes(shape, inputs, outputs), add=True)
  return kernel.astype(x.dtype)
