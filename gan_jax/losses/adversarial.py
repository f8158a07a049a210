r"""Adversarial losses: pairs of pure functions on logits.

Every loss is an `AdversarialLoss(discriminator, generator)`; both are minimised. Logits are what the
discriminator returns before any sigmoid, real and fake from separate passes, of any shape
(one per example, or one per patch); `two_way_softmax` takes pairs of logits on the last axis.
With $D = \sigma(\text{logit})$, $\log D = -\text{softplus}(-\text{logit})$ and
$\log(1 - D) = -\text{softplus}(\text{logit})$, which stay finite where `log(sigmoid(x))` does not.

All functions return a scalar, float32 or wider, and raise `AssertionError` when the ranks of real and
fake logits differ: (B,) against (B, 1) is the classic silent bug of GAN code.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class AdversarialLoss(NamedTuple):
  """What the discriminator and the generator minimise.

  >>> loss = hinge.discriminator(jnp.array([2.0, 0.0]), jnp.array([-1.0, 1.0]))
  >>> float(loss)  # (0 + 1) / 2 + (0 + 2) / 2
  1.5
  """

  discriminator: Callable[[jax.Array, jax.Array], jax.Array]
  generator: Callable[[jax.Array], jax.Array]


def _wide(logits: jax.Array) -> jax.Array:
  logits = jnp.asarray(logits)
  return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _wide_pair(real_logits: jax.Array, fake_logits: jax.Array) -> tuple[jax.Array, jax.Array]:
  chex.assert_equal_rank([real_logits, fake_logits])
  return _wide(real_logits), _wide(fake_logits)


def value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  r"""The value of the two-player game, $E[\log D(x)] + E[\log(1 - D(G(z)))]$.

  The discriminator ascends it, the generator descends it; at $D = 1/2$ it is $-\log 4$.
  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, eq. 1.

  Args:
    real_logits: the discriminator's logits on data, any shape.
    fake_logits: its logits on generated examples, of the same rank.

  Returns:
    A scalar.

  >>> round(float(value(jnp.zeros(4), jnp.zeros(4))), 4)
  -1.3863
  """
  real_logits, fake_logits = _wide_pair(real_logits, fake_logits)
  return -jnp.mean(jax.nn.softplus(-real_logits)) - jnp.mean(jax.nn.softplus(fake_logits))


def generator_value(fake_logits: jax.Array) -> jax.Array:
  r"""The part of `value` that the generator moves, $E[\log(1 - D(G(z)))]$.

  >>> round(float(generator_value(jnp.zeros(4))), 4)
  -0.6931
  """
  return -jnp.mean(jax.nn.softplus(_wide(fake_logits)))


def _negative_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  return -value(real_logits, fake_logits)


def _nonsaturating_generator(fake_logits: jax.Array) -> jax.Array:
  return jnp.mean(jax.nn.softplus(-_wide(fake_logits)))


def _least_squares_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  real_logits, fake_logits = _wide_pair(real_logits, fake_logits)
  return 0.5 * jnp.mean((real_logits - 1.0) ** 2) + 0.5 * jnp.mean(fake_logits**2)


def _least_squares_generator(fake_logits: jax.Array) -> jax.Array:
  return 0.5 * jnp.mean((_wide(fake_logits) - 1.0) ** 2)


def _wasserstein_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  real_logits, fake_logits = _wide_pair(real_logits, fake_logits)
  return jnp.mean(fake_logits) - jnp.mean(real_logits)


def _negative_mean(fake_logits: jax.Array) -> jax.Array:
  return -jnp.mean(_wide(fake_logits))


def _hinge_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  real_logits, fake_logits = _wide_pair(real_logits, fake_logits)
  return jnp.mean(jax.nn.relu(1.0 - real_logits)) + jnp.mean(jax.nn.relu(1.0 + fake_logits))


def _log_odds(logits: jax.Array) -> jax.Array:
  chex.assert_axis_dimension(logits, -1, 2)
  return logits[..., 1] - logits[..., 0]


def _two_way_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
  chex.assert_equal_rank([real_logits, fake_logits])
  return _negative_value(_log_odds(_wide(real_logits)), _log_odds(_wide(fake_logits)))


def _two_way_generator(fake_logits: jax.Array) -> jax.Array:
  return _nonsaturating_generator(_log_odds(_wide(fake_logits)))


#: The saturating game: both players share `value`. Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, eq. 1.
minimax = AdversarialLoss(_negative_value, generator_value)

#: The generator minimises -E[log D(G(z))]: the same fixed point, gradients that do not vanish where D is
#: sure of the fake. Goodfellow et al. 2014, section 3.
nonsaturating = AdversarialLoss(_negative_value, _nonsaturating_generator)

#: 1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2] and 1/2 E[(D(G(z)) - 1)^2] on raw logits: targets a = 0, b = c = 1.
#: Mao et al. 2017, https://arxiv.org/abs/1611.04076, eq. 9.
least_squares = AdversarialLoss(_least_squares_discriminator, _least_squares_generator)

#: The critic's difference of means. Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, eq. 2-3; the critic
#: must be kept Lipschitz by a penalty, spectral norm or `minimax.clip_weights`.
wasserstein = AdversarialLoss(_wasserstein_discriminator, _negative_mean)

#: E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] and -E[D(G(z))]. Lim and Ye 2017,
#: https://arxiv.org/abs/1705.02894; Miyato et al. 2018, https://arxiv.org/abs/1802.05957, eq. 16-17.
hinge = AdversarialLoss(_hinge_discriminator, _negative_mean)

#: Cross-entropy of a softmax over (fake, real), logits of shape (..., 2), class 1 = real. A head with one
#: redundant direction: it equals `nonsaturating` on the difference of the two logits.
two_way_softmax = AdversarialLoss(_two_way_discriminator, _two_way_generator)
