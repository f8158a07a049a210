"""Kinds of columns: how a field of a stream is stored on the host and prepared in the step.

A kind has `stored(value)`, one example's value to an array of one shape, and `prepare(batch, key)`, a batch of those to
what a loss sees. `fit(values)` completes it with what only the whole column says, such as the names of the classes.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError, short
from gan_jax.data.kind import NOT_NUMBERS, Kind, form_of
from gan_jax.data.picture import Picture
from gan_jax.data.text import Text, chosen
from gan_jax.data.tones import Tones

__all__ = ['Array', 'Attributes', 'Embedding', 'Kind', 'Label', 'Number', 'Picture', 'Text', 'Tones']


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
    shape: of an example; () takes what the data have.
  """

  range: tuple[float, float] | None = None
  low: float | None = None
  high: float | None = None
  shape: tuple[int, ...] = ()

  title = 'an array'

  @property
  def form(self) -> jax.ShapeDtypeStruct | None:
    dtype = np.float32 if self.range is None else np.uint8
    return jax.ShapeDtypeStruct(self.shape, dtype) if self.shape else None

  def __post_init__(self) -> None:
    _check_ends(self.low, self.high)
    if self.low is not None and self.range is None:
      raise UserError(f'low={self.low} needs a range that it goes to, such as range=(-1.0, 1.0)')
    if self.range is not None and not self.range[0] < self.range[1]:
      raise UserError(f'range={self.range} must rise, such as (-1.0, 1.0)')

  def stored(self, value: Any) -> np.ndarray:
    """uint8 and booleans as such, floats as float32, other integers as int32.

    Raises:
      UserError: no numbers, of another shape, not finite, beyond 32 bits, or of a type without a scale where a range
        is asked for.
    """
    array = _numbers(value)
    if self.shape and array.shape != self.shape:
      raise UserError(f'is {form_of(array)}, but shape={self.shape}: set it to {array.shape}')
    if array.dtype in (bool, np.uint8):
      return array
    if self.range is not None and self.low is None:
      raise UserError(f'is {form_of(array)}, which does not say what its ends are: set low and high')
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
      raise UserError(f'is {form_of(array)}, must be a vector (D,), or (captions, D)')
    if (self.size or array.shape[-1]) != array.shape[-1]:
      raise UserError(f'has {array.shape[-1]} entries, but size={self.size}: set it to {array.shape[-1]}')
    if self.captions and (self.captions,) != (array.shape[:-1] or (1,)):
      raise UserError(f'is {form_of(array)}, but captions={self.captions}: set it to {(array.shape[:-1] or (1,))[0]}')
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
  found = re.fullmatch(r'(-?[0-9]+)(\.0*)?', str(value).strip())  # tables and arrays of floats have 2.0
  return int(found[1]) if found else None


def _numbers(value: Any) -> np.ndarray:
  try:
    array = np.asarray(value)
  except Exception as error:  # rows of several lengths
    raise UserError(f'is no array ({short(error)}): give rows of one length') from error
  if array.dtype.kind in NOT_NUMBERS:
    raise UserError(f'is {form_of(array)}: give numbers')
  if array.dtype.kind == 'f' or array.dtype.name == 'bfloat16':
    with np.errstate(over='ignore'):
      array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
      raise UserError('has values that are not finite: remove the example')
  return array


def _check_ends(low: float | None, high: float | None) -> None:
  if (low is None) != (high is None) or (low is not None and not low < high):  # type: ignore[operator]
    raise UserError(f'low={low} and high={high} must be both given and rise, or both None')


def _scaled(batch: jax.Array, low: float | None, high: float | None, to: tuple[float, float] | None) -> jax.Array:
  if low is None or high is None or to is None:
    return batch
  share = (batch.astype(jnp.float32) - low) / (high - low)
  return share * (to[1] - to[0]) + to[0]
