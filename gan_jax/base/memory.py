"""The memory of this process. glibc, on Linux, can be told; on other systems nothing happens."""

import ctypes
import os
import sys

# Names of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep() -> None:
  """Makes this process keep the memory that it frees. Call it before the first computation of the process.

  XLA on a CPU asks for the memory of a program anew at each call. glibc gets a block of over 32 MiB from the operating
  system and gives it back after the call, so that each step waits for the system to clear its pages. Long trainings of
  wide convolutions gain a little; compiling and small steps become slower, because all threads share one arena.
  """
  # Threads that have computed keep an arena of their own, and those return whole heaps whatever is set.
  _tell('mallopt', _M_ARENA_MAX, 1)
  _tell('mallopt', _M_MMAP_MAX, 0)
  _tell('mallopt', _M_TRIM_THRESHOLD, -1)


def keep_if_asked() -> None:
  """`keep`, if GAN_JAX_KEEP_MEMORY=1 is in the environment."""
  if os.environ.get('GAN_JAX_KEEP_MEMORY') == '1':
    keep()


def release() -> None:
  """Gives freed memory back to the operating system.

  Compiling a residual network frees about a GiB, which the process would otherwise keep during the whole training.
  """
  _tell('malloc_trim', 0)


def _tell(function: str, *values: int) -> None:
  if sys.platform == 'linux' and (told := getattr(ctypes.CDLL(None), function, None)):
    told(*values)
