"""Every loss and penalty against the papers' equations in numpy float64, on inputs worked out by hand or drawn."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax import softmax_cross_entropy_with_integer_labels
from precision import float64
from scipy import special, stats

from gan_jax import losses
from gan_jax.losses import energy, ensembles, features, information, labels, penalties, policy, reconstruction

REAL, FAKE = np.array([2.0, -1.0, 0.5]), np.array([-3.0, 1.0, 0.0])
OTHER = (-2 * FAKE + 0.3, REAL + 1.2)

log_d, log_not_d = special.log_expit, lambda x: special.log_expit(-x)
square, above = (lambda x: x**2), (lambda x: np.maximum(0, x))
average = lambda x, w=None: np.average(x, weights=None if w is None else np.broadcast_to(w, np.shape(x)))


def separable(real, fake, fooled):
  return (
    lambda r, f, wr=None, wf=None: average(real(r), wr) + average(fake(f), wf),
    lambda f, r=None, wr=None, wf=None: average(fooled(f), wf),
  )


def paired(real):
  both = lambda a, b: 1.0 * (1 if a is None else a) * (1 if b is None else b)
  one = lambda high, low, wa, wb: average(real(high - low), both(wa, wb) * np.ones_like(high))
  return (lambda r, f, wr=None, wf=None: one(r, f, wr, wf), lambda f, r, wr=None, wf=None: one(f, r, wf, wr))


def against_means(real, fake):
  one = lambda a, b, wa, wb: average(real(a - average(b, wb)), wa) + average(fake(b - average(a, wa)), wb)
  return (lambda r, f, wr=None, wf=None: one(r, f, wr, wf), lambda f, r, wr=None, wf=None: one(f, r, wf, wr))


hinge_real, hinge_fake = (lambda x: above(1 - x)), (lambda x: above(1 + x))
# name -> (discriminator, generator), in numpy from the equations
ADVERSARIAL = {
  'minimax': separable(lambda x: -log_d(x), lambda x: -log_not_d(x), log_not_d),
  'nonsaturating': separable(lambda x: -log_d(x), lambda x: -log_not_d(x), lambda x: -log_d(x)),
  'least_squares': separable(lambda x: square(x - 1) / 2, lambda x: square(x) / 2, lambda x: square(x - 1) / 2),
  'wasserstein': separable(lambda x: -x, lambda x: x, lambda x: -x),
  'hinge': separable(hinge_real, hinge_fake, lambda x: -x),
  'relativistic': paired(lambda x: -log_d(x)),
  'relativistic_least_squares': paired(lambda x: square(x - 1)),
  'relativistic_hinge': paired(hinge_real),
  'relativistic_average': against_means(lambda x: -log_d(x), lambda x: -log_not_d(x)),
  'relativistic_average_least_squares': against_means(lambda x: square(x - 1), lambda x: square(x + 1)),
  'relativistic_average_hinge': against_means(hinge_real, hinge_fake),
}
NAMES = list(ADVERSARIAL)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('inputs', [(REAL, FAKE), OTHER], ids=['first', 'second'])
def test_adversarial_values(name, inputs):
  real, fake = inputs
  # Of large terms that cancel, the rounding of float32 is left.
  close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6)
  pair, (discriminator, generator) = getattr(losses, name), ADVERSARIAL[name]
  close(pair.discriminator(real, fake), discriminator(real, fake))
  close(pair.generator(fake, real), generator(fake, real))
  patches = pair.discriminator(real.reshape(3, 1, 1), fake.reshape(3, 1, 1))
  close(patches, discriminator(real, fake))
  for wr, wf in ((np.array([1.0, 0.0, 3.0]), None), (np.array([2.0, 1.0, 1.0]), np.array([0.5, 0.5, 4.0]))):
    weights = dict(real_weights=wr, fake_weights=wf)
    close(pair.discriminator(real, fake, **weights), discriminator(real, fake, wr, wf))
    close(pair.generator(fake, real, **weights), generator(fake, real, wr, wf))
  if pair.relativistic:
    with pytest.raises(TypeError, match='real_logits'):
      pair.generator(fake)
  else:
    close(pair.generator(fake), generator(fake))


def test_adversarial_values_by_hand():
  # real 2, -1, 0.5 -> 0, 2, 0.5; fake -3, 1, 0 -> 0, 2, 1
  np.testing.assert_allclose(losses.hinge.discriminator(REAL, FAKE), 2.5 / 3 + 3 / 3, rtol=1e-6)
  np.testing.assert_allclose(losses.least_squares.discriminator(REAL, FAKE), (1 + 4 + 0.25) / 6 + 10 / 6, rtol=1e-6)
  # differences 5, -2, 0.5
  np.testing.assert_allclose(losses.relativistic_hinge.discriminator(REAL, FAKE), (0 + 3 + 0.5) / 3, rtol=1e-6)
  np.testing.assert_allclose(
    losses.relativistic_least_squares.discriminator(REAL, FAKE), (16 + 9 + 0.25) / 3, rtol=1e-6
  )
  # targets -1, 1, 0: real (1, 4, 0.25) / 2, fake (4, 4, 1) / 2; generator (9, 1, 0) / 2
  pair = losses.targets(-1.0, 1.0, 0.0)
  np.testing.assert_allclose(pair.discriminator(REAL, FAKE), 5.25 / 6 + 9 / 6, rtol=1e-6)
  np.testing.assert_allclose(pair.generator(FAKE), 10 / 6, rtol=1e-6)


def test_smoothed_targets():
  pair = losses.smoothed(0.9)
  expected = -(0.9 * log_d(REAL) + 0.1 * log_not_d(REAL)).mean() - log_not_d(FAKE).mean()
  np.testing.assert_allclose(pair.discriminator(REAL, FAKE), expected, rtol=1e-6)
  np.testing.assert_allclose(pair.generator(FAKE), -log_d(FAKE).mean(), rtol=1e-6)
  both = losses.smoothed(0.8, 0.1).discriminator(REAL, FAKE)
  expected = -(0.8 * log_d(REAL) + 0.2 * log_not_d(REAL)).mean() - (0.1 * log_d(FAKE) + 0.9 * log_not_d(FAKE)).mean()
  np.testing.assert_allclose(both, expected, rtol=1e-6)
  with pytest.raises(ValueError, match='0 <= fake < real <= 1'):
    losses.smoothed(1.1)


def test_flipping_exchanges_a_share():
  real, fake = losses.flip(jax.random.key(0), 0.25, jnp.ones((4000, 2)), jnp.zeros((4000, 2)))
  np.testing.assert_array_equal(real + fake, 1)
  np.testing.assert_array_equal(real[:, 0], real[:, 1])
  assert abs(float(real.mean()) - 0.75) < 0.03


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


class Case(NamedTuple):
  """A function of arrays, inputs, and the same in numpy; `integers` and `fixed` are arguments without a gradient."""

  function: Callable
  inputs: tuple
  expected: Callable
  integers: tuple = ()
  far: bool = True
  fixed: tuple = ()


random = np.random.RandomState(0)
X, Y = random.randn(4, 3), random.randn(4, 3)
LOGITS, MORE = 2 * random.randn(5, 4), 2 * random.randn(5, 4)
LABELS = np.array([0, 3, 1, 1, 2])
softmax, logsumexp = functools.partial(special.softmax, axis=-1), functools.partial(special.logsumexp, axis=-1)
crossed = lambda logits, y: -np.log(softmax(logits))[np.arange(len(y)), y].mean()
length = lambda g: np.linalg.norm(np.asarray(g).reshape(len(g), -1), axis=-1)


def cosines(s):
  n = len(s)
  pairs = [
    (np.dot(s[i], s[j]) / np.linalg.norm(s[i]) / np.linalg.norm(s[j])) ** 2
    for i in range(n)
    for j in range(n)
    if i != j
  ]
  return np.mean(pairs)


def salimans(labelled, y, unlabelled, fake):
  with_zero = lambda x: softmax(np.concatenate([x, np.zeros((len(x), 1))], -1))
  return crossed(labelled, y) - np.log(1 - with_zero(unlabelled)[:, -1]).mean() - np.log(with_zero(fake)[:, -1]).mean()


def boosted(m, rate=1.0):
  rows = [np.exp(-rate * m[:i].sum(0)) for i in range(len(m))]
  return np.stack([row / row.mean() for row in rows])


FIVE = np.array([0.5, 2.0, -1.0])
CASES = {
  'energy_discriminator': [
    Case(
      lambda r, f: energy.energy_discriminator(r, f, margin=2.0),
      (np.array([1.0, 3.0]), f),
      lambda r, f: r.mean() + above(2 - f).mean(),
    )
    for f in (np.array([0.5, 4.0]), np.array([1.0, 1.5]))
  ],
  'policy_gradient': [
    Case(lambda p, baseline=baseline: policy.policy_gradient(p, jnp.asarray(Y), baseline=baseline), (X,), expected)
    for baseline, expected in (
      (False, lambda p: -(Y * p).sum(1).mean()),
      (True, lambda p: -np.mean([(Y[i] - np.delete(Y, i, 0).mean(0)) @ p[i] for i in range(4)])),
    )
  ],
  'energy_generator': [Case(energy.energy_generator, (x,), np.mean) for x in (np.array([1.0, 4.0]), X)],
  'pulling_away': [Case(energy.pulling_away, (x,), cosines) for x in (X, np.array([[3.0, 4.0], [0.0, 1.0]]))],
  'began_discriminator': [
    Case(energy.began_discriminator, (np.abs(X), np.abs(Y), k), lambda r, f, k: r.mean() - k * f.mean())
    for k in (np.array(0.3), np.array(1.0))
  ],
  'began_balance': [
    Case(
      lambda k, r, f: energy.began_balance(k, r, f, gamma=0.7, gain=0.5),
      (k, np.array([2.0]), f),
      lambda k, r, f: np.clip(k + 0.5 * (0.7 * r.mean() - f.mean()), 0, 1),
    )
    for k, f in ((np.array(0.5), np.array([1.0])), (np.array(0.2), np.array([9.0])))
  ],
  'began_measure': [
    Case(energy.began_measure, (np.array([2.0]), f), lambda r, f: r.mean() + abs(0.5 * r.mean() - f.mean()))
    for f in (np.array([0.5]), np.array([3.0]))
  ],
  'feature_matching': [
    Case(features.feature_matching, (X, Y), lambda a, b: square(a.mean(0) - b.mean(0)).mean()),
    Case(
      functools.partial(features.feature_matching, norm='l1'), (X, Y), lambda a, b: abs(a.mean(0) - b.mean(0)).mean()
    ),
  ],
  'hinge_embedding': [
    Case(
      features.hinge_embedding, (d, np.array([1, -1, -1])), lambda d, t: np.where(t > 0, d, above(1 - d)).mean(), (1,)
    )
    for d in (np.array([0.3, 0.2, 1.7]), np.array([2.0, 3.0, 0.9]))
  ],
  'categorical_information': [
    Case(information.categorical_information, (x, LABELS), crossed, (1,)) for x in (LOGITS, MORE)
  ],
  'gaussian_information': [
    Case(
      lambda m, c, s: information.gaussian_information(m, c, code_log_stddev=s),
      (X, Y, s),
      lambda m, c, s: -stats.norm(m, np.exp(s)).logpdf(c).sum(-1).mean(),
      far=False,
    )
    for s in (0.3 * X, np.zeros((4, 3)))
  ],
  'cross_entropy': [Case(labels.cross_entropy, (x, LABELS), crossed, (1,)) for x in (LOGITS, MORE)],
  'entropy': [Case(labels.entropy, (x,), lambda x: stats.entropy(softmax(x), axis=-1).mean()) for x in (LOGITS, MORE)],
  'marginal_entropy': [
    Case(labels.marginal_entropy, (x,), lambda x: stats.entropy(softmax(x).mean(0)), far=False) for x in (LOGITS, MORE)
  ],
  'projection_logit': [
    Case(
      lambda x, f, e: labels.projection_logit(x, f, e).sum(),
      (x, X, Y),
      lambda x, f, e: (x + (f * e).sum(-1)).sum(),
      far=False,
    )
    for x in (X[:, 0], Y[:, 1])
  ],
  'real_logit': [
    Case(lambda x: labels.real_logit(x).sum(), (x,), lambda x: logsumexp(x).sum()) for x in (LOGITS, MORE)
  ],
  'semi_supervised': [
    Case(labels.semi_supervised, (a, LABELS, b, 0.5 * a), salimans, (1,)) for a, b in ((LOGITS, MORE), (MORE, LOGITS))
  ],
  'fake_class': [
    Case(labels.fake_class, (a, LABELS % 3, b), lambda a, y, b: crossed(a, y) + crossed(b, np.full(5, 3)), (1,))
    for a, b in ((LOGITS, MORE), (MORE, LOGITS))
  ],
  'generator_identification': [
    Case(
      labels.generator_identification,
      (a, b, LABELS % 3),
      lambda a, b, y: crossed(a, np.full(5, 3)) + 3 * crossed(b, y),
      (2,),
    )
    for a, b in ((LOGITS, MORE), (MORE, LOGITS))
  ],
  'mean_of': [Case(ensembles.mean_of, (x,), np.mean) for x in (FIVE, REAL)],
  'hardest_of': [Case(ensembles.hardest_of, (x,), np.max) for x in (FIVE, REAL)],
  'boosted_weights': [
    Case(lambda m: ensembles.boosted_weights(m)[-1, 0], (x,), lambda m: boosted(m)[-1, 0]) for x in (X, Y)
  ],
  'absolute_error': [Case(reconstruction.absolute_error, (X, y), lambda a, b: abs(a - b).mean()) for y in (Y, 2 * Y)],
  'squared_error': [Case(reconstruction.squared_error, (X, y), lambda a, b: square(a - b).mean()) for y in (Y, 2 * Y)],
  'cycle': [
    Case(
      lambda a, b, w=w: reconstruction.cycle(a, b, b, 2 * a, a_weight=w),
      (X, Y),
      lambda a, b, w=w: w * abs(a - b).mean() + 10 * abs(b - 2 * a).mean(),
    )
    for w in (10.0, 3.0)
  ],
  'conditioning_kl': [
    Case(
      reconstruction.conditioning_kl,
      (X, s),
      lambda m, s: (-s + (np.exp(2 * s) + m**2 - 1) / 2).sum(-1).mean(),
      far=False,
    )
    for s in (0.3 * Y, np.zeros((4, 3)))
  ],
  'norms': [Case(lambda g: penalties.norms(g).sum(), (g,), lambda g: length(g).sum()) for g in (X, Y)],
  'gradient_penalty': [
    Case(penalties.gradient_penalty, (X,), lambda g: square(length(g) - 1).mean()),
    Case(functools.partial(penalties.gradient_penalty, target=0.5), (Y,), lambda g: square(length(g) - 0.5).mean()),
    Case(
      functools.partial(penalties.gradient_penalty, one_sided=True), (X,), lambda g: square(above(length(g) - 1)).mean()
    ),
  ],
  'r1': [Case(penalties.r1, (g,), lambda g: square(length(g)).mean() / 2) for g in (X, random.randn(3, 2, 2, 1))],
  'consistency': [Case(penalties.consistency, (X, y), lambda a, b: square(a - b).mean()) for y in (Y, 2 * Y)],
  'latent_diversity': [
    Case(penalties.latent_diversity, (X, y), lambda a, b: -square(a - b).mean()) for y in (Y, 2 * Y)
  ],
  'lecam': [
    Case(
      penalties.lecam,
      (REAL, FAKE, a, np.array(-0.3)),
      lambda r, f, a, b: square(r - b).mean() + square(f - a).mean(),
      fixed=(2, 3),
    )
    for a in (np.array(0.5), np.array(2.0))
  ],
  'drift': [Case(penalties.drift, (x,), lambda x: square(x).mean()) for x in (REAL, X)],
  'path_length': [
    # The average is held fixed in the gradient, which finite differences do not see: it is tested below.
    Case(lambda g: penalties.path_length(g, 2.0, decay=0.0)[0], (g,), lambda g: square(length(g) - 2).mean())
    for g in (X, Y)
  ],
  'softmax_of': [
    Case(lambda x: ensembles.softmax_of(x, 0.0), (FIVE,), np.mean),
    Case(lambda x: ensembles.softmax_of(x, 60.0), (REAL,), np.max),
  ],
  'smoothed': [
    Case(
      losses.smoothed(0.9).discriminator,
      (r, FAKE),
      lambda r, f: -(0.9 * log_d(r) + 0.1 * log_not_d(r)).mean() - log_not_d(f).mean(),
    )
    for r in (REAL, FIVE)
  ],
  'targets': [
    Case(losses.targets(-1.0, 1.0, c).generator, (FAKE + 0.1,), lambda f, c=c: square(f - c).mean() / 2)
    for c in (0.0, 0.7)
  ],
}
for name in NAMES:
  CASES[f'{name}.discriminator'] = [
    Case(getattr(losses, name).discriminator, inputs, ADVERSARIAL[name][0])
    for inputs in ((REAL + 0.1, FAKE + 0.1), OTHER)
  ]
  CASES[f'{name}.generator'] = [
    Case(getattr(losses, name).generator, inputs[::-1], ADVERSARIAL[name][1])
    for inputs in ((REAL + 0.1, FAKE + 0.1), OTHER)
  ]
two = lambda x: np.stack([0.3 * x, x], -1)
CASES['two_way_softmax'] = [
  Case(
    losses.two_way_softmax.discriminator,
    (two(r), two(f)),
    lambda r, f: crossed(r, np.ones(3, int)) + crossed(f, np.zeros(3, int)),
  )
  for r, f in ((REAL, FAKE), OTHER)
]
ROWS = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]
each = pytest.mark.parametrize(('name', 'number'), ROWS, ids=[f'{name}-{i}' for name, i in ROWS])


def test_every_public_function_is_in_the_table():
  known = {name.split('.')[0] for name in CASES}
  elsewhere = {
    'flip',
    'value',
    'generator_value',
    'mean',
    'wide',
    'input_gradients',
    'between',
    'around',
    'wgan_gp',
    'dragan',
  }
  elsewhere |= {'learned_softmax_of'}
  for file in pkgutil.iter_modules(losses.__path__):
    module = importlib.import_module(f'gan_jax.losses.{file.name}')
    for name, value in vars(module).items():
      public = not name.startswith('_') and (inspect.isfunction(value) or isinstance(value, losses.AdversarialLoss))
      if public and getattr(value, '__module__', module.__name__) in (module.__name__, losses.adversarial.__name__):
        assert name in known | elsewhere, f'{module.__name__}.{name}: give it a row in CASES or ADVERSARIAL'


@each
def test_values(name, number):
  case = CASES[name][number]
  np.testing.assert_allclose(
    case.function(*map(jnp.asarray, case.inputs)), case.expected(*case.inputs), rtol=2e-6, atol=1e-6
  )


@each
def test_gradients_against_finite_differences(name, number):
  case = CASES[name][number]
  if name in ('boosted_weights', 'hardest_of'):
    pytest.skip('held fixed in the gradient' if name == 'boosted_weights' else 'a maximum')
  with float64():
    inputs, value = [jnp.asarray(x) for x in case.inputs], jax.jit(case.function)
    for argument, x in enumerate(case.inputs):
      if argument in case.integers:
        continue
      gradient = np.asarray(jax.jit(jax.grad(case.function, argument))(*inputs))
      if argument in case.fixed:
        assert not gradient.any()
        continue
      for index in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[index] = 1e-6
        up, down = ([*inputs[:argument], x + sign * step, *inputs[argument + 1 :]] for sign in (1, -1))
        np.testing.assert_allclose(gradient[index], (value(*up) - value(*down)) / 2e-6, atol=2e-6)


@each
def test_wide_enough_and_finite_far_out(name, number):
  case = CASES[name][number]
  narrow = [jnp.asarray(x) if i in case.integers else jnp.asarray(x, jnp.bfloat16) for i, x in enumerate(case.inputs)]
  value = jax.jit(case.function)(*narrow)
  assert value.dtype == jnp.float32 and value.shape == ()
  if case.far:
    far = [x if i in case.integers else 1e4 * jnp.sign(x) for i, x in enumerate(map(jnp.asarray, case.inputs))]
    floating = tuple(i for i in range(len(far)) if i not in case.integers)
    value, gradients = jax.jit(jax.value_and_grad(case.function, floating))(*far)
    assert jnp.isfinite(value) and all(jnp.isfinite(g).all() for g in gradients)


@each
def test_vmap(name, number):
  case = CASES[name][number]
  stacked = [
    jnp.stack([jnp.asarray(x), jnp.asarray(x) if i in case.integers else 0.7 * jnp.asarray(x)])
    for i, x in enumerate(case.inputs)
  ]
  function = jax.jit(case.function)
  together = jax.jit(jax.vmap(case.function))(*stacked)
  apart = [function(*(x[i] for x in stacked)) for i in (0, 1)]
  np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)


MISFITS = {
  'value': lambda: losses.value(jnp.zeros(4), jnp.zeros((4, 1))),
  'energy_discriminator': lambda: energy.energy_discriminator(jnp.zeros(4), jnp.zeros((4, 1)), margin=1.0),
  'policy_gradient': lambda: policy.policy_gradient(jnp.zeros((4, 2)), jnp.zeros((4, 1))),
  'pulling_away': lambda: energy.pulling_away(jnp.zeros(4)),
  'feature_matching': lambda: features.feature_matching(jnp.zeros((4, 2)), jnp.zeros((4, 3))),
  'hinge_embedding': lambda: features.hinge_embedding(jnp.zeros(4), jnp.zeros((4, 1))),
  'categorical_information': lambda: information.categorical_information(jnp.zeros((4, 2)), jnp.zeros((4, 1), int)),
  'gaussian_information': lambda: information.gaussian_information(jnp.zeros((4, 2)), jnp.zeros((4, 1))),
  'cross_entropy': lambda: labels.cross_entropy(jnp.zeros(4), jnp.zeros(4, int)),
  'projection_logit': lambda: labels.projection_logit(jnp.zeros((4, 1)), jnp.zeros((4, 2)), jnp.zeros((4, 2))),
  'ensembles': lambda: ensembles.mean_of(jnp.zeros(())),
  'absolute_error': lambda: reconstruction.absolute_error(jnp.zeros(4), jnp.zeros((4, 1))),
  'conditioning_kl': lambda: reconstruction.conditioning_kl(jnp.zeros(4), jnp.zeros(4)),
  'consistency': lambda: penalties.consistency(jnp.zeros(4), jnp.zeros((4, 1))),
  'lecam': lambda: penalties.lecam(jnp.zeros(4), jnp.zeros(4), jnp.zeros(1), jnp.zeros(())),
  'between': lambda: penalties.between(jax.random.key(0), jnp.zeros((4, 2)), jnp.zeros((4, 1))),
  'weight of one': lambda: losses.relativistic.discriminator(jnp.zeros(4), jnp.zeros(4), real_weights=jnp.zeros(1)),
  'weights': lambda: losses.hinge.discriminator(jnp.zeros(4), jnp.zeros(4), real_weights=jnp.zeros((4, 1))),
}


@pytest.mark.parametrize('name', [*MISFITS, *NAMES, 'two_way_softmax'])
def test_what_does_not_fit_raises(name):
  with pytest.raises(AssertionError):
    if name in MISFITS:
      MISFITS[name]()
    else:
      getattr(losses, name).discriminator(jnp.zeros((4, 2)), jnp.zeros((4, 2, 1)))


def test_the_mixed_weights_of_discriminators():
  by_hand = lambda x, s: (np.exp(s * x) / np.exp(s * x).sum() * x).sum()
  np.testing.assert_allclose(ensembles.softmax_of(jnp.asarray(FIVE), 0.7), by_hand(FIVE, 0.7), rtol=1e-6)
  weights = jax.grad(ensembles.softmax_of)(jnp.asarray(FIVE), 0.7)
  np.testing.assert_allclose(weights, softmax(0.7 * FIVE), rtol=1e-6)
  strength = np.log1p(np.exp(0.4))
  learned = ensembles.learned_softmax_of(jnp.asarray(FIVE), jnp.float32(0.4), reward=0.1)
  np.testing.assert_allclose(learned, by_hand(FIVE, strength) - 0.1 * strength, rtol=1e-6)
  slope = jax.grad(ensembles.learned_softmax_of, 1)
  assert slope(jnp.asarray(FIVE), jnp.float32(0.4)) > 0, 'unequal losses: the generator wants the mean'
  np.testing.assert_allclose(ensembles.boosted_weights(jnp.asarray(X)), boosted(X), rtol=1e-5)


def test_path_length_holds_its_average_fixed():
  penalty, new = penalties.path_length(jnp.asarray(X), 2.0, decay=0.25)
  np.testing.assert_allclose(new, 2 + 0.25 * (length(X).mean() - 2), rtol=1e-6)
  np.testing.assert_allclose(penalty, square(length(X) - float(new)).mean(), rtol=1e-5)
  assert not jnp.any(jax.grad(lambda x: penalties.path_length(x, 2.0)[1])(jnp.asarray(X)))


def test_norms_have_no_gradient_at_zero():
  assert not jnp.any(jax.grad(lambda g: penalties.gradient_penalty(g))(jnp.zeros((2, 3))))


def test_points_between_and_around():
  key = jax.random.key(0)
  real, fake = jnp.zeros((500, 2, 2)), jnp.ones((500, 2, 2))
  points = np.asarray(penalties.between(key, real, fake))
  assert np.ptp(points.reshape(500, -1), axis=1).max() == 0, 'one mixture per example'
  assert 0 <= points.min() < 0.02 and 0.98 < points.max() <= 1 and abs(points.mean() - 0.5) < 0.05
  data = jnp.asarray(random.randn(500, 4), jnp.float32)
  moved = np.asarray(penalties.around(key, data) - data)
  assert moved.min() >= 0 and 0.4 < moved.max() / float(data.std()) <= 0.5 and np.ptp(moved[0]) > 0


def test_penalties_of_critic_functions():
  key, slope = jax.random.key(0), np.array([3.0, 4.0], np.float32)
  critic = lambda x: x @ slope
  real, fake = jnp.zeros((4, 2)), jnp.ones((4, 2))
  np.testing.assert_allclose(penalties.input_gradients(critic, real), np.tile(slope, (4, 1)))
  np.testing.assert_allclose(penalties.wgan_gp(critic, key, real, fake), 16.0, rtol=1e-6)
  np.testing.assert_allclose(penalties.wgan_gp(critic, key, real, fake, target=7.0, one_sided=True), 0.0)
  np.testing.assert_allclose(
    penalties.dragan(critic, key, jnp.asarray(X[:, :2], jnp.float32), target=2.0), 9.0, rtol=1e-6
  )
  patches = lambda x: x[:, :, None] * jnp.ones((1, 1, 3))
  np.testing.assert_allclose(penalties.input_gradients(patches, real), 3.0)


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
  # Densities as weights: nothing is sampled.
  gradient = jax.jit(
    jax.grad(
      lambda logits: losses.minimax.discriminator(logits, logits, real_weights=p / p.sum(), fake_weights=q / q.sum())
    )
  )
  logits = np.zeros(len(x))
  for _ in range(4000):
    logits = logits - 200 * np.asarray(gradient(jnp.asarray(logits)), np.float64)
  np.testing.assert_allclose(1 / (1 + np.exp(-logits)), p / (p + q), atol=1e-2)


def test_a_critic_with_gradient_penalty_measures_the_distance_of_two_points():
  """Data at d, fakes at 0 on a line: the best 1-Lipschitz critic rises by d between them."""
  import flax.linen as nn
  import optax

  class Critic(nn.Module):
    @nn.compact
    def __call__(self, x):
      x = nn.leaky_relu(nn.Dense(32)(x))
      return nn.Dense(1)(nn.leaky_relu(nn.Dense(32)(x)))[:, 0]

  distance, net, tx = 2.5, Critic(), optax.adam(3e-3)
  real, fake = jnp.full((32, 1), distance), jnp.zeros((32, 1))

  def loss(params, key):
    critic = lambda x: net.apply(params, x)
    return losses.wasserstein.discriminator(critic(real), critic(fake)) + 10 * penalties.wgan_gp(
      critic, key, real, fake
    )

  @jax.jit
  def train(params, key):
    def step(carry, key):
      params, state = carry
      value, gradients = jax.value_and_grad(loss)(params, key)
      updates, state = tx.update(gradients, state)
      return (optax.apply_updates(params, updates), state), value

    (params, _), values = jax.lax.scan(step, (params, tx.init(params)), jax.random.split(key, 2000))
    return params, values

  params, _ = train(net.init(jax.random.key(0), real), jax.random.key(1))
  found = float(jnp.mean(net.apply(params, real)) - jnp.mean(net.apply(params, fake)))
  # With weight 10 the slope settles where 1 = 20 (s - 1) / d: d (1 + d / 20) apart.
  assert found == pytest.approx(distance * (1 + distance / 20), rel=0.05)


def test_classes_that_are_far_apart_or_none():
  sure = jnp.array([[44.0, -44.0], [44.0, -44.0]])  # a share of e^-88 is 0 in float32
  gradient = jax.grad(losses.labels.marginal_entropy)(sure)
  assert jnp.isfinite(gradient).all() and losses.labels.marginal_entropy(sure) == pytest.approx(0.0, abs=1e-30)
  for wrong in (-1, 3):
    assert jnp.isnan(losses.labels.cross_entropy(jnp.zeros((2, 3)), jnp.array([0, wrong])))
  with pytest.raises(AssertionError):
    losses.labels.projection_logit(jnp.zeros(1), jnp.zeros((4, 2)), jnp.zeros((4, 2)))


def test_weights_of_rows_and_of_logits_go_together():
  real, fake, rows = jnp.arange(4.0).reshape(2, 2), jnp.array([[1.0, -1.0], [0.5, 2.0]]), jnp.array([1.0, 3.0])
  each = jnp.array([[1.0, 2.0], [3.0, 4.0]])
  weights = np.asarray(rows)[:, None] * np.asarray(each)
  expected = np.sum(weights * np.log1p(np.exp(-np.asarray(real - fake)))) / weights.sum()
  found = losses.relativistic.discriminator(real, fake, real_weights=rows, fake_weights=each)
  assert found == pytest.approx(expected, rel=1e-6)


def test_products_of_weights_are_of_float32():
  """Of bytes 16 times 16 would be 0, of halves 300 times 300 infinite."""
  real, fake = jnp.array([1.0, -2.0]), jnp.zeros(2)
  for a, b, dtype in (([16, 20], [16, 13], np.uint8), ([300, 1], [300, 2], np.float16)):
    product = np.prod(np.array([a, b], float), 0)
    expected = np.sum(product * np.maximum(0, 1 - np.asarray(real))) / product.sum()
    weights = dict(real_weights=np.array(a, dtype), fake_weights=np.array(b, dtype))
    assert losses.relativistic_hinge.discriminator(real, fake, **weights) == pytest.approx(expected, rel=1e-6)


def test_a_label_that_is_the_last_class_is_none_of_data_or_makers():
  """It would be counted as "fake", or as "data": a wrong number, and no sign of it."""
  zeros = jnp.zeros((2, 5))
  for last in (4, jnp.array([0, 4], jnp.uint8)):
    wrong = jnp.broadcast_to(jnp.asarray(last), (2,))
    assert jnp.isnan(labels.fake_class(zeros, wrong, zeros))
    assert jnp.isnan(labels.generator_identification(zeros, zeros, wrong))
  many = jnp.zeros((1, 301))
  assert labels.fake_class(many, jnp.array([44], jnp.uint8), many) == pytest.approx(2 * np.log(301), rel=1e-6)


def test_limits_of_losses():
  """A class that is ruled out, an infinite strength, no weight at all, sizes beyond float32's squares."""
  ruled_out = jnp.array([[0.0, 0.0, -jnp.inf]] * 2)
  for entropy in (labels.entropy, labels.marginal_entropy):
    assert entropy(ruled_out) == pytest.approx(np.log(2), rel=1e-6)
    assert jnp.isfinite(jax.grad(entropy)(ruled_out)[:, :2]).all()
  two = jnp.array([1.0, 3.0, 3.0])
  assert ensembles.softmax_of(two, jnp.inf) == 3.0
  assert jax.grad(ensembles.softmax_of)(two, jnp.inf).tolist() == [0.0, 0.5, 0.5]
  slope = jax.grad(lambda x: losses.hinge.discriminator(x, x, real_weights=jnp.zeros(3), fake_weights=jnp.ones(3)))
  np.testing.assert_allclose(slope(two), 1 / 3, rtol=1e-6)
  none = dict(real_weights=jnp.zeros(3), fake_weights=jnp.zeros(3))
  assert losses.hinge.discriminator(two, two, **none) == 0.0
  cosines = lambda scale: energy.pulling_away(scale * jnp.array([[1.0, 0.0], [1.0, 1.0]]))
  for scale in (1e-30, 1.0, 1e30):
    assert cosines(scale) == pytest.approx(0.5, rel=1e-6)
  assert jnp.isfinite(jax.grad(energy.pulling_away)(jnp.array([[0.0, 0.0], [1.0, 1.0]]))).all()


def test_targets_that_call_data_fake_are_refused():
  with pytest.raises(ValueError, match=r'targets\(a=1.0, b=0.0\): the target of data, b, must be above'):
    losses.targets(1.0, 0.0, 0.0)


def test_penalties_of_whole_numbers_and_of_critics_that_return_more():
  pixels = jnp.array([[0, 255], [255, 0]], jnp.uint8)
  critic = lambda x: 3.0 * x[:, 0]
  key = jax.random.key(0)
  for penalty in (penalties.wgan_gp(critic, key, pixels, pixels), penalties.dragan(critic, key, pixels)):
    assert penalty == 4.0
  with pytest.raises(TypeError, match='must return logits alone'):
    penalties.input_gradients(lambda x: (x[:, 0], x[:, 1]), jnp.ones((2, 2)))
