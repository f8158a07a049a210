"""GMAN's discriminator: three convolutions with dropout; each of several discriminators has its own rate.

Source: Durugkar et al. 2016, https://arxiv.org/abs/1611.01673; the layers of the authors' code (iDurugkar/GMAN:
`models.py`). The generator there is DCGAN's.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nets.layers.basic import beside_pixels, checked_label, condition, dense, head
from gan_jax.nets.layers.conv import Conv


class Discriminator(nn.Module):
  """Images (B, H, W, C) to logits (B,).

  Attributes:
    channels: widths of the convolutions 3x3, the last of stride 1, the others of stride 2.
    classes: number of classes. The label becomes constant channels next to the image's; 0 for no label.
    slope: of the leaky ReLU below zero.
    stddev: of the first weights before they are cut at 2 deviations; of the authors' 0.02 the cut leaves 0.0176.
  """

  channels: tuple[int, ...] = (32, 64, 128)
  classes: int = 0
  slope: float = 0.2
  stddev: float = 0.02

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, keep: jax.Array | float = 1.0, label: jax.Array | None = None
  ) -> jax.Array:
    """Logits (B,).

    Args:
      x: (B, H, W, C).
      train: whether dropout is on.
      keep: the share of units that dropout keeps, after every convolution except the last.
      label: (B,) classes.
    """
    init = nn.initializers.truncated_normal(self.stddev)
    label = checked_label(label, self.classes, 'discriminator')
    if label is not None:
      x = beside_pixels(x, condition(label, self.classes))
    for width in self.channels[:-1]:
      x = nn.leaky_relu(Conv(width, (3, 3), (2, 2), kernel_init=init)(x), self.slope)
      if train:
        kept = jax.random.bernoulli(self.make_rng('dropout'), keep, x.shape)
        x = jnp.where(kept, x / keep, 0).astype(x.dtype)
    x = nn.leaky_relu(Conv(self.channels[-1], (3, 3), kernel_init=init)(x), self.slope)
    return head(dense(x.reshape(x.shape[0], -1), 1, kernel_init=init))
