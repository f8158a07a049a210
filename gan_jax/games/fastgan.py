r"""FastGAN: for a hundred to some thousand images. The discriminator also learns to show real images again.

  min_D  E[max(0, n - D(x))] + E[max(0, n + D(G(z)))] + w (|dec(f) - x| + |dec(f_small) - x| + |dec(f_part) - x_part|)
  min_G  -E[D(G(z))],   n uniform on [0.8, 1]

Source: Liu et al. 2021, https://arxiv.org/abs/2101.04775, eq. 2 to 4, and the authors' code.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.augment.augmentations import Adaptive, Scheduled
from gan_jax.base.errors import UserError
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.nets.fastgan import nearest, quarter, small_side


class FastGAN(nn.Module):
  """Two players; the discriminator is also an auto-encoder of real images.

  Attributes:
    generator: latents, train -> {'image': (B, H, H, C), 'small': (B, h, h, C)}, such as fastgan.Generator.
    discriminator: such images, train, part -> logits of both, decoded images, such as fastgan.Discriminator.
    latents: distribution of the generator's input.
    augment: of what the discriminator sees, such as {'name': 'DiffAugment', 'policy': ('color', 'translation')}.
    reconstruction: w, the weight of the mean absolute differences between decoded and real images.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((256,))
  augment: Callable[..., jax.Array] | None = None
  reconstruction: float = 1.0

  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    # The generator hears what the discriminator has learnt about the same images, augmented alike.
    Turn(('generator',), 'generator_loss', streams=(), share='batch'),
  )
  boundary = 0.0

  def check_training(self, streams: Mapping[str, Any]) -> None:
    """Raises a UserError for augmentation with a probability that changes, which this game does not keep."""
    if isinstance(self.augment, Adaptive | Scheduled):
      raise UserError(
        f"config.game.augment={{'name': {type(self.augment).__name__!r}}} has a probability that FastGAN does not "
        "keep: take {'name': 'DiffAugment'}, or None"
      )

  def fakes(self, z: jax.Array) -> dict[str, jax.Array]:
    fake = self.generator(z, train=True)
    return {name: self.augmented(fake[name]) for name in ('image', 'small')}

  def augmented(self, image: jax.Array) -> jax.Array:
    return image if self.augment is None else self.augment(self.make_rng('noise'), image).astype(image.dtype)

  def margin(self, logits: jax.Array) -> jax.Array:
    return 0.8 + 0.2 * jax.random.uniform(self.make_rng('noise'), logits.shape, jnp.float32)

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    fake = self.fakes(batch['latents'])
    check_same_shape(fake['image'], batch['images']['image'])
    real = self.augmented(batch['images']['image'])
    side = fake['small'].shape[1]
    part = jax.random.randint(self.make_rng('noise'), (), 0, 4, jnp.int32)
    logits, decoded = self.discriminator({'image': real, 'small': nearest(real, side)}, train=True, part=part)
    targets = {'image': real, 'small': real, 'part': quarter(real, part)}
    differences = {
      f'reconstruction_{name}': jnp.abs(decoded[name] - nearest(targets[name], side)).astype(jnp.float32).mean()
      for name in decoded
    }
    real_logits, fake_logits = joined(logits), joined(self.discriminator(fake, train=True))
    loss = nn.relu(self.margin(real_logits) - real_logits).mean()
    loss += nn.relu(self.margin(fake_logits) + fake_logits).mean()
    metrics = {'real_logit': real_logits.mean(), 'fake_logit': fake_logits.mean(), **differences}
    return loss + self.reconstruction * sum(differences.values()), metrics

  def generator_loss(self, batch: Batch) -> jax.Array:
    return -joined(self.discriminator(self.fakes(batch['latents']), train=True)).mean()

  def logits(self, image: jax.Array) -> jax.Array:
    """Mean logits (B,) of images (B, H, H, C) over the patches of both sizes."""
    small = nearest(image, small_side(image.shape[1]))
    return joined(self.discriminator({'image': image, 'small': small}, train=False)).mean(1)

  def sample(self, batch: Batch, train: bool = False) -> jax.Array:
    return self.generator(batch['latents'], train=train)['image']


def joined(logits: tuple[jax.Array, jax.Array]) -> jax.Array:
  """The logits of both sizes, (B, patches), in float32."""
  return jnp.concatenate([x.reshape(x.shape[0], -1).astype(jnp.float32) for x in logits], 1)
