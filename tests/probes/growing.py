"""Probe: two stages, the second of twice the resolution; optimizers start anew, running averages go on (as PGGAN)."""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax import config as config_lib
from gan_jax.core.clock import read_clock
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.losses import hinge
from gan_jax.nets.layers.conv import Conv

VARIANTS = ('default',)


def double(x):
  return x.repeat(2, 1).repeat(2, 2)


class Generator(nn.Module):
  resolution: int

  @nn.compact
  def __call__(self, z, fade):
    x = nn.Dense(4 * 4 * 3, name='block_4')(z).reshape(-1, 4, 4, 3)
    image = Conv(1, (1, 1), name='image_4')(x)
    if self.resolution == 8:
      x = nn.relu(Conv(3, (3, 3), name='block_8')(double(x)))
      image = fade * Conv(1, (1, 1), name='image_8')(x) + (1 - fade) * double(image)
    return jnp.tanh(image)


class Growing(nn.Module):
  discriminator: nn.Module
  resolution: int
  latents: Latents = Normal((4,))
  turns = (Turn(('discriminator',), 'discriminator_loss'), Turn(('generator',), 'generator_loss', streams=()))

  def setup(self):
    self.generator = Generator(self.resolution)

  def make(self, batch):
    clock = read_clock(self)
    return self.generator(batch['latents'], jnp.minimum(2 * clock.stage_step / clock.stage_length, 1.0))

  def discriminator_loss(self, batch):
    real_logits = self.discriminator(batch['images']['image'], train=True)
    return hinge.discriminator(real_logits, self.discriminator(self.make(batch), train=True))

  def generator_loss(self, batch):
    return hinge.generator(self.discriminator(self.make(batch), train=True)), {'images': read_clock(self).images}

  def sample(self, batch):
    return self.generator(batch['latents'], 1.0)


class Discriminator(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    if x.shape[1] == 8:
      x = Conv(1, (3, 3), (2, 2), name='block_8')(x)
    return nn.Dense(1, name='block_4')(x.reshape(x.shape[0], -1))[:, 0]


def get_config(variant):
  adam = dict(name='optax.adam', learning_rate=1e-3, b1=0.0)
  return config_lib.base(
    game=dict(name='probes.growing.Growing', resolution=4, discriminator=dict(name='probes.growing.Discriminator')),
    optimizers=dict(generator=adam, discriminator=adam),
    ema=dict(generator=0.9),
    data=config_lib.stream(name='digits', size=4, channels=1),
    batch_size=8,
    stages=(
      dict(steps=3),
      dict(
        steps=3,
        game=dict(resolution=8),
        data=dict(size=8),
        batch_size=4,
        reset=dict(optimizer=('generator', 'discriminator')),
      ),
    ),
  )
