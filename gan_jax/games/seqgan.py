r"""SeqGAN: a generator of symbols, whose draws have no gradient, learns by policy gradient from D's judgement.

  min_D  -E[log D(x)] / 2 - E[log(1 - D(y))] / 2                             y drawn by G
  min_G  -E[sum_t Q(y_1 ... y_t) log G(y_t | y_1 ... y_t-1)]                 Q without a gradient

Q is the mean of D(y) over sequences that begin with y_1 ... y_t and that a slowly moving copy of G completes
(rollouts). Before that G learns by maximum likelihood, then D against G's draws.

Source: Yu et al. 2017, https://arxiv.org/abs/1609.05473, algorithm 1; the authors' code (LantaoYu/SeqGAN:
`sequence_gan.py`, `rollout.py`).
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from PIL.Image import Image

from gan_jax import core, losses
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.clock import read_clock
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.data.sources import oracle
from gan_jax.data.sources.columned import fitted_kind
from gan_jax.data.streams import Stream
from gan_jax.data.text import FIRST, Text
from gan_jax.games.parts import drawn
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.latents.distributions import Distribution

PHASES = ('likelihood', 'discriminator', 'adversarial')


class SeqGAN(nn.Module):
  """Two players. The stream 'images' has the field 'tokens', (B, T) integers.

  Attributes:
    generator: `log_likelihood`, `generate` and `complete` as `nets.seqgan.Generator` has them.
    discriminator: tokens, train -> logits (B,); its last layer is called 'out'.
    latents: uniform on [0, 1), (T,): where in its distribution each token is.
    phase: what the stage trains: 'likelihood' G alone, 'discriminator' D alone, 'adversarial' both.
    rollouts: completions of each beginning.
    rollout_rate: share of the copy that completes in its next weights; the rest is G.
    baseline: take the others' mean reward off (`losses.policy`).
    decay: weight of half the sum of squares of D's last layer.
    generator_steps: moves of G in a step of 'adversarial'.
    discriminator_steps: moves of D after them.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Distribution
  phase: str = 'adversarial'
  rollouts: int = 16
  rollout_rate: float = 0.8
  baseline: bool = True
  decay: float = 0.1
  generator_steps: int = 1
  discriminator_steps: int = 1

  outputs = {'tokens': core.Output('images', 'tokens')}

  @property
  def frozen(self) -> tuple[str, ...]:
    return {'likelihood': ('discriminator',), 'discriminator': ('generator',)}.get(self.phase, ())

  @property
  def turns(self) -> tuple[Turn, ...]:
    if self.phase not in PHASES:
      raise one_of('config.game.phase', self.phase, PHASES)
    if self.rollouts < 1:
      raise UserError(f'config.game.rollouts={self.rollouts} must be at least 1')
    sizes = self.generator.vocabulary, self.discriminator.vocabulary
    if sizes[0] != sizes[1]:
      raise UserError(f'the generator has vocabulary={sizes[0]}, the discriminator {sizes[1]}: make them equal')
    if self.phase == 'likelihood':
      return (Turn(('generator',), 'likelihood_loss'),)
    judge = Turn(('discriminator',), 'discriminator_loss', repeat=self.discriminator_steps)
    if self.phase == 'discriminator':
      return (judge,)
    return (Turn(('generator',), 'generator_loss', repeat=self.generator_steps, streams=()), judge)

  def check_training(self, streams: Mapping[str, Stream]) -> None:
    """The networks have a row for each token of the data: one beyond their tables makes the loss NaN."""
    if 'images' not in streams:
      return
    rows, stream = self.generator.vocabulary, streams['images']
    kind, count, fewer = stream.kinds.get('tokens'), 0, ''
    if isinstance(kind, Text):
      with contextlib.suppress(UserError):  # without the data their words are not known
        kind = fitted_kind(stream, 'tokens')
        count, fewer = kind.tokens, f', or config.data.columns.tokens.vocabulary to {rows - FIRST}'
    elif stream.name.startswith('oracle/'):
      count, _ = oracle.sizes(stream.name)
    if rows < count:
      raise UserError(
        f"config.game.generator.vocabulary={rows} but column 'tokens' has up to {count} tokens: set it and "
        f'config.game.discriminator.vocabulary to {count}{fewer}'
      )

  def likelihood_loss(self, batch: Batch) -> jax.Array:
    """Negative log-likelihood of a token of the data, nats."""
    tokens, shares = batch['images']['tokens'], batch['latents']
    if tokens.shape[1:] != shares.shape[1:]:
      length = tokens.shape[1:]
      raise UserError(f'config.game.latents.shape={shares.shape[1:]} must be {length}, the length of the data')
    return -self.generator.log_likelihood(tokens).mean()

  def generate(self, shares: jax.Array) -> jax.Array:
    if shares.dtype != jnp.float32:
      raise UserError(f'config.dtype={shares.dtype}: what draws tokens needs 24 bits, set config.dtype=float32')
    return self.generator.generate(shares)

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    tokens, fake = batch['images']['tokens'], self.generate(batch['latents'])
    check_same_shape(fake, tokens)
    real_logits, fake_logits = self.discriminator(tokens, train=True), self.discriminator(fake, train=True)
    check_head(losses.nonsaturating, '', real_logits)
    loss = losses.nonsaturating.discriminator(real_logits, fake_logits) / 2
    squares = sum(jnp.sum(w**2) for w in jax.tree.leaves(self.discriminator.variables['params']['out']))
    right = ((real_logits > 0).mean(dtype=jnp.float32) + (fake_logits < 0).mean(dtype=jnp.float32)) / 2
    return loss + self.decay * squares / 2, {'discriminator_accuracy': right}

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    tokens = jax.lax.stop_gradient(self.generate(batch['latents']))
    rewards = jax.lax.stop_gradient(self.rewards(tokens))
    loss = losses.policy.policy_gradient(self.generator.log_likelihood(tokens), rewards, baseline=self.baseline)
    return loss, {'reward': rewards.mean(), 'whole_reward': rewards[:, -1].mean()}

  def rewards(self, tokens: jax.Array) -> jax.Array:
    """Q (B, T): what D says, on average, of sequences that begin with the first 1, 2, ..., T of the tokens (B, T)."""
    count, length = tokens.shape
    probability = lambda logits: jax.nn.sigmoid(logits.astype(jnp.float32))
    of_whole = probability(self.discriminator(tokens, train=False))
    copy, (generator, _), (judge, weights) = (
      self.rollout_weights(),
      self.generator.unbind(),
      self.discriminator.unbind(),
    )
    begun = jnp.tile(tokens, (length - 1, 1))  # ((T - 1) * B, T)
    kept = jnp.repeat(jnp.arange(1, length), count)

    def once(key: jax.Array) -> jax.Array:
      shares = jax.random.uniform(key, begun.shape, jnp.float32)
      whole = generator.apply({'params': copy}, begun, kept, shares, method='complete')
      return probability(judge.apply(weights, whole, train=False)).reshape(length - 1, count)

    keys = jax.random.split(self.make_rng('noise'), self.rollouts)
    of_begun = jax.lax.map(once, keys).mean(0)
    return jnp.concatenate([of_begun, of_whole[None]]).T

  def rollout_weights(self) -> Any:
    """The weights of the copy that completes, after one move of it towards G; at the start of a stage they are G's."""
    now = jax.lax.stop_gradient(self.generator.variables['params'])
    before = self.get_variable('table', 'rollout', now)
    begins = read_clock(self).stage_step == 0
    moved = lambda old, new: jnp.where(begins, new, self.rollout_rate * old + (1 - self.rollout_rate) * new)
    weights = jax.tree.map(moved, before, now)
    self.put_variable('table', 'rollout', weights)
    return weights

  def sample(self, batch: Batch) -> jax.Array:
    return self.generate(batch['latents'])

  def pictures(self, samples: np.ndarray) -> dict[str, Image]:
    return {'': drawn.symbols(samples)}

  @property
  def boundary(self) -> float | None:
    return 0.0

  def logits(self, tokens: jax.Array) -> jax.Array:
    """D's logits (B,) of tokens (B, T)."""
    return self.discriminator(tokens.astype(jnp.int32), train=False)

  def log_likelihood(self, tokens: jax.Array) -> jax.Array:
    """G's log p (B, T) of each of the tokens (B, T). For the metric `likelihood`."""
    return self.generator.log_likelihood(tokens.astype(jnp.int32))
