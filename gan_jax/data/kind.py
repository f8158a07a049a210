"""What all kinds of columns share."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from gan_jax.base.errors import short

#: The kinds of numpy's types that are no real numbers.
NOT_NUMBERS = 'SUOVMmc'


class Kind:
  """What the kinds share.

  Attributes:
    title: the kind in words.
    names: the columns of the source that make up the field; empty for one, `column` in the stream's settings.
    range: where the least and the greatest value go; None where there is none.
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


def form_of(value: Any) -> str:
  """What a value is, in words, for messages."""
  if isinstance(value, str | bytes):
    return f'the text {short(ValueError(str(value)), 50).removeprefix("ValueError: ")!r}'
  return f'{value.dtype} {value.shape}' if isinstance(value, np.ndarray) else f'a {type(value).__name__}'
