"""Triple-GAN's networks for MNIST: a generator and a discriminator that read the class in every layer, a classifier.

Source: Li et al. 2017, https://arxiv.org/abs/1703.02291; the layers of the authors' code (zhenxuan00/triple-gan:
`x2y_yz2x_xy2p_ssl_mnist.py`).
"""

import math

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.basic import BatchNorm, GaussianNoise, beside, condition, dense, head
from gan_jax.nets.layers.conv import Conv
from gan_jax.nets.layers.weights import Dense

GLOROT = nn.initializers.glorot_uniform()
#: (width, window, whether the border is left out, whether pooling and dropout follow) of the classifier's convolutions.
LAYERS = (
  (32, 5, True, True),
  (64, 3, False, False),
  (64, 3, True, True),
  (128, 3, False, False),
  (128, 3, False, False),
)


class Generator(nn.Module):
  """Latents (B, n) and classes (B,) to examples (B, *shape) with pixels in [0, 1].

  Attributes:
    classes: how many.
    hidden: widths of the softplus layers with batch norm.
    shape: of one example.
  """

  classes: int = 10
  hidden: tuple[int, ...] = (500, 500)
  shape: tuple[int, ...] = (28, 28, 1)

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, label: jax.Array) -> jax.Array:
    y, x = condition(label, self.classes, z.dtype), z
    for width in self.hidden:
      x = dense(beside(x, y), width, use_bias=False, kernel_init=GLOROT)
      x = nn.softplus(BatchNorm(epsilon=1e-4)(x, train=train))
    x = Dense(math.prod(self.shape), 'weight', kernel_init=GLOROT)(beside(x, y), train=train)
    return nn.sigmoid(x).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  """Examples (B, ...) and classes (B,) to logits (B,): ReLU layers of unit weights, with noise in front of each.

  Attributes:
    classes: how many.
    hidden: widths.
    noise: deviations of the noise on the example and on every hidden layer, in training.
  """

  classes: int = 10
  hidden: tuple[int, ...] = (1000, 500, 250, 250, 250)
  noise: tuple[float, float] = (0.3, 0.5)

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, label: jax.Array) -> jax.Array:
    x = x.reshape(x.shape[0], -1)
    y, noise = condition(label, self.classes, x.dtype), self.noise[0]
    for width in (*self.hidden, 1):
      x = beside(GaussianNoise(noise)(x, train=train), y)
      x, noise = Dense(width, 'unit', kernel_init=nn.initializers.normal(0.1))(x, train=train), self.noise[1]
      x = nn.relu(x) if width > 1 else x
    return head(x)


class Classifier(nn.Module):
  """Images (B, H, W, C) to logits (B, classes): convolutions with batch norm, two with pooling and dropout.

  Attributes:
    classes: how many.
    dropout: rate behind each pooling.
  """

  classes: int = 10
  dropout: float = 0.5

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    normal = nn.initializers.normal(0.05)
    for width, window, inside, ends in LAYERS:  # (B, 12, 12, 32), (B, 12, 12, 64), (B, 5, 5, 64), (B, 5, 5, 128) twice
      padding = 'VALID' if inside else 'SAME'
      x = Conv(width, (window, window), use_bias=False, kernel_init=normal, padding=padding)(x)
      x = nn.relu(BatchNorm(epsilon=1e-4)(x, train=train))
      if ends:
        count, height, width, channels = x.shape
        if height % 2 or width % 2:
          raise UserError(
            f'the classifier pools maps of {height}x{width}: give pictures whose sides are multiples of 4'
          )
        x = x.reshape(count, height // 2, 2, width // 2, 2, channels).max((2, 4))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return dense(x.mean((1, 2)), self.classes, kernel_init=nn.initializers.normal(0.01))
