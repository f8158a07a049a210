"""Files that are written whole or not at all, also where two processes write the same."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

from etils import epath


@contextlib.contextmanager
def writing(path: epath.PathLike) -> Iterator[IO[bytes]]:
  """A new file, open for bytes, that takes the name `path` once the block has ended well, and vanishes otherwise."""
  path = epath.Path(path)
  unfinished = path.with_name(f'{path.name}.{os.getpid()}.new')
  try:
    with unfinished.open('wb') as file:
      yield file
    unfinished.replace(path)
  except BaseException:
    with contextlib.suppress(OSError):
      unfinished.unlink()
    raise


def write_text(path: epath.PathLike, text: str) -> None:
  """Writes a small file whole or not at all."""
  with writing(path) as file:
    file.write(text.encode())
