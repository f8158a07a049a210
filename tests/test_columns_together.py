"""Columns of one example that belong together: shapes, crops, flips, captions; and settings that contradict them."""

import jax
import numpy as np
import pytest
from PIL import Image
from test_columns import PICTURE, TEXT, noise, prepared, save, stream, table

from gan_jax.base.errors import UserError
from gan_jax.data import sets, streams, transforms
from gan_jax.data.sources import columned
from gan_jax.training import checks

KEEP = {'name': 'Picture', 'size': 8}


def streams_of(fields, **settings):
  return streams.streams_of({'name': 'npz', 'columns': fields, **settings}, 4)


@pytest.mark.parametrize(
  ('fields', 'settings', 'message'),
  [
    ({'image': KEEP, 'label': {'name': 'Label', 'classes': 20}}, {'classes': 10}, r'classes=10 but .* has 20'),
    ({'image': KEEP, 'label': {'name': 'Label', 'classes': ('a', 'b')}}, {'classes': 3}, r'classes=3 but .* has 2'),
    ({'image': KEEP}, {'classes': 10}, "classes=10 but no column is 'label'"),
    ({'x': {'name': 'Array'}}, {'flip': True}, 'flip=True is of pictures, and no column is one'),
    ({'x': {'name': 'Array'}}, {'random_crop': 40}, 'random_crop=40 is of pictures'),
  ],
)
def test_settings_that_contradict_the_columns_are_refused(fields, settings, message):
  (read,) = streams_of(fields, **settings).values()  # a run with them can be loaded
  with pytest.raises(UserError, match=message):
    streams.check_effect(read, 'config.data')


def test_classes_of_the_label_are_the_stream_s():
  fields = {'image': KEEP, 'label': {'name': 'Label', 'classes': 20}}
  assert streams_of(fields)['images'].classes == streams_of(fields, classes=20)['images'].classes == 20


def test_values_of_a_made_set_are_refused():
  with pytest.raises(UserError, match="'edges/digits' has a fixed scale"):
    streams.check_effect(stream(name='edges/digits', values=(0, 16), channels=1), 'config.data')


def test_a_flip_that_one_column_names_is_that_which_the_other_inherits():
  fields = {'a': {**PICTURE, 'flip': True, 'column': 'image'}, 'b': {**PICTURE, 'column': 'image'}}
  read = stream(name='digits', fields=fields, channels=1, flip=True)
  assert len(read.open()) == 1433
  batch = prepared(read, 16)
  np.testing.assert_array_equal(batch['a'], batch['b'])


def test_a_crop_that_a_picture_is_too_small_for_keeps_its_shape():
  rows, across = np.mgrid[:100, :300]
  disc = (255 * ((rows - 50) ** 2 + (across - 150) ** 2 < 40**2)).astype(np.uint8)[..., None]
  made = transforms.fit(disc, (64, 64), 1, (178, 178))[..., 0] > 127
  assert abs(int(made.any(0).sum()) - int(made.any(1).sum())) <= 1
  np.testing.assert_array_equal(made, transforms.resize(disc, 64, 1, 178)[..., 0] > 127)
  # Of pictures that are large enough it is what was asked for.
  np.testing.assert_array_equal(transforms.fit(disc, (20, 40), 1, (20, 40)), disc[40:60, 130:170])


def test_a_crop_of_pairs_in_two_sizes_is_refused(tmp_path):
  save(tmp_path / 'A' / 'x.png', noise(16, 16))
  save(tmp_path / 'B' / 'x.png', noise(8, 8))
  assert len(stream(tmp_path, {'A': PICTURE, 'B': PICTURE}).open()) == 1
  with pytest.raises(UserError, match='give each a crop of one share of its height'):
    stream(tmp_path, {'A': PICTURE, 'B': PICTURE}, crop=6).open()
  # The same part of both, and crops that nobody makes.
  assert len(stream(tmp_path, {'A': {**PICTURE, 'crop': 12}, 'B': {**PICTURE, 'crop': 6}}).open()) == 1
  assert len(stream(tmp_path, {'A': {**PICTURE, 'crop': 0}, 'B': {**PICTURE, 'crop': 0}}, crop=6).open()) == 1


def test_second_pictures_have_the_shape_of_the_first(tmp_path):
  table(tmp_path, [{'file_name': 'a.png', 'mask_file_name': 'm/a.png'}])
  save(tmp_path / 'm' / 'a.png', noise(8, 16, 1))
  fields = {'image': PICTURE, 'mask': {**PICTURE, 'channels': 1}}
  with pytest.raises(UserError, match=r'a\.png has 8x8 pixels, its partner .* has 16x8: give both one shape'):
    stream(tmp_path, fields).open()
  apart = {**fields, 'mask': {**fields['mask'], 'together': False}}
  assert len(stream(tmp_path, apart).open()) == 1
  (tmp_path / 'm' / 'a.png').write_bytes(b'no picture')
  with pytest.raises(
    UserError, match=r'has no row whose pictures can all be read \(left out 1 of 2 .*m/a\.png.*\): mend'
  ):
    stream(tmp_path, fields).open()


def test_a_row_whose_second_picture_cannot_be_read_is_left_out(tmp_path):
  rows = [{'file_name': f'{i}.png', 'mask_file_name': f'm/{i}.png'} for i in range(4)]
  table(tmp_path, rows)
  for i in range(4):
    save(tmp_path / f'{i}.png', np.full((8, 8, 3), 10 * i, np.uint8))
    save(tmp_path / 'm' / f'{i}.png', np.full((8, 8, 3), 10 * i, np.uint8))
  whole = (tmp_path / 'm' / '1.png').read_bytes()
  (tmp_path / 'm' / '1.png').write_bytes(whole[: len(whole) // 2])
  source = stream(tmp_path, {'image': PICTURE, 'mask': {**PICTURE, 'channels': 1}}).open()
  assert [int(source[i]['image'].max()) for i in range(len(source))] == [0, 20, 30]
  assert [int(source[i]['mask'].max()) for i in range(len(source))] == [0, 20, 30]
  (note,) = (note for note in source.notes if 'left out' in note)
  assert 'left out 1 of 8 files' in note and 'm/1.png' in note


def test_sets_in_memory_are_made_as_large_as_their_columns_say():
  whole = stream(name='digits', size=8, channels=1).open()
  read = lambda fields, **settings: stream(name='digits', fields=fields, channels=1, **settings).open()
  for fields, size in (({'image': {**PICTURE, 'size': 8}}, 32), ({'image': {**PICTURE, 'size': 8}}, 4)):
    made = read(fields, size=size)
    np.testing.assert_array_equal([made[i]['image'] for i in range(9)], [whole[i]['image'] for i in range(9)])
  both = read({'a': {**PICTURE, 'column': 'image', 'size': 8}, 'b': {**PICTURE, 'column': 'image', 'size': 4}}, size=32)
  np.testing.assert_array_equal(both[0]['a'], whole[0]['image'])
  # A crop is cut once.
  cropped = stream(name='digits', size=8, channels=1, crop=6).open()
  made = read({'image': PICTURE}, size=8, crop=6)
  np.testing.assert_array_equal([made[i]['image'] for i in range(9)], [cropped[i]['image'] for i in range(9)])


def test_few_labels_of_a_set_in_memory_with_columns():
  fields = {'image': PICTURE, 'label': {'name': 'Label', 'classes': 10}}
  few = stream(name='digits', fields=fields, channels=1, classes=10, per_class=2)
  labels = [int(few.open()[i]['label']) for i in range(len(few.open()))]
  assert sorted(labels) == sorted([*range(10)] * 2)
  plain = stream(name='digits', channels=1, classes=10, per_class=2).open()
  np.testing.assert_array_equal([few.open()[i]['image'] for i in range(20)], [plain[i]['image'] for i in range(20)])
  assert columned.fitted_kinds(few)['label'].classes == 10


def test_few_labels_tell_what_was_left_out(tmp_path):
  for kind in ('a', 'b'):
    for i in range(3):
      save(tmp_path / kind / f'{i}.png', noise(8, 8, seed=i))
  (tmp_path / 'a' / 'bad.png').write_bytes(b'no picture')
  notes = [stream(tmp_path, classes=2, per_class=count).open().notes for count in (0, 2)]
  assert notes[0] == notes[1] and 'bad.png' in notes[0][-1]


@pytest.mark.parametrize(
  ('level', 'vocabulary', 'words'),
  [
    ('characters', ('A', 'c'), r"has 'A', which texts at level='characters' never have \(capitals"),
    ('characters', ('ab', 'c'), "has 'ab', which"),
    ('words', ('Red', 'shoe'), "has 'Red', which"),
    ('words', ('red-shoe',), r"has 'red-shoe', .*\['red', 'shoe'\]"),
    ('words', ('red', 'red'), "has 'red' twice"),
  ],
)
def test_a_vocabulary_that_no_text_has_is_refused(level, vocabulary, words):
  fields = {'text': {'name': 'Text', 'length': 4, 'level': level, 'vocabulary': vocabulary}}
  read = stream(name='lines', fields=fields)  # a run with it can be loaded
  with pytest.raises(UserError, match=words):
    streams.check_effect(read, 'config.data')
  right = {'text': {**fields['text'], 'vocabulary': tuple('ac') if level == 'characters' else ('red', 'shoe')}}
  streams.check_effect(stream(name='lines', fields=right), 'config.data')


def test_second_pictures_that_nobody_reads_or_looks_at_leave_the_rows(tmp_path):
  rows = [{'file_name': f'{i}.png', 'depth_file_name': f'd/{i}.png', 'mask_file_name': f'm/{i}.seg'} for i in range(3)]
  table(tmp_path, rows)
  for i in range(3):
    save(tmp_path / f'{i}.png', noise(8, 8))
    save(tmp_path / 'd' / f'{i}.png', noise(8, 8))
    (tmp_path / 'm').mkdir(exist_ok=True)
    with open(tmp_path / 'm' / f'{i}.seg', 'wb') as file:
      Image.fromarray(noise(8, 8)).save(file, format='PNG')
  (tmp_path / 'd' / '1.png').write_bytes(b'no picture')
  assert len(stream(tmp_path, {'image': PICTURE}).open()) == 3  # no column reads depth
  both = stream(tmp_path, {'image': PICTURE, 'mask': {**PICTURE, 'channels': 1}}).open()
  assert len(both) == 3 and both[2]['mask'].shape == (8, 8, 1)
  assert len(stream(tmp_path, {'image': PICTURE, 'depth': PICTURE}).open()) == 2


def test_windows_of_floats_are_refused_where_nothing_makes_them_the_size(tmp_path):
  np.savez(tmp_path / 'x.npz', image=np.zeros((4, 10, 10, 3), np.float32))
  read = stream(tmp_path / 'x.npz', name='npz', random_crop=10)
  assert read.fields(2)['image'].shape == (2, 8, 8, 3)  # such a run can be loaded
  with pytest.raises(UserError, match=r'random_crop=10 is of pictures of bytes.*a Picture with `values`'):
    checks._check_windows(read)
  fields = {'image': {**PICTURE, 'values': (0.0, 1.0)}}
  assert prepared(stream(tmp_path / 'x.npz', fields, 'npz', random_crop=10))['image'].shape == (4, 8, 8, 3)
  checks._check_windows(stream(tmp_path / 'x.npz', fields, 'npz', random_crop=10))
  checks._check_windows(stream(name='digits', channels=1, random_crop=10))


def test_pairs_of_a_turned_tiff(tmp_path):
  for side, suffix in (('A', 'tiff'), ('B', 'png')):
    (tmp_path / side).mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(8, 16)).save(tmp_path / side / f'1.{suffix}', exif=exif)
  example = stream(tmp_path, {'A': {**PICTURE, 'size': (16, 8)}, 'B': {**PICTURE, 'size': (16, 8)}}).open()[0]
  np.testing.assert_array_equal(example['A'], example['B'])


def test_a_column_s_own_values_decide_which_files_can_be_read(tmp_path):
  save(tmp_path / 'A' / 'x.png', noise(8, 8, 1))
  (tmp_path / 'B').mkdir()
  Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / 'B' / 'x.tiff')
  fields = {'A': PICTURE, 'B': {**PICTURE, 'values': (0.0, 1.0)}}
  assert stream(tmp_path, fields, channels=1).open()[0]['B'].max() == 255


def test_a_caption_without_a_vector_is_refused(tmp_path):
  text = np.array([['a', 'b', 'c']] * 4)
  np.savez(tmp_path / 'a.npz', text=text, vector=np.zeros((4, 2, 3), np.float32))
  fields = {'text': {**TEXT, 'captions': 0}, 'vector': {'name': 'Embedding'}}
  with pytest.raises(UserError, match=r"'text' has 3 captions, 'vector' has 2, and one draw takes both"):
    stream(tmp_path / 'a.npz', fields, name='npz').open()
  np.savez(tmp_path / 'b.npz', text=text, vector=np.zeros((4, 3, 3), np.float32))
  assert len(stream(tmp_path / 'b.npz', fields, name='npz').open()) == 4


def test_a_vector_is_of_the_first_text():
  other = {**TEXT, 'vocabulary': tuple('abcde'), 'captions': 3}
  fields = {'text': {**other, 'captions': 5}, 'title': other, 'vector': {'name': 'Embedding', 'captions': 5}}
  text = np.tile(np.array([[2, 0, 0], [3, 0, 0], [4, 0, 0], [5, 0, 0], [6, 0, 0]], np.int32), (64, 1, 1))
  vectors = np.tile(np.arange(2, 7, dtype=np.float32)[:, None], (64, 1, 2))
  read = stream(name='npz', fields=fields)
  drawn = read.prepare({'text': text, 'title': text[:, :3], 'vector': vectors}, jax.random.key(0))
  np.testing.assert_array_equal(np.asarray(drawn['text'])[:, 0], np.asarray(drawn['vector'])[:, 0])


def test_a_domain_numbers_words_and_classes_as_its_training_set(tmp_path):
  for split, names in (('trainB', ('fox', 'cat', 'dog')), ('testB', ('dog', 'cat'))):
    for i, name in enumerate(names):
      save(tmp_path / split / name / f'{i}.png', noise(8, 8))
  fields = {'image': PICTURE, 'label': {'name': 'Label', 'classes': 3}}
  of = lambda split: stream(tmp_path, fields, split=split).open()
  assert of('testB').kinds['label'].classes == of('trainB').kinds['label'].classes == ('cat', 'dog', 'fox')


def test_a_protocol_names_the_part_and_the_crop_of_its_column(tmp_path):
  for i in range(2):
    save(tmp_path / f'{i}.png', noise(8, 16))
  halves = {side: {**PICTURE, 'column': 'image', 'part': side} for side in ('left', 'right')}
  titles = [
    sets.title(sets.reference_stream(stream(tmp_path, fields), field='right'))
    for fields in (halves, {**halves, 'right': {**halves['right'], 'crop': 4}})
  ]
  assert titles[0].endswith(', part right') and titles[1].endswith(', part right, crop 4')
