"""Splits, names and links of folders and arrays: a part never becomes the whole, nothing is left out unsaid."""

import os

import numpy as np
import pytest
from PIL import Image

from gan_jax.base.errors import UserError
from gan_jax.data import sets, sources
from gan_jax.data.streams import Stream


def pictures(folder, count, first=0):
  folder.mkdir(parents=True, exist_ok=True)
  for i in range(first, first + count):
    Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / f'{i:03}.png')


def folder(path, **settings):
  return Stream(name='folder', path=str(path), size=8, channels=1, **settings)


def test_val_is_held_out_and_shares_nothing_with_train(tmp_path):
  pictures(tmp_path / 'train', 12)
  pictures(tmp_path / 'val', 8, 100)
  held_out = sets.held_out_stream(folder(tmp_path))
  assert held_out is not None and len(held_out.open()) == 8
  assert min(int(held_out.open()[i]['image'].min()) for i in range(8)) == 100
  with pytest.raises(UserError, match='train, val'):
    folder(tmp_path, split='test').open()


def test_slices_of_a_folder_are_disjoint(tmp_path):
  pictures(tmp_path, 10)
  first, rest = folder(tmp_path, split='train[:4]').open(), folder(tmp_path, split='train[4:]').open()
  assert (len(first), len(rest)) == (4, 6) and not set(first.files) & set(rest.files)
  assert 'all of it is train' in first.notes[0]
  for split in ('train[:11]', 'train[4:4]', 'train+test', 'test'):
    with pytest.raises(UserError, match=r'config\.data\.split'):
      folder(tmp_path, split=split).open()


def test_a_class_that_is_called_train_is_not_taken_for_the_split(tmp_path):
  for name in ('boat', 'car', 'train'):
    pictures(tmp_path / name, 2)
  with pytest.raises(UserError, match='splits or classes'):
    folder(tmp_path).open()


def test_a_linked_test_folder_of_training_pictures_is_not_held_out(tmp_path):
  pictures(tmp_path / 'train', 4)
  (tmp_path / 'test').mkdir()
  (tmp_path / 'test' / 'part').symlink_to(tmp_path / 'train')
  assert sets.held_out_stream(folder(tmp_path)) is None


def test_one_npz_is_train_and_its_slices_are_disjoint(tmp_path):
  np.savez(tmp_path / 'a.npz', x=np.arange(10, dtype=np.float32)[:, None])
  get = lambda split: Stream(name='npz', path=str(tmp_path / 'a.npz'), split=split).open()
  first, rest = get('train[:3]').arrays['image'], get('train[3:]').arrays['image']
  assert sorted([*first[:, 0], *rest[:, 0]]) == list(range(10)) and len(first) == 3
  with pytest.raises(UserError, match='all of it is train'):
    get('test')


def test_hidden_folders_are_no_data_and_links_within_the_tree_are_followed(tmp_path):
  pictures(tmp_path / 'a', 3)
  pictures(tmp_path / '.ipynb_checkpoints', 3)
  (tmp_path / 'b').symlink_to(tmp_path / 'a')
  (tmp_path / 'a' / 'circle').symlink_to(tmp_path)
  (tmp_path / 'a' / '000.png').rename(tmp_path / 'a' / '000.jfif')
  source = folder(tmp_path, classes=2).open()
  assert len(source) == 6 and sources.labels_of(source).tolist() == [0] * 3 + [1] * 3
  assert any('hidden' in note for note in source.notes)


def test_a_name_that_is_not_utf8_has_a_fingerprint(tmp_path):
  pictures(tmp_path, 1)
  os.rename(tmp_path / '000.png', os.fsencode(tmp_path) + b'/caf\xe9.png')
  assert len(sources.fingerprint(folder(tmp_path).open())) == 8


def test_a_link_is_followed_into_a_folder_that_the_setting_names(tmp_path):
  pictures(tmp_path / 'store' / 'many', 3)
  pictures(tmp_path / 'set' / 'a', 2)
  (tmp_path / 'set' / 'b').symlink_to(tmp_path / 'store' / 'many')
  (tmp_path / 'set' / 'a' / 'one.png').symlink_to(tmp_path / 'store' / 'many' / '000.png')
  alone = folder(tmp_path / 'set').open()
  assert len(alone) == 2 and any('config.data.links' in note for note in alone.notes)
  assert len(folder(tmp_path / 'set', links=str(tmp_path / 'store')).open()) == 6
  assert len(folder(tmp_path / 'set', links=str(tmp_path / 'elsewhere')).open()) == 2


@pytest.mark.parametrize('copies', [1, 3])
def test_copies_of_training_files_are_not_held_out(tmp_path, copies):
  pictures(tmp_path / 'train', 20)
  pictures(tmp_path / 'test', 18, 100)
  pictures(tmp_path / 'test', copies)
  held_out = sets.held_out_stream(folder(tmp_path))
  assert held_out is None if copies == 3 else held_out.split == 'test'  # more than a tenth of 21, less than one of 19


def test_settings_are_chosen_on_the_rest_of_a_slice_in_percent(tmp_path):
  pictures(tmp_path, 10)
  for part, rest in (('train[:80%]', 'train[80%:]'), ('train[:8]', 'train[8:]'), ('train', 'train')):
    assert sets.validation_stream(folder(tmp_path, split=part)).split == rest
  first, other = (folder(tmp_path, split=split).open() for split in ('train[:80%]', 'train[80%:]'))
  assert (len(first), len(other)) == (8, 2) and not set(first.files) & set(other.files)


@pytest.mark.parametrize('columns', [{}, {'image': {'name': 'Picture'}}])
def test_a_folder_that_moves_keeps_its_fingerprint(columns, tmp_path):
  pictures(tmp_path / 'here', 3)
  before = sources.fingerprint(folder(tmp_path / 'here', columns=columns).open())
  (tmp_path / 'here').rename(tmp_path / 'there')
  assert sources.fingerprint(folder(tmp_path / 'there', columns=columns).open()) == before


def test_a_split_that_is_broken_is_told_and_not_taken_for_none(tmp_path, capsys):
  for split, count in (('train', 3), ('test', 2)):
    np.savez(tmp_path / f'{split}.npz', x=np.arange(count, dtype=np.float32)[:, None])
  stream = Stream(name='npz', path=str(tmp_path / '{split}.npz'))
  assert sets.held_out_stream(stream).split == 'test' and not capsys.readouterr().err
  whole = (tmp_path / 'test.npz').read_bytes()
  (tmp_path / 'test.npz').write_bytes(whole[: len(whole) // 2])
  assert sets.held_out_stream(stream) is None
  assert "no held-out examples are taken from the split 'test' of 'npz'" in capsys.readouterr().err
  (tmp_path / 'test.npz').unlink()
  assert sets.held_out_stream(stream) is None and not capsys.readouterr().err


def test_pictures_beside_the_folder_of_a_split_are_told(tmp_path):
  pictures(tmp_path / 'train', 2)
  assert folder(tmp_path).open().notes == ()
  pictures(tmp_path, 3)  # of trains, say
  (note,) = folder(tmp_path).open().notes
  assert note.startswith('3 pictures that lie in') and note.endswith("is the split 'train'")


def test_a_source_may_hold_labels_and_files_of_its_own(tmp_path):
  class Own:
    labels, files = np.arange(4), ('a', 'b')

    def __len__(self):
      return 4

    def __getitem__(self, index):
      return {'image': np.full((8, 8, 1), index, np.uint8), 'label': int(self.labels[index])}

  made = sources.base.labels_of(Own())
  assert made.tolist() == [0, 1, 2, 3]
  assert len(sources.fingerprint(Own())) == 8


def test_a_held_out_split_without_classes_is_no_broken_one(tmp_path, capsys):
  for name in ('a', 'b'):
    pictures(tmp_path / 'train' / name, 2)
  pictures(tmp_path / 'test', 2, 100)
  stream = folder(tmp_path, classes=2)
  assert sets.held_out_stream(stream) is None and sets.held_out_stream(stream, labelled=False).classes == 0
  assert not capsys.readouterr().err
