"""StackGAN: images of a text in two stages. Stage I makes small ones, stage II large ones of these and the text.

In each stage, with c ~ N(mu(t), sigma(t)^2), the augmented condition of a text t, and x' an image of another text:

  min_D  -E[log D(x, t)] - 1/2 E[log(1 - D(G(z, c), t))] - 1/2 E[log(1 - D(x', t))]
  min_G  -E[log D(G(z, c), t)] + lambda KL(N(mu(t), sigma(t)^2) || N(0, 1))

In stage II G makes its image from that of stage I, which does not move any more, and of a c of its own, without z.

Source: Zhang et al. 2016, https://arxiv.org/abs/1612.03242, section 3; the authors' code (hanzhanggit/StackGAN:
`stageI/trainer.py`, `stageII/trainer.py`).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.passes import passes


class StackGAN(nn.Module):
  """Two players a stage: `generator_1` and `discriminator_1`, then `generator_2` and `discriminator_2`.

  What images are made for is a field of the stream: an embedding, a text or a class. Samples read it there.

  Attributes:
    generator_1: latents, condition, noise, train -> (images, mu, log sigma).
    discriminator_1: images, condition, train -> logits.
    generator_2: images, condition, noise, train -> (images, mu, log sigma).
    discriminator_2: images, condition, train -> logits.
    latents: 'z', and 'noise_1' and 'noise_2' of the augmented conditions.
    condition: the field of the stream.
    stage: 1 or 2.
    kl: lambda.
    wrong: whether D sees images with the conditions of others, too (matching-aware).
    one_batch: D sees real, wrong and generated pairs in one batch, whose statistics are common. In batches apart, as
      in the authors' code, the statistics of a batch alone tell whether its texts are those of its images.
  """

  generator_1: nn.Module
  discriminator_1: nn.Module
  generator_2: nn.Module
  discriminator_2: nn.Module
  latents: Mapping[str, Any]
  condition: str = 'embedding'
  stage: int = 1
  kl: float = 2.0
  wrong: bool = True
  one_batch: bool = True

  inputs = ('images',)

  @property
  def fewest(self) -> int:
    """Examples of a batch: a wrong condition is that of another."""
    return 2 if self.wrong else 1

  @property
  def turns(self) -> tuple[Turn, ...]:
    return (
      Turn((f'discriminator_{self.stage}',), 'discriminator_loss'),
      Turn((f'generator_{self.stage}',), 'generator_loss'),
    )

  @property
  def frozen(self) -> tuple[str, ...]:
    return ('generator_1',) if self.stage == 2 else ()

  @property
  def unaveraged(self) -> tuple[str, ...]:
    return self.frozen  # the second generator learns from images of its weights as they are

  def generate(self, batch: Batch, *, train: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(images, mu, log sigma) of the stage; the other one in eval mode."""
    latents, condition = batch['latents'], batch['images'][self.condition]
    first = self.generator_1(
      latents['z'], train=train and self.stage == 1, condition=condition, noise=latents['noise_1']
    )
    if self.stage == 1:
      return first
    return self.generator_2(first[0], train=train, condition=condition, noise=latents['noise_2'])

  def judge(self, batch: Batch, fake: jax.Array) -> dict[str, jax.Array]:
    """Logits (B,) of pairs, in training mode: 'real', 'wrong' (images with the text of another), 'fake'."""
    image, condition = batch['images']['image'], batch['images'][self.condition]
    check_same_shape(fake, image)
    images = {'real': image} | ({'wrong': jnp.roll(image, 1, 0)} if self.wrong else {}) | {'fake': fake}
    judge = self.discriminator_1 if self.stage == 1 else self.discriminator_2
    conditions = [{'condition': condition}] * len(images)
    logits = passes(judge, *images.values(), one=self.one_batch, mixed=True, conditions=conditions)
    check_head(losses.nonsaturating, '', logits[0])
    return dict(zip(images, logits, strict=True))

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    logits = self.judge(batch, self.generate(batch, train=True)[0])
    low = lambda logits: losses.nonsaturating.generator(-logits)  # -log(1 - D)
    loss = losses.nonsaturating.generator(logits['real']) + jnp.mean(
      jnp.stack([low(x) for name, x in logits.items() if name != 'real'])
    )
    shares = {f'{name}_accuracy': x > 0 if name == 'real' else x < 0 for name, x in logits.items()}
    return loss, {name: jnp.mean(right, dtype=jnp.float32) for name, right in shares.items()}

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    fake, mean, log_stddev = self.generate(batch, train=True)
    # differs from eq. 2: the mean over dimensions, as in the authors' code.
    kl = losses.reconstruction.conditioning_kl(mean, log_stddev) / mean.shape[-1]
    adversarial = losses.nonsaturating.generator(self.judge(batch, fake)['fake'])
    return adversarial + self.kl * kl, {'adversarial': adversarial, 'kl': kl}

  def sample(self, batch: Batch) -> jax.Array:
    return self.generate(batch, train=False)[0]
