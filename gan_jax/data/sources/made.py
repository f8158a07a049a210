"""Sequences that need no download: they are made. A stream of them names columns, as one of files does."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream


def _oracle(stream: 'Stream') -> Any:
  from gan_jax.data.sources.oracle import Oracle

  return Oracle(stream)


def _melodies(stream: 'Stream') -> Any:
  from gan_jax.data.sources.midi import melodies

  return melodies(stream)


#: {what stands before the first slash of the name: stream -> its source of columns}.
MADE: dict[str, Callable[['Stream'], Any]] = {'oracle': _oracle, 'melodies': _melodies}


def is_made(name: str) -> bool:
  """Whether a set is made.

  >>> is_made('oracle/5000x20'), is_made('mnist')
  (True, False)
  """
  return name.partition('/')[0] in MADE


def made(stream: 'Stream') -> Any:
  """The source of a set that is made."""
  return MADE[stream.name.partition('/')[0]](stream)
