"""Auto-encoders, the discriminators of BEGAN and EBGAN.

Source: Berthelot et al. 2017, https://arxiv.org/abs/1703.10717, section 3.5 and figure 1.
"""

from typing import Any

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.basic import activation, dense
from gan_jax.nets.layers.conv import Conv
from gan_jax.nets.layers.resample import upsample

WINDOW = (3, 3)


class Encoder(nn.Module):
  """Images (B, H, W, C) to codes (B, code), halving height and width between one width and the next.

  Attributes:
    channels: widths of the two convolutions of each resolution; the paper's grow linearly, n, 2n, 3n, ...
    code: entries of the code; it has no nonlinearity.
  """

  channels: tuple[int, ...] = (128, 256, 384, 512)
  code: int = 64

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = nn.elu(Conv(self.channels[0], WINDOW)(x))  # (B, 64, 64, 128)
    for i, width in enumerate(self.channels):
      x = nn.elu(Conv(width, WINDOW)(x))
      x = nn.elu(Conv(width, WINDOW)(x))
      if i < len(self.channels) - 1:  # (B, 32, 32, 128), (B, 16, 16, 256), (B, 8, 8, 384)
        x = nn.elu(Conv(width, WINDOW, (2, 2))(x))
    return dense(x.reshape(x.shape[0], -1), self.code)


class Decoder(nn.Module):
  """Codes (B, n) to images (B, size, size, image_channels), size = base * 2^(widths - 1); the generator, too.

  Attributes:
    channels: widths of the two convolutions of each resolution, from the lowest; the paper's are all the same.
    image_channels: 1 for grey, 3 for colour.
    base: height and width that the codes are projected to.
    output: 'identity' as published, or 'tanh' for pixels in [-1, 1].
  """

  channels: tuple[int, ...] = (128, 128, 128, 128)
  image_channels: int = 3
  base: int = 8
  output: str = 'identity'

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    x = dense(z, self.base * self.base * self.channels[0], name='project')
    x = x.reshape(-1, self.base, self.base, self.channels[0])  # (B, 8, 8, 128)
    for i, width in enumerate(self.channels):
      x = upsample(x) if i else x  # (B, 16, 16, 128), (B, 32, 32, 128), (B, 64, 64, 128)
      x = nn.elu(Conv(width, WINDOW)(x))
      x = nn.elu(Conv(width, WINDOW)(x))
    return activation(Conv(self.image_channels, WINDOW)(x), self.output)


class AutoEncoder(nn.Module):
  """Images to their reconstructions, through a code.

  Attributes:
    encoder: images, train -> codes (B, n).
    decoder: codes, train -> images.
  """

  encoder: nn.Module = Encoder()
  decoder: nn.Module = Decoder()

  def __call__(self, x: jax.Array, *, train: bool, codes: bool = False) -> Any:
    """Reconstructions of x; with `codes`, (reconstructions, codes (B, n))."""
    code = self.encoder(x, train=train)
    reconstruction = self.decoder(code, train=train)
    if reconstruction.shape != x.shape:
      raise UserError(
        f'the auto-encoder returns {reconstruction.shape[1:]} for examples {x.shape[1:]}: change base, channels and '
        'image_channels of config.game.discriminator.decoder until they agree'
      )
    return (reconstruction, code) if codes else reconstruction
