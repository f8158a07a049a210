"""BEGAN: an auto-encoder judges, and a balance k keeps its errors on fakes and on data at a fixed ratio.

  L(v) = mean |v - D(v)|                                 the error of the auto-encoder D
  min_D  L(x) - k_t L(G(z_D)),   min_G  L(G(z_G))
  k_{t+1} = k_t + lambda (gamma L(x) - L(G(z_G)))        kept in [0, 1]
  M_global = L(x) + |gamma L(x) - L(G(z_G))|             the measure of convergence

Source: Berthelot et al. 2017, https://arxiv.org/abs/1703.10717, sections 3.3 and 3.4.

differs: the generator moves after the discriminator, where the paper computes all losses at one point.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision
from gan_jax.core.game import Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Uniform
from gan_jax.losses import energy


class BEGAN(nn.Module):
  """Two players and a balance that nobody owns.

  Attributes:
    generator: latents, train -> examples.
    discriminator: examples, train -> reconstructions of the same shape.
    latents: what the generator starts from.
    gamma: the diversity ratio E[L(G(z))] / E[L(x)] that the balance holds, in [0, 1]; the higher, the more diverse.
    gain: lambda, how fast the balance moves.
    k: the balance at the start, in [0, 1].
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Uniform((64,))
  gamma: float = 0.5
  gain: float = 0.001
  k: float = 0.0

  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  def setup(self):
    self.balance = self.variable('table', 'k', lambda: jnp.asarray(self.k, jnp.float32))

  def error(self, x):
    return jnp.abs(full_precision(self.discriminator(x, train=True)) - full_precision(x)).mean()

  def energies(self, x, *, train):
    """L(x) of each example, (B,): low on data."""
    return (
      jnp.abs(full_precision(self.discriminator(x, train=train)) - full_precision(x)).reshape(x.shape[0], -1).mean(-1)
    )

  boundary = None

  def logits(self, image: jax.Array) -> jax.Array:
    """Minus the energies of examples (B, ...), (B,)."""
    return -self.energies(image, train=False)

  def discriminator_loss(self, batch):
    image = batch['images']['image']
    fake = self.generator(batch['latents'], train=True)
    check_same_shape(fake, image)
    real_error, fake_error = self.error(image), self.error(fake)
    # The generator's turn moves the balance, which needs the errors of both.
    self.put_variable('scratch', 'real_error', real_error)
    return energy.began_discriminator(real_error, fake_error, self.balance.value), {'real_error': real_error}

  def generator_loss(self, batch):
    fake_error = self.error(self.generator(batch['latents'], train=True))
    real_error: jax.Array = self.get_variable('scratch', 'real_error')
    measure = energy.began_measure(real_error, fake_error, gamma=self.gamma)
    if not self.is_initializing():  # which calls every loss once
      settings = dict(gamma=self.gamma, gain=self.gain)
      self.balance.value = energy.began_balance(self.balance.value, real_error, fake_error, **settings)
    return fake_error, {'k': self.balance.value, 'global_measure': measure}

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)
