"""Stacked GAN's networks: an encoder in two parts, and a generator and a discriminator for each of its layers.

Source: Huang et al. 2016, https://arxiv.org/abs/1612.04357; the layers of the authors' code (xunhuang1995/SGAN:
`mnist/train_independent.py`, `cifar/train_joint.py`).
"""

import flax.linen as nn
import jax

from gan_jax.nets.classifier import max_pool
from gan_jax.nets.layers.basic import BatchNorm, Dropout, GaussianNoise, beside, condition, dense, head
from gan_jax.nets.layers.conv import Conv, ConvTranspose

NORMAL = nn.initializers.normal(0.02)
GLOROT = nn.initializers.glorot_uniform()
SLOPE = 0.2


def _normed(x: jax.Array, width: int, *, train: bool) -> jax.Array:
  """A dense ReLU layer with batch norm."""
  x = dense(x, width, use_bias=False, kernel_init=NORMAL)
  return nn.relu(BatchNorm(epsilon=1e-6)(x, train=train))


class Encoder(nn.Module):
  """Images (B, H, W, C) to features (B, hidden): convolutions without borders, with ReLU and 2x2 max pooling.

  Attributes:
    channels: widths of the convolutions.
    kernel: their window.
    hidden: width of the ReLU layer that gives the features.
    classes: the result is the logits of so many classes, for a stack of one; 0 for the features.
  """

  channels: tuple[int, ...] = (32, 32)
  kernel: int = 5
  hidden: int = 256
  classes: int = 0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for width in self.channels:  # (B, 12, 12, 32), (B, 4, 4, 32)
      x = max_pool(nn.relu(Conv(width, (self.kernel, self.kernel), padding='VALID')(x)))
    x = nn.relu(dense(x.reshape(x.shape[0], -1), self.hidden))
    return dense(x, self.classes) if self.classes else x


class FeatureGenerator(nn.Module):
  """Noise (B, n) and classes (B,) to features (B, units).

  Attributes:
    classes: how many.
    hidden: widths of ReLU layers with batch norm.
    units: entries of the result, which are not negative, as the encoder's.
    widths: of layers that take noise and class apart before they meet; empty for none.
  """

  classes: int = 10
  hidden: tuple[int, ...] = (512, 512)
  units: int = 256
  widths: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, noise: jax.Array, *, train: bool, above: jax.Array) -> jax.Array:
    parts = [noise, condition(above, self.classes, noise.dtype)]
    if self.widths:
      parts = [_normed(part, width, train=train) for part, width in zip(parts, self.widths, strict=True)]
    x = beside(*parts)
    for width in self.hidden:
      x = _normed(x, width, train=train)
    return nn.relu(dense(x, self.units, kernel_init=NORMAL))


class ImageGenerator(nn.Module):
  """Noise (B, n) and features (B, m), or classes (B,), to images with pixels in [0, 1].

  Attributes:
    channels: widths, from base x base on.
    strides: of the transposed convolutions, one to the image more than between channels: 2 doubles the size, 1 is one
      without borders, which adds kernel - 1 pixels.
    base: height and width at the start.
    image_channels: 1 for grey, 3 for colour.
    kernel: window.
    widths: of the layers that the noise passes before it meets the features.
    classes: how many, for a stack of one; 0 for features.
  """

  channels: tuple[int, ...] = (128, 128, 64, 64)
  strides: tuple[int, ...] = (2, 1, 2, 1)
  base: int = 4
  image_channels: int = 1
  kernel: int = 5
  widths: tuple[int, ...] = (128,)
  classes: int = 0

  @nn.compact
  def __call__(self, noise: jax.Array, *, train: bool, above: jax.Array) -> jax.Array:
    above = condition(above, self.classes, noise.dtype) if self.classes else above
    for width in self.widths:
      noise = _normed(noise, width, train=train)
    x = _normed(beside(above, noise), self.base**2 * self.channels[0], train=train)
    x = x.reshape(-1, self.base, self.base, self.channels[0])
    widths, window = (*self.channels[1:], self.image_channels), (self.kernel, self.kernel)
    for i, (width, stride) in enumerate(zip(widths, self.strides, strict=True)):  # (B, 8, 8, 128), (B, 12, 12, 64), ...
      last, padding = i == len(widths) - 1, 'VALID' if stride == 1 else 'SAME'
      x = ConvTranspose(width, window, (stride, stride), use_bias=last, kernel_init=NORMAL, padding=padding)(x)
      x = nn.sigmoid(x) if last else nn.relu(BatchNorm(epsilon=1e-6)(x, train=train))
    return x


class FeatureDiscriminator(nn.Module):
  """Features (B, m) to (logits (B,) or (B, outputs), the noise they were made of (B, codes)).

  Attributes:
    hidden: widths of leaky ReLU layers.
    codes: entries of the noise.
    outputs: 1 for one logit, K for those of classes.
    noise: deviation of the noise around each layer, in training; with noise there is a batch norm behind the second.
    glorot: weights begin as Glorot and Bengio's, and ReLU are not leaky: of the authors' joint training.
  """

  hidden: tuple[int, ...] = (256, 256)
  codes: int = 50
  outputs: int = 1
  noise: float = 0.0
  glorot: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
    init, slope = _start(self.glorot)
    noisy = lambda x: GaussianNoise(self.noise)(x, train=train) if self.noise else x
    for i, width in enumerate(self.hidden):
      normed = bool(self.noise) and i > 0
      x = dense(noisy(x), width, use_bias=not normed, kernel_init=init)
      x = nn.leaky_relu(BatchNorm(epsilon=1e-6)(x, train=train) if normed else x, slope)
    return _heads(noisy(x), self.outputs, self.codes, init)


def _start(glorot: bool) -> tuple[nn.initializers.Initializer, float]:
  """(weights of dense layers, slope of their ReLU)."""
  return (GLOROT, 0.0) if glorot else (NORMAL, SLOPE)


def _heads(x: jax.Array, outputs: int, codes: int, init: nn.initializers.Initializer) -> tuple[jax.Array, jax.Array]:
  """(logits, the noise): a layer for each, in a compact method. Noise lies in [0, 1] where there is one logit."""
  logits = head(dense(x, outputs, kernel_init=init, name='adversarial'))
  noise = dense(x, codes, kernel_init=init, name='recovered')
  return logits, nn.sigmoid(noise) if outputs == 1 else noise


class ImageDiscriminator(nn.Module):
  """Images (B, H, W, C) to (logits (B,), the noise they were made of (B, codes)), in [0, 1].

  Attributes:
    channels: widths of convolutions of stride 2.
    hidden: width of the layer that both heads read.
    codes: entries of the noise.
    kernel: window.
    glorot: dense layers begin as Glorot and Bengio's, with ReLU that is not leaky, and convolutions at a deviation of
      0.01: of the authors' joint training.
  """

  channels: tuple[int, ...] = (32, 64, 128)
  hidden: int = 256
  codes: int = 50
  kernel: int = 5
  glorot: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
    init, slope = _start(self.glorot)
    window, first = (self.kernel, self.kernel), nn.initializers.normal(0.01) if self.glorot else NORMAL
    for width in self.channels:
      x = nn.leaky_relu(Conv(width, window, (2, 2), kernel_init=first)(x), SLOPE)
    x = nn.leaky_relu(dense(x.reshape(x.shape[0], -1), self.hidden, kernel_init=init), slope)
    return _heads(x, 1, self.codes, init)


class ClassDiscriminator(nn.Module):
  """Images (B, 32, 32, C) to (logits (B, classes), the noise they were made of (B, codes)): the authors' for CIFAR-10.

  Attributes:
    channels: widths of the two groups of convolutions.
    classes: how many.
    codes: entries of the noise.
    noise: deviation on the image, in training.
    dropout: rate behind each convolution of stride 2.
  """

  channels: tuple[int, int] = (96, 192)
  classes: int = 10
  codes: int = 16
  noise: float = 0.05
  dropout: float = 0.3

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
    def block(
      x: jax.Array, width: int, window: int, stride: int = 1, *, normed: bool = True, padding: str = 'SAME'
    ) -> jax.Array:
      layer = Conv(width, (window, window), (stride, stride), use_bias=not normed, kernel_init=NORMAL, padding=padding)
      return nn.leaky_relu(BatchNorm(epsilon=1e-6)(layer(x), train=train) if normed else layer(x), SLOPE)

    x = GaussianNoise(self.noise)(x, train=train)
    for i, width in enumerate(self.channels):  # (B, 16, 16, 96), (B, 8, 8, 192)
      x = block(block(x, width, 3, normed=i > 0), width, 3, 2)
      x = Dropout(self.dropout, deterministic=not train)(x)
    x = block(x, self.channels[1], 3, padding='VALID')  # (B, 6, 6, 192)
    x = block(x, self.channels[1], 1, normed=False)
    noise = dense(x.reshape(x.shape[0], -1), self.codes, kernel_init=NORMAL, name='recovered')
    return dense(x.mean((1, 2)), self.classes, kernel_init=NORMAL, name='adversarial'), noise
