"""The examples that samples start from, of games that read streams when they sample."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gan_jax import core
from gan_jax.base import console, paths
from gan_jax.base.errors import UserError, one_of
from gan_jax.data import columns, sets, sources
from gan_jax.data.sources.base import Source
from gan_jax.data.sources.folder import FolderSource
from gan_jax.data.streams import Stream
from gan_jax.runs.stages import Stage
from gan_jax.sampling.reading import Read

#: Of a picture, at most: one with opacity has four.
CHANNELS = 4
#: Which split of a stream to take: one for all, or {stream: split}; None for what is held out, where there is such.
Splits = str | Mapping[str, str] | None


def input_stream(stream: Stream, split: str | None = None) -> Stream:
  """The set that inputs are taken from: no flips, no random windows; the held-out split by default, else the whole set.

  Args:
    stream: of the run.
    split: another split.
  """
  plain = dataclasses.replace(sets.reference_stream(stream, split), classes=stream.classes)
  return plain if split else sets.held_out_stream(plain) or plain


def examples(stream: Stream, rows: np.ndarray) -> dict[str, np.ndarray]:
  """Examples of a set as losses see them: {field: (N, ...)} numpy.

  Args:
    stream: from `input_stream`.
    rows: (N,) places in the order of evaluations; after the last example comes the first.
  """
  order = sets.order(stream)
  return _prepared(stream, stream.open(), order[np.asarray(rows) % len(order)])


def _prepared(stream: Stream, source: Source, chosen: np.ndarray) -> dict[str, np.ndarray]:
  rows = [source[int(i)] for i in chosen]
  fields = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
  prepared: dict[str, np.ndarray] = jax.device_get(sets.prepared(stream, fields, chosen))
  return prepared


def streams_for(stage: Stage, splits: Splits = None) -> dict[str, Stream]:
  """{stream that the stage's game reads when it samples: the set that is taken for it}.

  Raises:
    UserError: a split is asked of a stream that the game does not read, or of a game that reads none; or there is no
      such split.
  """
  names = core.inputs_of(stage.game, stage.streams)
  if splits and not names:
    raise UserError(f'split={splits!r} asked of {type(stage.game).__name__}, whose samples read no data: leave it out')
  for name in splits if isinstance(splits, Mapping) else ():
    if name not in names:
      raise one_of(f'stream that {type(stage.game).__name__} reads when it samples', name, names)
  found = {}
  for name in names:
    split = splits.get(name) if isinstance(splits, Mapping) else splits
    with _named('--split', 'config.data.split') if split else contextlib.nullcontext():
      found[name] = input_stream(stage.streams[name], split or None)
      if split:  # now, so that there is such a split
        found[name].open()
  return found


def first(stage: Stage, count: int, splits: Splits = None, start: int = 0) -> dict[str, dict[str, np.ndarray]] | None:
  """What samples start ... start + count - 1 start from: {stream: {field: (count, ...)}}; None if the game reads none.

  Args:
    stage: with the game and the streams.
    count: how many; sets that have fewer begin again.
    splits: of the streams.
    start: the first.

  Raises:
    UserError: as `streams_for`.
  """
  streams = streams_for(stage, splits)
  return {name: examples(s, start + np.arange(count)) for name, s in streams.items()} or None


@contextlib.contextmanager
def _named(flag: str, setting: str) -> Iterator[None]:
  """While it lasts, errors of the data name a flag, not the setting of the config that it replaces."""
  try:
    yield
  except UserError as error:
    raise UserError(str(error).replace(setting, flag)) from error


@contextlib.contextmanager
def missing(stage: Stage, count: int, splits: Splits = None) -> Iterator[None]:
  """While it lasts, a field that the game reads and nothing gave it raises the error of the data that are not there."""
  try:
    yield
  except KeyError:
    first(stage, count, splits)
    raise


def at_random(stream: Stream, count: int, seed: int) -> dict[str, np.ndarray]:
  """Random values with the shapes and dtypes of a stream's examples: {field: (count, ...)}. It needs no data.

  Raises:
    UserError: the range of an integer field is only known from the data.
  """
  random, made, kinds = np.random.default_rng(seed), {}, stream.kinds
  for field, form in stream.fields(count).items():
    kind = kinds.get(field)
    if isinstance(kind, columns.Attributes) or (field == 'tags' and not kind):
      made[field] = random.integers(2, size=form.shape).astype(form.dtype)
    elif np.issubdtype(form.dtype, np.floating):
      made[field] = random.uniform(*stream.range_of(field), form.shape).astype(form.dtype)
    else:
      plain = stream.classes if field == 'label' else 0
      most = kind.count if isinstance(kind, columns.Label) else getattr(kind, 'tokens', plain)
      if not most:
        raise UserError(f'the range of the integers in {field!r} of {stream.name!r} is only known from the data')
      made[field] = random.integers(most, size=form.shape).astype(form.dtype)
  return made


def of_folder(stage: Stage, text: str, read: Read | None = None) -> tuple[str, list[str], dict[str, np.ndarray]]:
  """The pictures of a folder as inputs: (the stream that they stand for, their paths in the folder, its fields).

  Args:
    stage: with the game and the streams.
    text: FOLDER, for the first stream that the game reads, or STREAM=FOLDER. Of a stream with columns the pictures are
      the field that outputs are made of, whole.
    read: what the game reads when it samples, if it is known.

  Raises:
    UserError: the game reads nothing or no such stream, or the folder has no picture.
  """
  names = core.inputs_of(stage.game, stage.streams)
  if not names:
    raise UserError(f'--inputs={text} given to {type(stage.game).__name__}, whose samples read no data: leave it out')
  name, _, path = text.partition('=') if '=' in text else (names[0], '', text)
  if name not in names:
    raise one_of('stream in --inputs', name, names)
  folder = paths.expand(path)
  if not folder.is_dir():
    raise UserError(f'--inputs={text}: {path!r} is not a folder')
  if read is not None and not takes_pictures(stage, name, read):
    raise UserError(f'--inputs={text}: {type(stage.game).__name__} makes nothing of pictures of {name!r}: leave it out')
  stream = stage.streams[name]
  plain = dataclasses.replace(stream, flip=False, random_crop=0, per_class=0, classes=0, tags=(), columns={})
  # What black and white are in the run's own set says nothing of other files, unless they are pictures as well.
  alike = stream.name == 'folder'
  field = _given_field(stage, name) if stream.columns else ''
  values = getattr(stream.kinds[field], 'values', None) if stream.columns else stream.values
  of = dataclasses.replace(plain, name='folder', path=path, values=values if alike else None)
  with _named('--inputs', 'config.data.path'):
    source = FolderSource(of, whole=folder)
  for line in source.notes:
    console.say(f'--inputs={text}: {line}', error=True)
  files = [str(file.relative_to(source.root)) for file in source.files]
  if not stream.columns:
    return name, files, _prepared(of, source, np.arange(len(files)))
  kind = stream.kinds[field]
  if not isinstance(kind, columns.Picture):
    raise UserError(f'--inputs={text}: {field!r} of the stream {name!r} is {kind.title}, no picture: leave it out')
  # Sets in memory are cropped by their stream.
  crop = stream.crop if sources.has_arrays(stream.name) else kind.crop
  kind = dataclasses.replace(kind, part='', flip=False, random_crop=0, crop=crop, values=kind.values if alike else None)
  stored = []
  for file in source.files:
    with file.open('rb') as opened, Image.open(opened) as picture:
      stored.append(kind.stored(picture))
  return name, files, {field: np.asarray(kind.prepare(jnp.asarray(np.stack(stored)), jax.random.key(0)))}


def takes_pictures(stage: Stage, stream: str, read: Read | None = None) -> bool:
  """Whether outputs are made of pictures of a stream: those that they say, or else its main field, if it is read."""
  of = [output.source for output in core.outputs_of(stage.game, stage.streams).values() if output.of]
  main = stage.streams[stream].main
  is_read = stage.game.latents is None if read is None else (stream, main) in read.fields
  fields = [field for name, field in of if name == stream] or ([main] if is_read and not of else [])
  shapes = {name: x.shape for name, x in stage.streams[stream].fields(1).items()}
  return any(len(shapes.get(field, ())) == 4 and shapes[field][-1] <= CHANNELS for field in fields)


def _given_field(stage: Stage, stream: str) -> str:
  """The field of a stream that outputs are made of; its main one if they do not say."""
  outputs = core.outputs_of(stage.game, stage.streams).values()
  said = [output.source[1] for output in outputs if output.of and output.source[0] == stream]
  return next((field for field in said if field in stage.streams[stream].columns), stage.streams[stream].main)


def parsed(text: str) -> Splits:
  """The value of --split: one name, or STREAM=SPLIT,STREAM=SPLIT.

  >>> parsed('a=testA,b=testB')
  {'a': 'testA', 'b': 'testB'}
  """
  if '=' not in text:
    return text or None
  pairs = [part.strip().partition('=') for part in text.split(',')]
  if not all(name and split for name, _, split in pairs):
    raise UserError(f'--split={text} must be a split, or STREAM=SPLIT,STREAM=SPLIT')
  return {name: split for name, _, split in pairs}
