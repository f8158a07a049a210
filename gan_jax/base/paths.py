"""Paths as people write them."""

import os

from etils import epath


def expand(path: str | os.PathLike) -> epath.Path:
  """A path with '~' as the home folder; called wherever a path of a person's comes in."""
  return epath.Path(path).expanduser()


def shown(path: str | os.PathLike) -> str:
  r"""A path that every terminal can print: bytes that are no UTF-8 and line breaks are escaped.

  >>> shown('caf\udce9.png')
  'caf\\udce9.png'
  """
  text = os.fspath(path).encode('utf-8', 'backslashreplace').decode()
  return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
