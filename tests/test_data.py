"""Order, sources, transforms and the two paths to the device."""

import functools
import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax.base.errors import UserError
from gan_jax.data import feed as feed_lib
from gan_jax.data import order, sources, streams, transforms
from gan_jax.data.sources import builtin
from gan_jax.data.sources import prepared as prepared_lib
from gan_jax.distributed import parallel
from gan_jax.latents import distributions as latents

KEY = jax.random.key(0)


def test_the_order_visits_everything_once_an_epoch_and_is_pure():
  first, second = (order.permutation(0, 'images', epoch, 1000) for epoch in (0, 1))
  assert sorted(first) == sorted(second) == list(range(1000))
  assert not np.array_equal(first, second), 'each epoch has its own order'
  assert not np.array_equal(first, order.permutation(1, 'images', 0, 1000)), 'the seed matters'
  assert not np.array_equal(first, order.permutation(0, 'other', 0, 1000)), 'the stream matters'
  stream = order.indices(0, 'images', 1000, 0, 2500)
  np.testing.assert_array_equal(stream[:1000], first)
  np.testing.assert_array_equal(stream[1000:2000], second)
  # Drawn in any pieces it is the same.
  pieces = [order.indices(0, 'images', 1000, start, 7) for start in range(0, 2500, 7)]
  np.testing.assert_array_equal(np.concatenate(pieces)[:2500], stream)
  # Numbers written down once: a new version of numpy must not change them.
  assert order.permutation(0, 'images', 0, 8).tolist() == FIXED


def test_orders_of_many_seeds_are_made_once_an_epoch(monkeypatch):
  made = []
  real = np.random.RandomState
  monkeypatch.setattr(np.random, 'RandomState', lambda seed: made.append(seed) or real(seed))
  for start in range(0, 60, 4):  # two epochs of 30
    for seed in range(9):
      order.indices(7000 + seed, 'images', 30, start, 4)
  assert len(made) == 9 * 2


FIXED = [4, 3, 1, 7, 0, 2, 5, 6]


def opened(name, split='train', size=8, channels=1, classes=0, **settings):
  settings = dict(name=name, split=split, size=size, channels=channels, classes=classes, **settings)
  return streams.Stream(**settings).open()


def test_digits_are_split_within_each_class():
  train, test, every = (opened('digits', split, classes=10).arrays for split in ('train', 'test', 'all'))
  assert (len(train['label']), len(test['label']), len(every['label'])) == (1433, 364, 1797)
  assert np.bincount(test['label']).min() >= 34 and np.bincount(train['label']).min() >= 139
  rows = {image.tobytes() for image in train['image']}
  assert not any(image.tobytes() in rows for image in test['image'])
  assert train['image'].dtype == np.uint8 and train['image'].shape[1:] == (8, 8, 1)
  assert train['image'].min() == 0 and train['image'].max() == 255
  assert opened('digits', size=32, channels=3).arrays['image'].shape == (1433, 32, 32, 3)


def test_points_lie_where_they_should():
  ring = opened('ring', classes=8).arrays
  offsets = ring['image'] - builtin.ring_centers()[ring['label']]
  assert offsets.std() == pytest.approx(builtin.RING_STDDEV, rel=0.02)
  np.testing.assert_allclose(np.linalg.norm(builtin.ring_centers(), axis=1), 1.0)
  grid = opened('grid', 'test', classes=25).arrays
  assert np.unique(grid['label']).size == 25 and len(grid['label']) == 10_000
  assert (grid['image'] - builtin.grid_centers()[grid['label']]).std() == pytest.approx(builtin.GRID_STDDEV, rel=0.03)
  spirals = opened('spirals', classes=2).arrays
  np.testing.assert_allclose(
    spirals['image'][spirals['label'] == 0].mean(0), -spirals['image'][spirals['label'] == 1].mean(0), atol=0.02
  )
  assert not np.array_equal(opened('ring').arrays['image'][:100], opened('ring', 'test').arrays['image'][:100])


def test_resize_crops_to_the_middle_and_keeps_what_fits():
  image = np.random.RandomState(0).randint(0, 256, (8, 8, 1), np.uint8)
  assert transforms.resize(image, 8, 1) is image
  wide = np.concatenate([np.zeros((8, 4, 1), np.uint8), image, np.zeros((8, 4, 1), np.uint8)], 1)
  np.testing.assert_array_equal(transforms.resize(wide, 8, 1), image)
  # Going down by 2, a pixel is the mean of 4 x 4 with weights 1, 3, 3, 1 in both directions.
  weights = np.array([1, 3, 3, 1]) / 8
  middle = weights @ image[1:5, 1:5, 0].astype(float) @ weights
  np.testing.assert_allclose(transforms.resize(image, 4, 1)[1, 1, 0], middle, atol=1.01)  # Pillow rounds twice
  np.testing.assert_array_equal(transforms.resize(image, 8, 3), image.repeat(3, -1))


def test_range_and_flip():
  image = jnp.arange(2 * 64, dtype=jnp.uint8).reshape(2, 8, 8, 1)
  unit = transforms.to_float({'image': image}, (0.0, 1.0), False, KEY)['image']
  np.testing.assert_allclose(unit, np.asarray(image) / 255, atol=1e-7)
  many = jnp.tile(image[:1], (400, 1, 1, 1))
  flipped = transforms.to_float({'image': many, 'label': jnp.arange(400)}, (0.0, 255.0), True, KEY)
  assert flipped['label'].tolist() == list(range(400))
  mirrored = (flipped['image'][:, 0, 0, 0] == 7).mean()
  assert 0.4 < mirrored < 0.6
  rows = np.asarray(flipped['image'])
  assert all(np.array_equal(r, rows[0]) or np.array_equal(r, rows[0][:, ::-1]) for r in rows)
  back = transforms.to_uint8(
    np.asarray(transforms.to_float({'image': image}, (-1.0, 1.0), False, KEY)['image']), (-1.0, 1.0)
  )
  np.testing.assert_array_equal(back, image)


def take(stream, steps, moves=2, position=None, devices=2, **settings):
  mesh = parallel.make_mesh(devices)
  place, replicate = parallel.place(mesh), parallel.replicate(mesh)
  feed = feed_lib.Feed({'images': stream}, {'images': moves}, 0, place, replicate, position, **settings)
  prepare = jax.jit(feed_lib.make_prepare({'images': stream}), static_argnums=(1, 2))
  rows = []
  for _ in range(steps):
    given = next(feed)
    rows += [jax.device_get(prepare(given, 'images', move, KEY)) for move in range(moves)]
  feed.close()
  return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, feed.position


@pytest.mark.parametrize('name', ['digits', 'ring'])
def test_resident_and_read_streams_give_the_same_examples(name):
  settings = dict(name=name, size=8, channels=1, classes=10, batch_size=100)
  steps = 8  # 1600 examples: over the end of an epoch of digits
  resident, position = take(streams.Stream(**settings, resident=True), steps)
  read, read_position = take(streams.Stream(**settings, resident=False), steps)
  assert position == read_position == {'images': 1600}
  for field in ('image', 'label'):
    np.testing.assert_array_equal(resident[field], read[field])
  for kind in (True, False):
    rest, _ = take(streams.Stream(**settings, resident=kind), 3, position={'images': 1000})
    np.testing.assert_array_equal(rest['image'], resident['image'][1000:])


def test_what_grain_says_of_its_processes_is_one_line_with_the_setting():
  for text, words in (
    ('cannot pickle lock object\nDataset: ...', 'cannot be sent to the processes of config.data.workers=2'),
    ('Worker process was terminated unexpectedly with exit code -9', 'a process of config.data.workers=2 died'),
  ):
    with pytest.raises(UserError, match=words) as told, feed_lib._of_workers(2):
      raise RuntimeError(text)
    assert '\n' not in str(told.value)
  for error in (RuntimeError('another'), UserError('ours')):
    with pytest.raises(type(error), match=str(error)), feed_lib._of_workers(2):
      raise error


def test_an_example_that_cannot_be_read_is_named_by_its_file():
  class Broken:
    files: object = ('a.png', 'b.png')

    def __len__(self):
      return 2

    def __getitem__(self, index):
      raise OSError('truncated')

  with pytest.raises(UserError, match=r"example 1 of stream 'images', b\.png, cannot be read"):
    feed_lib._Ordered(Broken(), 0, 'images', 0, 1, (0, 1), 1)._example(1)
  for Broken.files in (('shard',), {'a': 1}):  # not one for each example
    with pytest.raises(UserError, match="example 1 of stream 'images' cannot be read"):
      feed_lib._Ordered(Broken(), 0, 'images', 0, 1, (0, 1), 1)._example(1)


def test_the_stream_is_the_same_for_any_number_of_workers_and_processes():
  settings = dict(name='digits', size=8, channels=1, classes=10, batch_size=100)
  whole, _ = take(streams.Stream(**settings), 4)
  for workers in (1, 2):
    read, position = take(streams.Stream(**settings, resident=False, workers=workers), 4)
    np.testing.assert_array_equal(read['image'], whole['image'], err_msg=f'{workers} workers')
    assert position == {'images': 800}
  for kind in (True, False):
    stream = streams.Stream(**settings, resident=kind)
    halves = [take(stream, 4, devices=1, process=(i, 2))[0]['label'].reshape(8, 50) for i in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(halves, 1).ravel(), whole['label'])


def test_sets_larger_than_the_limit_are_read_though_they_are_arrays(monkeypatch):
  monkeypatch.setattr(feed_lib, 'RESIDENT_BYTES', 1000)
  mesh = parallel.make_mesh(1)
  stream = streams.Stream(name='digits', size=8, channels=1, batch_size=10)
  feed = feed_lib.Feed({'images': stream}, {'images': 1}, 0, parallel.place(mesh), parallel.replicate(mesh))
  assert not next(feed)['store']


def test_latents_do_not_depend_on_the_batch():
  normal = latents.Normal((5,))
  whole = latents.draw({'z': normal, 'label': latents.Label(10**6)}, KEY, 10)
  part = latents.draw({'z': normal, 'label': latents.Label(10**6)}, KEY, 4, start=6)
  np.testing.assert_array_equal(whole['label'][6:], part['label'])
  # The same bits; jax 0.12 rounds the last digit of a normal by its place in a vector of the processor.
  np.testing.assert_allclose(whole['z'][6:], part['z'], rtol=1e-6)
  assert abs(float(latents.draw(normal, KEY, 4000).std()) - 1) < 0.02
  uniform = latents.draw(latents.Uniform((2,), -0.5, 2.0), KEY, 4000)
  assert -0.5 <= uniform.min() < -0.49 and 1.99 < uniform.max() <= 2.0
  both = latents.draw({'z': normal, 'label': latents.Label(3)}, KEY, 3000)
  assert np.bincount(both['label']).min() > 900 and both['label'].dtype == jnp.int32


@functools.cache
def tiny_builder():
  """A TFDS builder of 6 pictures."""
  import tensorflow_datasets as tfds

  class Tiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version('1.2.0')

    def _info(self):
      features = {
        'image': tfds.features.Image(shape=(10, 8, 3)),
        'label': tfds.features.ClassLabel(num_classes=3),
        'note': tfds.features.Text(),
      }
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
      return {'train': self._generate_examples()}

    def _generate_examples(self):
      for i in range(6):
        yield i, {'image': Image.new('RGB', (8, 10), (40 * i, 0, 255)), 'label': i % 3, 'note': 'x'}

  return Tiny


@pytest.fixture
def prepared(tmp_path, monkeypatch):
  """A prepared folder of array_record files, written without TensorFlow."""
  tiny_builder()(data_dir=str(tmp_path), file_format='array_record').download_and_prepare()
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  sources._open.cache_clear()
  yield tmp_path / 'tiny' / '1.2.0'
  sources._open.cache_clear()


def test_a_prepared_set_is_read_without_tensorflow(prepared):
  source = opened('tiny', channels=3, classes=3)
  assert len(source) == 6
  seen = {int(source[i]['image'][0, 0, 0]): int(source[i]['label']) for i in range(6)}
  assert seen == {40 * i: i % 3 for i in range(6)}
  assert source[0]['image'].shape == (8, 8, 3) and source[0]['image'].dtype == np.uint8
  assert 'label' not in opened('tiny', channels=3)[0]
  assert len(opened('tiny', 'train[:50%]', channels=3)) == 3
  grey, _ = take(streams.Stream(name='tiny', size=4, channels=1, batch_size=2), 2)
  assert grey['image'].shape == (8, 4, 4, 1)
  resident, _ = take(streams.Stream(name='tiny', size=8, channels=3, batch_size=4, classes=3), 4)
  read, _ = take(streams.Stream(name='tiny', size=8, channels=3, batch_size=4, classes=3, resident=False), 4)
  np.testing.assert_array_equal(resident['image'], read['image'])
  np.testing.assert_array_equal(resident['label'], read['label'])
  with pytest.raises(UserError, match=r"unknown split of tiny.*'test'.*train"):
    opened('tiny', 'test', channels=3)


def test_every_feature_of_a_prepared_set_is_a_column(prepared):
  columns = {
    'image': {'name': 'Picture', 'size': (10, 8)},
    'kind': {'name': 'Label', 'column': 'label', 'classes': 3},
    'note': {'name': 'Text', 'length': 2},
  }
  source = opened('tiny', channels=3, columns=columns)
  assert len(source) == 6 and source.kinds['note'].captions == 1
  seen = {int(source[i]['image'][0, 0, 0]): int(source[i]['kind']) for i in range(6)}
  assert seen == {40 * i: i % 3 for i in range(6)}
  assert source[0]['image'].shape == (10, 8, 3) and source.kinds['note'].decode(source[0]['note']) == 'x'
  with pytest.raises(UserError, match=r"has no column 'notes': it has image, label, note"):
    opened('tiny', channels=3, columns={'notes': {'name': 'Text', 'length': 2}})


def test_tfrecord_folders_are_read_too(prepared):
  import grain
  from array_record.python import array_record_module

  (file,) = prepared.glob('*.array_record*')
  reader = array_record_module.ArrayRecordReader(str(file))
  records = reader.read_all()
  new = prepared / file.name.replace('array_record', 'tfrecord')
  crc = b'\0' * 4
  new.write_bytes(b''.join(struct.pack('<Q', len(record)) + crc + record + crc for record in records))
  # grain agrees on what the file holds.
  assert list(grain.experimental.TFRecordIterDataset(str(new))) == records
  pixels = [opened('tiny', channels=3, classes=3)[i] for i in range(6)]
  info = json.loads((prepared / 'dataset_info.json').read_text())
  for split in info['splits']:
    split['filepathTemplate'] = split['filepathTemplate'].replace('array_record', 'tfrecord')
  (prepared / 'dataset_info.json').write_text(json.dumps({**info, 'fileFormat': 'tfrecord'}))
  file.unlink()
  sources._open.cache_clear()
  again = opened('tiny', channels=3, classes=3)
  assert len(again) == 6
  for i, row in enumerate(pixels):
    np.testing.assert_array_equal(again[i]['image'], row['image'])
    assert again[i]['label'] == row['label']
  assert len(opened('tiny', 'train[2:]', channels=3)) == 4
  new.write_bytes(new.read_bytes()[:-30])
  with pytest.raises(UserError, match='ends in the middle'):
    opened('tiny', channels=3, seed=0, crop=4)


def test_a_set_of_another_format_is_refused_with_the_cure(prepared):
  info = json.loads((prepared / 'dataset_info.json').read_text())
  (prepared / 'dataset_info.json').write_text(json.dumps({**info, 'fileFormat': 'riegeli'}))
  with pytest.raises(UserError, match=r'riegeli.*python -m gan_jax\.prepare --name tiny'):
    opened('tiny', channels=3)


def test_the_newest_version_is_read(prepared):
  newer = prepared.parent / '1.10.0'
  newer.mkdir()
  for file in prepared.iterdir():
    (newer / file.name).write_bytes(file.read_bytes())
  assert prepared_lib.prepared_folder('tiny').name == '1.10.0'


def my_source(stream):
  return sources.ArraySource({'image': np.ones((5, 3, 4), np.float32)})


def test_a_source_of_your_own_by_its_dotted_name():
  stream = streams.Stream(name='test_data.my_source', batch_size=2)
  assert stream.fields(2)['image'].shape == (2, 3, 4) and stream.stored(2)['image'].dtype == np.float32
  fields, _ = take(stream, 2)
  np.testing.assert_array_equal(fields['image'], np.ones((8, 3, 4)))
