"""EBGAN: the discriminator is an auto-encoder, its reconstruction error an energy: low on data, a margin on fakes.

  D(v) = ||Dec(Enc(v)) - v||
  min_D  D(x) + max(0, m - D(G(z))),   min_G  D(G(z)) + w f_PT(Enc(G(z)))

where f_PT, the pulling-away term, is the mean squared cosine between the codes of different fakes.

Source: Zhao et al. 2016, https://arxiv.org/abs/1609.03126, eq. 1, 2, 4 and section 2.3.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision
from gan_jax.core.game import Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.losses import energy


class EBGAN(nn.Module):
  """Two players; EBGAN-PT with a pulling-away weight above 0.

  Attributes:
    generator: latents, train -> examples.
    discriminator: examples, train, codes=True -> (reconstructions, codes (B, n)), such as autoencoder.AutoEncoder.
    latents: what the generator starts from.
    margin: m, the energy up to which fakes are pushed; in the units of the Euclidean norm over a whole example, of
      which the distance between two examples of the data is a measure.
    pulling_away: w, the weight of the pulling-away term (the paper's 0.1); 0 for none.
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

  def energies(self, x, *, train):
    """D(x) of each example, (B,): low on data."""
    return self.judged(x, train=train)[0]

  def judged(self, x, *, train=True):
    """(energies (B,), codes (B, n)) of examples."""
    reconstruction, codes = self.discriminator(x, train=train, codes=True)
    squares = jnp.square(full_precision(reconstruction) - full_precision(x)).reshape(x.shape[0], -1).sum(-1)
    # The root's gradient at 0 is not finite.
    return jnp.sqrt(jnp.maximum(squares, 1e-12)), codes

  boundary = None

  def logits(self, image: jax.Array) -> jax.Array:
    """Minus the energies of examples (B, ...), (B,)."""
    return -self.energies(image, train=False)

  def discriminator_loss(self, batch):
    image = batch['images']['image']
    fake = self.generator(batch['latents'], train=True)
    check_same_shape(fake, image)
    (real_energy, _), (fake_energy, _) = self.judged(image), self.judged(fake)
    loss = energy.energy_discriminator(real_energy, fake_energy, margin=self.margin)
    return loss, {'real_energy': real_energy.mean(), 'fake_energy': fake_energy.mean()}

  def generator_loss(self, batch):
    fake_energy, codes = self.judged(self.generator(batch['latents'], train=True))
    loss = energy.energy_generator(fake_energy)
    if not self.pulling_away:
      return loss
    if codes.ndim != 2:
      raise UserError(
        f'config.game.pulling_away compares codes (B, n), not {codes.shape}: set it to 0, or flatten them'
      )
    parallel = energy.pulling_away(codes)
    return loss + self.pulling_away * parallel, {'pulling_away': parallel}

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)
