"""Kinds of columns: how a field of a stream is stored on the host and prepared in the step.

A kind has `stored(value)`, one example's value to an array of one shape, and `prepare(batch, key)`, a batch of those to
what a loss sees. `fit(values)` completes it with what only the whole column says, such as the names of the classes.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gan_jax.base.errors import UserError, short
from gan_jax.data import pixels, transforms
from gan_jax.data.text import Text, chosen

__all__ = ['Array', 'Attributes', 'Embedding', 'Kind', 'Label', 'Number', 'Picture', 'Text']

NOT_NUMBERS = 'SUOVMmc'
PARTS = ('', 'left', 'right')


class Kind:
  """What the kinds share.

  Attributes:
    title: the kind in words.
    names: the columns of the source that make up the field; empty for one, `column` in the stream's settings.
    range: where the least and the greatest value go; None where there is none.
    form: shape and dtype of one stored value; None where only the data say it.
  """

  title = 'a column'
  names: tuple[str, ...] = ()
  range: tuple[float, float] | None = None

  def fit(self, values: Iterable[Any]) -> 'Kind':
    """The kind, completed by all values of the column of the split 'train'; most kinds need none."""
    return self

  #: Whether `fit` has something to complete.
  unfitted = False

  @property
  def form(self) -> jax.ShapeDtypeStruct | None:
    """Shape and type of one stored value, where the settings say them; None where only the data do."""
    return None

  def stored(self, value: Any) -> np.ndarray:
    """One example's value as it is kept."""
    raise NotImplementedError

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """A batch of stored values as a loss sees them."""
    return batch


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
  return (size, size) if isinstance(size, int) else size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture(Kind):
  """Pictures and masks of 1 to 4 channels, stored as bytes; the settings left out are the stream's.

  Attributes:
    size: height and width, or one number for both.
    channels: 1 grey, 2 grey and opacity, 3 colour, 4 colour and opacity.
    crop: height and width of what is cut from the middle first; 0 for the largest of the shape of `size`.
    random_crop: resize to this instead, and cut `size` at random in every draw; 0 for none.
    range: where black and white go.
    flip: whether to mirror half of the draws.
    part: 'left' or 'right' half of a wide picture; '' for the whole.
    values: stored values that are black and white, where their type does not say it.
    background: the colour under what is transparent, for 1 and 3 channels.
    filter: 'bilinear', or 'nearest' for masks, which makes no new values.
  """

  size: int | tuple[int, int] = 32
  channels: int = 3
  crop: int | tuple[int, int] = 0
  random_crop: int | tuple[int, int] = 0
  range: tuple[float, float] = (-1.0, 1.0)
  flip: bool = False
  part: str = ''
  values: tuple[float, float] | None = None
  background: tuple[int, int, int] = (0, 0, 0)
  filter: str = 'bilinear'

  title = 'a picture'

  def __post_init__(self) -> None:
    if min(_pair(self.size)) < 1:
      raise UserError(f'size={self.size} must be at least 1')
    if self.channels not in (1, 2, 3, 4):
      raise UserError(f'channels={self.channels} must be 1 (grey), 2 (with opacity), 3 (colour) or 4 (with opacity)')
    if self.part not in PARTS:
      raise UserError(f"part={self.part!r} must be 'left', 'right' or '' for the whole")
    if self.filter not in ('bilinear', 'nearest'):
      raise UserError(f"filter={self.filter!r} must be 'bilinear' or 'nearest'")
    if not self.range[0] < self.range[1]:
      raise UserError(f'range={self.range} must rise, such as (-1.0, 1.0)')
    if self.crop and min(_pair(self.crop)) < 1:
      raise UserError(f'crop={self.crop} must be at least 1, or 0 for the largest')
    if self.random_crop and any(a < b for a, b in zip(_pair(self.random_crop), _pair(self.size), strict=True)):
      raise UserError(f'random_crop={self.random_crop} is less than size={self.size}: make it larger, or 0')

  @property
  def stored_size(self) -> tuple[int, int]:
    """Height and width as stored."""
    return _pair(self.random_crop or self.size)

  @property
  def form(self) -> jax.ShapeDtypeStruct | None:
    return jax.ShapeDtypeStruct((*self.stored_size, self.channels), np.uint8)

  def stored(self, value: Any) -> np.ndarray:
    """A PIL picture, or (H, W) or (H, W, 1 to 4) of any type that `pixels.to_bytes` takes, to (h, w, channels) uint8.

    Raises:
      UserError: no picture, or a half of a picture of odd width.
    """
    if isinstance(value, Image.Image):
      value = pixels.decode(value, self.values, 'a picture')
    image = np.asarray(value)
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[-1] not in (1, 2, 3, 4) or image.dtype.kind in NOT_NUMBERS:
      raise UserError(f'is {_form(value)}, no picture: pictures are (H, W) or (H, W, 1 to 4)')
    image = pixels.to_bytes(image, self.values, 'a picture')
    if self.part:
      width = image.shape[1]
      if width % 2:
        raise UserError(f'is {width} pixels wide, which has no halves: give two pictures of one size side by side')
      image = image[:, : width // 2] if self.part == 'left' else image[:, width // 2 :]
    crop = _pair(self.crop) if self.crop else None
    return transforms.fit(image, self.stored_size, self.channels, crop, self.background, self.filter)

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """(B, H, W, C) uint8 to (B, h, w, C) float32 in the range; one key gives one window and one flip for all."""
    if self.random_crop:
      batch = transforms.windows(batch, _pair(self.size), jax.random.fold_in(key, 1))
    return transforms.to_float({'image': batch}, self.range, self.flip, key)['image']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Label(Kind):
  """A class: a whole number from 0, or a name.

  Attributes:
    classes: how many there are, or their names in order. A column of names and a number: the names of the split
      'train' in the order of the alphabet.
  """

  classes: int | tuple[str, ...]

  title = 'a class'

  def __post_init__(self) -> None:
    if self.count < 1:
      raise UserError(f'classes={self.classes} must be at least 1')
    if not isinstance(self.classes, int) and len(set(self.classes)) != len(self.classes):
      raise UserError(f'classes={self.classes} has a name twice: give each once')

  @property
  def count(self) -> int:
    """The number of classes."""
    return self.classes if isinstance(self.classes, int) else len(self.classes)

  @property
  def unfitted(self) -> bool:  # type: ignore[override]
    return isinstance(self.classes, int)

  def fit(self, values: Iterable[Any]) -> 'Label':
    found = {_plain(value) for value in values}
    if all(_whole(value) is not None for value in found):
      return self
    names = sorted(map(str, found))
    if len(names) != self.classes:
      some = ', '.join(names[:20])
      raise UserError(f'classes={self.classes} but there are {len(names)} ({some}): set it to {len(names)}')
    return dataclasses.replace(self, classes=tuple(names))

  @property
  def form(self) -> jax.ShapeDtypeStruct | None:
    return jax.ShapeDtypeStruct((), np.int32)

  def stored(self, value: Any) -> np.ndarray:
    """() int32.

    Raises:
      UserError: no class.
    """
    value = _plain(value)
    if not isinstance(self.classes, int):
      if str(value) not in self.classes:
        raise UserError(f'is {value!r}, which is none of the {self.count} classes: {", ".join(self.classes[:20])}')
      return np.int32(self.classes.index(str(value)))  # type: ignore[return-value]
    number = _whole(value)
    if number is None:
      raise UserError(f'is {value!r}, must be a whole number: correct it, or give the names of the classes as classes')
    if not 0 <= number < self.classes:
      raise UserError(f'is {number}, must be 0 to {self.classes - 1}: correct it, or set classes')
    return np.int32(number)  # type: ignore[return-value]


ZERO_ONE = {'0': 0.0, '1': 1.0, '0.0': 0.0, '1.0': 1.0, 'false': 0.0, 'true': 1.0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attributes(Kind):
  """Properties that an example has or has not: a vector of 0 and 1, one for each name.

  Attributes:
    names: columns of the source, in order; with `column` in the stream's settings, keys of that column's dict.
  """

  names: tuple[str, ...]

  title = 'attributes'

  def __post_init__(self) -> None:
    if not self.names or len(set(self.names)) != len(self.names):
      raise UserError(f'names={self.names} must name each attribute once')

  @property
  def form(self) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((len(self.names),), np.float32)

  def stored(self, value: Any) -> np.ndarray:
    """A dict of names, or a vector in their order, to (attributes,) float32.

    Raises:
      UserError: one is missing, or neither 0 nor 1.
    """
    if isinstance(value, Mapping):
      missing = [name for name in self.names if name not in value]
      if missing:
        raise UserError(f'has no {missing[0]!r}: it has {", ".join(map(str, value))}')
      value = [value[name] for name in self.names]
    row = [_plain(entry) for entry in np.asarray(value, object).reshape(-1)]
    if len(row) != len(self.names):
      raise UserError(f'has {len(row)} values for {len(self.names)} names: give as many')
    for name, entry in zip(self.names, row, strict=True):
      if str(entry).strip().lower() not in ZERO_ONE:
        raise UserError(f'has {name}={entry!r}, must be 0 or 1')
    return np.array([ZERO_ONE[str(entry).strip().lower()] for entry in row], np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number(Kind):
  """A real number.

  Attributes:
    low: goes to -1; None leaves the number as it is.
    high: goes to 1.
  """

  low: float | None = None
  high: float | None = None

  title = 'a number'

  def __post_init__(self) -> None:
    _check_ends(self.low, self.high)

  @property
  def range(self) -> tuple[float, float] | None:  # type: ignore[override]
    return None if self.low is None else (-1.0, 1.0)

  @property
  def form(self) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((), np.float32)

  def stored(self, value: Any) -> np.ndarray:
    """() float32.

    Raises:
      UserError: no finite number.
    """
    try:
      number = np.float32(float(_plain(value)))
    except (TypeError, ValueError, OverflowError):
      number = np.float32('nan')
    if not np.isfinite(number):
      raise UserError(f'is {_plain(value)!r}, must be a finite number')
    return number  # type: ignore[return-value]

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """(B,) float32."""
    return _scaled(batch, self.low, self.high, self.range)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Array(Kind):
  """Numbers of any shape: volumes, sequences, points, tokens. Integers stay integers unless they are scaled.

  Attributes:
    range: where `low` and `high` go; None leaves the values as they are.
    low: the stored value that goes to the range's low end; None for 0 of bytes and booleans.
    high: the other; None for 255 of bytes and 1 of booleans.
  """

  range: tuple[float, float] | None = None
  low: float | None = None
  high: float | None = None

  title = 'an array'

  def __post_init__(self) -> None:
    _check_ends(self.low, self.high)
    if self.low is not None and self.range is None:
      raise UserError(f'low={self.low} needs a range that it goes to, such as range=(-1.0, 1.0)')
    if self.range is not None and not self.range[0] < self.range[1]:
      raise UserError(f'range={self.range} must rise, such as (-1.0, 1.0)')

  def stored(self, value: Any) -> np.ndarray:
    """uint8 and booleans as such, floats as float32, other integers as int32.

    Raises:
      UserError: no numbers, not finite, beyond 32 bits, or of a type without a scale where a range is asked for.
    """
    array = _numbers(value)
    if array.dtype in (bool, np.uint8):
      return array
    if self.range is not None and self.low is None:
      raise UserError(f'is {_form(array)}, which does not say what its ends are: set low and high')
    if array.dtype.kind in 'iu':
      if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise UserError(f'has values from {array.min()} to {array.max()}, integers have 32 bits: give smaller ones')
      return array.astype(np.int32)
    return array

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """The same shape: float32 in the range, or as stored (bytes as int32, booleans as 0 and 1 in float32)."""
    if self.range is None:
      return batch.astype({'bool': jnp.float32, 'uint8': jnp.int32}.get(batch.dtype.name, batch.dtype))
    ends = (self.low, self.high) if self.low is not None else (0.0, 1.0 if batch.dtype == bool else 255.0)
    return _scaled(batch, *ends, self.range)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedding(Kind):
  """Vectors that another model made, such as of a text; of several, one is drawn, of the caption that `Text` draws.

  Attributes:
    size: D, the entries of a vector; 0 takes what the data have.
    captions: how many vectors an example has; 0 takes what the data have.
  """

  size: int = 0
  captions: int = 0

  title = 'an embedding'

  @property
  def form(self) -> jax.ShapeDtypeStruct | None:
    several = (self.captions,) if self.captions > 1 else ()
    known = self.size and self.captions
    return jax.ShapeDtypeStruct((*several, self.size), np.float32) if known else None

  def stored(self, value: Any) -> np.ndarray:
    """(D,) or (captions, D) float32.

    Raises:
      UserError: no such numbers, others than `size` and `captions` say, or not finite.
    """
    array = _numbers(value).astype(np.float32)
    if array.ndim not in (1, 2) or not array.size:
      raise UserError(f'is {_form(array)}, must be a vector (D,), or (captions, D)')
    if (self.size or array.shape[-1]) != array.shape[-1]:
      raise UserError(f'has {array.shape[-1]} entries, but size={self.size}: set it to {array.shape[-1]}')
    if self.captions and (self.captions,) != (array.shape[:-1] or (1,)):
      raise UserError(f'is {_form(array)}, but captions={self.captions}: set it to {(array.shape[:-1] or (1,))[0]}')
    return array[0] if self.captions == 1 and array.ndim == 2 else array

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """(B, D) float32."""
    return batch if batch.ndim == 2 else chosen(batch, jnp.full(batch.shape[:1], batch.shape[1]), key)


def _plain(value: Any) -> Any:
  """A value as Python has it; bytes as text."""
  value = value.item() if isinstance(value, np.generic | np.ndarray) and np.size(value) == 1 else value
  return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value


def _whole(value: Any) -> int | None:
  if isinstance(value, bool | int):
    return int(value)
  text = str(value).strip()
  return int(text) if text.removeprefix('-').isdecimal() else None


def _numbers(value: Any) -> np.ndarray:
  try:
    array = np.asarray(value)
  except Exception as error:  # rows of several lengths
    raise UserError(f'is no array ({short(error)}): give rows of one length') from error
  if array.dtype.kind in NOT_NUMBERS:
    raise UserError(f'is {_form(array)}: give numbers')
  if array.dtype.kind == 'f' or array.dtype.name == 'bfloat16':
    with np.errstate(over='ignore'):
      array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
      raise UserError('has values that are not finite: remove the example')
  return array


def _form(value: Any) -> str:
  if isinstance(value, str | bytes):
    return f'the text {short(ValueError(str(value)), 50).removeprefix("ValueError: ")!r}'
  return f'{value.dtype} {value.shape}' if isinstance(value, np.ndarray) else f'a {type(value).__name__}'


def _check_ends(low: float | None, high: float | None) -> None:
  if (low is None) != (high is None) or (low is not None and not low < high):  # type: ignore[operator]
    raise UserError(f'low={low} and high={high} must be both given and rise, or both None')


def _scaled(batch: jax.Array, low: float | None, high: float | None, to: tuple[float, float] | None) -> jax.Array:
  if low is None or high is None or to is None:
    return batch
  share = (batch.astype(jnp.float32) - low) / (high - low)
  return share * (to[1] - to[0]) + to[0]
