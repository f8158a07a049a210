"""Facts about a data set that do not depend on the stream: the number of its classes, a fingerprint of its examples."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from etils import epath

from gan_jax.data.sources.base import ArraySource, Source, Subset
from gan_jax.data.sources.builtin import BUILT_IN
from gan_jax.data.sources.checked import Checked
from gan_jax.data.sources.transformed import transform_of

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: The number of examples that a fingerprint reads.
LOOKED_AT = 64
#: The number that `content` reads, at every start of a run: one may take a second.
FEW = 3


def classes_in(stream: 'Stream') -> int:
  """The number of classes of a stream's set, whether or not the stream reads them; 0 if it has none.

  >>> from gan_jax.data.streams import Stream
  >>> classes_in(Stream(name='digits'))
  10
  """
  if stream.classes:
    return stream.classes
  if stream.columns:  # what is no column is not read
    return 0
  if stream.name in BUILT_IN:
    from gan_jax.data.sources import open_source

    return int(open_source(dataclasses.replace(stream, classes=1 << 30)).arrays['label'].max()) + 1  # type: ignore
  if transform_of(stream.name)[0]:
    return classes_in(dataclasses.replace(stream, name=transform_of(stream.name)[1]))
  if stream.name.startswith('stacked/'):
    inner = classes_in(dataclasses.replace(stream, name=stream.name.removeprefix('stacked/'), channels=1))
    return inner**3
  if stream.name == 'folder':
    from gan_jax.data.sources.folder import classes_of

    return classes_of(stream)
  if stream.name == 'npz':
    from gan_jax.data.sources.npz import classes_of

    return classes_of(stream)
  if '.' in stream.name and '/' not in stream.name:
    return 0  # for the user's own source only config.data.classes gives the number
  from gan_jax.data.sources.prepared import classes_of

  return classes_of(stream)


def content(source: Source) -> str:
  """A digest of what a set holds, the same for copies of it in other places.

  Of files it has the names below their common folder and the sizes, for other machines may decode a picture to other
  bytes; all that a table says of them; whole arrays; of other sets some examples, unless they are drawn anew each time.
  """
  from gan_jax.data.sources.columned import Columned

  digest = hashlib.sha256(str(len(source)).encode())
  inner: Any = source
  while isinstance(inner, Subset | Checked | Columned):
    if isinstance(inner, Subset):
      digest.update(np.ascontiguousarray(inner.chosen, np.int64).tobytes())
    inner = inner.source
  files = _files_of(inner)
  words = [getattr(inner, name, '') for name in ('contents', 'identity')]
  known = next((text for text in words if isinstance(text, str) and text), '')
  for file, place in zip(files, _places(inner, files), strict=True):
    digest.update(os.fsencode(f'{place} {file.stat().length} '))
  digest.update(known.encode('utf-8', 'replace'))
  if isinstance(inner, ArraySource):
    _add_arrays(digest, inner)
  elif not files and not known and len({_of_examples(inner, FEW) for _ in range(2)}) == 1:
    digest.update(_of_examples(inner, FEW))
  return digest.hexdigest()


def _files_of(source: Source) -> list[epath.Path]:
  """The files of a source; a source of yours may hold anything by that name."""
  files = getattr(source, 'files', ())
  if not isinstance(files, list | tuple):
    return []
  return [epath.Path(os.path.abspath(f) if '://' not in str(f) else f) for f in files if isinstance(f, os.PathLike)]


def _places(source: Source, files: Sequence[Any]) -> list[str]:
  """Where files lie below the folder of their source, or below the one that has all of them."""
  if not files:
    return []
  root = getattr(source, 'root', None)
  if not isinstance(root, os.PathLike):
    root = os.path.commonpath([os.fspath(file.parent) for file in files])
  return [os.path.relpath(file, root) for file in files]


def _add_arrays(digest: Any, source: ArraySource) -> None:
  for name, array in sorted(source.arrays.items()):
    digest.update(name.encode() + str(array.shape).encode())
    digest.update(np.ascontiguousarray(array).data)


def _of_examples(source: Source, count: int) -> bytes:
  digest = hashlib.sha256()
  for i in np.unique(np.linspace(0, len(source) - 1, count).astype(int)):
    for name, value in sorted(source[int(i)].items()):
      digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
  return digest.digest()


def fingerprint(source: Source) -> str:
  """8 hexadecimal digits that identify the content of a set. Another set of the same name has other digits.

  They depend on all examples of a set in memory; on the files' places in a folder, their sizes and times and all that a
  table says of them, not on where the folder is; and on the length and some examples of other sets.

  >>> from gan_jax.data.sources.base import ArraySource
  >>> fingerprint(ArraySource({'image': np.zeros((3, 2))})) == fingerprint(ArraySource({'image': np.ones((3, 2))}))
  False
  """
  digest = hashlib.sha256(str(len(source)).encode())
  if isinstance(source, ArraySource):
    _add_arrays(digest, source)
    return digest.hexdigest()[:8]
  files = _files_of(source)
  for file, place in zip(files, _places(source, files), strict=True):
    stat = file.stat()
    digest.update(os.fsencode(place) + f' {stat.length} {stat.mtime}'.encode())  # a name need not be UTF-8
  known = getattr(source, 'identity', '')
  if isinstance(known, str):  # of columns that are known whole
    digest.update(known.encode('utf-8', 'replace'))
  digest.update(_of_examples(source, LOOKED_AT))
  return digest.hexdigest()[:8]
