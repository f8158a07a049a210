r"""Policy gradient, for examples that are drawn in steps and have no gradient, such as sequences of symbols."""

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision


def policy_gradient(log_likelihoods: jax.Array, rewards: jax.Array, *, baseline: bool = True) -> jax.Array:
  r"""$-E[\sum_t (Q_t - b_t) \log p_t]$, whose gradient is that of the mean reward with the sign changed (REINFORCE).

  The baseline $b_t$ is the mean reward of the other examples at the same place: it takes noise from the gradient and
  does not bias it. Rewards carry no gradient.
  Source: Williams 1992, https://doi.org/10.1007/BF00992696; Yu et al. 2017, https://arxiv.org/abs/1609.05473,
  equation 7.

  Args:
    log_likelihoods: (B, T), log p of what was drawn in each step.
    rewards: (B, T), what each step is worth.
    baseline: whether to take the baseline off; it needs two examples.

  Raises:
    AssertionError: the shapes differ or have another rank.
    UserError: a baseline of one example alone.

  >>> float(policy_gradient(jnp.array([[-1.0], [-2.0]]), jnp.array([[1.0], [0.0]])))  # ((1 - 0) 1 + (0 - 1) 2) / 2
  -0.5
  """
  chex.assert_rank(log_likelihoods, 2)
  chex.assert_equal_shape([log_likelihoods, rewards])
  worth = jax.lax.stop_gradient(full_precision(rewards))
  if baseline:
    count = len(worth)
    if count < 2:
      raise UserError('a baseline of rewards needs two examples: raise batch_size, or set game.baseline to False')
    worth = (worth - worth.mean(0, keepdims=True)) * (count / (count - 1))
  return -jnp.mean(jnp.sum(worth * full_precision(log_likelihoods), 1))
