"""Where examples come from: built-in sets, and TFDS names read from prepared folders without TensorFlow.

A source has a length, and source[i] gives the fields of example i as numpy arrays: 'image', which is whatever the
game models (a picture, or a point of the plane), and 'label' where the set has classes and they are asked for.
"""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from etils import epath

from gan_jax.data.transforms import resize
from gan_jax.errors import UserError, one_of


class Source(Protocol):
  """Random access to examples."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...


class ArraySource:
  """A source of arrays in memory.

  Attributes:
    arrays: {field: (N, ...)}.
  """

  def __init__(self, arrays: Mapping[str, np.ndarray]):
    self.arrays = dict(arrays)

  def __len__(self) -> int:
    return len(next(iter(self.arrays.values())))

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    return {name: array[index] for name, array in self.arrays.items()}


def digits(split: str, size: int, channels: int, labels: bool) -> ArraySource:
  """scikit-learn's 1,797 handwritten digits, 8x8 (UCI optical recognition), resized if asked.

  Splits: 'train' (1,437), 'test' (360), 'all'. Every fifth example of each class is held out.
  """
  from sklearn.datasets import load_digits

  data = load_digits()
  held_out = np.zeros(len(data.target), bool)
  for label in range(10):
    held_out[np.flatnonzero(data.target == label)[::5]] = True
  chosen = {'train': ~held_out, 'test': held_out, 'all': np.ones_like(held_out)}
  if split not in chosen:
    raise one_of('split of digits in config.data.split', split, chosen)
  images = np.round(data.images[chosen[split]] * (255 / 16)).astype(np.uint8)[..., None]
  arrays = {'image': np.stack([resize(image, size, channels) for image in images])}
  if labels:
    arrays['label'] = data.target[chosen[split]].astype(np.int32)
  return ArraySource(arrays)


RING_MODES, RING_RADIUS, RING_STDDEV = 8, 1.0, 0.02
GRID_SIDE, GRID_SPACING, GRID_STDDEV = 5, 0.5, 0.02


def ring_centers() -> np.ndarray:
  """The 8 modes of the ring, (8, 2)."""
  angles = 2 * np.pi * np.arange(RING_MODES) / RING_MODES
  return RING_RADIUS * np.stack([np.cos(angles), np.sin(angles)], -1)


def grid_centers() -> np.ndarray:
  """The 25 modes of the grid, (25, 2), in [-1, 1]."""
  line = GRID_SPACING * (np.arange(GRID_SIDE) - (GRID_SIDE - 1) / 2)
  return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def _points(split: str, labels: bool, make) -> ArraySource:
  seeds = {'train': 0, 'test': 1}
  if split not in seeds:
    raise one_of('split of points in config.data.split', split, seeds)
  points, label = make(np.random.RandomState(seeds[split]), {'train': 50_000, 'test': 10_000}[split])
  arrays = {'image': points.astype(np.float32)}
  if labels:
    arrays['label'] = label.astype(np.int32)
  return ArraySource(arrays)


def _mixture(centers: np.ndarray, stddev: float):
  def make(random, count):
    label = random.randint(len(centers), size=count)
    return centers[label] + stddev * random.randn(count, 2), label

  return make


def ring(split: str, size: int, channels: int, labels: bool) -> ArraySource:
  """A mixture of 8 Gaussians of deviation 0.02 on the unit circle, points (2,)."""
  return _points(split, labels, _mixture(ring_centers(), RING_STDDEV))


def grid(split: str, size: int, channels: int, labels: bool) -> ArraySource:
  """A mixture of 25 Gaussians of deviation 0.02 on a 5x5 grid in [-1, 1]^2, points (2,)."""
  return _points(split, labels, _mixture(grid_centers(), GRID_STDDEV))


def spirals(split: str, size: int, channels: int, labels: bool) -> ArraySource:
  """Two interleaved spirals in the unit disk with noise of deviation 0.02, points (2,); the label is the arm."""

  def make(random, count):
    arm, turn = random.randint(2, size=count), np.sqrt(random.rand(count))
    angle = 3 * np.pi * turn + np.pi * arm
    return np.stack([turn * np.cos(angle), turn * np.sin(angle)], -1) + 0.02 * random.randn(count, 2), arm

  return _points(split, labels, make)


BUILT_IN = {'digits': digits, 'ring': ring, 'grid': grid, 'spirals': spirals}
POINTS = ('ring', 'grid', 'spirals')


class TfdsSource:
  """A TFDS set from its prepared folder (array_record files), decoded one example at a time."""

  def __init__(self, name: str, split: str, size: int, channels: int, labels: bool):
    import tensorflow_datasets as tfds

    self._size, self._channels, self._labels = size, channels, labels
    builder = tfds.builder_from_directory(str(prepared_folder(name)))
    splits = builder.info.splits
    if split.split('[')[0] not in splits:
      raise one_of(f'split of {name} in config.data.split', split, splits)
    features = builder.info.features
    if 'image' not in features:
      raise UserError(f"data set {name!r} has no 'image' feature (it has {', '.join(features)}): choose another set")
    if labels and 'label' not in features:
      raise UserError(
        f"data set {name!r} has no 'label' feature (it has {', '.join(features)}): set config.data.classes=0"
      )
    wanted = {'image', 'label'} if labels else {'image'}
    # Attributes and captions are not decoded.
    skipped = {name: tfds.decode.SkipDecoding() for name in features if name not in wanted}
    self._data: Sequence[Any] = builder.as_data_source(split, decoders=skipped)

  def __len__(self) -> int:
    return len(self._data)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    example = self._data[int(index)]
    fields = {'image': resize(example['image'], self._size, self._channels)}
    if self._labels:
      fields['label'] = np.asarray(example['label'], np.int32)
    return fields


def data_dir() -> epath.Path:
  """TFDS_DATA_DIR, or TFDS's default folder."""
  return epath.Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()


def prepared_folder(name: str) -> epath.Path:
  """The newest prepared version of a TFDS set.

  Raises:
    UserError: there is none. It is looked up before TFDS is asked, which without a network tries for minutes.
  """
  root = data_dir() / name
  versions = [path.parent for path in root.glob('*/dataset_info.json')] if root.exists() else []
  if not versions:
    raise UserError(
      f'data set {name!r} is not prepared in {data_dir()}: set TFDS_DATA_DIR to the folder that has it, prepare it '
      f'with `tfds build {name} --file_format=array_record`, or start with what needs no download: '
      f'{", ".join(without_download())}'
    )
  newest = max(versions, key=lambda path: [int(part) for part in path.name.split('.') if part.isdigit()])
  if json.loads((newest / 'dataset_info.json').read_text()).get('fileFormat') != 'array_record':
    raise UserError(
      f'data set {name!r} in {newest} is not in the array_record format: prepare it with '
      f'`tfds build {name} --file_format=array_record`'
    )
  return newest


def without_download() -> list[str]:
  """The shipped configs whose data are built in."""
  from gan_jax import config

  return [name for name, settings in config.shipped() if settings.data.get('name') in BUILT_IN]


@functools.lru_cache(maxsize=4)
def open_source(name: str, split: str, size: int, channels: int, labels: bool) -> Source:
  """Opens a source by its name: a built-in set, a function of yours by its dotted name, or a TFDS name.

  Args:
    name: as in config.data.name. A function of yours takes (split, size, channels, labels).
    split: of the set.
    size: height and width to bring images to.
    channels: 1 or 3.
    labels: whether to read labels.
  """
  if name in BUILT_IN:
    return BUILT_IN[name](split, size, channels, labels)
  if '.' in name:
    from gan_jax.build import resolve

    return resolve(name)(split, size, channels, labels)
  return TfdsSource(name, split, size, channels, labels)


def into_memory(source: Source, limit: int) -> ArraySource | None:
  """The whole source as arrays, or None if it needs more than `limit` bytes."""
  if isinstance(source, ArraySource):
    return source
  first = source[0]
  if len(source) * sum(np.asarray(value).nbytes for value in first.values()) > limit:
    return None
  arrays = {name: np.empty((len(source), *np.shape(value)), np.asarray(value).dtype) for name, value in first.items()}
  for i in range(len(source)):
    for name, value in source[i].items():
      arrays[name][i] = value
  return ArraySource(arrays)


def example_shape(name: str, size: int, channels: int) -> tuple[int, ...]:
  """The shape of one 'image'; known without opening the source, but for functions of yours."""
  if name in POINTS:
    return (2,)
  if '.' in name:
    return np.shape(open_source(name, 'train', size, channels, False)[0]['image'])
  return (size, size, channels)


def example_dtype(name: str) -> np.dtype:
  """uint8 for pictures, float32 for points; of a function of yours, what it gives."""
  if '.' in name:
    return np.asarray(open_source(name, 'train', 1, 1, False)[0]['image']).dtype
  return np.dtype(np.float32 if name in POINTS else np.uint8)
