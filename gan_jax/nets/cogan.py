"""CoGAN's pairs of networks: the generators differ in their last layer, the discriminators in their first.

Source: Liu and Tuzel 2016, https://arxiv.org/abs/1606.07536; the layers of the authors' PyTorch code
(mingyuliutw/CoGAN: `net_cogan_mnistedge.py`, `net_cogan_mnist2usps.py`).

differs: biases start at 0, the authors' at 0.1.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nets.layers.basic import activation, beside, dense
from gan_jax.nets.layers.conv import Conv, ConvTranspose
from gan_jax.nets.layers.norms import PlainBatchNorm

DOMAINS = ('a', 'b')
XAVIER = nn.initializers.variance_scaling(2.0, 'fan_avg', 'uniform')


def _xavier_of(places: int, inputs: int, outputs: int) -> nn.initializers.Initializer:
  """First weights of a dense layer that is a convolution over all places in the authors' code: both fans count them."""
  return lambda key, shape, dtype: XAVIER(key, (places, inputs, outputs), dtype).reshape(shape)


def _prelu(x: jax.Array, name: str) -> jax.Array:
  return nn.PReLU(negative_slope_init=0.25, name=name)(x)


class Generator(nn.Module):
  """Latents (B, n) to a pair of images {'a': (B, size, size, image_channels), 'b': the same}.

  Attributes:
    channels: widths of the shared layers; the first is 4 x 4, each other one of 2 n - 1 after n: 7, 13, 25.
    kernel: window of the two last layers, which keeps all of its sums: 25 + 6 - 3 = 28.
    image_channels: of each image.
    output: 'sigmoid' for pixels in [0, 1], 'tanh' for [-1, 1].
    conditional: a conditional GAN in place of a pair, for comparison: all layers shared, the domain an input.
  """

  channels: tuple[int, ...] = (1024, 512, 256, 128)
  kernel: int = 6
  image_channels: int = 1
  output: str = 'sigmoid'
  conditional: bool = False

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    layers = [ConvTranspose(width, (3, 3), (2, 2), kernel_init=XAVIER) for width in self.channels[1:]]
    norms = [PlainBatchNorm(momentum=0.9) for _ in self.channels]
    bends = [nn.PReLU(negative_slope_init=0.25) for _ in self.channels]
    width = z.shape[-1] + 2 * self.conditional
    begin = _xavier_of(16, width, self.channels[0])
    project = nn.Dense(16 * self.channels[0], kernel_init=begin, dtype=z.dtype)
    ends = [
      Conv(self.image_channels, (self.kernel, self.kernel), kernel_init=XAVIER, name=f'image_{d}') for d in DOMAINS
    ]

    def shared(z: jax.Array) -> jax.Array:
      x = project(z).reshape(-1, 4, 4, self.channels[0])
      for i, (norm, bend) in enumerate(zip(norms, bends, strict=True)):
        if i:
          x = layers[i - 1](x)[:, 1:, 1:]  # (B, 7, 7, 512), (B, 13, 13, 256), (B, 25, 25, 128)
        x = bend(norm(x, train=train))
      # With every sum of a window but the outermost, as a transposed convolution of padding 1 gives: (B, 28, 28, 1).
      room = self.kernel - 3
      return jnp.pad(x, ((0, 0), (room - room // 2, room // 2), (room - room // 2, room // 2), (0, 0)))

    if not self.conditional:
      x = shared(z)
      return {d: activation(end(x), self.output) for d, end in zip(DOMAINS, ends, strict=True)}
    one_hot = lambda d: jnp.broadcast_to(jax.nn.one_hot(d, 2, dtype=z.dtype), (z.shape[0], 2))
    return {d: activation(ends[0](shared(beside(z, one_hot(i)))), self.output) for i, d in enumerate(DOMAINS)}


class Discriminator(nn.Module):
  """Images (B, H, W, C) of a domain to logits (B, 2), fake and real: convolutions with max pooling, dense layers.

  Attributes:
    channels: widths of the convolutions, the first of which each domain has of its own.
    kernel: their window.
    hidden: width of the dense layer.
    classes: of a classifier on the hidden layer; 0 for none.
    conditional: all layers shared, the domain an input.
  """

  channels: tuple[int, int] = (20, 50)
  kernel: int = 5
  hidden: int = 500
  classes: int = 0
  conditional: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, domain: str, *, train: bool) -> dict[str, Any]:
    """{'logits': (B, 2), 'features': (B, hidden), and with classes 'classes': (B, classes)}."""
    first, second = self.channels
    if self.conditional:
      x = jnp.concatenate([x, jnp.full((*x.shape[:-1], 1), DOMAINS.index(domain), x.dtype)], -1)
      domain = 'both'
    window = (self.kernel, self.kernel)
    x = _pooled(Conv(first, window, kernel_init=XAVIER, padding='VALID', name=f'first_{domain}')(x))  # (B, 12, 12, 20)
    x = _pooled(Conv(second, window, kernel_init=XAVIER, padding='VALID', name='second')(x))  # (B, 4, 4, 50)
    begin = _xavier_of(x.shape[1] * x.shape[2], second, self.hidden)
    features = _prelu(dense(x.reshape(x.shape[0], -1), self.hidden, kernel_init=begin, name='hidden'), 'bend')
    out = {'logits': dense(features, 2, kernel_init=XAVIER, name='real'), 'features': features}
    if self.classes:
      out['classes'] = dense(features, self.classes, kernel_init=XAVIER, name='classes')
    return out


def _pooled(x: jax.Array) -> jax.Array:
  """The largest of each 2x2, an odd row or column left out: (B, H, W, C) to (B, H // 2, W // 2, C)."""
  count, height, width, channels = x.shape
  x = x[:, : height // 2 * 2, : width // 2 * 2]
  return x.reshape(count, height // 2, 2, width // 2, 2, channels).max((2, 4))
