r"""Losses that compare examples with their targets or their reconstructions."""

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision


def absolute_error(a: jax.Array, b: jax.Array) -> jax.Array:
  r"""$E[|a - b|]$: cycle consistency, identity and reconstruction losses.

  Source: Zhu et al. 2017 (CycleGAN), https://arxiv.org/abs/1703.10593, eq. 2 and section 5.2; StarGAN, eq. 4.

  Args:
    a: any shape.
    b: the same shape.

  >>> float(absolute_error(jnp.array([1.0, -1.0]), jnp.array([1.0, 1.0])))
  1.0
  """
  chex.assert_equal_shape([a, b])
  return jnp.mean(jnp.abs(full_precision(a) - full_precision(b)))


def squared_error(a: jax.Array, b: jax.Array) -> jax.Array:
  r"""$E[(a - b)^2]$: the reconstruction loss of DiscoGAN.

  Source: Kim et al. 2017, https://arxiv.org/abs/1703.05192, eq. 3.

  >>> float(squared_error(jnp.array([1.0, -1.0]), jnp.array([1.0, 1.0])))
  2.0
  """
  chex.assert_equal_shape([a, b])
  return jnp.mean((full_precision(a) - full_precision(b)) ** 2)


def cycle(
  a: jax.Array, a_again: jax.Array, b: jax.Array, b_again: jax.Array, *, a_weight: float = 10.0, b_weight: float = 10.0
) -> jax.Array:
  r"""The cycle-consistency loss, $\lambda_a E[|F(G(a)) - a|] + \lambda_b E[|G(F(b)) - b|]$.

  Source: Zhu et al. 2017 (CycleGAN), https://arxiv.org/abs/1703.10593, eq. 2, with the weights of eq. 3.

  Args:
    a: examples of domain a.
    a_again: the same examples after a round trip, F(G(a)).
    b: examples of domain b.
    b_again: the same examples after a round trip, G(F(b)).
    a_weight: lambda_a.
    b_weight: lambda_b.

  >>> x = jnp.zeros(2)
  >>> float(cycle(x, x + 1, x, x + 2))
  30.0
  """
  return a_weight * absolute_error(a, a_again) + b_weight * absolute_error(b, b_again)


def conditioning_kl(code_mean: jax.Array, code_log_stddev: jax.Array) -> jax.Array:
  r"""The KL divergence of N(mean, stddev^2) from N(0, 1), summed over dimensions, averaged over the batch.

  Source: Zhang et al. 2016 (StackGAN), https://arxiv.org/abs/1612.03242, eq. 2: conditioning augmentation.
  differs: the authors' code averages over dimensions, the equation sums.

  Args:
    code_mean: (B, n).
    code_log_stddev: (B, n).

  >>> float(conditioning_kl(jnp.array([[1.0, 0.0]]), jnp.zeros((1, 2))))
  0.5
  """
  chex.assert_rank([code_mean, code_log_stddev], 2)
  chex.assert_equal_shape([code_mean, code_log_stddev])
  m, log_s = full_precision(code_mean), full_precision(code_log_stddev)
  return jnp.mean(jnp.sum(0.5 * (m**2 + jnp.exp(2 * log_s) - 1) - log_s, -1))
