"""Degraded pictures: their values, and that they move with what they are made of."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import config as config_lib
from gan_jax.base.errors import UserError
from gan_jax.data import degradations, streams
from gan_jax.sampling import inputs

KEY = jax.random.key(0)


def stream(by, **settings):
  column = dict(name='data.degradations.Degraded', column='image', by=by, **settings)
  fields = dict(a=column, b=dict(name='Picture', column='image'))
  return streams.Stream(name='digits', size=8, channels=3, range=(0.0, 1.0), columns=fields)


def degraded(by, image, **settings):
  kind = degradations.Degraded(by=(by,), size=image.shape[0], range=(0.0, 255.0), **settings)
  return np.asarray(kind.prepare(jnp.asarray(image[None], jnp.uint8), KEY))[0]


def test_degradations_have_right_values():
  image = np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
  grey = np.asarray(Image.fromarray(image).convert('L'), np.float32)
  np.testing.assert_allclose(degraded('grey', image), np.repeat(grey[..., None], 3, -1), atol=1)
  step = np.zeros((8, 8, 3), np.uint8)
  step[:, 4:] = 100
  # One line where the dark side ends: twice the step, below white.
  assert degraded('edges', step)[3, :, 0] == pytest.approx([255, 255, 255, 55, 255, 255, 255, 255])
  clear = np.concatenate([step, np.full((8, 8, 1), 9, np.uint8)], -1)
  kind = degradations.Degraded(by=('edges',), size=8, channels=4, range=(0.0, 255.0))
  both = np.asarray(kind.prepare(jnp.asarray(clear[None]), KEY))[0]
  np.testing.assert_array_equal(both[..., :3], degraded('edges', step))
  np.testing.assert_allclose(both[..., 3], 9)  # opacity stays
  holed = degraded('holes', image, hole=0.5)
  hole = (holed == 127.5).all(-1)
  assert hole.sum() == 16 and np.isclose(holed, image, atol=1e-3).all(-1).sum() == 48
  rows, columns = np.nonzero(hole)
  assert (np.ptp(rows), np.ptp(columns)) == (3, 3)
  dot = np.zeros((8, 8, 3), np.uint8)
  dot[4, 4] = 255
  blurred = degraded('blur', dot, sigma=1.0)
  taps = np.exp(-0.5 * np.arange(-3, 4) ** 2.0)
  np.testing.assert_allclose(blurred[4, 1:8, 0] / blurred[4, 4, 0], taps, rtol=1e-4)
  np.testing.assert_allclose(blurred.sum((0, 1)), 255, rtol=1e-4)
  noisy = degraded('noise', np.full((64, 64, 3), 128, np.uint8), noise=0.1)
  assert noisy.std() == pytest.approx(25.5, rel=0.05) and abs(noisy.mean() - 128) < 1
  assert degraded('small', image, factor=4).shape == (2, 2, 3)
  np.testing.assert_allclose(degraded('small', np.full((8, 8, 3), 77, np.uint8), factor=2), 77, rtol=1e-4)
  # A bicubic filter shoots over beside a step, and noise leaves black and white: both are cut.
  white = np.zeros((8, 8, 3), np.uint8)
  white[:, 3:] = 255
  for way in ('small', 'noise'):
    extremes = degraded(way, white, factor=2)
    assert extremes.min() == 0 and extremes.max() == pytest.approx(255)
  both = degradations.Degraded(by=('grey', 'small'), size=8, range=(0.0, 255.0), factor=4)
  made = np.asarray(both.prepare(jnp.asarray(image[None]), KEY))[0]
  assert made.shape == (2, 2, 3) and np.allclose(made[..., 0], made[..., 1])


def test_pairs_of_degraded_pictures_move_together():
  fields = stream(('grey',)).columns
  moving = dataclasses.replace(stream(('grey',)), flip=True, random_crop=10, columns=fields)
  image = np.random.RandomState(0).randint(0, 256, (6, 10, 10, 3)).astype(np.uint8)
  pair = moving.prepare({'a': image, 'b': image}, KEY)
  np.testing.assert_allclose(pair['a'], degradations.grey(pair['b']), atol=1e-6)
  assert moving.stored(2) == {name: jax.ShapeDtypeStruct((2, 10, 10, 3), np.uint8) for name in 'ab'}


@pytest.mark.parametrize(
  ('by', 'settings', 'words'),
  [
    (('sepia',), {}, "unknown entry in by 'sepia'.*grey"),
    ((), {}, 'by=.. is empty'),
    (('holes',), {'hole': 1.5}, 'hole=1.5 must be between 0 and 1'),
    (('noise',), {'noise': -0.1}, 'noise=-0.1 must be 0 or more'),
    (('blur',), {'sigma': 0.0}, 'sigma=0.0 must be above 0'),
    (('small',), {'factor': 3}, 'factor=3 must divide size=8'),
  ],
)
def test_degradations_that_cannot_be_are_told(by, settings, words):
  with pytest.raises(UserError, match=words):
    _ = stream(by, **settings).kinds


def test_a_folder_of_pictures_goes_through_the_column_that_is_given(tmp_path):
  """Of pairs side by side each file is the given half; of degraded pictures each is made worse."""
  for name, side in (('x.png', 16), ('y.png', 24)):
    pixels = np.random.RandomState(side).randint(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
  half = lambda part: dict(name='Picture', column='image', part=part)
  for columns in (dict(a=half('left'), b=half('right')), stream(('grey',)).columns):
    settings = config_lib.load('configs/pix2pix.py:digits')
    settings.data = config_lib.stream(name='digits', size=8, columns=columns)
    settings.game.generator.image_channels = 3
    (stage,) = gan_jax.runs.stages_of(settings)
    name, files, fields = inputs.of_folder(stage, str(tmp_path))
    assert (name, files, list(fields)) == ('images', ['x.png', 'y.png'], ['a'])
    assert fields['a'].shape == (2, 8, 8, 3)
    is_grey = np.allclose(fields['a'][..., 0], fields['a'][..., 1], atol=1e-5)
    assert is_grey == (columns['a']['name'] != 'Picture')
