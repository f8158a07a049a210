"""Pictures of half the size are means of 2 x 2 pixels, in every source and in the configs whose networks grow."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.data import sets, transforms
from gan_jax.data.streams import Stream, streams_of
from gan_jax.nets.layers.resample import downsample

NOISE = np.random.RandomState(0).randint(0, 256, (3, 32, 32, 3)).astype(np.uint8)  # no filter but the mean's gives this


def loaded(stream, size):
  source = dataclasses.replace(stream, size=size).open()
  return np.stack([source[i]['image'] for i in range(3)]).astype(np.float32)


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
@pytest.mark.parametrize(('side', 'size'), [(28, 32), (178, 64), (100, 64), (7, 32)])
def test_halves_of_any_size_are_means(side, size, channels):
  """MNIST's 28 pixels become 32, of which 16 must be the halves; Pillow's box repeats every seventh pixel instead."""
  image = np.random.RandomState(1).randint(0, 256, (side, side, channels)).astype(np.uint8)
  image[..., -1] = 255 if channels in (2, 4) else image[..., -1]
  of = lambda size: transforms.fit(image, (size, size), channels, method='box').astype(np.float32)
  assert np.abs(of(size // 2) - np.asarray(downsample(of(size)[None]))[0]).max() <= 1.0  # both are rounded
  assert of(size).mean() == pytest.approx(image.mean(), abs=0.5)


def test_what_is_transparent_has_no_colour_in_a_mean():
  image = np.array([[[255, 0, 0, 255], [0, 0, 255, 0]], [[255, 0, 0, 255], [0, 0, 255, 0]]], np.uint8)
  assert transforms.fit(image, (1, 1), 4, method='box').tolist() == [[[255, 0, 0, 128]]]


def assert_halves(stream, sizes):
  for size in sizes:
    larger, smaller = loaded(stream, 2 * size), loaded(stream, size)
    assert np.abs(smaller - np.asarray(downsample(larger))).max() <= 1.0, (stream.name, size)  # rounded twice
    assert smaller.std() > 5


@pytest.fixture(params=['folder', 'npz', 'columns', 'digits'])
def stream(request, tmp_path):
  if request.param == 'digits':
    return Stream(name='digits', channels=1, filter='box')
  if request.param == 'npz':
    np.savez(tmp_path / 'set.npz', image=NOISE)
    return Stream(name='npz', path=str(tmp_path / 'set.npz'), filter='box')
  for i, image in enumerate(NOISE):
    Image.fromarray(image).save(tmp_path / f'{i}.png')
  columns = {'image': {'name': 'Picture'}} if request.param == 'columns' else {}
  return Stream(name='folder', path=str(tmp_path), filter='box', columns=columns)


def test_the_box_filter_takes_means(stream):
  sizes = (2, 4) if stream.name == 'digits' else (4, 8, 16)
  assert_halves(stream, sizes)
  if stream.name != 'digits':
    plain = dataclasses.replace(stream, filter='bilinear')
    assert np.abs(loaded(plain, 8) - loaded(stream, 8)).max() > 10


@pytest.mark.parametrize('name', ['lapgan.py:digits', 'progressive.py:digits'])
def test_stages_of_networks_that_grow_fit_together(name):
  """The level above makes its coarse pictures as means; those that the level below learns must be the same."""
  streams = [stage.streams['images'] for stage in runs.stages_of(config_lib.load(f'configs/{name}'))]
  assert [stream.size for stream in streams] == [4, 8]
  small, large = (stream.open() for stream in streams)
  for i in range(20):
    means = downsample(jax.numpy.asarray(large[i]['image'], np.float32)[None])[0]
    assert np.abs(small[i]['image'] - np.asarray(means)).max() <= 0.51


def test_an_unknown_filter_is_refused():
  with pytest.raises(UserError, match=r"filter in config.data.filter 'cubic': choose one of bilinear, box, nearest"):
    streams_of({'name': 'digits', 'filter': 'cubic'}, 4)


def test_protocols_name_a_filter_that_is_not_the_usual_one():
  titles = [sets.title(Stream(name='digits', size=4, channels=1, filter=name)) for name in ('bilinear', 'box')]
  assert titles == ['digits train (1433), 4x4x1', 'digits train (1433), 4x4x1, box filter']
