"""The metrics on features against closed forms and direct computations in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats
from sklearn.neighbors import NearestNeighbors

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.metrics import frechet, held_out, inception_score, kernel_distance, manifolds, parzen


def _covariance(random, size, rank):
  root = random.randn(size, rank)
  return root @ root.T


# Frechet distance


@pytest.mark.parametrize('size', [1, 5, 60])
def test_frechet_of_diagonal_gaussians(size):
  random = np.random.RandomState(size)
  m1, m2 = random.randn(size), random.randn(size)
  s1, s2 = random.rand(size) + 0.1, random.rand(size) + 0.1
  # Commuting covariances: |m1 - m2|^2 + |s1 - s2|^2, in any rotated frame.
  rotation = linalg.qr(random.randn(size, size))[0]
  turn = lambda s: rotation @ np.diag(s**2) @ rotation.T
  expected = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
  assert frechet.frechet_distance(m1, turn(s1), m2, turn(s2)) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_general_gaussians():
  random = np.random.RandomState(0)
  c1, c2 = _covariance(random, 20, 40), _covariance(random, 20, 40)
  expected = np.trace(c1) + np.trace(c2) - 2 * np.trace(linalg.sqrtm(c1 @ c2)).real
  assert frechet.frechet_distance(np.zeros(20), c1, np.zeros(20), c2) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_singular_covariances():
  random = np.random.RandomState(1)
  # Rank one: tr (uu' vv')^(1/2) = |u.v|.
  u, v = random.randn(200), random.randn(200)
  expected = u @ u + v @ v - 2 * abs(u @ v)
  got = frechet.frechet_distance(np.zeros(200), np.outer(u, u), np.zeros(200), np.outer(v, v))
  assert got == pytest.approx(expected, rel=1e-6)
  # Supports at right angles share nothing, however ill-conditioned the eigenvectors are.
  frame = linalg.qr(random.randn(200, 200))[0]
  a, b = frame[:, :80] * 3.0, frame[:, 80:]
  got = frechet.frechet_distance(np.zeros(200), a @ a.T, np.zeros(200), b @ b.T)
  assert got == pytest.approx(9 * 80 + 120, rel=1e-6)
  zero = np.zeros((200, 200))
  assert frechet.frechet_distance(np.zeros(200), zero, np.ones(200), zero) == pytest.approx(200.0)


def test_frechet_of_a_set_with_itself():
  x = np.random.RandomState(2).randn(50, 120)  # fewer examples than features: singular
  m = frechet.moments(x)
  assert abs(frechet.frechet(m, m)) < 1e-9 * np.trace(m.covariance)


def test_frechet_of_few_examples_in_float32():
  # Fewer examples than features: noise of float32 in the scatter must not count as variance.
  random = np.random.RandomState(9)
  mix = random.randn(256, 256) / 16
  x, y = (np.maximum(random.randn(count, 256) @ mix + 0.2, 0).astype(np.float32) for count in (150, 200))
  streamed = []
  for rows in (x, y):
    parts = jax.device_get(jax.jit(frechet.batch_moments)(jnp.asarray(rows), jnp.ones(len(rows))))
    streamed.append(frechet.to_moments(parts))
  assert frechet.frechet(*streamed) == pytest.approx(frechet.frechet(frechet.moments(x), frechet.moments(y)), rel=1e-6)


def test_frechet_refuses_shapes():
  with pytest.raises(ValueError, match='shapes'):
    frechet.frechet_distance(np.zeros(2), np.eye(3), np.zeros(2), np.eye(2))


def test_moments_of_batches_on_the_device():
  random = np.random.RandomState(3)
  # A mean a thousand deviations away loses everything to E[x^2] - E[x]^2 in float32.
  x = (1000.0 + random.randn(1000, 7) * (1 + np.arange(7))).astype(np.float32)
  total = frechet.Moments(0, np.zeros(7), np.zeros((7, 7)))
  for start in range(0, 1000, 96):
    rows = x[start : start + 96]
    padded = np.concatenate([rows, np.full((96 - len(rows), 7), 5e3, np.float32)])
    valid = np.arange(96) < len(rows)
    parts = jax.jit(frechet.batch_moments)(jnp.asarray(padded), jnp.asarray(valid))
    total = total.merge(frechet.to_moments(jax.device_get(parts)))
  assert total.examples == 1000
  np.testing.assert_allclose(total.mean, x.astype(np.float64).mean(0), rtol=1e-9)
  expected = np.cov(x.astype(np.float64), rowvar=False)
  scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
  np.testing.assert_allclose(total.covariance / scale, expected / scale, atol=1e-5)


# Kernel distance


def test_squared_mmd_directly():
  random = np.random.RandomState(4)
  x, y = random.randn(6, 3), random.randn(8, 3) + 1
  k = lambda a, b: (float(a @ b) / 3 + 1) ** 3
  xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
  yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
  xy = np.mean([k(a, b) for a in x for b in y])
  assert kernel_distance.squared_mmd(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


def test_kernel_distance_of_equal_distributions_is_zero_within_its_error():
  # Unbiased: over many draws the mean is zero, where the biased estimate is not.
  values, errors = [], []
  for seed in range(40):
    random = np.random.RandomState(seed)
    got = kernel_distance.kernel_distance(random.randn(400, 8), random.randn(400, 8), subsets=8, size=50)
    values.append(got.value)
    errors.append(got.standard_error)
  assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
  # The error that is reported is that which the draws show or more: here no single example matters.
  assert 0.8 < np.mean(errors) / np.std(values) < 4.0
  shifted = kernel_distance.kernel_distance(random.randn(400, 8), random.randn(400, 8) + 1, subsets=8, size=50)
  assert shifted.value > 10 * shifted.standard_error


@pytest.mark.slow
@pytest.mark.parametrize('sizes', [(100, 100), (143, 143), (143, 1000), (400, 400)])
def test_the_error_of_a_kernel_distance_knows_how_much_of_a_side_is_in_a_subset(sizes):
  """Subsets of 100 of 143 hardly differ, and none of all do; what they have in common is as uncertain as ever."""
  values, errors = [], []
  for seed in range(60):
    random = np.random.RandomState(seed)
    real, fake = (random.randn(size, 4) for size in sizes)
    got = kernel_distance.kernel_distance(real, fake + 0.7, subsets=40, size=100)
    values.append(got.value)
    errors.append(got.standard_error)
  assert 0.75 < np.mean(errors) / np.std(values) < 1.35


@pytest.mark.slow
def test_pairs_of_one_scene_are_left_out_of_a_kernel_distance():
  """Each y is nearly its x, and both are draws of one distribution: the distance is 0 on average."""
  values = {True: [], False: []}
  for seed in range(60):
    random = np.random.RandomState(seed)
    x = random.randn(80, 4)
    for paired, found in values.items():
      found.append(kernel_distance.kernel_distance(x, x + 0.01 * random.randn(80, 4), paired=paired).value)
  mean = {paired: np.mean(found) for paired, found in values.items()}
  assert abs(mean[True]) < 3 * np.std(values[True]) / np.sqrt(60) and mean[False] < -0.01 < 5 * mean[True] + 0.01
  # Subsets of pairs have the same scenes on both sides: of two opposite sides each pair is far apart.
  assert kernel_distance.kernel_distance(x, x[::-1], size=20, paired=True).value > -1
  with pytest.raises(UserError, match='80 and 79 examples are no pairs'):
    kernel_distance.kernel_distance(x, x[1:], paired=True)
  with pytest.raises(UserError, match='80 and 79 examples are no pairs'):
    kernel_distance.squared_mmd(x, x[1:], paired=True)


# Inception score


def test_inception_score_of_sure_predictions_is_the_number_of_classes():
  for classes in (2, 10, 1000):
    sure = np.log(np.maximum(np.tile(np.eye(classes), (3, 1)), 1e-300))
    assert inception_score.inception_score(sure, splits=1).value == pytest.approx(classes, rel=1e-9)


def test_inception_score_of_equal_predictions_is_one():
  got = inception_score.inception_score(np.zeros((100, 10)))
  assert got.value == pytest.approx(1.0) and got.split_deviation == pytest.approx(0.0, abs=1e-12)


def test_inception_score_is_mutual_information():
  # Two kinds of predictions, half each: exp(H(y) - H(y|x)).
  p = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
  expected = np.exp(stats.entropy(p.mean(0)) - np.mean([stats.entropy(row) for row in p]))
  got = inception_score.inception_score(np.log(np.repeat(p, 500, 0)), splits=1)
  assert got.value == pytest.approx(expected, rel=1e-12)


def test_the_error_of_an_inception_score_is_of_the_mean_of_its_splits():
  logits = np.random.RandomState(0).randn(100, 10)
  shuffled = logits[np.random.RandomState(2020).permutation(100)]
  a, b = (inception_score.inception_score(part, splits=1).value for part in (shuffled[:50], shuffled[50:]))
  got = inception_score.inception_score(logits, splits=2)
  np.testing.assert_allclose(got, [(a + b) / 2, abs(a - b) / 2, abs(a - b) / 2], rtol=1e-9)
  of = lambda seed: inception_score.inception_score(np.random.RandomState(seed).randn(150, 10), splits=3)
  values, errors, _ = np.array([of(seed) for seed in range(300)]).T
  assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.1)


# Precision, recall, density, coverage


def test_manifolds_of_identical_and_of_disjoint_sets():
  random = np.random.RandomState(5)
  x = random.randn(700, 4)  # more than a block
  assert manifolds.manifolds(x, x[random.permutation(700)], k=3) == (1.0, 1.0, 1.0, 1.0)
  assert manifolds.manifolds(x, x + 100.0, k=3) == (0.0, 0.0, 0.0, 0.0)


def test_manifolds_by_hand():
  real, fake = np.array([[0.0], [1.0], [3.0]]), np.array([[0.4], [0.5], [9.0]])
  # Balls of the first neighbour: real 1, 1, 2; generated 0.1, 0.1, 8.5.
  # Generated 0.4 and 0.5 lie in the balls of 0 and 1 (2.5 from 3 is outside), 9 in none.
  # Real 3 lies in the ball of 9 (6 < 8.5), 1 too (8 < 8.5), 0 does not (9), nor in the small ones.
  got = manifolds.manifolds(real, fake, k=1)
  assert got == pytest.approx((2 / 3, 2 / 3, 4 / 3, 2 / 3))


def test_radii_against_scikit_learn():
  x = np.random.RandomState(6).randn(1100, 6)
  distances, _ = NearestNeighbors(n_neighbors=6, algorithm='brute').fit(x).kneighbors(x)
  np.testing.assert_allclose(manifolds.radii(x, 5), distances[:, 5] ** 2, rtol=1e-10)


def test_manifolds_need_neighbours():
  with pytest.raises(ValueError, match='k=5'):
    manifolds.manifolds(np.zeros((5, 2)), np.zeros((9, 2)))


# Parzen windows


def test_parzen_against_scipy():
  random = np.random.RandomState(7)
  samples, examples = random.rand(40, 2, 3), random.rand(300, 2, 3)
  got = parzen.log_likelihoods(samples, examples, [0.1, 0.5])
  for row, sigma in enumerate([0.1, 0.5]):
    normal = stats.multivariate_normal(np.zeros(6), sigma**2 * np.eye(6))
    density = normal.pdf(examples.reshape(-1, 1, 6) - samples.reshape(1, -1, 6)).mean(1)
    np.testing.assert_allclose(got[row], np.log(density), rtol=1e-9)


def test_parzen_chooses_sigma_on_validation_examples():
  random = np.random.RandomState(8)
  samples, validation, test = random.randn(500, 2), random.randn(300, 2) * 1.5, random.randn(200, 2)
  got = parzen.parzen_likelihood(samples, validation, test, sigmas=parzen.SIGMAS)
  scores = [parzen.log_likelihoods(samples, validation, [sigma]).mean() for sigma in parzen.SIGMAS]
  assert got.sigma == parzen.SIGMAS[int(np.argmax(scores))] and got.validation == pytest.approx(max(scores))
  likelihoods = parzen.log_likelihoods(samples, test, [got.sigma])[0]
  assert got.value == pytest.approx(likelihoods.mean())
  assert got.standard_error == pytest.approx(stats.sem(likelihoods))
  assert parzen.SIGMAS[0] == pytest.approx(0.1) and parzen.SIGMAS[-1] == pytest.approx(1.0) and len(parzen.SIGMAS) == 10


def test_layers_that_compare_groups_see_whole_batches():
  seen = []
  judge = lambda x: seen.append(len(x)) or x
  train = np.arange(10.0)
  report = held_out.held_out_report(judge, train, train[:3], -train[:6], batch_size=4)
  assert set(seen) == {4}
  assert (report.train.logit, report.held_out.logit, report.generated.logit) == (4.5, 1.0, -2.5)
  # Packs of two have one logit.
  packed = held_out.held_out_report(lambda x: x.reshape(-1, 2).mean(1), train, train[:4], -train[:6], batch_size=4)
  assert (packed.train.logit, packed.held_out.logit, packed.generated.logit) == (4.5, 1.5, -2.5)


def test_the_boundary_of_smoothed_targets_is_where_both_are_as_likely():
  loss = losses.smoothed(0.9)
  at = jnp.array([loss.boundary])
  assert loss.boundary == pytest.approx(np.log(0.45 / 0.55))
  # With a perfect generator the discriminator's best answer is there.
  assert float(jax.grad(lambda x: loss.discriminator(x, x))(at)[0]) == pytest.approx(0, abs=1e-6)
