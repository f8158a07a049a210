"""Parts of a set: the whole as it is stored, what is held out, what settings are chosen on; and their order."""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.data import sources
from gan_jax.data.streams import Stream

#: Of the order in which examples are taken, so that the first n are a fair choice.
ORDER_SEED = 0


def reference_stream(stream: Stream, split: str | None = None) -> Stream:
  """A stream's whole set as it is stored: no flips, no random windows, every class, with labels if it has any.

  Args:
    stream: of the run.
    split: another split than the run's.
  """
  plain = dataclasses.replace(
    stream,
    split=split or stream.split,
    flip=False,
    random_crop=0,
    per_class=0,
    batch_size=None,
    seed=0,
    columns={field: _still(settings) for field, settings in stream.columns.items()},
  )
  return dataclasses.replace(plain, classes=sources.classes_in(plain))


def _still(settings: Mapping[str, Any]) -> dict[str, Any]:
  return {key: value for key, value in settings.items() if key not in ('flip', 'random_crop')}


def validation_stream(stream: Stream) -> Stream:
  """What settings of a metric are chosen on: the rest of a split 'train[:N]', else the split itself."""
  part = re.fullmatch(r'(\w+)\[:(\d+)\]', stream.split)
  return dataclasses.replace(stream, split=f'{part[1]}[{part[2]}:]') if part else stream


def held_out_stream(stream: Stream) -> Stream | None:
  """The set's split 'test' (of 'trainA' first 'testA') or 'validation', if it shares no example with the stream's."""
  if not stream.split.startswith('train') or '+' in stream.split:  # 'all' holds the test examples too
    return None
  part = re.fullmatch(r'train(\w+)', stream.split)
  for split in (*([f'test{part[1]}'] if part else []), 'test', 'validation'):
    other = dataclasses.replace(stream, split=split)
    try:
      source = other.open()
    except UserError:
      continue
    own = stream.open()
    if sources.fingerprint(source) != sources.fingerprint(own) and not _real_files(source) & _real_files(own):
      return other
  return None


def _real_files(source: sources.Source) -> set[str]:
  """The files that a folder's pictures are, whatever links lead there; empty for other sources."""
  return {os.path.realpath(file) for file in getattr(source, 'files', ())}


def order(stream: Stream) -> np.ndarray:
  """(N,) all examples of a set in the order in which evaluations take them."""
  return np.random.RandomState(ORDER_SEED).permutation(len(stream.open()))


def title(stream: Stream) -> str:
  """A set in words.

  >>> title(Stream(name='digits', size=8, channels=1))
  'digits train (1433), 8x8x1'
  """
  shape = 'x'.join(map(str, stream.stored(1)[stream.main].shape[1:]))
  path = f' {paths.shown(stream.path)}' if stream.path else ''
  crop = f', crop {stream.crop}' if stream.crop else ''
  return f'{stream.name}{path} {stream.split} ({len(stream.open())}), {shape}{crop}'


def examples(stream: Stream, count: int, start: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
  """Some examples of a set, in the order of evaluations, and their labels.

  Args:
    stream: of the set.
    count: at most so many, and at most as many as KEPT_BYTES hold.
    start: the first.

  Returns:
    (N, ...) uint8 pictures or float32, and (N,) int32 or None.
  """
  source = stream.open()
  size = np.asarray(source[0][stream.main]).nbytes
  chosen = order(stream)[start : start + min(count, max(KEPT_BYTES // size, 1))]
  if isinstance(source, sources.ArraySource):
    fields = {name: value[chosen] for name, value in source.arrays.items()}
  else:
    part = sources.into_memory(sources.Subset(source, chosen), 1 << 62)
    assert part is not None  # nothing is larger
    fields = part.arrays
  return as_examples(stream, fields[stream.main]), fields.get('label')


#: Examples that are kept, the first, up to so many bytes.
KEPT_BYTES = 256 << 20


def as_examples(stream: Stream, stored: np.ndarray) -> np.ndarray:
  """Stored examples as metrics take them: pictures as they are, anything else as float32 in the stream's range."""
  if stream.pictures or stored.dtype != np.uint8:
    return stored
  low, high = stream.range
  return stored.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)
