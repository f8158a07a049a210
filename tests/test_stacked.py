"""Stacked pictures: which ones, their labels, and that they train."""

import dataclasses

import numpy as np
import pytest

import gan_jax
from gan_jax import main
from gan_jax.base.errors import UserError
from gan_jax.data import sources, streams
from gan_jax.data.sources.stacked import stack

STREAM = streams.Stream(name='stacked/digits', size=8, channels=3, classes=1000)


def test_channels_and_labels_belong_together():
  source = STREAM.open()
  grey = streams.Stream(name='digits', size=8, channels=1, classes=10).open()
  assert len(source) == 128_000 and len(dataclasses.replace(STREAM, split='test').open()) == 26_000
  for i in (0, 1, 77_777, 127_999):
    example = source[i]
    assert example['image'].shape == (8, 8, 3) and example['image'].dtype == np.uint8
    assert example['label'].shape == () and example['label'].dtype == np.int32
    digits = []
    for channel in range(3):
      match = (grey.arrays['image'][..., 0] == example['image'][None, ..., channel]).all((1, 2))
      digits.append(set(grey.arrays['label'][match].tolist()))
    assert all(int(digit) in found for digit, found in zip(f'{example["label"]:03}', digits, strict=True))
  assert {k: (v.shape, v.dtype) for k, v in STREAM.stored(2).items()} == {
    'image': ((2, 8, 8, 3), np.uint8),
    'label': ((2,), np.int32),
  }


def test_examples_are_a_pure_function_of_the_index():
  images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
  longer, shorter, other = stack(images, 1000), stack(images, 300), stack(images, 300, seed=1)
  np.testing.assert_array_equal(longer.arrays['image'][:300], shorter.arrays['image'])
  assert (shorter.arrays['image'] != other.arrays['image']).mean() > 0.9
  assert list(shorter.arrays) == ['image']


def test_all_thousand_modes_are_there():
  labels = sources.labels_of(STREAM.open())
  # 128 of each on average, and the classes of digits differ by a few per cent.
  counts = np.bincount(labels, minlength=1000)
  assert counts.shape == (1000,) and counts.min() > 70 and counts.max() < 200
  few = dataclasses.replace(STREAM, per_class=2).open()
  assert len(few) == 2000 and int(few[1999]['label']) == 999
  assert list(dataclasses.replace(STREAM, classes=0).open().arrays) == ['image']


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    (dict(channels=1), "channels=1 but 'stacked/digits' stacks three: set it to 3"),
    (dict(classes=10), "classes=10 but 'stacked/digits' has 1000"),
    (dict(name='stacked/ring'), r'pictures of float32 \(2,\) cannot be stacked'),
    (dict(name='stacked/nothing'), "'nothing' is not prepared"),
    (dict(split='valid'), "unknown split of digits in config.data.split 'valid'"),
  ],
)
def test_settings_that_do_not_fit_are_named(changes, words, tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  with pytest.raises(UserError, match=words):
    dataclasses.replace(STREAM, **changes).open()


@pytest.mark.slow
def test_stacked_digits_train(tmp_path, capsys):
  settings = ['--config', 'configs/quickstart.py', '--config.data.name=stacked/digits', '--config.data.channels=3']
  tiny = ['--config.game.generator.channels=(4,4)', '--config.game.discriminator.channels=(4,4)', '--config.steps=2']
  colour = ['--config.game.generator.image_channels=3', '--config.devices=1', '--config.samples=4']
  main.main([*settings, *tiny, *colour, '--workdir', str(tmp_path / 'run')])
  assert '128000 examples of 8x8x3' in capsys.readouterr().out.replace(',', '')
  assert gan_jax.load(tmp_path / 'run').sample(2).shape == (2, 8, 8, 3)
