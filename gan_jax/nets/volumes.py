"""3D-GAN: volumetric convolutions of 4x4x4 alone, no pooling and no dense layers.

Source: Wu et al. 2016, https://arxiv.org/abs/1610.07584, section 3.2 and the appendix; that convolutions have no biases
is from the authors' code (zck119/3dgan-release), which has a generator only.
"""

from typing import Any

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.basic import BatchNorm, activation, beside, checked_label, condition, dense, head
from gan_jax.nets.layers.conv import Conv, ConvTranspose
from gan_jax.nets.layers.weights import Embed

NORMAL = nn.initializers.normal(0.02)
WINDOW, TWICE = (4, 4, 4), (2, 2, 2)


class Generator(nn.Module):
  """Latents (B, n) to volumes (B, size, size, size, 1), size = 4 * 2 to the number of widths.

  Attributes:
    channels: widths from the first map, 4 x 4 x 4, to the last before the volume.
    output: 'sigmoid' for voxels in [0, 1], 'tanh' for [-1, 1].
    classes: how many, each an entry beside the latents; 0 for none.
  """

  channels: tuple[int, ...] = (512, 256, 128, 64)
  output: str = 'sigmoid'
  classes: int = 0

  @nn.compact
  def __call__(self, z: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    label = checked_label(label, self.classes, 'generator')
    if self.classes:
      z = beside(z, condition(label, self.classes, z.dtype))
    first, *rest = self.channels
    # The paper's transposed convolution from 1 x 1 x 1 to 4 x 4 x 4.
    x = dense(z, 64 * first, use_bias=False, kernel_init=NORMAL, name='project').reshape(-1, *WINDOW, first)
    x = nn.relu(BatchNorm()(x, train=train))
    for width in rest:  # (B, 8, 8, 8, 256), (B, 16, 16, 16, 128), (B, 32, 32, 32, 64)
      x = ConvTranspose(width, WINDOW, TWICE, use_bias=False, kernel_init=NORMAL)(x)
      x = nn.relu(BatchNorm()(x, train=train))
    return activation(ConvTranspose(1, WINDOW, TWICE, use_bias=False, kernel_init=NORMAL)(x), self.output)


class Discriminator(nn.Module):
  """Volumes (B, size, size, size, 1) to logits (B,): the generator mirrored, with leaky ReLUs.

  Attributes:
    channels: widths; each layer halves the size, and the last map must be 4 x 4 x 4.
    slope: of the leaky ReLU below zero.
    classes: how many, by projection; 0 for none.
  """

  channels: tuple[int, ...] = (64, 128, 256, 512)
  slope: float = 0.2
  classes: int = 0

  @nn.compact
  def __call__(self, x: jax.Array, label: jax.Array | None = None, *, train: bool, layers: bool = False) -> Any:
    """Logits; with `layers`, (logits, every layer's (B, n, n, n, C)), taken behind batch norm and the leaky ReLU."""
    label = checked_label(label, self.classes, 'discriminator')
    size, maps = 4 * 2 ** len(self.channels), []
    if x.shape[1:] != (size, size, size, 1):
      raise UserError(
        f'discriminator.channels={self.channels} takes volumes of shape {(size, size, size, 1)}, not {x.shape[1:]}: '
        'give one width for each halving down to 4'
      )
    for width in self.channels:  # (B, 32, 32, 32, 64), (B, 16, 16, 16, 128), (B, 8, 8, 8, 256), (B, 4, 4, 4, 512)
      x = Conv(width, WINDOW, TWICE, use_bias=False, kernel_init=NORMAL)(x)
      x = nn.leaky_relu(BatchNorm()(x, train=train), self.slope)
      maps.append(x)
    # The paper's convolution from 4 x 4 x 4 to 1 x 1 x 1.
    logits = head(dense(x.reshape(x.shape[0], -1), 1, use_bias=False, kernel_init=NORMAL, name='logit'))
    if self.classes:
      # Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637, eq. 3, of means over places.
      vector = Embed(self.classes, x.shape[-1], kernel_init=NORMAL, name='classes')(label, train=train)
      logits = logits + (vector * x.mean((1, 2, 3))).sum(-1)
    return (logits, maps) if layers else logits
