r"""Convolutions for CPUs, where the adjoints that JAX derives of XLA's own are slow, and slower inside loops.

A convolution y = conv(x, kernel) and its two adjoints, each in the fastest of three formulations:

- gathering: windows side by side (im2col) on the side with fewer channels and one matrix product, or one product to all
  windows, `gan_jax.nets.layers.gathered_conv`: of very few channels
- direct: XLA's, with axes in the order that is fast, `gan_jax.nets.layers.direct_conv`: of few channels
- winograd: tiles of outputs from fewer products, `gan_jax.nets.layers.winograd`: of many

The three are jitted: a program that has a convolution of the same sizes many times is traced and written out once for
all of them, and XLA compiles it as before.

Gathering and winograd work through the batch in parts that fit into the cache. Inputs of less than 32 bits are
computed in float32.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.base.devices import varying_alike
from gan_jax.nets.layers import direct_conv, gathered_conv, winograd
from gan_jax.nets.layers.geometry import (
  Geometry,
  Index,
  Pads,
  blocked_kernel,
  cut,
  fit,
  plain_kernel,
  to_blocks,
  to_pixels,
)
from gan_jax.nets.layers.mapped import ungrouped

#: What the transforms, or the windows, of one part of a batch may need, bytes: more leaves the cache of a core or two.
WORKING_SET = {'winograd': 1 << 24, 'gathering': 1 << 22}
#: The same of winograd with three axes, whose 27 transforms of a tile want to stay in the second level's cache.
WORKING_SET_OF_VOLUMES = 1 << 21
#: With fewer channels than this the transforms of winograd cost more than the products that they save.
FEWEST_CHANNELS = 32
#: So many times more channels where strides turn pixels into channels, and where such blocks are filled up with zeros.
FEWEST_STRIDED, FEWEST_FILLED = 2, 4
#: With fewer channels than this on either side XLA's own are slower than windows side by side.
FEWEST_DIRECT = 8
#: With outputs of fewer pixels a side XLA's own are slower too: at 2x2 12 times, the adjoint in x 32 times
#: (`benchmarks.convolutions --batch 512`, 5x5 windows on 4x4 pixels).
FEWEST_PIXELS = {'forward': 3, 'input_adjoint': 12, 'kernel_adjoint': 1}
#: With fewer outputs in the whole batch than this the transform of the kernel costs more; direct ones are no faster.
FEWEST_OUTPUTS = 64


def _is_winograd(shape: Geometry, inputs: int, outputs: int) -> bool:
  blocks, fewest = math.prod(shape.strides), FEWEST_CHANNELS
  if len(shape.window) == 2 and blocks > 1:  # beside direct ones
    whole = all(k % s == 0 for k, s in zip(shape.window, shape.strides, strict=True))
    blocks, fewest = (blocks, FEWEST_STRIDED * fewest) if whole else (1, FEWEST_FILLED * fewest)
  few = min(inputs * blocks, outputs) < fewest or shape.batch * math.prod(shape.outputs) < FEWEST_OUTPUTS
  return winograd.fits(shape) and not few


def _is_direct(which: str, shape: Geometry, inputs: int, outputs: int) -> bool:
  few = min(inputs, outputs) < FEWEST_DIRECT or shape.batch * math.prod(shape.outputs) < FEWEST_OUTPUTS
  small = min(shape.outputs) < FEWEST_PIXELS[which]
  return len(shape.window) == 2 and not few and not small and not _is_winograd(shape, inputs, outputs)


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
  return to_blocks(
    fit(x, shape.before, [n * s for n, s in zip(blocks.spatial, shape.strides, strict=True)]), shape.strides
  )


def _bytes(shape: Geometry, inputs: int, outputs: int) -> tuple[int, int]:
  """(working set of one example, of a part), bytes."""
  if _is_winograd(shape, inputs, outputs):
    entries = math.prod(winograd.products(shape)) * (inputs * math.prod(shape.strides) + outputs)
    limit = WORKING_SET_OF_VOLUMES if len(shape.window) == 3 else WORKING_SET['winograd']
    return 4 * math.prod(winograd.tiles(shape)) * entries, limit
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
  total = jnp.zeros(shape.shape, shape.dtype)
  for part in parts:  # of several devices the sum differs where one of them does
    total = varying_alike(total, part)[0]
  return lax.scan(body, total, parts)[0]


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


def _of_windows(x: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  inputs, outputs = kernel.shape[-2:]
  if outputs < inputs and (mirror := _mirror(shape)) is not None:
    turned, size = _mirrored(kernel), _bytes(mirror, outputs, inputs)
    return _in_parts(lambda x: gathered_conv.input_adjoint(x, turned, mirror), [x], size, add=False)
  return _in_parts(lambda x: gathered_conv.forward(x, kernel, shape), [x], _bytes(shape, inputs, outputs), add=False)


def _to_windows(y: jax.Array, kernel: jax.Array, shape: Geometry) -> jax.Array:
  size = _bytes(shape, *kernel.shape[-2:])
  return _in_parts(lambda y: gathered_conv.input_adjoint(y, kernel, shape), [y], size, add=False)


def _kernel_of_windows(x: jax.Array, y: jax.Array, shape: Geometry) -> jax.Array:
  inputs, outputs = x.shape[-1], y.shape[-1]
  if outputs < inputs and (mirror := _mirror(shape)) is not None:
    return _mirrored(_kernel_of_windows(y, x, mirror))
  size = _bytes(shape, inputs, outputs)
  return _in_parts(lambda x, y: gathered_conv.kernel_adjoint(x, y, shape), [x, y], size, add=True)


def _written_once(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
  """Jits a function of two arrays and sizes, anew where a constant was changed, as tests and benchmarks do."""

  def of(choices: Any, sizes: Any, a: jax.Array, b: jax.Array) -> jax.Array:
    return function(a, b, *sizes)

  of.__name__ = function.__name__
  jitted = jax.jit(of, static_argnums=(0, 1))

  @functools.wraps(function)
  def call(a: jax.Array, b: jax.Array, *sizes: Any) -> jax.Array:
    tiles = winograd.TILE, winograd.WINDOWS, winograd.MOST_PRODUCTS
    fewest = FEWEST_CHANNELS, FEWEST_DIRECT, FEWEST_OUTPUTS
    choices = *fewest, *FEWEST_PIXELS.values(), *WORKING_SET.values(), WORKING_SET_OF_VOLUMES, *tiles, _bytes
    return jitted(choices, sizes, a, b)

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
  shape = Geometry(x.shape[0], x.shape[1:-1], kernel.shape[:-2], strides, pads)
  inputs, outputs = kernel.shape[-2:]
  if (blocks := _in_blocks(shape, inputs, outputs)) is not None:
    return forward(_fit_blocks(x, shape, blocks), blocked_kernel(kernel, shape), blocks.strides, blocks.pads)
  wide, kernel = _wide(x, kernel)
  if _is_winograd(shape, inputs, outputs):
    tiles = winograd.kernel_tiles(kernel, shape)
    size = _bytes(shape, inputs, outputs)
    y = _in_parts(lambda x: winograd.forward(x, tiles, shape), [wide], size, add=False)
  elif _is_direct('forward', shape, inputs, outputs):
    y = ungrouped(direct_conv.forward, _of_windows, shape)(wide, kernel)
  else:
    y = _of_windows(wide, kernel, shape)
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
  shape = Geometry(y.shape[0], tuple(spatial), kernel.shape[:-2], strides, pads)
  inputs, outputs = kernel.shape[-2:]
  if (blocks := _in_blocks(shape, inputs, outputs)) is not None:
    x = input_adjoint(y, blocked_kernel(kernel, shape), blocks.strides, blocks.spatial, blocks.pads)
    return cut(to_pixels(x, shape.strides), shape.before, shape.spatial)
  mirror = _mirror(shape)
  if mirror is not None and not _is_winograd(shape, inputs, outputs):
    return forward(y, _mirrored(kernel), strides, mirror.pads)
  wide, kernel = _wide(y, kernel)
  if mirror is not None:
    # A kernel that is turned before it is transformed would be read across its rows, which takes longer than the rest.
    tiles = winograd.kernel_tiles(jnp.flip(kernel, range(kernel.ndim - 2)), mirror)
    size = _bytes(mirror, outputs, inputs)
    return _in_parts(lambda y: winograd.forward(y, tiles, mirror, 1), [wide], size, add=False).astype(y.dtype)
  size = _bytes(shape, inputs, outputs)
  if _is_winograd(shape, inputs, outputs):
    tiles = winograd.kernel_tiles(kernel, shape)
    x = _in_parts(lambda y: winograd.input_adjoint(y, tiles, shape), [wide], size, add=False)
  elif _is_direct('input_adjoint', shape, inputs, outputs):
    x = ungrouped(direct_conv.input_adjoint, _to_windows, shape)(wide, kernel)
  else:
    x = _to_windows(wide, kernel, shape)
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
  shape = Geometry(x.shape[0], x.shape[1:-1], tuple(window), strides, pads)
  inputs, outputs = x.shape[-1], y.shape[-1]
  if (blocks := _in_blocks(shape, inputs, outputs)) is not None:
    kernel = kernel_adjoint(_fit_blocks(x, shape, blocks), y, blocks.strides, blocks.window, blocks.pads)
    return plain_kernel(kernel, shape)
  left, right = _wide(x, y)
  if _is_winograd(shape, inputs, outputs):
    size = _bytes(shape, inputs, outputs)
    kernel = _in_parts(lambda x, y: winograd.kernel_adjoint(x, y, shape), [left, right], size, add=True)
  elif _is_direct('kernel_adjoint', shape, inputs, outputs):
    kernel = ungrouped(direct_conv.kernel_adjoint, _kernel_of_windows, shape)(left, right)
  else:
    kernel = _kernel_of_windows(left, right, shape)
  return kernel.astype(x.dtype)
