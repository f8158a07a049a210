r"""Combines the losses of one generator against several discriminators into one loss.

Source: Durugkar et al. 2016 (GMAN), https://arxiv.org/abs/1611.01673, section 3.
"""

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision


def mean_of(losses: jax.Array) -> jax.Array:
  r"""The mean loss over the discriminators. Source: GMAN, section 3.2, $\lambda = 0$.

  Args:
    losses: (N,), the generator's loss against each discriminator.

  >>> float(mean_of(jnp.array([1.0, 3.0])))
  2.0
  """
  losses = jnp.asarray(losses)
  chex.assert_rank(losses, 1)
  return jnp.mean(full_precision(losses))


def hardest_of(losses: jax.Array) -> jax.Array:
  r"""The loss against the best discriminator. Source: GMAN, section 3.1, $\lambda \to \infty$.

  >>> float(hardest_of(jnp.array([1.0, 3.0])))
  3.0
  """
  losses = jnp.asarray(losses)
  chex.assert_rank(losses, 1)
  return jnp.max(full_precision(losses))


def softmax_of(losses: jax.Array, strength: jax.Array | float) -> jax.Array:
  r"""The weighted mean $\sum_i w_i L_i$ with $w = softmax(\lambda L)$; the weights carry no gradient.

  Source: GMAN, https://arxiv.org/abs/1611.01673, section 3.2 and appendix A.6 (arithmetic mean).
  differs: the weights carry no gradient, so that a larger loss always pulls harder.

  Args:
    losses: (N,).
    strength: lambda, at least 0; with 0 it equals `mean_of`, with infinity the loss of the hardest.

  >>> round(float(softmax_of(jnp.array([0.0, 1.0]), 0.0)), 4), round(float(softmax_of(jnp.array([0.0, 1.0]), 99.0)), 4)
  (0.5, 1.0)
  """
  losses = jnp.asarray(losses)
  chex.assert_rank(losses, 1)
  losses = full_precision(losses)
  below = losses - jnp.max(losses)
  scaled = jnp.where(below == 0, 0.0, strength * below)  # infinity times 0 would be NaN
  return jnp.sum(jax.lax.stop_gradient(jax.nn.softmax(scaled)) * losses)


def learned_softmax_of(losses: jax.Array, raw_strength: jax.Array, *, reward: float = 0.001) -> jax.Array:
  r"""`softmax_of` with a strength that the generator learns: $F(L, \lambda) - c \lambda$, $\lambda = softplus(raw)$.

  Without a reward the generator would learn $\lambda = 0$, the easiest mixture. The reward c favours a larger strength.
  Source: GMAN* of https://arxiv.org/abs/1611.01673, section 3.3.
  differs: softplus keeps lambda positive.

  Args:
    losses: (N,).
    raw_strength: a scalar parameter of the generator.
    reward: c, the gain for a larger strength.

  >>> strength = jnp.float32(0.0)
  >>> bool(jax.grad(learned_softmax_of, argnums=1)(jnp.ones(3), strength) < 0)  # equal losses: only the reward counts
  True
  """
  losses = jnp.asarray(losses)
  chex.assert_rank([losses, raw_strength], [1, 0])
  losses, strength = full_precision(losses), jax.nn.softplus(full_precision(raw_strength))
  weights = jax.nn.softmax(strength * jax.lax.stop_gradient(losses))
  return jnp.sum(weights * losses) - reward * strength


def boosted_weights(margins: jax.Array, *, rate: float = 1.0) -> jax.Array:
  r"""Online boosting: discriminator i gives more weight to the examples that the discriminators before it got wrong.

  $w \propto \exp(-\eta \sum_{j < i} m_j)$ per example, with mean 1; the margin m_j is positive where discriminator j
  is right.
  Source: GMAN, https://arxiv.org/abs/1611.01673, section 3.1 (boosting variant); the weights of AdaBoost.

  Args:
    margins: (N, B) signed logits, positive where the discriminator is right.
    rate: eta, how strongly the weights follow the margins.

  Returns:
    (N, B), the `real_weights` or `fake_weights` of each discriminator's loss. The weights of the first are 1.

  >>> boosted_weights(jnp.array([[0.0, jnp.log(3.0)], [0.0, 0.0]])).round(4).tolist()
  [[1.0, 1.0], [1.5, 0.5]]
  """
  margins = jnp.asarray(margins)
  chex.assert_rank(margins, 2)
  margins = full_precision(margins)
  before = jnp.cumsum(margins, 0) - margins
  return jax.lax.stop_gradient(jax.nn.softmax(-rate * before, -1) * margins.shape[1])
