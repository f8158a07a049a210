"""Layers that a style governs: learning rates of their own, modulated convolutions, per-pixel noise.

Source: Karras et al. 2019 (StyleGAN 2), https://arxiv.org/abs/1912.04958, section 2 and figure 2; the authors' code
(NVlabs/stylegan2-ada-pytorch: `training/networks.py`).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import as_float, full_precision
from gan_jax.nets.layers.conv import biased, conv, conv_transpose, kept
from gan_jax.nets.layers.filters import BINOMIAL, filtered

SLOPE = 0.2


def leaky(x: jax.Array, *, gain: float = 1.0, clamp: float = 0.0) -> jax.Array:
  """A leaky ReLU of slope 0.2 that keeps the variance: times sqrt 2 and the gain, cut to +-clamp times the gain.

  >>> leaky(jnp.array([1.0, -1.0]), gain=2**0.5).tolist()
  [2.0, -0.4000000059604645]
  """
  x = nn.leaky_relu(x, SLOPE) * jnp.asarray(math.sqrt(2) * gain, x.dtype)
  return jnp.clip(x, -clamp * gain, clamp * gain) if clamp else x


class Linear(nn.Module):
  """(B, in) to (B, features), equalised, with a learning rate of its own.

  Attributes:
    features: outputs.
    rate: factor of the learning rate: parameters are 1 / rate as large as they act.
    bias: what the bias starts at.
  """

  features: int
  rate: float = 1.0
  bias: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = as_float(x)
    shape = (x.shape[-1], self.features)
    kernel = self.param('kernel', nn.initializers.normal(1 / self.rate), shape, jnp.float32)
    bias = self.param('bias', nn.initializers.constant(self.bias), (self.features,), jnp.float32)
    y = kept(x @ (kernel * (self.rate / math.sqrt(shape[0]))).astype(x.dtype))
    return y + (bias * self.rate).astype(x.dtype)[None]


class ModulatedConv(nn.Module):
  """Maps (B, H, W, C), styles (B, n) to (B, H, W, width): a convolution whose input channels each example scales.

  Demodulation brings the outputs back to a variance of 1, if those of the inputs are independent with a variance of 1.
  Both are computed on the maps, so that all examples share one convolution.

  Attributes:
    width: output channels.
    window: side of the kernel.
    up: doubles the size first, by a transposed convolution and a filter after it; of a window of 3.
    demodulate: as above; else the weights are equalised.
  """

  width: int
  window: int = 3
  up: bool = False
  demodulate: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, style: jax.Array) -> jax.Array:
    if self.up and self.window != 3:
      raise UserError(f'window={self.window} of ModulatedConv with up=True: only 3 doubles the size')
    channels, window = x.shape[-1], (self.window, self.window)
    scale = Linear(channels, bias=1.0, name='affine')(style)  # (B, C)
    kernel = self.param('kernel', nn.initializers.normal(1.0), (*window, channels, self.width), jnp.float32)
    if not self.demodulate:
      scale = scale / math.sqrt(channels * self.window**2)
    x, weights = x * scale.astype(x.dtype)[:, None, None], kernel.astype(x.dtype)
    if self.up:
      y = conv_transpose(x, weights.swapaxes(-1, -2), (2, 2), 'VALID')  # of one pixel more than twice the size
      for axis in (1, 2):
        y = filtered(y, [2 * tap for tap in BINOMIAL], axis, (1, 1))
    else:
      y = conv(x, weights)
    if self.demodulate:
      power = jnp.square(full_precision(scale)) @ jnp.sum(kernel**2, (0, 1))  # (B, width)
      y = y * jax.lax.rsqrt(power + 1e-8).astype(y.dtype)[:, None, None]
    return y


class StyledConv(nn.Module):
  """A modulated convolution, noise in every pixel with a learned strength, a bias and a leaky ReLU.

  Training draws the noise anew for every example; in evaluation it is one map, drawn when the network is made.

  Attributes:
    width: output channels.
    up: doubles the size.
    clamp: cuts the outputs to +-clamp; 0 leaves them.
  """

  width: int
  up: bool = False
  clamp: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, style: jax.Array, *, train: bool) -> jax.Array:
    y = ModulatedConv(self.width, up=self.up, name='conv')(x, style)
    shape = (1, *y.shape[1:3], 1)
    fixed = self.variable('constants', 'noise', lambda: jax.random.normal(self.make_rng('params'), shape, jnp.float32))
    strength = self.param('strength', nn.initializers.zeros, (), jnp.float32)
    noise = fixed.value
    if train:
      noise = jax.random.normal(self.make_rng('noise'), (y.shape[0], *shape[1:]), jnp.float32)
    y = biased(self, self.width, y + (noise * strength).astype(y.dtype), True)
    return leaky(y, clamp=self.clamp)
