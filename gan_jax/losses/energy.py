r"""Losses on energies: discriminators that give an energy (a reconstruction error) instead of a logit."""

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision


def energy_discriminator(real_energy: jax.Array, fake_energy: jax.Array, *, margin: float) -> jax.Array:
  r"""Pushes the energy down on data, and up to a margin on fakes: $E[D(x)] + E[\max(0, m - D(G(z)))]$.

  Source: Zhao et al. 2016, https://arxiv.org/abs/1609.03126, eq. 1.

  Args:
    real_energy: energies of data, not negative, any shape.
    fake_energy: energies of generated examples, of the same rank.
    margin: m, positive.

  >>> float(energy_discriminator(jnp.array([1.0, 3.0]), jnp.array([4.0, 20.0]), margin=10.0))
  5.0
  """
  chex.assert_equal_rank([real_energy, fake_energy])
  return jnp.mean(full_precision(real_energy)) + jnp.mean(jax.nn.relu(margin - full_precision(fake_energy)))


def energy_generator(fake_energy: jax.Array) -> jax.Array:
  """The mean energy of generated examples. Source: Zhao et al. 2016, eq. 2.

  >>> float(energy_generator(jnp.array([4.0, 20.0])))
  12.0
  """
  return jnp.mean(full_precision(fake_energy))


def pulling_away(features: jax.Array) -> jax.Array:
  r"""The mean squared cosine between features of two examples: $\frac{1}{B(B-1)} \sum_{i \ne j} \cos^2(s_i, s_j)$.

  Source: Zhao et al. 2016, https://arxiv.org/abs/1609.03126, section 2.4.

  Args:
    features: (B, n), B at least 2.

  >>> float(pulling_away(jnp.array([[1.0, 0.0], [0.0, 2.0]])))
  0.0
  """
  chex.assert_rank(features, 2)
  count = features.shape[0]
  if count < 2:
    raise ValueError(f'pulling_away compares examples with each other: give at least 2, not {count}')
  features = full_precision(features)
  # Cosines do not change with sizes, but the square of a small or a large one leaves float32.
  sizes = jax.lax.stop_gradient(jnp.max(jnp.abs(features), -1, keepdims=True))
  features = features / jnp.where(sizes > 0, sizes, 1.0)
  squares = jnp.sum(features**2, -1, keepdims=True)
  # The norm's gradient at 0 is not finite; a zero vector gets cosine 0 with every other.
  unit = features * jax.lax.rsqrt(jnp.where(squares > 0, squares, 1.0))
  cosines = unit @ unit.T
  return (jnp.sum(cosines**2) - jnp.sum(jnp.diagonal(cosines) ** 2)) / (count * (count - 1))


def began_discriminator(real_error: jax.Array, fake_error: jax.Array, k: jax.Array | float) -> jax.Array:
  r"""The discriminator's loss of BEGAN, $L(x) - k_t L(G(z))$, with the auto-encoder's errors L.

  Source: Berthelot et al. 2017, https://arxiv.org/abs/1703.10717, section 3.4.

  Args:
    real_error: errors on data, any shape.
    fake_error: errors on generated examples.
    k: weight of the fakes' error, in [0, 1].

  >>> float(began_discriminator(jnp.array([2.0]), jnp.array([4.0]), 0.25))
  1.0
  """
  return jnp.mean(full_precision(real_error)) - k * jnp.mean(full_precision(fake_error))


def began_balance(
  k: jax.Array | float, real_error: jax.Array, fake_error: jax.Array, *, gamma: float = 0.5, gain: float = 0.001
) -> jax.Array:
  r"""The next weight k of BEGAN, $k_{t+1} = k_t + \lambda (\gamma L(x) - L(G(z)))$, clipped to [0, 1].

  Source: Berthelot et al. 2017, https://arxiv.org/abs/1703.10717, section 3.4 and (for the bounds) the text below.

  Args:
    k: the weight now, a scalar.
    real_error: errors on data.
    fake_error: errors on generated examples, computed in the generator's move.
    gamma: the diversity ratio, in [0, 1].
    gain: lambda, the step size of k.

  >>> round(float(began_balance(0.5, jnp.array([2.0]), jnp.array([0.5]), gain=0.1)), 4)
  0.55
  """
  surplus = gamma * jnp.mean(full_precision(real_error)) - jnp.mean(full_precision(fake_error))
  return jnp.clip(k + gain * surplus, 0.0, 1.0)


def began_measure(real_error: jax.Array, fake_error: jax.Array, *, gamma: float = 0.5) -> jax.Array:
  r"""BEGAN's measure of convergence, $L(x) + |\gamma L(x) - L(G(z))|$; lower is better.

  Source: Berthelot et al. 2017, https://arxiv.org/abs/1703.10717, section 3.4.1.

  >>> float(began_measure(jnp.array([2.0]), jnp.array([0.5])))
  2.5
  """
  real_error = jnp.mean(full_precision(real_error))
  return real_error + jnp.abs(gamma * real_error - jnp.mean(full_precision(fake_error)))
