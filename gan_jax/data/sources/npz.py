"""Arrays of any rank from a .npz or .npy file: pictures, volumes, sequences, points."""

from typing import TYPE_CHECKING

import numpy as np
from etils import epath

from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.data.pixels import to_bytes
from gan_jax.data.sources import splits
from gan_jax.data.sources.base import ArraySource
from gan_jax.data.transforms import resize

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

EXAMPLES = ('image', 'images', 'x', 'data', 'arr_0')
LABELS = ('label', 'labels', 'y')


def npz(stream: 'Stream') -> ArraySource:
  """The arrays of the file config.data.path; '{split}' in the path is replaced by the split.

  The examples are the array with the name image, images, x, data or arr_0, or the only array. Labels have the name
  label, labels or y. Pictures of 8 or 16 bits, (N, H, W) or (N, H, W, 1 to 4), are converted to 8 bits and resized.
  Other arrays keep their shape; booleans become 0 and 255, and `Stream.values` gives the scale of floats and other
  integers. Files with pickled objects are refused, because to read them could run code.

  Raises:
    UserError: there is no file, or its arrays do not fit.
  """
  if not stream.path:
    raise UserError('config.data.path is missing: name the .npz file')
  path = file_of(stream)
  arrays = read_arrays(path)
  name = next((name for name in EXAMPLES if name in arrays), None)
  others = [key for key in arrays if key not in LABELS]
  if name is None and len(others) == 1:
    name = others[0]
  if name is None:
    raise UserError(f'{path} has {", ".join(arrays) or "no arrays"}: call the examples one of {", ".join(EXAMPLES)}')
  examples = arrays[name]
  if examples.ndim < 2 or not len(examples):
    raise UserError(f'{path}: {name!r} has shape {examples.shape}, must be (N, ...) with at least one example')
  if examples.dtype in (np.uint8, np.uint16):
    if examples.ndim == 3 or (examples.ndim == 4 and examples.shape[-1] in (1, 2, 3, 4)):
      examples = to_bytes(examples[..., None] if examples.ndim == 3 else examples, stream.values, f'{path}: {name!r}')
      size = stream.stored_size, stream.channels, stream.crop, stream.background, stream.filter
      examples = np.stack([resize(image, *size) for image in examples])
    else:
      # With one more axis the last one of the array is not taken for opacity.
      examples = to_bytes(examples[..., None], stream.values, f'{path}: {name!r}')[..., 0]
  fields = {'image': examples}
  if stream.classes:
    label = next((key for key in LABELS if key in arrays), None)
    if label is None:
      raise UserError(f'{path} has no labels ({", ".join(LABELS)}): set config.data.classes=0')
    if arrays[label].shape != (len(examples),) or not np.issubdtype(arrays[label].dtype, np.integer):
      raise UserError(
        f'{path}: {label!r} is {arrays[label].dtype} {arrays[label].shape}, must be ({len(examples)},) int'
      )
    fields['label'] = arrays[label]
  taken = splits.chosen(stream.split, len(examples))
  return ArraySource(fields if len(taken) == len(examples) else {name: x[taken] for name, x in fields.items()})


def file_of(stream: 'Stream') -> epath.Path:
  """The file of a stream's split; a path without '{split}' is all training data.

  Raises:
    UserError: there is none.
  """
  split = splits.parse(stream.split)[0]
  if '{split}' not in stream.path and split != 'train':
    raise UserError(
      f"config.data.split={split!r}: {stream.path} is one file, and all of it is train: write '{{split}}' in "
      "config.data.path and save a file for each split, or take a slice like 'train[:50]'"
    )
  names = [alias for group in splits.SAME if split in group for alias in group]
  tried = [paths.expand(stream.path.replace('{split}', name)) for name in (split, *names)]
  path = next((path for path in tried if path.is_file()), None)
  if path is None and '{split}' in stream.path:
    usual = [alias for group in splits.SAME for alias in group]
    known = [name for name in usual if paths.expand(stream.path.replace('{split}', name)).is_file()]
    raise UserError(
      f'config.data.split={split!r} is not in config.data.path={stream.path!r}: it has {", ".join(known) or "none"}'
    )
  if path is None:
    raise UserError(f'config.data.path={str(tried[0])!r} is not a file')
  return path


def classes_of(stream: 'Stream') -> int:
  """One more than the largest label; 0 if there are no labels, or none that number classes from 0."""
  arrays = read_arrays(file_of(stream))
  label = next((key for key in LABELS if key in arrays), None)
  if label is None or arrays[label].ndim != 1 or not np.issubdtype(arrays[label].dtype, np.integer):
    return 0
  return int(arrays[label].max()) + 1 if arrays[label].min() >= 0 else 0


def read_arrays(path: epath.Path) -> dict[str, np.ndarray]:
  """{name: array} of a .npz or .npy file, never unpickling.

  Raises:
    UserError: it is damaged, of another kind, or holds pickled objects.
  """
  try:
    with path.open('rb') as file:
      loaded = np.load(file, allow_pickle=False)
      return {'x': loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
  except Exception as error:  # a damaged file causes errors of zipfile and zlib, EOFError, ValueError
    reason = ' '.join(str(error).split())
    raise UserError(f'{path} does not load as arrays ({reason}): save it with np.savez, without objects') from error
