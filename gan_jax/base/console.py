"""Lines for the person at the console. Printing them never stops a program: they may go to a pipe that died."""

import contextlib
import errno
import os
import sys
from typing import TextIO


def say(line: str, *, error: bool = False) -> bool:
  """Prints a line; what the terminal cannot show is escaped.

  Args:
    line: text, perhaps of several lines.
    error: to standard error, not to standard output.

  Returns:
    Whether it was printed. It is not where nobody reads, or where the disk is full.
  """
  stream = sys.stderr if error else sys.stdout
  if stream is None:  # a process without a console
    return False
  try:
    print(escaped(line, getattr(stream, 'encoding', None)), file=stream, flush=True)
  except (OSError, ValueError) as failure:  # ValueError: the file is closed
    if getattr(failure, 'errno', None) != errno.ENOSPC:  # a full disk may have room again
      _mute(stream)
    return False
  return True


def escaped(line: str, encoding: str | None) -> str:
  r"""The line with what an encoding lacks as an escape.

  >>> escaped('naïve', 'ascii')
  'na\\xefve'
  >>> escaped('caf\udce9.png', 'utf-8')
  'caf\\udce9.png'
  """
  encoding = encoding or 'utf-8'
  return line.encode(encoding, 'backslashreplace').decode(encoding)


def finish() -> None:
  """Flushes both streams, so that Python does not fail at it when the program ends."""
  for stream in (sys.stdout, sys.stderr):
    try:
      if stream is not None:
        stream.flush()
    except (OSError, ValueError):
      _mute(stream)


def _mute(stream: TextIO) -> None:
  """Sends what is left in a stream's buffer, and all that follows, to nowhere."""
  with contextlib.suppress(OSError, ValueError, AttributeError):
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
