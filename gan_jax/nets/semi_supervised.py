"""Improved GAN's networks for semi-supervised learning: weight norm, and Gaussian noise between layers.

Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5; the layers of the authors' code
(openai/improved-gan: `train_mnist_feature_matching.py`, `train_cifar_feature_matching.py`). CIFAR-10's generator is
DCGAN's.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nets.layers.basic import GaussianNoise, activation, dense
from gan_jax.nets.layers.borders import Padding
from gan_jax.nets.layers.data_scale import DataScale
from gan_jax.nets.layers.norms import PlainBatchNorm
from gan_jax.nets.layers.weights import Conv, Dense

WIDE = nn.initializers.normal(0.1)
NORMAL = nn.initializers.normal(0.05)


class Generator(nn.Module):
  """Latents (B, n) to examples (B, *shape), through softplus layers with batch norm without gain.

  Attributes:
    hidden: widths.
    shape: of one example.
    output: 'sigmoid' for pixels in [0, 1], 'tanh' for [-1, 1].
  """

  hidden: tuple[int, ...] = (500, 500)
  shape: tuple[int, ...] = (28, 28, 1)
  output: str = 'sigmoid'

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    x = z
    for i, width in enumerate(self.hidden):
      x = PlainBatchNorm(epsilon=1e-6)(
        dense(x, width, use_bias=False, kernel_init=nn.initializers.glorot_uniform()), train=train
      )
      bias = self.param(f'bias_{i}', nn.initializers.zeros, (1, width), jnp.float32)
      x = nn.softplus(x + bias.astype(x.dtype))
    x = Dense(math.prod(self.shape), 'weight', kernel_init=nn.initializers.glorot_uniform())(x, train=train)
    return activation(x, self.output).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  """Examples (B, ...) to logits (B, classes) through ReLU layers of weight norm.

  Attributes:
    classes: outputs.
    hidden: widths.
    noise: deviations of the noise on the input and on every hidden layer, in training.
  """

  classes: int = 10
  hidden: tuple[int, ...] = (1000, 500, 250, 250, 250)
  noise: tuple[float, float] = (0.3, 0.5)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, features: bool = False) -> Any:
    """Logits; with `features`, (logits, the last hidden layer (B, n), without its noise)."""
    x = x.reshape(x.shape[0], -1)
    noisy = GaussianNoise(self.noise[0])(x, train=train)
    for width in self.hidden:
      x = Dense(width, 'unit', use_bias=False, kernel_init=WIDE)(noisy, train=train)
      x = nn.relu(DataScale()(x, train=train))
      noisy = GaussianNoise(self.noise[1])(x, train=train)
    logits = Dense(self.classes, 'unit', use_bias=False, kernel_init=WIDE)(noisy, train=train)
    logits = DataScale(trained=True)(logits, train=train)
    return (logits, x) if features else logits


class ConvDiscriminator(nn.Module):
  """Images (B, H, W, C) to logits (B, classes): convolutions and network-in-network layers of weight norm, dropout.

  Attributes:
    classes: outputs.
    channels: widths of the first three and of all other layers.
    dropout: rates on the input and behind each convolution of stride 2.
    slope: of the leaky ReLU below zero.
  """

  classes: int = 10
  channels: tuple[int, int] = (96, 192)
  dropout: tuple[float, float] = (0.2, 0.5)
  slope: float = 0.2

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, features: bool = False) -> Any:
    """Logits; with `features`, (logits, the means over places of the last layer (B, n))."""
    few, many = self.channels

    def layer(x: jax.Array, width: int, window: int = 3, stride: int = 1, padding: Padding = 'SAME') -> jax.Array:
      strides = (stride, stride)
      conv = Conv(width, (window, window), strides, 'unit', use_bias=False, kernel_init=NORMAL, padding=padding)
      return nn.leaky_relu(DataScale()(conv(x, train=train), train=train), self.slope)

    x = nn.Dropout(self.dropout[0], deterministic=not train)(x)
    for width in (few, many):
      x = layer(layer(layer(x, width), width), width, stride=2, padding=(1, 1))
      x = nn.Dropout(self.dropout[1], deterministic=not train)(x)
    x = layer(x, many, padding='VALID')
    x = layer(layer(x, many, 1), many, 1).mean((1, 2))
    logits = Dense(self.classes, 'unit', use_bias=False, kernel_init=NORMAL)(x, train=train)
    logits = DataScale(stddev=0.1, trained=True)(logits, train=train)
    return (logits, x) if features else logits
