"""Adversarial losses against numbers worked out by hand and in numpy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax import softmax_cross_entropy_with_integer_labels

from gan_jax import losses

REAL, FAKE = np.array([2.0, -1.0, 0.5]), np.array([-3.0, 1.0, 0.0])


def log_d(logits):
  return np.log(1 / (1 + np.exp(-np.asarray(logits, np.float64))))


def log_not_d(logits):
  return np.log(1 - 1 / (1 + np.exp(-np.asarray(logits, np.float64))))


# name, discriminator's loss, generator's loss, in numpy from the papers' equations
TABLE = [
  ('minimax', lambda r, f: -log_d(r).mean() - log_not_d(f).mean(), lambda f: log_not_d(f).mean()),
  ('nonsaturating', lambda r, f: -log_d(r).mean() - log_not_d(f).mean(), lambda f: -log_d(f).mean()),
  ('least_squares', lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, lambda f: ((f - 1) ** 2).mean() / 2),
  ('wasserstein', lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
  (
    'hinge',
    lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
    lambda f: -f.mean(),
  ),
]
NAMES = [name for name, _, _ in TABLE]


@pytest.mark.parametrize(('name', 'discriminator', 'generator'), TABLE, ids=NAMES)
@pytest.mark.parametrize('inputs', [(REAL, FAKE), (-2 * FAKE, REAL + 1)], ids=['first', 'second'])
def test_values(name, discriminator, generator, inputs):
  real, fake = inputs
  pair = getattr(losses, name)
  np.testing.assert_allclose(pair.discriminator(real, fake), discriminator(real, fake), rtol=1e-6)
  np.testing.assert_allclose(pair.generator(fake), generator(fake), rtol=1e-6)
  patches = pair.discriminator(real.reshape(3, 1, 1), fake.reshape(3, 1, 1))
  np.testing.assert_allclose(patches, discriminator(real, fake), rtol=1e-6)


def test_hinge_by_hand():
  # real 2, -1, 0.5 -> 0, 2, 0.5; fake -3, 1, 0 -> 0, 2, 1
  np.testing.assert_allclose(losses.hinge.discriminator(REAL, FAKE), 2.5 / 3 + 3 / 3, rtol=1e-6)
  np.testing.assert_allclose(losses.least_squares.discriminator(REAL, FAKE), (1 + 4 + 0.25) / 6 + 10 / 6, rtol=1e-6)


@pytest.mark.parametrize('name', [*NAMES, 'two_way_softmax'])
def test_gradients_against_finite_differences(name):
  pair = getattr(losses, name)
  real, fake = (np.stack([0 * x, x], -1) if name == 'two_way_softmax' else x for x in (REAL + 0.1, FAKE + 0.1))
  with jax.enable_x64(True):
    for function, inputs in ((pair.discriminator, (real, fake)), (pair.generator, (fake,))):
      for argument, x in enumerate(inputs):
        gradient = jax.grad(function, argument)(*map(jnp.asarray, inputs))
        for index in np.ndindex(*x.shape):
          step = np.zeros_like(x)
          step[index] = 1e-6
          up, down = ([*inputs[:argument], x + sign * step, *inputs[argument + 1 :]] for sign in (1, -1))
          np.testing.assert_allclose(gradient[index], (function(*up) - function(*down)) / 2e-6, atol=1e-7)


@pytest.mark.parametrize('name', NAMES)
def test_finite_far_out_and_wide_enough(name):
  pair = getattr(losses, name)
  far = jnp.array([1e4, -1e4], jnp.bfloat16)
  for function, inputs in ((pair.discriminator, (far, -far)), (pair.generator, (far,))):
    value, gradient = jax.value_and_grad(function)(*inputs)
    assert value.dtype == jnp.float32 and value.shape == ()
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


@pytest.mark.parametrize('name', [*NAMES, 'two_way_softmax'])
def test_a_rank_mismatch_raises(name):
  with pytest.raises(AssertionError):
    getattr(losses, name).discriminator(jnp.zeros((4, 2)), jnp.zeros((4, 2, 1)))
  with pytest.raises(AssertionError):
    losses.value(jnp.zeros((4,)), jnp.zeros((4, 1)))


def test_two_way_softmax_is_cross_entropy():
  real, fake = np.random.RandomState(0).randn(2, 5, 2).astype(np.float32)
  ones, zeros = np.ones(5, int), np.zeros(5, int)
  expected = softmax_cross_entropy_with_integer_labels(real, ones).mean()
  expected += softmax_cross_entropy_with_integer_labels(fake, zeros).mean()
  np.testing.assert_allclose(losses.two_way_softmax.discriminator(real, fake), expected, rtol=1e-6)
  generator = softmax_cross_entropy_with_integer_labels(fake, ones).mean()
  np.testing.assert_allclose(losses.two_way_softmax.generator(fake), generator, rtol=1e-6)
  with pytest.raises(AssertionError):
    losses.two_way_softmax.generator(jnp.zeros((4, 3)))


def test_value_at_one_half_is_minus_log_four():
  np.testing.assert_allclose(losses.value(jnp.zeros(7), jnp.zeros(3)), -np.log(4), rtol=1e-6)
  np.testing.assert_allclose(losses.generator_value(jnp.zeros(3)), -np.log(2), rtol=1e-6)


def test_the_generators_gradient_where_the_discriminator_is_sure():
  slope = lambda name: float(jax.grad(getattr(losses, name).generator)(jnp.array([-20.0]))[0])
  assert abs(slope('minimax')) < 1e-6  # saturates
  assert abs(slope('nonsaturating') + 1) < 1e-6


def test_optimal_discriminator_of_two_gaussians():
  """Training the logit of every point of a line finds D* = p / (p + q)."""
  x = np.linspace(-3, 4, 141)
  p, q = (np.exp(-((x - mean) ** 2) / 2) for mean in (0.0, 1.0))

  counts_p, counts_q = (np.round(1000 * w / w.sum()).astype(int) for w in (p, q))
  real, fake = np.repeat(np.arange(len(x)), counts_p), np.repeat(np.arange(len(x)), counts_q)
  gradient = jax.jit(jax.grad(lambda logits: losses.minimax.discriminator(logits[real], logits[fake])))
  logits = np.zeros(len(x))
  for _ in range(400):
    logits = logits - 100 * np.asarray(gradient(jnp.asarray(logits)), np.float64)
  seen = (counts_p > 5) & (counts_q > 5)
  found = 1 / (1 + np.exp(-logits))
  np.testing.assert_allclose(found[seen], counts_p[seen] / (counts_p + counts_q)[seen], atol=1e-2)
  np.testing.assert_allclose(found[seen], (p / (p + q))[seen], atol=0.06)
