"""Networks of DCGAN's shape with a switch for each thing that DCGAN insists on: batch norm, rectifiers, few layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nets.layers.basic import BatchNorm, dense, head
from gan_jax.nets.layers.conv import Conv, ConvTranspose

NORMAL = nn.initializers.normal(0.02)


def nonlinear(x: jax.Array, name: str, slope: float) -> jax.Array:
  return jnp.tanh(x) if name == 'tanh' else nn.leaky_relu(x, slope)


class Generator(nn.Module):
  """Latents (B, n) to grey images (B, 4 base, 4 base, 1) for two widths.

  Attributes:
    channels: widths, the first at base x base.
    base: height and width that the latents are projected to.
    norm: batch norm in all layers but the last.
    activation: 'relu' or 'tanh', in all layers but the last.
    more: 3x3 convolutions behind each layer but the last.
  """

  channels: tuple[int, ...] = (64, 32)
  base: int = 2
  norm: bool = True
  activation: str = 'relu'
  more: int = 0

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    # Without batch norm, weights of deviation 0.02 would let the signal die.
    init = NORMAL if self.norm else nn.initializers.he_normal()
    normed = lambda x: nonlinear(BatchNorm()(x, train=train) if self.norm else x, self.activation, 0.0)
    first, *rest = self.channels
    x = normed(dense(z, self.base * self.base * first, kernel_init=init).reshape(-1, self.base, self.base, first))
    for width in rest:
      for _ in range(self.more):
        x = normed(Conv(x.shape[-1], (3, 3), kernel_init=init)(x))
      x = normed(ConvTranspose(width, (4, 4), (2, 2), kernel_init=init)(x))
    for _ in range(self.more):
      x = normed(Conv(x.shape[-1], (3, 3), kernel_init=init)(x))
    return jnp.tanh(ConvTranspose(1, (4, 4), (2, 2), kernel_init=init)(x))


class Discriminator(nn.Module):
  """Images (B, H, W, C) to logits (B,).

  Attributes:
    channels: widths of the convolutions of stride 2.
    norm: batch norm in all layers but the first.
    activation: 'relu' (leaky, 0.2) or 'tanh'.
    more: 3x3 convolutions behind each of them.
  """

  channels: tuple[int, ...] = (32, 64)
  norm: bool = True
  activation: str = 'relu'
  more: int = 0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    init = NORMAL if self.norm else nn.initializers.he_normal()
    normed = lambda x: nonlinear(BatchNorm()(x, train=train) if self.norm else x, self.activation, 0.2)
    for i, width in enumerate(self.channels):
      x = Conv(width, (4, 4), (2, 2), kernel_init=init)(x)
      x = normed(x) if i else nonlinear(x, self.activation, 0.2)
      for _ in range(self.more):
        x = normed(Conv(width, (3, 3), kernel_init=init)(x))
    return head(dense(x.reshape(x.shape[0], -1), 1, kernel_init=init))
