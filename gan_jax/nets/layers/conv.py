"""Convolutions and transposed convolutions, in the fastest formulation for the backend and the shape.

The formulations give the same numbers up to rounding:

- `matmul`: matrix products and convolutions in XLA's fast order of axes (`nets.layers.matmul_conv`): one CPU device. As
  fast inside loops and branches as outside, where the adjoints that JAX derives take 20 to 60 times longer.
- `xla`: XLA's convolutions: accelerators, and several devices, simulated ones too. The weight gradient of a transposed
  convolution is written as that of the strided one, which XLA computes 50 times faster on CPUs.
- `plain`: the same with JAX's own derivatives: for export, and the only one with forward mode (`jax.jvp`).

`formulation` chooses another than the default. All have reverse-mode derivatives of any order.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from gan_jax.base.devices import axes_of, varying_alike
from gan_jax.base.errors import one_of
from gan_jax.nets.layers import borders, geometry, matmul_conv
from gan_jax.nets.layers.borders import Padding, Pads
from gan_jax.nets.layers.mapped import ungrouped

FORMULATIONS = ('matmul', 'xla', 'plain')
#: The checkpoint name that `kept` sets.
KEPT = 'product'
#: What `core.Compute(remat=...)` keeps for the backward pass: the outputs of convolutions and dense layers.
keep_products = jax.checkpoint_policies.save_only_these_names(KEPT)
Sizes = tuple[int, ...]

_chosen: contextvars.ContextVar[str] = contextvars.ContextVar('formulation', default='')


@contextlib.contextmanager
def formulation(name: str) -> Iterator[None]:
  """Sets the formulation of convolutions that are traced in this context: 'matmul', 'xla' or 'plain'.

  A function that `jax.jit` has already compiled keeps its formulation.

  >>> x, kernel = jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 8))
  >>> with formulation('plain'):
  ...   y, tangent = jax.jvp(lambda x: conv(x, kernel), (x,), (x,))
  >>> bool((y == tangent).all())
  True
  """
  if name not in FORMULATIONS:
    raise one_of('formulation of convolutions', name, FORMULATIONS)
  before = _chosen.set(name)
  try:
    yield
  finally:
    _chosen.reset(before)


def chosen_formulation(name: str) -> contextlib.AbstractContextManager[None]:
  """`formulation`, or nothing for the name '', which leaves the choice to the backend."""
  return formulation(name) if name else contextlib.nullcontext()


def short_formulation() -> contextlib.AbstractContextManager[None]:
  """The formulation with the fewest operations, for what is traced only for its shapes or its flops, and not run often.

  'plain' stays where it was chosen: only it has forward mode.
  """
  return formulation('plain' if chosen() == 'plain' else 'xla')


def chosen() -> str:
  """The formulation of convolutions that are traced now."""
  # Simulated devices stand for accelerators, so they use the same formulation.
  alone = jax.default_backend() == 'cpu' and jax.device_count() == 1
  return _chosen.get() or ('matmul' if alone else 'xla')


def _xla(x: jax.Array, kernel: jax.Array, strides: Sizes, pads: Pads | None) -> jax.Array:
  padding = 'SAME' if pads is None else pads
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_order_of_axes(kernel.ndim - 2))


def _order_of_axes(axes: int) -> tuple[str, str, str]:
  """That of x, kernel and result, of so many spatial axes."""
  spatial = ''.join(chr(ord('0') + i) for i in range(axes))
  return f'N{spatial}C', f'{spatial}IO', f'N{spatial}C'


def _xla_input(y: jax.Array, kernel: jax.Array, strides: Sizes, spatial: Sizes, pads: Pads | None) -> jax.Array:
  return _transposed(lambda x: _xla(x, kernel, strides, pads), (y.shape[0], *spatial, kernel.shape[-2]), y)


def _plain_input(y: jax.Array, kernel: jax.Array, strides: Sizes, spatial: Sizes, pads: Pads | None) -> jax.Array:
  """`_xla_input` with the turned kernel as an array of its own, for programs that know no other order of its axes."""
  axes = kernel.ndim - 2
  padding = []
  for m, n, k, s, pair in zip(y.shape[1:-1], spatial, kernel.shape[:-2], strides, pads or (None,) * axes, strict=True):
    before = k - 1 - (pair[0] if pair else max((m - 1) * s + k - n, 0) // 2)
    padding.append((before, n + k - 2 - (m - 1) * s - before))
  turned = jnp.flip(kernel, range(axes)).swapaxes(-1, -2)
  order = _order_of_axes(axes)
  return jax.lax.conv_general_dilated(y, turned, (1,) * axes, padding, strides, dimension_numbers=order)


def _xla_kernel(x: jax.Array, y: jax.Array, strides: Sizes, window: Sizes, pads: Pads | None) -> jax.Array:
  return _transposed(lambda kernel: _xla(x, kernel, strides, pads), (*window, x.shape[-1], y.shape[-1]), y)


def _transposed(function: Callable[[jax.Array], jax.Array], shape: Sizes, y: jax.Array) -> jax.Array:
  """The transpose of a linear function of an array of that shape, at y."""
  if not axes_of(y):
    return jax.linear_transpose(function, jax.ShapeDtypeStruct(shape, y.dtype))(y)[0]
  # `linear_transpose` takes no array that differs from device to device.
  return jax.vjp(function, varying_alike(jnp.zeros(shape, y.dtype), y)[0])[1](y)[0]


# A convolution y = conv(x, kernel) and its two adjoints, of y in x and of y in the kernel. The derivatives of each are
# the other two, so that every order of reverse mode has the fast formulation.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _strided(x: jax.Array, kernel: jax.Array, strides: Sizes, pads: Pads | None) -> jax.Array:
  return (
    matmul_conv.forward(x, kernel, strides, pads)
    if chosen() == 'matmul'
    else ungrouped(_xla, None, strides, pads)(x, kernel)
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _input_adjoint(y: jax.Array, kernel: jax.Array, strides: Sizes, spatial: Sizes, pads: Pads | None) -> jax.Array:
  if chosen() == 'matmul':
    return matmul_conv.input_adjoint(y, kernel, strides, spatial, pads)
  return ungrouped(_xla_input, None, strides, spatial, pads)(y, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _kernel_adjoint(x: jax.Array, y: jax.Array, strides: Sizes, window: Sizes, pads: Pads | None) -> jax.Array:
  if chosen() == 'matmul':
    return matmul_conv.kernel_adjoint(x, y, strides, window, pads)
  return ungrouped(_xla_kernel, None, strides, window, pads)(x, y)


def _strided_backward(strides: Sizes, pads: Pads | None, residuals: Any, y: jax.Array) -> Any:
  x, kernel = residuals
  return (
    _input_adjoint(y, kernel, strides, x.shape[1:-1], pads),
    _kernel_adjoint(x, y, strides, kernel.shape[:-2], pads),
  )


def _input_adjoint_backward(strides: Sizes, spatial: Sizes, pads: Pads | None, residuals: Any, x: jax.Array) -> Any:
  y, kernel = residuals
  return _strided(x, kernel, strides, pads), _kernel_adjoint(x, y, strides, kernel.shape[:-2], pads)


def _kernel_adjoint_backward(
  strides: Sizes, window: Sizes, pads: Pads | None, residuals: Any, kernel: jax.Array
) -> Any:
  x, y = residuals
  return _input_adjoint(y, kernel, strides, x.shape[1:-1], pads), _strided(x, kernel, strides, pads)


_strided.defvjp(lambda x, kernel, *sizes: (_strided(x, kernel, *sizes), (x, kernel)), _strided_backward)
_input_adjoint.defvjp(
  lambda y, kernel, *sizes: (_input_adjoint(y, kernel, *sizes), (y, kernel)), _input_adjoint_backward
)
_kernel_adjoint.defvjp(lambda x, y, *sizes: (_kernel_adjoint(x, y, *sizes), (x, y)), _kernel_adjoint_backward)


def _check(x: jax.Array, kernel: jax.Array, strides: Sizes) -> None:
  if not x.ndim == kernel.ndim == len(strides) + 2:
    raise ValueError(f'convolution of x {x.shape} by a kernel {kernel.shape} with strides {strides}: ranks differ')
  if x.dtype != kernel.dtype or not jnp.issubdtype(x.dtype, jnp.inexact):
    raise TypeError(f'convolution of {x.dtype} by a kernel of {kernel.dtype}: make both the same type of real numbers')


def conv(x: jax.Array, kernel: jax.Array, strides: Sequence[int] | None = None, padding: Padding = 'SAME') -> jax.Array:
  """The convolution of `nn.Conv`.

  Args:
    x: (B, *spatial, in).
    kernel: (*window, in, out), of the dtype of x.
    strides: one per spatial axis; None for 1.
    padding: what stands beyond the edge of x, a name or pairs of numbers, see `nets.layers.borders`.

  Returns:
    (B, *spatial / strides rounded up, out); with 'VALID' and pairs, as many as windows fit.

  >>> conv(jnp.ones((1, 5, 5, 3)), jnp.ones((3, 3, 3, 8)), (2, 2)).shape
  (1, 3, 3, 8)
  >>> conv(jnp.ones((1, 5, 5, 3)), jnp.ones((3, 3, 3, 8)), padding='VALID').shape
  (1, 3, 3, 8)
  """
  window, strides = kernel.shape[:-2], tuple(strides or (1,) * (kernel.ndim - 2))
  _check(x, kernel, strides)
  pads = borders.pads(padding, len(window))
  x = borders.padded(x, window, padding)
  if pads and any(o < 1 for o in geometry.Geometry(x.shape[0], x.shape[1:-1], window, strides, pads).outputs):
    raise ValueError(f'convolution of x {x.shape} by a window of {window}: no window fits, with padding={padding!r}')
  if math.prod(window) == 1 and not any(n for pair in pads or () for n in pair):
    # A 1x1 convolution is a matrix product, which is faster.
    x = geometry.every(x, [0] * len(strides), x.shape[1:-1], strides)
    return product(x, kernel.reshape(kernel.shape[-2:]))
  return (_xla if chosen() == 'plain' else _strided)(*varying_alike(x, kernel), strides, pads)


def conv_transpose(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding = 'SAME') -> jax.Array:
  """The adjoint of the strided convolution with the same kernel: `nn.ConvTranspose(..., transpose_kernel=True)`.

  Args:
    x: (B, *spatial, in).
    kernel: (*window, out, in), of the dtype of x.
    strides: one per spatial axis.
    padding: that of the strided convolution: 'SAME', 'VALID', or pairs of numbers. PyTorch's
      `ConvTranspose2d(..., 3, 2, padding=1, output_padding=1)` is the window (3, 3) with padding=(1, 1).

  Returns:
    (B, *spatial * strides, out); with 'VALID' larger by the window less the stride, if that is above 0.

  >>> conv_transpose(jnp.ones((1, 4, 4, 3)), jnp.ones((4, 4, 8, 3)), (2, 2)).shape
  (1, 8, 8, 8)
  """
  window, strides = kernel.shape[:-2], tuple(strides)
  _check(x, kernel, strides)
  pads = borders.pads(padding, len(window))
  spatial = tuple(n * s for n, s in zip(x.shape[1:-1], strides, strict=True))
  if isinstance(padding, str) and padding in borders.MODES:
    raise ValueError(f'conv_transpose: padding={padding!r} has no adjoint here: take SAME, VALID or pairs of numbers')
  if padding == 'VALID':
    spatial = tuple(n + max(k - s, 0) for n, k, s in zip(spatial, window, strides, strict=True))
  elif pads and geometry.Geometry(x.shape[0], spatial, window, strides, pads).outputs != x.shape[1:-1]:
    raise ValueError(
      f'conv_transpose: a window of {window} with strides {strides} and padding={padding} does not bring {spatial} to '
      f'{x.shape[1:-1]}: choose before + after from window - strides to window - 1'
    )
  return (_plain_input if chosen() == 'plain' else _input_adjoint)(*varying_alike(x, kernel), strides, spatial, pads)


def product(x: jax.Array, matrix: jax.Array) -> jax.Array:
  """x @ matrix, (..., in) by (in, out) to (..., out), fast in the backward pass on CPUs too.

  >>> product(jnp.ones((2, 3, 3, 4)), jnp.ones((4, 5))).shape
  (2, 3, 3, 5)
  """
  if x.ndim == 2 or chosen() == 'plain':
    return x @ matrix
  # Of more than one axis of rows XLA would write the transpose of the result's gradient to memory, which takes longer
  # than the product.
  return (geometry.as_rows(x) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def _boxed(kernel: jax.Array) -> jax.Array:
  """The kernel convolved with 2 ones per spatial axis: its window grows by 1."""
  for axis in range(kernel.ndim - 2):
    pads = [(0, 0)] * kernel.ndim
    pads[axis] = (0, 1)
    more = jnp.pad(kernel, pads)
    kernel = more + jnp.roll(more, 1, axis)
  return kernel


def _check_odd(window: Sizes) -> None:
  if not all(n % 2 for n in window):
    raise ValueError(f'window {window} of a convolution that resamples: make its sizes odd')


def conv_upsampled(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv` of x upsampled twice by nearest neighbours, as one transposed convolution: 2.25 times less work for 3x3.

  Source: Karras et al. 2017, https://arxiv.org/abs/1710.10196, `fused_scale` in the authors' code.

  Args:
    x: (B, *spatial, in).
    kernel: (*window, in, out), of odd window.

  Returns:
    (B, *2 spatial, out).

  >>> conv_upsampled(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 8))).shape
  (1, 8, 8, 8)
  """
  _check_odd(kernel.shape[:-2])
  axes = range(kernel.ndim - 2)
  mirrored = jnp.flip(kernel, tuple(axes)).swapaxes(-1, -2)
  return conv_transpose(x, _boxed(mirrored).astype(x.dtype), [2 for _ in axes])


def conv_downsampled(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The means over 2 x 2 pixels of `conv`, as one strided convolution: 2.25 times less work for 3x3.

  Source: as `conv_upsampled`.

  Args:
    x: (B, *spatial, in), of even sizes.
    kernel: (*window, in, out), of odd window.

  Returns:
    (B, *spatial / 2, out).

  >>> conv_downsampled(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 8))).shape
  (1, 2, 2, 8)
  """
  _check_odd(kernel.shape[:-2])
  if any(n % 2 for n in x.shape[1:-1]):
    raise ValueError(f'conv_downsampled: sizes must be even, not {x.shape[1:-1]}')
  axes = kernel.ndim - 2
  return conv(x, (_boxed(kernel) / 2**axes).astype(x.dtype), (2,) * axes)


class Conv(nn.Module):
  """`nn.Conv` with the fastest formulation: the same parameters, the same numbers.

  Attributes:
    features: output channels.
    kernel_size: the window, one entry per spatial axis.
    strides: one per spatial axis; None for 1.
    use_bias: adds a bias per channel.
    kernel_init: initializer of the kernel (*window, in, out).
    padding: the borders: 'SAME', 'VALID', 'REFLECT', 'EDGE', 'CIRCULAR', or (before, after) zeros per axis.
  """

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int] | None = None
  use_bias: bool = True
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  padding: Padding = 'SAME'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.param('kernel', self.kernel_init, (*self.kernel_size, x.shape[-1], self.features), jnp.float32)
    y = conv(x, kernel.astype(x.dtype), self.strides, self.padding)
    return biased(self, self.features, y, self.use_bias)


class ConvTranspose(nn.Module):
  """`nn.ConvTranspose(..., transpose_kernel=True)` with the fastest formulation: the adjoint of `Conv`.

  Attributes:
    features: output channels.
    kernel_size: the window, one entry per spatial axis.
    strides: upsampling factors.
    use_bias: adds a bias per channel.
    kernel_init: initializer of the kernel (*window, out, in).
    padding: that of the strided convolution, see `conv_transpose`.
  """

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int]
  use_bias: bool = True
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  padding: Padding = 'SAME'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.param('kernel', self.kernel_init, (*self.kernel_size, self.features, x.shape[-1]), jnp.float32)
    y = conv_transpose(x, kernel.astype(x.dtype), self.strides, self.padding)
    return biased(self, self.features, y, self.use_bias)


def kept(x: jax.Array) -> jax.Array:
  """x, marked so that config.remat keeps it for the backward pass. For outputs of convolutions and dense layers."""
  return checkpoint_name(x, KEPT)


def biased(module: nn.Module, features: int, x: jax.Array, use_bias: bool) -> jax.Array:
  """x (marked by `kept`), plus the parameter `bias` (features,) of the module if `use_bias`."""
  x = kept(x)
  if not use_bias:
    return x
  bias = module.param('bias', nn.initializers.zeros, (features,), jnp.float32)
  return x + bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
