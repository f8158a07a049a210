"""DCGAN's networks with a switch for each guideline of the paper, for `benchmarks.ablation`.

Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 3, "Architecture guidelines for stable Deep
Convolutional GANs". With the defaults they are `gan_jax.nets.dcgan` with 4x4 windows.
"""

import flax.linen as nn
import jax

from gan_jax.base.errors import one_of
from gan_jax.nets.dcgan import GAIN_STDDEV, NORMAL
from gan_jax.nets.layers.basic import BatchNorm, dense, head
from gan_jax.nets.layers.conv import Conv, ConvTranspose
from gan_jax.nets.layers.resample import upsample

NORMS = ('none', 'right', 'everywhere')
KERNEL = (4, 4)


def _is_normed(norm: str, end: bool) -> bool:
  """Whether a layer has batch norm: all, or all but the ends (the generator's output, the discriminator's input)."""
  if norm not in NORMS:
    raise one_of('norm', norm, NORMS)
  return norm == 'everywhere' or (norm == 'right' and not end)


def _normalised(x: jax.Array, normed: bool, train: bool) -> jax.Array:
  return BatchNorm(gain_stddev=GAIN_STDDEV)(x, train=train) if normed else x


def _pooled(x: jax.Array) -> jax.Array:
  """The largest of each 2x2 square."""
  batch, height, width, channels = x.shape
  return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


class Generator(nn.Module):
  """Latents (B, n) to images (B, 32, 32, 1) in [-1, 1], with widths of three layers.

  Attributes:
    channels: widths, the 4x4 one first.
    pooling: nearest neighbours and a convolution in place of the transposed convolution.
    norm: 'none', 'right' (all but the output) or 'everywhere'.
    hidden: width of a dense layer before the projection; 0 for none.
  """

  channels: tuple[int, ...] = (64, 32, 16)
  pooling: bool = False
  norm: str = 'right'
  hidden: int = 0

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    inner = _is_normed(self.norm, False)
    if self.hidden:
      z = dense(z, self.hidden, use_bias=not inner, kernel_init=NORMAL, name='hidden_layer')
      z = nn.relu(_normalised(z, inner, train))
    x = dense(z, 16 * self.channels[0], use_bias=not inner, kernel_init=NORMAL, name='project')
    x = nn.relu(_normalised(x.reshape(-1, 4, 4, self.channels[0]), inner, train))  # (B, 4, 4, 64)
    for width in (*self.channels[1:], 1):  # (B, 8, 8, 32), (B, 16, 16, 16), (B, 32, 32, 1)
      normed = _is_normed(self.norm, width == 1)
      if self.pooling:
        x = Conv(width, KERNEL, use_bias=not normed, kernel_init=NORMAL)(upsample(x))
      else:
        x = ConvTranspose(width, KERNEL, (2, 2), use_bias=not normed, kernel_init=NORMAL)(x)
      x = _normalised(x, normed, train)
      x = nn.relu(x) if width > 1 else x
    return nn.tanh(x)


class Discriminator(nn.Module):
  """Images (B, 32, 32, 1) to logits (B,).

  Attributes:
    channels: widths.
    pooling: a convolution and the largest of each 2x2 square in place of the strided convolution.
    norm: 'none', 'right' (all but the first layer) or 'everywhere'.
    slope: of the leaky ReLU below zero; 0 for ReLU.
    hidden: width of a dense layer before the last; 0 for none.
  """

  channels: tuple[int, ...] = (16, 32, 64)
  pooling: bool = False
  norm: str = 'right'
  slope: float = 0.2
  hidden: int = 0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for i, width in enumerate(self.channels):  # (B, 16, 16, 16), (B, 8, 8, 32), (B, 4, 4, 64)
      normed = _is_normed(self.norm, i == 0)
      strides = (1, 1) if self.pooling else (2, 2)
      x = Conv(width, KERNEL, strides, use_bias=not normed, kernel_init=NORMAL)(x)
      x = _pooled(x) if self.pooling else x
      x = nn.leaky_relu(_normalised(x, normed, train), self.slope)
    x = x.reshape(len(x), -1)
    if self.hidden:
      normed = _is_normed(self.norm, False)
      x = dense(x, self.hidden, use_bias=not normed, kernel_init=NORMAL, name='hidden_layer')
      x = nn.leaky_relu(_normalised(x, normed, train), self.slope)
    return head(dense(x, 1, kernel_init=NORMAL))
