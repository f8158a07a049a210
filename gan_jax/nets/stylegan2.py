"""StyleGAN 2: a mapping of latents to styles, a synthesis network that styles govern, and a residual discriminator.

Source: Karras et al. 2019, https://arxiv.org/abs/1912.04958, sections 2 to 4; the authors' code
(NVlabs/stylegan2-ada-pytorch: `training/networks.py`), whose state dicts `published.stylegan2` reads.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError, one_of
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.basic import checked_label, condition, head
from gan_jax.nets.layers.filters import BINOMIAL, enlarged, filtered, reduced
from gan_jax.nets.layers.minibatch import minibatch_stddev
from gan_jax.nets.layers.modulated import Linear, ModulatedConv, StyledConv, leaky
from gan_jax.nets.layers.norms import pixel_norm
from gan_jax.nets.layers.weights import Conv
from gan_jax.nets.progressive import FIRST, check_resolution, sizes_of

FORMS = ('residual', 'skip', 'plain')
HALF = math.sqrt(0.5)


def widths(resolution: int, base: int = 32_768, most: int = 512) -> tuple[int, ...]:
  """The widths at 4x4, 8x8, ..., as the authors choose them: base / resolution, at most `most`.

  >>> widths(64, 16_384)
  (512, 512, 512, 512, 256)
  """
  return tuple(min(base // size, most) for size in (FIRST << i for i in range(resolution.bit_length() - 2)))


class Mapping(nn.Module):
  """Latents (B, n), a class, or both, to w (B, units).

  Attributes:
    units: of every layer.
    layers: how many.
    classes: 0 for none.
    rate: factor of the learning rate.
  """

  units: int = 512
  layers: int = 8
  classes: int = 0
  rate: float = 0.01

  @nn.compact
  def __call__(self, z: jax.Array | None, label: jax.Array | None = None) -> jax.Array:
    parts = [] if z is None else [pixel_norm(full_precision(z))]
    if self.classes:
      label = condition(checked_label(label, self.classes, 'mapping network'), self.classes)
      parts.append(pixel_norm(Linear(self.units, name='embed')(label)))
    x = jnp.concatenate(parts, -1)
    for i in range(self.layers):
      x = leaky(Linear(self.units, self.rate, name=f'dense_{i}')(x))
    return x


class SynthesisBlock(nn.Module):
  """Maps and an image of half the resolution (None at 4x4), styles (B, 3 or 2, n) to maps and an image.

  Attributes:
    width: of the maps.
    image_channels: of the image.
    clamp: cuts what convolutions make to +-clamp; 0 leaves it.
  """

  width: int
  image_channels: int = 3
  clamp: float = 0.0

  @nn.compact
  def __call__(
    self, x: jax.Array, image: jax.Array | None, styles: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    if image is not None:
      x = StyledConv(self.width, True, self.clamp, name='conv_0')(x, styles[:, 0], train=train)
    x = StyledConv(self.width, False, self.clamp, name='conv_1')(x, styles[:, -2], train=train)
    new = ModulatedConv(self.image_channels, 1, demodulate=False, name='to_image')(x, styles[:, -1])
    bias = self.param('image_bias', nn.initializers.zeros, (self.image_channels,), jnp.float32)
    new = full_precision(new) + bias[None, None, None]
    new = jnp.clip(new, -self.clamp, self.clamp) if self.clamp else new
    return x, new if image is None else enlarged(image) + new


class Synthesis(nn.Module):
  """Styles (B, 2 * resolutions, n) to images (B, resolution, resolution, image_channels). Attributes: `Generator`'s."""

  resolution: int
  channels: tuple[int, ...]
  image_channels: int = 3
  clamp: float = 0.0

  @nn.compact
  def __call__(self, styles: jax.Array, *, train: bool, dtype: Any = jnp.float32) -> jax.Array:
    sizes = sizes_of(self.resolution, self.channels, 'generator')
    start = self.param('start', nn.initializers.normal(1.0), (FIRST, FIRST, self.channels[0]), jnp.float32)
    x, image, styles = jnp.tile(start[None].astype(dtype), (styles.shape[0], 1, 1, 1)), None, styles.astype(dtype)
    for i, (size, width) in enumerate(sizes.items()):
      # An image has the style of the next block's first convolution.
      own = styles[:, max(2 * i - 1, 0) : 2 * i + 2]
      x, image = SynthesisBlock(width, self.image_channels, self.clamp, name=f'block_{size}')(
        x, image, own, train=train
      )
    assert image is not None
    return image.astype(dtype)


class Generator(nn.Module):
  """Latents (B, n) to images (B, resolution, resolution, image_channels), in float32 about -1 to 1.

  Attributes:
    resolution: of the images, a power of two from 4.
    channels: width of the layers at 4x4, 8x8, ...; see `widths`.
    image_channels: 1 for grey, 3 for colour.
    units: of the mapping network, and entries of a style.
    layers: of the mapping network.
    classes: 0 for no class.
    mixing: how often, in training, the styles from a random layer on are those of other latents.
    momentum: of the running mean of w.
    truncation: psi: styles are so far from the mean of w, as a share of their distance, when it samples; 1 for all.
    cutoff: how many of the first layers truncation is for; 0 for all.
    clamp: cuts what convolutions make to +-clamp; 0 leaves it.
  """

  resolution: int = 256
  channels: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64)
  image_channels: int = 3
  units: int = 512
  layers: int = 8
  classes: int = 0
  mixing: float = 0.9
  momentum: float = 0.995
  truncation: float = 1.0
  cutoff: int = 0
  clamp: float = 256.0

  def setup(self) -> None:
    if not 0 <= self.mixing <= 1:
      raise UserError(f'mixing={self.mixing} of the generator is a probability: choose 0 to 1')
    self.mapping = Mapping(self.units, self.layers, self.classes)
    self.synthesis = Synthesis(self.resolution, self.channels, self.image_channels, self.clamp)
    self.mean = self.variable('averages', 'w', jnp.zeros, (self.units,), jnp.float32)

  @property
  def count(self) -> int:
    """The number of styles of an image."""
    return 2 * len(sizes_of(self.resolution, self.channels, 'generator'))

  def styles(self, z: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    """Styles (B, count, units) of latents (B, n) and classes: mixed in training, truncated otherwise."""
    w = self.mapping(z, checked_label(label, self.classes, 'generator'))
    styles = jnp.repeat(w[:, None], self.count, 1)
    layer = jnp.arange(self.count, dtype=jnp.int32)[None, :, None]
    if not train:
      if self.truncation == 1:
        return styles
      mean = self.mean.value[None, None]
      return jnp.where(layer < (self.cutoff or self.count), mean + self.truncation * (styles - mean), styles)
    if self.is_mutable_collection('averages') and not self.is_initializing():
      fresh = jax.lax.stop_gradient(w.mean(0))
      self.mean.value = fresh + self.momentum * (self.mean.value - fresh)
    if not self.mixing:
      return styles
    often, place, other = jax.random.split(self.make_rng('noise'), 3)
    shape = (z.shape[0], 1, 1)
    first = jax.random.randint(place, shape, 1, self.count, jnp.int32)
    first = jnp.where(jax.random.bernoulli(often, jnp.float32(self.mixing), shape), first, self.count)
    others = self.mapping(jax.random.normal(other, z.shape, jnp.float32), label)
    return jnp.where(layer < first, styles, others[:, None])

  def synthesise(self, styles: jax.Array, *, train: bool, dtype: Any = jnp.float32) -> jax.Array:
    """Images of styles (B, count, units)."""
    return self.synthesis(styles, train=train, dtype=dtype)

  def __call__(self, z: jax.Array, *, train: bool, label: jax.Array | None = None) -> jax.Array:
    return self.synthesise(self.styles(z, label, train=train), train=train, dtype=z.dtype)


def _conv(width: int, window: int = 3, **settings: Any) -> Conv:
  return Conv(width, (window, window), kind='equalised', gain=1.0, **settings)


class DiscriminatorBlock(nn.Module):
  """Maps (B, H, W, C) to (B, H/2, W/2, width). Attributes: `Discriminator`'s."""

  width: int
  form: str = 'residual'
  clamp: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    gain = HALF if self.form == 'residual' else 1.0
    y = leaky(_conv(x.shape[-1], name='conv_0')(x, train=train), clamp=self.clamp)
    for axis in (1, 2):
      y = filtered(y, BINOMIAL, axis, (2, 2))
    y = _conv(self.width, strides=(2, 2), padding='VALID', name='conv_1')(y, train=train)
    y = leaky(y, gain=gain, clamp=self.clamp)
    if self.form != 'residual':
      return y
    return y + gain * _conv(self.width, 1, use_bias=False, name='shortcut')(reduced(x), train=train)


class Discriminator(nn.Module):
  """Images (B, resolution, resolution, C) to logits (B,).

  Attributes:
    resolution: of the images, a power of two from 4.
    channels: as the generator's.
    group: examples of a group of the minibatch deviation; 0 leaves it out.
    classes: 0 for no class; else the logit is a product with what a mapping network makes of the class.
    layers: of that mapping network.
    form: 'residual'; 'skip', which adds the image at every resolution; or 'plain'.
    clamp: cuts what convolutions make to +-clamp; 0 leaves it.
  """

  resolution: int = 256
  channels: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64)
  group: int = 4
  classes: int = 0
  layers: int = 8
  form: str = 'residual'
  clamp: float = 256.0

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool, label: jax.Array | None = None) -> jax.Array:
    if self.form not in FORMS:
      raise one_of('form of the discriminator', self.form, FORMS)
    label = checked_label(label, self.classes, 'discriminator')
    sizes = sizes_of(self.resolution, self.channels, 'discriminator')
    check_resolution(image, self.resolution)
    seen = lambda image, size, clamp: leaky(
      _conv(sizes[size], 1, name=f'from_image_{size}')(image, train=train), clamp=clamp
    )
    x = seen(image, self.resolution, self.clamp)
    for size in sorted(sizes, reverse=True)[:-1]:
      x = DiscriminatorBlock(sizes[size // 2], self.form, self.clamp, name=f'block_{size}')(x, train=train)
      if self.form == 'skip':
        image = reduced(image)
        x = x + seen(image, size // 2, self.clamp if size // 2 > FIRST else 0.0)  # the authors leave the last uncut
    x = minibatch_stddev(x, group=self.group) if self.group else x
    x = leaky(_conv(self.channels[0], name='conv')(x, train=train), clamp=self.clamp)
    x = leaky(Linear(self.channels[0], name='dense')(x.reshape(x.shape[0], -1)))
    if not self.classes:
      return head(Linear(1, name='logit')(x))
    x = Linear(self.channels[0], name='logit')(x)
    mapped = Mapping(self.channels[0], self.layers, self.classes, name='mapping')(None, label)
    return jnp.sum(x * mapped.astype(x.dtype), -1) / math.sqrt(self.channels[0])
