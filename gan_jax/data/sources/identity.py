"""What a set is, whatever a stream asks of it: how many classes it has, and a fingerprint of its examples."""

import dataclasses
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np

from gan_jax.data.sources.base import ArraySource, Source
from gan_jax.data.sources.builtin import BUILT_IN
from gan_jax.data.sources.transformed import transform_of

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: Examples that a fingerprint looks at.
LOOKED_AT = 64


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
    return 0  # a source of the user's own says so by config.data.classes
  from gan_jax.data.sources.prepared import classes_of

  return classes_of(stream)


def fingerprint(source: Source) -> str:
  """8 hexadecimal digits of a set: another one of the same name has others.

  Sets in memory are read whole; of folders, the names, sizes and times of the files count; of other sets, the
  length and some examples.

  >>> from gan_jax.data.sources.base import ArraySource
  >>> fingerprint(ArraySource({'image': np.zeros((3, 2))})) == fingerprint(ArraySource({'image': np.ones((3, 2))}))
  False
  """
  digest = hashlib.sha256(str(len(source)).encode())
  if isinstance(source, ArraySource):
    for name, array in sorted(source.arrays.items()):
      digest.update(name.encode() + str(array.shape).encode())
      digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:8]
  for file in getattr(source, 'files', ()):
    stat = file.stat()
    digest.update(os.fsencode(file) + f' {stat.length} {stat.mtime}'.encode())  # a name need not be UTF-8
  for i in np.unique(np.linspace(0, len(source) - 1, LOOKED_AT).astype(int)):
    for name, value in sorted(source[int(i)].items()):
      digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
  return digest.hexdigest()[:8]
