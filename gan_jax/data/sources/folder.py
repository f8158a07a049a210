"""A folder of pictures of any size, grey or colour; its subfolders are the classes."""

import concurrent.futures
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from etils import epath
from PIL import Image

from gan_jax.base.errors import UserError
from gan_jax.data.pixels import decode
from gan_jax.data.transforms import resize

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm')
NAMED = 20


class FolderSource:
  """The pictures below a folder, in the order of their paths.

  If there is a folder PATH/SPLIT, its pictures are used; else those of PATH. Opening the source decodes every file
  once. Files that cannot be read, and links that lead out of the folder, are left out; a note names them.

  Attributes:
    files: the pictures.
    root: the folder that contains them.
    skipped: {file: reason}.
    notes: lines of text for the console.
  """

  def __init__(self, stream: 'Stream'):
    if not stream.path:
      raise UserError('config.data.path is missing: name the folder of pictures')
    root = epath.Path(stream.path).expanduser()
    if not root.is_dir():
      raise UserError(f'config.data.path={stream.path!r} is not a folder')
    if (root / stream.split).is_dir():
      root = root / stream.split
    self._stream = stream
    self.notes: tuple[str, ...] = ()
    moving: list[epath.Path] = []
    found = [path for path in _files(root) if path.suffix.lower() in SUFFIXES]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
      reasons = list(pool.map(lambda path: _unreadable(path, root, stream, moving), found))
    self.files = [path for path, reason in zip(found, reasons, strict=True) if reason is None]
    self.skipped = {str(path): reason for path, reason in zip(found, reasons, strict=True) if reason is not None}
    if self.skipped:
      named = '; '.join(f'{path} ({reason})' for path, reason in list(self.skipped.items())[:NAMED])
      rest = f' and {len(self.skipped) - NAMED} more' if len(self.skipped) > NAMED else ''
      self.notes = (f'left out {len(self.skipped)} of {len(found)} files: {named}{rest}',)
    if moving:
      self.notes += (f'{len(moving)} of {len(found)} files are animated or have pages: the first picture counts',)
    if not self.files:
      why = f'; {next(iter(self.skipped.values()))}' if self.skipped else ''
      raise UserError(
        f'{root} has no picture that can be read ({", ".join(SUFFIXES)}): name another config.data.path{why}'
      )
    self.root = root
    self._labels = _labels(self.files, root, stream.classes) if stream.classes else None

  def __len__(self) -> int:
    return len(self.files)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    stream = self._stream
    with self.files[index].open('rb') as file, Image.open(file) as picture:
      pixels = decode(picture, stream.values, str(self.files[index]))
    fields = {'image': resize(pixels, stream.stored_size, stream.channels, stream.crop, stream.background)}
    if self._labels is not None:
      fields['label'] = self._labels[index]
    return fields

  def labels(self) -> np.ndarray | None:
    return self._labels


def _files(folder: epath.Path) -> Iterator[epath.Path]:
  """All files below a folder, sorted. Links to folders are not followed: they could lead anywhere or in a circle."""
  for path in sorted(folder.iterdir()):
    if not path.is_dir():
      yield path
    elif not os.path.islink(path):
      yield from _files(path)


def _unreadable(path: epath.Path, root: epath.Path, stream: 'Stream', moving: list[epath.Path]) -> str | None:
  """The reason why a file is left out; None if it can be read. Files with several pictures are added to `moving`."""
  if os.path.islink(path) and not pathlib.Path(path).resolve().is_relative_to(pathlib.Path(root).resolve()):
    return 'a link out of the folder'
  try:
    with warnings.catch_warnings():
      # Pillow warns of an attack if a picture has more than 89 million pixels: here this is an error.
      warnings.simplefilter('error', Image.DecompressionBombWarning)
      with path.open('rb') as file, Image.open(file) as picture:
        if getattr(picture, 'is_animated', False):
          moving.append(path)
        decode(picture, stream.values, str(path))
  except Exception as error:  # Pillow raises many kinds
    return ' '.join(str(error).split()) or type(error).__name__
  return None


def _class_names(files: list[epath.Path], root: epath.Path) -> list[str]:
  """The class subfolder of each file; '' for files outside all subfolders."""
  return [path.relative_to(root).parts[0] if len(path.relative_to(root).parts) > 1 else '' for path in files]


def classes_of(stream: 'Stream') -> int:
  """The number of class subfolders; 0 if a picture lies outside all of them."""
  from gan_jax.data.sources import open_source

  source = open_source(stream)
  assert isinstance(source, FolderSource)
  names = set(_class_names(source.files, source.root))
  return 0 if '' in names else len(names)


def _labels(files: list[epath.Path], root: epath.Path, classes: int) -> np.ndarray:
  names = _class_names(files, root)
  if '' in names:
    raise UserError(
      f'{files[names.index("")]} is in no class subfolder: move it into one, or set config.data.classes=0'
    )
  known = sorted(set(names))
  if len(known) != classes:
    raise UserError(
      f'config.data.classes={classes} but {root} has {len(known)} subfolders with pictures '
      f'({", ".join(known[:NAMED])}): set it to {len(known)}'
    )
  return np.array([known.index(name) for name in names], np.int32)
