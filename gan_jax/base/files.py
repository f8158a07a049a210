"""Files that are written whole or not at all."""

from etils import epath


def write_text(path: epath.Path, text: str) -> None:
  """Writes a small file whole or not at all."""
  temporary = path.with_name(path.name + '.new')
  temporary.write_text(text)
  temporary.replace(path)
