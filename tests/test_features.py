"""The default feature extractors: a classifier trained on labels, random features, raw values."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import linalg

from gan_jax.base.errors import UserError
from gan_jax.data import sources
from gan_jax.data.streams import Stream
from gan_jax.evaluation import measures
from gan_jax.features import choose
from gan_jax.features import classifier as classifier_lib
from gan_jax.features.classifier import _required, classifier
from gan_jax.features.random import random_features, raw
from gan_jax.nets.classifier import Classifier

DIGITS = Stream(name='digits', size=8, channels=1, classes=10)


def arrays(split):
  return Stream(name='digits', size=8, channels=1, classes=10, split=split).open().arrays


def outputs(extractor, examples):
  found = jax.jit(extractor.apply)(extractor.variables, jnp.asarray(examples))
  return {name: np.asarray(value) for name, value in found.items()}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """(The folder of the cache, a classifier of the digits that was trained for a short time, what it said)."""
  folder, lines = tmp_path_factory.mktemp('cache'), []
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('GAN_JAX_CACHE', str(folder))
    patch.setattr(classifier_lib, 'EPOCHS', (4, 6))
    yield folder, classifier(DIGITS, say=lines.append), lines


def check(extractor, lines, least, epochs):
  test = arrays('test')
  found = outputs(extractor, test['image'])
  assert found['features'].shape == (364, 256) and found['features'].dtype == np.float32
  assert found['logits'].shape == (364, 10)
  accuracy = np.mean(found['logits'].argmax(-1) == test['label'])
  assert accuracy >= least
  assert f'{100 * accuracy:.2f} % on 364 held out' in extractor.protocol
  assert len(lines) == 2 and f'{epochs} epochs' in lines[0] and '% on 364 held out' in lines[1]


def test_a_classifier_of_the_digits(trained):
  _, extractor, lines = trained
  check(extractor, lines, least=0.9, epochs=6)


@pytest.mark.slow
def test_the_classifier_of_the_digits(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))
  lines = []
  check(classifier(DIGITS, say=lines.append), lines, least=0.98, epochs=40)


def test_logits_are_an_affine_map_of_the_features(trained):
  _, extractor, _ = trained
  found = outputs(extractor, arrays('test')['image'][:50])
  dense = jax.tree.map(np.float64, extractor.variables['params']['Dense_0'])
  np.testing.assert_allclose(found['logits'], found['features'] @ dense['kernel'] + dense['bias'], atol=1e-3)


def test_a_second_call_reads_the_cache(trained):
  folder, extractor, _ = trained
  lines = []
  # What a stream does with the set later does not count.
  again = classifier(Stream(**{**vars(DIGITS), 'per_class': 5, 'batch_size': 7, 'flip': True}), say=lines.append)
  assert not lines and again.name == extractor.name and again.protocol == extractor.protocol
  images = arrays('test')['image']
  for name, value in outputs(extractor, images).items():
    np.testing.assert_array_equal(outputs(again, images)[name], value)
  assert [path.suffix for path in (folder / 'classifiers').iterdir()] == ['.npz']


@pytest.mark.slow
def test_a_damaged_file_is_trained_anew_to_the_same_classifier(trained):
  folder, extractor, _ = trained
  (path,) = (folder / 'classifiers').iterdir()
  good = path.read_bytes()
  half = len(good) // 2
  path.write_bytes(good[:half] + bytes(b ^ 255 for b in good[half : half + 64]) + good[half + 64 :])
  lines = []
  again = classifier(DIGITS, say=lines.append)
  assert lines and again.name == extractor.name
  jax.tree.map(np.testing.assert_array_equal, again.variables, extractor.variables)
  assert len(path.read_bytes()) == len(good)


@pytest.mark.slow
def test_shuffled_labels_are_refused(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path / 'cache'))
  images, labels = arrays('test').values()
  np.savez(tmp_path / 'digits.npz', image=images, label=np.random.RandomState(0).permutation(labels))
  stream = Stream(name='npz', path=str(tmp_path / 'digits.npz'), size=8, channels=1, classes=10)
  with pytest.raises(UserError, match=r'reached \d+\.\d\d % on 36 held-out examples, \d+\.\d\d % is required: ') as e:
    classifier(stream, say=lambda line: None)
  assert '\n' not in str(e.value)
  # It is not trained again to be refused again.
  lines = []
  with pytest.raises(UserError, match=r'36 held-out examples, \d+\.\d\d % is required: '):
    classifier(stream, say=lines.append)
  assert not lines


def test_the_examples_that_judge_are_part_of_the_key(tmp_path):
  images, labels = arrays('test').values()
  stream = Stream(name='npz', path=str(tmp_path / '{split}.npz'), size=8, channels=1, classes=10)
  np.savez(tmp_path / 'train.npz', image=images[:200], label=labels[:200])
  keys = []
  for last in (labels, labels[::-1]):
    np.savez(tmp_path / 'test.npz', image=images[200:], label=last[200:])
    keys.append(classifier_lib._settings(stream, stream.open(), 0)['held_out'])
  assert keys[0] != keys[1]


def test_a_classifier_that_cannot_be_kept_is_used_all_the_same(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))
  made, lines = [], []

  def refuse(path, trained):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(classifier_lib, '_write', refuse)
  monkeypatch.setattr(
    classifier_lib, '_train', lambda *given: made.append(1) or classifier_lib._Trained({}, 1.0, 99, 99)
  )
  stream = Stream(name='digits', split='train', size=8, channels=1, classes=10)
  classifier(stream, say=lines.append)
  assert made and 'the classifier is not kept, and will be trained again: PermissionError' in lines[-1]


@pytest.mark.parametrize(
  ('counts', 'words'),
  [
    # 19 held out, 16 of them zeros: 16/19 + 3 sqrt(16/19 * 3/19 / 19) is 109.31 %, and 9 * 16 / 3 must be held out.
    ((178, 19), 'only 19 examples are held out, 84.2 % of them of one class, and with fewer than 48 all could'),
    ((20, 20), 'only 4 examples are held out'),
    ((40, 1), 'the 4 examples held out have 1: add examples of other classes'),
    ((1, 1), r'the 1 examples to train on have 1: add examples'),
    ((30, 0), 'the 27 examples to train on have 1: add examples'),
  ],
)
def test_a_classifier_that_cannot_be_judged_is_not_trained(counts, words, tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path / 'cache'))
  labels = np.repeat([0, 1], counts)
  images = np.random.RandomState(0).randint(0, 256, (len(labels), 8, 8, 1)).astype(np.uint8)
  np.savez(tmp_path / 'two.npz', image=images, label=labels)
  stream = Stream(name='npz', path=str(tmp_path / 'two.npz'), size=8, channels=1, classes=2)
  lines = []
  with pytest.raises(UserError, match=words) as e:
    classifier(stream, say=lines.append)
  assert '--features=random' in str(e.value) and '\n' not in str(e.value) and not lines


def test_one_class_is_told_by_no_classifier(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path / 'cache'))
  stream = Stream(name='digits', size=8, channels=1, classes=1)
  with pytest.raises(UserError, match="tells classes apart, 'digits' has one: choose random features"):
    choose.choose('classifier', stream)
  assert choose.choose('auto', stream).name.startswith('random-8x8x1')
  for metric in ('is', 'classes', 'probe', 'codes'):
    with pytest.raises(UserError, match=f'the metric {metric} needs .*classes'):
      measures.check_needs([metric], stream, 'auto')


def test_a_changed_folder_of_pictures_is_trained_anew(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path / 'cache'))
  monkeypatch.setattr(classifier_lib, 'WIDTHS', {3: (8, 16)})
  monkeypatch.setattr(classifier_lib, 'EPOCHS', (4, 10))
  random = np.random.RandomState(0)
  for split in ('train', 'test'):
    for name, hue in (('red', (200, 40, 40)), ('blue', (40, 40, 200))):
      (tmp_path / 'set' / split / name).mkdir(parents=True)
      for i in range(20):
        pixels = np.clip(np.array(hue) + random.randint(-40, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'set' / split / name / f'{i}.png')

  def train(path=tmp_path / 'set'):
    lines = []
    sources._open.cache_clear()  # as in another process
    stream = Stream(name='folder', path=str(path), size=8, channels=3, classes=2)
    return classifier(stream, say=lines.append), lines

  first, lines = train()
  assert lines and '100.00 % on 40 held out' in first.protocol
  again, lines = train()
  assert not lines and again.name == first.name
  moved = shutil.move(tmp_path / 'set', tmp_path / 'moved')
  again, lines = train(moved)
  assert not lines and again.name == first.name
  Image.new('RGB', (8, 8), 'red').save(moved / 'train' / 'red' / '7.png')
  second, lines = train(moved)
  assert lines and second.name != first.name
  # The accuracy is of the other split: as many of its pictures under wrong labels are another judge.
  for i in range(10):
    shutil.copy(moved / 'test' / 'red' / f'{i}.png', moved / 'test' / 'blue' / f'{i}.png')
  third, lines = train(moved)
  assert lines and '75.00 % on 40 held out' in third.protocol


@pytest.mark.parametrize(
  ('stream', 'words'),
  [
    (Stream(name='digits', size=8, channels=1), 'config.data.classes=0 .* choose random features'),
    (Stream(name='ring', classes=8), r"'ring' has float32 \(2,\): choose random features or raw values"),
  ],
  ids=['no labels', 'points'],
)
def test_the_classifier_refuses_with_the_cure(stream, words, tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))
  with pytest.raises(UserError, match=words):
    classifier(stream)


@pytest.mark.parametrize('side', [8, 28, 33, 64, 128])
@pytest.mark.parametrize('channels', [1, 3])
def test_pictures_of_any_size_are_classified(side, channels):
  net, x = Classifier(7), jnp.zeros((2, side, side, channels))
  (logits, features), _ = jax.eval_shape(lambda: net.init_with_output(jax.random.key(0), x, train=False))
  assert logits.shape == (2, 7) and features.shape == (2, 256)


def test_the_network_pools_the_largest_of_four_and_folds_large_pictures():
  # One convolution that passes the pixels on: a folded pixel is a channel, its pooled values have the largest.
  x = np.random.RandomState(0).rand(1, 40, 40, 1).astype(np.float32)
  net = Classifier(2, widths=(4,))
  variables = net.init(jax.random.key(0), x, train=False)
  kernel = np.zeros((3, 3, 4, 4), np.float32)
  kernel[1, 1] = np.eye(4)
  variables = {**variables, 'params': {**variables['params'], 'Conv_0': {'kernel': kernel}}}
  _, features = net.apply(variables, x, train=False)
  largest = [x[0, i::2, j::2, 0].max() for i in (0, 1) for j in (0, 1)]
  np.testing.assert_allclose(features[0], largest, rtol=1e-4)


def frechet(a, b):
  a, b = np.float64(a), np.float64(b)
  product = np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)
  root = np.sqrt(np.maximum(linalg.eigvals(product).real, 0)).sum()
  return np.sum((a.mean(0) - b.mean(0)) ** 2) + a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum() - 2 * root


def test_random_features_tell_digits_from_shuffled_pixels():
  random = np.random.RandomState(0)
  images = random.permutation(arrays('train')['image'])
  a, b = images[:700], images[700:1400]
  shuffled = b.reshape(700, -1)[:, random.permutation(64)].reshape(b.shape)
  extractor = random_features((8, 8, 1))
  a, b, shuffled = (outputs(extractor, x)['features'] for x in (a, b, shuffled))
  assert frechet(a, shuffled) > 10 * frechet(a, b)


@pytest.mark.parametrize(
  ('shape', 'spatial', 'width'),
  [
    ((5,), 0, 240),
    ((12, 3), 1, 480),
    ((9, 8, 3), 2, 480),
    ((8, 8, 8), 3, 480),
    ((8, 6, 5, 2), 3, 480),
    ((3, 3, 3), 2, 480),
  ],
)
def test_random_features_of_any_rank(shape, spatial, width):
  x = np.random.RandomState(0).randn(3, *shape).astype(np.float32)
  extractor, other = random_features(shape), random_features(shape, seed=1)
  found = outputs(extractor, x)['features']
  assert found.shape == (3, width) and found.dtype == np.float32 and np.isfinite(found).all()
  assert f'-{spatial}d-' in extractor.name and extractor.name != other.name
  np.testing.assert_array_equal(outputs(random_features(shape), x)['features'], found)
  np.testing.assert_allclose(outputs(extractor, x[1:2])['features'], found[1:2], rtol=1e-4, atol=1e-4)
  assert not np.allclose(outputs(other, x)['features'], found)


def convolved(x, kernel):
  """A 3 x ... x 3 'SAME' convolution, at stride 2 along axes longer than 4, with what is missing more at the end."""
  strides = [2 if side > 4 else 1 for side in x.shape[:-1]]
  missing = [max((-(-n // s) - 1) * s + 3 - n, 0) for n, s in zip(x.shape, strides, strict=False)]
  x = np.pad(x, [(m // 2, m - m // 2) for m in missing] + [(0, 0)])
  axes = tuple(range(len(strides)))
  windows = np.lib.stride_tricks.sliding_window_view(x, (3,) * len(axes), axes)[
    tuple(slice(None, None, s) for s in strides)
  ]
  # windows: (*space, in, *window); kernel: (*window, in, out).
  return np.tensordot(np.moveaxis(windows, len(axes), -1), kernel, len(axes) + 1)


@pytest.mark.parametrize('shape', [(16, 2), (9, 6, 3), (8, 9, 5, 2)], ids=['sequence', 'picture', 'voxels'])
def test_random_features_by_hand(shape):
  extractor = random_features(shape, seed=3)
  x = np.random.RandomState(0).randn(*shape)
  level, expected = x, []
  for layer in extractor.variables:
    level = np.maximum(0, convolved(level, np.float64(layer['kernel'])) + layer['bias'])
    rows = level.reshape(-1, level.shape[-1])
    expected += [rows.mean(0), rows.std(0)]
  found = outputs(extractor, x[None].astype(np.float32))['features'][0]
  np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-4)


def test_random_features_refuse_what_has_too_many_axes():
  with pytest.raises(UserError, match='choose raw'):
    random_features((2, 3, 4, 5, 6))


def test_raw_values_are_pixels_in_the_unit_interval():
  images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3) * 20
  extractor = raw((2, 2, 3))
  np.testing.assert_allclose(outputs(extractor, images)['features'], images.reshape(1, 12) / 255, rtol=1e-6)
  points = np.array([[-3.0, 7.0]], np.float32)
  np.testing.assert_array_equal(outputs(raw((2,)), points)['features'], points)


def test_less_accuracy_is_required_of_smaller_pictures():
  labels = np.arange(1000) % 10
  required = lambda size: _required(Stream(name='digits', size=size, channels=1, classes=10), labels, labels)
  # At 4 pixels, as in the first stage of a pyramid, the classifier gets 95 % right, at 8 at least 97.
  assert required(8) == required(16) == 0.97
  np.testing.assert_allclose(required(4), 0.1 + 0.09)
