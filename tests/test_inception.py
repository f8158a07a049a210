"""The network behind FID and its weights, without PyTorch: tests/parity compares with it at length."""

import hashlib
import io
import pathlib
import urllib.error

import inception_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_writing

from gan_jax.base.errors import UserError
from gan_jax.features import inception as features
from gan_jax.nets.inception import Inception, resize, resize_weights

# torch-fidelity 0.4 on PyTorch 2.13 with `inception_weights.drawn()` and `inception_weights.pictures()`: every 273rd of
# the features '2048' and every 200th of 'logits_unbiased', of both pictures. tests/parity makes them again.
GOLDEN_FEATURES = [
  [0.0715608, 0.0000000, 0.1101352, 1.2194982, 0.2509720, 0.8330495, 0.0610698, 2.2777805],
  [0.0667016, 0.0000000, 0.0923751, 1.1284266, 0.1938273, 0.8700535, 0.0488188, 2.3056242],
]
GOLDEN_LOGITS = [
  [1.6624596, -1.0631411, -2.5288973, -1.2292726, 0.3942055, -2.2633133],
  [1.6358944, -1.0540296, -2.4080572, -1.1959704, 0.4279987, -2.2426460],
]


@pytest.fixture(scope='module')
def state():
  return inception_weights.drawn()


@pytest.fixture(scope='module')
def file(state, tmp_path_factory):
  """A zip checkpoint of the drawn weights, with the counters that PyTorch's batch norm adds."""
  path = tmp_path_factory.mktemp('inception') / 'drawn.pth'
  counters = {f'{name}.bn.num_batches_tracked': np.array(0) for name in inception_weights.CONVOLUTIONS}
  path.write_bytes(torch_writing.zipped(*torch_writing.tensors(state | counters)))
  return path


@pytest.fixture
def cached(file, tmp_path, monkeypatch):
  """An empty cache, and the drawn weights for the published ones."""
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))
  monkeypatch.setattr(features, 'SHA256', hashlib.sha256(file.read_bytes()).hexdigest())
  return tmp_path / 'weights'


def serve(monkeypatch, content):
  """What the network answers: bytes, or an error."""
  asked = []

  def urlopen(address, timeout):
    asked.append(address)
    if isinstance(content, Exception):
      raise content
    return io.BytesIO(content)

  monkeypatch.setattr(features.urllib.request, 'urlopen', urlopen)
  return asked


def test_layers_and_parameters():
  shapes = jax.eval_shape(Inception().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.uint8))
  flat = {
    jax.tree_util.keystr(path, simple=True, separator='.'): x.shape for path, x in jax.tree.leaves_with_path(shapes)
  }
  expected = {'params.fc.kernel': (2048, 1008)}
  for name, (inputs, outputs, height, width) in inception_weights.CONVOLUTIONS.items():
    expected[f'params.{name}.conv.kernel'] = (height, width, inputs, outputs)
    expected |= {f'params.{name}.bn.{leaf}': (outputs,) for leaf in ('scale', 'bias')}
    expected |= {f'batch_stats.{name}.bn.{leaf}': (outputs,) for leaf in ('mean', 'var')}
  assert flat == expected
  # 94 convolutions of 21,751,136 weights and 34,432 gains and shifts, and the last layer's 2048 x 1008 without its 1008
  # biases: the published network has 23,850,960.
  count = sum(int(np.prod(shape)) for name, shape in flat.items() if name.startswith('params'))
  assert len(inception_weights.CONVOLUTIONS) == 94 and count == 23_850_960 - 1008


def by_pixel(picture, size):
  """TensorFlow 1's bilinear resize of one plane, one output pixel at a time, with its float32 positions."""
  height, width = picture.shape
  position = lambda i, n: float(np.float32(i) * (np.float32(n) / np.float32(size)))
  result = np.zeros((size, size))
  for i in range(size):
    for j in range(size):
      y, x = position(i, height), position(j, width)
      top, left = int(y), int(x)
      bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
      dy, dx = y - top, x - left
      upper = picture[top, left] * (1 - dx) + picture[top, right] * dx
      lower = picture[bottom, left] * (1 - dx) + picture[bottom, right] * dx
      result[i, j] = upper * (1 - dy) + lower * dy
  return result


@pytest.mark.parametrize(('height', 'width', 'size'), [(1, 1, 5), (8, 8, 37), (28, 31, 37), (37, 37, 37), (90, 41, 37)])
def test_resize_against_one_pixel_at_a_time(height, width, size):
  pictures = np.random.RandomState(0).randint(0, 256, (2, height, width, 3)).astype(np.float32)
  expected = np.stack([[by_pixel(picture[..., c], size) for c in range(3)] for picture in pictures])
  np.testing.assert_allclose(resize(jnp.asarray(pictures), size), expected.transpose(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize('size', [1, 8, 28, 32, 64, 128, 299, 320, 1024])
def test_resize_weights_are_shares(size):
  weights = resize_weights(size, 299)
  assert weights.min() >= 0 and (weights > 0).sum(1).max() <= 2
  np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
  if size == 299:
    np.testing.assert_array_equal(weights, np.eye(299))


@pytest.mark.slow
def test_features_of_drawn_weights(file):
  extractor = features.inception(str(file))
  found = jax.jit(extractor.apply)(extractor.variables, inception_weights.pictures())
  assert found['features'].shape == (2, 2048) and found['logits'].shape == (2, 1008)
  assert found['features'].dtype == found['logits'].dtype == jnp.float32
  np.testing.assert_allclose(found['features'][:, ::273], GOLDEN_FEATURES, atol=2e-5)
  np.testing.assert_allclose(found['logits'][:, ::200], GOLDEN_LOGITS, atol=2e-5)


def test_which_pictures_are_taken(file):
  extractor = features.inception(str(file))
  grey = jax.eval_shape(extractor.apply, extractor.variables, jax.ShapeDtypeStruct((4, 28, 28, 1), jnp.uint8))
  assert grey['features'].shape == (4, 2048)
  for shape, dtype in (((4, 28, 28, 2), jnp.uint8), ((4, 28, 28), jnp.uint8), ((4, 28, 28, 3), jnp.bfloat16)):
    with pytest.raises(UserError, match='give pictures'):
      jax.eval_shape(extractor.apply, extractor.variables, jax.ShapeDtypeStruct(shape, dtype))


@pytest.mark.slow
def test_names_tell_weights_apart(file, state, tmp_path):
  named = features.inception(str(file))
  kept, legacy, other = tmp_path / 'kept.npz', tmp_path / 'legacy.pth', tmp_path / 'other.pth'
  features.write_weights(kept, named.variables)
  assert features.inception(str(kept)).name == named.name
  saved, contents = torch_writing.tensors(state)
  legacy.write_bytes(torch_writing.legacy(saved, contents, dict.fromkeys(contents, 4)))
  assert features.inception(str(legacy)).name == named.name
  bias = state['Mixed_7c.branch_pool.bn.bias'] + np.eye(192, dtype=np.float32)[0]
  other.write_bytes(torch_writing.zipped(*torch_writing.tensors(state | {'Mixed_7c.branch_pool.bn.bias': bias})))
  assert features.inception(str(other)).name != named.name


def test_the_first_array_that_does_not_fit_is_named(state, tmp_path):
  path = tmp_path / 'w.pth'
  name = 'Mixed_6b.branch7x7_2.conv.weight'
  for array, message in (
    (None, f'lacks {name}'),
    (state[name].transpose(0, 1, 3, 2), rf'{name} in .* is float32\[128, 128, 7, 1\], not float\[128, 128, 1, 7\]'),
    (state[name].astype(np.int64), f'{name} in .* is int64'),
  ):
    arrays = {k: v for k, v in state.items() if k != name} | ({} if array is None else {name: array})
    path.write_bytes(torch_writing.zipped(*torch_writing.tensors(arrays)))
    with pytest.raises(UserError, match=message):
      features.inception(str(path))
  imagenet = {**state, 'fc.weight': state['fc.weight'][:1000]}
  path.write_bytes(torch_writing.zipped(*torch_writing.tensors(imagenet)))
  with pytest.raises(UserError, match=r'fc.weight in .* is float32\[1000, 2048\]'):
    features.inception(str(path))


def test_weights_are_fetched_once_and_kept_converted(cached, file, monkeypatch):
  asked = serve(monkeypatch, file.read_bytes())
  first = features.inception()
  assert asked == [features.URL]
  converted = cached / pathlib.Path(features.FILE).with_suffix('.npz')
  assert sorted(cached.iterdir()) == sorted([cached / features.FILE, converted])
  serve(monkeypatch, AssertionError('the network is asked again'))
  assert features.inception().name == first.name == features.inception(str(file)).name
  converted.unlink()
  assert features.inception().name == first.name
  (cached / features.FILE).unlink()
  converted.write_bytes(converted.read_bytes()[:1000])
  with pytest.raises(UserError, match='is damaged'):
    features.inception()


def test_without_network_or_with_the_wrong_file(cached, file, monkeypatch):
  serve(monkeypatch, urllib.error.URLError('no route'))
  with pytest.raises(UserError, match='cannot be fetched') as raised:
    features.inception()
  assert features.URL in str(raised.value) and str(cached / features.FILE) in str(raised.value)
  serve(monkeypatch, file.read_bytes()[:-1])
  with pytest.raises(UserError, match='gave another file than the published one'):
    features.inception()
  assert not list(cached.iterdir())
  (cached / features.FILE).write_bytes(b'another file')
  with pytest.raises(UserError, match='delete it'):
    features.inception()
