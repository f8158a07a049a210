"""Columns: what each kind stores and prepares, the layouts that sources read, and what is wrong with them."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import main
from gan_jax.base.errors import UserError
from gan_jax.data import columns, sets, sources, streams
from gan_jax.data import feed as feed_lib

KEY = jax.random.key(0)
PICTURE = {'name': 'Picture'}


@pytest.fixture(autouse=True)
def fresh():
  sources._open.cache_clear()


def save(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path)
  return path


def noise(height, width, channels=3, seed=0):
  pixels = np.random.RandomState(seed).randint(0, 256, (height, width, channels), np.uint8)
  return pixels[..., 0] if channels == 1 else pixels


def stream(path='', fields=None, name='folder', **settings):
  return streams.Stream(**{'name': name, 'path': str(path), 'size': 8, 'columns': fields or {}, **settings})


def prepared(a_stream, count=4, key=KEY):
  source = a_stream.open()
  rows = [source[i % len(source)] for i in range(count)]
  return jax.device_get(a_stream.prepare({f: jnp.stack([r[f] for r in rows]) for f in rows[0]}, key))


def test_pictures_of_any_shape_and_channels():
  wide = noise(8, 16)
  stored = lambda value, **settings: columns.Picture(**settings).stored(value)
  np.testing.assert_array_equal(stored(wide, size=(8, 16)), wide)
  np.testing.assert_array_equal(stored(wide, size=8, part='left'), wide[:, :8])
  np.testing.assert_array_equal(stored(wide, size=8, part='right'), wide[:, 8:])
  np.testing.assert_array_equal(stored(wide, size=(8, 4)), wide[:, 6:10])
  np.testing.assert_array_equal(stored(wide, size=4, crop=4), wide[2:6, 6:10])
  clear = noise(8, 8, 4)
  np.testing.assert_array_equal(stored(Image.fromarray(clear), size=8, channels=4), clear)
  assert stored(wide, size=(8, 16), channels=2)[..., 1].min() == 255
  mask = noise(8, 8, 1) > 128
  np.testing.assert_array_equal(stored(mask, size=4, channels=1, filter='nearest') % 255, 0)


def test_kinds_store_and_prepare_right_values():
  assert columns.Label(classes=('a', 'b')).stored('b') == 1 and columns.Label(classes=3).stored('2') == 2
  assert columns.Label(classes=2).fit(['no', 'yes', 'no']).classes == ('no', 'yes')
  attributes = columns.Attributes(names=('x', 'y', 'z')).stored({'x': '1', 'y': False, 'z': 1.0})
  assert attributes.tolist() == [1, 0, 1] and attributes.dtype == np.float32
  number = columns.Number(low=0.0, high=10.0)
  assert number.prepare(jnp.stack([number.stored('5'), number.stored(10)]), KEY).tolist() == [0, 1]
  array = columns.Array(range=(-1.0, 1.0))
  assert array.prepare(array.stored(np.array([[0, 255]], np.uint8)), KEY).tolist() == [[-1, 1]]
  assert array.prepare(array.stored(np.array([[False, True]])), KEY).tolist() == [[-1, 1]]
  tokens = columns.Array().stored(np.array([3, 4], np.int64))
  assert tokens.dtype == np.int32 and columns.Array().prepare(jnp.asarray(tokens), KEY).dtype == jnp.int32
  assert columns.Embedding().stored([0.5, 1]).tolist() == [0.5, 1]


def test_one_of_several_captions_is_drawn_with_its_embedding():
  text = columns.Text(length=4, level='words').fit([['one', 'two', 'three'], ['four', 'five']])
  assert text.captions == 3 and text.vocabulary == ('five', 'four', 'one', 'three', 'two')
  batch = jnp.tile(text.stored(['four', 'five'])[None], (3000, 1, 1))
  drawn = np.asarray(text.prepare(batch, KEY))[:, 0]
  assert set(drawn) == {2, 3} and abs((drawn == 2).mean() - 0.5) < 0.05  # never the row that is not there
  three = jnp.tile(text.stored(['one', 'two', 'three'])[None], (300, 1, 1))
  vectors = jnp.tile(jnp.array([[4.0], [6.0], [5.0]])[None], (300, 1, 1))  # the tokens of these captions
  np.testing.assert_array_equal(text.prepare(three, KEY)[:, 0], columns.Embedding().prepare(vectors, KEY)[:, 0])
  characters = columns.Text(length=6)
  assert characters.decode(characters.encode('Shoes, red')) == 'shoes,'


def test_what_belongs_together_moves_together(tmp_path):
  for i in range(6):
    half = noise(12, 12, seed=i)
    save(tmp_path / f'{i}.png', np.concatenate([half, half], 1))
  side = {'name': 'Picture', 'column': 'image'}
  fields = {'a': {**side, 'part': 'left'}, 'b': {**side, 'part': 'right'}}
  batch = prepared(stream(tmp_path, fields, flip=True, random_crop=12), 32)
  assert batch['a'].shape == (32, 8, 8, 3) and batch['a'].dtype == np.float32
  np.testing.assert_array_equal(batch['a'], batch['b'])
  assert len({picture.tobytes() for picture in batch['a']}) > 6, 'windows and flips vary'
  apart = {'a': fields['a'], 'b': {**fields['b'], 'together': False}}
  assert np.abs(prepared(stream(tmp_path, apart, flip=True, random_crop=12), 32)['b'] - batch['a']).max() > 0.5
  still = sets.reference_stream(stream(tmp_path, {'a': {**fields['a'], 'flip': True, 'random_crop': 12}}))
  np.testing.assert_array_equal(prepared(still)['a'], prepared(still, key=jax.random.key(1))['a'])


def table(folder, rows, kind='jsonl', pictures=True):
  for i, row in enumerate(rows):
    if pictures:
      save(folder / row['file_name'], np.full((8, 8, 3), 40 * i, np.uint8))
  if kind == 'jsonl':
    (folder / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  else:
    lines = [','.join(rows[0]), *(','.join(map(str, row.values())) for row in rows)]
    (folder / 'metadata.csv').write_text('\n'.join(lines))


ROWS = [
  {'file_name': 'b.png', 'text': ['red shoe', 'a shoe'], 'kind': 'shoe', 'Male': 1, 'Old': 0, 'price': 3.5},
  {'file_name': 'a.png', 'text': ['blue hat', 'a hat'], 'kind': 'hat', 'Male': 0, 'Old': 1, 'price': 7},
]
FIELDS = {
  'image': PICTURE,
  'label': {'name': 'Label', 'column': 'kind', 'classes': 2},
  'attributes': {'name': 'Attributes', 'names': ('Old', 'Male')},
  'price': {'name': 'Number'},
}
TEXT = {'name': 'Text', 'length': 3, 'level': 'words'}


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
def test_a_metadata_file_gives_columns(tmp_path, kind):
  rows = ROWS if kind == 'jsonl' else [{k: v for k, v in row.items() if k != 'text'} for row in ROWS]
  table(tmp_path / 'train', rows, kind)
  save(tmp_path / 'train' / 'extra.png', noise(8, 8))
  read = stream(tmp_path, FIELDS | ({'text': TEXT} if kind == 'jsonl' else {}))
  source, batch = read.open(), prepared(read, 2)
  assert len(source) == 2 and 'extra.png' in source.notes[0] and read.classes == 2
  np.testing.assert_allclose(batch['image'][:, 0, 0, 0], [-1, 40 / 127.5 - 1], rtol=1e-6)  # in the table's order
  assert batch['label'].tolist() == source.labels().tolist() == [1, 0]
  assert batch['attributes'].tolist() == [[0, 1], [1, 0]] and batch['price'].tolist() == [3.5, 7]
  if kind == 'jsonl':
    assert batch['text'].shape == (2, 3) and source.kinds['text'].captions == 2
    table(tmp_path / 'test', ROWS[1:])  # another split numbers words as the training set does
    assert stream(tmp_path, FIELDS | {'text': TEXT}, split='test').open().kinds == source.kinds


@pytest.mark.parametrize('layout', ['table', 'pairs', 'folders of columns', 'npz'])
def test_a_part_of_columns_never_becomes_the_whole(tmp_path, layout):
  names, rng = ('A', 'B'), np.random.RandomState(0)
  fields, source = {name: {'name': 'Picture', 'size': 4} for name in names}, 'folder'
  for split in ('train', 'val'):
    for i in range(6):
      for name in names:
        where = tmp_path / (f'{name}/{split}' if layout == 'folders of columns' else f'{split}/{name}')
        if layout in ('pairs', 'folders of columns'):
          save(where / f'{i}.png', noise(4, 4, seed=i))
    if layout == 'table':
      table(tmp_path / split, [{'file_name': f'{i}.png', 'price': i} for i in range(6)])
      fields = {'price': {'name': 'Number', 'low': 0, 'high': 5}}
    if layout == 'npz':
      np.savez(tmp_path / f'{split}.npz', price=rng.rand(6).astype(np.float32))
      fields, source = {'price': {'name': 'Number', 'low': 0, 'high': 1}}, 'npz'
  path = tmp_path / '{split}.npz' if layout == 'npz' else tmp_path
  read = lambda split: stream(path, fields, source, split=split).open()
  examples = lambda split: {str({k: v.tolist() for k, v in read(split)[i].items()}) for i in range(len(read(split)))}
  first, rest = examples('train[:2]'), examples('train[2:]')
  assert (len(first), len(rest)) == (2, 4) and not first & rest and len(read('validation')) == 6
  with pytest.raises(UserError, match=r"config\.data\.split='test' is not in"):
    read('test')


def test_a_metadata_file_names_second_pictures(tmp_path):
  table(tmp_path, [{'file_name': 'a.png', 'mask_file_name': 'm/a.png'}])
  save(tmp_path / 'm' / 'a.png', np.full((8, 8), 255, np.uint8))
  batch = prepared(stream(tmp_path, {'image': PICTURE, 'mask': {**PICTURE, 'channels': 1}}), 1)
  assert batch['mask'].shape == (1, 8, 8, 1) and batch['mask'].min() == 1 and batch['image'].max() == -1


def test_two_folders_of_equal_names_are_pairs(tmp_path):
  for i, name in enumerate(('x', 'y')):
    save(tmp_path / 'train' / 'A' / f'{name}.png', np.full((8, 8, 3), 255 * i, np.uint8))
    save(tmp_path / 'train' / 'B' / f'{name}.jpg', np.full((16, 16, 3), 255 * i, np.uint8))
  batch = prepared(stream(tmp_path, {'A': PICTURE, 'b': {**PICTURE, 'column': 'B'}}), 2)
  np.testing.assert_allclose(batch['A'], batch['b'], atol=0.02)
  assert batch['A'][:, 0, 0, 0].tolist() == [-1, 1]


def test_subfolders_npz_and_built_in_sets_give_columns(tmp_path):
  save(tmp_path / 'folder' / 'cat' / '1.png', noise(8, 8))
  save(tmp_path / 'folder' / 'dog' / '1.png', noise(8, 8))
  fields = {'image': PICTURE, 'label': {'name': 'Label', 'classes': 2}}
  assert prepared(stream(tmp_path / 'folder', fields), 2)['label'].tolist() == [0, 1]
  np.savez(tmp_path / 'train.npz', x=np.arange(6).reshape(3, 2), seen=noise(8, 8)[None].repeat(3, 0), h=np.ones((3, 1)))
  fields = {'image': {**PICTURE, 'column': 'seen'}, 'x': {'name': 'Array'}, 'h': {'name': 'Array'}}
  batch = prepared(stream(tmp_path / '{split}.npz', fields, name='npz'), 3)
  assert batch['x'].tolist() == [[0, 1], [2, 3], [4, 5]] and batch['x'].dtype == np.int32
  # With the settings of old, the same bits.
  old = streams.Stream(name='digits', size=8, channels=1, classes=10, flip=True)
  new = stream(
    fields={'image': PICTURE, 'label': {'name': 'Label', 'classes': 10}}, name='digits', channels=1, flip=True
  )
  old, new = prepared(old), prepared(new)
  np.testing.assert_array_equal(old['image'], new['image'])
  np.testing.assert_array_equal(old['label'], new['label'])


def test_columns_from_the_command_line():
  config = config_lib.load('configs/quickstart.py')
  arguments = ['--config.data.columns.image.name=Picture', '--config.data.columns.image.size=(8, 4)']
  read = streams.streams_of(config_lib.override(config, arguments).to_dict()['data'], 4)['images']
  assert read.columns == {'image': {'name': 'Picture', 'size': (8, 4)}} and read.fields(2)['image'].shape[:3] == (
    2,
    8,
    4,
  )
  assert hash(read) == hash(streams.streams_of(config.to_dict()['data'], 4)['images'])


def change(**values):
  return [{**ROWS[0], **values}, ROWS[1]]


BAD_ROWS = [
  (change(Male=2), {}, r"'attributes' of example 0 .*b\.png.* has Male=2, must be 0 or 1"),
  (change(Male=None), {}, "'attributes' of example 0 .* has no 'Male'"),
  (change(price='dear'), {}, "'price' of example 0 .* is 'dear', must be a finite number"),
  (change(price='nan'), {}, 'must be a finite number'),
  (change(price=[1, 2]), {}, 'must be a finite number'),
  (
    change(kind='cap'),
    {'label': {'name': 'Label', 'column': 'kind', 'classes': ('hat', 'shoe')}},
    "is 'cap', which is",
  ),
  (ROWS, {'label': {'name': 'Label', 'column': 'kind', 'classes': 3}}, r'classes=3 but there are 2 \(hat, shoe\)'),
  (ROWS, {'label': {'name': 'Label', 'column': 'Male', 'classes': 1}}, 'is 1, must be 0 to 0'),
  (ROWS, {'label': {'name': 'Label', 'column': 'price', 'classes': 5}}, 'classes=5 but there are 2'),
  (ROWS, {'x': {'name': 'Number', 'column': 'weight'}}, "has no column 'weight': it has image, file_name, text, kind"),
  (ROWS, {'x': {**TEXT, 'column': 'text', 'captions': 1}}, 'has 2 texts, one is needed'),
  (change(text=' '), {'text': TEXT}, 'has an empty text'),
  (change(text=3), {'text': TEXT}, 'is 3, must be a text or a list of texts'),
  (change(text='?!'), {'text': {**TEXT, 'captions': 1, 'vocabulary': ('hat',)}}, 'has no words'),
  (ROWS, {'x': {'name': 'Picture', 'column': 'kind'}}, 'is .*, no picture'),
  (ROWS, {'x': {'name': 'Array', 'column': 'kind'}}, 'is the text|give numbers'),
  (ROWS, {'x': {'name': 'Embedding', 'column': 'price'}}, 'must be a vector'),
  (change(text=[[1, 2], [3]]), {'x': {'name': 'Array', 'column': 'text'}}, 'is no array .*rows of one length'),
  (change(file_name=''), {}, "row 1 of .* has no 'file_name'"),
  (change(file_name='../b.png'), {}, 'leads out of the folder'),
  (change(file_name='a.png'), {}, r'names .*a\.png in two rows'),
  ([*ROWS, {**ROWS[0], 'file_name': 'gone.png'}], {}, r'names 1 of 3 files that are not there \(gone\.png\)'),
  ([], {}, 'has no rows'),
  ([[1]], {}, 'row 1 of .* is no object'),
]


def refused(capsys, message, fields, path='', name='folder', *more):
  """The command of a training with such data: it ends with 2 and one line."""
  data = [f'--config.data.name={name}', f'--config.data.columns={fields!r}', '--config.data.size=8']
  where = [f'--config.data.path={path}'] if path else []
  with pytest.raises(SystemExit) as left:
    main.main(['--config', 'configs/quickstart.py', *data, *where, *more, '--dry_run'])
  out, err = capsys.readouterr()
  assert left.value.code == 2 and out == '' and err.count('\n') == 1 and err.startswith('error: '), err
  assert re.search(message, err), err


@pytest.mark.parametrize('rows,fields,message', BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_table_ends_the_command_with_one_line(tmp_path, capsys, rows, fields, message):
  table(tmp_path, ROWS)
  table(tmp_path, rows, pictures=False)
  refused(capsys, message, FIELDS | fields, tmp_path)


BAD_SETTINGS = [
  ({'image': 3}, 'columns.image=3 is no column'),
  ({'image': {}}, 'is no column: give it the name of a kind'),
  ({'image': {'name': 'Foto'}}, "nothing is called 'Foto'"),
  ({'image': {**PICTURE, 'sise': 8}}, r'unknown setting config\.data\.columns\.image\.sise'),
  ({'image': {**PICTURE, 'channels': 5}}, r'columns\.image\.channels=5 must be 1 \(grey\)'),
  ({'image': {**PICTURE, 'part': 'top'}}, "part='top' must be 'left'"),
  ({'image': {**PICTURE, 'size': (0, 8)}}, r'size=\(0, 8\) must be at least 1'),
  ({'image': {**PICTURE, 'random_crop': 4}}, 'random_crop=4 is less than size=8'),
  ({'image': {**PICTURE, 'together': 1}}, 'together=1 must be True or False'),
  ({'image': PICTURE, 'b': {**PICTURE, 'flip': True}}, 'belong together but only one has flip'),
  ({'t': {'name': 'Text', 'length': 0}}, 'length=0 must be at least 1'),
  ({'t': {'name': 'Text'}}, 'columns.t lacks length'),
  ({'t': {'name': 'Text', 'length': 9, 'level': 'lines'}}, "level='lines' must be"),
  ({'n': {'name': 'Number', 'low': 1.0}}, 'must be both given and rise'),
  ({'x': {'name': 'Array', 'low': 0.0, 'high': 1.0}}, 'needs a range'),
  ({'a': {'name': 'Attributes', 'names': ('x', 'x')}}, 'must name each attribute once'),
  ({'label': {'name': 'Label', 'classes': 0}}, 'classes=0 must be at least 1'),
]


@pytest.mark.parametrize('fields,message', BAD_SETTINGS, ids=range(len(BAD_SETTINGS)))
def test_a_bad_setting_ends_the_command_with_one_line(capsys, fields, message):
  refused(capsys, message, fields, name='digits')


def test_bad_pairs_and_files_end_the_command_with_one_line(tmp_path, capsys):
  fields = {'A': PICTURE, 'B': PICTURE}
  save(tmp_path / 'A' / 'x.png', noise(8, 8))
  save(tmp_path / 'B' / 'x.png', noise(8, 16))
  refused(capsys, r'A/x\.png has 8x8 pixels, its partner .*B/x\.png has 16x8', fields, tmp_path)
  save(tmp_path / 'A' / 'y.png', noise(8, 8))
  refused(capsys, r'A/y\.png has no partner of its name in .*B', fields, tmp_path)
  save(tmp_path / 'odd' / 'x.png', noise(8, 15))
  refused(capsys, '15 pixels wide, which has no halves', {'image': {**PICTURE, 'part': 'left'}}, tmp_path / 'odd')
  (tmp_path / 'odd' / 'metadata.csv').write_text('file_name,a\nx.png,1,2\n')
  refused(capsys, 'row 1 of .* has not as many entries as the header', {'image': PICTURE}, tmp_path / 'odd')
  np.savez(tmp_path / 'a.npz', x=np.ones((3, 2)), y=np.ones(2))
  refused(capsys, "have lengths {'x': 3, 'y': 2}", {'x': {'name': 'Array'}}, tmp_path / 'a.npz', 'npz')
  np.savez(tmp_path / 'b.npz', x=np.array([[1.0], [np.inf]]))
  source = stream(tmp_path / 'b.npz', {'x': {'name': 'Array'}}, name='npz').open()
  with pytest.raises(UserError, match=r"'x' of example 1 .* not finite"):
    source[1]


def drawn_of(a_stream, steps):
  """The numbers of the examples that a feed gives in so many steps of one move."""
  a_stream = dataclasses.replace(a_stream, batch_size=4)
  feed = feed_lib.Feed({'images': a_stream}, {'images': 1}, 0, lambda tree, axis: tree, lambda tree: tree)
  prepare = feed_lib.make_prepare({'images': a_stream})
  found = [np.asarray(prepare(next(feed), 'images', 0, KEY)['x']) for _ in range(steps)]
  feed.close()
  return np.concatenate(found)


def test_examples_are_drawn_by_their_weights(tmp_path):
  weights = np.array([0, 1, 1, 2, 8.0])
  np.savez(tmp_path / 'a.npz', x=np.arange(5), often=weights, kind=np.array([0, 0, 0, 0, 1]))
  fields = {
    'x': {'name': 'Array'},
    'often': {'name': 'Number'},
    'label': {'name': 'Label', 'column': 'kind', 'classes': 2},
  }
  read = stream(tmp_path / 'a.npz', fields, 'npz', weights='often')
  found = drawn_of(read, 300)  # 240 epochs of 5
  np.testing.assert_allclose(np.bincount(found, minlength=5) / len(found), weights / 12, atol=0.02)
  for epoch in found.reshape(-1, 5):  # of 5 draws the last one has 3 or 4
    assert 3 <= (epoch == 4).sum() <= 4 and 0 not in epoch
  np.testing.assert_array_equal(found, drawn_of(dataclasses.replace(read, resident=False), 300))
  balanced = drawn_of(dataclasses.replace(read, weights='label'), 100)
  assert (balanced == 4).mean() == pytest.approx(0.5, abs=0.02) and set(balanced) == set(range(5))
  assert sets.reference_stream(read).weights == ''


def test_weights_that_are_none_are_one_line(tmp_path, capsys):
  np.savez(tmp_path / 'a.npz', x=np.arange(2), often=np.array([-1.0, 2.0]))
  fields = {'x': {'name': 'Array'}, 'often': {'name': 'Number'}}
  refused(
    capsys,
    "unknown Number or Label .*weights 'rare'.*often",
    fields,
    tmp_path / 'a.npz',
    'npz',
    '--config.data.weights=rare',
  )
  refused(capsys, 'choose one of', fields, tmp_path / 'a.npz', 'npz', '--config.data.weights=x')
  with pytest.raises(UserError, match=r"config\.data\.weights='often': weights from -1 to 2 must be .* at least 0"):
    drawn_of(stream(tmp_path / 'a.npz', fields, 'npz', weights='often'), 1)


# What values mean, once


def test_values_of_a_folder_with_columns_are_applied_once(tmp_path):
  levels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
  Image.fromarray(levels).save(tmp_path / 'x.tiff')
  plain, read = (stream(tmp_path, fields, channels=1, values=(0.0, 1.0)) for fields in (None, {'image': PICTURE}))
  np.testing.assert_array_equal(read.open()[0]['image'], plain.open()[0]['image'])
  assert len(np.unique(read.open()[0]['image'])) == 64
  # A column's own go before the stream's.
  dark = stream(tmp_path, {'image': {**PICTURE, 'values': (0.0, 2.0)}}, channels=1, values=(0.0, 1.0))
  assert dark.open()[0]['image'].max() == 128


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
  Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / 'train.tiff')
  with pytest.raises(UserError, match=r'train\.tiff'):
    stream(tmp_path, {'image': PICTURE}).open()


@pytest.mark.parametrize('turned', [1, 6])
def test_pairs_are_of_one_shape_after_they_are_turned(tmp_path, turned):
  for side, orientation in (('A', turned), ('B', 1)):
    (tmp_path / side).mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise(8, 16)).save(tmp_path / side / '1.png', exif=exif)
  read = stream(tmp_path, {'A': PICTURE, 'B': PICTURE})
  if turned == 1:
    assert len(read.open()) == 1
  else:
    with pytest.raises(UserError, match=r'1\.png has 8x16 pixels, its partner .* has 16x8'):
      read.open()


def test_two_files_of_one_name_are_no_partner(tmp_path):
  for side in 'AB':
    for name in ('1.png', '1.jpg', '2.png'):
      save(tmp_path / side / name, noise(8, 8))
  with pytest.raises(UserError, match=r'1\.(png|jpg) have one name, by which pairs are found: rename one'):
    stream(tmp_path, {'A': PICTURE, 'B': PICTURE}).open()


def test_second_pictures_stay_in_the_folder(tmp_path):
  save(tmp_path / 'outside' / 'm.png', noise(8, 8))
  table(tmp_path / 'in', [{'file_name': 'a.png', 'mask_file_name': '../outside/m.png'}])
  with pytest.raises(UserError, match=r"mask_file_name='\.\./outside/m\.png' leads out of the folder"):
    stream(tmp_path / 'in', {'image': PICTURE, 'mask': PICTURE}).open()


def test_other_ends_of_lines_are_part_of_a_text(tmp_path):
  save(tmp_path / 'train' / 'a.png', noise(8, 8))
  row = json.dumps({'file_name': 'a.png', 'text': 'red\u2028shoe\u0085old'}, ensure_ascii=False)
  (tmp_path / 'train' / 'metadata.jsonl').write_text(row + '\n', encoding='utf-8')
  assert stream(tmp_path, {'text': TEXT}).open().kinds['text'].vocabulary == ('old', 'red', 'shoe')
  (tmp_path / 'lines.txt').write_text('one\u2028two\r\n' * 20, encoding='utf-8')
  lines = stream(tmp_path / 'lines.txt', {'text': TEXT}, name='lines', split='all')
  assert len(lines.open()) == 20


# Numbers of classes, captions, caches


def test_whole_floats_are_numbers_of_classes():
  for values in ([2.0, 10.0, 0.0], ['2.0', '10.', '0'], [np.float32(2), np.float64(10), 0]):
    kind = columns.Label(classes=12).fit(values)
    assert [int(kind.stored(value)) for value in values] == [2, 10, 0]
  assert columns._whole(2.5) is columns._whole('2.5') is columns._whole('two') is None


def test_an_embedding_is_of_the_caption_that_is_drawn():
  several = {
    'text': {**TEXT, 'captions': 3, 'vocabulary': tuple('abc')},
    'vector': {'name': 'Embedding', 'captions': 5},
  }
  read = stream(name='npz', fields=several)
  # The third caption of every other example is missing, and the vectors behind are none of any.
  text = np.tile(np.array([[2, 0, 0], [3, 0, 0], [4, 0, 0]], np.int32), (64, 1, 1))
  text[::2, 2] = 0
  vectors = np.tile(np.arange(2, 7, dtype=np.float32)[:, None], (64, 1, 2))
  drawn = jax.device_get(read.prepare({'text': jnp.asarray(text), 'vector': jnp.asarray(vectors)}, KEY))
  np.testing.assert_array_equal(drawn['text'][:, 0], drawn['vector'][:, 0])
  assert set(drawn['text'][::2, 0]) == {2, 3} and set(drawn['text'][1::2, 0]) == {2, 3, 4}
  few = {**several, 'vector': {'name': 'Embedding', 'captions': 2}}
  with pytest.raises(UserError, match=r"'text' has 3 captions, 'vector' has 2, and one draw takes both"):
    columns_of(few)
  # Where one has several and the other one, nothing is drawn together.
  columns_of({**several, 'vector': {'name': 'Embedding', 'captions': 1}})
  columns_of({**several, 'title': {**TEXT, 'captions': 1, 'vocabulary': ('a',)}})
  columns_of({**several, 'vector': {'name': 'Embedding', 'captions': 2, 'together': False}})


def columns_of(fields):
  return sources.columned.kinds_of(stream(name='npz', fields=fields))


@pytest.mark.parametrize('kind', ['npz', 'metadata', 'second pictures'])
def test_a_fingerprint_sees_every_row_of_columns(tmp_path, kind, monkeypatch):
  monkeypatch.setattr(sources.identity, 'LOOKED_AT', 1)

  def of(last):
    sources._open.cache_clear()
    if kind == 'npz':
      np.savez(tmp_path / 'a.npz', x=np.zeros((3, 2)), label=[0, 1, last])
      read = stream(tmp_path / 'a.npz', {'x': {'name': 'Array'}}, name='npz')
    elif kind == 'metadata':
      lines = [json.dumps({'file_name': f'{i}.png', 'price': i if i < 2 else last}) for i in range(3)]
      (tmp_path / 'metadata.jsonl').write_text('\n'.join(lines))
      read = stream(tmp_path, {'image': PICTURE})
    else:
      save(tmp_path / '2m.png', noise(8, 8, seed=last)[: 4 + last])
      rows = [{'file_name': f'{i}.png', 'mask_file_name': '2m.png' if i == 2 else f'{i}.png'} for i in range(3)]
      (tmp_path / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, rows)))
      read = stream(tmp_path, {'image': PICTURE})
    return sources.fingerprint(read.open())

  for i in range(3):
    save(tmp_path / f'{i}.png', noise(8, 8, seed=i))
  first = of(2)
  assert of(3) != first and (of(2) == first or kind == 'second pictures')


def test_degraded_pictures_are_compared_as_losses_see_them():
  fields = {'image': {'name': 'data.degradations.Degraded', 'by': ('edges',)}}
  read = stream(name='digits', fields=fields, channels=1)
  seen = prepared(read, 30)['image']
  stored = np.stack([read.open()[i]['image'] for i in range(30)])
  compared = sets.as_examples(read, stored, np.arange(len(stored)))
  assert compared.dtype == np.uint8
  np.testing.assert_allclose(compared / 127.5 - 1, np.clip(seen, -1, 1), atol=0.5 / 127.5 + 1e-5)
  assert abs(compared.astype(float).mean() - stored.mean()) > 20
  small = stream(name='digits', fields={'image': {**fields['image'], 'by': ('small',)}}, channels=1)
  assert sets.examples(sets.reference_stream(small), 5)[0].shape == (5, 2, 2, 1)


class Darker(columns.Picture):
  """A kind of the user's own, without settings."""

  def prepare(self, batch, key):
    return super().prepare(batch, key) / 2


def test_ways_of_making_worse_are_in_the_keys_of_caches():
  of = lambda **settings: sets.decoding(
    stream(name='digits', fields={'image': {'name': 'data.degradations.Degraded', **settings}}, channels=1)
  )
  found = [of(by=('grey',)), of(by=('blur',)), of(by=('blur',), sigma=2.0), of(by=('grey',), flip=True)]
  assert len({str(sorted(key.items())) for key in found}) == 4
  assert sets.decoding(stream(name='digits', fields={'image': {**PICTURE, 'size': 4}})) == {}
  own = stream(name='folder', fields={'image': {'name': 'test_columns.Darker'}}, values=(0, 16))
  assert sets.decoding(own) == {'values': (0, 16), 'column': [('name', "'test_columns.Darker'")]}
  assert sets.decoding(stream(name='digits', fields={'image': {**PICTURE, 'values': (0, 16)}})) != {}


def test_other_kinds_of_a_folder_s_pictures_get_decoded_pixels(tmp_path):
  pixels = noise(8, 8, 1)
  save(tmp_path / 'x.png', pixels)
  found = stream(tmp_path, {'image': {'name': 'Array'}}).open()[0]['image']
  np.testing.assert_array_equal(found, pixels[..., None])


def test_a_column_whose_name_ends_alike_names_no_file(tmp_path):
  table(tmp_path / 'train', [{'file_name': 'a.png', 'profile_name': '/u/0', 'price': 3}])
  assert prepared(stream(tmp_path, {'price': {'name': 'Number'}}), 1)['price'].tolist() == [3]


def test_views_of_one_column_have_the_rows_of_the_whole_set(tmp_path):
  """A row whose second picture is damaged is no example of the first column either: pairs stay pairs."""
  rows = [{'file_name': f'{i}.png', 'worn_file_name': f'worn/{i}.png'} for i in range(5)]
  for row in rows:
    number = int(row['file_name'][0])
    save(tmp_path / row['worn_file_name'], np.full((8, 8, 3), 40 * number + 1, np.uint8))
  table(tmp_path, rows)
  damaged = tmp_path / 'worn' / '1.png'
  damaged.write_bytes(damaged.read_bytes()[:40])
  whole = stream(tmp_path, {'image': PICTURE, 'worn': PICTURE})
  assert len(whole.open()) == 4
  of = {field: sets.examples(sets.reference_stream(whole, field=field), 9)[0][:, 0, 0, 0] for field in whole.columns}
  np.testing.assert_array_equal(of['image'] + 1, of['worn'])
  again = sets.reference_stream(sets.reference_stream(whole, field='image'), field='image')
  assert len(again.open()) == 4
