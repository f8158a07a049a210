"""Values of examples: bit depths, scales, transparency, labels, ranges."""

import dataclasses
import json
import pickle
import runpy

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.data import feed as feed_lib
from gan_jax.data import pixels, sources, streams, transforms
from gan_jax.data.sources.checked import Checked, _image
from gan_jax.distributed import parallel
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.nets.layers.basic import BatchNorm
from gan_jax.nets.layers.norms import GhostBatchNorm
from gan_jax.runs import run_config


@pytest.fixture(autouse=True)
def fresh():
  sources._open.cache_clear()
  sources._extent.cache_clear()


def folder(path, **settings):
  return streams.Stream(name='folder', path=str(path), **{'size': 8, 'channels': 1, **settings})


def npz(path, arrays, **settings):
  np.savez(path / 'a.npz', **arrays)
  return streams.Stream(name='npz', path=str(path / 'a.npz'), **{'size': 8, 'channels': 1, **settings})


OWN: dict = {}


class Rows:
  """A source of the user's own that is no ArraySource: rows of dicts, as they are."""

  def __init__(self, rows):
    self.rows = rows

  def __len__(self):
    return len(self.rows)

  def __getitem__(self, index):
    return self.rows[index]


def own(stream):
  return OWN['source']


def own_stream(source, **settings):
  OWN['source'] = source
  return streams.Stream(name='test_values.own', **{'batch_size': 4, **settings})


def feed(stream):
  mesh = parallel.make_mesh(1)
  return feed_lib.Feed({'images': stream}, {'images': 1}, 0, parallel.place(mesh), parallel.replicate(mesh))


def labelled(labels, image=None):
  image = np.zeros((2, 2, 1), np.uint8) if image is None else image
  return Rows([{'image': image, 'label': label} for label in labels])


# Bit depths and scales.


def test_dark_pictures_of_16_bits_stay_dark(tmp_path):
  for name, level in (('a', 200), ('b', 65535)):
    Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / f'{name}.png')
  Image.fromarray(np.full((8, 8), 257 * 7, np.uint16)).save(tmp_path / 'c.tif')
  (tmp_path / 'd.pgm').write_bytes(b'P5\n8 8\n65535\n' + np.full((8, 8), 257 * 9, '>u2').tobytes())
  stored = [example['image'] for example in sources.into_memory(folder(tmp_path).open(), 1 << 30)]
  assert [int(image[0, 0, 0]) for image in stored] == [1, 255, 7, 9]
  same = npz(tmp_path, {'x': np.stack([np.full((8, 8), v, np.uint16) for v in (200, 65535, 257 * 7)])}).open()
  assert same.arrays['image'][:, 0, 0, 0].tolist() == [1, 255, 7]
  # What 12 bits in 16 mean is said by the setting.
  twelve = dataclasses.replace(folder(tmp_path), values=(0.0, 4095.0)).open()
  assert twelve[0]['image'].max() == round(200 / 4095 * 255) and twelve[1]['image'].min() == 255


@pytest.mark.parametrize(
  ('array', 'values', 'wanted'),
  [
    (np.array([0.0, 0.5, 1.0], np.float32), (0.0, 1.0), [0, 128, 255]),
    (np.array([-1000.0, 0.0, 1000.0], np.float32), (-1000.0, 1000.0), [0, 128, 255]),
    (np.array([-100, 0, 300], np.int32), (-100.0, 300.0), [0, 64, 255]),
  ],
)
def test_what_has_no_scale_of_its_own_needs_one(tmp_path, array, values, wanted):
  Image.fromarray(np.tile(array, (3, 1))).save(tmp_path / 'a.tif')
  with pytest.raises(UserError, match=rf'a\.tif has pixels of type {array.dtype}.*set config\.data\.values.*run from'):
    folder(tmp_path, size=3).open()
  Image.new('L', (3, 3)).save(tmp_path / 'b.png')  # beside others it is left out, and said
  beside = folder(tmp_path, size=4).open()
  assert len(beside) == 1 and any('set config.data.values' in note for note in beside.notes)
  assert folder(tmp_path, size=3, values=values).open()[0]['image'][0, :, 0].tolist() == wanted


def test_values_of_arrays_go_to_the_range(tmp_path):
  floats = np.linspace(0, 255, 5 * 64).reshape(5, 8, 8, 1)
  stream = npz(tmp_path, {'x': floats})
  with pytest.raises(
    UserError, match=r'run from 0 to 255, config\.data\.range is \(-1, 1\).*data\.values.*such as \(0, 255\)'
  ):
    stream.open()
  stream = dataclasses.replace(stream, values=(0.0, 255.0))
  prepared = stream.prepare(dict(stream.open().arrays), jax.random.key(0))['image']
  np.testing.assert_allclose(prepared, floats / 127.5 - 1, atol=1e-6)
  ints = npz(tmp_path, {'x': np.array([[-1000, 0], [1000, 3000]])}, values=(-1000.0, 1000.0), range=(0.0, 1.0)).open()
  np.testing.assert_allclose(ints.arrays['image'], [[0, 0.5], [1, 1]], atol=1e-7)
  # Two ranges of one file are not one source.
  assert dataclasses.replace(stream, range=(0.0, 1.0)).open().arrays['image'].min() == 0


def test_values_in_doubt_are_remarked_and_points_may_leave_the_range(tmp_path):
  half = npz(tmp_path, {'x': np.random.RandomState(0).rand(4, 8, 8, 1)})
  (note,) = feed(dataclasses.replace(half, batch_size=2)).notes
  assert 'fill one half' in note and 'such as (0.0' in note
  sources._open.cache_clear()
  sources._extent.cache_clear()
  assert feed(npz(tmp_path, {'x': np.linspace(-1.2, 1.2, 40).reshape(20, 2)}, batch_size=2)).notes == []
  sources._open.cache_clear()
  sources._extent.cache_clear()
  (note,) = feed(npz(tmp_path, {'x': np.linspace(0, 255, 40).reshape(20, 2)}, batch_size=2)).notes
  assert note.startswith("note: values of 'npz' run from 0 to 255")


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    (dict(values=(1.0, 0.0)), 'must rise'),
    (dict(values=(0.0, 1.0)), 'a fixed scale'),
    (dict(background=(0, 0, 300)), 'from 0 to 255'),
  ],
)
def test_settings_of_values_that_do_not_fit(settings, words):
  with pytest.raises(UserError, match=words):
    streams.streams_of({'name': 'digits', **settings}, 8)


# Transparency and animation.


def half_clear():
  rgba = np.zeros((8, 8, 4), np.uint8)
  rgba[:, :] = (255, 0, 0, 0)
  rgba[:4] = (0, 0, 255, 255)
  return rgba


@pytest.mark.parametrize('background', [(0, 0, 0), (10, 200, 30)])
def test_one_rule_of_transparency_for_files_and_arrays(tmp_path, background):
  rgba = half_clear()
  (tmp_path / 'f').mkdir()
  Image.fromarray(rgba).save(tmp_path / 'f' / 'a.png')
  Image.fromarray(np.stack([rgba[..., 2], rgba[..., 3]], -1)).save(tmp_path / 'f' / 'b.png')  # grey and opacity
  clear = Image.fromarray(np.where(rgba[..., 3] > 0, 255, 9).astype(np.uint8))
  clear.save(tmp_path / 'f' / 'c.png', transparency=9)  # a grey that is transparent
  deep = Image.fromarray(np.where(rgba[..., 3] > 0, 65535, 9).astype(np.uint16))
  deep.save(tmp_path / 'f' / 'd.png', transparency=9)
  settings = dict(channels=3, background=background)
  files = folder(tmp_path / 'f', **settings).open()
  arrays = npz(tmp_path, {'x': rgba[None]}, **settings).open()
  np.testing.assert_array_equal(files[0]['image'], arrays[0]['image'])
  for i, seen in enumerate(([0, 0, 255], [255] * 3, [255] * 3, [255] * 3)):
    assert files[i]['image'][0, 0].tolist() == seen, i
    assert files[i]['image'][-1, 0].tolist() == list(background), i


def test_animations_give_their_first_frame_and_that_is_said_once(tmp_path):
  frames = [Image.new('L', (8, 8), level) for level in (40, 200, 250)]
  for name in ('a', 'b'):
    frames[0].save(tmp_path / f'{name}.gif', save_all=True, append_images=frames[1:])
  Image.new('L', (8, 8), 7).save(tmp_path / 'c.gif')
  source = folder(tmp_path).open()
  assert [int(source[i]['image'].max()) for i in range(3)] == [40, 40, 7]
  assert source.notes[-1] == '2 of 3 files are animated or have pages: the first picture counts'
  assert sum('animated' in note for note in source.notes) == 1


# Resizing.


def grating(period, side):
  wave = 127.5 + 127.5 * np.sin(2 * np.pi * np.arange(side) / period + 0.3)
  return np.tile(np.round(wave).astype(np.uint8)[None, :, None], (side, 1, 1))


@pytest.mark.parametrize(('side', 'size', 'period'), [(375, 256, 2.2), (320, 256, 2.2), (375, 128, 3.0)])
def test_what_is_too_fine_for_the_new_size_does_not_come_through(side, size, period):
  fine = transforms.resize(grating(period, side), size, 1)
  # Contrast 90 goes in; Pillow's box filter lets 67, 78 and 11 through, an exact area filter 29, 42 and 2.
  assert fine[0, 8:-8].astype(float).std() < {2.2: 30, 3.0: 1}[period]
  coarse = transforms.resize(grating(12 * side / size, side), size, 1)
  assert coarse[0, 8:-8].astype(float).std() > 80


@pytest.mark.parametrize('size', [7, 8, 32])
def test_pixels_outside_the_square_play_no_part(size):
  inside = np.random.RandomState(0).randint(0, 256, (16, 16, 1), np.uint8)
  wide = np.full((16, 40, 1), 255, np.uint8)
  wide[:, 12:28] = inside
  np.testing.assert_array_equal(transforms.resize(wide, size, 1), transforms.resize(inside, size, 1))
  centre = np.full((40, 40, 1), 255, np.uint8)
  centre[12:28, 12:28] = inside
  np.testing.assert_array_equal(transforms.resize(centre, size, 1, crop=16), transforms.resize(inside, size, 1))


# Labels.


@pytest.mark.parametrize(
  ('labels', 'words'),
  [
    (range(1, 11), "'label' of example 9 .* is 10; labels run from 1 to 10; must be 0 to 9: subtract 1 from all"),
    ([0, 1, -1], "'label' of example 2 .* is -1"),
    ([0, 2**32 + 1], "'label' of example 1 .* is 4294967297"),
    ([0.0, 1.0], 'are float64'),
    ([[1, 0], [0, 1]], r'of shape \(2,\) for each example'),
  ],
)
def test_labels_of_arrays_are_checked_whole(tmp_path, labels, words):
  labels = np.array(labels)
  images = np.zeros((len(labels), 2, 2, 1), np.uint8)
  with pytest.raises(UserError, match=words):
    own_stream(sources.ArraySource({'image': images, 'label': labels}), classes=10).open()
  if labels.ndim == 1 and labels.dtype.kind == 'i':
    with pytest.raises(UserError, match=words):
      npz(tmp_path, {'x': images, 'y': labels}, classes=10).open()


@pytest.mark.parametrize('resident', [True, False])
@pytest.mark.parametrize(
  ('labels', 'words'),
  [
    ([1, 2, 3, 10], "'label' of example 3 .* is 10"),
    ([1, 2, -1, 3], "'label' of example 2 .* is -1"),
    ([1, 2, 2**32 + 1, 3], "'label' of example 2 .* is 4294967297"),
    ([1, 2, 3, 1.5], 'are float64'),
  ],
)
def test_labels_are_checked_when_they_are_read(labels, words, resident):
  stream = own_stream(labelled(labels), classes=10, resident=resident)
  stream.open()  # the first is right
  with pytest.raises(UserError, match=words):
    next(feed(stream))


def test_the_first_example_is_looked_at_at_opening():
  with pytest.raises(UserError, match="'label' of example 0"):
    own_stream(labelled([10, 1]), classes=10).open()
  source = labelled([0, 1, 12])
  source.labels = lambda: [0, 1, 12]
  with pytest.raises(UserError, match="'label' of example 2"):
    own_stream(source, classes=10).open()
  with pytest.raises(UserError, match="'label' of example 2"):
    own_stream(labelled([0, 1, 12]), classes=10, per_class=1).open()


def test_right_labels_of_any_whole_type_become_int32():
  for kind in (np.uint8, np.int64, int):
    found = next(feed(own_stream(labelled([kind(n) for n in (3, 3, 3, 3)]), classes=4, resident=False)))
    assert found['moves']['images']['label'].tolist() == [[3, 3, 3, 3]]
    assert found['moves']['images']['label'].dtype == np.int32
    sources._open.cache_clear()


@pytest.mark.parametrize(
  ('source', 'classes', 'words'),
  [
    (Rows([{'image': np.zeros(2, np.float32)}]), 3, "no 'label'.*classes=0"),
    (Rows([{'picture': 1}]), 0, "have picture, must have 'image'"),
    (Rows([(np.zeros(2), 1)]), 0, 'is a tuple, must be a dict'),
    (sources.ArraySource({'image': np.zeros((3, 2), np.float32), 'label': np.zeros(2, int)}), 3, 'lengths'),
    (Rows([{'image': np.zeros((2, 2), np.int64)}]), 0, 'int64.*data.values'),
    (Rows([{'image': np.array(['a'])}]), 0, 'of type <U1'),
    (Rows([{'image': np.zeros(2), 'weight': np.array(np.nan)}]), 0, "'weight' of example 0 .* not finite"),
    (Rows([]), 0, 'no examples'),
  ],
)
def test_examples_of_the_wrong_form_are_named(source, classes, words):
  with pytest.raises(UserError, match=words):
    own_stream(source, classes=classes).open()


def test_data_that_are_not_finite_are_told_before_a_step():
  rows = np.zeros((8, 3), np.float64)
  rows[5, 1] = np.nan
  with pytest.raises(UserError, match=r"'image' of example 5 .* not finite"):
    own_stream(sources.ArraySource({'image': rows})).open()
  for bad in (np.inf, 1e300):  # too large for float32
    rows[5, 1] = bad
    with pytest.raises(UserError, match=r"'image' of example 5 .* not finite"):
      next(feed(own_stream(Rows([{'image': row} for row in rows]), resident=False, batch_size=8)))
    sources._open.cache_clear()


@pytest.mark.parametrize('resident', [True, False])
def test_pictures_out_of_range_are_found_behind_the_first(resident):
  pictures = [np.full((4, 4, 1), value, np.float32) for value in (0.5, 0.5, 0.5, 128)]
  with pytest.raises(UserError, match=r'run from 0.5 to 128, config\.data\.range is \(-1, 1\)'):
    next(feed(own_stream(Rows([{'image': picture} for picture in pictures]), resident=resident)))


@pytest.mark.parametrize('other', [np.zeros((4, 5), np.float32), np.zeros((4, 4), np.uint8)])
@pytest.mark.parametrize('resident', [True, False])
def test_examples_of_several_forms_are_named(other, resident):
  images = [np.zeros((4, 4), np.float32)] * 2 + [other, np.zeros((4, 4), np.float32)]
  with pytest.raises(UserError, match=r'example 2 .* is \w+ \(4, .\), another is float32 \(4, 4\)'):
    next(feed(own_stream(Rows([{'image': image} for image in images]), resident=resident)))


def test_a_checked_source_can_go_to_another_process():
  source = pickle.loads(pickle.dumps(Checked(labelled([0, 1]), streams.Stream(name='x', classes=2))))
  assert len(source) == 2 and source[1]['label'] == 1 and source.rows[0]['label'] == 0


# Sets prepared by TFDS.


@pytest.fixture
def tiny(tmp_path, monkeypatch):
  import tensorflow_datasets as tfds

  class Odd(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
      features = {'image': tfds.features.Image(shape=(8, 8, 4)), 'label': tfds.features.ClassLabel(num_classes=3)}
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
      return {'train': self._generate_examples(), 'test': self._generate_examples(-1)}

    def _generate_examples(self, label=0):
      for i in range(3):
        yield i, {'image': Image.fromarray(half_clear()), 'label': label}

  Odd(data_dir=str(tmp_path), file_format='array_record').download_and_prepare()
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))


def test_prepared_sets_follow_the_same_rules(tiny):
  stream = streams.Stream(name='odd', size=8, channels=3, classes=3, batch_size=2, background=(10, 200, 30))
  image = stream.open()[0]['image']
  assert image[0, 0].tolist() == [0, 0, 255] and image[-1, 0].tolist() == [10, 200, 30]
  # TFDS gives -1 where labels are withheld.
  with pytest.raises(UserError, match="'label' of example 0 of 'odd' is -1"):
    dataclasses.replace(stream, split='test').open()


# What does not fit together.


def test_labels_that_the_stream_does_not_declare_are_not_trained_on():
  config = config_lib.load('configs/cgan.py:digits')
  OWN['source'] = labelled(range(1, 11), np.zeros((8, 8, 1), np.uint8))
  config = config_lib.override(config, ['--config.data.name=test_values.own', '--config.data.classes=0'])
  with pytest.raises(UserError, match=r'gives labels, but its classes=0.*set config\.data\.classes=10'):
    runs.stages_of(config)


def test_a_run_of_before_a_setting_existed_can_be_resumed(tmp_path):
  config = config_lib.load('configs/quickstart.py')
  old = json.loads(config_lib.to_json(config))
  del old['data']['values'], old['data']['background']
  (tmp_path / 'config.json').write_text(json.dumps(old))
  run_config.check_resumable(tmp_path, config)
  with pytest.raises(UserError, match=r'config\.data\.background: \[0, 0, 0\] -> \[0, 0, 9\]'):
    run_config.check_resumable(tmp_path, config_lib.override(config, ['--config.data.background=(0,0,9)']))


def test_values_are_set_from_the_command_line():
  config = config_lib.load('configs/dcgan.py')
  arguments = ['--config.data.name=folder', '--config.data.path=x', '--config.data.values=(0, 4095)']
  config = config_lib.from_json(config_lib.to_json(config_lib.override(config, arguments)))
  assert streams.streams_of(config.data.to_dict(), 8)['images'].values == (0, 4095)


def test_channels_in_front_are_named():
  with pytest.raises(UserError, match=r'\(3, 32, 32\), with channels in front.*moveaxis'):
    check_same_shape(np.zeros((4, 32, 32, 3)), np.zeros((4, 3, 32, 32)))


@pytest.mark.parametrize('norm', [BatchNorm(), GhostBatchNorm(group=1)])
def test_batch_norm_of_one_value_is_refused(norm):
  init = lambda x: norm.init(jax.random.key(0), x, train=True)
  apply = lambda x, train: norm.apply(init(x), x, train=train, mutable=['batch_stats'])
  one = np.ones((1, 3), np.float32)
  apply(one, False)
  with pytest.raises(UserError, match=r'batch norm has only one value.*config\.batch_size'):
    apply(one, True)
  apply(np.ones((1, 2, 2, 3), np.float32), True)  # over the places of one picture


@pytest.mark.parametrize(
  ('body', 'line'),
  [
    ('start()\n', 3),
    ('if True:\n  start()\n', 4),
    ('if __name__ == "__main__":\n  start()\n', None),
    ('def main():\n  start()\n\nif "__main__" == __name__:\n  main()\n', None),
  ],
)
def test_a_script_without_a_main_guard_is_told(tmp_path, body, line):
  lines = 'from gan_jax.data.main_guard import check_main_guard\nstart = lambda: check_main_guard("workers=1")\n'
  script = tmp_path / 's.py'
  script.write_text(lines + body)
  if line is None:
    runpy.run_path(str(script), run_name='__main__')
  else:
    with pytest.raises(UserError, match=rf'workers=1 starts processes.*s\.py again: put its line {line} below'):
      runpy.run_path(str(script), run_name='__main__')


def test_bytes_are_left_alone():
  image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
  assert pixels.to_bytes(image) is image


def test_colours_of_16_bits_keep_their_scale(tmp_path):
  """Pillow reads 8 bits of them."""
  import struct
  import zlib

  chunk = lambda name, data: struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
  levels = [0, 1024, 2048, 4095]
  row = b'\0' + b''.join(struct.pack('>HHH', level, level, level) for level in levels)
  header = struct.pack('>IIBBBBB', 4, 1, 16, 2, 0, 0, 0)
  content = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(row)) + chunk(b'IEND', b'')
  (tmp_path / 'x.png').write_bytes(b'\x89PNG\r\n\x1a\n' + content)
  of = lambda **settings: folder(tmp_path, size=1, channels=3, **settings).open().pixels(0)[0, :, 0].astype(int)
  # To about a twelfth: the upper 8 of 12 bits are 4.
  assert np.abs(of(values=(0, 4095)) - np.array([0, 64, 128, 255])).max() <= 16
  assert of(values=(0, 65535)).tolist() == of().tolist() == [0, 4, 8, 15]


def test_colours_of_8_bits_are_not_taken_for_16(tmp_path):
  """A BMP of 53 pixels has rows of 160 bytes, which Pillow's arguments name too."""
  ramp = np.tile((np.arange(53, dtype=np.uint8) * 2)[None, :, None], (4, 1, 3))
  Image.fromarray(ramp).save(tmp_path / 'x.bmp')
  read = folder(tmp_path, channels=3, values=(0, 104)).open().pixels(0)
  assert np.abs(read[0, :, 0] - np.round(ramp[0, :, 0] * (255 / 104))).max() <= 1


def test_values_of_the_users_own_bytes_give_bytes_and_others_are_done():
  image = np.arange(0, 64, dtype=np.uint8).reshape(1, 8, 8, 1)
  OWN['source'] = sources.ArraySource({'image': image})
  stream = streams.Stream(name='test_values.own', size=8, channels=1, values=(0, 63))
  read = stream.open()[0]['image']
  assert read.dtype == np.uint8 and (read.min(), read.max()) == (0, 255)
  # Sources of files made them bytes by `values`.
  made = dataclasses.replace(stream, name='some_set')
  np.testing.assert_array_equal(_image(image, made), image)


def test_opacity_of_floats_has_the_scale_of_the_colours():
  given = np.array([[[0.0, 0.5, 1.0, 0.5]]], np.float32)
  assert pixels.to_bytes(given, (0.0, 1.0)).tolist() == [[[0, 128, 255, 128]]]
  assert pixels.to_bytes(np.array([[[0, 8, 16, 255]]], np.uint8), (0, 16)).tolist() == [[[0, 128, 255, 255]]]
