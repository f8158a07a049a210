"""SNGAN's residual networks; with attention and spectral norm in both players, SAGAN's.

Source: Miyato et al. 2018, https://arxiv.org/abs/1802.05957, tables 4 to 6, and Miyato and Koyama 2018,
https://arxiv.org/abs/1802.05637, for classes; Zhang et al. 2018, https://arxiv.org/abs/1805.08318 (SAGAN).
"""

import flax.linen as nn
import jax

from gan_jax.nets.layers.attention import SelfAttention, check_heights
from gan_jax.nets.layers.basic import BatchNorm, checked_label
from gan_jax.nets.layers.norms import ClassBatchNorm
from gan_jax.nets.layers.weights import Kind
from gan_jax.nets.resnet import DiscriminatorBlock, GeneratorBlock, Projection, Start, ToImage


class Generator(nn.Module):
  """Latents (B, n), and classes (B,) if there are any, to images (B, size, size, image_channels).

  Attributes:
    channels: widths of the first map, base x base, and of each block; every block doubles height and width.
    classes: how many, each with a gain and a bias in every norm; 0 for none.
    attention: heights behind whose block there is attention.
    weights: kind of all weights; SAGAN's are spectral.
    base: height and width of the first map.
    image_channels: 1 for grey, 3 for colour.
    output: 'tanh' for pixels in [-1, 1], 'sigmoid' for [0, 1].
  """

  channels: tuple[int, ...] = (1024, 1024, 512, 256, 128, 64)
  classes: int = 0
  attention: tuple[int, ...] = ()
  weights: Kind = 'plain'
  base: int = 4
  image_channels: int = 3
  output: str = 'tanh'

  @nn.compact
  def __call__(self, z: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    label = checked_label(label, self.classes, 'generator')
    first, *widths = self.channels
    condition = (label,) if self.classes else ()
    norm = lambda name: ClassBatchNorm(self.classes, name=name) if self.classes else BatchNorm(name=name)
    x = Start(first, self.base, self.weights, name='project')(z, train=train)  # (B, 4, 4, 1024)
    heights = []
    for i, width in enumerate(widths):
      x = GeneratorBlock(width, norm, kind=self.weights, name=f'block_{i}')(x, *condition, train=train)
      heights.append(x.shape[1])
      if x.shape[1] in self.attention:
        x = SelfAttention(self.weights, name=f'attention_{x.shape[1]}')(x, train=train)
    check_heights(self, heights, 'generator', train=train)
    return ToImage(self.image_channels, self.weights, self.output, name='image')(x, train=train)


class Discriminator(nn.Module):
  """Images (B, H, W, C), and classes (B,) if there are any, to logits (B,): BigGAN's too.

  Attributes:
    channels: widths of the blocks.
    halvings: how many of the blocks, from the first on, halve height and width.
    classes: how many, by projection; 0 for none.
    attention: heights behind whose block there is attention, if it halves them.
    weights: kind of all weights.
    wide: whether channels grow in a block's first convolution, as SAGAN's and BigGAN's do.
  """

  channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 1024)
  halvings: int = 5
  classes: int = 0
  attention: tuple[int, ...] = ()
  weights: Kind = 'spectral'
  wide: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    label = checked_label(label, self.classes, 'discriminator')
    heights = []
    for i, width in enumerate(self.channels):  # (B, 64, 64, 64) to (B, 4, 4, 1024)
      down = i < self.halvings
      block = DiscriminatorBlock(width, down, i == 0, self.weights, self.wide, name=f'block_{i}')
      x = block(x, train=train)
      heights += [x.shape[1]] if down else []
      if x.shape[1] in self.attention and down:
        x = SelfAttention(self.weights, name=f'attention_{x.shape[1]}')(x, train=train)
    check_heights(self, heights, 'discriminator', train=train)
    return Projection(self.classes, self.weights, name='head')(x, label, train=train)
