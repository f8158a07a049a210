"""MAD-GAN's networks: one trunk that all generators share, a head for each, the discriminators of points and pictures.

Source: Ghosh et al. 2017, https://arxiv.org/abs/1704.02906, section 5; the layers of the authors' code
(vivkul/MAD-GAN_synthetic: `ToyNetInd` and `ToyNet` of points, `SimpleGEN` and `SimpleCNN` of MNIST), and their first
weights.

differs: biases of convolutions start at 0, the authors' at 0.1.
"""

import math
from typing import Literal

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError, one_of
from gan_jax.nets.layers.basic import BatchNorm, activation, dense
from gan_jax.nets.layers.conv import Conv, ConvTranspose

XAVIER = nn.initializers.glorot_normal()
BENDS = {'elu': (nn.elu, XAVIER), 'relu': (nn.relu, nn.initializers.he_normal())}


def _of_outputs(kernel: int, channels: int) -> nn.initializers.Initializer:
  """First weights of a transposed convolution in the authors' code, counted by its outputs."""
  return nn.initializers.normal(1 / math.sqrt(kernel * kernel * channels))


class Trunk(nn.Module):
  """Latents (B, n) to features (B, hidden[-1]).

  Attributes:
    hidden: widths.
    bend: 'elu', with the authors' first weights; 'relu', with He's. Layers of ELU begin as nearly linear maps: of the
      variance of what a head behind them makes, a linear map of the latents has 96 %, with ReLU half.
  """

  hidden: tuple[int, ...] = (128, 128)
  bend: Literal['elu', 'relu'] = 'elu'

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    if self.bend not in BENDS:
      raise one_of('bend of madgan.Trunk', self.bend, BENDS)
    bend, init = BENDS[self.bend]
    for width in self.hidden:
      z = bend(dense(z, width, kernel_init=init))
    return z


class Head(nn.Module):
  """Features (B, n) to examples (B, *shape).

  Attributes:
    hidden: widths of ELU layers.
    shape: of one example.
    output: 'identity' for points, 'sigmoid' or 'tanh' for pixels.
  """

  hidden: tuple[int, ...] = ()
  shape: tuple[int, ...] = (1,)
  output: str = 'identity'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for width in self.hidden:
      x = nn.elu(dense(x, width, kernel_init=XAVIER))
    x = dense(x, math.prod(self.shape), kernel_init=XAVIER)
    return activation(x, self.output).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  """Examples (B, ...) to logits (B, outputs) through leaky ReLU layers.

  Weights begin as the authors' (`models/toy_models.py`), in the first layer at N(0, 1 / 8). Each of its bends is where
  the bias over the weight is: with weights of 1 and numbers up to 110, 200,000 steps of 1e-4 do not move it far enough.

  Attributes:
    hidden: widths.
    outputs: one for each generator, and one for data.
    slope: of the leaky ReLU below zero.
  """

  hidden: tuple[int, ...] = (128, 128, 128)
  outputs: int = 5
  slope: float = 0.1

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = x.reshape(x.shape[0], -1)
    for width in self.hidden:
      x = nn.leaky_relu(dense(x, width, kernel_init=XAVIER), self.slope)
    return dense(x, self.outputs, kernel_init=XAVIER)


class ImageTrunk(nn.Module):
  """Latents (B, n) to maps (B, 2 base, 2 base, channels[1]): a projection and a transposed convolution.

  Attributes:
    channels: widths of the two.
    base: height and width that the latents are projected to.
    kernel: window of the transposed convolution.
    norm: whether to use batch norm; the authors' code for MNIST does not.
  """

  channels: tuple[int, ...] = (64, 32)
  base: int = 7
  kernel: int = 5
  norm: bool = False

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    if len(self.channels) != 2:
      raise UserError(f'channels={self.channels} of madgan.ImageTrunk: give two')
    normed = lambda x: BatchNorm()(x, train=train) if self.norm else x
    x = dense(z, self.base * self.base * self.channels[0], kernel_init=XAVIER)
    x = nn.elu(normed(x.reshape(-1, self.base, self.base, self.channels[0])))
    window, begin = (self.kernel, self.kernel), _of_outputs(self.kernel, self.channels[1])
    return nn.elu(normed(ConvTranspose(self.channels[1], window, (2, 2), kernel_init=begin)(x)))


class ImageHead(nn.Module):
  """Maps (B, H, W, C) to images (B, 2 H, 2 W, image_channels).

  Attributes:
    kernel: window of the transposed convolution.
    image_channels: 1 for grey, 3 for colour.
    output: 'sigmoid' for pixels in [0, 1], 'tanh' for [-1, 1].
  """

  kernel: int = 5
  image_channels: int = 1
  output: str = 'sigmoid'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    window, begin = (self.kernel, self.kernel), _of_outputs(self.kernel, self.image_channels)
    return activation(ConvTranspose(self.image_channels, window, (2, 2), kernel_init=begin)(x), self.output)


class ImageDiscriminator(nn.Module):
  """Images (B, H, W, C) to logits (B, outputs) through ReLU convolutions that halve.

  Attributes:
    channels: widths of the convolutions.
    outputs: one for each generator, and one for data.
    kernel: their window.
  """

  channels: tuple[int, ...] = (32, 64)
  outputs: int = 5
  kernel: int = 5

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for width in self.channels:
      x = nn.relu(Conv(width, (self.kernel, self.kernel), (2, 2), kernel_init=XAVIER)(x))
    return dense(x.reshape(x.shape[0], -1), self.outputs, kernel_init=XAVIER)
