"""Whether a set is the same in all processes of a run, wherever its files are."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from gan_jax.data import sources
from gan_jax.data.streams import Stream
from gan_jax.distributed import processes


def seen(stream: Stream) -> tuple[Any, ...]:
  """What is the same of a set wherever its files are: its length, its classes, what it holds."""
  source = stream.open()
  # A class of one's own would have its place in memory.
  shown = lambda kind: repr(kind) if dataclasses.is_dataclass(kind) else type(kind).__qualname__
  kinds = {field: shown(kind) for field, kind in getattr(source, 'kinds', {}).items()}
  return len(source), stream.class_names or sources.class_names_in(stream), str(kinds), sources.content(source)


def check_same(streams: Iterable[Stream], what: str = 'data') -> None:
  """Raises a UserError if the sets are not the same in all processes, which must all call this."""
  if processes.alone():
    return
  with processes.together('read the data'):
    known = [seen(stream) for stream in streams]
  processes.check_alike(what, str(known), 'let config.data.path and TFDS_DATA_DIR name the same files on all machines')
