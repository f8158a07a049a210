"""Files that are written whole or not at all."""

import contextlib
import os

from etils import epath


def write_text(path: epath.Path, text: str) -> None:
  """Writes a small file whole or not at all."""
  temporary = path.with_name(f'{path.name}.{os.getpid()}.new')
  try:
    temporary.write_text(text)
    temporary.replace(path)
  except OSError:
    with contextlib.suppress(OSError):
      temporary.unlink()
    raise
