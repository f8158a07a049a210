"""GAN 2014 as written: one value, which the discriminator ascends and the generator descends.

  min_G max_D V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))]

Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, eq. 1. The discriminator's optimizer must climb:
`minimax.ascend` in its config.
"""

import flax.linen as nn
import jax

from gan_jax import losses
from gan_jax.core.game import Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Uniform


class Minimax(nn.Module):
  """Two players, one shared value (the saturating form).

  Attributes:
    generator: latents, train -> examples.
    discriminator: examples, train -> logits.
    latents: what the generator starts from.
    discriminator_steps: k, moves of the discriminator for one of the generator.
    share_latents: the generator moves on the latents of the discriminator's last move, whose fakes need not be computed
      again: PyTorch's DCGAN example does, algorithm 1 of GAN 2014 draws anew.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Uniform((100,))
  discriminator_steps: int = 1
  share_latents: bool = False

  @property
  def turns(self) -> tuple[Turn, ...]:
    return (
      Turn(('discriminator',), 'value', repeat=self.discriminator_steps),
      Turn(('generator',), 'generator_value', streams=(), share=self.share_latents),
    )

  def value(self, batch):
    image = batch['images']['image']
    fake = self.generator(batch['latents'], train=True)
    check_same_shape(fake, image)
    real_logits, fake_logits = self.discriminator(image, train=True), self.discriminator(fake, train=True)
    return losses.value(real_logits, fake_logits), accuracies(losses.minimax, real_logits, fake_logits)

  def generator_value(self, batch):
    # The same value less E[log D(x)], which no parameter of the generator moves: its batch need not be drawn.
    fake = self.generator(batch['latents'], train=True)
    return losses.generator_value(self.discriminator(fake, train=True))

  boundary = losses.minimax.boundary

  def logits(self, image: jax.Array) -> jax.Array:
    """What the discriminator says of examples (B, ...), (B,)."""
    return self.discriminator(image, train=False)

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)
