"""TFDS sets from their prepared folders, array_record or TFRecord, decoded one example at a time without TensorFlow."""

import json
import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from etils import epath

from gan_jax.base.errors import UserError
from gan_jax.data.pixels import to_bytes
from gan_jax.data.sources.builtin import BUILT_IN
from gan_jax.data.transforms import resize

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream


class PreparedSource:
  """A TFDS set: the features 'image' and 'label'."""

  def __init__(self, stream: 'Stream'):
    import tensorflow_datasets as tfds

    self._stream = stream
    folder = prepared_folder(stream.name)
    builder = tfds.builder_from_directory(str(folder))
    split, name = stream.split, stream.name
    try:
      examples = builder.info.splits[split].num_examples
    except Exception as error:  # an unknown split causes KeyError, ValueError or AssertionError
      known = ', '.join(builder.info.splits)
      raise UserError(
        f'unknown split of {name} in config.data.split {split!r}: it has {known}, or a slice of one'
      ) from error
    if not examples:
      raise UserError(f'config.data.split={split!r} of {name} has no examples: choose a larger slice')
    features = builder.info.features
    has = f"data set {name!r} has no '%s' feature (it has {', '.join(features)}): "
    if 'image' not in features:
      raise UserError(has % 'image' + 'choose another set, or read it by a function of your own')
    if stream.classes and 'label' not in features:
      raise UserError(has % 'label' + 'set config.data.classes=0')
    if stream.classes and getattr(features['label'], 'num_classes', stream.classes) != stream.classes:
      raise UserError(
        f'config.data.classes={stream.classes} but {name!r} has {features["label"].num_classes}: set it to that'
      )
    wanted = {'image', 'label'} if stream.classes else {'image'}
    # Other features, such as attributes and captions, are not decoded.
    skipped = {name: tfds.decode.SkipDecoding() for name in features if name not in wanted}
    self._data: Any
    if file_format(folder) == 'array_record':
      self._data = builder.as_data_source(split, decoders=skipped)
    else:
      self._data = _TFRecords(builder, split, skipped)

  def __len__(self) -> int:
    return len(self._data)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    example = self._data[int(index)]
    stream = self._stream
    pixels = to_bytes(example['image'], stream.values, f'example {index} of {stream.name!r}')
    size = stream.stored_size, stream.channels, stream.crop, stream.background, stream.filter
    fields = {'image': resize(pixels, *size)}
    if stream.classes:
      fields['label'] = np.asarray(example['label'])
    return fields


def classes_of(stream: 'Stream') -> int:
  """The number of classes of the feature 'label'; 0 if there is none."""
  import tensorflow_datasets as tfds

  features = tfds.builder_from_directory(str(prepared_folder(stream.name))).info.features
  return getattr(features['label'], 'num_classes', None) or 0 if 'label' in features else 0


class _TFRecords:
  """Random access to TFRecord files. Reads the offsets of all records once.

  A record is its length in 8 bytes, a checksum of 4, the data, and a checksum of 4.
  """

  def __init__(self, builder: Any, split: str, decoders: Any):
    self._features, self._decoders = builder.info.features, decoders
    self._records: list[tuple[str, int, int]] = []
    for instruction in builder.info.splits[split].file_instructions:
      records = list(_offsets(str(instruction.filename)))
      end = None if instruction.take == -1 else instruction.skip + instruction.take
      self._records += [(str(instruction.filename), *record) for record in records[instruction.skip : end]]

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> Any:
    name, offset, length = self._records[index]
    with epath.Path(name).open('rb') as file:
      file.seek(offset)
      return self._features.deserialize_example_np(file.read(length), decoders=self._decoders)


def _offsets(name: str):
  """(offset, length) of every record's data."""
  path = epath.Path(name)
  size = path.stat().length
  with path.open('rb') as file:
    place = 0
    while place < size:
      header = file.read(8)
      end = place + 12 + struct.unpack('<Q', header)[0] + 4 if len(header) == 8 else size + 1
      if end > size:
        raise UserError(f'{name} ends in the middle of a record: prepare the data set anew')
      yield place + 12, end - place - 16
      place = end
      file.seek(place)


def data_dir() -> epath.Path:
  """TFDS_DATA_DIR, or TFDS's default folder."""
  return epath.Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()


def file_format(folder: epath.Path) -> str:
  """'array_record', 'tfrecord' or another, of a prepared folder."""
  return json.loads((folder / 'dataset_info.json').read_text()).get('fileFormat', 'tfrecord')


def prepared_folder(name: str) -> epath.Path:
  """The newest prepared version of a TFDS set; 'cycle_gan/horse2zebra' names a builder's config.

  Raises:
    UserError: there is none. The function does not ask TFDS, which without a network would try for minutes.
  """
  parts = name.split('/')
  if '..' in parts or name.startswith('/'):
    raise UserError(f'config.data.name={name!r} leads out of {data_dir()}: name a data set in it')
  root = data_dir().joinpath(*parts)
  versions = [path.parent for path in root.glob('*/dataset_info.json')] if root.exists() else []
  if not versions:
    raise UserError(
      f'data set {name!r} is not prepared in {data_dir()}: set TFDS_DATA_DIR to the folder that has it, prepare it '
      f'with `python -m gan_jax.prepare --name {name}`, or start with what needs no download, such as '
      f'configs/quickstart.py or the variant digits of a config (data {", ".join(BUILT_IN)} are built in)'
    )
  newest = max(versions, key=lambda path: [int(part) for part in path.name.split('.') if part.isdigit()])
  if file_format(newest) not in ('array_record', 'tfrecord'):
    raise UserError(
      f'data set {name!r} in {newest} is in the {file_format(newest)} format, array_record and tfrecord can be read: '
      f'prepare it with `python -m gan_jax.prepare --name {name}`'
    )
  return newest
