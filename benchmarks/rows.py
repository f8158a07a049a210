"""Rows of tables, measured once: a file each, in the folder of its run, with the options that it was measured with."""

import json
import pathlib
from typing import Any

FILE = 'row.json'


def measured(folder: pathlib.Path, **options: Any) -> bool:
  """Whether a row is there. Ends the program if it was measured with other options: they would be shown as these."""
  row = read(folder)
  if row is None:
    return False
  for name, value in _plain(options).items():
    if row['options'].get(name) != value:
      raise SystemExit(
        f'{folder} was measured with {name}={row["options"].get(name)}, not {value}: take another --workdir'
      )
  return True


def write(folder: pathlib.Path, found: dict[str, Any], **options: Any) -> None:
  (folder / FILE).write_text(json.dumps({'options': _plain(options), **found}, indent=2) + '\n')


def read(folder: pathlib.Path) -> dict[str, Any] | None:
  """What was written, with its options; None if the row is not there."""
  file = folder / FILE
  row = json.loads(file.read_text()) if file.exists() else None
  if row is not None and (not isinstance(row, dict) or 'options' not in row):
    raise SystemExit(f'{file} is of an older version: remove it, or take another --workdir')
  return row


def _plain(options: dict[str, Any]) -> dict[str, Any]:
  """As they are read back: tuples are lists."""
  return dict(json.loads(json.dumps(options)))
