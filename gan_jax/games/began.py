"""BEGAN: the discriminator is an auto-encoder. A weight k keeps its errors on fakes and on data at a fixed ratio.

  L(v) = mean |v - D(v)|                                 the error of the auto-encoder D
  min_D  L(x) - k_t L(G(z_D)),   min_G  L(G(z_G))
  k_{t+1} = k_t + lambda (gamma L(x) - L(G(z_G)))        kept in [0, 1]
  M_global = L(x) + |gamma L(x) - L(G(z_G))|             the measure of convergence

Source: Berthelot et al. 2017, https://arxiv.org/abs/1703.10717, sections 3.3 and 3.4.

differs: the generator moves after the discriminator; the paper computes all losses at the same parameters.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Uniform
from gan_jax.losses import energy


class BEGAN(nn.Module):
  """Two players, and a weight k that belongs to neither.

  Attributes:
    generator: latents, train -> examples.
    discriminator: examples, train -> reconstructions of the same shape.
    latents: distribution of the generator's input.
    gamma: the diversity ratio E[L(G(z))] / E[L(x)] to hold, in [0, 1]. A higher ratio gives more diverse samples.
    gain: lambda, how fast k moves.
    k: weight of the fakes' error at the start, in [0, 1].
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

  def setup(self) -> None:
    self.balance = self.variable('table', 'k', lambda: jnp.asarray(self.k, jnp.float32))

  def error(self, x: jax.Array) -> jax.Array:
    """L(x), the mean absolute error of the reconstruction over the batch, a scalar."""
    return jnp.abs(full_precision(self.discriminator(x, train=True)) - full_precision(x)).mean()

  def energies(self, x: jax.Array, *, train: bool) -> jax.Array:
    """L(x) of each example, (B,). It is low on data."""
    return (
      jnp.abs(full_precision(self.discriminator(x, train=train)) - full_precision(x)).reshape(x.shape[0], -1).mean(-1)
    )

  boundary = None

  def logits(self, image: jax.Array) -> jax.Array:
    """The energies of examples (B, ...) with a minus sign, (B,), so that data get the larger values."""
    return -self.energies(image, train=False)

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image = batch['images']['image']
    fake = self.generator(batch['latents'], train=True)
    check_same_shape(fake, image)
    real_error, fake_error = self.error(image), self.error(fake)
    # The generator's turn updates k. It needs both errors.
    self.put_variable('scratch', 'real_error', real_error)
    return energy.began_discriminator(real_error, fake_error, self.balance.value), {'real_error': real_error}

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    fake_error = self.error(self.generator(batch['latents'], train=True))
    real_error: jax.Array = self.get_variable('scratch', 'real_error')
    measure = energy.began_measure(real_error, fake_error, gamma=self.gamma)
    if not self.is_initializing():  # initialisation calls every loss once; it must not change k
      settings = dict(gamma=self.gamma, gain=self.gain)
      self.balance.value = energy.began_balance(self.balance.value, real_error, fake_error, **settings)
    return fake_error, {'k': self.balance.value, 'global_measure': measure}

  def sample(self, batch: Batch) -> jax.Array:
    return self.generator(batch['latents'], train=False)
