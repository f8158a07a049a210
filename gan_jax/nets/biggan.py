"""BigGAN and BigGAN-deep: a shared class embedding and latents in every norm, spectral norm, attention.

Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, appendix B, tables 4 to 9; widths at 32 and 64 pixels are
those of the first author's PyTorch code. BigGAN's discriminator is `gan_jax.nets.sngan.Discriminator`, wide.
"""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.nets.layers.attention import SelfAttention, check_heights
from gan_jax.nets.layers.basic import checked_label
from gan_jax.nets.layers.norms import ClassBatchNorm, VectorBatchNorm
from gan_jax.nets.layers.weights import Conv, Embed, Kind
from gan_jax.nets.resnet import (
  ORTHOGONAL,
  DeepDiscriminatorBlock,
  DeepGeneratorBlock,
  GeneratorBlock,
  Projection,
  Start,
  ToImage,
)


class Widths(NamedTuple):
  """Widths of the networks of one resolution, as multiples of ch.

  Attributes:
    generator: widths of the first map and of each block.
    discriminator: widths of each block; in BigGAN-deep of the first convolution and of each pair of blocks.
    halvings: number of blocks, or pairs, of the discriminator that halve height and width.
  """

  generator: tuple[int, ...]
  discriminator: tuple[int, ...]
  halvings: int


WIDTHS = {
  32: Widths((4, 4, 4, 4), (4, 4, 4, 4), 2),
  64: Widths((16, 16, 8, 4, 2), (1, 2, 4, 8, 16), 4),
  128: Widths((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
  256: Widths((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6),
  512: Widths((16, 16, 8, 8, 4, 2, 1, 1), (1, 1, 2, 4, 8, 8, 16, 16), 7),
}


def channels_of(multiples: tuple[int, ...], channels: int) -> tuple[int, ...]:
  """Widths from multiples of ch, with ch = `channels`.

  >>> channels_of(WIDTHS[32].generator, 64)
  (256, 256, 256, 256)
  """
  return tuple(multiple * channels for multiple in multiples)


class Generator(nn.Module):
  """Latents (B, n) and classes (B,), or shares of classes (B, classes), to images (B, size, size, image_channels).

  Attributes:
    channels: widths of the first map, base x base, and of each block; every block doubles height and width.
    classes: how many; 0 for none: the norms take the chunks of the latents alone.
    attention: heights behind whose block there is attention; the default is left out of smaller networks.
    embedding: size of the class embedding that all norms share; 0 for a table of gains and biases in each; not
      used without classes.
    hierarchical: one chunk of the latents for the first map and one for each block; or all for the first map.
    weights: kind of all weights but the embedding.
    base: height and width of the first map.
    image_channels: 1 for grey, 3 for colour.
    output: how pixels are made; always tanh, so they lie in [-1, 1].
  """

  output: ClassVar[str] = 'tanh'
  channels: tuple[int, ...] = (1536, 1536, 768, 384, 192, 96)
  classes: int = 1000
  attention: tuple[int, ...] = (64,)
  embedding: int = 128
  hierarchical: bool = True
  weights: Kind = 'spectral'
  base: int = 4
  image_channels: int = 3

  @nn.compact
  def __call__(self, z: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    label = checked_label(label, self.classes, 'generator')
    (first, *widths), blocks = self.channels, len(self.channels) - 1
    if self.hierarchical and ((self.classes and not self.embedding) or z.shape[-1] % (blocks + 1)):
      other = ' and an embedding, or hierarchical=False' if self.classes else ''
      raise UserError(
        f'the generator splits {z.shape[-1]} latents into {blocks + 1} chunks, with embedding={self.embedding}: take '
        f'a multiple of {blocks + 1}{other}'
      )
    if not (self.hierarchical or self.classes):
      raise UserError('the generator has hierarchical=False and classes=0, so its norms have no input: set one of them')
    z, *chunks = jnp.split(z, blocks + 1, -1) if self.hierarchical else (z, *[z[:, :0]] * blocks)
    if not self.classes:
      conditions = chunks
    elif self.embedding:
      shared = Embed(self.classes, self.embedding, kernel_init=ORTHOGONAL, name='shared')(label, train=train)
      conditions = [jnp.concatenate([shared.astype(z.dtype), chunk], -1) for chunk in chunks]
    else:
      conditions = [label] * blocks
    of_class = lambda name: ClassBatchNorm(self.classes, name=name)
    of_vector = lambda name: VectorBatchNorm(self.weights, name=name)
    norm = of_vector if self.embedding or not self.classes else of_class
    x = Start(first, self.base, self.weights, name='project')(z, train=train)  # (B, 4, 4, 1536)
    heights = []
    for i, (width, condition) in enumerate(zip(widths, conditions, strict=True)):
      x = GeneratorBlock(width, norm, kind=self.weights, name=f'block_{i}')(x, condition, train=train)
      heights.append(x.shape[1])
      if x.shape[1] in self.attention:
        x = SelfAttention(self.weights, name=f'attention_{x.shape[1]}')(x, train=train)
    check_heights(self, heights, 'generator', train=train)
    return ToImage(self.image_channels, self.weights, name='image')(x, train=train)


class DeepGenerator(nn.Module):
  """Latents (B, n) and classes (B,), or shares of them, to images, through two bottlenecks for each resolution.

  Attributes:
    channels: widths of the first map, base x base, and of each pair of blocks; its second doubles height and width.
    classes: how many; 0 for none: first map and norms take the latents alone.
    attention: heights behind whose block there is attention; the default is left out of smaller networks.
    embedding: size of the class embedding, which goes with the latents into the first map and into all norms.
    weights: kind of all weights but the embedding.
    base: height and width of the first map.
    image_channels: 1 for grey, 3 for colour.
    output: how pixels are made; always tanh, so they lie in [-1, 1].
  """

  output: ClassVar[str] = 'tanh'
  channels: tuple[int, ...] = (2048, 2048, 1024, 512, 256, 128)
  classes: int = 1000
  attention: tuple[int, ...] = (64,)
  embedding: int = 128
  weights: Kind = 'spectral'
  base: int = 4
  image_channels: int = 3

  @nn.compact
  def __call__(self, z: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    label = checked_label(label, self.classes, 'generator')
    condition = z
    if self.classes:
      if not self.embedding:
        raise UserError(
          f'classes={self.classes} of DeepGenerator and embedding=0: it would not see them, set embedding'
        )
      shared = Embed(self.classes, self.embedding, kernel_init=ORTHOGONAL, name='shared')(label, train=train)
      condition = jnp.concatenate([shared.astype(z.dtype), z], -1)
    norm = lambda name: VectorBatchNorm(self.weights, name=name)
    block = lambda width, up, name: DeepGeneratorBlock(width, norm, up, self.weights, name=name)
    x = Start(self.channels[0], self.base, self.weights, name='project')(condition, train=train)  # (B, 4, 4, 2048)
    heights = []
    for i, width in enumerate(self.channels[1:]):
      x = block(x.shape[-1], False, f'block_{i}_same')(x, condition, train=train)
      x = block(width, True, f'block_{i}_up')(x, condition, train=train)
      heights.append(x.shape[1])
      if x.shape[1] in self.attention:
        x = SelfAttention(self.weights, name=f'attention_{x.shape[1]}')(x, train=train)
    check_heights(self, heights, 'generator', train=train)
    return ToImage(self.image_channels, self.weights, name='image')(x, train=train)


class DeepDiscriminator(nn.Module):
  """Images (B, H, W, C) and classes (B,) to logits (B,), through two bottlenecks for each resolution.

  Attributes:
    channels: widths of the first convolution and of each pair of blocks.
    halvings: how many of the pairs, from the first on, halve height and width, in their first block.
    classes: how many, by projection.
    attention: heights behind whose pair there is attention; the default is left out of smaller networks.
    weights: kind of all weights.
  """

  channels: tuple[int, ...] = (128, 256, 512, 1024, 2048, 2048)
  halvings: int = 5
  classes: int = 1000
  attention: tuple[int, ...] = (64,)
  weights: Kind = 'spectral'

  @nn.compact
  def __call__(self, x: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    label = checked_label(label, self.classes, 'discriminator')
    first, *widths = self.channels
    x = Conv(first, (3, 3), kind=self.weights, kernel_init=ORTHOGONAL, name='start')(x, train=train)
    heights = []
    for i, width in enumerate(widths):  # (B, 64, 64, 256) to (B, 4, 4, 2048)
      down = i < self.halvings
      x = DeepDiscriminatorBlock(width, down, self.weights, name=f'block_{i}_first')(x, train=train)
      x = DeepDiscriminatorBlock(width, False, self.weights, name=f'block_{i}_same')(x, train=train)
      heights += [x.shape[1]] if down else []
      if x.shape[1] in self.attention and down:
        x = SelfAttention(self.weights, name=f'attention_{x.shape[1]}')(x, train=train)
    check_heights(self, heights, 'discriminator', train=train)
    return Projection(self.classes, self.weights, name='head')(x, label, train=train)
