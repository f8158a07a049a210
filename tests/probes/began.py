"""Probe: a table value fed by the terms of two turns (BEGAN's k)."""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax import config as config_lib
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Latents, Uniform

VARIANTS = ('default', 'accumulate')


class Began(nn.Module):
  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Uniform((4,))
  gamma: float = 0.5
  gain: float = 0.01
  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  def setup(self):
    self.k = self.variable('table', 'k', jnp.zeros, ())

  def error(self, x):
    return jnp.abs(self.discriminator(x, train=True) - x).mean()

  def discriminator_loss(self, batch):
    real = self.error(batch['images']['image'])
    self.put_variable('scratch', 'real', real)
    return real - self.k.value * self.error(self.generator(batch['latents'], train=True))

  def generator_loss(self, batch):
    fake = self.error(self.generator(batch['latents'], train=True))
    real = self.get_variable('scratch', 'real')
    self.k.value = jnp.clip(self.k.value + self.gain * (self.gamma * real - fake), 0.0, 1.0)
    return fake, {'k': self.k.value, 'measure': real + jnp.abs(self.gamma * real - fake)}

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)


def get_config(variant):
  net = dict(name='probes.nets.Net', shape=(8, 8, 1))
  adam = dict(name='optax.adam', learning_rate=1e-3)
  return config_lib.base(
    game=dict(name='probes.began.Began', generator=net, discriminator=net, gain=0.5),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(name='digits', size=8, channels=1),
    batch_size=8,
    accumulate=2 if variant == 'accumulate' else 1,
  )
