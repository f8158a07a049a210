"""Mode coverage by hand and by scipy; the two-sample test and the held-out report on sets whose answer is known."""

import itertools

import flax.linen as nn
import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance
from sklearn.datasets import load_digits

from gan_jax.base.errors import UserError
from gan_jax.data.sources import builtin
from gan_jax.metrics.held_out import held_out_report, overfitting
from gan_jax.metrics.makers import division
from gan_jax.metrics.modes import divergence, mixture_coverage, stacked_coverage
from gan_jax.metrics.two_sample import two_sample_test
from gan_jax.nets.layers.basic import BatchNorm

random = np.random.RandomState(0)


def test_modes_of_a_mixture_by_hand():
  # Modes at 0, 10, 20 of deviation 1: 3 is on the edge of the first, 3.1 and (0, 9) beyond it, 16.9 nearest to 20.
  centers = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
  samples = np.array(
    [[0.0, 0.0], [3.0, 0.0], [3.1, 0.0], [10.0, -2.0], [16.9, 0.0], [0.0, 9.0], [1.0, 1.0], [0.0, 0.0]]
  )
  report = mixture_coverage(samples, centers, 1.0, minimum=1)
  assert report.modes == 2 and report.total == 3 and report.counts.tolist() == [4, 1, 0]
  assert report.quality == 5 / 8
  shares = np.array([6, 1, 1]) / 8
  np.testing.assert_allclose(report.kl, np.log(3) + (shares * np.log(shares)).sum(), rtol=1e-12)
  assert mixture_coverage(samples, centers, 1.0, minimum=2).modes == 1
  assert mixture_coverage(samples, centers, 1.0, minimum=5).modes == 0
  assert mixture_coverage(samples, centers, 1.0, deviations=2.9).counts.tolist() == [3, 1, 0]


def test_modes_of_the_ring_and_the_grid():
  for centers, stddev in (
    (builtin.ring_centers(), builtin.RING_STDDEV),
    (builtin.grid_centers(), builtin.GRID_STDDEV),
  ):
    samples = centers[random.randint(len(centers), size=2500)] + stddev * random.randn(2500, 2)
    report = mixture_coverage(samples.astype(np.float32), centers, stddev)
    distances = distance.cdist(samples, centers)
    assert report.modes == len(centers)
    np.testing.assert_array_equal(report.counts, (distances <= 3 * stddev).sum(0))
    # In the plane, 1 - exp(-9 / 2) of a mode lies within 3 deviations; the error of 2,500 samples is 0.0021.
    assert abs(report.quality - (1 - np.exp(-4.5))) < 4 * 0.0021
    np.testing.assert_allclose(
      report.kl, stats.entropy(np.bincount(distances.argmin(1)), np.ones(len(centers))), atol=1e-12
    )
    one = mixture_coverage(np.repeat(centers[:1], 50, 0), centers, stddev)
    assert one.modes == 1 and one.quality == 1
    np.testing.assert_allclose(one.kl, np.log(len(centers)), rtol=1e-12)


def test_noise_over_the_plane_covers_modes_only_by_single_samples():
  samples = np.random.RandomState(0).uniform(-1.5, 1.5, (2500, 2))
  loose = mixture_coverage(samples, builtin.ring_centers(), builtin.RING_STDDEV, minimum=1)
  assert loose.modes >= 5 and loose.quality < 0.02
  assert mixture_coverage(samples, builtin.ring_centers(), builtin.RING_STDDEV).modes == 0


def test_stacked_modes_by_hand():
  labels = np.array([[0, 0, 0], [0, 0, 0], [1, 2, 3], [9, 9, 9]])
  report = stacked_coverage(labels)
  assert report == stacked_coverage(np.array([0, 0, 123, 999])) and report[:2] == (3, 1000) and report.samples == 4
  # shares 1/2, 1/4, 1/4 against 1/1000
  np.testing.assert_allclose(report.kl, np.log(1000) - 1.5 * np.log(2), rtol=1e-12)
  # against real shares 1/4, 1/4, 1/2: (1/2) log 2 + 0 + (1/4) log (1/2)
  near = stacked_coverage(labels, real=np.array([0, 123, 999, 999])).kl
  np.testing.assert_allclose(near, 0.25 * np.log(2), rtol=1e-12)
  assert stacked_coverage(labels, real=labels).kl == 0
  assert stacked_coverage(labels, real=labels[:3]).kl == np.inf
  assert stacked_coverage(np.arange(1000)) == (1000, 1000, 0.0, 1000)
  assert stacked_coverage(np.array([3, 3]), modes=4)[:2] == (1, 4)


def test_the_floor_of_stacked_coverage():
  report = stacked_coverage(np.random.RandomState(1).randint(10, size=(26_000, 3)))
  assert report.modes == 1000
  # 2 N KL of a uniform sample is chi squared of K - 1 degrees, to first order.
  assert abs(2 * 26_000 * report.kl - 999) < 5 * np.sqrt(2 * 999)


def test_makers_of_the_same_modes_share_nothing_by_chance():
  random = np.random.RandomState(0)
  for modes in (25, 1000):
    mode = random.randint(modes, size=5000)
    assert division(random.randint(8, size=5000), mode, 8, modes, least=0.0).information < 0.02
    assert division(mode % 8, mode, 8, modes, least=0.0).information == pytest.approx(1.0, abs=1e-6)
  # Of seven samples all ways to give them to the makers, 4 to one and 3 to the other.
  maker, mode = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 0, 1, 2, 2])
  entropy = lambda *labels: stats.entropy(np.unique(np.stack(labels, 1), axis=0, return_counts=True)[1])
  shared = lambda maker: entropy(maker) + entropy(mode) - entropy(maker, mode)
  chance = np.mean([shared(np.isin(np.arange(7), ones).astype(int)) for ones in itertools.combinations(range(7), 3)])
  wanted = (shared(maker) - chance) / (min(entropy(maker), entropy(mode)) - chance)
  np.testing.assert_allclose(division(maker, mode, 2, 3).information, wanted, rtol=1e-6)
  assert division(np.zeros(9, int), np.arange(9), 1, 9).information == 0
  assert division(np.arange(9), np.arange(9), 9, 9).information == 0  # as any way to give nine modes to nine makers


def test_a_mode_counts_with_a_share_of_all_samples_of_its_maker():
  mode = np.array([3] + [-1] * 999)
  assert division(np.zeros(1000, int), mode, 1, 25, least=0.01).modes.tolist() == [0]
  mode[:10] = 3
  assert division(np.zeros(1000, int), mode, 2, 25, least=0.01).modes.tolist() == [1, 0]


def test_divergence_is_scipys():
  counts, reference = random.randint(0, 9, 50), random.randint(1, 9, 50)
  np.testing.assert_allclose(divergence(counts, reference), stats.entropy(counts, reference), rtol=1e-12)
  np.testing.assert_allclose(divergence(counts), stats.entropy(counts, np.ones(50)), rtol=1e-12)


@pytest.mark.parametrize(
  ('call', 'words'),
  [
    (lambda: mixture_coverage(np.ones((3, 2)), np.ones((4, 3)), 1.0), r'samples \(3, 2\) and centers \(4, 3\)'),
    (lambda: mixture_coverage(np.ones((0, 2)), np.ones((4, 2)), 1.0), 'N at least 1'),
    (lambda: stacked_coverage(np.ones((3, 2), int)), r'shape \(3, 2\)'),
    (lambda: stacked_coverage(np.array([[0, 0, 10]])), 'from 0 to 10, must be 0 to 9'),
    (lambda: stacked_coverage(np.array([5, 1000])), 'there are 1000 modes'),
    (lambda: two_sample_test(np.ones((9, 2)), np.ones((9, 3))), 'of one kind'),
    (lambda: two_sample_test(np.ones((9, 2), np.float32), np.ones((9, 2), np.uint8)), 'of one kind'),
    (lambda: two_sample_test(np.ones((9, 2)), np.ones((3, 2))), 'needs 4'),
  ],
)
def test_what_does_not_fit_is_named(call, words):
  with pytest.raises(UserError, match=words):
    call()


def digits():
  data = load_digits()
  images = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
  order = np.random.RandomState(0).permutation(len(images))
  return images[order], data.target[order]


def test_two_halves_of_a_set_cannot_be_told_apart():
  images, _ = digits()
  report = two_sample_test(images[:898], images[898:1796], steps=10)
  assert report.examples == 898 and report.network == 'dcgan.Discriminator'
  assert abs(report.accuracy - 0.5) < 3 * report.standard_error and report.p_value > 0.001
  np.testing.assert_allclose(report.standard_error, np.sqrt(report.accuracy * (1 - report.accuracy) / 898), rtol=1e-12)
  np.testing.assert_allclose(report.p_value, stats.norm.sf(report.accuracy, 0.5, np.sqrt(0.25 / 898)), rtol=1e-9)
  np.testing.assert_allclose(report.accuracy, (report.real + report.generated) / 2, rtol=1e-12)


@pytest.mark.slow
def test_different_pictures_are_told_apart():
  images, labels = digits()
  zeros, ones = images[labels == 0], images[labels == 1]
  report = two_sample_test(zeros, ones, steps=150)
  assert report.accuracy > 0.97 and report.p_value < 1e-20
  # A mixture that lacks half of the classes: what is left is told apart in part.
  some = two_sample_test(images[:900], images[900:][labels[900:] < 5], steps=150)
  assert 0.55 < some.accuracy < 0.97 and some.p_value < 1e-3
  assert some == two_sample_test(images[:900], images[900:][labels[900:] < 5], steps=150)
  assert some != two_sample_test(images[:900], images[900:][labels[900:] < 5], steps=150, seed=1)


def test_the_best_possible_accuracy_on_points():
  # N(0, 1) against N(2, 1) in one coordinate of three, at other scales: the best test gets Phi(1) = 84.1 % right.
  noise = np.random.RandomState(0).randn(2, 6000, 3)
  noise[1, :, 0] += 2
  real, generated = (noise * np.array([1e-3, 1.0, 1e3]) + 50).astype(np.float32)
  report = two_sample_test(real, generated, steps=300)
  assert report.examples == 6000 and report.network == 'mlp.Discriminator'
  assert abs(report.accuracy - stats.norm.cdf(1)) < 0.02


def test_sequences_are_told_apart_by_the_order_of_their_words():
  # Each place has the same words in both data and samples: what differs is which words follow each other.
  random = np.random.RandomState(0)
  start = random.randint(0, 5, (2, 400, 1))
  real = ((start[0] + np.arange(3)) % 5).astype(np.int32)
  generated = ((start[1] + 3 * np.arange(3)) % 5).astype(np.int32)
  report = two_sample_test(real, generated, steps=60)
  assert report.accuracy > 0.98 and report.network == 'seqgan.Discriminator'


class OnlyReal(nn.Module):
  """Says 'real' to all, with batch norm and dropout on the way."""

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.Dropout(0.5, deterministic=not train)(BatchNorm()(x.reshape(x.shape[0], -1), train=train))
    return 100.0 + 0 * nn.Dense(1)(x)[:, 0]


def test_a_network_of_ones_own():
  report = two_sample_test(
    np.ones((40, 2, 3), np.float32), np.zeros((30, 2, 3), np.float32), network=OnlyReal(), steps=3
  )
  assert report[:2] == (0.5, np.sqrt(0.25 / 30)) and report.real == 1 and report.generated == 0
  assert report.p_value == 0.5 and report.examples == 30
  with pytest.raises(UserError, match=r'logits of shape \(20, 4\), must be \(20,\)'):
    two_sample_test(np.ones((40, 3)), np.ones((30, 3)), network=Wide(), steps=3, batch_size=20)


class Wide(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    return nn.Dense(4)(x)


def test_held_out_report_by_hand():
  train, held_out, generated = np.array([3.0, 1.0, -1.0]), np.array([0.0, -1.0]), np.array([-3.0, -2.0, 2.0])
  report = held_out_report(
    lambda x: x.sum((1, 2)), *(x[:, None, None] for x in (train, held_out, generated)), batch_size=2
  )
  assert report.train == (1.0, 2 / 3) and report.held_out == (-0.5, 0.0) and report.generated == (-1.0, 1 / 3)
  assert report.overfitting == 1.5 / 2 == overfitting(train, held_out, generated)
  above = held_out_report(lambda x: x, train, held_out, generated, threshold=1.0)
  assert above.train.real == 1 / 3 and above.generated.real == 1 / 3
  patches = held_out_report(lambda x: np.stack([x, x + 2], -1), train, held_out, generated)
  assert patches.train == (2.0, 5 / 6) and patches.overfitting == 0.75
  assert np.isnan(overfitting(train, held_out, train))


def test_a_discriminator_that_knows_its_data_by_heart():
  points = np.random.RandomState(0).randn(3, 100, 5)
  known = {x.tobytes() for x in points[0]}
  by_heart = lambda x: np.array([4.0 if row.tobytes() in known else -4.0 for row in x])
  assert held_out_report(by_heart, *points).overfitting == 1
  assert (
    held_out_report(
      lambda x: x[:, 0] * 0 + 1.0 * (np.abs(x[:, 0]) < 99), points[0], points[1], points[2] + 99
    ).overfitting
    == 0
  )
