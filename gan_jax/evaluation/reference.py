"""The real side of an evaluation: which examples, and their statistics, kept on disk under a name that says it all."""

import contextlib
import dataclasses
import json
import os
import re
import uuid
import zipfile
from collections.abc import Callable

import jax
import numpy as np

from gan_jax import cache, paths
from gan_jax.data import sources
from gan_jax.data.streams import Stream
from gan_jax.errors import UserError
from gan_jax.evaluation.scores import KEPT, KEPT_BYTES, Scorer, Scores, as_examples, real_batches
from gan_jax.metrics.frechet import Moments

#: Raised when what is kept on disk changes its meaning.
VERSION = 1
#: Of the order in which examples are taken, so that the first n are a fair choice.
ORDER_SEED = 0


def reference_stream(stream: Stream, split: str | None = None) -> Stream:
  """A stream's whole set as it is stored: no flips, no random windows, every class, with labels if it has any.

  Args:
    stream: of the run.
    split: another split than the run's.
  """
  plain = dataclasses.replace(
    stream, split=split or stream.split, flip=False, random_crop=0, per_class=0, batch_size=None, seed=0
  )
  return dataclasses.replace(plain, classes=sources.classes_in(plain))


def validation_stream(stream: Stream) -> Stream:
  """What settings of a metric are chosen on: the rest of a split 'train[:N]', else the split itself."""
  part = re.fullmatch(r'(\w+)\[:(\d+)\]', stream.split)
  return dataclasses.replace(stream, split=f'{part[1]}[{part[2]}:]') if part else stream


def held_out_stream(stream: Stream) -> Stream | None:
  """The set's split 'test', else 'validation', if it has one that shares no example with the stream's own."""
  if not stream.split.startswith('train') or '+' in stream.split:  # 'all' holds the test examples too
    return None
  for split in ('test', 'validation'):
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
  shape = 'x'.join(map(str, stream.stored(1)['image'].shape[1:]))
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
  size = np.asarray(source[0]['image']).nbytes
  chosen = order(stream)[start : start + min(count, max(KEPT_BYTES // size, 1))]
  if isinstance(source, sources.ArraySource):
    fields = {name: value[chosen] for name, value in source.arrays.items()}
  else:
    part = sources.into_memory(sources.Subset(source, chosen), 1 << 62)
    assert part is not None  # nothing is larger
    fields = part.arrays
  return as_examples(stream, fields['image']), fields.get('label')


def reference_scores(stream: Stream, scorer: Scorer, say: Callable[[str], None] = lambda line: None) -> Scores:
  """Scores of a stream's whole set, from the disk if they were computed before.

  Args:
    stream: from `reference_stream`.
    scorer: with the extractor.
    say: told what takes time.
  """
  source = stream.open()
  identity = {
    'version': VERSION,
    'set': title(stream),
    'range': list(stream.range),
    'fingerprint': sources.fingerprint(source),
    'classes': stream.classes,
    'features': scorer.extractor.name,
    'kept': KEPT,
  }
  plain = ''.join(c if c.isalnum() else '-' for c in f'{stream.name}-{stream.split}-{stream.size}x{stream.channels}')
  kept = scorer.extractor.kept
  path = cache.folder('statistics') / f'{plain}-{identity["fingerprint"]}-{scorer.extractor.name}.npz'
  found = _read(path, identity) if kept else None
  # All processes compute or none does, or they would wait for each other.
  if not agreed(np.asarray(found is not None)).all():
    say(f'scoring the reference, {identity["set"]} ...')
    found = scorer(real_batches(stream, order(stream), scorer.mesh))._replace(examples=np.zeros((0,)))
    if kept and jax.process_index() == 0:
      with contextlib.suppress(OSError):  # what is not kept is computed anew
        _write(path, identity, found)
  assert found is not None
  return found


def agreed(flag: np.ndarray) -> np.ndarray:
  """The flags of all processes."""
  if jax.process_count() == 1:
    return flag
  from jax.experimental import multihost_utils

  return multihost_utils.process_allgather(flag)


def _read(path, identity) -> Scores | None:
  try:
    with path.open('rb') as raw, np.load(raw, allow_pickle=False) as file:
      if json.loads(str(file['identity'])) != identity:
        return None
      get = lambda name: file[name] if name in file.files else None
      moments = Moments(int(file['count']), file['mean'], file['scatter'])
      return Scores(moments, file['features'], get('logits'), get('labels'), np.zeros((0,)))
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # not there, or damaged
    return None


def _write(path, identity, scores: Scores) -> None:
  arrays = {name: getattr(scores, name) for name in ('features', 'logits', 'labels')}
  arrays = {name: value for name, value in arrays.items() if value is not None}
  moments = scores.moments
  # Whole or not at all, whoever else writes it at the same time.
  temporary = path.with_suffix(f'.{uuid.uuid4().hex}.new')
  with temporary.open('wb') as file:
    np.savez(
      file,
      identity=json.dumps(identity),
      count=moments.examples,
      mean=moments.mean,
      scatter=moments.scatter,
      **arrays,
    )
  temporary.replace(path)
