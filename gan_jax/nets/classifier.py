"""Small convolutional classifiers: one whose last features are a space in which pictures are compared, a plain one."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nets.layers.basic import BatchNorm, dense
from gan_jax.nets.layers.conv import Conv

#: Larger pictures are folded, so that they cost no more than one of this side.
SIDE = 32
#: Pooling ends at this height or width.
LEAST = 4


class Classifier(nn.Module):
  """Pictures (B, H, W, C) to logits (B, classes) and features (B, widths[-1]).

  Every stage is a 3x3 convolution, 2x2 max pooling, batch norm and ReLU: normalised after the pooling, on a quarter
  of the numbers. Shapes below are those of a 32x32 grey picture, which takes 7.5 million multiplications.

  Attributes:
    classes: the number of classes.
    widths: channels of the stages.

  >>> net = Classifier(classes=10)
  >>> (logits, features), _ = net.init_with_output(jax.random.key(0), jnp.zeros((2, 28, 28, 1)), train=False)
  >>> logits.shape, features.shape
  ((2, 10), (2, 256))
  """

  classes: int
  widths: tuple[int, ...] = (24, 48, 96, 256)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
    x = _fold(x, -(-max(x.shape[1:3]) // SIDE))
    for width in self.widths:  # (B, 16, 16, 24), (B, 8, 8, 48), (B, 4, 4, 96), (B, 4, 4, 256)
      x = Conv(width, (3, 3), use_bias=False, kernel_init=nn.initializers.he_normal())(x)
      x = max_pool(x) if min(x.shape[1:3]) > LEAST else x
      x = nn.relu(BatchNorm()(x, train=train))
    features = x.max((1, 2))  # (B, 256)
    return dense(features, self.classes), features


class ConvClassifier(nn.Module):
  """Pictures (B, H, W, C) to logits (B, classes): convolutions with ReLU and 2x2 max pooling, then dense layers.

  Source: Madry et al. 2017, https://arxiv.org/abs/1706.06083, section 4 and the authors' code (mnist_challenge).

  Attributes:
    classes: the number of classes.
    channels: of the convolutions.
    hidden: widths of the dense layers.
    kernel: windows.
  """

  classes: int = 10
  channels: tuple[int, ...] = (32, 64)
  hidden: tuple[int, ...] = (1024,)
  kernel: int = 5

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for width in self.channels:  # (B, 14, 14, 32), (B, 7, 7, 64)
      x = max_pool(nn.relu(Conv(width, (self.kernel, self.kernel), (1, 1))(x)))
    x = x.reshape(x.shape[0], -1)
    for width in self.hidden:
      x = nn.relu(dense(x, width))  # (B, 1024)
    return dense(x, self.classes)


def _even(x: jax.Array, multiple: int) -> jax.Array:
  """Repeats the last row and column until height and width are multiples."""
  (_, height, width, _), none = x.shape, (0, 0)
  return jnp.pad(x, (none, (0, -height % multiple), (0, -width % multiple), none), mode='edge')


def _fold(x: jax.Array, block: int) -> jax.Array:
  """(B, H, W, C) to (B, H / block, W / block, block * block * C)."""
  x = _even(x, block)
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // block, block, width // block, block, channels).swapaxes(2, 3)
  return x.reshape(batch, height // block, width // block, block * block * channels)


def max_pool(x: jax.Array) -> jax.Array:
  """The largest of 2 x 2 pixels: (B, H, W, C) to (B, H/2, W/2, C)."""
  # Not nn.max_pool: on XLA:CPU its gradient takes 25 times as long.
  x = _even(x, 2)
  x = jnp.maximum(x[:, :, ::2], x[:, :, 1::2])
  return jnp.maximum(x[:, ::2], x[:, 1::2])
