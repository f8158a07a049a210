"""Conditional DCGAN: the condition stands beside the input of every layer, as a vector or as a plane for each entry.

Source: the authors' code for MNIST, Newmu/dcgan_code, mnist/train_cond_dcgan.py (Radford et al. 2015,
https://arxiv.org/abs/1511.06434, appendix). Its layers have no biases, its batch norms neither gains nor biases.
"""

from typing import Any

import flax.linen as nn
import jax

from gan_jax.nets.layers.basic import activation, beside, beside_pixels, condition, dense, head
from gan_jax.nets.layers.conv import Conv, ConvTranspose
from gan_jax.nets.layers.norms import PlainBatchNorm

NORMAL = nn.initializers.normal(0.02)
EPSILON = 1e-8


def _halving(kernel: int) -> dict[str, Any]:
  """Settings of a convolution that halves even sizes: a window of 5 has a border of 2 zeros before and 1 after.

  The authors' has 2 on both sides, of which the last is read by no window.
  """
  before = (kernel - 1) // 2
  return dict(kernel_size=(kernel,) * 2, strides=(2, 2), padding=((before, kernel - 2 - before),) * 2)


class Generator(nn.Module):
  """Latents (B, n) and a condition to images (B, size, size, image_channels), size = base * 2 ** len(channels).

  Attributes:
    classes: number of classes of labels (B,); not used for tags (B, n).
    units: of the dense layer before the projection.
    channels: widths from the first maps, base x base, to the last before the image.
    image_channels: 1 for grey, 3 for colour.
    kernel: window of the transposed convolutions, 3 or more.
    base: height and width that the units are projected to.
    output: 'sigmoid' for pixels in [0, 1], 'tanh' for [-1, 1].
  """

  classes: int = 10
  units: int = 1024
  channels: tuple[int, ...] = (128, 64)
  image_channels: int = 1
  kernel: int = 5
  base: int = 7
  output: str = 'sigmoid'

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, label: jax.Array) -> jax.Array:
    y = condition(label, self.classes, z.dtype)
    common: dict[str, Any] = dict(use_bias=False, kernel_init=NORMAL)
    normed = lambda x: nn.relu(PlainBatchNorm(epsilon=EPSILON)(x, train=train))
    first, *rest = self.channels
    x = normed(dense(beside(z, y), self.units, **common))
    x = normed(dense(beside(x, y), self.base**2 * first, **common))  # each unit for itself
    x = x.reshape(-1, self.base, self.base, first)  # (B, 7, 7, 128)
    for width in rest:  # (B, 14, 14, 64)
      x = normed(ConvTranspose(width, **_halving(self.kernel), **common)(beside_pixels(x, y)))
    image = ConvTranspose(self.image_channels, **_halving(self.kernel), **common)(beside_pixels(x, y))  # (B, 28, 28, 1)
    return activation(image, self.output)


class Discriminator(nn.Module):
  """Images (B, H, W, C) and a condition to logits (B,).

  Attributes:
    classes: number of classes of labels (B,); not used for tags (B, n).
    channels: widths of the convolutions, each of which halves height and width.
    units: of the dense layer behind them.
    kernel: window of the convolutions, 3 or more.
    slope: of the leaky ReLU below zero.
  """

  classes: int = 10
  channels: tuple[int, ...] = (64, 128)
  units: int = 1024
  kernel: int = 5
  slope: float = 0.2

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, label: jax.Array, features: bool = False) -> Any:
    """Logits; with `features`, (logits, the last features (B, units)), behind batch norm and the leaky ReLU."""
    y = condition(label, self.classes, x.dtype)
    common: dict[str, Any] = dict(use_bias=False, kernel_init=NORMAL)
    bent = lambda x: nn.leaky_relu(x, self.slope)
    normed = lambda x: bent(PlainBatchNorm(epsilon=EPSILON)(x, train=train))
    for i, width in enumerate(self.channels):  # (B, 14, 14, 64), (B, 7, 7, 128)
      x = Conv(width, **_halving(self.kernel), **common)(beside_pixels(x, y))
      x = normed(x) if i else bent(x)
    x = normed(dense(beside(x.reshape(x.shape[0], -1), y), self.units, **common))
    logits = head(dense(beside(x, y), 1, **common))
    return (logits, x) if features else logits
