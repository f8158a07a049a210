"""Statistics of the real side of an evaluation. They are cached on disk, under a name with all settings."""

import contextlib
import json
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gan_jax.base import cache
from gan_jax.base.files import writing
from gan_jax.data import alike, sets, sources
from gan_jax.data.streams import Stream
from gan_jax.distributed import processes
from gan_jax.evaluation.scores import KEPT, Scorer, Scores, real_batches
from gan_jax.metrics.frechet import Moments

#: Increase it when the cached numbers change their meaning.
VERSION = 2


def reference_scores(stream: Stream, scorer: Scorer, say: Callable[[str], object] = lambda line: None) -> Scores:
  """Scores of a stream's whole set, from the disk if they were computed before.

  Args:
    stream: the reference, from `sets.reference_stream`.
    scorer: computes the features.
    say: called with a line of text before a slow part.
  """
  alike.check_same([stream], 'data to evaluate with')
  source, labels_of = stream.open(), sets.labels_of(stream)
  identity = {
    'version': VERSION,
    'set': sets.title(stream),
    'range': list(stream.range),
    'fingerprint': sources.fingerprint(source),
    'classes': stream.classes,
    'features': scorer.extractor.name,
    'kept': KEPT,
    **{name: repr(value) for name, value in sets.decoding(stream).items()},
    **sets.labelling(stream),
  }
  plain = ''.join(c if c.isalnum() else '-' for c in f'{stream.name}-{stream.split}-{stream.size}x{stream.channels}')
  kept = scorer.extractor.kept
  path = (
    cache.folder('statistics')
    / f'{plain}-{identity["fingerprint"]}-{scorer.extractor.name}{"" if labels_of == "label" else "-" + labels_of}.npz'
  )
  found = _read(path, identity) if kept else None
  # All processes compute or none does, or they would wait for each other.
  if not processes.all_gather(found is not None).all():
    say(f'scoring the reference, {identity["set"]} ...')
    found = scorer(real_batches(stream, sets.order(stream), scorer.mesh))._replace(examples=np.zeros((0,)))
    if kept and processes.first():
      with contextlib.suppress(OSError):  # without the cache they are computed again next time
        _write(path, identity, found)
  assert found is not None
  return found


def _read(path: pathlib.Path, identity: Mapping[str, Any]) -> Scores | None:
  try:
    with path.open('rb') as raw, np.load(raw, allow_pickle=False) as file:
      if json.loads(str(file['identity'])) != identity:
        return None
      get = lambda name: file[name] if name in file.files else None
      moments = Moments(int(file['count']), file['mean'], file['scatter'])
      return Scores(moments, file['features'], get('logits'), get('labels'), np.zeros((0,)))
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # missing or damaged
    return None


def _write(path: pathlib.Path, identity: Mapping[str, Any], scores: Scores) -> None:
  arrays = {name: getattr(scores, name) for name in ('features', 'logits', 'labels')}
  arrays = {name: value for name, value in arrays.items() if value is not None}
  moments = scores.moments
  with writing(path) as file:
    np.savez(
      file,
      identity=json.dumps(identity),
      count=moments.examples,
      mean=moments.mean,
      scatter=moments.scatter,
      **arrays,
    )
