"""DCGAN: no pooling, no hidden dense layers, batch norm everywhere but the ends.

Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 3 and figure 1.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError, one_of
from gan_jax.nets.layers import weights
from gan_jax.nets.layers.basic import BatchNorm, activation, dense, head, uniform_init
from gan_jax.nets.layers.conv import Conv, ConvTranspose
from gan_jax.nets.layers.minibatch import MinibatchDiscrimination
from gan_jax.nets.layers.weights import Kind

NORMAL = nn.initializers.normal(0.02)
GAIN_STDDEV = 0.02
NORMS = ('batch', 'none')
PROJECT_NORMS = ('channel', 'unit')
INITIALIZERS = ('normal', 'he')


def _initializer(name: str, of: str, stride: int = 0) -> nn.initializers.Initializer:
  """First weights of a convolution, transposed or not; stride 0 means a dense layer."""
  if name not in INITIALIZERS:
    raise one_of(f'initializer of the {of}', name, INITIALIZERS)
  if name == 'normal':
    return NORMAL
  if not stride:
    return nn.initializers.glorot_uniform()

  def he(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    height, width, many, few = shape  # channels on the side of many and of few places
    return uniform_init(math.sqrt(12 / (height * width * (many + few / stride**2))))(key, shape, dtype)

  return he


def _strides(strides: tuple[int, ...], layers: int, of: str) -> tuple[int, ...]:
  """One stride per convolution; 2 for all where none are named."""
  if strides and len(strides) != layers:
    raise UserError(f'strides={strides} of the {of}: it has {layers} convolutions, name {layers} strides or none')
  return strides or (2,) * layers


class Generator(nn.Module):
  """Latents (B, n) to images (B, size, size, image_channels), size = base * the product of the strides.

  Attributes:
    channels: widths from the first, base x base, to the last before the image.
    image_channels: 1 for grey, 3 for colour.
    kernel: window of the transposed convolutions.
    base: height and width that the latents are projected to.
    output: 'tanh' for pixels in [-1, 1], 'sigmoid' for [0, 1].
    strides: upsampling of each transposed convolution, the one to the image last; empty for 2 in all.
    hidden: widths of dense layers before the projection, which DCGAN has none of.
    project_norm: batch norm of the projection, of each 'channel' over all places, or of each 'unit' for itself.
    norm: 'batch' everywhere but the end, or 'none' (WGAN-GP's on MNIST), which leaves biases.
    initializer: of the weights: 'normal' for N(0, 0.02), 'he' for that of WGAN-GP's code, which suits networks without
      norm: uniform, with a variance of 4 / (inputs + outputs) of the window, where those on the side of fewer places
      are divided by the stride squared; in dense layers 2 / (inputs + outputs).
  """

  channels: tuple[int, ...] = (1024, 512, 256, 128)
  image_channels: int = 3
  kernel: int = 5
  base: int = 4
  output: str = 'tanh'
  strides: tuple[int, ...] = ()
  hidden: tuple[int, ...] = ()
  project_norm: str = 'channel'
  norm: str = 'batch'
  initializer: str = 'normal'

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    if self.project_norm not in PROJECT_NORMS:
      raise one_of('project_norm of the generator', self.project_norm, PROJECT_NORMS)
    if self.norm not in NORMS:
      raise one_of('norm of the generator', self.norm, NORMS)
    plain = self.norm == 'none'
    init = lambda stride=0: _initializer(self.initializer, 'generator', stride)
    norm = lambda x, **name: x if plain else BatchNorm(gain_stddev=GAIN_STDDEV, **name)(x, train=train)
    first, *rest = self.channels
    *strides, to_image = _strides(self.strides, len(self.channels), 'generator')
    x = z
    for i, width in enumerate(self.hidden):
      x = dense(x, width, use_bias=plain, kernel_init=init(), name=f'hidden_{i}')
      x = nn.relu(norm(x, name=f'hidden_norm_{i}'))
    x = dense(x, self.base * self.base * first, use_bias=plain, kernel_init=init(), name='project')
    places = (-1, self.base, self.base, first)  # (B, 4, 4, 1024)
    x = x if self.project_norm == 'unit' else x.reshape(places)
    x = nn.relu(norm(x)).reshape(places)
    window = (self.kernel, self.kernel)
    for width, stride in zip(rest, strides, strict=True):  # (B, 8, 8, 512), (B, 16, 16, 256), (B, 32, 32, 128)
      grown = ConvTranspose(width, window, (stride, stride), use_bias=plain, kernel_init=init(stride))(x)
      x = nn.relu(norm(grown))
    x = ConvTranspose(self.image_channels, window, (to_image,) * 2, kernel_init=init(to_image))(x)  # (B, 64, 64, 3)
    return activation(x, self.output)


class Discriminator(nn.Module):
  """Images (B, H, W, C) to logits (B,), or (B, 2) with the two-way softmax head.

  Attributes:
    channels: widths of the convolutions.
    kernel: window of the convolutions.
    outputs: 1 for one logit, 2 for a two-way softmax (fake, real).
    slope: of the leaky ReLU below zero.
    minibatch_kernels: projections of minibatch discrimination on the last features; 0 for none.
    norm: 'batch', or 'none'.
    initializer: of the weights, as the generator's.
    weights: 'plain', 'spectral', 'weight', 'unit' or 'equalised', as in `nets.weights`.
    strides: of each convolution; empty for 2 in all, which halves height and width in each.
    hidden: widths of dense layers behind the convolutions, which DCGAN has none of.
  """

  channels: tuple[int, ...] = (128, 256, 512, 1024)
  kernel: int = 5
  outputs: int = 1
  slope: float = 0.2
  minibatch_kernels: int = 0
  norm: str = 'batch'
  weights: Kind = 'plain'
  strides: tuple[int, ...] = ()
  hidden: tuple[int, ...] = ()
  initializer: str = 'normal'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, features: bool = False, layers: bool = False) -> Any:
    """Logits; with `features`, (logits, the last features (B, n)); with `layers`, (logits, every layer's (B, H, W, C)).

    Features are taken behind batch norm and the leaky ReLU.
    """
    if self.norm not in NORMS:
      raise one_of('norm of the discriminator', self.norm, NORMS)
    init = lambda stride=0: _initializer(self.initializer, 'discriminator', stride)
    window, maps = (self.kernel, self.kernel), []
    strides = _strides(self.strides, len(self.channels), 'discriminator')
    # (B, 32, 32, 128), (B, 16, 16, 256), (B, 8, 8, 512), (B, 4, 4, 1024)
    for i, (width, stride) in enumerate(zip(self.channels, strides, strict=True)):
      normed = i > 0 and self.norm == 'batch'
      if self.weights == 'plain':
        x = Conv(width, window, (stride, stride), use_bias=not normed, kernel_init=init(stride))(x)
      else:
        settings = (self.weights, not normed, init(stride))
        x = weights.Conv(width, window, (stride, stride), *settings, name=f'Conv_{i}')(x, train=train)
      if normed:
        x = BatchNorm(gain_stddev=GAIN_STDDEV)(x, train=train)
      x = nn.leaky_relu(x, self.slope)
      maps.append(x)
    last = x.reshape(x.shape[0], -1)  # (B, 4 * 4 * 1024)
    for i, width in enumerate(self.hidden):
      if self.weights == 'plain':
        last = dense(last, width, use_bias=self.norm != 'batch', kernel_init=init(), name=f'hidden_{i}')
      else:
        settings = (self.weights, self.norm != 'batch', init())
        last = weights.Dense(width, *settings, name=f'hidden_{i}')(last, train=train)
      if self.norm == 'batch':
        last = BatchNorm(gain_stddev=GAIN_STDDEV, name=f'hidden_norm_{i}')(last, train=train)
      last = nn.leaky_relu(last, self.slope)
    seen = MinibatchDiscrimination(self.minibatch_kernels)(last) if self.minibatch_kernels else last
    if self.weights == 'plain':
      logits = head(dense(seen, self.outputs, kernel_init=init()))
    else:
      logits = head(weights.Dense(self.outputs, self.weights, kernel_init=init(), name='Dense_0')(seen, train=train))
    if layers:
      return logits, tuple(maps)
    return (logits, last) if features else logits
