"""Checks that the examples of a source fit its stream: fields, types, labels, finite values, range."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.data.pixels import to_bytes
from gan_jax.data.sources.base import ArraySource, Source

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: How far outside the range values may lie, as a share of its width: of pictures without an error, of others without a
#: note.
BEYOND, FAR = 0.01, 0.25


class Checked:
  """A source that checks every example when it is read.

  Attributes:
    source: the source that gives the examples. Its other attributes are also attributes of this object.
  """

  def __init__(self, source: Source, stream: 'Stream'):
    self.source, self._stream = source, stream
    self._form: tuple[tuple[int, ...], Any] | None = None  # shape and dtype of the first example that was read

  def __getattr__(self, name: str) -> Any:
    if name == 'source' or name.startswith('_'):  # a worker process asks for them before its copy has any
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
      raise UserError(
        f'example {index} of {self._stream.name!r} is {has}, another is {had}: give all examples one dtype and shape'
      )
    return fields

  def stacked(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
    """Some examples, stacked and checked together, which is much faster than to check one after the other."""
    examples = [self.source[i] for i in indices]
    try:
      arrays = {name: [np.asarray(example[name]) for example in examples] for name in examples[0]}
      fields = check({name: np.stack(each) for name, each in arrays.items()}, self._stream)
      one_dtype = len({image.dtype for image in arrays['image']}) == 1
      if one_dtype and (fields['image'].shape[1:], fields['image'].dtype) == self._form:
        return fields
    except Exception:  # an example is wrong: the check of each one below finds it
      pass
    each = [self[i] for i in indices]
    return {name: np.stack([fields[name] for fields in each]) for name in each[0]}


def checked(source: Source, stream: 'Stream') -> Source:
  """The source with checks. Arrays are checked now; of other sources the first example now, the others when read.

  Raises:
    UserError: as `check`.
  """
  if len(source) == 0:
    raise UserError(f'data set {stream.name!r} has no examples in split {stream.split!r}')
  if not isinstance(source, ArraySource):
    checked_source = Checked(source, stream)
    checked_source[0]
    labels = getattr(source, 'labels', None)
    if stream.classes and callable(labels) and labels() is not None:
      check_labels(np.asarray(labels()), stream)
    return checked_source
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
  """Checks fields and converts them to uint8 or float32, labels to int32.

  If the stream has `values`, floats and integers become float32 in the stream's range; else floats keep their values.

  Args:
    fields: the fields of one example, or of all examples with shapes (N, ...).
    stream: the settings of the stream.
    example: the number of the example; None for all.

  Raises:
    UserError: there is no image, its dtype is not numeric, values are not finite, or labels are not whole numbers from
      0 to classes - 1.
  """
  name, fields = stream.name, dict(fields)
  if 'image' not in fields:
    raise UserError(f"examples of {name!r} have {', '.join(fields) or 'no fields'}, must have 'image'")
  if stream.classes:
    if 'label' not in fields:
      raise UserError(f"examples of {name!r} have no 'label': give one, or set config.data.classes=0")
    fields['label'] = check_labels(fields['label'], stream, example)
  if fields['image'].dtype.kind == 'f' or fields['image'].dtype.name == 'bfloat16':
    with np.errstate(over='ignore'):  # an overflow gives infinity, which the check below finds
      fields['image'] = fields['image'].astype(np.float32, copy=False)
  for key, value in fields.items():
    if key != 'label' and np.issubdtype(value.dtype, np.inexact) and value.size and not _finite(value):
      raise UserError(
        f'{_where(key, ~np.isfinite(value), example)} of {name!r} has values that are not finite: remove it'
      )
  fields['image'] = _image(fields['image'], stream)
  return fields


def check_labels(labels: np.ndarray, stream: 'Stream', example: int | None = None) -> np.ndarray:
  """Checks the labels of one example, (), or of all, (N,), and converts them to int32.

  Raises:
    UserError: a label is not a whole number from 0 to classes - 1; the message names the first such label.
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
  """The least and the largest value of float examples: of all arrays, or of the first example. None for bytes."""
  image = source.arrays['image'] if isinstance(source, ArraySource) else source[0]['image']
  return (float(image.min()), float(image.max())) if image.dtype != np.uint8 and image.size else None


def check_range(stream: 'Stream', shape: tuple[int, ...], limits: tuple[float, float] | None) -> str | None:
  """Checks that float examples without `values` lie in the stream's range; returns a note if they fit it badly.

  Points and sequences may lie outside: their generators need not end in a tanh.

  Args:
    stream: the settings of the stream.
    shape: the shape of an example.
    limits: (least, largest) value, from `extent`.

  Raises:
    UserError: pictures or volumes lie outside the range.
  """
  if limits is None or stream.values is not None:
    return None
  (low, high), (least, most) = stream.range, limits
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
  if image.dtype == np.uint8:
    # Sources of files made bytes by `values` already; of a function of yours they are what it gives.
    own = '.' in stream.name and '/' not in stream.name
    return to_bytes(image[..., None], stream.values)[..., 0] if own and stream.values is not None else image
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
  # The sum is one pass without an array of booleans. If it overflows, all values are checked.
  with np.errstate(over='ignore', invalid='ignore'):
    return bool(np.isfinite(value.sum())) or bool(np.isfinite(value).all())


def _where(field: str, bad: np.ndarray, example: int | None) -> str:
  if example is None:
    example = int(np.flatnonzero(bad.reshape(len(bad), -1).any(1))[0])
  return f'{field!r} of example {example}'
