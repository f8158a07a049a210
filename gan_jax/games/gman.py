"""GMAN: one generator against several discriminators, each with examples, dropout and, if asked, a view of its own.

  max_{D_i} V(D_i, G) for each i,   min_G F(V(D_1, G), ..., V(D_N, G))

F is their mean, their maximum, a softmax-weighted mean between the two, or one whose strength the generator learns.

Source: Durugkar et al. 2016, https://arxiv.org/abs/1611.01673; the authors' code (iDurugkar/GMAN).

differs: logits have no bounds, where the authors' D lies in [0.01, 0.99].
differs: the weights of F carry no gradient, and boosting weighs examples as AdaBoost does: `gan_jax.losses.ensembles`.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.game import Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.conditions import asked, generate
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.games.parts.views import View
from gan_jax.latents.distributions import Latents, Uniform
from gan_jax.nets.copies import Copies, dealt

MIXTURES = ('mean', 'max', 'softmax', 'learned')
PAIRS = {'minimax': losses.minimax, 'nonsaturating': losses.nonsaturating}


class Strength(nn.Module):
  """GMAN*'s lambda before the softplus, a parameter of the generator; -2 as in the authors' code."""

  @nn.compact
  def __call__(self) -> jax.Array:
    return self.param('raw', nn.initializers.constant(-2.0), (), jnp.float32)


class GMAN(nn.Module):
  """Two players, of which the discriminator is several.

  Attributes:
    generator: latents, train -> examples.
    discriminators: copies of a network, examples, train -> logits. Each judges a share of the batch of its own.
    latents: what the generator starts from.
    loss: 'minimax', the paper's, or 'nonsaturating', which the authors' code calls modified.
    mixture: 'mean', 'max', 'softmax' or 'learned'.
    strength: lambda of the softmax, not negative: 0 is the mean, infinity the maximum.
    reward: c of the learned one, what the generator gains by a larger lambda.
    keep: discriminator i of N keeps low + (high - low) i / N of its units in dropout; None for networks without.
    views: one for each discriminator; empty for the examples as they are.
    boosted: all judge the whole batch, and each minds what those before it got wrong.
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

  def setup(self):
    if self.mixture not in MIXTURES:
      raise one_of('config.game.mixture', self.mixture, MIXTURES)
    if self.loss not in PAIRS:
      raise one_of('config.game.loss', self.loss, PAIRS)
    if self.views and len(self.views) != self.discriminators.count:
      raise UserError(
        f'config.game has {len(self.views)} views for {self.discriminators.count} discriminators: one each'
      )
    if self.mixture == 'learned':
      self.generator_strength = Strength()

  def judged(self, image: jax.Array, condition: Any, *, train: bool, whole: bool = False) -> jax.Array:
    """Logits (N, B / N) of the share of a batch that each discriminator judges, or (N, B) of the whole."""
    count = self.discriminators.count
    if not whole and len(image) % count:
      raise UserError(f'a batch of {len(image)} does not divide over {count} discriminators: make it a multiple')
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

  def mixed(self, values: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """F of the discriminators' values (N,), and what there is to tell of it."""
    if self.mixture == 'learned':
      raw = self.generator_strength()
      return losses.ensembles.learned_softmax_of(values, raw, reward=self.reward), {'strength': jax.nn.softplus(raw)}
    if self.mixture == 'softmax':
      return losses.ensembles.softmax_of(values, self.strength), {}
    return (losses.ensembles.mean_of if self.mixture == 'mean' else losses.ensembles.hardest_of)(values), {}

  def discriminator_loss(self, batch):
    image, latents = batch['images']['image'], batch['latents']
    fake = generate(self.generator, latents, train=True)
    check_same_shape(fake, image)
    real_logits = self.judged(image, asked(latents, batch['images']), train=True, whole=self.boosted)
    fake_logits = self.judged(fake, asked(latents, latents), train=True, whole=self.boosted)
    weights = {}
    if self.boosted:
      weigh = losses.ensembles.boosted_weights
      weights = dict(real_weights=weigh(real_logits), fake_weights=weigh(-fake_logits))
    pair = PAIRS[self.loss]
    each = jax.vmap(lambda real, fake, weights: pair.discriminator(real, fake, **weights))
    return each(real_logits, fake_logits, weights).sum(), accuracies(pair, real_logits, fake_logits)

  def generator_loss(self, batch):
    latents = batch['latents']
    fake = generate(self.generator, latents, train=True)
    logits = self.judged(fake, asked(latents, latents), train=True, whole=self.boosted)
    return self.mixed(jax.vmap(PAIRS[self.loss].generator)(logits))

  def sample(self, batch):
    return generate(self.generator, batch['latents'], train=False)

  def objective(self, real: jax.Array, fake: jax.Array) -> jax.Array:
    """F of every discriminator's value of the game on whole batches (B, ...), networks in eval mode: for GMAM."""
    logits = [self.judged(x, {}, train=False, whole=True) for x in (real, fake)]
    return self.mixed(jax.vmap(losses.value)(*logits))[0]
