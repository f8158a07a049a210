"""The parts of a data set that evaluations use: reference, held-out and validation examples; and their order."""

import dataclasses
import functools
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base import console, paths
from gan_jax.base.errors import UserError, one_of
from gan_jax.data import sources
from gan_jax.data.picture import Picture
from gan_jax.data.streams import Stream
from gan_jax.data.transforms import to_uint8

#: The seed of the order in which evaluations take examples: the first n are a random choice.
ORDER_SEED = 0
#: The share of a held-out folder's files that may be copies of training files; real sets have a few.
COPIES = 0.1
#: So many of its files, spread over the folder, are compared.
COMPARED = 200


def reference_stream(stream: Stream, split: str | None = None, field: str = '', classes_of: str = 'label') -> Stream:
  """The whole set of a stream without flips and random windows, with all classes, and with labels if it has any.

  Args:
    stream: the stream of the run.
    split: the split; None for that of the stream.
    field: what examples are compared by: it becomes the main field, and of the others only labels are read. '' leaves
      all as they are.
    classes_of: the field that labels are read from.

  Raises:
    UserError: the stream has no such field, or it has no classes.
  """
  if classes_of != 'label':
    stream = _labelled(stream, classes_of)
  if field:
    stream = _of_field(stream, field)
  plain = dataclasses.replace(
    stream,
    split=split or stream.split,
    flip=False,
    random_crop=0,
    per_class=0,
    batch_size=None,
    seed=0,
    weights='',
    columns={field: _still(settings) for field, settings in stream.columns.items()},
  )
  count = sources.classes_in(plain)
  if count and not stream.classes and stream.name == 'folder':  # classes that the run does not know
    return dataclasses.replace(plain, classes=count, class_names=sources.class_names_in(plain))
  return dataclasses.replace(plain, classes=count)


def _of_field(stream: Stream, field: str) -> Stream:
  if field == 'image' and not stream.columns:
    return stream
  if field not in stream.columns:
    raise one_of(f'field of the stream {stream.name!r}', field, stream.columns or ('image',))
  kept = {name: stream.columns[name] for name in (field, 'label') if name in stream.columns}
  # A row that another column cannot read is no example of this one either: the numbers of examples stay theirs.
  unread = (*stream.unread, *((name, value) for name, value in stream.columns.items() if name not in kept))
  return dataclasses.replace(stream, columns=kept, unread=unread, range=stream.range_of(field))


def _labelled(stream: Stream, field: str) -> Stream:
  """The stream with the classes of a field as its labels."""
  named = [name for name, settings in stream.columns.items() if settings['name'] == 'Label']
  where = f'field with classes in --classes_of (config.eval.classes_of) of the stream {stream.name!r}'
  if not named:
    raise UserError(
      f'unknown {where}, {field!r}: it has none but labels; set config.data.columns.{field}={{"name": "Label", '
      '"classes": N}, or leave it out'
    )
  if field not in named:
    raise one_of(where, field, named)
  own = {'column': field, **stream.columns[field]}
  return dataclasses.replace(stream, columns={**stream.columns, 'label': own}, classes=0, tags=())


def labels_of(stream: Stream) -> str:
  """The field of the data that labels are read from."""
  return stream.columns.get('label', {}).get('column') or 'label'


def labelling(stream: Stream) -> dict[str, Any]:
  """What labels mean, for the keys of caches; {} where they are what they mostly are."""
  field, names = labels_of(stream), list(stream.class_names)
  usual = {'labels_of': field == 'label', 'class_names': names == sorted(names)}
  return {key: value for key, value in {'labels_of': field, 'class_names': names}.items() if not usual[key]}


def decoding(stream: Stream) -> dict[str, Any]:
  """How examples are read, for the keys of caches; {} where it is as mostly. In some sets few examples show it."""
  usual = {field.name: field.default for field in dataclasses.fields(Stream)}
  found = {name: getattr(stream, name) for name in ('background', 'values') if getattr(stream, name) != usual[name]}
  kind = stream.kinds.get(stream.main)
  if isinstance(kind, Picture):
    changing = type(kind).prepare is not Picture.prepare  # then its name says how
    own = {key: value for key, value in stream.columns[stream.main].items() if key not in ORDINARY}
    own |= {'name': stream.columns[stream.main]['name']} if changing else {}
  else:  # what a fingerprint of stored values does not show, such as the values that go to the ends of the range
    own = {
      key: value for key, value in stream.columns.get(stream.main, {}).items() if key not in ('column', 'together')
    }
  return found | ({'column': sorted((key, repr(value)) for key, value in own.items())} if own else {})


def _still(settings: Mapping[str, Any]) -> dict[str, Any]:
  return {key: value for key, value in settings.items() if key not in ('flip', 'random_crop')}


def validation_stream(stream: Stream) -> Stream:
  """The examples on which settings of a metric are chosen: the rest of 'train[:N]' or 'train[:N%]', else the split."""
  part = re.fullmatch(r'(\w+)\[:(\d+%?)\]', stream.split)
  if part is None:
    return stream
  rest = dataclasses.replace(stream, split=f'{part[1]}[{part[2]}:]')
  try:
    rest.open()
  except UserError:  # there is no rest
    return stream
  return rest


def held_out_stream(stream: Stream, labelled: bool = True) -> Stream | None:
  """The set's split 'test' (of 'trainA' first 'testA') or 'validation', if it shares no example with the stream's.

  Of a folder, a split is not taken if more than a tenth of its files (of 200 of them) are copies of the stream's, byte
  by byte.

  Args:
    stream: of the training set.
    labelled: whether its labels are needed: a split with other classes is left out then, else taken without labels.
  """
  if not stream.split.startswith('train') or '+' in stream.split:  # 'all' holds the test examples too
    return None
  broken: dict[str, str] = {}
  part = re.fullmatch(r'train(\w+)', stream.split.partition('[')[0])
  for split in (*([f'test{part[1]}'] if part else []), 'test', 'validation'):
    other = dataclasses.replace(stream, split=split)
    plain = dataclasses.replace(other, classes=0, class_names=(), tags=())
    for found in (other, *(() if labelled or stream.columns else (plain,))):
      try:
        source = found.open()
      except UserError as error:
        # Of a split that is there, and whose examples cannot be read without labels either.
        if 'config.data.split' not in str(error) and (stream.columns or not opens(plain)):
          broken[split] = str(error)
        continue
      own = stream.open()
      if sources.fingerprint(source) != sources.fingerprint(own) and not _share_files(source, own):
        return found
      break
  for split, why in broken.items():
    _tell(f'note: no held-out examples are taken from the split {split!r} of {stream.name!r}: {why}')
  return None


def opens(stream: Stream) -> bool:
  """Whether the data of a stream are here and can be read."""
  try:
    stream.open()
  except Exception:  # of any kind, as readers of files raise
    return False
  return True


@functools.cache
def _tell(line: str) -> None:
  """Prints a line once."""
  console.say(line, error=True)


def _share_files(one: sources.Source, other: sources.Source) -> bool:
  """Whether a file is in both folders, or many of one are copies of files of the other."""
  if _real_files(one) & _real_files(other):
    return True
  files = getattr(one, 'files', ())
  chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, COMPARED).astype(int))] if files else []
  wanted = {file: file.stat().length for file in chosen}
  same: dict[int, list[Any]] = {length: [] for length in wanted.values()}  # only files of equal lengths are read
  for file in getattr(other, 'files', ()) if wanted else ():
    length = file.stat().length
    if length in same:
      same[length].append(file)
  known = {length: {_digest(file) for file in alike} for length, alike in same.items()}
  return sum(_digest(file) in known[length] for file, length in wanted.items()) > COPIES * len(chosen)


def _digest(file: Any) -> bytes:
  return hashlib.sha256(file.read_bytes()).digest()


def _real_files(source: sources.Source) -> set[str]:
  """The files that a folder's pictures are, whatever links lead there; empty for other sources."""
  return {os.path.realpath(file) for file in getattr(source, 'files', ())}


def order(stream: Stream) -> np.ndarray:
  """(N,) all examples of a set in the order in which evaluations take them."""
  return _shuffled(len(stream.open()))


def _shuffled(count: int) -> np.ndarray:
  return np.random.RandomState(ORDER_SEED).permutation(count)


def _any_of(parts: Sequence[Stream]) -> np.ndarray:
  """The numbers of the examples that at least one of the streams has, each once. All have `per_class`."""
  numbers = np.concatenate([part.open().chosen for part in parts])  # type: ignore[attr-defined]
  return numbers[np.sort(np.unique(numbers, return_index=True)[1])]


def title(stream: Stream) -> str:
  """The name of a set in protocols.

  >>> title(Stream(name='digits', size=8, channels=1))
  'digits train (1433), 8x8x1'
  """
  shape = 'x'.join(map(str, stream.stored(1)[stream.main].shape[1:])) or 'single numbers'
  path = f' {paths.shown(stream.path)}' if stream.path else ''
  read = stream.kinds.get(stream.main, stream)  # a column has settings of its own
  part = f', part {part}' if (part := getattr(read, 'part', '')) else ''
  crop = f'{part}, crop {read.crop}' if getattr(read, 'crop', 0) else part
  crop += f', {kind} filter' if (kind := getattr(read, 'filter', 'bilinear')) != 'bilinear' else ''
  return f'{stream.name}{path} {stream.split} ({len(stream.open())}), {shape}{crop}'


def learnt_from(streams: Mapping[str, Stream], name: str) -> tuple[Stream, ...] | None:
  """The streams that give a game examples of one set, for `examples`; None if one of them gives all of it.

  Args:
    streams: of the game's stage. Those of one name, path and split read one set.
    name: the stream whose set it is.
  """
  of = lambda stream: (stream.name, stream.path, stream.split)
  found = tuple(stream for stream in streams.values() if of(stream) == of(streams[name]))
  return found if all(stream.per_class for stream in found) else None


def examples(
  stream: Stream, count: int, start: int = 0, parts: Sequence[Stream] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
  """Some examples of a set, in the order of evaluations, and their labels.

  Args:
    stream: the stream of the set.
    count: the largest number of examples; there are fewer if they need more than KEPT_BYTES.
    start: the position of the first.
    parts: streams of the set with `per_class`: only examples that one of them has. None for all.

  Returns:
    (N, ...) uint8 pictures or float32, and (N,) int32 or None.
  """
  source = stream.open()
  size = np.asarray(source[0][stream.main]).nbytes
  among = np.arange(len(source)) if parts is None else _any_of(parts)
  chosen = among[_shuffled(len(among))][start : start + min(count, max(KEPT_BYTES // size, 1))]
  if isinstance(source, sources.ArraySource):
    fields = {name: value[chosen] for name, value in source.arrays.items()}
  else:
    part = sources.into_memory(sources.Subset(source, chosen), 1 << 62)
    assert part is not None  # the limit is larger than any set
    fields = part.arrays
  return as_examples(stream, fields[stream.main], chosen), fields.get('label')


#: Settings of a column of pictures that a title or a fingerprint has, or that evaluations leave out.
ORDINARY = ('name', 'column', 'together', 'size', 'channels', 'crop', 'part', 'range')
#: Pictures that are prepared at a time.
BLOCK = 1000
#: `examples` returns at most so many bytes.
KEPT_BYTES = 256 << 20


def prepared(stream: Stream, fields: Mapping[str, np.ndarray], numbers: np.ndarray) -> dict[str, Any]:
  """Examples as losses see them. What is drawn for one (a hole, noise, a caption) follows from its number alone.

  Args:
    stream: of the set, without flips and random windows.
    fields: {field: (N, ...)} as the source returns them.
    numbers: (N,) of the examples in the set.
  """
  if not stream.columns:  # nothing is drawn
    return stream.prepare(dict(fields), jax.random.key(0))
  keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(0)))(jnp.asarray(numbers))

  def one(fields: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
    found = stream.prepare({name: value[None] for name, value in fields.items()}, key)
    return {name: value[0] for name, value in found.items()}

  return jax.vmap(one)({name: jnp.asarray(value) for name, value in fields.items()}, keys)


def as_examples(stream: Stream, stored: np.ndarray, numbers: np.ndarray) -> np.ndarray:
  """Stored examples in the form that metrics take: uint8 pictures, or float32 in the stream's range.

  Args:
    stream: of the set.
    stored: (N, ...), the main field as the source returns it.
    numbers: (N,) of the examples in the set.
  """
  main = stream.main
  alone = dataclasses.replace(stream, columns={main: stream.columns[main]}, classes=0) if stream.columns else stream
  of = lambda at: prepared(alone, {main: stored[at]}, numbers[at])[main]
  if stream.pictures:
    kind = stream.kinds[main] if stream.columns else None
    if kind is None or type(kind).prepare is Picture.prepare:
      return stored
    # Pictures that are made worse, or otherwise not what is stored. A block at a time, for they become floats.
    blocks = [slice(i, i + BLOCK) for i in range(0, len(stored), BLOCK)]
    return np.concatenate([to_uint8(of(at), kind.range) for at in blocks])
  if stream.columns:
    return np.asarray(of(slice(None)), np.float32)
  if stored.dtype != np.uint8:
    return stored
  low, high = stream.range
  return stored.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)
