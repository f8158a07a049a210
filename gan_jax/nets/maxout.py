"""GAN 2014's networks for CIFAR-10: a generator that ends in one transposed convolution, a convolutional maxout judge.

Source: the authors' cifar10_convolutional.yaml (goodfeli/adversarial), for Goodfellow et al. 2014,
https://arxiv.org/abs/1406.2661, figure 2d.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nets.layers.basic import Dropout, Maxout, activation, dense, head, uniform_init
from gan_jax.nets.layers.conv import Conv


class ConvGenerator(nn.Module):
  """Latents (B, n) to images (B, 3 (base - 1) + 5, ..., image_channels): two dense layers, one transposed convolution.

  Attributes:
    hidden: units of the ReLU layer.
    base: height and width of the sigmoid layer.
    channels: of the sigmoid layer.
    image_channels: 1 for grey, 3 for colour.
    output: 'identity', 'tanh' or 'sigmoid'.
    irange: weights start uniform on (-irange, irange).
  """

  hidden: int = 8000
  base: int = 10
  channels: int = 80
  image_channels: int = 3
  output: str = 'identity'
  irange: float = 0.05

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    init = uniform_init(self.irange)
    x = nn.relu(dense(z, self.hidden, kernel_init=init))  # (B, 8000)
    x = nn.sigmoid(dense(x, self.base**2 * self.channels, kernel_init=init))  # (B, 8000)
    x = x.reshape(-1, self.base, self.base, self.channels)
    # Windows of 5 at every third pixel, none cut off: `nets.conv` has no such formulation.
    x = nn.ConvTranspose(
      self.image_channels, (5, 5), (3, 3), padding='VALID', use_bias=False, dtype=x.dtype, kernel_init=init
    )(x)  # (B, 32, 32, 3)
    # A bias of its own for every pixel.
    bias = self.param('bias', nn.initializers.zeros, (1, *x.shape[1:]), jnp.float32)
    return activation(x + bias.astype(x.dtype), self.output)


class ConvDiscriminator(nn.Module):
  """Images (B, H, W, C) to logits (B,): maxout convolutions with pooling, a dense maxout layer, dropout before each.

  differs: windows are padded to keep height and width; the authors' gain or lose a pixel in a layer, or gain two.

  Attributes:
    channels: maxout units of each convolution.
    kernels: their windows.
    pools: windows of the pooling behind them, at every second pixel.
    pieces: affine maps per unit of a convolution.
    units: of the dense layer.
    dense_pieces: affine maps per unit there.
    dropout: rates on the image and on every later input.
    irange: weights start uniform on (-irange, irange).
  """

  channels: tuple[int, ...] = (32, 32, 192)
  kernels: tuple[int, ...] = (8, 8, 5)
  pools: tuple[int, ...] = (4, 4, 2)
  pieces: int = 2
  units: int = 500
  dense_pieces: int = 5
  dropout: tuple[float, float] = (0.2, 0.5)
  irange: float = 0.005

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    init, rate = uniform_init(self.irange), self.dropout[0]
    for width, kernel, pool in zip(self.channels, self.kernels, self.pools, strict=True):
      x = Dropout(rate, deterministic=not train)(x)
      x = Conv(width * self.pieces, (kernel, kernel), (1, 1), kernel_init=init)(x)
      x = x.reshape(*x.shape[:-1], width, self.pieces).max(-1)
      x = nn.max_pool(x, window_shape=(pool, pool), strides=(2, 2), padding='SAME')
      rate = self.dropout[1]
    x = Dropout(rate, deterministic=not train)(x.reshape(x.shape[0], math.prod(x.shape[1:])))
    x = Maxout(self.units, self.dense_pieces, kernel_init=init)(x)  # (B, 500)
    x = Dropout(rate, deterministic=not train)(x)
    return head(dense(x, 1, kernel_init=init))
