"""MAD-GAN: several generators, and a discriminator that must identify the generator of an example.

  min_D  -E[log D_{k+1}(x)] - sum_i E[log D_i(G_i(z))]      class k + 1 is the data
  min_G  -sum_i E[log D_{k+1}(G_i(z))]

The discriminator pushes the generators apart, so that each covers other modes.

Source: Ghosh et al. 2017, https://arxiv.org/abs/1704.02906, section 3; the authors' code (vivkul/MAD-GAN_synthetic:
`madgan.py`). From that code we take the -log D form of the generators' loss and latents that all generators share.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.nets.copies import Copies, joined


class MADGAN(nn.Module):
  """Two players. The generator has one trunk and k heads.

  Attributes:
    generator_trunk: 'z', train -> features, the input of all heads.
    generator_heads: k copies of a network, features, train -> examples.
    discriminator: examples, train -> logits (B, k + 1), the last for data.
    latents: 'z', and 'maker', a `Label(k)`: the generator that makes a sample. In training every generator makes an
      example from each z.
  """

  generator_trunk: nn.Module
  generator_heads: Copies
  discriminator: nn.Module
  latents: Mapping[str, Any]

  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  def generate_all(self, z: jax.Array, *, train: bool) -> jax.Array:
    """The examples of every generator from the same latents, (k, B, ...)."""
    return self.generator_heads(self.generator_trunk(z, train=train), train=train, shared=True)

  def class_logits(self, examples: jax.Array) -> jax.Array:
    """Logits (B, k + 1): a class for each generator, the last for data."""
    logits, makers = self.discriminator(examples, train=True), self.latents['maker'].classes
    if self.generator_heads.count != makers or logits.shape[1:] != (makers + 1,):
      raise UserError(
        f'config.game has generator_heads.count={self.generator_heads.count}, latents.maker.classes={makers} and a '
        f'discriminator of {logits.shape[1:]} logits: the first two must be equal, the logits must be one more'
      )
    return logits

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image, fakes = batch['images']['image'], joined(self.generate_all(batch['latents']['z'], train=True))
    check_same_shape(fakes, image)
    real_logits, fake_logits = self.class_logits(image), self.class_logits(fakes)
    maker = jnp.arange(len(fakes)) % self.generator_heads.count
    maker_right = fake_logits.argmax(-1) == maker
    real_right = real_logits.argmax(-1) == self.generator_heads.count
    return losses.labels.generator_identification(real_logits, fake_logits, maker), {
      'maker_accuracy': jnp.mean(maker_right, dtype=jnp.float32),
      'real_accuracy': jnp.mean(real_right, dtype=jnp.float32),
    }

  def generator_loss(self, batch: Batch) -> jax.Array:
    logits = self.class_logits(joined(self.generate_all(batch['latents']['z'], train=True)))
    data = jnp.full((len(logits),), self.generator_heads.count, jnp.int32)
    return losses.labels.cross_entropy(logits, data)

  def sample(self, batch: Batch) -> jax.Array:
    examples, maker = self.generate_all(batch['latents']['z'], train=False), batch['latents']['maker']
    if maker.ndim > 1:
      raise UserError('each example is of one generator, not of shares of several: name one as maker')
    own = jnp.expand_dims(maker, (0, *range(2, examples.ndim)))
    return jnp.take_along_axis(examples, own, 0)[0]
