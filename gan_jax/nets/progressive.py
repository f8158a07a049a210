"""Progressive GAN: networks that grow from 4x4 by doubling; a new resolution fades in beside the old one.

Source: Karras et al. 2017, https://arxiv.org/abs/1710.10196, figure 2, table 2 and section 4; the authors' code
(tkarras/progressive_growing_of_gans: `networks.py`). Layers bear the name of their resolution, so that a network of
twice the resolution keeps the weights of the smaller one.
"""

from typing import Any

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.basic import head
from gan_jax.nets.layers.conv import biased
from gan_jax.nets.layers.minibatch import minibatch_stddev
from gan_jax.nets.layers.norms import pixel_norm
from gan_jax.nets.layers.resample import blend, downsample, upsample
from gan_jax.nets.layers.weights import HE, Conv, Dense

SLOPE = 0.2
FIRST = 4


def sizes_of(resolution: int, channels: tuple[int, ...], of: str) -> dict[int, int]:
  """{height of the maps: width of the layers} from 4 to the resolution.

  Raises:
    UserError: the resolution is no power of two, less than 4, or has no width.

  >>> sizes_of(16, (512, 256, 128, 64), 'generator')
  {4: 512, 8: 256, 16: 128}
  """
  count = resolution.bit_length() - FIRST.bit_length() + 1
  if resolution < FIRST or resolution & (resolution - 1) or count > len(channels):
    raise UserError(
      f'resolution={resolution} of the {of}: it must be a power of two from 4 to {FIRST << (len(channels) - 1)}, for '
      f'channels={channels} has {len(channels)} widths, from 4x4 on'
    )
  return {FIRST << i: channels[i] for i in range(count)}


def check_resolution(image: jax.Array, resolution: int) -> None:
  """Raises a UserError if images (B, H, W, C) are not those of a discriminator: its widths would be of other sizes."""
  if image.shape[1:3] != (resolution, resolution):
    raise UserError(
      f'the discriminator has resolution={resolution}, the images {image.shape[1]}x{image.shape[2]}: set '
      'config.game.discriminator.resolution or config.data.size'
    )


def _conv(width: int, window: int = 3, **settings: Any) -> Conv:
  return Conv(width, (window, window), kind='equalised', **settings)


class FirstBlock(nn.Module):
  """Latents (B, n) to maps (B, 4, 4, width)."""

  width: int

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    places = FIRST * FIRST
    # The authors divide this layer's gain by 4, as their first version did.
    x = Dense(places * self.width, 'equalised', use_bias=False, gain=HE / 4, name='project')(pixel_norm(z), train=train)
    x = biased(self, self.width, x.reshape(-1, FIRST, FIRST, self.width), True)  # a bias for a channel
    x = pixel_norm(nn.leaky_relu(x, SLOPE))
    return pixel_norm(nn.leaky_relu(_conv(self.width, name='conv')(x, train=train), SLOPE))


class UpBlock(nn.Module):
  """Maps (B, H, W, C) to (B, 2H, 2W, width)."""

  width: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = pixel_norm(nn.leaky_relu(_conv(self.width, resample='up', name='conv_0')(x, train=train), SLOPE))
    return pixel_norm(nn.leaky_relu(_conv(self.width, name='conv_1')(x, train=train), SLOPE))


class DownBlock(nn.Module):
  """Maps (B, H, W, C) to (B, H/2, W/2, width).

  Attributes:
    width: of the last layer.
    pool_last: as in `Discriminator`.
  """

  width: int
  pool_last: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = nn.leaky_relu(_conv(x.shape[-1], name='conv_0')(x, train=train), SLOPE)
    if self.pool_last:
      return downsample(nn.leaky_relu(_conv(self.width, name='conv_1')(x, train=train), SLOPE))
    return nn.leaky_relu(_conv(self.width, resample='down', name='conv_1')(x, train=train), SLOPE)


class LastBlock(nn.Module):
  """Maps (B, 4, 4, C) to logits (B,).

  Attributes:
    group: examples of a group of the minibatch deviation; 0 leaves it out.
  """

  group: int = 4

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    width = x.shape[-1]
    x = minibatch_stddev(x, group=self.group) if self.group else x
    x = nn.leaky_relu(_conv(width, name='conv')(x, train=train), SLOPE)
    x = nn.leaky_relu(Dense(width, 'equalised', name='dense_0')(x.reshape(x.shape[0], -1), train=train), SLOPE)
    return head(Dense(1, 'equalised', gain=1.0, name='dense_1')(x, train=train))


class Generator(nn.Module):
  """Latents (B, n) to images (B, resolution, resolution, image_channels).

  Attributes:
    resolution: of the images, a power of two from 4.
    channels: width of the layers at 4x4, 8x8, ... up to the largest resolution that it will grow to.
    image_channels: 1 for grey, 3 for colour.
  """

  resolution: int = 1024
  channels: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64, 32, 16)
  image_channels: int = 3

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, fade: jax.Array | None = None) -> jax.Array:
    """Images; with `fade`, a scalar from 0 to 1, its share in them and the rest of half the resolution, enlarged."""
    sizes = sizes_of(self.resolution, self.channels, 'generator')
    image_of = lambda x, size: _conv(self.image_channels, 1, gain=1.0, name=f'to_image_{size}')(x, train=train)
    x = small = FirstBlock(self.channels[0], name='block_4')(z, train=train)
    for size, width in list(sizes.items())[1:]:
      small, x = x, UpBlock(width, name=f'block_{size}')(x, train=train)
    image = image_of(x, self.resolution)
    if fade is None or self.resolution == FIRST:
      return image
    return blend(upsample(image_of(small, self.resolution // 2)), image, fade)


class Discriminator(nn.Module):
  """Images (B, resolution, resolution, C) to logits (B,).

  Attributes:
    resolution: of the images, a power of two from 4.
    channels: as the generator's.
    group: examples of a group of the minibatch deviation; 0 leaves it out.
    pool_last: whether the mean of 2x2 comes after bias and activation, as in the authors' Theano code; in their
      TensorFlow code it comes before.
  """

  resolution: int = 1024
  channels: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64, 32, 16)
  group: int = 4
  pool_last: bool = False

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool, fade: jax.Array | None = None) -> jax.Array:
    """Logits; with `fade`, the new layers have that share in the maps of half the resolution."""
    sizes = sizes_of(self.resolution, self.channels, 'discriminator')
    check_resolution(image, self.resolution)
    features_of = lambda image, size: nn.leaky_relu(
      _conv(sizes[size], 1, name=f'from_image_{size}')(image, train=train), SLOPE
    )
    x = features_of(image, self.resolution)
    for size in sorted(sizes, reverse=True)[:-1]:
      x = DownBlock(sizes[size // 2], self.pool_last, name=f'block_{size}')(x, train=train)
      if fade is not None and size == self.resolution:
        x = blend(features_of(downsample(image), size // 2), x, fade)
    return LastBlock(self.group, name='block_4')(x, train=train)
