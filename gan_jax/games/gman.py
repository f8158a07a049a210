"""GMAN: one generator against several discriminators. Each has its own examples, dropout and, optionally, view.

  max_{D_i} V(D_i, G) for each i,   min_G F(V(D_1, G), ..., V(D_N, G))

F is the mean, the maximum, a softmax-weighted mean between the two, or a softmax whose strength the generator learns.

Source: Durugkar et al. 2016, https://arxiv.org/abs/1611.01673; the authors' code (iDurugkar/GMAN).
differs: logits are not bounded; the authors' D lies in [0.01, 0.99].
differs: the weights of F carry no gradient, and boosting weights the examples as AdaBoost does (see
`gan_jax.losses.ensembles`).
"""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.conditions import condition_kwargs, generate
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.views import View
from gan_jax.latents.distributions import Latents, Uniform
from gan_jax.nets.copies import Copies, dealt

MIXTURES = ('mean', 'max', 'softmax', 'learned')
PAIRS = {'minimax': losses.minimax, 'nonsaturating': losses.nonsaturating}


class Strength(nn.Module):
  """GMAN*'s lambda before the softplus: a parameter of the generator. It starts at -2, as in the authors' code."""

  @nn.compact
  def __call__(self) -> jax.Array:
    return self.param('raw', nn.initializers.constant(-2.0), (), jnp.float32)


class GMAN(nn.Module):
  """Two players. The discriminator player has several networks.

  Attributes:
    generator: latents, train -> examples.
    discriminators: copies of one network, examples, train -> logits. Each gets its own share of the batch.
    latents: distribution of the generator's input.
    loss: `losses.minimax` as in the paper, or `losses.nonsaturating`, which the authors' code calls "modified".
    mixture: 'mean', 'max', 'softmax' or 'learned'.
    strength: lambda of the softmax, at least 0: 0 is the mean, infinity is the maximum.
    reward: c of the learned softmax: how much the generator gains by a larger lambda.
    keep: (low, high): dropout of discriminator i of N keeps low + (high - low) i / N of its units. None for networks
      without dropout.
    views: one view for each discriminator; empty if all get the examples unchanged.
    boosted: every discriminator gets the whole batch, with more weight on the examples that the discriminators before
      it got wrong.
  """

  generator: nn.Module
  discriminators: Copies
  latents: Latents = Uniform((100,))
  loss: Literal['minimax', 'nonsaturating'] = 'minimax'
  mixture: Literal['mean', 'max', 'softmax', 'learned'] = 'softmax'
  strength: float = 1.0
  reward: float = 0.001
  keep: tuple[float, float] | None = None
  views: tuple[View, ...] = ()
  boosted: bool = False

  turns = (
    Turn(('discriminator',), 'discriminator_loss'),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  def setup(self) -> None:
    if self.mixture not in MIXTURES:
      raise one_of('config.game.mixture', self.mixture, MIXTURES)
    if self.loss not in PAIRS:
      raise one_of('config.game.loss', self.loss, PAIRS)
    if self.views and len(self.views) != self.discriminators.count:
      raise UserError(
        f'config.game has {len(self.views)} views for {self.discriminators.count} discriminators: give one each'
      )
    if self.mixture == 'learned':
      self.generator_strength = Strength()

  def all_logits(
    self, image: jax.Array, condition: Mapping[str, Any], *, train: bool, whole: bool = False
  ) -> jax.Array:
    """Logits of all discriminators: (N, B / N), each on its share of the batch; with `whole` (N, B)."""
    count = self.discriminators.count
    if not whole and len(image) % count:
      raise UserError(
        f'a batch of {len(image)} cannot be divided among {count} discriminators: make it a multiple of {count}'
      )
    share = (lambda x: jnp.broadcast_to(x, (count, *x.shape))) if whole else (lambda x: dealt(x, count))
    image, condition = share(image), {name: share(x) for name, x in condition.items()}
    if self.views:
      image = jnp.stack([view.image(x) for view, x in zip(self.views, image, strict=True)])
      condition = {
        k: jnp.stack([view.label(x) for view, x in zip(self.views, v, strict=True)]) for k, v in condition.items()
      }
    if self.keep is not None:
      low, high = self.keep
      condition['keep'] = low + (high - low) * (1 + jnp.arange(count)) / count
    return self.discriminators(image, train=train, **condition)

  def mixed_loss(self, values: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(F of the values (N,) of the discriminators, metrics)."""
    if self.mixture == 'learned':
      raw = self.generator_strength()
      return losses.ensembles.learned_softmax_of(values, raw, reward=self.reward), {'strength': jax.nn.softplus(raw)}
    if self.mixture == 'softmax':
      return losses.ensembles.softmax_of(values, self.strength), {}
    return (losses.ensembles.mean_of if self.mixture == 'mean' else losses.ensembles.hardest_of)(values), {}

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image, latents = batch['images']['image'], batch['latents']
    fake = generate(self.generator, latents, train=True)
    check_same_shape(fake, image)
    real_logits = self.all_logits(image, condition_kwargs(latents, batch['images']), train=True, whole=self.boosted)
    fake_logits = self.all_logits(fake, condition_kwargs(latents, latents), train=True, whole=self.boosted)
    check_head(PAIRS[self.loss], self.loss, real_logits[0])
    weights = {}
    if self.boosted:
      boost = losses.ensembles.boosted_weights
      weights = dict(real_weights=boost(real_logits), fake_weights=boost(-fake_logits))
    pair = PAIRS[self.loss]
    each = jax.vmap(lambda real, fake, weights: pair.discriminator(real, fake, **weights))
    return each(real_logits, fake_logits, weights).sum(), accuracies(pair, real_logits, fake_logits)

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    latents = batch['latents']
    fake = generate(self.generator, latents, train=True)
    logits = self.all_logits(fake, condition_kwargs(latents, latents), train=True, whole=self.boosted)
    return self.mixed_loss(jax.vmap(PAIRS[self.loss].generator)(logits))

  def sample(self, batch: Batch) -> jax.Array:
    return generate(self.generator, batch['latents'], train=False)

  def objective(self, real: jax.Array, fake: jax.Array) -> jax.Array:
    """F of all discriminators' values of the game on whole batches (B, ...), in eval mode. For the metric GMAM.

    Networks are given no condition.
    """
    logits = [self.all_logits(x, {}, train=False, whole=True) for x in (real, fake)]
    values = jax.vmap(losses.value)(*logits)
    if self.mixture == 'learned':  # the reward is for the strength, and says nothing of the examples
      return losses.ensembles.softmax_of(values, jax.nn.softplus(self.generator_strength()))
    return self.mixed_loss(values)[0]
