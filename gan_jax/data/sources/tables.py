"""Columns of a folder of pictures: a metadata file beside them, or two folders of equal names."""

import csv
import dataclasses
import io
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from etils import epath
from PIL import ExifTags, Image

from gan_jax.base import paths
from gan_jax.base.errors import UserError, short
from gan_jax.data.sources import folder, splits

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

FILES = ('metadata.csv', 'metadata.jsonl')
FILE_NAME, PICTURE = 'file_name', 'image'
NAMED = 20
#: Orientations of EXIF by which a picture is turned by a quarter.
TURNED = (5, 6, 7, 8)


class FolderColumns:
  """The pictures of a folder as the column 'image', and what is known of them.

  With `metadata.csv` or `metadata.jsonl` in the folder (Hugging Face's ImageFolder), every other column of it; a column
  NAME_file_name names a second picture, the column NAME. Without one, pictures in subfolders have the column 'label'.
  Where the wanted columns are subfolders, each gives the pictures of its name: those of equal names belong together.

  Attributes:
    columns: {column: what it is, in words}.
    files: the pictures of the column 'image', or of the first side.
    identity: what is known of them and which other pictures belong to them, for a fingerprint.
    notes: lines for the person at the console.
  """

  def __init__(self, stream: 'Stream', wanted: Sequence[str]):
    self._stream = stream
    self._columns = {**dict(stream.unread), **stream.columns}
    self._read = {PICTURE, *wanted, *(settings.get('column', field) for field, settings in stream.columns.items())}
    self.files: list[epath.Path]
    self._rows: list[dict[str, Any]]
    self._pictures: dict[str, list[epath.Path]]
    path, split = _path(stream), splits.parse(stream.split)[0]
    self.notes: tuple[str, ...] = ()
    table = _table(path)
    sides = {} if table else _sides(path, wanted)
    if sides:  # PATH/COLUMN/SPLIT
      sides = {name: self._split(side, split) for name, side in sides.items()}
    else:  # PATH/SPLIT, which may have the columns
      path = self._split(path, split)
      table = _table(path)
      sides = {} if table else _sides(path, wanted)
    if table is not None:
      self._from_table(table)
    elif sides:
      self._pairs(sides)
    else:
      self._plain(path)
    taken = splits.chosen(stream.split, len(self.files))
    self._rows = [self._rows[i] for i in taken]
    self._pictures = {name: [files[i] for i in taken] for name, files in self._pictures.items()}
    self.files = [self.files[i] for i in taken]
    pictures = dict.fromkeys(self._pictures, 'pictures')
    self.columns = {**pictures, **{name: 'a column' for row in self._rows[:1] for name in row}}

  def __len__(self) -> int:
    return len(self.files)

  def __getitem__(self, index: int) -> dict[str, Any]:
    pictures = {name: _opened(files[index]) for name, files in self._pictures.items() if name in self._read}
    return {**self._rows[index], **pictures}

  @property
  def contents(self) -> str:
    """What `identity` says, but for the times, which copies of a folder do not share."""
    stats = [(path.name, path.stat().length) for path in self._others()]
    return json.dumps([self._rows, stats], default=str)

  @property
  def identity(self) -> str:
    return json.dumps([self.contents, [path.stat().mtime for path in self._others()]])

  def _others(self) -> list[epath.Path]:
    """The pictures of all columns but the first."""
    return [path for files in self._pictures.values() if files is not self.files for path in files]

  def column(self, name: str) -> list[Any]:
    return [row.get(name) for row in self._rows]

  def _split(self, path: epath.Path, split: str) -> epath.Path:
    root, notes = folder.split_folder(path, split)
    self.notes += tuple(notes)
    return root

  def _found(self, root: epath.Path, column: str = PICTURE) -> folder.FolderSource:
    plain = dataclasses.replace(self._stream, classes=0, columns={}, values=self._values(column))
    found = folder.FolderSource(plain, whole=root, beside=FILES)
    self.notes += found.notes
    return found

  def _values(self, column: str) -> Any:
    """The lowest and the highest number of a column's pictures, as the settings say."""
    own = (s for field, s in self._columns.items() if s.get('column', field) == column and 'values' in s)
    return next((settings['values'] for settings in own), self._stream.values)

  def _from_table(self, table: epath.Path) -> None:
    root = table.parent
    rows = read_table(table)
    readable = {str(path): path for path in self._found(root).files}
    named, missing = [], []
    for number, row in enumerate(rows):
      name = row.get(FILE_NAME)
      if not isinstance(name, str) or not name:
        raise UserError(f'row {number + 1} of {table} has no {FILE_NAME!r}: name the picture that it describes')
      path = root / name
      for key, other in row.items():
        of_file = key == FILE_NAME or key.endswith(f'_{FILE_NAME}')
        if of_file and not (root / str(other)).resolve().is_relative_to(root.resolve()):
          raise UserError(f'row {number + 1} of {table}: {key}={other!r} leads out of the folder: move it in')
      if not path.is_file():
        missing.append(name)
      elif str(path) in readable:
        named.append((readable[str(path)], row))
    if missing:
      raise UserError(
        f'{table} names {len(missing)} of {len(rows)} files that are not there ({", ".join(missing[:5])}): '
        'put them there, or remove their rows'
      )
    twice = {path for path, count in _counts(str(path) for path, _ in named).items() if count > 1}
    if twice:
      raise UserError(f'{table} names {sorted(twice)[0]} in two rows: keep one; several texts are a list in one row')
    if not named:
      raise UserError(f'{table} names no picture that can be read: list the pictures beside it')
    others = set(readable) - {str(path) for path, _ in named}
    suffix = f'_{FILE_NAME}'
    second = {key.removesuffix(suffix): key for key in named[0][1] if key.endswith(suffix)}
    # Those that a column reads and that were looked at just now: not files of other kinds or of another scale.
    wanted = {settings.get('column', field) for field, settings in self._columns.items()}
    alike = [key for name, key in second.items() if name in wanted and self._values(name) == self._values(PICTURE)]
    named = [
      (path, row) for path, row in named if not any(_is_damaged(root / str(row.get(k)), readable) for k in alike)
    ]
    if not named:
      why = '; '.join(note for note in self.notes if note.startswith('left out'))
      raise UserError(f'{table} has no row whose pictures can all be read ({why}): mend them')
    self._pictures = {PICTURE: [path for path, _ in named]}
    for name, key in second.items():
      self._pictures[name] = [root / str(row.get(key)) for _, row in named]
      absent = next((path for path in self._pictures[name] if not path.is_file()), None)
      if absent is not None:
        raise UserError(f'{table} names {absent} in {key}, which is not there: put it there, or remove its row')
      others -= {str(path) for path in self._pictures[name]}
    if second:
      self._check_shapes()
    if others:
      some = ', '.join(sorted(others)[:NAMED])
      self.notes += (f'left out {len(others)} pictures without a row in {table}: {some}',)
    self._rows = [{key: value for key, value in row.items() if key not in second.values()} for _, row in named]
    self.files = self._pictures[PICTURE]

  def _pairs(self, sides: dict[str, epath.Path]) -> None:
    found: dict[str, dict[str, epath.Path]] = {}
    for name, side in sides.items():
      found[name] = {}
      for path in self._found(side, name).files:
        stem = str(path.relative_to(side).with_suffix(''))
        if stem in found[name]:
          raise UserError(f'{found[name][stem]} and {path} have one name, by which pairs are found: rename one')
        found[name][stem] = path
    first, *rest = found
    for name in rest:
      for a, b in ((first, name), (name, first)):
        alone = sorted(set(found[a]) - set(found[b]))
        if alone:
          raise UserError(
            f'{found[a][alone[0]]} has no partner of its name in {sides[b]} ({len(alone)} such): add it, or remove it'
          )
    keys = sorted(found[first])
    self._pictures = {name: [files[key] for key in keys] for name, files in found.items()}
    self._check_shapes()
    self._rows = [{FILE_NAME: path.name} for path in self._pictures[first]]
    self.files = self._pictures[first]

  def _check_shapes(self) -> None:
    """Pictures that belong together show the same: they have one shape, and what is cut of them is one share."""
    cuts: dict[str, float] = {}
    for field, settings in self._columns.items():
      crop = settings.get('crop', self._stream.crop) or 0
      if settings.get('together', True):
        cuts[settings.get('column', field)] = crop if isinstance(crop, int) else crop[0]
    names = [name for name in self._pictures if name in cuts]
    for pair in zip(*(self._pictures[name] for name in names), strict=True):
      try:
        shapes = [_size(path) for path in pair]
      except Exception as error:  # OSError, SyntaxError, ValueError
        raise UserError(f'{" or ".join(map(str, pair))} cannot be read ({short(error)}): remove them') from error
      for name, path, (width, height) in zip(names, pair, shapes, strict=True):
        alike = width * shapes[0][1] == height * shapes[0][0]
        # Pictures of one size may be cut as one likes: that was asked for.
        same = (width, height) == shapes[0] or cuts[name] * shapes[0][1] == cuts[names[0]] * height
        if not (alike and same):
          cure = 'give each a crop of one share of its height' if alike else 'give both one shape'
          raise UserError(
            f'{pair[0]} has {shapes[0][0]}x{shapes[0][1]} pixels, its partner {path} has {width}x{height}: {cure}'
          )

  def _plain(self, root: epath.Path) -> None:
    found = self._found(root)
    self.files, self._pictures = found.files, {PICTURE: found.files}
    names = folder.subfolders_of(found.files, found.root)
    self._rows = [{FILE_NAME: str(path.relative_to(found.root))} for path in found.files]
    if '' not in names:
      for row, name in zip(self._rows, names, strict=True):
        row['label'] = name


def _opened(path: epath.Path) -> Image.Image:
  """A picture that is not decoded yet: the column says what its values mean."""
  picture = Image.open(io.BytesIO(path.read_bytes()))
  picture.filename = str(path)  # for messages
  return picture


def read_table(table: epath.Path) -> list[dict[str, Any]]:
  """The rows of a .csv file with a header, or of a .jsonl file.

  Raises:
    UserError: it is damaged, has no rows, or rows of several forms.
  """
  try:
    text = table.read_text(encoding='utf-8-sig')
    if table.suffix == '.csv':
      rows = list(csv.DictReader(io.StringIO(text), strict=True))
    else:
      rows = [json.loads(line) for line in text.split('\n') if line.strip()]  # texts may have other ends of lines
  except Exception as error:  # csv.Error, JSONDecodeError, UnicodeDecodeError, OSError
    raise UserError(f'{table} cannot be read ({short(error)}): write it anew') from error
  if not rows:
    raise UserError(f'{table} has no rows: give one for each picture, or remove the file')
  for number, row in enumerate(rows):
    if not isinstance(row, dict):
      raise UserError(f'row {number + 1} of {table} is no object: write {{"{FILE_NAME}": ..., ...}}')
    if None in row or (None in row.values() and table.suffix == '.csv'):
      raise UserError(f'row {number + 1} of {table} has not as many entries as the header: correct it')
  return rows


def _path(stream: 'Stream') -> epath.Path:
  if not stream.path:
    raise UserError('config.data.path is missing: name the folder of pictures')
  root = paths.expand(stream.path)
  if not root.is_dir():
    raise UserError(f'config.data.path={stream.path!r} is not a folder')
  return root


def _table(root: epath.Path) -> epath.Path | None:
  return next((root / name for name in FILES if (root / name).is_file()), None)


def _sides(root: epath.Path, wanted: Sequence[str]) -> dict[str, epath.Path]:
  """The folders of the wanted columns, if each has one."""
  sides = {name: root / name for name in wanted if name and '/' not in name and not name.startswith('.')}
  return sides if len(sides) == len(wanted) and all(side.is_dir() for side in sides.values()) else {}


def _size(path: epath.Path) -> tuple[int, int]:
  """Width and height, turned as the EXIF tag says."""
  with path.open('rb') as file, Image.open(file) as picture:
    width, height = picture.size
    if picture.format == 'TIFF':  # Pillow turns its size, in some versions
      width, height = picture.tag_v2[256], picture.tag_v2[257]  # type: ignore[attr-defined]
    # Of a PNG without that part Pillow would read all to look for it.
    known = picture.format != 'PNG' or 'exif' in picture.info
    turned = known and picture.getexif().get(ExifTags.Base.Orientation, 1) in TURNED
    return (height, width) if turned else (width, height)


def _counts(values: Any) -> dict[str, int]:
  counts: dict[str, int] = {}
  for value in values:
    counts[value] = counts.get(value, 0) + 1
  return counts


def _is_damaged(path: epath.Path, readable: Collection[str]) -> bool:
  """Whether a picture was looked at and left out."""
  return path.suffix.lower() in folder.SUFFIXES and bool(path.is_file()) and str(path) not in readable
