"""Stopping in good order: the first signal to stop is noted, and the loop saves after the step it is in.

Before the first step there is nothing to save, and a signal acts as it would without. So does a second signal: a
command ends at once, without what came after its last checkpoint.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

#: SIGHUP: the terminal or the connection of the person who started it is gone. Windows has none.
SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGHUP') if hasattr(signal, name))


class Stopped(SystemExit):
  """Raised where a signal stopped a run, when it is saved: a program ends as by that signal, whatever it would do next.

  Attributes:
    code: 128 and the signal's number, as shells have it; a signal to another process counts as SIGTERM.
  """

  def __init__(self, name: str):
    super().__init__(128 + getattr(signal, name, signal.SIGTERM))


class _Abandoned(BaseException):
  """Ends a block that a signal ends; no Exception, which libraries catch."""


class Watch:
  """Notes the first signal to stop, from `begin` on; a second one acts as it would without.

  In a thread other than the main one, where Python allows no handlers, it notes nothing.

  Args:
    tell: say on a terminal that a signal was noted.

  Attributes:
    stopped: the name of the signal; '' while there was none.
  """

  def __init__(self, tell: bool = False):
    self.stopped = ''
    self._tell, self._abandoning = tell, False
    self._before: dict[int, Any] = {}

  def __enter__(self) -> 'Watch':
    return self

  def begin(self) -> None:
    """Notes signals from now on."""
    if self._before or self.stopped or threading.current_thread() is not threading.main_thread():
      return
    for number in SIGNALS:
      if number == getattr(signal, 'SIGHUP', None) and signal.getsignal(number) == signal.SIG_IGN:
        continue  # nohup
      self._before[number] = signal.signal(number, self._note)

  @contextlib.contextmanager
  def abandoning(self) -> Iterator[None]:
    """A block that the first signal ends on the spot, for it can be left out and may last."""
    self._abandoning = True
    try:
      yield
    except _Abandoned:
      pass
    finally:
      self._abandoning = False

  def _note(self, number: int, frame: Any) -> None:
    self.stopped = signal.Signals(number).name
    self._restore()
    if self._tell:
      with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():  # not by print, which may be in the middle of a line
          os.write(sys.stderr.fileno(), f'\n{self.stopped}: saving after this step; again to end at once\n'.encode())
    if self._abandoning:
      self._abandoning = False
      raise _Abandoned

  def _restore(self) -> None:
    for number, handler in self._before.items():
      signal.signal(number, signal.SIG_DFL if handler is None else handler)

  def __exit__(self, *_: Any) -> None:
    if not self.stopped:
      self._restore()
