"""The linear probe and Coates' patches against scikit-learn and numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import LinearSVC

from benchmarks import probe as benchmark
from gan_jax import config as config_lib
from gan_jax.base.errors import UserError
from gan_jax.metrics import patches, probe
from gan_jax.nets import dcgan
from gan_jax.training import loop as train

KEY = jax.random.key(0)
SMALL = [
  '--config.steps=2',
  '--config.sample_every=0',
  '--config.devices=1',
  '--config.batch_size=8',
  '--config.game.generator.channels=(8,8,8)',
  '--config.game.discriminator.channels=(8,8,8)',
]


def test_pooled_features_are_the_largest_of_each_cell():
  maps = [np.random.RandomState(i).randn(3, side, side, width) for i, (side, width) in enumerate([(8, 2), (4, 5)])]
  by_hand = []
  for x in maps:
    cell = x.shape[1] // 4
    for i in range(4):
      for j in range(4):
        by_hand.append(x[:, i * cell : (i + 1) * cell, j * cell : (j + 1) * cell].max((1, 2)))
  found = jax.jit(probe.pooled_features)([jnp.asarray(x) for x in maps])
  np.testing.assert_allclose(found, np.concatenate(by_hand, -1), rtol=1e-6)
  for side in (2, 6):
    with pytest.raises(UserError, match=f'grid=4 .* {side}x{side}'):
      probe.pooled_features([jnp.zeros((1, side, side, 1))])


@pytest.mark.parametrize('c', [1e-3, 0.1])
@pytest.mark.parametrize('dtype', [np.float32, np.float16])
def test_linear_svm_is_scikit_learns(c, dtype, monkeypatch):
  monkeypatch.setattr(probe, 'BLOCK', 256)  # several blocks, the last one shorter
  x, y = load_digits(return_X_y=True)
  x = (x / 16).astype(dtype)
  ours = probe.fit_linear_svm(x[:1000], y[:1000], c, tolerance=1e-6)
  theirs = LinearSVC(C=c, loss='squared_hinge', dual=False, tol=1e-8, max_iter=10_000).fit(
    x[:1000].astype(np.float64), y[:1000]
  )
  np.testing.assert_allclose(ours.weights, theirs.coef_.T, atol=1e-3)
  np.testing.assert_allclose(ours.bias, theirs.intercept_, atol=1e-3)
  np.testing.assert_array_equal(probe.predict(ours, x[1000:]), theirs.predict(x[1000:].astype(np.float64)))
  expected = theirs.score(x[1000:].astype(np.float64), y[1000:])
  assert probe.accuracy(ours, x[1000:], y[1000:]) == pytest.approx(expected)


def test_linear_svm_starts_where_it_is_told():
  x, y = load_digits(return_X_y=True)
  x = (x / 16).astype(np.float32)
  cold = probe.fit_linear_svm(x, y, 0.1, tolerance=1e-6)
  start = probe.fit_linear_svm(x, y, 0.01)
  warm = probe.fit_linear_svm(x, y, 0.1, start=start, tolerance=1e-6)
  np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-3)
  with pytest.raises(UserError, match='c=0'):
    probe.fit_linear_svm(x, y, 0)


def test_c_is_that_of_the_best_held_out_accuracy():
  # The direction that tells the classes apart has a small scale, and one of a large scale is noise that fits a few
  # training labels: both too small and too large a C do worse than the middle.
  random = np.random.RandomState(0)
  y = random.randint(0, 2, 600)
  x = (random.randn(600, 40) + np.where(y[:, None] == 1, 0.3, -0.3)).astype(np.float32)
  cs = [1e-6, 1e-3, 1.0, 1e3]
  chosen, tried = probe.choose_c([(x[:60], y[:60])], (x[60:], y[60:]), cs)
  theirs = {
    c: LinearSVC(C=c, loss='squared_hinge', dual=False, tol=1e-8, max_iter=10_000)
    .fit(x[:60], y[:60])
    .score(x[60:], y[60:])
    for c in tried
  }
  assert tried == pytest.approx(theirs, abs=0.01)
  assert chosen == max(tried, key=tried.get)


def test_draws_per_class():
  labels = np.random.RandomState(0).randint(0, 10, 1000)
  chosen = probe.draw_per_class(labels, 20, seed=3)
  assert np.bincount(labels[chosen]).tolist() == [20] * 10 and len(set(chosen)) == 200
  np.testing.assert_array_equal(chosen, probe.draw_per_class(labels, 20, seed=3))
  assert not np.array_equal(chosen, probe.draw_per_class(labels, 20, seed=4))
  with pytest.raises(UserError, match='fewer than count=200'):
    probe.draw_per_class(labels, 200, seed=0)


def test_whitened_patches_have_covariance_one():
  x = np.random.RandomState(0).randn(500, 6) @ np.random.RandomState(1).randn(6, 6) + 3
  mean, matrix = patches.whitening(x, epsilon=0)
  np.testing.assert_allclose(np.cov((x - mean) @ matrix, rowvar=False), np.eye(6), atol=1e-9)
  np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)  # ZCA, not PCA


def test_kmeans_features_patch_by_patch():
  images = np.random.RandomState(0).randint(0, 256, (12, 11, 11, 3), np.uint8)
  model = patches.fit_kmeans_features(images, centroids=7, patch=4, patches=400, seed=1)
  found = jax.jit(patches.kmeans_features)(model, images[:3])
  mean, matrix, centroids = (np.asarray(x, np.float64) for x in model)
  # 8 x 8 patches: quadrants of 4 x 4.
  expected = np.zeros((3, 2, 2, 7))
  for n in range(3):
    for i in range(8):
      for j in range(8):
        patch = images[n, i : i + 4, j : j + 4].astype(np.float64).ravel()
        patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10)
        z = np.linalg.norm((patch - mean) @ matrix - centroids, axis=1)
        expected[n, i // 4, j // 4] += np.maximum(0, z.mean() - z)
  np.testing.assert_allclose(found, expected.reshape(3, -1), rtol=1e-3, atol=1e-3)
  with pytest.raises(UserError, match='patch=12'):
    patches.fit_kmeans_features(images, patch=12)


def test_discriminator_gives_every_layer_in_training_and_eval():
  net = dcgan.Discriminator((4, 6, 8), kernel=3, strides=(1, 2, 1))
  x = jax.random.normal(KEY, (2, 8, 8, 3))
  variables = net.init(KEY, x, train=False)
  for training in (False, True):
    (logits, maps), _ = net.apply(variables, x, train=training, layers=True, mutable=['batch_stats'])
    plain, _ = net.apply(variables, x, train=training, mutable=['batch_stats'])
    np.testing.assert_allclose(logits, plain, rtol=1e-5, atol=1e-6)
    assert [m.shape for m in maps] == [(2, 8, 8, 4), (2, 4, 4, 6), (2, 4, 4, 8)]
  (_, last), _ = net.apply(variables, x, train=True, features=True, mutable=['batch_stats'])
  np.testing.assert_array_equal(last, maps[-1].reshape(2, -1))
  # As numbers: the first convolution by hand, 'SAME' windows of 3x3, then the leaky ReLU.
  kernel, bias = (np.asarray(variables['params']['Conv_0'][name]) for name in ('kernel', 'bias'))
  padded = np.pad(np.asarray(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
  by_hand = bias + sum(padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i in range(3) for j in range(3))
  np.testing.assert_allclose(maps[0], np.where(by_hand > 0, by_hand, 0.2 * by_hand), rtol=1e-4, atol=1e-5)


def test_strides_must_fit_the_layers():
  for net, x in ((dcgan.Discriminator((4, 4), strides=(1,)), jnp.zeros((1, 8, 8, 1))),):
    with pytest.raises(UserError, match='2 convolutions'):
      net.init(KEY, x, train=True)
  generator = dcgan.Generator((8, 8, 4), 3, kernel=3, strides=(2, 1, 2))
  images, _ = generator.init_with_output(KEY, jnp.ones((2, 5)), train=True)
  assert images.shape == (2, 16, 16, 3)


def test_probe_networks_are_the_authors():
  config = config_lib.load('configs/dcgan.py:probe_cifar10')
  net = config.game.discriminator
  assert net.channels == (128, 128, 256, 256, 512, 512) and net.strides == (1, 2, 1, 2, 1, 2) and net.kernel == 3
  discriminator = dcgan.Discriminator(net.channels, net.kernel, strides=net.strides)
  shapes = jax.eval_shape(
    lambda x: discriminator.init_with_output(KEY, x, train=False, layers=True)[0][1], jnp.zeros((1, 32, 32, 3))
  )
  pooled = jax.eval_shape(probe.pooled_features, shapes)
  assert pooled.shape == (1, 28_672)  # section 5.1


@pytest.mark.slow
def test_the_benchmark_on_digits(tmp_path, capsys):
  config = config_lib.override(config_lib.load('configs/dcgan.py:digits'), SMALL)
  train.run(config, str(tmp_path), silent=True)
  arguments = ['--set', 'digits', '--workdir', str(tmp_path), '--per_class', '20', '--draws', '2', '--centroids', '16']
  benchmark.main([*arguments, '--held_out', '400'])
  lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
  figures = {}
  for line in lines[2:]:
    name, _, figure, *_ = (cell.strip() for cell in line.strip('|').split('|'))
    figures[name] = float(figure.split()[0])
  assert list(figures) == ['raw pixels', 'random weights', 'step 2', 'k-means on patches']
  # 200 labels of ten easy classes: far above 10 %, for two steps of training leave a random network.
  assert all(70 < value <= 100 for value in figures.values()), figures


def test_published_weights_see_what_the_authors_network_saw(tmp_path):
  from scipy.signal import convolve2d

  random, widths = np.random.RandomState(0), [3, 4, 4, 6]
  kernels = [0.3 * random.randn(out, into, 3, 3) for into, out in itertools.pairwise(widths)]
  gains = [(1 + 0.1 * random.randn(n), 0.1 * random.randn(n)) for n in widths[2:]]
  stored = [kernels[0], *(array for kernel, gain in zip(kernels[1:], gains, strict=True) for array in (kernel, *gain))]
  for i, array in enumerate(stored, 1):
    np.save(tmp_path / f'30_discrim_params.jl_{i:02d}.npy', array.astype(np.float32))
  images = random.randint(0, 256, (128, 32, 32, 3), np.uint8)
  module, variables, count = benchmark.published(str(tmp_path))
  assert count == 3
  found = benchmark.network(module, variables, images, turned=True)(images[:5])

  # Theano: true convolutions of (B, C, H, W), padded by 1 on both sides, every stride-th place kept.
  x, expected = images.transpose(0, 3, 1, 2) / 127.5 - 1, []
  for i, (kernel, stride) in enumerate(zip(kernels, (1, 2, 1), strict=True)):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    maps = [[sum(convolve2d(a, b, 'valid') for a, b in zip(e, w, strict=True)) for w in kernel] for e in padded]
    x = np.array(maps)[:, :, ::stride, ::stride]
    if i:
      gain, bias = (a[:, None, None] for a in gains[i - 1])
      x = gain * (x - x.mean((0, 2, 3))[:, None, None]) / x.std((0, 2, 3))[:, None, None] + bias
    x = np.where(x > 0, x, 0.2 * x)
    cell = x.shape[-1] // 4
    pooled = x[:5].reshape(5, -1, 4, cell, 4, cell).max((3, 5))[:, :, ::-1, ::-1]  # ours are of pictures turned round
    expected.append(pooled.transpose(0, 2, 3, 1).reshape(5, -1))
  np.testing.assert_allclose(found, np.concatenate(expected, -1), rtol=1e-3, atol=1e-3)
  with pytest.raises(UserError, match='--published'):
    benchmark.published(str(tmp_path / 'nothing'))
