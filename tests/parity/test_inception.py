"""The Flax Inception against torch-fidelity's with the same random weights, through files that PyTorch wrote."""

import inception_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_inception

from gan_jax.base.errors import UserError
from gan_jax.base.torch_file import read_tensors
from gan_jax.features.inception import inception
from gan_jax.nets.inception import resize

torch = pytest.importorskip('torch')
network = pytest.importorskip('torch_fidelity.feature_extractor_inceptionv3')
interpolate = pytest.importorskip('torch_fidelity.interpolate_compat_tensorflow')

# (pictures, height, width, channels): 64 in all
SIZES = [(10, 8, 8, 3), (10, 28, 28, 1), (10, 32, 32, 3), (8, 64, 64, 3), (6, 47, 101, 3), (6, 128, 128, 3)]
SIZES += [(6, 299, 299, 3), (4, 320, 320, 3), (4, 500, 401, 3)]


def pictures(count, height, width, channels):
  """Noise of several roughnesses and contrasts, so that the features of two pictures differ."""
  random = np.random.RandomState(height)
  result = np.zeros((count, height, width, channels), np.uint8)
  for i in range(count):
    cell = 1 + i % 4
    coarse = random.rand(-(-height // cell), -(-width // cell), channels).repeat(cell, 0).repeat(cell, 1)
    low, high = np.sort(random.randint(0, 256, 2))
    result[i] = (low + (high - low) * coarse[:height, :width]).round()
  return result


BATCHES = [pictures(*size) for size in SIZES]


def channels_first(batch):
  """As torch-fidelity takes them: (B, 3, H, W), grey repeated."""
  return torch.from_numpy(np.ascontiguousarray(np.broadcast_to(batch, (*batch.shape[:3], 3)).transpose(0, 3, 1, 2)))


@pytest.fixture(scope='module')
def theirs(tmp_path_factory):
  """Their network with drawn weights: the constructor fetches the published ones unless it is given a file."""
  path = tmp_path_factory.mktemp('drawn') / 'drawn.pth'
  drawn = {name: torch.from_numpy(x) for name, x in inception_weights.drawn().items()}
  counters = {f'{name}.bn.num_batches_tracked': torch.tensor(0) for name in inception_weights.CONVOLUTIONS}
  torch.save(drawn | counters, path)
  return network.FeatureExtractorInceptionV3('drawn', ['2048', 'logits_unbiased'], str(path))


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_features_and_logits_of_64_pictures(theirs, tmp_path, zipped):
  path = tmp_path / 'weights.pth'
  torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=zipped)
  extractor = inception(str(path))
  apply = jax.jit(extractor.apply)
  # The other layout gives the same arrays, so one batch is enough to see that they arrive.
  batches = BATCHES if zipped else BATCHES[:1]
  assert not zipped or sum(len(batch) for batch in batches) == 64
  for batch in batches:
    found = apply(extractor.variables, batch)
    features, logits = (x.numpy() for x in theirs(channels_first(batch)))
    for ours, answer in ((found['features'], features), (found['logits'], logits)):
      scale, spread = answer.std(), answer.std(0).mean()
      np.testing.assert_allclose(ours, answer, rtol=0, atol=1e-4 * scale)
      # Random weights give much the same features to every picture: what tells pictures apart must agree as well.
      np.testing.assert_allclose(ours, answer, rtol=0, atol=3e-4 * spread)


def test_their_network_gives_the_values_stored_in_the_plain_test(theirs):
  assert sum(x.numel() for x in theirs.parameters()) == 23_850_960
  features, logits = theirs(channels_first(inception_weights.pictures()))
  np.testing.assert_allclose(features[:, ::273], test_inception.GOLDEN_FEATURES, atol=1e-5)
  np.testing.assert_allclose(logits[:, ::200], test_inception.GOLDEN_LOGITS, atol=1e-5)


@pytest.mark.parametrize(
  ('height', 'width'), [(1, 1), (2, 3), (8, 8), (28, 28), (31, 33), (32, 64), (298, 300), (299, 299), (513, 1024)]
)
def test_resize(height, width):
  batch = np.random.RandomState(0).randint(0, 256, (1, height, width, 3)).astype(np.float32)
  answer = interpolate.interpolate_bilinear_2d_like_tensorflow1x(
    torch.from_numpy(batch.transpose(0, 3, 1, 2)), (299, 299), align_corners=False
  )
  np.testing.assert_allclose(resize(jnp.asarray(batch)), answer.permute(0, 2, 3, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_what_torch_saves_is_read(tmp_path, zipped, protocol):
  base = torch.arange(24.0).reshape(4, 6)
  types = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool)
  net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
  tensors = {'whole': base, 'turned': base.t()[1:, ::2], 'row': base[2], 'scalar': base[3, 5], 'none': base[:0]}
  tensors |= {'expanded': torch.ones(1, 1).expand(3, 5), 'parameter': torch.nn.Parameter(base[1])}
  tensors |= {str(dtype): base.to(dtype) for dtype in types}
  saved = {**tensors, 'net': net.state_dict(), 'epoch': 3, 'list': [base + 1], 'lr': 0.1, 'big': 2**70, 'none of': None}
  path = tmp_path / 'saved.pth'
  torch.save(saved, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
  found = read_tensors(path)
  inner = found.pop('net')
  assert set(found) == set(tensors) and list(inner) == list(net.state_dict())
  for name, tensor in [*tensors.items(), *net.state_dict().items()]:
    array = found[name] if name in found else inner[name]
    assert str(array.dtype) == str(tensor.dtype).removeprefix('torch.'), name
    np.testing.assert_array_equal(array.astype(np.float64), tensor.detach().double().numpy())
  assert np.shares_memory(found['turned'], found['row'])


def test_a_whole_module_is_refused(tmp_path):
  torch.save(torch.nn.Linear(2, 3), tmp_path / 'module.pth')
  with pytest.raises(UserError, match=r'asks for torch\.nn\.modules\.linear\.Linear, .* save only the state_dict'):
    read_tensors(tmp_path / 'module.pth')
