"""Probe: a turn that is played only while the last accuracy is low (3D-GAN's 80 % rule)."""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax import config as config_lib
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.losses import nonsaturating

VARIANTS = ('default',)


class Accuracy(nn.Module):
  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((4,))
  limit: float = 0.8
  discriminator_steps: int = 1

  @property
  def turns(self):
    return (
      Turn(
        ('discriminator',),
        'discriminator_loss',
        repeat=self.discriminator_steps,
        when=lambda clock, variables: variables['table']['accuracy'] <= self.limit,
      ),
      Turn(('generator',), 'generator_loss'),
    )

  def setup(self):
    self.accuracy = self.variable('table', 'accuracy', jnp.zeros, ())

  def discriminator_loss(self, batch):
    fake = self.generator(batch['latents'], train=True)
    self.put_variable('scratch', 'fake_mean', fake.mean())
    real_logits = self.discriminator(batch['images']['image'], train=True)
    return nonsaturating.discriminator(real_logits, self.discriminator(fake, train=True))

  def generator_loss(self, batch):
    fake_logits = self.discriminator(self.generator(batch['latents'], train=True), train=True)
    real_logits = self.discriminator(batch['images']['image'], train=True)
    self.accuracy.value = 0.5 * ((real_logits > 0).mean() + (fake_logits < 0).mean())
    return nonsaturating.generator(fake_logits), {'accuracy': self.accuracy.value}

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)


def get_config(variant):
  adam = dict(name='optax.adam', learning_rate=1e-3)
  return config_lib.base(
    game=dict(
      name='probes.accuracy.Accuracy',
      generator=dict(name='probes.nets.Net', shape=(2,), norm=True),
      discriminator=dict(name='probes.nets.Net'),
      limit=0.8,
      discriminator_steps=2,
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(name='grid'),
    batch_size=8,
  )
