"""Prints lines of text on the console. An error while printing, such as a closed pipe, never stops the program."""

import contextlib
import errno
import os
import sys
from typing import TextIO


def say(line: str, *, error: bool = False) -> bool:
  """Prints a line. Characters that the terminal cannot show are escaped.

  Args:
    line: the text; it may have several lines.
    error: True for standard error, False for standard output.

  Returns:
    True if it was printed; False if the output is closed or the disk is full.
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
  r"""The line, with escapes for characters that the encoding does not have.

  >>> escaped('naïve', 'ascii')
  'na\\xefve'
  >>> escaped('caf\udce9.png', 'utf-8')
  'caf\\udce9.png'
  """
  encoding = encoding or 'utf-8'
  return line.encode(encoding, 'backslashreplace').decode(encoding)


def finish() -> None:
  """Flushes both output streams, so that Python does not raise an error when it flushes them at its end."""
  for stream in (sys.stdout, sys.stderr):
    try:
      if stream is not None:
        stream.flush()
    except (OSError, ValueError):
      _mute(stream)


def _mute(stream: TextIO) -> None:
  """Sends the rest of a stream's buffer, and all later output, to the null device."""
  with contextlib.suppress(OSError, ValueError, AttributeError):
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
