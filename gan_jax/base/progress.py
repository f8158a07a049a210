"""A progress bar for what takes long, on a terminal only."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

#: Seconds before a bar is shown.
DELAY = 5.0

T = TypeVar('T')


def shown(items: Iterable[T], total: int, what: str) -> Iterator[T]:
  """The items, one by one. If they take longer than 5 seconds, a bar on standard error shows how far they are.

  There is no bar if standard error is no terminal. The bar is removed at the end.

  Args:
    items: to go through.
    total: how many they are.
    what: a word or two in front of the bar.

  >>> list(shown('ab', 2, 'letters'))
  ['a', 'b']
  """
  bar = None
  if sys.stderr is not None and sys.stderr.isatty():
    with contextlib.suppress(OSError, ValueError):
      bar = tqdm(total=total, desc=what, delay=DELAY, leave=False, dynamic_ncols=True)
  try:
    for item in items:
      yield item
      if bar is not None:
        try:
          bar.update()
        except (OSError, ValueError):  # the terminal is gone
          bar = None
  finally:
    if bar is not None:
      with contextlib.suppress(OSError, ValueError):
        bar.close()
