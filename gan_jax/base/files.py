"""Writes files atomically: a file is complete or does not exist, even if two processes write the same file."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import IO

from etils import epath


@contextlib.contextmanager
def writing(path: epath.PathLike) -> Iterator[IO[bytes]]:
  """A new file, open for bytes. At the end of the block it gets the name `path`; after an error it is deleted."""
  path = epath.Path(path)
  # Of two containers that share a folder both may be process 1.
  unfinished = path.with_name(f'{path.name}.{os.getpid()}-{secrets.token_hex(4)}.new')
  try:
    with unfinished.open('wb') as file:
      yield file
    unfinished.replace(path)
  except BaseException:
    with contextlib.suppress(OSError):
      unfinished.unlink()
    raise


def write_text(path: epath.PathLike, text: str) -> None:
  """Writes a small text file atomically."""
  with writing(path) as file:
    file.write(text.encode())
