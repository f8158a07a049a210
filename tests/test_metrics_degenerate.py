"""Figures of too little, of the same over and over, and of what is no number: refused, or marked, never plausible."""

import pkgutil

import numpy as np
import pytest

from gan_jax import metrics
from gan_jax.base.errors import UserError
from gan_jax.metrics import (
  bleu,
  codes,
  diversity,
  frechet,
  gmam,
  held_out,
  histograms,
  inception_score,
  inversion,
  kernel_distance,
  makers,
  manifolds,
  modes,
  music,
  neighbours,
  paired,
  parzen,
  path_length,
  probe,
  similarity,
  sliced_wasserstein,
  two_sample,
)
from gan_jax.metrics.checks import share_error

X = np.random.RandomState(0).randn(20, 3)
Y = np.random.RandomState(1).randn(20, 3)
BAD = Y.copy()
BAD[3, 1] = np.nan
Z = np.random.RandomState(2).rand(20, 3)


@pytest.mark.parametrize(
  'figure',
  [
    lambda: frechet.frechet(frechet.moments(X), frechet.moments(np.where(np.isnan(BAD), np.inf, BAD))),
    lambda: kernel_distance.kernel_distance(X, BAD, subsets=2, size=5),
    lambda: kernel_distance.squared_mmd(BAD, X),
    lambda: inception_score.inception_score(BAD, splits=2),
    lambda: manifolds.manifolds(X, BAD),
    lambda: manifolds.manifolds(BAD, X),
    lambda: neighbours.nearest(BAD, X),
    lambda: neighbours.copying(X, Y, BAD),
    lambda: modes.mixture_coverage(BAD, np.zeros((1, 3)), 1.0),
    lambda: parzen.parzen_likelihood(X, BAD, Y),
    lambda: diversity.conditional_accuracy(BAD, np.zeros(20, int)),
    lambda: diversity.class_balance(BAD, 3),
    lambda: held_out.held_out_report(lambda x: x, X, Y, BAD),
    lambda: two_sample.two_sample_test(X.astype(np.float32), BAD.astype(np.float32), steps=1),
    lambda: probe.fit_linear_svm(BAD.astype(np.float16), np.arange(20) % 2, 1.0),
    lambda: similarity.pair_similarity(np.full((2, 8, 8, 1), np.nan), pairs=1),
    lambda: path_length.path_length(lambda z: z / 0, lambda x: x, X, Y),
    lambda: histograms.histogram_distances(BAD[:, 1], X[:, 1]),
    lambda: histograms.histogram_distances(X[:, 1], BAD[:, 1]),
    lambda: inversion.recovery(BAD[:, 1], X[:, 1]),
    lambda: sliced_wasserstein.sliced_wasserstein(X, BAD),
    lambda: sliced_wasserstein.pyramid_distance(np.zeros((2, 16, 16, 1)), np.full((2, 16, 16, 1), np.nan)),
    lambda: music.scale_consistency(BAD[:, 1]),
    lambda: music.repetitions(BAD[:, 1]),
    lambda: music.span(BAD[:, 1]),
    lambda: music.polyphony(BAD[:, 1]),
    lambda: gmam.gmam(-1.0, -1.0, float('nan'), -1.0),
    lambda: paired.absolute_errors(X, BAD),
    lambda: paired.psnr(BAD, X),
    lambda: paired.feature_distances(X, BAD),
  ],
)
@pytest.mark.filterwarnings('ignore:invalid value')
def test_what_is_no_number_gives_no_figure(figure):
  with pytest.raises(UserError, match='not finite'):
    figure()


def test_every_metric_is_asked_here():
  helpers = {'checks', 'filters', 'patches'}  # none of them gives a figure
  missing = {module.name for module in pkgutil.iter_modules(metrics.__path__)} - helpers - globals().keys()
  assert not missing, f'metrics/{min(missing)}.py: give it a row of numbers that are not finite in this file'


@pytest.mark.parametrize(
  ('figure', 'words'),
  [
    (lambda: frechet.frechet(frechet.moments(X), frechet.moments(Y[:1])), 'a set of 1 examples: it needs two or more'),
    (lambda: kernel_distance.kernel_distance(X, Y[:1]), 'generated: 1 examples, this figure needs 2 or more'),
    (lambda: kernel_distance.kernel_distance(X, Y, size=1), 'size=1 and subsets=100'),
    (lambda: kernel_distance.kernel_distance(X, Y, subsets=0), 'subsets=0'),
    (lambda: inception_score.inception_score(X[:2], splits=3), 'splits=3 of 2 samples: choose 1 to'),
    (lambda: inception_score.inception_score(X[:0]), 'splits=10 of 0 samples'),
    (lambda: neighbours.copying(X, Y[:0], Y), 'held_out: 0 examples, this figure needs 1'),
    (lambda: parzen.parzen_likelihood(X, Y, Y[:0]), 'test: 0 examples'),
    (lambda: diversity.conditional_accuracy(X[:0], np.zeros(0, int)), 'samples: 0 examples'),
    (lambda: diversity.class_balance(np.array([0, 1]), 2, np.zeros(2)), 'must be 0 or more, and not all 0'),
    (lambda: held_out.held_out_report(lambda x: x, X, Y[:0], X), 'held_out: 0 examples'),
    (lambda: probe.fit_linear_svm(X, np.zeros(20, int), 1.0), 'needs two classes or more, and the labels have one'),
    (lambda: probe.choose_c([(X[:0], np.zeros(0, int))], (X, np.arange(20) % 2), [1.0]), 'training: 0 examples'),
    (lambda: codes.code_error(*(np.zeros(4, int),) * 4), 'only one class, so any code has no error'),
    (lambda: similarity.pair_similarity(np.zeros((2, 8, 8, 1)), pairs=0), 'pairs=0 must be at least 1'),
    (lambda: histograms.histogram_distances(X[:0, 1], X[:, 1]), 'samples: 0 examples'),
    (lambda: histograms.histogram_distances(X[:, 1], X[:0, 1]), 'real: 0 examples'),
    (lambda: inversion.recovery(X[:0, 1], X[:, 1]), 'training: 0 examples'),
    (lambda: makers.division(np.zeros(0, int), np.zeros(0, int), 2, 3), 'samples: 0 examples'),
    (lambda: music.scale_consistency(X[:0, 1]), 'pitches: 0 examples'),
    (lambda: bleu.bleu([], [['a']], 2), 'BLEU of 0 sentences against 1 references'),
    (lambda: bleu.self_bleu([['a']], 2), 'BLEU of 1 sentences against 0 references'),
    (lambda: paired.psnr(X[:0], X[:0]), 'give one or more, of one shape'),
    (lambda: paired.absolute_errors(X, Y[:5]), 'give one or more, of one shape'),
    (lambda: sliced_wasserstein.sliced_wasserstein(X[:0], X[:0]), 'x: 0 examples'),
    (lambda: sliced_wasserstein.pyramid_distance(*(np.zeros((n, 16, 16, 1)) for n in (2, 0))), 'generated: 0 examples'),
  ],
)
def test_too_little_gives_no_figure(figure, words):
  with pytest.raises(UserError, match=words):
    figure()


def test_a_standard_error_of_what_shows_no_spread_is_none():
  # Every subset is the whole of both sides, which differ all the same by what single examples add.
  whole = kernel_distance.kernel_distance(X, Y, subsets=5, size=20)
  assert whole.value == pytest.approx(kernel_distance.squared_mmd(X, Y)) and whole.standard_error > 0.01
  assert whole.subset_deviation < 1e-12
  assert np.isnan(inception_score.inception_score(X, splits=1).standard_error)
  assert np.isnan(parzen.parzen_likelihood(X, Y, Y[:1], sigmas=parzen.SIGMAS).standard_error)
  pictures = np.random.RandomState(0).randint(0, 256, (10, 8, 8, 1)).astype(np.uint8)
  assert np.isnan(similarity.pair_similarity(pictures[:2], pairs=50).standard_error)
  # 1000 pairs of ten pictures say no more than five.
  few = similarity.pair_similarity(pictures, pairs=1000)
  assert few.standard_error > 10 * (few.mean * (1 - few.mean) / 1000) ** 0.5 / 10**0.5


def test_all_right_of_a_few_is_not_certain():
  assert share_error(0.25, 12) == 0.125
  # The deviation of Beta(6, 1) is sqrt(6 / (49 * 8)).
  assert share_error(1.0, 5) == pytest.approx((6 / (49 * 8)) ** 0.5) == share_error(0.0, 5)
  assert np.isnan(share_error(0.5, 0))
  assert diversity.conditional_accuracy(np.eye(3), np.arange(3)).standard_error == share_error(1.0, 3) > 0.1
  assert codes.code_error(*(np.array([0, 1]),) * 4).standard_error == share_error(0.0, 2)


def test_the_same_example_over_and_over():
  same = np.full((20, 3), 0.1)
  # Nothing lies in an empty ball: where all real ones are, only recall can be told.
  nothing = manifolds.manifolds(same, Y)
  assert np.isnan([nothing.precision, nothing.density, nothing.coverage]).all() and nothing.recall == 1
  assert manifolds.manifolds(Y, same + 7.3).recall == 0
  # Rounding makes no ball of equal examples, wherever they lie.
  for offset in (0.0, 1e3, 1e6):
    half = np.concatenate([X, same]) + offset
    assert (manifolds.radii(half, 5)[20:] == 0).all() and (manifolds.radii(half, 5)[:20] > 0).all()
  assert manifolds.crowded(np.concatenate([X, same]), 5) == 0.5 and manifolds.crowded(X, 1) == 0


def test_a_histogram_of_data_that_are_all_equal():
  same = histograms.histogram_distances(np.ones(4), np.ones(5), bins=4)
  assert (same.chi_square, same.kl, same.outside, same.low, same.high) == (0.0, 0.0, 0.0, 0.5, 1.5)
  assert histograms.histogram_distances(np.zeros(4), np.ones(5)).outside == 1


def test_one_scale_of_opposite_pictures_is_zero():
  x = np.random.RandomState(0).randint(0, 256, (3, 16, 16, 1))
  assert similarity.scales_of(16, 16) == 1
  assert (np.asarray(similarity.ssim(x, 255 - x)) < -0.5).all()
  for scales in (None, 1, 2):
    assert (np.asarray(similarity.ms_ssim(x, 255 - x, scales=scales)) == 0).all()
