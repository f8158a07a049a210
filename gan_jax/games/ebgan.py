"""EBGAN: the discriminator is an auto-encoder, and its reconstruction error is an energy. The discriminator lowers the
energy of data and raises the energy of fakes up to a margin.

  D(v) = ||Dec(Enc(v)) - v||
  min_D  D(x) + max(0, m - D(G(z))),   min_G  D(G(z)) + w f_PT(Enc(G(z)))

where f_PT, the pulling-away term, is the mean squared cosine between the codes of different fakes.

Source: Zhao et al. 2016, https://arxiv.org/abs/1609.03126, eq. 1, 2 and section 2.4.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.losses import energy


class EBGAN(nn.Module):
  """Two players. With a pulling-away weight above 0 it is EBGAN-PT.

  Attributes:
    generator: latents, train -> examples.
    discriminator: examples, train, codes=True -> (reconstructions, codes (B, n)), such as autoencoder.AutoEncoder.
    latents: distribution of the generator's input.
    margin: m, the energy up to which the discriminator pushes fakes. It is a Euclidean norm over a whole example;
      compare it with the distance between two examples of the data.
    pulling_away: w, the weight of the pulling-away term (0.1 in the paper); 0 for none.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((100,))
  margin: float = 10.0
  pulling_away: float = 0.0

  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  @property
  def fewest(self) -> int:
    """The pulling-away term compares examples."""
    return 2 if self.pulling_away else 1

  def energies(self, x: jax.Array, *, train: bool) -> jax.Array:
    """D(x) of each example, (B,). It is low on data."""
    return self.energies_and_codes(x, train=train)[0]

  def energies_and_codes(self, x: jax.Array, *, train: bool = True) -> tuple[jax.Array, jax.Array]:
    """(energies (B,), codes (B, n)) of examples."""
    reconstruction, codes = self.discriminator(x, train=train, codes=True)
    squares = jnp.square(full_precision(reconstruction) - full_precision(x)).reshape(x.shape[0], -1).sum(-1)
    # The root's gradient at 0 is not finite.
    return jnp.sqrt(jnp.maximum(squares, 1e-12)), codes

  boundary = None

  def logits(self, image: jax.Array) -> jax.Array:
    """The energies of examples (B, ...) with a minus sign, (B,), so that data get the larger values."""
    return -self.energies(image, train=False)

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image = batch['images']['image']
    fake = self.generator(batch['latents'], train=True)
    check_same_shape(fake, image)
    real_energy, fake_energy = self.energies(image, train=True), self.energies(fake, train=True)
    loss = energy.energy_discriminator(real_energy, fake_energy, margin=self.margin)
    return loss, {'real_energy': real_energy.mean(), 'fake_energy': fake_energy.mean()}

  def generator_loss(self, batch: Batch) -> jax.Array | LossAndMetrics:
    fake_energy, codes = self.energies_and_codes(self.generator(batch['latents'], train=True))
    loss = energy.energy_generator(fake_energy)
    if not self.pulling_away:
      return loss
    if codes.ndim != 2:
      raise UserError(
        f'config.game.pulling_away needs codes (B, n), not {codes.shape}: set it to 0, or flatten the codes'
      )
    term = energy.pulling_away(codes)
    return loss + self.pulling_away * term, {'pulling_away': term}

  def sample(self, batch: Batch) -> jax.Array:
    return self.generator(batch['latents'], train=False)
