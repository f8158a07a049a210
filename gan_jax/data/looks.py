"""A look at a folder of pictures: how many, how large, grey or colour. Only headers of some files are read."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.data.sources.folder import SUFFIXES, files_below, split_folder, subfolders_of

#: How many files are opened.
OPENED = 200


class Look(NamedTuple):
  """What a folder of pictures has.

  Attributes:
    pictures: of the training split.
    side: the shorter side, pixels, that nine of ten pictures have at least.
    grey: whether all pictures that were opened are grey.
    classes: the subfolders, if there are two or more and every picture is in one.
  """

  pictures: int
  side: int
  grey: bool
  classes: tuple[str, ...] = ()


def look(path: str) -> Look:
  """A look at the training pictures of a folder.

  Raises:
    UserError: it is no folder, or no picture is in it.
  """
  root = paths.expand(path)
  if not root.is_dir():
    raise UserError(f'config.data.path={path!r} is not a folder')
  root, _ = split_folder(root, 'train')
  files = sorted(file for file in files_below(root, [root], {}) if file.suffix.lower() in SUFFIXES)
  if not files:
    raise UserError(
      f'config.data.path={path!r} has no picture: name a folder with {", ".join(SUFFIXES[:6])}, ... files'
    )
  sides: list[int] = []
  modes: set[str] = set()
  for file in files[:: max(len(files) // OPENED, 1)]:
    try:
      with file.open('rb') as opened, Image.open(opened) as picture:
        sides.append(min(picture.size))
        modes.add(picture.mode)
    except Exception:  # of any kind, as decoders raise: the set leaves it out too, and says so
      continue
  if not sides:
    raise UserError(f'config.data.path={path!r}: none of {len(files)} pictures can be read')
  names = sorted(set(subfolders_of(files, root)))
  classes = () if '' in names or len(names) < 2 else tuple(names)
  return Look(len(files), int(np.quantile(sides, 0.1)), modes <= {'1', 'L', 'LA', 'I;16'}, classes)
