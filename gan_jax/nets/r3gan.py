r"""R3GAN: residual networks without norms, of grouped bottlenecks, whose blocks begin as identities.

Source: Huang et al. 2024, https://arxiv.org/abs/2501.05441, section 4 and the authors' code (brownvc/R3GAN).
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.basic import checked_label
from gan_jax.nets.layers.conv import Conv, kept
from gan_jax.nets.layers.filters import enlarged, reduced
from gan_jax.nets.layers.grouped import GroupedConv
from gan_jax.nets.layers.weights import rows_of

SLOPE = 0.2
#: The gain that keeps the variance behind the activation.
GAIN = math.sqrt(2 / (1 + SLOPE**2))


def scaled(gain: float = 1.0) -> nn.initializers.Initializer:
  """N(0, gain^2 / fan-in); zeros for a gain of 0."""
  return nn.initializers.variance_scaling(gain**2, 'fan_in', 'normal') if gain else nn.initializers.zeros


class Activated(nn.Module):
  """A bias per channel, then a leaky ReLU."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],), jnp.float32)
    return nn.leaky_relu(x + bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,)), SLOPE)


class Block(nn.Module):
  """1x1 to more channels, 3x3 in groups, 1x1 back, added to the input. The last weights begin at 0.

  Source: section 4.2 (grouped bottlenecks, inverted) and the initial values of fix-up
  (Zhang et al. 2019, https://arxiv.org/abs/1901.09321).

  Attributes:
    group: channels of each group of the 3x3 convolution; all channels make one group if they are fewer.
    blocks: of the whole network: the weights begin smaller by its fourth root.
    expansion: how many times more channels between.
  """

  group: int
  blocks: int
  expansion: int = 2

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    init = scaled(GAIN * self.blocks ** (-1 / 4))
    channels = x.shape[-1]
    wide = self.expansion * channels
    y = Conv(wide, (1, 1), use_bias=False, kernel_init=init, name='conv1')(x)
    y = Activated(name='activated1')(y)
    if wide % min(self.group, wide):
      raise UserError(
        f'R3GAN: group={self.group} does not divide {wide}, the channels ({channels}) times the expansion'
      )
    y = GroupedConv(wide, (3, 3), wide // min(self.group, wide), kernel_init=init, name='conv2')(y)
    y = Activated(name='activated2')(y)
    return x + Conv(channels, (1, 1), use_bias=False, kernel_init=scaled(0.0), name='conv3')(y)


class _Condition(nn.Module):
  """Classes (B,), or their shares (B, classes), to vectors (B, features), by a table from N(0, gain^2 / classes)."""

  classes: int
  features: int
  gain: float = 1.0

  @nn.compact
  def __call__(self, label: jax.Array) -> jax.Array:
    init = nn.initializers.normal(self.gain / math.sqrt(self.classes))
    table = self.param('table', init, (self.classes, self.features), jnp.float32)
    return rows_of(table, label)


def _check(channels: Sequence[int], blocks: Sequence[int]) -> None:
  if len(channels) != len(blocks):
    raise UserError(f'R3GAN: channels={channels} and blocks={blocks}: give each one entry per resolution')


class Generator(nn.Module):
  """Latents (B, n) to images (B, 2^k 4, 2^k 4, out_channels), one resolution for each entry of `channels`.

  Attributes:
    channels: of each resolution, from 4x4 on.
    blocks: how many residual blocks each resolution has.
    group: channels of a group of the 3x3 convolutions; the authors' 16, for ImageNet 32.
    expansion: how many times more channels a block has inside.
    classes: 0 for none.
    embedding: entries that the class adds to the latents.
    out_channels: 1 for grey, 3 for colour.
  """

  channels: Sequence[int] = (768, 768, 768, 768)
  blocks: Sequence[int] = (2, 2, 2, 2)
  group: int = 16
  expansion: int = 2
  classes: int = 0
  embedding: int = 64
  out_channels: int = 3

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, label: jax.Array | None = None) -> jax.Array:
    _check(self.channels, self.blocks)
    label = checked_label(label, self.classes, 'generator')
    if label is not None:
      if not self.embedding:
        raise UserError(
          f'classes={self.classes} of r3gan.Generator and embedding=0: it would not see them, set embedding'
        )
      z = jnp.concatenate([z, _Condition(self.classes, self.embedding, name='embed')(label).astype(z.dtype)], 1)
    features = kept(nn.Dense(self.channels[0], use_bias=False, kernel_init=scaled(), dtype=z.dtype, name='start')(z))
    basis = self.param('basis', nn.initializers.normal(1.0), (4, 4, self.channels[0]), jnp.float32)
    x = basis.astype(z.dtype)[None] * features[:, None, None]
    for i, (width, count) in enumerate(zip(self.channels, self.blocks, strict=True)):
      if i:
        if width != x.shape[-1]:
          x = Conv(width, (1, 1), use_bias=False, kernel_init=scaled(), name=f'change{i}')(x)
        x = enlarged(x)
      for j in range(count):
        x = Block(self.group, sum(self.blocks), self.expansion, name=f'block{i}_{j}')(x)
    return Conv(self.out_channels, (1, 1), use_bias=False, kernel_init=scaled(), name='to_image')(x)


class Discriminator(nn.Module):
  """Images (B, H, H, C) to logits (B,): the generator turned round.

  Attributes:
    channels: of each resolution, from the images' down to 4x4.
    blocks: how many residual blocks each resolution has.
    group: channels of a group of the 3x3 convolutions; the authors' 16, for ImageNet 32.
    expansion: how many times more channels a block has inside.
    classes: 0 for none. The class then says which sum of the last features is the logit.
    embedding: how many features these are.
  """

  channels: Sequence[int] = (768, 768, 768, 768)
  blocks: Sequence[int] = (2, 2, 2, 2)
  group: int = 16
  expansion: int = 2
  classes: int = 0
  embedding: int = 768

  @nn.compact
  def __call__(self, image: jax.Array, *, train: bool, label: jax.Array | None = None) -> jax.Array:
    _check(self.channels, self.blocks)
    side = 4 * 2 ** (len(self.channels) - 1)
    if image.shape[1:3] != (side, side):
      raise UserError(
        f'R3GAN: {len(self.channels)} resolutions judge {side}x{side} pixels, not {image.shape[1]}x{image.shape[2]}: '
        'set config.data.size, or give channels and blocks one entry per resolution'
      )
    x = Conv(self.channels[0], (1, 1), use_bias=False, kernel_init=scaled(), name='from_image')(image)
    for i, (width, count) in enumerate(zip(self.channels, self.blocks, strict=True)):
      if i:
        x = reduced(x)
        if width != x.shape[-1]:
          x = Conv(width, (1, 1), use_bias=False, kernel_init=scaled(), name=f'change{i}')(x)
      for j in range(count):
        x = Block(self.group, sum(self.blocks), self.expansion, name=f'block{i}_{j}')(x)
    # Each channel has its own weights of the 4x4 pixels.
    basis = self.param('basis', nn.initializers.normal(1 / 4), (4, 4, x.shape[-1]), jnp.float32)
    features = jnp.einsum('bhwc,hwc->bc', x, basis.astype(x.dtype))
    outputs = self.embedding if self.classes else 1
    label = checked_label(label, self.classes, 'discriminator')
    logits = nn.Dense(outputs, use_bias=False, kernel_init=scaled(), dtype=x.dtype, name='head')(features)
    if label is None:
      return logits[:, 0]
    gain = 1 / math.sqrt(self.embedding)
    return jnp.sum(logits * _Condition(self.classes, self.embedding, gain, name='embed')(label).astype(x.dtype), 1)
