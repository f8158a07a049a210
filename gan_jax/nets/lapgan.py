"""LAPGAN: networks for the levels of a Laplacian pyramid.

Source: Denton et al. 2015, https://arxiv.org/abs/1506.05751, section 3.1; the authors' code (facebook/eyescream:
`train_cifar.lua`, `train_cifar_coarse_to_fine.lua`, and those of their names with `_classcond`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.basic import TORCH, Dropout, beside, checked_label, condition, dense, head
from gan_jax.nets.layers.conv import Conv


class CoarseDiscriminator(nn.Module):
  """Images (B, H, W, C) of the coarsest level to logits (B,): ReLU layers with dropout.

  Attributes:
    hidden: widths.
    dropout: rate behind each.
    stddev: of the normal weights at the start; None for Torch's own, uniform within 1 / sqrt(inputs of a unit).
    classes: of the label, which stands beside the pixels; 0 for none.
  """

  hidden: tuple[int, ...] = (600, 600)
  dropout: float = 0.5
  stddev: float | None = 0.005
  classes: int = 0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, label: jax.Array | None = None) -> jax.Array:
    x, init = x.reshape(x.shape[0], -1), TORCH if self.stddev is None else nn.initializers.normal(self.stddev)
    if (label := checked_label(label, self.classes, 'discriminator')) is not None:
      x = beside(x, condition(label, self.classes, x.dtype))
    for width in self.hidden:
      x = Dropout(self.dropout, deterministic=not train)(nn.relu(dense(x, width, kernel_init=init)))
    return head(dense(x, 1, kernel_init=init))


class Generator(nn.Module):
  """Noise (B, H, W, 1) and a coarse image (B, H, W, C), already enlarged, to the difference from the fine one.

  Attributes:
    channels: widths of the ReLU convolutions.
    windows: of the convolutions, the last to the difference: one more than channels.
    classes: of the label, of which a further channel is made; 0 for none.
  """

  channels: tuple[int, ...] = (64, 64)
  windows: tuple[int, ...] = (7, 7, 5)
  classes: int = 0

  @nn.compact
  def __call__(self, noise: jax.Array, *, train: bool, coarse: jax.Array, label: jax.Array | None = None) -> jax.Array:
    if len(self.windows) != len(self.channels) + 1:
      raise UserError(
        f'channels={self.channels} and windows={self.windows} of lapgan.Generator: give '
        f'{len(self.channels) + 1} windows, one more than channels'
      )
    x = jnp.concatenate([noise, *_maps(label, self.classes, 'generator', coarse), coarse], -1)
    *windows, last = self.windows
    for width, window in zip(self.channels, windows, strict=True):
      x = nn.relu(Conv(width, (window, window), kernel_init=TORCH)(x))
    return Conv(coarse.shape[-1], (last, last), kernel_init=TORCH)(x)


class Discriminator(nn.Module):
  """A difference and the coarse image that it belongs to, (B, H, W, C) both, to logits (B,). It sees their sum.

  Attributes:
    channels: widths of the two convolutions without borders, the second of stride 2.
    kernel: their window.
    dropout: rate in front of the last layer.
    classes: of the label, of which a further channel is made; 0 for none.
  """

  channels: tuple[int, int] = (64, 64)
  kernel: int = 5
  dropout: float = 0.5
  classes: int = 0

  @nn.compact
  def __call__(
    self, difference: jax.Array, *, train: bool, coarse: jax.Array, label: jax.Array | None = None
  ) -> jax.Array:
    if len(self.channels) != 2:
      raise UserError(f'channels={self.channels} of lapgan.Discriminator: give two')
    window, (first, second) = (self.kernel, self.kernel), self.channels
    x = jnp.concatenate([difference + coarse, *_maps(label, self.classes, 'discriminator', coarse)], -1)
    x = nn.relu(Conv(first, window, kernel_init=TORCH, padding='VALID')(x))  # (B, 28, 28, 64)
    x = Conv(second, window, (2, 2), kernel_init=TORCH, padding='VALID')(x)  # (B, 12, 12, 64)
    x = Dropout(self.dropout, deterministic=not train)(nn.relu(x.reshape(x.shape[0], -1)))
    return head(dense(x, 1, kernel_init=TORCH))


def _maps(label: jax.Array | None, classes: int, of: str, like: jax.Array) -> list[jax.Array]:
  """The class as an image of one channel, (B, H, W, 1) of the size of `like`; none without classes."""
  if (label := checked_label(label, classes, of)) is None:
    return []
  height, width = like.shape[1:3]
  image = dense(condition(label, classes, like.dtype), height * width, kernel_init=TORCH, name='class_map')
  return [nn.relu(image).reshape(-1, height, width, 1)]
