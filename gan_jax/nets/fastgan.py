"""FastGAN: a generator whose small maps scale the channels of large ones, a discriminator that also encodes.

Source: Liu et al. 2021, https://arxiv.org/abs/2101.04775, figures 3 and 4, and the authors' code.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.basic import BatchNorm
from gan_jax.nets.layers.weights import Conv, ConvTranspose

#: Widths by resolution, in units of `channels`.
GENERATOR: Mapping[int, float] = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}
DISCRIMINATOR: Mapping[int, float] = {**GENERATOR, 8: 16, 16: 8, 32: 4}
SIZES = (32, 64, 128, 256, 512, 1024)
#: The discriminator's maps end at this size, and its decoders begin there.
CODES = 8
INIT = nn.initializers.normal(0.02)


def small_side(size: int) -> int:
  """Height and width of the second, smaller image that both networks have."""
  return min(128, size // 2)


def nearest(image: jax.Array, side: int) -> jax.Array:
  """Every n-th pixel of images (B, H, H, C): (B, side, side, C)."""
  every = image.shape[1] // side
  return image[:, ::every, ::every] if every > 1 else image


def check_size(size: int) -> None:
  if size not in SIZES:
    raise UserError(f'FastGAN makes images of {", ".join(map(str, SIZES))} pixels, not {size}: change size')


def _width(table: Mapping[int, float], channels: int, size: int) -> int:
  return max(int(table[size] * channels), 1)


def _pooled(x: jax.Array, side: int) -> jax.Array:
  """Means over equal squares: (B, H, H, C) to (B, side, side, C)."""
  batch, height, width, channels = x.shape
  if (height, width) == (side, side):
    return x
  return x.reshape(batch, side, height // side, side, width // side, channels).mean((2, 4))


def _conv(features: int, window: int, stride: int = 1, padding: str = 'SAME', resample: str = '', *, name: str) -> Conv:
  strides = None if stride == 1 else (stride, stride)
  return Conv(
    features, (window, window), strides, 'spectral', use_bias=False, kernel_init=INIT, padding=padding,
    resample=resample, name=name,
  )  # fmt: skip


def _norm(name: str) -> BatchNorm:
  return BatchNorm(gain_stddev=0.02, name=name)


def _leaky(x: jax.Array) -> jax.Array:
  return nn.leaky_relu(x, 0.2)


class Gated(nn.Module):
  """Batch norm, then the first half of the channels times the sigmoid of the second."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    return nn.glu(_norm('norm')(x, train=train), axis=-1)


class Noise(nn.Module):
  """Adds noise of one value per pixel, times a weight that begins at 0."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    weight = self.param('weight', nn.initializers.zeros, (), jnp.float32).astype(x.dtype)
    return x + weight * jax.random.normal(self.make_rng('noise'), (*x.shape[:-1], 1), x.dtype)


class Excitation(nn.Module):
  """Skip-layer excitation: a small map (B, h, h, n) scales the channels of a large one (B, H, H, C).

  Source: section 3.1, eq. 1.
  """

  @nn.compact
  def __call__(self, small: jax.Array, large: jax.Array, *, train: bool) -> jax.Array:
    width = large.shape[-1]
    x = nn.swish(_conv(width, 4, padding='VALID', name='conv1')(_pooled(small, 4), train=train))
    return large * nn.sigmoid(_conv(width, 1, name='conv2')(x, train=train))


class UpBlock(nn.Module):
  """Twice as large by nearest neighbours, 3x3, gate; with `noisy` noise, and once more without growing.

  Attributes:
    features: output channels.
    noisy: two convolutions with noise in place of one without.
  """

  features: int
  noisy: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = _conv(2 * self.features, 3, resample='up', name='conv1')(x, train=train)
    if not self.noisy:
      return Gated(name='gated1')(x, train=train)
    x = Gated(name='gated1')(Noise(name='noise1')(x), train=train)
    x = _conv(2 * self.features, 3, name='conv2')(x, train=train)
    return Gated(name='gated2')(Noise(name='noise2')(x), train=train)


class Generator(nn.Module):
  """Latents (B, n) to {'image': (B, size, size, C), 'small': (B, s, s, C)} with s = 128 or half of the size.

  Attributes:
    size: 32 to 1024, a power of 2.
    channels: the unit of the widths, the authors' ngf.
    out_channels: 1 for grey, 3 for colour.
    output: how pixels are made; always tanh, so they lie in [-1, 1].
  """

  output: ClassVar[str] = 'tanh'
  size: int = 256
  channels: int = 64
  out_channels: int = 3

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> dict[str, jax.Array]:
    check_size(self.size)
    width = lambda size: _width(GENERATOR, self.channels, size)
    start = ConvTranspose(2 * width(4), (4, 4), (4, 4), 'spectral', use_bias=False, kernel_init=INIT, name='start')
    x = Gated(name='gated')(start(z[:, None, None], train=train), train=train)
    maps = {4: x}
    for size in (2**i for i in range(3, int(math.log2(self.size)) + 1)):
      x = UpBlock(width(size), noisy=size in (8, 32, 128, 512), name=f'up{size}')(x, train=train)
      if 64 <= size <= 512:
        x = Excitation(name=f'excite{size}')(maps[size // 16], x, train=train)
      maps[size] = x
    small = _conv(self.out_channels, 1, name='to_small')(maps[small_side(self.size)], train=train)
    return {
      'image': jnp.tanh(_conv(self.out_channels, 3, name='to_image')(x, train=train)), 'small': jnp.tanh(small)
    }  # fmt: skip


class DownBlock(nn.Module):
  """4x4 of stride 2 and 3x3, beside means of 2 x 2 and 1x1; the mean of the two."""

  features: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    y = _leaky(_norm('norm1')(_conv(self.features, 4, 2, name='conv1')(x, train=train), train=train))
    y = _leaky(_norm('norm2')(_conv(self.features, 3, name='conv2')(y, train=train), train=train))
    beside = _conv(self.features, 1, name='conv3')(_pooled(x, x.shape[1] // 2), train=train)
    return (y + _leaky(_norm('norm3')(beside, train=train))) / 2


class Decoder(nn.Module):
  """Maps (B, 8, 8, n) to images (B, side, side, C) in [-1, 1].

  Attributes:
    side: of the images, a power of 2 from 16.
    channels: the unit of the widths.
    out_channels: 1 for grey, 3 for colour.
  """

  side: int = 128
  channels: int = 32
  out_channels: int = 3

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    size = 2 * CODES
    while size <= self.side:
      x = UpBlock(_width(GENERATOR, self.channels, size), name=f'up{size}')(x, train=train)
      size *= 2
    return jnp.tanh(_conv(self.out_channels, 3, name='to_image')(x, train=train))


class Discriminator(nn.Module):
  """Images of two sizes to logits of patches, (B, 5, 5) each, and with `part` to what three decoders make of its maps.

  Attributes:
    size: of the larger images.
    channels: the unit of the widths, the authors' ndf.
    hidden: the unit of the decoders' widths.
    out_channels: of the images.
  """

  size: int = 256
  channels: int = 64
  hidden: int = 32
  out_channels: int = 3

  @nn.compact
  def __call__(self, images: Mapping[str, jax.Array], *, train: bool, part: jax.Array | None = None) -> Any:
    """Logits of the image and of the small one; with a part, which of four quarters, the decoded images as well.

    Args:
      images: {'image': (B, size, size, C), 'small': (B, s, s, C)}.
      train: whether batch norm uses the batch's statistics.
      part: 0 to 3, the quarter that is decoded alone: above left, above right, below left, below right.
    """
    check_size(self.size)
    if images['image'].shape[1:3] != (self.size, self.size):
      raise UserError(
        f'FastGAN: the discriminator has size={self.size}, the images {images["image"].shape[1:3]}: make them equal'
      )
    width = lambda size: _width(DISCRIMINATOR, self.channels, size)
    maps = [self.start(images['image'], width, train=train)]
    for i, size in enumerate(_halved(min(self.size, 256))):
      # A map of n pixels has the width of 2 n.
      x = DownBlock(width(2 * size), name=f'down{size}')(maps[-1], train=train)
      if i >= 2:
        x = Excitation(name=f'excite{size}')(maps[i - 2], x, train=train)
      maps.append(x)
    y = images['small']
    for i, size in enumerate(_halved(small_side(self.size))):
      y = _conv(width(4 * size), 4, 2, name=f'small{size}')(y, train=train)
      y = _leaky(_norm(f'small_norm{size}')(y, train=train) if i else y)
    x = _leaky(_norm('last_norm')(_conv(width(8), 1, name='last')(maps[-1], train=train), train=train))
    heads = [_conv(1, 4, padding='VALID', name=name) for name in ('head', 'small_head')]
    found = tuple(head(z, train=train)[..., 0] for head, z in zip(heads, (x, y), strict=True))
    if part is None:
      return found
    codes = {'image': maps[-1], 'small': y, 'part': quarter(maps[-2], part)}
    side = small_side(self.size)
    decoder = lambda name: Decoder(side, self.hidden, self.out_channels, name=f'decode_{name}')
    return found, {name: decoder(name)(code, train=train) for name, code in codes.items()}

  def start(self, image: jax.Array, width: Callable[[int], int], *, train: bool) -> jax.Array:
    """The first map: of images up to 256 pixels as large as they are, of larger ones 256."""
    if self.size <= 256:
      return _leaky(_conv(width(2 * self.size), 3, name='start')(image, train=train))
    x = _leaky(_conv(width(self.size), 4, 2, name='start')(image, train=train))
    if self.size == 512:
      return x
    return _leaky(_norm('second_norm')(_conv(width(512), 4, 2, name='second')(x, train=train), train=train))


def _halved(size: int) -> list[int]:
  """The sizes from half of this one down to 8."""
  return [2**i for i in range(int(math.log2(size)) - 1, int(math.log2(CODES)) - 1, -1)]


def quarter(x: jax.Array, part: jax.Array) -> jax.Array:
  """One quarter of maps (B, H, H, C): (B, H/2, H/2, C), counted by rows.

  >>> quarter(jnp.arange(4.0).reshape(1, 2, 2, 1), jnp.int32(2)).ravel().tolist()
  [2.0]
  """
  half = x.shape[1] // 2
  row, column = part // 2 * half, part % 2 * half
  return jax.lax.dynamic_slice(x, (0, row, column, 0), (x.shape[0], half, half, x.shape[-1]))
