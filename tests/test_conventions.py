"""What docs/library.md says of numbers that mean something else in well-known code: both sides computed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gan_jax.games.penalties import GradientPenalty
from gan_jax.nets.minibatch import MinibatchDiscrimination
from gan_jax.nets.weights import power_iteration

from gan_jax import losses, minimax
from gan_jax.losses import penalties
from gan_jax.nets.layers import BatchNorm

RANDOM = np.random.RandomState(0)


def unit(x):
  return x / np.linalg.norm(x)


def test_sigma_is_half_an_iteration_further():
  w, u = RANDOM.randn(5, 3), RANDOM.randn(3)  # (in, out)
  v = unit(w @ u)
  theirs, new = np.linalg.norm(w.T @ v), unit(w.T @ v)
  value, ours = power_iteration(jnp.asarray(w, jnp.float32), jnp.asarray(u, jnp.float32))
  np.testing.assert_allclose(ours, new, rtol=1e-5)
  assert theirs < float(value) == pytest.approx(np.linalg.norm(w @ new), rel=1e-5)


def test_relativistic_averages_are_twice_the_authors():
  real, fake = RANDOM.randn(6).astype(np.float32), RANDOM.randn(6).astype(np.float32)
  softplus = lambda x: np.log1p(np.exp(x))
  theirs = (softplus(-(real - fake.mean())).mean() + softplus(fake - real.mean()).mean()) / 2
  assert float(losses.relativistic_average.discriminator(real, fake)) == pytest.approx(2 * theirs, rel=1e-5)
  hinge = (np.maximum(0, 1 - (real - fake.mean())).mean() + np.maximum(0, 1 + fake - real.mean()).mean()) / 2
  assert float(losses.relativistic_average_hinge.discriminator(real, fake)) == pytest.approx(2 * hinge, rel=1e-5)


def test_orthogonal_regularisation_is_twice_the_authors():
  kernel = RANDOM.randn(5, 3).astype(np.float32)
  w = kernel.T  # there (out, in)
  theirs = 2 * (w @ w.T * (1 - np.eye(3))) @ w
  tx, params = minimax.orthogonal(0.5), {'kernel': jnp.asarray(kernel)}
  ours = tx.update({'kernel': jnp.zeros((5, 3))}, tx.init(params), params)[0]['kernel']
  np.testing.assert_allclose(ours, theirs.T, rtol=1e-4, atol=1e-5)  # strength 1 there is weight 0.5 here


def test_minibatch_discrimination_counts_the_example_itself():
  x, layer = RANDOM.randn(4, 6).astype(np.float32), MinibatchDiscrimination(2, 3)
  variables = layer.init(jax.random.key(0), x)
  kernel = np.asarray(variables['params']['project']['weights']['kernel'])
  rows = (x @ kernel).reshape(4, 2, 3)
  distances = np.abs(rows[:, None] - rows[None]).sum(-1) + 1e6 * np.eye(4)[:, :, None]
  theirs = np.exp(-distances).sum(1) - 1  # its bias
  np.testing.assert_allclose(layer.apply(variables, x)[:, 6:], theirs + 2, rtol=1e-4)


def test_path_length_sums_over_layers_and_holds_its_mean():
  gradients = jnp.asarray(RANDOM.randn(3, 4, 5), jnp.float32)  # 4 layers
  theirs = np.sqrt(np.square(gradients).sum(2).mean(1))
  _, average = penalties.path_length(gradients, 0.0, decay=1.0)
  assert float(average) == pytest.approx(2 * theirs.mean(), rel=1e-5)
  scale = lambda s, decay: penalties.path_length(s * gradients, 1.0, decay=decay)[0]
  lengths = 2 * theirs
  held = 2 * np.mean((lengths - (0.5 + 0.5 * lengths.mean())) * lengths)
  assert float(jax.grad(scale)(1.0, 0.5)) == pytest.approx(held, rel=1e-4)


def test_r1_and_gradient_penalty_against_reg_param():
  gradients = jnp.asarray(RANDOM.randn(3, 4), jnp.float32)
  theirs = 10.0 * float((gradients**2).sum(1).mean())  # GAN_stability's reg_param
  settings = GradientPenalty(weight=10.0, at='real', target=0.0)
  of_game = settings.weight * penalties.gradient_penalty(gradients, target=settings.target)
  assert float(of_game) == pytest.approx(theirs, rel=1e-5)
  assert float(20.0 * penalties.r1(gradients)) == pytest.approx(theirs, rel=1e-5)


def test_epsilon_of_adam():
  rate, b1, b2, eps, g = 0.1, 0.5, 0.9, 0.3, 2.0
  m, v = (1 - b1) * g, (1 - b2) * g * g
  step = lambda eps: -rate * (m / (1 - b1)) / (np.sqrt(v / (1 - b2)) + eps)
  tensorflow = -rate * np.sqrt(1 - b2) / (1 - b1) * m / (np.sqrt(v) + eps)
  adam = optax.adam(rate, b1, b2, eps)
  update = float(adam.update(jnp.asarray(g), adam.init(jnp.zeros(())))[0])
  assert update == pytest.approx(step(eps), rel=1e-5)
  assert tensorflow == pytest.approx(step(eps / np.sqrt(1 - b2)), rel=1e-5)


def test_half_losses():
  real, fake = jnp.array([2.0, 0.5]), jnp.array([-1.0, 1.0])
  mse = lambda x, target: float(jnp.mean((x - target) ** 2))
  assert float(losses.least_squares.generator(fake)) == pytest.approx(0.5 * mse(fake, 1))
  assert float(losses.least_squares.discriminator(real, fake)) == pytest.approx(0.5 * (mse(real, 1) + mse(fake, 0)))
  entropy = float(jnp.mean(jnp.log1p(jnp.exp(-real))) + jnp.mean(jnp.log1p(jnp.exp(fake))))
  assert float(losses.nonsaturating.discriminator(real, fake)) == pytest.approx(entropy, rel=1e-5)


def test_running_variances_divide_by_n():
  x, layer = RANDOM.randn(5, 2).astype(np.float32), BatchNorm(momentum=0.9)
  variables = layer.init(jax.random.key(0), x, train=True)
  written = layer.apply(variables, x, train=True, mutable=['batch_stats'])[1]['batch_stats']['norm']
  np.testing.assert_allclose(written['mean'], 0.1 * x.mean(0), rtol=1e-5)
  np.testing.assert_allclose(written['var'], 0.9 + 0.1 * x.var(0), rtol=1e-5)
