"""Stopping in good order: the first SIGTERM or SIGINT is noted, and the loop saves after the step it is in."""

import signal
import threading
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
  """Raised where a signal stopped a run, when it is saved: a program ends as by that signal, whatever it would do next.

  Attributes:
    code: 128 and the signal's number, as shells have it; a signal to another process counts as SIGTERM.
  """

  def __init__(self, name: str):
    super().__init__(128 + getattr(signal, name, signal.SIGTERM))


class Watch:
  """Notes the first signal to stop; a second one acts as it would without.

  In a thread other than the main one, where Python allows no handlers, it notes nothing.

  Attributes:
    stopped: the name of the signal; '' while there was none.
  """

  def __init__(self):
    self.stopped = ''
    self._before: dict[int, Any] = {}

  def __enter__(self) -> 'Watch':
    if threading.current_thread() is threading.main_thread():
      self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
    return self

  def _note(self, number: int, frame: Any) -> None:
    self.stopped = signal.Signals(number).name
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def __exit__(self, *_: Any) -> None:
    self._restore()
