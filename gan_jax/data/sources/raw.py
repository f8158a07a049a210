"""All columns of a source as it has them: what a stream with `columns` reads."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gan_jax.base.errors import UserError
from gan_jax.data.sources.base import Table
from gan_jax.data.sources.made import is_made, made

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream


def raw_source(stream: 'Stream', wanted: Sequence[str], labelled: bool, side: int = 0) -> Any:
  """The source of a stream with all its columns.

  Args:
    stream: its settings.
    wanted: the columns that will be read; others may be left out.
    labelled: whether a built-in set is to give its 'label'.
    side: of the pictures of a built-in set; 0 for the stream's.

  Raises:
    UserError: it is not there.
  """
  from gan_jax.data import sources

  if stream.name == 'folder':
    from gan_jax.data.sources.tables import FolderColumns

    return FolderColumns(stream, wanted)
  if stream.name == 'npz':
    return npz_columns(stream)
  if stream.name == 'lines':
    from gan_jax.data.sources.lines import lines

    return lines(stream)
  if stream.name == 'midi':
    from gan_jax.data.sources.midi import midi

    return midi(stream)
  if is_made(stream.name):
    return made(stream)
  if '.' in stream.name and '/' not in stream.name:
    from gan_jax.base.calls import resolve

    return resolve(stream.name, where='config.data.name')(stream)
  if sources.has_arrays(stream.name):
    # Columns make their pictures of these; crops are cut here, of what is stored.
    plain = dataclasses.replace(stream, columns={}, classes=0, per_class=0, size=side or stream.size, random_crop=0)
    return sources.open_source(dataclasses.replace(plain, classes=sources.classes_in(plain) if labelled else 0))
  return PreparedColumns(stream, wanted)


def npz_columns(stream: 'Stream') -> Table:
  """All arrays of a .npz file, of one length; '{split}' in the path stands for the split.

  Raises:
    UserError: no file, or arrays of several lengths.
  """
  from gan_jax.data.sources import splits
  from gan_jax.data.sources.npz import file_of, read_arrays

  if not stream.path:
    raise UserError('config.data.path is missing: name the .npz file')
  path = file_of(stream)
  arrays = read_arrays(path)
  lengths = {name: len(array) if array.ndim else 'no rows' for name, array in arrays.items()}
  if len(set(lengths.values())) != 1 or 'no rows' in lengths.values():
    raise UserError(f'the arrays of {path} have lengths {lengths}: give all one length')
  taken = splits.chosen(stream.split, len(next(iter(arrays.values()))))
  return Table({name: array[taken] for name, array in arrays.items()})


class PreparedColumns:
  """A TFDS set: the features that are wanted, of any kind that NumPy holds; texts as str.

  Attributes:
    columns: {feature: what it is, in words}.
  """

  def __init__(self, stream: 'Stream', wanted: Sequence[str]):
    import tensorflow_datasets as tfds

    from gan_jax.data.sources import prepared

    folder = prepared.prepared_folder(stream.name)
    builder = tfds.builder_from_directory(str(folder))
    try:
      found = builder.info.splits[stream.split].num_examples
    except Exception as error:  # KeyError, ValueError, AssertionError: whatever a split that is none makes of itself
      raise UserError(
        f'unknown split of {stream.name} in config.data.split {stream.split!r}: it has '
        f'{", ".join(builder.info.splits)}, or a slice of one'
      ) from error
    if not found:
      raise UserError(f'config.data.split={stream.split!r} of {stream.name} has no examples: take more')
    self.columns = {name: type(feature).__name__ for name, feature in sorted(builder.info.features.items())}

    def read(names: Sequence[str]) -> Any:
      skipped = {name: tfds.decode.SkipDecoding() for name in self.columns if name not in names}
      if prepared.file_format(folder) == 'array_record':
        return builder.as_data_source(stream.split, decoders=skipped)
      return prepared._TFRecords(builder, stream.split, skipped)

    self._read, self._wanted = read, [name for name in wanted if name in self.columns]
    self._data = read(self._wanted)

  def __len__(self) -> int:
    return len(self._data)

  def __getitem__(self, index: int) -> dict[str, Any]:
    example = self._data[int(index)]
    return {name: example[name] for name in self._wanted}

  def column(self, name: str) -> Iterator[Any]:
    data = self._read([name])
    return (data[i][name] for i in range(len(data)))
