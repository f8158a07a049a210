"""MAD-GAN: several generators, and a discriminator that must tell which of them made an example.

  min_D  -E[log D_{k+1}(x)] - sum_i E[log D_i(G_i(z))]      class k + 1 is the data
  min_G  -sum_i E[log D_{k+1}(G_i(z))]

To be told apart, the generators part: each takes modes of its own.

Source: Ghosh et al. 2017, https://arxiv.org/abs/1704.02906, section 3; the authors' code (vivkul/MAD-GAN_synthetic:
`madgan.py`), from which are the -log D form of the generators' loss and the latents that all generators share.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.core.game import Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.nets.copies import Copies, joined


class MADGAN(nn.Module):
  """Two players, of which the generator has k heads on a trunk.

  Attributes:
    generator_trunk: 'z', train -> features that all heads read.
    generator_heads: k copies of a network, features, train -> examples.
    discriminator: examples, train -> logits (B, k + 1), the last for data.
    latents: 'z', and 'maker', a `Label(k)`: which generator makes a sample. Training lets all make one of each z.
  """

  generator_trunk: nn.Module
  generator_heads: Copies
  discriminator: nn.Module
  latents: Mapping[str, Any]

  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  def made(self, z: jax.Array, *, train: bool) -> jax.Array:
    """What each generator makes of the same latents: (k, B, ...)."""
    return self.generator_heads(self.generator_trunk(z, train=train), train=train, shared=True)

  def judged(self, examples: jax.Array) -> jax.Array:
    """Logits (B, k + 1)."""
    logits, makers = self.discriminator(examples, train=True), self.latents['maker'].classes
    if self.generator_heads.count != makers or logits.shape[1:] != (makers + 1,):
      raise UserError(
        f'config.game has generator_heads.count={self.generator_heads.count}, latents.maker.classes={makers} and a '
        f'discriminator of {logits.shape[1:]} logits: the first two must be equal, the logits one more'
      )
    return logits

  def discriminator_loss(self, batch):
    image, fakes = batch['images']['image'], joined(self.made(batch['latents']['z'], train=True))
    check_same_shape(fakes, image)
    real_logits, fake_logits = self.judged(image), self.judged(fakes)
    maker = jnp.arange(len(fakes)) % self.generator_heads.count
    told = fake_logits.argmax(-1) == maker
    real = real_logits.argmax(-1) == self.generator_heads.count
    return losses.labels.generator_identification(real_logits, fake_logits, maker), {
      'maker_accuracy': jnp.mean(told, dtype=jnp.float32),
      'real_accuracy': jnp.mean(real, dtype=jnp.float32),
    }

  def generator_loss(self, batch):
    logits = self.judged(joined(self.made(batch['latents']['z'], train=True)))
    data = jnp.full((len(logits),), self.generator_heads.count, jnp.int32)
    return losses.labels.cross_entropy(logits, data)

  def sample(self, batch):
    made, maker = self.made(batch['latents']['z'], train=False), batch['latents']['maker']
    return made[maker, jnp.arange(len(maker))]
