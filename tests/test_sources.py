"""Sources of the user's own: folders of pictures, arrays, labelled subsets."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import gan_jax
from gan_jax import main
from gan_jax.base.errors import UserError
from gan_jax.data import sources, streams

TINY = [
  '--config.game.generator.channels=(4,4,4,4)',
  '--config.game.discriminator.channels=(4,4,4,4)',
  '--config.batch_size=8',
  '--config.devices=1',
  '--config.steps=2',
  '--config.samples=4',
]


def photographs(folder, count=200):
  """Crops of scikit-learn's two photographs, of many sizes, grey and colour, in several formats; two broken files."""
  photos, random = load_sample_images().images, np.random.RandomState(0)
  for i in range(count):
    photo = photos[i % 2]
    height, width = random.randint(40, 300, 2)
    top, left = (random.randint(0, n - m) for n, m in zip(photo.shape, (height, width), strict=False))
    picture = Image.fromarray(photo[top : top + height, left : left + width])
    picture = picture.convert('L') if i % 5 == 0 else picture
    place = folder / ('china' if i % 2 == 0 else 'flower')
    place.mkdir(parents=True, exist_ok=True)
    picture.save(place / f'{i:03}.{("jpg", "png", "webp")[i % 3]}')
  (folder / 'china' / 'broken.jpg').write_bytes((folder / 'china' / '000.jpg').read_bytes()[:900])
  (folder / 'flower' / 'text.png').write_text('no picture')
  (folder / 'flower' / 'notes.txt').write_text('ignored')


def test_a_folder_of_photographs_trains_and_the_broken_ones_are_named(tmp_path, capsys):
  photographs(tmp_path / 'photos')
  settings = ['--config', 'configs/dcgan.py', '--config.data.name=folder', f'--config.data.path={tmp_path / "photos"}']
  main.main([*settings, *TINY, '--workdir', str(tmp_path / 'run')])
  out = capsys.readouterr().out
  assert 'left out 2 of 202 files' in out and 'broken.jpg' in out and 'text.png' in out and 'notes.txt' not in out
  assert '200 examples of 64x64x3' in out
  assert gan_jax.load(tmp_path / 'run').sample(3).shape == (3, 64, 64, 3)


def test_subfolders_are_classes(tmp_path):
  photographs(tmp_path / 'photos', 20)
  stream = streams.Stream(name='folder', path=str(tmp_path / 'photos'), size=16, channels=1, classes=2)
  source = stream.open()
  assert len(source) == 20 and source[0]['image'].shape == (16, 16, 1)
  assert sources.labels_of(source).tolist() == [0] * 10 + [1] * 10
  with pytest.raises(UserError, match=r'classes=3 but .* has 2 subfolders with pictures \(china, flower\)'):
    dataclasses.replace(stream, classes=3).open()
  few = dataclasses.replace(stream, per_class=4).open()
  assert len(few) == 8 and [int(few[i]['label']) for i in range(8)] == [0] * 4 + [1] * 4
  assert few.chosen.tolist() == dataclasses.replace(stream, per_class=4, size=8).open().chosen.tolist()
  assert few.chosen.tolist() != dataclasses.replace(stream, per_class=4, per_class_seed=1).open().chosen.tolist()
  (tmp_path / 'photos' / 'stray.png').write_bytes((tmp_path / 'photos' / 'china' / '004.png').read_bytes())
  with pytest.raises(UserError, match=r'stray\.png is in no class subfolder'):
    dataclasses.replace(stream, size=17).open()


def test_a_split_folder_is_taken_and_nothing_leaves_the_folder(tmp_path):
  photographs(tmp_path / 'photos' / 'test', 6)
  photographs(tmp_path / 'elsewhere', 6)
  (tmp_path / 'photos' / 'test' / 'link.png').symlink_to(next((tmp_path / 'elsewhere').rglob('*.png')))
  source = streams.Stream(name='folder', path=str(tmp_path / 'photos'), split='test').open()
  assert len(source) == 6
  assert any('link out of the folder' in reason for reason in source.skipped.values())


def test_modes_of_pictures(tmp_path):
  grey16 = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
  Image.fromarray(grey16).save(tmp_path / 'a.png')
  clear = np.zeros((8, 8, 4), np.uint8)
  clear[:4] = (255, 0, 0, 255)
  Image.fromarray(clear).save(tmp_path / 'b.png')
  turned = Image.new('RGB', (8, 4), 'blue')
  exif = turned.getexif()
  exif[0x0112] = 6  # to be shown turned by a quarter
  turned.save(tmp_path / 'c.jpg', exif=exif)
  Image.new('1', (9, 9), 1).save(tmp_path / 'd.png')
  source = streams.Stream(name='folder', path=str(tmp_path), size=8).open()
  images = [source[i]['image'] for i in range(4)]
  assert images[0].max() > 240 and images[0][0, 0, 0] == 0
  assert images[1][0, 0].tolist() == [255, 0, 0] and images[1][-1, 0].tolist() == [0, 0, 0]
  assert images[3].min() == 255


def npz(tmp_path, **arrays):
  np.savez(tmp_path / 'a.npz', **arrays)
  return streams.Stream(name='npz', path=str(tmp_path / 'a.npz'), size=8, channels=1)


def opened(stream):
  sources._open.cache_clear()
  return stream.open()


def test_arrays_of_any_rank(tmp_path):
  pictures = np.random.RandomState(0).randint(0, 256, (5, 8, 8), np.uint8)
  np.testing.assert_array_equal(opened(npz(tmp_path, images=pictures)).arrays['image'], pictures[..., None])
  assert opened(dataclasses.replace(npz(tmp_path, images=pictures), size=4, channels=3))[0]['image'].shape == (4, 4, 3)
  voxels = pictures[:, :4, :4, None].repeat(4, 3) > 100
  stored = opened(npz(tmp_path, voxels=voxels))
  np.testing.assert_array_equal(stored.arrays['image'], voxels * 255)
  sequences = np.random.RandomState(0).randn(5, 16, 3)
  stream = dataclasses.replace(npz(tmp_path, x=sequences, y=np.arange(5)), classes=5)
  source = opened(stream)
  assert source[2]['image'].shape == (16, 3) and source[2]['image'].dtype == np.float32 and source[2]['label'] == 2
  assert {k: v.shape for k, v in stream.fields(4).items()} == {'image': (4, 16, 3), 'label': (4,)}
  np.save(tmp_path / 'b_test.npy', sequences[:2].astype(np.float32))
  points = streams.Stream(name='npz', path=str(tmp_path / 'b_{split}.npy'), split='test')
  assert len(opened(points)) == 2


class Bomb:
  def __reduce__(self):
    return (print, ('this must not run',))


@pytest.mark.parametrize(
  ('arrays', 'words'),
  [
    (dict(images=np.array([Bomb(), Bomb()], object)), ['does not load', 'without objects']),
    (dict(a=np.ones((2, 2)), b=np.ones((2, 2))), ['has a, b', 'image']),
    (dict(x=np.ones(3)), ['shape (3,)']),
    (dict(x=np.ones((2, 3), np.int64)), ['int64']),
    (dict(x=np.array([[1.0, np.nan]])), ['not finite']),
    (dict(x=np.ones((2, 3), complex)), ['complex128']),
  ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, arrays, words, capsys):
  with pytest.raises(UserError) as caught:
    opened(npz(tmp_path, **arrays))
  assert all(word in str(caught.value) for word in words), str(caught.value)
  assert 'must not run' not in capsys.readouterr().out


def test_labels_of_arrays_that_do_not_fit(tmp_path):
  with pytest.raises(UserError, match='has no labels'):
    opened(dataclasses.replace(npz(tmp_path, x=np.ones((2, 3))), classes=2))
  with pytest.raises(UserError, match=r'int64 \(3,\), must be \(2,\) int'):
    opened(dataclasses.replace(npz(tmp_path, x=np.ones((2, 3)), y=np.ones(3, int)), classes=2))
  with pytest.raises(UserError, match='run from 0 to 4'):
    opened(dataclasses.replace(npz(tmp_path, x=np.ones((2, 3)), y=np.array([0, 4])), classes=2))


def test_damaged_archives_are_one_line(tmp_path):
  stream = npz(tmp_path, x=np.random.RandomState(0).randn(200, 30))
  whole = (tmp_path / 'a.npz').read_bytes()
  for content in (b'', b'PK', whole[: len(whole) // 2], whole[:200] + b'\xff' * 40 + whole[240:]):
    (tmp_path / 'a.npz').write_bytes(content)
    with pytest.raises(UserError, match='does not load as arrays'):
      opened(stream)


def test_random_windows_and_central_crops(tmp_path):
  image = np.arange(12 * 12, dtype=np.uint8).reshape(1, 12, 12, 1).repeat(50, 0)
  np.savez(tmp_path / 'a.npz', images=image)
  stream = streams.Stream(
    name='npz', path=str(tmp_path / 'a.npz'), size=8, random_crop=12, channels=1, range=(0.0, 255.0)
  )
  assert stream.stored(3)['image'].shape == (3, 12, 12, 1) and stream.fields(3)['image'].shape == (3, 8, 8, 1)
  cut = np.asarray(stream.prepare({'image': jnp.asarray(image)}, jax.random.key(0))['image'])
  corners = {(int(x[0, 0, 0]) // 12, int(x[0, 0, 0]) % 12) for x in cut}
  assert len(corners) > 10 and all(0 <= a <= 4 and 0 <= b <= 4 for a, b in corners)
  for x in cut:
    top, left = divmod(int(x[0, 0, 0]), 12)
    np.testing.assert_array_equal(x, image[0, top : top + 8, left : left + 8])
  central = opened(dataclasses.replace(stream, random_crop=0, crop=8))
  np.testing.assert_array_equal(central[0]['image'], image[0, 2:10, 2:10])


def test_a_picture_that_is_too_large_is_left_out(tmp_path, monkeypatch):
  Image.new('L', (40, 40)).save(tmp_path / 'large.png')
  Image.new('L', (8, 8)).save(tmp_path / 'small.png')
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
  source = streams.Stream(name='folder', path=str(tmp_path), size=8, channels=1).open()
  assert [path.name for path in source.files] == ['small.png'] and 'large.png' in next(iter(source.skipped))


def test_an_empty_folder_is_named(tmp_path):
  buffer = io.BytesIO(b'GIF89a')
  (tmp_path / 'a.gif').write_bytes(buffer.getvalue())
  with pytest.raises(UserError, match='no picture that can be read'):
    streams.Stream(name='folder', path=str(tmp_path)).open()


def test_a_folder_whose_classes_got_other_pictures_is_read_anew(tmp_path):
  stream = streams.Stream(name='folder', path=str(tmp_path), size=8, channels=1, classes=2)
  for name in ('cat/0', 'cat/1', 'dog/0'):
    (tmp_path / 'train' / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new('L', (8, 8)).save(tmp_path / 'train' / f'{name}.png')
  assert stream.open().labels().tolist() == [0, 0, 1]
  (tmp_path / 'train' / 'cat' / '1.png').rename(tmp_path / 'train' / 'dog' / '1.png')
  fresh = dataclasses.replace(stream)
  assert fresh.open().labels().tolist() == [0, 1, 1]
  assert dataclasses.replace(stream).open() is fresh.open(), 'nothing has changed'


def test_a_file_that_was_written_anew_is_read_anew(tmp_path):
  for level in (0, 200):
    np.savez(tmp_path / 'a.npz', image=np.full((4, 8, 8), level, np.uint8))
    assert (
      streams.Stream(name='npz', path=str(tmp_path / 'a.npz'), size=8, channels=1).open()[0]['image'].max() == level
    )
