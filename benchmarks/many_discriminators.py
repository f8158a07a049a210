"""A game of several discriminators, for counting what one more costs: `benchmarks.growth`."""

import flax.linen as nn

from gan_jax import losses
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Latents, Normal


class ManyDiscriminators(nn.Module):
  """One generator against the mean of several discriminators."""

  generator: nn.Module
  discriminators: tuple[nn.Module, ...]
  latents: Latents = Normal((100,))

  @property
  def turns(self) -> tuple[Turn, ...]:
    return Turn(('discriminator',), 'discriminator_loss'), Turn(('generator',), 'generator_loss', streams=())

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
