"""BiGAN: a generator and an encoder against a discriminator that sees (example, latents) pairs.

  min_{G,E} max_D  E_x[log D(x, E(x))] + E_z[log(1 - D(G(z), z))]

Source: Donahue et al. 2016, https://arxiv.org/abs/1605.09782, eq. 3. At the optimum the encoder inverts the generator
(theorem 2), though no loss ever compares an example with its reconstruction.

differs: generator and encoder minimise the -log form with exchanged labels, as the paper's section 3.5 proposes.
"""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Latents, Uniform


class BiGAN(nn.Module):
  """Two players on one side: generator and encoder move together.

  Attributes:
    generator: latents (B, n), train -> examples (B, H, W, C).
    encoder: flat examples (B, H * W * C), train -> latents (B, n).
    discriminator: flat examples and latents side by side, train -> logits (B,).
    latents: what the generator starts from.
  """

  generator: nn.Module
  encoder: nn.Module
  discriminator: nn.Module
  latents: Latents = Uniform((50,))

  turns = (
    Turn(movers=('discriminator',), loss='discriminator_loss'),
    Turn(movers=('generator', 'encoder'), loss='joint_loss'),
  )

  def encode(self, image, *, train=False):
    return self.encoder(image.reshape(image.shape[0], -1), train=train)

  def pair_logits(self, batch):
    """The discriminator's logits on (x, E(x)) and on (G(z), z)."""
    judge = lambda image, z: self.discriminator(jnp.concatenate([image.reshape(z.shape[0], -1), z], -1), train=True)
    image, z = batch['images']['image'], batch['latents']
    return judge(image, self.encode(image, train=True)), judge(self.generator(z, train=True), z)

  def discriminator_loss(self, batch):
    encoded_logits, generated_logits = self.pair_logits(batch)
    return losses.nonsaturating.discriminator(encoded_logits, generated_logits)

  def joint_loss(self, batch):
    encoded_logits, generated_logits = self.pair_logits(batch)
    # The same loss with real and fake exchanged.
    return losses.nonsaturating.discriminator(generated_logits, encoded_logits)

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)

  def reconstruct(self, image):
    return self.generator(self.encode(image), train=False)
