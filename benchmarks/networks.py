"""Networks and games of the benchmarks that no config of the library has yet: SNGAN's and BigGAN's residual networks.

Sources: Miyato et al. 2018, https://arxiv.org/abs/1802.05957, table 4 (32x32); Brock et al. 2018,
https://arxiv.org/abs/1809.11096, appendix B (BigGAN).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.data.latents import Latents, Normal
from gan_jax.game import Turn
from gan_jax.nets.attention import SelfAttention
from gan_jax.nets.norms import PlainBatchNorm, VectorBatchNorm
from gan_jax.nets.resnet import ORTHOGONAL, DiscriminatorBlock, GeneratorBlock
from gan_jax.nets.weights import Conv, Dense, Embed

#: {resolution: (widths of the generator's blocks, of the discriminator's, how many of these halve, attention at)}.
BIGGAN = {
  32: ((4, 4, 4), (4, 4, 4, 4), 2, 0),
  128: ((16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5, 64),
}


def _dense(features, kind, name, bias=True):
  return Dense(features, kind, use_bias=bias, kernel_init=ORTHOGONAL, name=name)


class SNGANGenerator(nn.Module):
  """Latents (B, n) to images (B, 32, 32, 3)."""

  channels: int = 256

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    x = _dense(16 * self.channels, 'plain', 'project')(z, train=train).reshape(-1, 4, 4, self.channels)
    for i in range(3):  # (B, 8, 8, 256), (B, 16, 16, 256), (B, 32, 32, 256)
      x = GeneratorBlock(self.channels, lambda name: PlainNorm(name=name), name=f'block_{i}')(x, train=train)
    x = nn.relu(PlainNorm(name='norm')(x, train=train))
    return jnp.tanh(Conv(3, (3, 3), kernel_init=ORTHOGONAL, name='image')(x, train=train))


class PlainNorm(nn.Module):
  """Batch norm with a gain and a bias per channel."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    scale = self.param('scale', nn.initializers.ones, (x.shape[-1],))
    bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
    shape = (1,) * (x.ndim - 1) + (-1,)
    return PlainBatchNorm(name='normal')(x, train=train) * scale.reshape(shape) + bias.reshape(shape)


class SNGANDiscriminator(nn.Module):
  """Images (B, 32, 32, 3) to logits (B,)."""

  channels: int = 128

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for i in range(4):  # (B, 16, 16, 128), then three times (B, 8, 8, 128)
      x = DiscriminatorBlock(self.channels, down=i < 2, first=i == 0, name=f'block_{i}')(x, train=train)
    return _dense(1, 'spectral', 'logit')(nn.relu(x).sum((1, 2)), train=train)[:, 0]


class BigGANGenerator(nn.Module):
  """Latents (B, n) and labels (B,) to images (B, size, size, 3): a chunk of the latents for each block.

  Attributes:
    size: of the images, 32 or 128.
    channels: ch.
    classes: how many.
    chunk: latents per chunk.
    embedding: size of the shared class embedding.
  """

  size: int = 32
  channels: int = 64
  classes: int = 10
  chunk: int = 20
  embedding: int = 128

  @nn.compact
  def __call__(self, z: jax.Array, label: jax.Array, *, train: bool) -> jax.Array:
    widths, _, _, attention = BIGGAN[self.size]
    shared = Embed(self.classes, self.embedding, name='shared')(label, train=train)
    first, *chunks = jnp.split(z, z.shape[-1] // self.chunk, -1)
    x = _dense(16 * widths[0] * self.channels, 'spectral', 'project')(first, train=train)
    x = x.reshape(-1, 4, 4, widths[0] * self.channels)
    for i, (width, chunk) in enumerate(zip(widths, chunks, strict=True)):
      norm = lambda name: VectorBatchNorm('spectral', name=name)
      block = GeneratorBlock(width * self.channels, norm, kind='spectral', name=f'block_{i}')
      x = block(x, jnp.concatenate([shared, chunk], -1), train=train)
      if x.shape[1] == attention:
        x = SelfAttention(name='attention')(x, train=train)
    x = nn.relu(PlainNorm(name='norm')(x, train=train))
    return jnp.tanh(Conv(3, (3, 3), kind='spectral', kernel_init=ORTHOGONAL, name='image')(x, train=train))


class BigGANDiscriminator(nn.Module):
  """Images (B, size, size, 3) and labels (B,) to logits (B,), by projection; attributes as the generator's."""

  size: int = 32
  channels: int = 64
  classes: int = 10

  @nn.compact
  def __call__(self, x: jax.Array, label: jax.Array, *, train: bool) -> jax.Array:
    _, widths, halvings, attention = BIGGAN[self.size]
    for i, width in enumerate(widths):
      block = DiscriminatorBlock(width * self.channels, down=i < halvings, first=i == 0, name=f'block_{i}')
      x = block(x, train=train)
      if x.shape[1] == attention:
        x = SelfAttention(name='attention')(x, train=train)
    x = nn.relu(x).sum((1, 2))
    embedded = Embed(self.classes, x.shape[-1], 'spectral', ORTHOGONAL, name='projection')(label, train=train)
    return _dense(1, 'spectral', 'logit')(x, train=train)[:, 0] + (embedded * x).sum(-1)


class Conditional(nn.Module):
  """A generator and a projection discriminator on the hinge loss; real and fake go through it as one batch."""

  generator: nn.Module
  discriminator: nn.Module
  latents: dict
  discriminator_steps: int = 4

  @property
  def turns(self) -> tuple[Turn, ...]:
    moves = Turn(('discriminator',), 'discriminator_loss', repeat=self.discriminator_steps)
    return moves, Turn(('generator',), 'generator_loss', streams=())

  def fake(self, batch, train=True):
    return self.generator(batch['latents']['z'], batch['latents']['label'], train=train)

  def discriminator_loss(self, batch):
    pair = lambda real, fake: jnp.stack([real, fake], 1).reshape(-1, *real.shape[1:])
    images = pair(batch['images']['image'], self.fake(batch))
    labels = pair(batch['images']['label'], batch['latents']['label'])
    logits = self.discriminator(images, labels, train=True).reshape(-1, 2)
    return losses.hinge.discriminator(logits[:, 0], logits[:, 1])

  def generator_loss(self, batch):
    return losses.hinge.generator(self.discriminator(self.fake(batch), batch['latents']['label'], train=True))

  def sample(self, batch):
    return self.fake(batch, train=False)


class ManyDiscriminators(nn.Module):
  """One generator against the mean of several discriminators: for counting what one more costs."""

  generator: nn.Module
  discriminators: tuple[nn.Module, ...]
  latents: Latents = Normal((100,))

  @property
  def turns(self) -> tuple[Turn, ...]:
    return Turn(('discriminators',), 'discriminator_loss'), Turn(('generator',), 'generator_loss', streams=())

  def discriminator_loss(self, batch):
    real, fake = batch['images']['image'], self.generator(batch['latents'], train=True)
    pair = losses.nonsaturating
    return sum(pair.discriminator(d(real, train=True), d(fake, train=True)) for d in self.discriminators)

  def generator_loss(self, batch):
    fake = self.generator(batch['latents'], train=True)
    each = [losses.nonsaturating.generator(d(fake, train=True)) for d in self.discriminators]
    return sum(each) / len(each)

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)
