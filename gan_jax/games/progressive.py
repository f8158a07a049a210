"""Progressive GAN: both networks grow in one run, from 4x4 to the full resolution.

  min_D  E[D(G(z))] - E[D(x)] + lambda E[(|grad D| - target)^2] + epsilon E[D(x)^2]
  min_G  -E[D(G(z))]

A stage of the run has one resolution. In its first steps what is new fades in: G's image, D's features and the data
are mixtures of the new resolution and the old one, whose share falls from 1 to 0.

Source: Karras et al. 2017, https://arxiv.org/abs/1710.10196, section 2 and appendix A; the authors' code
(tkarras/progressive_growing_of_gans: `loss.py`, `train.py`), which mixes the data too.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.base.functions import known
from gan_jax.core.clock import read_clock
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.core.gradients import input_gradients
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.latents.distributions import Distribution
from gan_jax.losses import penalties
from gan_jax.nets.layers.resample import blend, downsample, upsample


class ProgressiveGAN(nn.Module):
  """Two players of one resolution.

  Attributes:
    generator: latents, fade, train -> images.
    discriminator: images, fade, train -> logits (B,).
    latents: of the generator.
    fade: steps of the stage over which its resolution fades in; 0 for none, as in the first stage.
    penalty: lambda, the weight of the gradient penalty.
    target: the norm that D's gradients should have.
    drift: epsilon, the weight of the square of D's logits of data, which keeps them near 0.
    discriminator_steps: moves of D in a step.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Distribution
  fade: int = 0
  penalty: float = 10.0
  target: float = 1.0
  drift: float = 0.001
  discriminator_steps: int = 1

  @property
  def turns(self) -> tuple[Turn, ...]:
    if self.fade < 0:
      raise UserError(f'config.game.fade={self.fade} must be 0 (nothing fades in) or more steps')
    if known(self.target) and self.target <= 0:
      raise UserError(f'config.game.target={self.target} must be above 0: it is the norm of gradients, such as 1.0')
    return (
      Turn(('discriminator',), 'discriminator_loss', repeat=self.discriminator_steps),
      Turn(('generator',), 'generator_loss', streams=()),
    )

  def share(self) -> jax.Array | None:
    """The share of the new resolution now, from 0 to 1; None where nothing fades in."""
    if not self.fade:
      return None
    return jnp.minimum(read_clock(self).stage_step.astype(jnp.float32) / self.fade, 1.0)

  def mixed(self, image: jax.Array) -> jax.Array:
    """Data (B, H, W, C) as D sees them now: with the details of half the resolution only, in part."""
    share = self.share()
    return image if share is None else blend(upsample(downsample(image)), image, share)

  def generate(self, z: jax.Array, *, train: bool) -> jax.Array:
    return self.generator(z, train=train, fade=self.share())

  def judge(self, image: jax.Array) -> jax.Array:
    return self.discriminator(image, train=True, fade=self.share())

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image, fake = batch['images']['image'], self.generate(batch['latents'], train=True)
    check_same_shape(fake, image)
    image, share = self.mixed(image), self.share()
    real_logits, fake_logits = self.judge(image), self.judge(fake)
    check_head(losses.wasserstein, '', real_logits)
    points = penalties.between(self.make_rng('noise'), image, fake)
    gradients = input_gradients(self.discriminator, points, fade=share)
    # The authors divide by the square of the target.
    penalty = self.penalty / self.target**2 * penalties.gradient_penalty(gradients, target=self.target)
    loss = losses.wasserstein.discriminator(real_logits, fake_logits)
    metrics = {'distance': -loss, 'penalty': penalty, 'share': jnp.ones(()) if share is None else share}
    return loss + penalty + self.drift * penalties.drift(real_logits), metrics

  def generator_loss(self, batch: Batch) -> jax.Array:
    return losses.wasserstein.generator(self.judge(self.generate(batch['latents'], train=True)))

  def sample(self, batch: Batch) -> jax.Array:
    return self.generate(batch['latents'], train=False)
