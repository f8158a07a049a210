"""Metrics of pictures and latents against independent float64 answers: scipy, scikit-learn, numpy and closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import ndimage, signal, stats
from scipy.spatial import distance
from sklearn.neighbors import NearestNeighbors

from gan_jax.base.errors import UserError
from gan_jax.latents import interpolation
from gan_jax.metrics import diversity, inversion, neighbours, paired, path_length, similarity, sliced_wasserstein


def pictures(count, side, channels=1, seed=0):
  """Smooth random pictures, uint8 (count, side, side, channels)."""
  noise = np.random.RandomState(seed).randn(count, side, side, channels)
  smooth = ndimage.gaussian_filter(noise, (0, 2, 2, 0))
  return np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)


# Sliced Wasserstein distance


def test_sliced_wasserstein_is_the_mean_of_wasserstein_distances_along_directions():
  x, y = np.random.RandomState(0).randn(2, 300, 4).astype(np.float32)
  directions = np.random.RandomState(5).randn(20, 4)
  directions /= np.linalg.norm(directions, axis=1)[:, None]
  expected = np.mean([stats.wasserstein_distance(x @ d, y @ d) for d in directions])
  np.testing.assert_allclose(sliced_wasserstein.sliced_wasserstein(x, y, projections=20, seed=5), expected, rtol=1e-5)
  with pytest.raises(UserError, match='one size'):
    sliced_wasserstein.sliced_wasserstein(x, y[:-1])


def test_sliced_wasserstein_of_a_shift():
  # Along a random direction a shift of length s moves every point by s |cos|, of mean s 2 / pi in the plane.
  x = np.random.RandomState(0).randn(100, 2).astype(np.float32)
  shifted = x + np.array([3.0, 4.0], np.float32)
  value = sliced_wasserstein.sliced_wasserstein(x, shifted, projections=20_000)
  np.testing.assert_allclose(value, 5 * 2 / np.pi, rtol=0.02)


BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, :, :, None] / 256


def scipy_pyramid(x, levels):
  bands = [x.astype(np.float64)]
  for _ in range(levels - 1):
    smaller = ndimage.convolve(bands[-1], BINOMIAL, mode='mirror')[:, ::2, ::2]
    spread = np.zeros_like(bands[-1])
    spread[:, ::2, ::2] = smaller
    bands[-1] = bands[-1] - ndimage.convolve(spread, 4 * BINOMIAL, mode='mirror')
    bands.append(smaller)
  return bands


def test_laplacian_pyramid():
  x = pictures(3, 64, 3)
  for band, expected in zip(sliced_wasserstein.laplacian_pyramid(x, 3), scipy_pyramid(x, 3), strict=True):
    np.testing.assert_allclose(band, expected, atol=1e-4)


def test_pyramid_distance_from_every_patch():
  # All patches of all pictures in numpy, against random ones in what is tested, with other directions.
  real, fake = pictures(24, 32, 3), (pictures(24, 32, 3, seed=1) // 2 + 30).astype(np.uint8)
  fake[:, ::2] += 40
  found = sliced_wasserstein.pyramid_distance(real, fake, patches=400, projections=200)
  assert list(found.levels) == [32, 16]
  directions = np.random.RandomState(3).randn(147, 200)
  directions /= np.linalg.norm(directions, axis=0)
  for level, side in enumerate((32, 16)):
    sets = []
    for images in (real, fake):
      x = scipy_pyramid(images, 2)[level]
      windows = np.lib.stride_tricks.sliding_window_view(x, (7, 7), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
      patches = windows.reshape(-1, 49, 3)
      patches = (patches - patches.mean((0, 1))) / patches.std((0, 1))
      sets.append(np.sort(patches.reshape(-1, 147) @ directions, 0))
    np.testing.assert_allclose(found.levels[side], 1e3 * abs(sets[0] - sets[1]).mean(), rtol=0.06)
  np.testing.assert_allclose(found.average, np.mean(list(found.levels.values())))


def test_pyramid_distance_is_reproducible_and_symmetric_to_brightness_and_contrast(monkeypatch):
  real, fake = pictures(40, 28), pictures(30, 28, seed=1)
  fake[:, 1::2] //= 2
  found = sliced_wasserstein.pyramid_distance(real, fake, projections=64)
  assert list(found.levels) == [28, 14] and found.pictures == 30
  assert found == sliced_wasserstein.pyramid_distance(real, fake, projections=64)
  assert found.levels != sliced_wasserstein.pyramid_distance(real, fake, projections=64, seed=1).levels
  stretched = 0.25 * fake.astype(np.float32) + 100
  same = sliced_wasserstein.pyramid_distance(real, stretched, projections=64)
  np.testing.assert_allclose(list(same.levels.values()), list(found.levels.values()), rtol=1e-3)
  # Nothing depends on how the work is cut.
  monkeypatch.setattr(sliced_wasserstein, 'CHUNK', 7)
  monkeypatch.setattr(sliced_wasserstein, 'PROJECTIONS', 30 * 128 * 4 * 5)
  cut = sliced_wasserstein.pyramid_distance(real, fake, projections=64)
  np.testing.assert_allclose(list(cut.levels.values()), list(found.levels.values()), rtol=1e-5)


def test_pyramid_levels_tell_detail_from_composition():
  real = pictures(60, 64)
  distances = lambda fake: sliced_wasserstein.pyramid_distance(real, fake, projections=64).levels
  floor = distances(pictures(60, 64, seed=1))
  assert list(floor) == [64, 32, 16]
  striped = pictures(60, 64, seed=1) // 2 + 8
  striped[:, ::2] += 8  # stripes of one pixel: gone at half the size
  striped = distances(striped)
  assert striped[64] > 3 * floor[64] and striped[16] < 2 * floor[16]


@pytest.mark.parametrize('shape', [(16, 16), (17, 23), (29, 29)])
def test_pyramid_distance_takes_any_size_from_14(shape):
  real = pictures(6, 40)[:, : shape[0], : shape[1]]
  found = sliced_wasserstein.pyramid_distance(real, 255 - real, patches=16, projections=8)
  assert all(np.isfinite(v) for v in found.levels.values())
  assert sliced_wasserstein.pyramid_distance(real, real, patches=16, projections=8).average == 0


def test_pyramid_distance_of_blank_pictures_is_a_number_and_of_tiny_ones_an_error():
  real = pictures(6, 32)
  assert sliced_wasserstein.pyramid_distance(real, np.zeros_like(real), projections=8).average > 0
  with pytest.raises(UserError, match='14 pixels'):
    sliced_wasserstein.pyramid_distance(real[:, :8, :8], real[:, :8, :8])
  with pytest.raises(UserError, match='one size'):
    sliced_wasserstein.pyramid_distance(real, pictures(6, 16))


# SSIM and MS-SSIM


def scipy_terms(x, y):
  """(similarity, contrast-structure) of two pictures (H, W) in [0, 255], as in Wang et al. 2004."""
  size = min(11, *x.shape)
  place = np.arange(size) - (size - 1) / 2
  window = np.exp(-(place[:, None] ** 2 + place**2) / (2 * (1.5 * size / 11) ** 2))
  window /= window.sum()
  local = lambda v: signal.convolve2d(v, window, mode='valid')
  mx, my = local(x), local(y)
  vx, vy, vxy = local((x) ** 2) - mx**2, local(y**2) - my**2, local(x * y) - mx * my
  structure = (2 * vxy + 7.65**2) / (vx + vy + 7.65**2)
  return (structure * (2 * mx * my + 2.55**2) / (mx**2 + my**2 + 2.55**2)).mean(), structure.mean()


def scipy_ms_ssim(x, y, weights):
  product = 1.0
  for scale, weight in enumerate(weights):
    terms = np.mean([scipy_terms(x[..., c], y[..., c]) for c in range(x.shape[-1])], 0)
    product *= max(0, terms[0 if scale == len(weights) - 1 else 1]) ** weight
    halved = lambda v: np.stack(
      [ndimage.convolve(v[..., c], np.ones((2, 2)) / 4, mode='reflect') for c in range(v.shape[-1])], -1
    )
    x, y = halved(x)[::2, ::2], halved(y)[::2, ::2]
  return product


def disturbed(x, deviation, seed=0):
  return np.clip(x + deviation * np.random.RandomState(seed).randn(*x.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(('side', 'channels'), [(8, 1), (28, 1), (32, 3)])
def test_ssim(side, channels):
  x = pictures(3, side, channels)
  y = disturbed(x, 20)
  one = lambda a, b: np.mean([scipy_terms(a[..., c], b[..., c])[0] for c in range(channels)])
  expected = [one(*pair) for pair in zip(x.astype(float), y.astype(float), strict=True)]
  np.testing.assert_allclose(similarity.ssim(x, y), expected, atol=1e-5)
  np.testing.assert_allclose(similarity.ssim(x / 255, y / 255, data_range=1.0), expected, atol=1e-5)


@pytest.mark.parametrize(('side', 'channels', 'scales'), [(28, 1, 2), (37, 1, 2), (64, 3, 3), (176, 1, 5)])
def test_ms_ssim(side, channels, scales):
  assert similarity.scales_of(side, side) == scales
  x = pictures(2, side, channels)
  y = disturbed(x, 30)
  weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
  weights = weights if scales == 5 else weights / weights.sum()
  expected = [scipy_ms_ssim(*pair, weights) for pair in zip(x.astype(float), y.astype(float), strict=True)]
  np.testing.assert_allclose(similarity.ms_ssim(x, y), expected, atol=1e-5)


def test_five_scales_of_a_small_picture_shrink_the_window():
  x = pictures(1, 64)
  y = disturbed(x, 30)
  expected = scipy_ms_ssim(x[0].astype(float), y[0].astype(float), [0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
  np.testing.assert_allclose(similarity.ms_ssim(x, y, scales=5), [expected], atol=1e-5)
  with pytest.raises(UserError, match='1 to 5'):
    similarity.ms_ssim(x, y, scales=6)
  with pytest.raises(UserError, match='one shape'):
    similarity.ms_ssim(x, y[:, :32])


def test_similarity_of_equal_pictures_is_one_and_falls_with_noise():
  x = pictures(4, 64, 3)
  for measure in (similarity.ssim, similarity.ms_ssim):
    np.testing.assert_allclose(measure(x, x), 1, atol=1e-6)
    means = [float(measure(x, disturbed(x, deviation)).mean()) for deviation in (2, 8, 32, 128)]
    assert means == sorted(means, reverse=True)
  # Opposite structure has no similarity, and not NaN.
  np.testing.assert_array_equal(similarity.ms_ssim(x, 255 - x), 0)


def test_similarity_within_classes_exposes_a_collapsed_class():
  varied, collapsed = pictures(40, 32), disturbed(np.repeat(pictures(1, 32), 40, 0), 3)
  images, labels = np.concatenate([varied, collapsed]), np.repeat([0, 1], 40)
  found = similarity.class_similarity(images, labels, 3, pairs=200)
  # All pairs of the varied class, by scipy, within the error that is stated for 200 of them.
  pairs = [(a, b) for a in range(40) for b in range(a)][::10]
  weights = np.array([0.0448, 0.2856]) / 0.3304
  truth = [scipy_ms_ssim(varied[a].astype(float), varied[b].astype(float), weights) for a, b in pairs]
  assert abs(found.mean[0] - np.mean(truth)) < 4 * np.hypot(found.standard_error[0], stats.sem(truth))
  assert found.mean[1] > 0.9 > 0.3 > found.mean[0]
  assert np.isnan(found.mean[2])
  alone = similarity.pair_similarity(varied, pairs=200)
  assert alone == (found.mean[0], found.standard_error[0])
  # A pair is never a picture with itself: two opposite pictures have no similarity at all.
  two = np.stack([varied[0], 255 - varied[0]])
  assert similarity.pair_similarity(two, pairs=50).mean == 0
  with pytest.raises(UserError, match='two or more'):
    similarity.pair_similarity(two[:1])


# Paths and their length


def test_spherical_path_is_the_arc():
  a, b = np.random.RandomState(0).randn(2, 5, 7)
  unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
  a, b = 3 * unit(a), 3 * unit(b)
  angle = np.arccos(np.sum(a * b, -1) / 9)
  for t in (0.0, 0.3, 1.0):
    point = interpolation.spherical(a, b, t)
    np.testing.assert_allclose(np.linalg.norm(point, axis=-1), 3)
    np.testing.assert_allclose(np.arccos(np.clip(np.sum(a * point, -1) / 9, -1, 1)), t * angle, atol=1e-7)
  each = interpolation.spherical(a.reshape(5, 7, 1), b.reshape(5, 7, 1), np.linspace(0, 1, 5))
  np.testing.assert_allclose(each[[0, 4], :, 0], [a[0], b[4]], atol=1e-12)
  # Where there is no one arc: a straight line.
  np.testing.assert_allclose(interpolation.spherical(a, 2 * a, 0.5), 1.5 * a)
  np.testing.assert_allclose(interpolation.spherical(a, -a, 0.25), 0.5 * a)
  np.testing.assert_allclose(interpolation.spherical(0 * a, a, 0.5), 0.5 * a)
  with pytest.raises(UserError, match='linear, spherical'):
    interpolation.interpolate(a, b, 0.5, 'cubic')


MAP = np.random.RandomState(1).randn(6, 20).astype(np.float32)
STARTS, ENDS = np.random.RandomState(2).randn(2, 300, 6).astype(np.float32)


def matrix(variables, latents):
  return latents @ variables


@pytest.mark.parametrize('kind', ['linear', 'spherical'])
@pytest.mark.parametrize('trim', [0.0, 0.01])
def test_path_length_of_a_linear_generator(kind, trim):
  found = path_length.path_length(Partial(matrix, MAP), lambda x: x, STARTS, ENDS, kind=kind, trim=trim, seed=4)
  a, b = STARTS.astype(np.float64), ENDS.astype(np.float64)
  t = np.random.RandomState(4).rand(300, 1)
  angle = np.arccos(np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))[:, None]
  # Derivatives along the paths, by hand.
  speed = b - a if kind == 'linear' else angle / np.sin(angle) * (np.cos(t * angle) * b - np.cos((1 - t) * angle) * a)
  lengths = np.sort(np.sum((speed @ MAP) ** 2, 1))
  kept = lengths if trim == 0 else lengths[2:-2]  # 1 % of the gaps between 300 values: two at each end
  np.testing.assert_allclose(found.mean, kept.mean(), rtol=2e-3)
  np.testing.assert_allclose(found.median, np.median(lengths), rtol=5e-3)
  np.testing.assert_allclose(found.standard_error, kept.std() / np.sqrt(len(kept)), rtol=5e-3)


def test_path_length_of_orthogonal_maps_is_the_angle():
  # Latents of equal length r, spherical path, orthogonal map: every step covers the same arc, r^2 angle^2.
  turn = np.linalg.qr(np.random.RandomState(3).randn(6, 6))[0].astype(np.float32)
  a, b = (4 * x / np.linalg.norm(x, axis=1)[:, None] for x in (STARTS, ENDS))
  found = path_length.path_length(Partial(matrix, turn), lambda x: x, a, b, trim=0.0)
  angles = np.arccos(np.sum(a.astype(np.float64) * b, 1) / 16)
  np.testing.assert_allclose(found.mean, 16 * np.mean(angles**2), rtol=2e-3)


def test_path_length_keeps_labels_and_refuses_rounded_pictures():
  scales = jnp.array([1.0, 10.0])
  generate = lambda latents: latents['z'] * scales[latents['label']][:, None]
  latents = lambda z, label: {'z': z, 'label': np.full(300, label)}
  run = lambda label: path_length.path_length(
    generate, lambda x: x, latents(STARTS, label), latents(ENDS, 1 - label), kind='linear', trim=0.0
  )
  np.testing.assert_allclose(run(1).mean, 100 * run(0).mean, rtol=5e-3)
  with pytest.raises(UserError, match='uint8'):
    path_length.path_length(lambda z: z.astype(jnp.uint8), lambda x: x, STARTS, ENDS)


# Latent search


def test_inversion_of_a_linear_generator_is_least_squares():
  random = np.random.RandomState(0)
  targets = random.randn(10, 20).astype(np.float32)
  starts = random.randn(3, 10, 6).astype(np.float32)
  found = inversion.invert(Partial(matrix, MAP), targets, starts, steps=600, learning_rate=0.05, batch=12)
  best, *_ = np.linalg.lstsq(MAP.T.astype(np.float64), targets.T.astype(np.float64), rcond=None)
  np.testing.assert_allclose(found.latents, best.T, atol=2e-3)
  np.testing.assert_allclose(found.errors, np.mean((best.T @ MAP - targets) ** 2, 1), rtol=1e-4)


def test_inversion_keeps_the_best_start_and_the_best_step():
  # Two valleys: only the second start of the first target and the first of the second lead to the deeper one.
  generate = lambda z: z**3 - 3 * z
  targets = np.array([[-1.5], [2.5]], np.float32)
  starts = np.array([[[1.5], [2.0]], [[-1.9], [-1.5]]], np.float32)
  found = inversion.invert(generate, targets, starts, steps=300)
  np.testing.assert_allclose(generate(found.latents), targets, atol=1e-3)
  # A step that is far too large: nothing found is worse than the start.
  wild = inversion.invert(generate, targets, starts, steps=5, learning_rate=100.0)
  errors = np.mean((generate(starts) - targets) ** 2, -1).min(0)
  np.testing.assert_allclose(wild.errors, errors, rtol=1e-5)
  np.testing.assert_allclose(np.mean((generate(wild.latents) - targets) ** 2, -1), errors, rtol=1e-5)
  with pytest.raises(UserError, match='restarts, targets'):
    inversion.invert(generate, targets, starts[:, :1])


def test_inversion_in_features_and_with_labels():
  signs = jnp.array([1.0, -1.0])
  generate = lambda latents: latents['z'] * signs[latents['label']][:, None]
  targets = np.array([[2.0, 7.0], [3.0, 7.0]], np.float32)
  starts = {'z': np.zeros((1, 2, 2)), 'label': np.array([[0, 1]])}
  found = inversion.invert(generate, targets, starts, features=lambda x: x[:, :1], steps=600)
  np.testing.assert_allclose(
    found.latents['z'], [[2, 0], [-3, 0]], atol=1e-2
  )  # the second entry is not in the features
  np.testing.assert_array_equal(found.latents['label'], [0, 1])
  assert found.errors.max() < 1e-4


def test_recovery_exposes_a_generator_that_memorises():
  # The generator spans exactly its training examples.
  random = np.random.RandomState(0)
  train, held_out = random.randn(2, 6, 20).astype(np.float32)
  errors = lambda x: inversion.invert(Partial(matrix, train), x, np.zeros((1, 6, 6)), steps=800).errors
  found = inversion.recovery(errors(train), errors(held_out))
  assert found.gap > 0.99 and found.p_value < 0.01
  fair = inversion.recovery(errors(held_out), errors(random.randn(6, 20).astype(np.float32)))
  assert abs(fair.gap) < 0.5 and fair.p_value > 0.05
  # Webster et al. 2019, supplement, table 1, MNIST: medians 2.86e-4 and 8.88e-4 give a gap of 0.678.
  np.testing.assert_allclose(inversion.recovery(np.array([2.86e-4]), np.array([8.88e-4])).gap, 0.678, atol=1e-3)


# Nearest neighbours


def sklearn_nearest(samples, train, k):
  rows = [x.reshape(len(x), -1).astype(np.float64) for x in (samples, train)]
  distances, indices = NearestNeighbors(n_neighbors=k, algorithm='kd_tree').fit(rows[1]).kneighbors(rows[0])
  return indices, distances / np.sqrt(rows[0].shape[1])


@pytest.mark.parametrize('k', [1, 5])
def test_neighbours(k, monkeypatch):
  monkeypatch.setattr(neighbours, 'ROWS', 32)
  monkeypatch.setattr(neighbours, 'COLUMNS', 100)
  samples, train = pictures(70, 12, 3), pictures(350, 12, 3, seed=1)
  found = neighbours.nearest(samples, train, k=k)
  indices, distances = sklearn_nearest(samples, train, k)
  np.testing.assert_array_equal(found.indices, indices)
  np.testing.assert_allclose(found.distances, distances, rtol=1e-12)


def test_neighbours_that_float32_cannot_tell_apart(monkeypatch):
  monkeypatch.setattr(neighbours, 'COLUMNS', 64)
  # 200 training examples within 1e-6 of one another, 1 away from zero: products in float32 lose their order.
  random = np.random.RandomState(0)
  centre = random.randn(1, 50)
  train = np.concatenate([centre + 1e-6 * random.randn(200, 50), -centre + random.randn(100, 50)])
  samples = centre + 1e-6 * random.randn(20, 50)
  found = neighbours.nearest(samples, train, k=3)
  indices, distances = sklearn_nearest(samples, train, 3)
  np.testing.assert_array_equal(found.indices, indices)
  np.testing.assert_allclose(found.distances, distances, rtol=1e-9)
  # And equal ones come in order.
  np.testing.assert_array_equal(
    neighbours.nearest(np.zeros((2, 3)), np.ones((100, 3)), k=4).indices, [[0, 1, 2, 3]] * 2
  )


def test_neighbours_of_points_in_the_plane():
  samples, train = np.random.RandomState(0).randn(2, 3000, 2).astype(np.float32)
  found = neighbours.nearest(samples[:200], train, k=2)
  indices, distances = sklearn_nearest(samples[:200], train, 2)
  np.testing.assert_array_equal(found.indices, indices)
  np.testing.assert_allclose(found.distances, distances, rtol=1e-12)


def test_copies_are_exposed():
  train, held_out = pictures(200, 16), pictures(60, 16, seed=1)
  assert neighbours.copying(train, held_out, train[:50]) == (0, sklearn_median(held_out, train), 0)
  blurred = disturbed(train[:50], 2)
  assert neighbours.copying(train, held_out, blurred).ratio < 0.1
  fresh = neighbours.copying(train, held_out, pictures(60, 16, seed=2))
  assert 0.9 < fresh.ratio < 1.1
  with pytest.raises(UserError, match='choose 1 to 200'):
    neighbours.nearest(held_out, train, k=201)
  with pytest.raises(UserError, match='one shape'):
    neighbours.nearest(held_out[:, 1:], train)


def sklearn_median(x, train):
  return pytest.approx(np.median(sklearn_nearest(x, train, 1)[1]))


# Classes


def test_pairwise_distance(monkeypatch):
  monkeypatch.setattr(diversity, 'CHUNK', 16)
  for x in (pictures(50, 8, 3), 1e6 + np.random.RandomState(0).randn(50, 7)):
    expected = np.sqrt(np.mean(distance.pdist(x.reshape(50, -1).astype(np.float64), 'sqeuclidean')) / x[0].size)
    np.testing.assert_allclose(diversity.pairwise_distance(x), expected, rtol=1e-9)
  assert np.isnan(diversity.pairwise_distance(x[:1]))


def test_class_diversity_exposes_a_collapsed_class():
  real, samples = pictures(60, 8), pictures(60, 8, seed=1)
  labels = np.arange(60) % 3
  samples[labels == 1] = disturbed(np.repeat(samples[:1], 20, 0), 1)
  found = diversity.class_diversity(samples, labels, real, labels, 4)
  for label in range(3):
    one = lambda x: np.sqrt(np.mean(distance.pdist(x[labels == label].reshape(20, -1) / 1.0, 'sqeuclidean')) / 64)  # noqa: B023
    np.testing.assert_allclose([found.samples[label], found.real[label]], [one(samples), one(real)], rtol=1e-9)
  np.testing.assert_allclose(found.ratio[:3], found.samples[:3] / found.real[:3])
  assert found.ratio[1] < 0.1 < 0.8 < found.ratio[0] and np.isnan(found.ratio[3])


def test_class_balance():
  labels = np.array([0] * 5 + [1] * 3 + [2] * 2)
  found = diversity.class_balance(labels, 3)
  np.testing.assert_allclose(found.divergence, stats.entropy([0.5, 0.3, 0.2], [1, 1, 1]))
  np.testing.assert_allclose(found.rarest, 0.6)
  assert found.shares.tolist() == [0.5, 0.3, 0.2]
  found = diversity.class_balance(np.eye(3)[labels], 3, reference=np.array([50, 30, 20]))
  np.testing.assert_allclose([found.divergence, found.rarest], [0, 1], atol=1e-12)
  half = diversity.class_balance(np.arange(100) % 5, 10)
  np.testing.assert_allclose([half.divergence, half.rarest], [np.log(2), 0])
  assert diversity.class_balance(labels, 3, reference=np.array([1, 1, 0])).divergence == np.inf
  for bad, classes, reference in ((labels, 2, None), (labels[:0], 3, None), (np.eye(3), 4, None), (labels, 3, [1, 1])):
    with pytest.raises(UserError, match='class'):
      diversity.class_balance(bad, classes, reference)


def test_conditional_accuracy():
  random = np.random.RandomState(0)
  logits, asked = random.randn(400, 5), random.randint(0, 5, 400)
  found = diversity.conditional_accuracy(logits, asked)
  right = logits.argmax(1) == asked
  assert found.value == right.mean()
  np.testing.assert_allclose(found.standard_error, stats.sem(right, ddof=0))
  with pytest.raises(UserError, match='one class a sample'):
    diversity.conditional_accuracy(logits, asked[:3])


def test_pairs_by_hand():
  x, y = np.array([[0, 0, 10, 20], [5, 5, 5, 5]], np.uint8), np.array([[0, 4, 10, 10], [5, 5, 5, 5]], np.uint8)
  assert paired.absolute_errors(x, y).tolist() == [3.5, 0.0]
  assert paired.psnr(x, y)[0] == pytest.approx(10 * np.log10(255**2 / 29)) and np.isinf(paired.psnr(x, y)[1])
  features = np.array([[3.0, 4.0], [1.0, 0.0]])
  np.testing.assert_allclose(paired.feature_distances(features, 2 * features), 0, atol=1e-12)
  np.testing.assert_allclose(paired.feature_distances(features, -features), 4)
  np.testing.assert_allclose(paired.feature_distances(features[:1], np.array([[4.0, 3.0]])), 2 - 2 * 24 / 25)
