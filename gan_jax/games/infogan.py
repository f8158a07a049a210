"""InfoGAN: some of the latents are codes, and a network Q must be able to read them from the generated example.

  min_{G,Q} max_D  V(D, G) - lambda L_I(G, Q),   L_I(G, Q) = E[log Q(c | G(z, c))] + H(c)

Source: Chen et al. 2016, https://arxiv.org/abs/1606.03657, eq. 6. As in the authors' code, the discriminator's move
minimises the information term too, because Q and its trunk belong to the discriminator.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.passes import one_each
from gan_jax.latents.distributions import Distribution, Label
from gan_jax.nets.layers.basic import condition


class InfoGAN(nn.Module):
  """Two players, and a lower bound of the mutual information between codes and examples.

  Attributes:
    generator: latents and codes, concatenated to (B, n), train -> examples.
    discriminator: examples, train -> logits; with `codes=True` -> (logits, {name: Q's outputs}).
    latents: 'z', and codes under other names. A `Label` is a categorical code; the others are real-valued, with a
      Gaussian Q of deviation 1.
    information: {name of a code: its lambda}. Q does not read the other codes, which the generator takes behind these.
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
    """Examples from 'z' and the codes."""
    parts = [latents['z']]
    unread = set(self.latents) - {'z', *self.information}
    for name in (*sorted(self.information), *sorted(unread)):
      code, value = self.latents[name], latents[name]
      parts.append(condition(value, code.classes, parts[0].dtype) if isinstance(code, Label) else value)
    return self.generator(jnp.concatenate(parts, -1), train=train)

  def generator_pass(self, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
    """(generated examples, their logits, the weighted sum of -log Q over the codes, metrics: -log Q of each code)."""
    fake = self.generate(batch['latents'], train=True)
    logits, q = self.discriminator(fake, train=True, codes=True)
    categorical, real = losses.information.categorical_information, losses.information.gaussian_information
    terms = {
      name: (categorical if isinstance(self.latents[name], Label) else real)(q[name], batch['latents'][name])
      for name in self.information
    }
    weighted = sum((weight * terms[name] for name, weight in self.information.items()), jnp.zeros((), jnp.float32))
    return fake, logits, weighted, {f'information_{name}': value for name, value in terms.items()}

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image = batch['images']['image']
    fake, fake_logits, information, metrics = self.generator_pass(batch)
    check_same_shape(fake, image)
    real_logits = self.discriminator(image, train=True)
    check_head(losses.nonsaturating, '', real_logits)
    loss = losses.nonsaturating.discriminator(real_logits, fake_logits)
    return loss + information, metrics | accuracies(losses.nonsaturating, real_logits, fake_logits)

  def generator_loss(self, batch: Batch) -> jax.Array:
    _, fake_logits, information, _ = self.generator_pass(batch)
    return losses.nonsaturating.generator(fake_logits) + information

  def sample(self, batch: Batch) -> jax.Array:
    return self.generate(batch['latents'], train=False)

  boundary = losses.nonsaturating.boundary

  def logits(self, image: jax.Array) -> jax.Array:
    """The discriminator's logits (B,) of examples (B, ...): the mean over patches."""
    return one_each(self.discriminator(image, train=False))

  def codes(self, image: jax.Array) -> dict[str, jax.Array]:
    """Q's outputs for examples (B, ...): {name: logits or means (B, n)}."""
    return self.discriminator(image, train=False, codes=True)[1]
