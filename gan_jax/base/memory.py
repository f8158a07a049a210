"""The memory of this process."""

import contextlib
import ctypes

# Names of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep() -> None:
  """Makes this process keep the memory that it frees. It has an effect on Linux, where glibc serves XLA on CPUs.

  XLA asks for the memory of a program anew at each call. glibc gets a block of over 32 MiB from the operating system,
  and gives it back after the call, so that each step waits for the system to clear its pages: about 0.4 ms a MiB.
  """
  with contextlib.suppress(OSError, AttributeError):
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, -1)
    # The other arenas return whole heaps whatever is set.
    libc.mallopt(_M_ARENA_MAX, 1)


def release() -> None:
  """Gives freed memory back to the operating system. It has an effect on Linux, where glibc keeps freed memory.

  Compiling a residual network frees about a GiB, which the process would otherwise keep during the whole training.
  """
  with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).malloc_trim(0)
