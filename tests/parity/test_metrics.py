"""FID, KID, IS and PRDC from the same features as torch-fidelity and prdc, whose authors know nothing of ours."""

import numpy as np
import pytest

from gan_jax.metrics import frechet, inception_score, kernel_distance, manifolds

torch = pytest.importorskip('torch')
pytest.importorskip('torch_fidelity')


def _features(seed, count, size, shift=0.0):
  random = np.random.RandomState(seed)
  mix = np.random.RandomState(99).randn(size, size) / np.sqrt(size)
  # Like those of a network: not negative, correlated.
  return np.maximum(random.randn(count, size) @ mix + 0.3 + shift, 0).astype(np.float32)


@pytest.mark.parametrize(('count', 'size'), [(3000, 64), (3000, 256), (200, 256)])
def test_frechet_distance(count, size):
  from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

  real, fake = _features(0, count, size), _features(1, count, size, 0.1)
  theirs = [fid_features_to_statistics(torch.from_numpy(x).double()) for x in (fake, real)]
  expected = fid_statistics_to_metric(*theirs, verbose=False)['frechet_inception_distance']
  assert frechet.frechet(frechet.moments(real), frechet.moments(fake)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('shift', [0.0, 0.2])
def test_kernel_distance(shift):
  from torch_fidelity.metric_kid import kid_features_to_metric

  real, fake = _features(2, 2500, 64), _features(3, 3000, 64, shift)
  theirs = kid_features_to_metric(
    torch.from_numpy(fake).double(),
    torch.from_numpy(real).double(),
    kid_subsets=20,
    kid_subset_size=500,
    kid_kernel='poly',
    kid_kernel_poly_degree=3,
    kid_kernel_poly_gamma=None,
    kid_kernel_poly_coef0=1,
    rng_seed=2020,
    verbose=False,
  )
  ours = kernel_distance.kernel_distance(real, fake, subsets=20, size=500)
  assert ours.value == pytest.approx(theirs['kernel_inception_distance_mean'], abs=1e-9, rel=1e-6)
  assert ours.subset_deviation == pytest.approx(theirs['kernel_inception_distance_std'], rel=1e-6)


@pytest.mark.parametrize('splits', [1, 10])
def test_inception_score(splits):
  from torch_fidelity.metric_isc import isc_features_to_metric

  logits = (3 * np.random.RandomState(4).randn(2003, 17)).astype(np.float32)
  theirs = isc_features_to_metric(torch.from_numpy(logits), splits=splits, shuffle=True, rng_seed=2020)
  ours = inception_score.inception_score(logits, splits=splits)
  assert ours.value == pytest.approx(theirs['inception_score_mean'], rel=1e-9)
  assert ours.split_deviation == pytest.approx(theirs['inception_score_std'], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(('shift', 'k'), [(0.0, 5), (0.1, 3), (0.4, 5)])
def test_precision_recall_density_coverage(shift, k):
  prdc = pytest.importorskip('prdc')
  real, fake = (x.astype(np.float64) for x in (_features(5, 900, 32), _features(6, 1100, 32, shift)))
  expected = prdc.compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
  # Identical: the same examples on the same side of every border.
  assert manifolds.manifolds(real, fake, k=k)._asdict() == pytest.approx(expected, rel=1e-12)
  assert 0 < expected['recall'] < 1


def test_precision_and_recall_of_torch_fidelity():
  from torch_fidelity.metric_prc import prc_features_to_metric

  real, fake = _features(7, 600, 16), _features(8, 700, 16, 0.2)
  theirs = prc_features_to_metric(
    torch.from_numpy(fake).double(),
    torch.from_numpy(real).double(),
    prc_neighborhood=3,
    prc_batch_size=200,
    save_cpu_ram=False,
    verbose=False,
  )
  ours = manifolds.manifolds(real, fake, k=3)
  assert (ours.precision, ours.recall) == pytest.approx((theirs['precision'], theirs['recall']), rel=1e-6)
