"""StackGAN's networks: small images from a text, and large ones from the small ones and the text again.

Source: Zhang et al. 2016, https://arxiv.org/abs/1612.03242, section 3 and figure 2; the authors' code
(hanzhanggit/StackGAN: `stageI/model.py`, `stageII/model.py`).
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.nets.layers import basic
from gan_jax.nets.layers.basic import BatchNorm, beside, beside_pixels, dense, head
from gan_jax.nets.layers.text import word_shares
from gan_jax.nets.layers.weights import Conv

NORMAL = nn.initializers.normal(0.02)
WORDS = nn.initializers.normal(1.0)
SLOPE = 0.2
leaky = functools.partial(nn.leaky_relu, negative_slope=SLOPE)


def embedded(condition: jax.Array, words: int) -> jax.Array:
  """What examples are made for, as vectors (B, n): an embedding, a class as one-hot, a text as shares of its words.

  Args:
    condition: float (B, n), an embedding, or shares of the first n words or classes; int (B,), a class; int (B, L), the
      tokens of a text, 0 behind its end.
    words: how many classes or tokens there are.

  >>> embedded(jnp.array([[2, 1, 2, 2], [1, 0, 0, 0]]), 3).tolist()
  [[0.0, 0.25, 0.75], [0.0, 1.0, 0.0]]
  """
  if jnp.issubdtype(condition.dtype, jnp.floating):
    if condition.ndim == 1 and words > 1:
      raise UserError(f'a condition {condition.dtype} (B,) of {words} words or classes: give classes as whole numbers')
    condition = condition.reshape(condition.shape[0], -1)  # of a number too
    return jnp.pad(condition, ((0, 0), (0, max(words - condition.shape[1], 0))))
  if not words:
    raise UserError('the condition is a class or a text, but words=0 of the networks: set it to their number')
  return basic.condition(condition, words) if condition.ndim == 1 else word_shares(condition, words)


def side_by_side(*parts: nn.initializers.Initializer) -> nn.initializers.Initializer:
  """Weights of a layer that computes several things at once: an equal share of the units begins as each part says.

  >>> side_by_side(nn.initializers.ones, nn.initializers.zeros)(jax.random.key(0), (1, 4)).tolist()
  [[1.0, 1.0, 0.0, 0.0]]
  """

  def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    share = (*shape[:-1], shape[-1] // len(parts))
    keys = jax.random.split(key, len(parts))
    return jnp.concatenate([part(k, share, dtype) for part, k in zip(parts, keys, strict=True)], -1)

  return init


def projected(
  condition: jax.Array,
  words: int,
  units: int,
  dtype: jnp.dtype,
  first: nn.initializers.Initializer = WORDS,
) -> jax.Array:
  """A layer (B, units) of what examples are made for, inside a compact method; arguments as those of `embedded`.

  Words are brought to length 1 before: a text of six words is as strong as a class, which is one 1 among zeros.

  differs: vectors of words and classes begin at N(0, 1), or as `first` says. The authors' 0.02 is for embeddings of a
    thousand numbers. A class of weight 0.02 would be 1/50 of the noise that is added.
  """
  x = embedded(condition, words)
  x = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6) if words else x
  return leaky(dense(x.astype(dtype), units, kernel_init=first if words else NORMAL))


def normed(x: jax.Array, width: int, *, train: bool, window: int = 3, stride: int = 1, resample: str = '') -> jax.Array:
  """A convolution without bias and batch norm, inside a compact method."""
  strides = None if stride == 1 else (stride, stride)
  x = Conv(width, (window, window), strides, use_bias=False, kernel_init=NORMAL, resample=resample)(x, train=train)
  return BatchNorm(gain_stddev=0.02)(x, train=train)


class Bottleneck(nn.Module):
  """Maps plus three convolutions of them, the first two a quarter as wide; leaky in the discriminator."""

  slope: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    act, width = functools.partial(nn.leaky_relu, negative_slope=self.slope), x.shape[-1]
    y = act(normed(x, max(width // 4, 1), train=train, window=1))
    y = act(normed(y, max(width // 4, 1), train=train))
    return act(x + normed(y, width, train=train))


class Residual(nn.Module):
  """Maps plus two convolutions of them."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    y = nn.relu(normed(x, x.shape[-1], train=train))
    return nn.relu(x + normed(y, x.shape[-1], train=train))


class Augmentation(nn.Module):
  """Conditioning augmentation: a condition and noise (B, m) to a draw of N(mean, stddev^2), (B, m).

  Returns (the draw, mean, logarithm of the deviation).
  """

  words: int = 0

  @nn.compact
  def __call__(self, condition: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    # The deviation begins at 1 for every condition: words move the mean alone.
    both = projected(condition, self.words, 2 * noise.shape[-1], noise.dtype, side_by_side(WORDS, NORMAL))
    mean, log_stddev = jnp.split(both, 2, -1)
    return mean + jnp.exp(log_stddev) * noise, mean, log_stddev


def to_image(x: jax.Array, channels: int, *, train: bool, resample: str = '') -> jax.Array:
  return jnp.tanh(Conv(channels, (3, 3), use_bias=False, kernel_init=NORMAL, resample=resample)(x, train=train))


class Generator(nn.Module):
  """Stage I: latents (B, n) and an embedding to images (B, base 2^k, ..., image_channels), k the number of channels.

  Attributes:
    channels: widths, from base x base on; every one doubles the size.
    base: height and width at the start.
    image_channels: 1 for grey, 3 for colour.
    words: of a condition that is a class or a text, how many.
    output: how pixels are made; always tanh, so they lie in [-1, 1].
  """

  output: ClassVar[str] = 'tanh'
  channels: tuple[int, ...] = (1024, 512, 256, 128)
  base: int = 4
  image_channels: int = 3
  words: int = 0

  @nn.compact
  def __call__(
    self, z: jax.Array, *, train: bool, condition: jax.Array, noise: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(images, mean and logarithm of the deviation of the augmented condition)."""
    c, mean, log_stddev = Augmentation(self.words)(condition, noise)
    x = dense(beside(c, z), self.base**2 * self.channels[0], use_bias=False, kernel_init=NORMAL)
    x = BatchNorm(gain_stddev=0.02)(x, train=train).reshape(-1, self.base, self.base, self.channels[0])
    for i, width in enumerate(self.channels):
      x = normed(x, width, train=train, resample='up') if i else x
      x = Bottleneck()(x, train=train) if i < 2 else nn.relu(x)
    return to_image(x, self.image_channels, train=train, resample='up'), mean, log_stddev


class Refiner(nn.Module):
  """Stage II: images (B, H, W, C) and their embedding to images (B, H 2^k, ...) with k = halvings undone and more.

  Attributes:
    channels: widths of the encoder; every one but the first halves the size.
    blocks: residual blocks, where image and condition are joined.
    widths: of the decoder; every one doubles the size.
    words: as the generator's.
    output: how pixels are made; always tanh, so they lie in [-1, 1].
  """

  output: ClassVar[str] = 'tanh'
  channels: tuple[int, ...] = (128, 256, 512)
  blocks: int = 4
  widths: tuple[int, ...] = (256, 128, 64, 32)
  words: int = 0

  @nn.compact
  def __call__(
    self, image: jax.Array, *, train: bool, condition: jax.Array, noise: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(images, mean and logarithm of the deviation of the augmented condition)."""
    c, mean, log_stddev = Augmentation(self.words)(condition, noise)
    x = nn.relu(Conv(self.channels[0], (3, 3), use_bias=False, kernel_init=NORMAL)(image, train=train))
    for width in self.channels[1:]:
      x = nn.relu(normed(x, width, train=train, window=4, stride=2))
    x = nn.relu(normed(beside_pixels(x, c), self.channels[-1], train=train))
    for _ in range(self.blocks):
      x = Residual()(x, train=train)
    for width in self.widths:
      x = nn.relu(normed(x, width, train=train, resample='up'))
    return to_image(x, image.shape[-1], train=train), mean, log_stddev


class Discriminator(nn.Module):
  """Images (B, H, W, C) and their condition to logits (B,).

  Attributes:
    channels: widths of the convolutions that halve the size.
    hidden: widths of 1x1 convolutions behind them; stage II has (1024, 512) of the full one.
    units: of the layer that compresses the embedding.
    words: as the generator's.
  """

  channels: tuple[int, ...] = (64, 128, 256, 512)
  hidden: tuple[int, ...] = ()
  units: int = 128
  words: int = 0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, condition: jax.Array) -> jax.Array:
    context = projected(condition, self.words, self.units, x.dtype)
    x = leaky(Conv(self.channels[0], (4, 4), (2, 2), use_bias=False, kernel_init=NORMAL)(x, train=train))
    last = len(self.channels) + len(self.hidden) - 2
    for i, width in enumerate((*self.channels[1:], *self.hidden)):
      halve = i < len(self.channels) - 1
      x = normed(x, width, train=train, window=4 if halve else 1, stride=2 if halve else 1)
      x = x if i == last else leaky(x)
    width = x.shape[-1]
    x = beside_pixels(Bottleneck(SLOPE)(x, train=train), context)
    x = leaky(normed(x, width, train=train, window=1))
    return head(dense(x.reshape(x.shape[0], -1), 1, use_bias=False, kernel_init=NORMAL))
