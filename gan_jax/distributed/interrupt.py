"""Stops a run properly: after the first signal, the loop finishes its step and saves.

Before the first step there is nothing to save, so a signal ends the process at once, as usual. While it saves, only
Ctrl-C does: then the steps after the last checkpoint are lost. SIGTERM and SIGHUP after the first signal change
nothing, for many a parent sends them twice: a shell that hangs up, a scheduler that asks the whole group while the
script above passes on what it got.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

#: SIGHUP comes when the terminal or the connection closes. Windows has no SIGHUP.
SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGHUP') if hasattr(signal, name))


class Stopped(SystemExit):
  """Raised when a signal has stopped a run and the run is saved. The program ends as if the signal had ended it.

  Attributes:
    code: the exit status, 128 plus the number of the signal; a signal to another process of the run counts as SIGTERM.
  """

  def __init__(self, name: str):
    super().__init__(128 + getattr(signal, name, signal.SIGTERM))


class _Abandoned(BaseException):
  """Leaves an `abandoning` block. It is not an Exception, because libraries catch those."""


class Watch:
  """Notes the first signal to stop, once `begin` is called. Of later ones SIGINT acts as usual, the others do nothing.

  Python allows signal handlers only in the main thread; in another thread this class notes nothing.

  Args:
    tell: print a line on a terminal when a signal comes.

  Attributes:
    stopped: the name of the first signal; '' before it comes.
  """

  def __init__(self, tell: bool = False):
    self.stopped = ''
    self._tell, self._abandoning = tell, False
    self._before: dict[int, Any] = {}

  def __enter__(self) -> 'Watch':
    return self

  def begin(self) -> None:
    """Starts to note signals."""
    if self._before or self.stopped or threading.current_thread() is not threading.main_thread():
      return
    for number in SIGNALS:
      if number == getattr(signal, 'SIGHUP', None) and signal.getsignal(number) == signal.SIG_IGN:
        continue  # nohup
      self._before[number] = signal.signal(number, self._note)

  @contextlib.contextmanager
  def abandoning(self) -> Iterator[None]:
    """A block that the first signal leaves at once. For long work that the run does not need, such as an evaluation."""
    self._abandoning = True
    try:
      yield
    except _Abandoned:
      pass
    finally:
      self._abandoning = False

  def _note(self, number: int, frame: Any) -> None:
    if self.stopped:
      return
    self.stopped = signal.Signals(number).name
    # By its own handler it acts even while compiled code runs, which no function of Python's can leave.
    self._restore(signal.SIGINT)
    if self._tell:
      with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():  # os.write, because the signal may have interrupted a print
          os.write(sys.stderr.fileno(), f'\n{self.stopped}: saving after this step; Ctrl-C now ends at once\n'.encode())
    if self._abandoning:
      self._abandoning = False
      raise _Abandoned

  def _restore(self, *numbers: int) -> None:
    for number in numbers or self._before:
      handler = self._before[number]
      signal.signal(number, signal.SIG_DFL if handler is None else handler)

  def __exit__(self, *_: Any) -> None:
    self._restore()
