"""A folder of pictures of any size, grey or colour; its subfolders are the classes."""

import collections
import concurrent.futures
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from etils import epath
from PIL import Image

from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.data.pixels import decode
from gan_jax.data.sources import splits
from gan_jax.data.transforms import resize

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: Of all formats that Pillow opens.
SUFFIXES = tuple(sorted(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN))
NAMED = 20
#: Of classes whose numbers are not known.
CURE = 'set config.data.class_names to the names in the order of their numbers'


class FolderSource:
  """The pictures below a folder, in the order of their paths.

  The split is the folder PATH/SPLIT, or one of another usual name (val for validation). If no folder in PATH looks
  like a split, all of PATH is 'train', and that is said. A slice, 'train[:50]', is taken of a fixed random order. Every
  file is decoded once when the source is opened: those that cannot be read, and links that lead neither into PATH
  nor into the folder `config.data.links`, are left out and named. Folders whose names start with a dot are no data.

  Attributes:
    files: the pictures.
    root: the folder that contains them.
    skipped: {file: reason}.
    notes: lines of text for the console.

  Args:
    stream: its settings.
    whole: a folder below PATH that is taken whole, whatever the split.
    beside: names of files that are read for other reasons, so that no line names them.
  """

  def __init__(self, stream: 'Stream', whole: epath.Path | None = None, beside: Sequence[str] = ()):
    if not stream.path:
      raise UserError('config.data.path is missing: name the folder of pictures')
    root = paths.expand(stream.path)
    if not root.is_dir():
      raise UserError(f'config.data.path={stream.path!r} is not a folder')
    trees = _trees(stream, root)
    root, notes = split_folder(root, splits.parse(stream.split)[0]) if whole is None else (whole, [])
    self._stream = stream
    moving: list[epath.Path] = []
    refused: dict[str, str] = {}
    everything = [path for path in files_below(root, trees, refused) if path.name not in beside]
    found = [path for path in everything if path.suffix.lower() in SUFFIXES]
    others = collections.Counter(path.suffix.lower() for path in everything if path.suffix.lower() not in SUFFIXES)
    if others:
      counts = ', '.join(f'{count} {suffix or "without a suffix"}' for suffix, count in others.most_common(NAMED))
      notes.append(f'files of other kinds in {paths.shown(root)}: {paths.shown(counts)}')
    if refused:
      counted = collections.Counter(refused.values())
      counts = ', '.join(f'{count} {reason}' for reason, count in counted.items())
      named = '; '.join(paths.shown(path) for path in list(refused)[:NAMED])
      notes.append(f'folders left out: {counts}: {named}')
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
      reasons = list(pool.map(lambda path: _unreadable(path, trees, stream, moving), found))
    self.files = [path for path, reason in zip(found, reasons, strict=True) if reason is None]
    self.skipped = {str(path): reason for path, reason in zip(found, reasons, strict=True) if reason is not None}
    if self.skipped:
      named = '; '.join(
        f'{paths.shown(path)} ({paths.shown(reason)})' for path, reason in list(self.skipped.items())[:NAMED]
      )
      rest = f' and {len(self.skipped) - NAMED} more' if len(self.skipped) > NAMED else ''
      notes.append(f'left out {len(self.skipped)} of {len(found)} files: {named}{rest}')
    if moving:
      notes.append(f'{len(moving)} of {len(found)} files are animated or have pages: the first picture counts')
    if not self.files:
      why = f' ({"; ".join(notes)})' if notes else ''
      raise UserError(f'{paths.shown(root)} has no picture that can be read{why}: name another config.data.path')
    if whole is None:
      self.files = [self.files[i] for i in splits.chosen(stream.split, len(self.files))]
    self.notes = tuple(notes)
    self.root = root
    self._labels = _labels(self.files, root, stream) if stream.classes else None

  def __len__(self) -> int:
    return len(self.files)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    stream = self._stream
    size = stream.stored_size, stream.channels, stream.crop, stream.background, stream.filter
    fields = {'image': resize(self.pixels(index), *size)}
    if self._labels is not None:
      fields['label'] = self._labels[index]
    return fields

  def pixels(self, index: int) -> np.ndarray:
    """(H, W, C) uint8 of a file, at its own size."""
    with self.files[index].open('rb') as file, Image.open(file) as picture:
      return decode(picture, self._stream.values, str(self.files[index]))

  def labels(self) -> np.ndarray | None:
    return self._labels


def split_folder(root: epath.Path, split: str) -> tuple[epath.Path, list[str]]:
  """The folder of a split below `root`, and what to say about it.

  Raises:
    UserError: there is no such split, or splits lie beside classes.
  """
  folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith('.'))
  known = [name for name in folders if splits.looks_like_split(name)]
  name = splits.find(split, folders)
  listed = ', '.join(map(paths.shown, known))
  if name is not None:
    beside = [other for other in folders if not splits.looks_like_split(other)] if splits.looks_like_split(name) else []
    classes = [other for other in beside if _has_pictures(root / other)]
    if classes:
      raise UserError(
        f'{paths.shown(root)} has {listed} beside {", ".join(map(paths.shown, classes[:NAMED]))}, splits or classes: '
        f'for classes move all of them into {paths.shown(root / "train")}, else move the others out'
      )
    loose = [path.name for path in root.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith('.')]
    if not loose or not splits.looks_like_split(name):
      return root / name, []
    inside, place = paths.shown(root / name), paths.shown(root)
    return root / name, [
      f'{len(loose)} pictures that lie in {place} itself are not read: {inside} is the split {split!r}'
    ]
  if known:
    raise UserError(f'config.data.split={split!r} is not in {paths.shown(root)}: it has the splits {listed}')
  if split != 'train':
    raise UserError(
      f'config.data.split={split!r} is not in {paths.shown(root)}, which has no folders train, validation or test: '
      "make them, or take a slice like 'train[:50]'"
    )
  return root, [f'{paths.shown(root)} has no folder that looks like a split: all of it is train']


def _has_pictures(folder: epath.Path) -> bool:
  return any(path.suffix.lower() in SUFFIXES for path in files_below(folder, [folder], {}))


def _trees(stream: 'Stream', root: epath.Path) -> list[epath.Path]:
  """The folders that links may lead into."""
  return [root, *([paths.expand(stream.links)] if stream.links else ())]


def files_below(
  folder: epath.Path, trees: Sequence[epath.Path], refused: dict[str, str], above: tuple[str, ...] = ()
) -> Iterator[epath.Path]:
  """All files below a folder, sorted. A link to a folder is followed within the tree, but never in a circle."""
  real = os.path.realpath(folder)
  for path in sorted(folder.iterdir()):
    if not path.is_dir():
      if not path.name.startswith('.'):
        yield path
    elif path.name.startswith('.'):
      refused[str(path)] = 'hidden'
    elif not os.path.islink(path):
      yield from files_below(path, trees, refused, (*above, real))
    elif _leaves(path, trees):
      refused[str(path)] = 'linked from out of the folder (config.data.links allows another folder)'
    elif os.path.realpath(path) in (*above, real):
      refused[str(path)] = 'linked in a circle'
    else:
      yield from files_below(path, trees, refused, (*above, real))


def _leaves(path: epath.Path, trees: Sequence[epath.Path]) -> bool:
  """Whether a link leads into none of the folders."""
  real = pathlib.Path(path).resolve()
  return not any(real.is_relative_to(pathlib.Path(tree).resolve()) for tree in trees)


def _unreadable(
  path: epath.Path, trees: Sequence[epath.Path], stream: 'Stream', moving: list[epath.Path]
) -> str | None:
  """The reason why a file is left out; None if it can be read. Files with several pictures are added to `moving`."""
  if os.path.islink(path) and _leaves(path, trees):
    return 'a link out of the folder: config.data.links allows another one'
  try:
    with path.open('rb') as file, Image.open(file) as picture:
      # Pillow warns of an attack here. (Python's filters of warnings belong to all threads, of which there are many.)
      most = Image.MAX_IMAGE_PIXELS
      if most is not None and picture.width * picture.height > most:
        return f'{picture.width} x {picture.height} pixels, more than {most}: make it smaller'
      if getattr(picture, 'is_animated', False):
        moving.append(path)
      decode(picture, stream.values, str(path))
  except Exception as error:  # Pillow raises many kinds
    return ' '.join(str(error).split()) or type(error).__name__
  return None


def subfolders_of(files: list[epath.Path], root: epath.Path) -> list[str]:
  """The class subfolder of each file; '' for files outside all subfolders."""
  return [path.relative_to(root).parts[0] if len(path.relative_to(root).parts) > 1 else '' for path in files]


def class_names_in(stream: 'Stream') -> tuple[str, ...]:
  """The names of the classes in the order of their numbers: those given, else the class subfolders of the training set.

  They are the split's own where some of its classes are not in the training set, and () where there is no folder.
  """
  if stream.class_names:
    return stream.class_names
  own, training = _own_and_training(stream)
  return training if set(own) <= set(training) else own


def _own_and_training(stream: 'Stream') -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The class subfolders of a stream's split and of its training set, in the order of the alphabet."""
  above = paths.expand(stream.path)
  if not stream.path or not above.is_dir():
    return (), ()
  folders = [path.name for path in above.iterdir() if path.is_dir()]
  name = splits.find(splits.parse(stream.split)[0], folders)
  training = splits.find(splits.training(stream.split), folders)
  own = _class_folders(above / name if name else above, stream)
  return own, own if name is None or training in (None, name) else _class_folders(above / training, stream)


def _class_folders(root: epath.Path, stream: 'Stream') -> tuple[str, ...]:
  """The subfolders in which there is a picture that can be read."""
  trees, above = _trees(stream, paths.expand(stream.path)), (os.path.realpath(root),)

  def followed(path: epath.Path) -> bool:
    return not os.path.islink(path) or not (_leaves(path, trees) or os.path.realpath(path) in above)

  def has_pictures(path: epath.Path) -> bool:
    files = files_below(path, trees, {}, above)
    return any(file.suffix.lower() in SUFFIXES and not _unreadable(file, trees, stream, []) for file in files)

  folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith('.')]
  return tuple(sorted(path.name for path in folders if followed(path) and has_pictures(path)))


def classes_of(stream: 'Stream') -> int:
  """The number of class subfolders; 0 if a picture lies outside all of them."""
  from gan_jax.data.sources import open_source

  source = open_source(stream)
  assert isinstance(source, FolderSource)
  return 0 if '' in subfolders_of(source.files, source.root) else len(class_names_in(stream))


def _labels(files: list[epath.Path], root: epath.Path, stream: 'Stream') -> np.ndarray:
  names = subfolders_of(files, root)
  if '' in names:
    raise UserError(
      f'{files[names.index("")]} is in no class subfolder: move it into one, or set config.data.classes=0'
    )
  known = class_names_in(stream)
  listed = ', '.join(map(paths.shown, known[:NAMED]))
  if len(known) != stream.classes:
    own = set(known) == set(names)
    raise UserError(
      f'config.data.classes={stream.classes} but {"" if own else "the training set of "}{root} has {len(known)} '
      f'subfolders with pictures ({listed}): set it to {len(known)}{"" if own else f", or {CURE}"}'
    )
  unknown = sorted(set(names) - set(known))
  if unknown:
    raise UserError(
      f'{root} has the class subfolder {paths.shown(unknown[0])}, but the classes are {listed}: rename it, or {CURE}'
    )
  if not stream.class_names:
    _check_shared(root, stream)
  return np.array([known.index(name) for name in names], np.int32)


def _check_shared(root: epath.Path, stream: 'Stream') -> None:
  """A split has only classes of the training set, or none of them: else its numbers would be others."""
  own, training = map(set, _own_and_training(stream))
  if own & training and own - training:
    raise UserError(
      f'{root} has the class subfolder {paths.shown(min(own & training))} as the training set has, and '
      f'{paths.shown(min(own - training))}, which the training set has not: rename it, or {CURE}'
    )
