r"""Dense, convolutional and embedding layers whose weights are normalised: spectral, weight norm, equalised.

The raw kernel is the parameter. In every forward pass the layer computes its weights from it:

  plain       the kernel
  spectral    kernel / sigma, its largest singular value (Miyato et al. 2018, https://arxiv.org/abs/1802.05957)
  weight      gain * kernel / its norm per output (Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868)
  unit        kernel / its norm per output: weight norm whose gain is not trained
  equalised   kernel * gain / sqrt(fan-in), kernel from N(0, 1) (Karras et al. 2017, https://arxiv.org/abs/1710.10196)
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import one_of
from gan_jax.base.precision import as_float
from gan_jax.nets.layers.borders import Padding
from gan_jax.nets.layers.conv import biased, conv, conv_downsampled, conv_transpose, conv_upsampled, product

Kind = Literal['plain', 'spectral', 'weight', 'unit', 'equalised']
KINDS = get_args(Kind)
RESAMPLE = ('', 'up', 'down')
#: The gain of equalised weights in front of a ReLU (He et al. 2015, https://arxiv.org/abs/1502.01852).
HE = math.sqrt(2.0)


def power_iteration(matrix: jax.Array, u: jax.Array, *, steps: int = 1) -> tuple[jax.Array, jax.Array]:
  r"""The largest singular value of a matrix, by iteration: $v \leftarrow Wu / |Wu|$, $u \leftarrow W^T v / |W^T v|$.

  The vectors carry no gradient, the value $v^T W u = |Wu|$ does. The length of v drops out of u, so it is not computed:
  on a GPU about half of the kernels of a step of BigGAN were these short products and norms.
  Source: Miyato et al. 2018, https://arxiv.org/abs/1802.05957, algorithm 1.

  Args:
    matrix: (m, n).
    u: (n,), the start vector, not 0.
    steps: number of iterations; with 0 the direction of u is used as it is.

  Returns:
    (the singular value, the new u).

  >>> value, _ = power_iteration(jnp.array([[3.0, 0.0], [0.0, 1.0]]), jnp.ones(2), steps=20)
  >>> round(float(value), 4)
  3.0
  """
  fixed = jax.lax.stop_gradient
  unit = lambda x, least=1e-12: x / jnp.maximum(jnp.linalg.norm(x), least)
  # Without steps too: sampling can pass a running average of unit vectors, whose length is below 1.
  u = u if steps else unit(u)
  for _ in range(steps):
    u = unit(fixed(matrix).T @ (fixed(matrix) @ u), 1e-24)  # the square of a value
  u = fixed(u)
  image = matrix @ u
  square = jnp.vdot(fixed(image), image)  # linear in the matrix, as v^T W u is
  return square / jnp.maximum(jnp.sqrt(fixed(square)), 1e-12), u


class Kernel(nn.Module):
  """A kernel, normalised according to `kind`.

  Attributes:
    shape: (..., out); `out_axis` says which axis counts the outputs.
    kernel_init: initializer of the raw kernel; 'equalised' ignores it and starts at N(0, 1).
    kind: 'plain', 'spectral', 'weight', 'unit' or 'equalised'.
    out_axis: axis of the outputs: -1, or -2 for transposed convolutions.
    gain: of 'equalised' weights; 1 for a layer without an activation.
  """

  shape: tuple[int, ...]
  kernel_init: nn.initializers.Initializer
  kind: str = 'plain'
  out_axis: int = -1
  gain: float = HE

  @nn.compact
  def __call__(self, *, train: bool) -> jax.Array:
    if self.kind not in KINDS:
      raise one_of('kind of weights', self.kind, KINDS)
    init = nn.initializers.normal(1.0) if self.kind == 'equalised' else self.kernel_init
    kernel = self.param('kernel', init, self.shape, jnp.float32)
    if self.kind == 'plain':
      return kernel
    outputs = self.shape[self.out_axis]
    matrix = jnp.moveaxis(kernel, self.out_axis, -1).reshape(-1, outputs)  # (in, out)
    if self.kind == 'equalised':
      return kernel * (self.gain / math.sqrt(matrix.shape[0]))
    if self.kind in ('weight', 'unit'):
      norms = jnp.sqrt(jnp.sum(matrix**2, 0) + 1e-12)
      gain = self.param('gain', lambda key: norms) if self.kind == 'weight' else jnp.ones_like(norms)
      shape = [1] * kernel.ndim
      shape[self.out_axis] = outputs
      return kernel * (gain / norms).reshape(shape)
    start = lambda: jax.random.normal(self.make_rng('params'), (outputs,), jnp.float32)
    u = self.variable('spectral', 'u', start)
    # One iteration per training pass and none in evaluation, so that sampling does not change the weights.
    sigma, new = power_iteration(matrix, u.value, steps=1 if train else 0)
    if train and self.is_mutable_collection('spectral'):
      u.value = new
    return kernel / sigma


def rows_of(table: jax.Array, label: jax.Array) -> jax.Array:
  """Rows of a table (classes, n) by class (B,), or their sums by shares of classes (B, classes): (B, n).

  A class below 0, by which some sets say that there is none, or beyond the table gives NaN.
  """
  if label.ndim > 1:
    label = as_float(label)
    return label @ table.astype(label.dtype)
  return jnp.take(table, jnp.where(label < 0, len(table), label), axis=0, mode='fill')


class Dense(nn.Module):
  """(..., in) to (..., features).

  Attributes:
    features: outputs.
    kind: of the weights, see the module.
    use_bias: adds a bias.
    kernel_init: initializer of the raw kernel (in, features).
    gain: of 'equalised' weights.
  """

  features: int
  kind: str = 'plain'
  use_bias: bool = True
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  gain: float = HE

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = as_float(x)
    shape = (x.shape[-1], self.features)
    kernel = Kernel(shape, self.kernel_init, self.kind, gain=self.gain, name='weights')(train=train)
    return biased(self, self.features, product(x, kernel.astype(x.dtype)), self.use_bias)


class Conv(nn.Module):
  """(B, *spatial, in) to (B, *spatial / strides, features).

  Attributes:
    features: output channels.
    kernel_size: the window.
    strides: one per spatial axis; None for 1.
    kind: of the weights.
    use_bias: adds a bias per channel.
    kernel_init: initializer of the raw kernel (*window, in, features).
    resample: 'up' doubles the size by nearest neighbours before the convolution, 'down' takes means of 2 x 2 after it.
      Both are computed in one operation with the convolution; they need an odd window, no strides and 'SAME'.
    padding: the borders: 'SAME', 'VALID', 'REFLECT', 'EDGE', 'CIRCULAR', or (before, after) zeros per axis.
    gain: of 'equalised' weights.
  """

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int] | None = None
  kind: str = 'plain'
  use_bias: bool = True
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  resample: str = ''
  padding: Padding = 'SAME'
  gain: float = HE

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = Kernel(shape, self.kernel_init, self.kind, gain=self.gain, name='weights')(train=train)
    if self.resample not in RESAMPLE:
      raise one_of('resample of Conv', self.resample, RESAMPLE)
    if self.resample and self.strides is not None:
      raise ValueError(f'Conv: strides={self.strides} and resample={self.resample!r}: choose one')
    if self.resample and self.padding != 'SAME':
      raise ValueError(f'Conv: padding={self.padding!r} and resample={self.resample!r}: choose one')
    if self.resample:
      y = (conv_upsampled if self.resample == 'up' else conv_downsampled)(x, kernel)
    else:
      y = conv(x, kernel.astype(x.dtype), self.strides, self.padding)
    return biased(self, self.features, y, self.use_bias)


class ConvTranspose(nn.Module):
  """(B, *spatial, in) to (B, *spatial * strides, features): the adjoint of `Conv`, without `gain` and `resample`."""

  features: int
  kernel_size: Sequence[int]
  strides: Sequence[int]
  kind: str = 'plain'
  use_bias: bool = True
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  padding: Padding = 'SAME'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    shape = (*self.kernel_size, self.features, x.shape[-1])
    kernel = Kernel(shape, self.kernel_init, self.kind, -2, name='weights')(train=train)
    y = conv_transpose(x, kernel.astype(x.dtype), self.strides, self.padding)
    return biased(self, self.features, y, self.use_bias)


class Embed(nn.Module):
  """Classes (B,) to vectors (B, features); shares of classes (B, classes) to the sums of their vectors.

  Attributes:
    classes: number of classes.
    features: entries of a vector.
    kind: kind of the weights.
    kernel_init: initializer of the raw table (classes, features).
  """

  classes: int
  features: int
  kind: str = 'plain'
  kernel_init: nn.initializers.Initializer = nn.initializers.normal(1.0)

  @nn.compact
  def __call__(self, label: jax.Array, *, train: bool) -> jax.Array:
    table = Kernel((self.classes, self.features), self.kernel_init, self.kind, name='weights')(train=train)
    return rows_of(table, label)
