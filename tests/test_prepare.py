"""Preparing TFDS sets without TensorFlow, on made-up downloads of the right form."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from gan_jax import prepare
from gan_jax.base.errors import UserError
from gan_jax.data import sources, streams


def mnist_files(folder, monkeypatch):
  from tensorflow_datasets.image_classification import mnist

  monkeypatch.setattr(mnist, '_TRAIN_EXAMPLES', 12)
  monkeypatch.setattr(mnist, '_TEST_EXAMPLES', 12)
  random = np.random.RandomState(0)
  images, labels = random.randint(0, 256, (12, 28, 28), np.uint8), np.arange(12, dtype=np.uint8) % 10
  (folder / 'images').write_bytes(bytes(16) + images.tobytes())
  (folder / 'labels').write_bytes(bytes(8) + labels.tobytes())
  paths = {
    f'{split}_{kind}': folder / name
    for split in ('train', 'test')
    for kind, name in (('data', 'images'), ('labels', 'labels'))
  }
  return paths, images[..., None], labels


def cifar_files(folder, builder):
  info = builder._cifar_info
  random = np.random.RandomState(0)
  images, labels = random.randint(0, 256, (12, 32, 32, 3), np.uint8), np.arange(12, dtype=np.uint8)
  (folder / info.prefix).mkdir()
  for name in (*info.train_files, *info.test_files):
    rows = [
      bytes([label] * len(info.label_keys)) + image.transpose(2, 0, 1).tobytes()
      for label, image in zip(labels % 10, images, strict=True)
    ]
    (folder / info.prefix / name).write_bytes(b''.join(rows))
  for key, name in zip(info.label_keys, info.label_files, strict=True):
    count = builder.info.features[key].num_classes
    (folder / info.prefix / name).write_text('\n'.join(f'class {i}' for i in range(count)))
  return folder, images, labels % 10


@pytest.mark.parametrize(
  ('name', 'size', 'channels'),
  [('mnist', 28, 1), ('fashion_mnist', 28, 1), ('cifar10', 32, 3), ('cifar100', 32, 3)],
)
def test_stock_builders(name, size, channels, tmp_path, monkeypatch):
  downloads = tmp_path / 'downloads'
  downloads.mkdir()
  if name.endswith('mnist'):
    paths, images, labels = mnist_files(downloads, monkeypatch)
  else:
    paths, images, labels = cifar_files(downloads, tfds.builder(name, data_dir=str(tmp_path / 'scratch')))
  monkeypatch.setattr(tfds.download.DownloadManager, 'download_and_extract', lambda self, urls: paths)
  prepare.prepare(name, tmp_path / 'data')
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'data'))
  sources._open.cache_clear()
  source = streams.Stream(name=name, size=size, channels=channels, classes=100 if name == 'cifar100' else 10).open()
  rows = {source[i]['image'].tobytes(): int(source[i]['label']) for i in range(len(source))}
  assert rows == {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
  sources._open.cache_clear()


def test_what_cannot_be_prepared_is_one_line(tmp_path, monkeypatch):
  with pytest.raises(UserError, match="TFDS has no data set 'nothing_of_that_name'"):
    prepare.prepare('nothing_of_that_name', tmp_path)

  def offline(self, urls):
    raise ConnectionError('no route to host')

  monkeypatch.setattr(tfds.download.DownloadManager, 'download_and_extract', offline)
  with pytest.raises(UserError, match=r'mnist.*was not prepared.*no route to host.*network'):
    prepare.prepare('mnist', tmp_path)
