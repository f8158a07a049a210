"""The game `Minimax`: GAN 2014 as written, with one value that the discriminator maximises and the generator minimises.

  min_G max_D V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))]

Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, eq. 1. The discriminator's optimizer must maximise:
use `gan_jax.optim.minimax.ascend` in its config. The same loss as a pair to minimise is `gan_jax.losses.minimax`.
"""

import flax.linen as nn
import jax

from gan_jax import losses
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.passes import one_each
from gan_jax.latents.distributions import Latents, Uniform


class Minimax(nn.Module):
  """Two players that share one value (the saturating form).

  Attributes:
    generator: latents, train -> examples.
    discriminator: examples, train -> logits.
    latents: distribution of the generator's input.
    discriminator_steps: k, the number of discriminator moves for each generator move.
    share_latents: the generator reuses the latents of the discriminator's last move, so its fakes are not computed
      twice. PyTorch's DCGAN example does this; algorithm 1 of GAN 2014 draws new latents.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Uniform((100,))
  discriminator_steps: int = 1
  share_latents: bool = False

  @property
  def turns(self) -> tuple[Turn, ...]:
    return (
      Turn(('discriminator',), 'value', repeat=self.discriminator_steps),
      Turn(('generator',), 'generator_value', streams=(), share=self.share_latents),
    )

  def value(self, batch: Batch) -> LossAndMetrics:
    image = batch['images']['image']
    fake = self.generator(batch['latents'], train=True)
    check_same_shape(fake, image)
    real_logits, fake_logits = self.discriminator(image, train=True), self.discriminator(fake, train=True)
    check_head(losses.minimax, '', real_logits)
    return losses.value(real_logits, fake_logits), accuracies(losses.minimax, real_logits, fake_logits)

  def generator_value(self, batch: Batch) -> jax.Array:
    # The value without E[log D(x)]: that term does not depend on the generator, so no data are needed.
    fake = self.generator(batch['latents'], train=True)
    return losses.generator_value(self.discriminator(fake, train=True))

  boundary = losses.minimax.boundary

  def logits(self, image: jax.Array) -> jax.Array:
    """The discriminator's logits (B,) of examples (B, ...): the mean over patches."""
    return one_each(self.discriminator(image, train=False))

  def sample(self, batch: Batch) -> jax.Array:
    return self.generator(batch['latents'], train=False)
