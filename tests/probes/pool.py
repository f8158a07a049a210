"""Probe: an image pool, two streams, the generator first, fakes handed on through scratch (as CycleGAN does)."""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax import config as config_lib
from gan_jax.core.game import Turn
from gan_jax.games.parts import pool
from gan_jax.losses import least_squares

VARIANTS = ('default', 'accumulate')


class Pool(nn.Module):
  generator_ab: nn.Module
  generator_ba: nn.Module
  discriminator_a: nn.Module
  discriminator_b: nn.Module
  pool_size: int = 12
  latents: None = None
  turns = (Turn(('generator',), 'generator_loss'), Turn(('discriminator',), 'discriminator_loss'))

  def setup(self):
    self.pool_a = self.variable('memory', 'pool_a', pool.empty, self.pool_size, (8, 8, 1))
    self.pool_b = self.variable('memory', 'pool_b', pool.empty, self.pool_size, (8, 8, 1))

  def generator_loss(self, batch):
    a, b = batch['a']['image'], batch['b']['image']
    fake_b, fake_a = self.generator_ab(a, train=True), self.generator_ba(b, train=True)
    self.put_variable('scratch', 'fake_a', fake_a)
    self.put_variable('scratch', 'fake_b', fake_b)
    cycle = jnp.abs(self.generator_ba(fake_b, train=True) - a).mean()
    fooled_a = least_squares.generator(self.discriminator_a(fake_a, train=True))
    return fooled_a + least_squares.generator(self.discriminator_b(fake_b, train=True)) + 10 * cycle, {'cycle': cycle}

  def discriminator_loss(self, batch):
    loss = 0.0
    for name, past, net in (('a', self.pool_a, self.discriminator_a), ('b', self.pool_b, self.discriminator_b)):
      fake = self.get_variable('scratch', f'fake_{name}')
      shown, past.value = pool.exchange(self.make_rng('noise'), past.value, fake)
      loss += least_squares.discriminator(net(batch[name]['image'], train=True), net(shown, train=True))
    return loss

  def sample(self, batch):
    return {
      'ab': self.generator_ab(batch['a']['image'], train=False),
      'ba': self.generator_ba(batch['b']['image'], train=False),
    }


def get_config(variant):
  generator = dict(name='probes.nets.Net', shape=(8, 8, 1), norm=True)
  discriminator = dict(name='probes.nets.Net')
  adam = dict(name='optax.adam', learning_rate=1e-3)
  return config_lib.base(
    game=dict(
      name='probes.pool.Pool',
      generator_ab=generator,
      generator_ba=generator,
      discriminator_a=discriminator,
      discriminator_b=discriminator,
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=dict(
      a=config_lib.stream(name='digits', size=8, channels=1),
      b=config_lib.stream(name='digits', split='test', size=8, channels=1, seed=1, flip=True),
    ),
    batch_size=8,
    accumulate=2 if variant == 'accumulate' else 1,
  )
