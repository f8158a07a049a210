"""InfoGAN: part of the latents are codes, and what is made must tell them.

  min_{G,Q} max_D  V(D, G) - lambda L_I(G, Q),   L_I(G, Q) = E[log Q(c | G(z, c))] + H(c)

Source: Chen et al. 2016, https://arxiv.org/abs/1606.03657, eq. 6. As in the authors' code, the discriminator's move
minimises the information term too: Q and the trunk that it stands on are the discriminator's.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.core.game import Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Distribution, Label
from gan_jax.nets.layers.basic import condition


class InfoGAN(nn.Module):
  """Two players and a lower bound of the information that examples hold on their codes.

  Attributes:
    generator: latents and codes side by side (B, n), train -> examples.
    discriminator: examples, train -> logits; with `codes=True` (logits, {name: Q's outputs}).
    latents: 'z' and codes by other names: a `Label` is categorical, all else real, with a Gaussian Q of deviation 1.
    information: lambda of each code.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Mapping[str, Distribution]
  information: Mapping[str, float]

  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  def generate(self, latents: Mapping[str, jax.Array], *, train: bool) -> jax.Array:
    parts = [latents['z']]
    for name in sorted(self.information):
      of = self.latents[name]
      value = latents[name]
      parts.append(condition(value, of.classes, parts[0].dtype) if isinstance(of, Label) else value)
    return self.generator(jnp.concatenate(parts, -1), train=train)

  def judged(self, batch):
    """(generated examples, logits of them, the weighted -log Q of their codes, of each code)."""
    fake = self.generate(batch['latents'], train=True)
    logits, q = self.discriminator(fake, train=True, codes=True)
    categorical, real = losses.information.categorical_information, losses.information.gaussian_information
    of = {
      name: (categorical if isinstance(self.latents[name], Label) else real)(q[name], batch['latents'][name])
      for name in self.information
    }
    weighted = sum((weight * of[name] for name, weight in self.information.items()), jnp.zeros((), jnp.float32))
    return fake, logits, weighted, {f'information_{name}': value for name, value in of.items()}

  def discriminator_loss(self, batch):
    image = batch['images']['image']
    fake, fake_logits, information, metrics = self.judged(batch)
    check_same_shape(fake, image)
    real_logits = self.discriminator(image, train=True)
    loss = losses.nonsaturating.discriminator(real_logits, fake_logits)
    return loss + information, metrics | accuracies(losses.nonsaturating, real_logits, fake_logits)

  def generator_loss(self, batch):
    _, fake_logits, information, _ = self.judged(batch)
    return losses.nonsaturating.generator(fake_logits) + information

  def sample(self, batch):
    return self.generate(batch['latents'], train=False)

  boundary = losses.nonsaturating.boundary

  def logits(self, image: jax.Array) -> jax.Array:
    """What the discriminator says of examples (B, ...), (B,)."""
    return self.discriminator(image, train=False)

  def codes(self, image: jax.Array) -> dict[str, jax.Array]:
    """What Q says of examples (B, ...): {name: logits or means (B, n)}."""
    return self.discriminator(image, train=False, codes=True)[1]
