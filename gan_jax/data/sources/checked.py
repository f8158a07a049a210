"""Whether the examples of a source are what its stream says: fields, types, labels, finite values, range."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.data.pixels import to_bytes
from gan_jax.data.sources.base import ArraySource, Source

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: How far beyond the range, as a share of its width, pictures may lie, and points and sequences without a remark.
BEYOND, FAR = 0.01, 0.25


class Checked:
  """A source whose every example is looked at when it is read.

  Attributes:
    source: the one behind it, whose other attributes this has too.
  """

  def __init__(self, source: Source, stream: 'Stream'):
    self.source, self._stream = source, stream
    self._form: tuple[tuple[int, ...], Any] | None = None  # shape and dtype of the first that was read

  def __getattr__(self, name: str) -> Any:
    if name == 'source' or name.startswith('_'):  # not there yet when a worker process makes its copy
      raise AttributeError(name)
    return getattr(self.source, name)

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    example = self.source[index]
    if not isinstance(example, Mapping):
      raise UserError(
        f'example {index} of {self._stream.name!r} is a {type(example).__name__}, must be a dict with '
        "'image' and, with config.data.classes, 'label'"
      )
    fields = check({name: np.asarray(value) for name, value in example.items()}, self._stream, example=index)
    form = fields['image'].shape, fields['image'].dtype
    self._form = self._form or form
    if form != self._form:
      had, has = (f'{dtype} {shape}' for shape, dtype in (self._form, form))
      raise UserError(f'example {index} of {self._stream.name!r} is {has}, another is {had}: give all one form')
    return fields

  def stacked(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
    """Some examples, stacked, for a fraction of what it costs to check one after the other."""
    examples = [self.source[i] for i in indices]
    try:
      arrays = {name: [np.asarray(example[name]) for example in examples] for name in examples[0]}
      found = check({name: np.stack(each) for name, each in arrays.items()}, self._stream)
      one = len({image.dtype for image in arrays['image']}) == 1
      if one and (found['image'].shape[1:], found['image'].dtype) == self._form:
        return found
    except Exception:  # whatever does not stack, or is not right: the example is looked for below
      pass
    each = [self[i] for i in indices]
    return {name: np.stack([fields[name] for fields in each]) for name in each[0]}


def checked(source: Source, stream: 'Stream') -> Source:
  """The source with its examples checked: arrays now, as a whole; others when they are read, the first now.

  Raises:
    UserError: as `check`.
  """
  if len(source) == 0:
    raise UserError(f'data set {stream.name!r} has no examples in split {stream.split!r}')
  if not isinstance(source, ArraySource):
    looked = Checked(source, stream)
    looked[0]
    if stream.classes and hasattr(source, 'labels') and source.labels() is not None:
      check_labels(np.asarray(source.labels()), stream)
    return looked
  lengths = {name: len(array) for name, array in source.arrays.items()}
  if len(set(lengths.values())) > 1:
    raise UserError(f'the fields of {stream.name!r} have lengths {lengths}: give all one length')
  fields = check({name: np.asarray(array) for name, array in source.arrays.items()}, stream)
  if all(fields[name] is array for name, array in source.arrays.items()):
    return source
  source = copy.copy(source)
  source.arrays = fields
  return source


def check(fields: dict[str, np.ndarray], stream: 'Stream', example: int | None = None) -> dict[str, np.ndarray]:
  """The fields of one example, or of all of them at once, as streams store them: uint8 or float32, labels int32.

  Floats, and integers with `values`, become float32 in the stream's range if it has `values`; else they stay.

  Args:
    fields: of one example, or of all with N in front.
    stream: its settings.
    example: which one; None for all.

  Raises:
    UserError: no image, a dtype that is none of numbers, values that are not finite, labels that are not whole numbers
      below the number of classes.
  """
  name, fields = stream.name, dict(fields)
  if 'image' not in fields:
    raise UserError(f"examples of {name!r} have {', '.join(fields) or 'no fields'}, must have 'image'")
  if stream.classes:
    if 'label' not in fields:
      raise UserError(f"examples of {name!r} have no 'label': give one, or set config.data.classes=0")
    fields['label'] = check_labels(fields['label'], stream, example)
  if fields['image'].dtype.kind == 'f' or fields['image'].dtype.name == 'bfloat16':
    with np.errstate(over='ignore'):  # it is found to be infinite below
      fields['image'] = fields['image'].astype(np.float32, copy=False)
  for key, value in fields.items():
    if key != 'label' and np.issubdtype(value.dtype, np.inexact) and value.size and not _finite(value):
      raise UserError(
        f'{_where(key, ~np.isfinite(value), example)} of {name!r} has values that are not finite: remove it'
      )
  fields['image'] = _image(fields['image'], stream)
  return fields


def check_labels(labels: np.ndarray, stream: 'Stream', example: int | None = None) -> np.ndarray:
  """Labels as int32, of one example () or of all (N,).

  Raises:
    UserError: not whole numbers from 0 to classes - 1; names the first that is wrong.
  """
  one = example is not None
  if labels.ndim != (0 if one else 1) or labels.dtype.kind not in 'iu':
    shape = labels.shape if one else labels.shape[1:]
    raise UserError(
      f'labels of {stream.name!r} are {labels.dtype} of shape {shape} for each example, must be one whole number'
    )
  if one:  # faster than numpy for a single number
    wrong = not 0 <= int(labels) < stream.classes
  else:
    wrong = labels.min() < 0 or labels.max() >= stream.classes
  if wrong:
    bad = (labels < 0) | (labels >= stream.classes)
    first = labels if one else labels[bad][0]
    run = '' if one else f'; labels run from {labels.min()} to {labels.max()}'
    cure = 'subtract 1 from all' if not one and labels.min() == 1 and labels.max() == stream.classes else 'correct them'
    raise UserError(
      f'config.data.classes={stream.classes} but {_where("label", bad, example)} of {stream.name!r} is {first}{run}; '
      f'must be 0 to {stream.classes - 1}: {cure}, or change config.data.classes'
    )
  return labels if labels.dtype == np.int32 else labels.astype(np.int32)


def extent(source: Source) -> tuple[float, float] | None:
  """The least and the largest value of float examples: of arrays all, of others the first; None of bytes."""
  image = source.arrays['image'] if isinstance(source, ArraySource) else source[0]['image']
  return (float(image.min()), float(image.max())) if image.dtype != np.uint8 and image.size else None


def check_range(stream: 'Stream', shape: tuple[int, ...], found: tuple[float, float] | None) -> str | None:
  """Whether float examples, which are taken as they are, lie in the stream's range; a remark if that is in doubt.

  Points and sequences may leave it: their generators need not end in a tanh.

  Args:
    stream: its settings.
    shape: of an example.
    found: from `extent`.

  Raises:
    UserError: pictures or volumes outside.
  """
  if found is None or stream.values is not None:
    return None
  (low, high), (least, most) = stream.range, found
  run = f'values of {stream.name!r} run from {least:g} to {most:g}, config.data.range is ({low:g}, {high:g})'
  such = f', such as ({least:g}, {most:g}),' if least < most else ''
  cure = f'set config.data.values to what black and white are{such} to bring them there'
  beyond = max(low - least, most - high) / (high - low)
  if len(shape) >= 3 and beyond > BEYOND:
    raise UserError(f'{run}: {cure}, or change the range')
  if beyond > FAR:
    return f'note: {run}, which a generator that ends in a tanh cannot leave: {cure}'
  if len(shape) >= 3 and least < most and (least >= (low + high) / 2 or most <= (low + high) / 2):
    return f'note: {run}, of which they fill one half: {cure}'
  return None


def _image(image: np.ndarray, stream: 'Stream') -> np.ndarray:
  if image.dtype == np.uint8 and (stream.values is None or stream.name in ('folder', 'npz')):
    return image
  if image.dtype == bool:
    return to_bytes(image)
  if image.dtype == np.float32:
    if stream.values is None:
      return image
  elif image.dtype.kind not in 'iu':
    raise UserError(f'examples of {stream.name!r} are of type {image.dtype}: give uint8, bool or floats')
  elif stream.values is None:
    raise UserError(
      f'examples of {stream.name!r} are of type {image.dtype}, which does not say what its values mean: give uint8 or '
      'floats, or set config.data.values to the numbers that stand for black and white'
    )
  (black, white), (low, high) = stream.values, stream.range
  share = np.clip((image.astype(np.float32) - np.float32(black)) * np.float32(1.0 / (white - black)), 0.0, 1.0)
  return share * np.float32(high - low) + np.float32(low)


def _finite(value: np.ndarray) -> bool:
  # A sum is one pass without an array of booleans; what overflows it is looked at again.
  with np.errstate(over='ignore', invalid='ignore'):
    return bool(np.isfinite(value.sum())) or bool(np.isfinite(value).all())


def _where(field: str, bad: np.ndarray, example: int | None) -> str:
  if example is None:
    example = int(np.flatnonzero(bad.reshape(len(bad), -1).any(1))[0])
  return f'{field!r} of example {example}'
