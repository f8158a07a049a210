"""The memory of this process."""

import contextlib
import ctypes


def release() -> None:
  """Gives freed memory back to the operating system, where the C library keeps it: glibc, hence Linux.

  Compiling a residual network leaves a GiB of it, which would count as this process's for as long as it trains.
  """
  with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).malloc_trim(0)
