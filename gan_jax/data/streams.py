"""Streams: what feeds the steps. Each has a source, an order, a batch size; it is drawn once per move that reads it.

A set that fits is kept on the device as stored (uint8) and gathered inside the step; a larger one is read and decoded
by grain's threads on the host. Both give the same examples in the same order.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.build import check_call
from gan_jax.data import order, sources, transforms
from gan_jax.errors import UserError

RESIDENT_BYTES = 1 << 30
READ_THREADS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
  """The settings of one stream: config.data, or config.data.NAME for each of several.

  Attributes:
    name: a built-in set (digits, ring, grid, spirals), a TFDS name, or the dotted name of a function of yours.
    split: of the set.
    size: height and width that pictures are cropped and resized to, pixels.
    channels: 1 for grey, 3 for colour.
    classes: the number of classes; 0 reads no labels.
    range: where pixel values 0 and 255 go.
    flip: whether pictures are mirrored left to right half of the time.
    batch_size: examples per move; None for config.batch_size.
    seed: added to config.seed for the order.
    resident: keep the set on the device; None to decide by its size (1 GiB).
  """

  name: str
  split: str = 'train'
  size: int = 32
  channels: int = 3
  classes: int = 0
  range: tuple[float, float] = (-1.0, 1.0)
  flip: bool = False
  batch_size: int | None = None
  seed: int = 0
  resident: bool | None = None

  def fields(self, count: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What one move's batch of this stream holds, once prepared."""
    shape = sources.example_shape(self.name, self.size, self.channels)
    fields = {'image': jax.ShapeDtypeStruct((count, *shape), jnp.float32)}
    if self.classes:
      fields['label'] = jax.ShapeDtypeStruct((count,), jnp.int32)
    return fields

  def stored(self, count: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The same before `prepare`, as the source stores it."""
    dtype = sources.example_dtype(self.name)
    return {**self.fields(count), 'image': jax.ShapeDtypeStruct(self.fields(count)['image'].shape, dtype)}

  def open(self) -> sources.Source:
    """The source.

    Raises:
      UserError: it is not there, or lacks what is asked of it.
    """
    source = sources.open_source(self.name, self.split, self.size, self.channels, self.classes > 0)
    if len(source) == 0:
      raise UserError(f'data set {self.name!r} has no examples in split {self.split!r}')
    return source


def streams_of(data: Mapping[str, Any], batch_size: int) -> dict[str, Stream]:
  """The streams that config.data describes: one called 'images' if it has a name, else one per entry.

  >>> sorted(streams_of({'a': {'name': 'digits'}, 'b': {'name': 'digits'}}, 64))
  ['a', 'b']
  """
  entries = {'images': data} if 'name' in data else dict(data)
  streams = {}
  for name, settings in entries.items():
    where = 'config.data' if 'name' in data else f'config.data.{name}'
    if not isinstance(settings, Mapping):
      raise UserError(f'{where}={settings!r} is not a stream: give it a name, such as name=digits')
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
    check_call(Stream, settings, where)
    stream = Stream(**settings)
    streams[name] = dataclasses.replace(stream, batch_size=stream.batch_size or batch_size)
    for key, least in (('size', 1), ('batch_size', 1), ('classes', 0)):
      if getattr(streams[name], key) < least:
        raise UserError(f'{where}.{key}={getattr(streams[name], key)} must be at least {least}')
    if streams[name].channels not in (1, 3):
      raise UserError(f'{where}.channels={stream.channels} must be 1 (grey) or 3 (colour)')
    if not stream.range[0] < stream.range[1]:
      raise UserError(f'{where}.range={stream.range} must rise, such as (-1.0, 1.0)')
  return streams


class _Ordered:
  """The endless stream of epochs as a random-access source for grain; positions count from `start`."""

  def __init__(self, source: sources.Source, seed: int, stream: str, start: int):
    self._source, self._seed, self._stream, self._start = source, seed, stream, start

  def __len__(self) -> int:
    return 1 << 48

  def __getitem__(self, position: int) -> dict[str, np.ndarray]:
    index = order.indices(self._seed, self._stream, len(self._source), self._start + int(position), 1)[0]
    return self._source[index]


class Feed:
  """Feeds steps: each call of `next` gives the examples of one step, for all streams.

  Args:
    streams: {name: settings}.
    moves: {name: moves per step that read the stream}.
    seed: of the run.
    place: puts a tree of arrays (moves, B, ...) on the devices, sharded over B.
    replicate: puts a tree of arrays on the devices, whole on each.
    position: {name: examples drawn before}, as in a checkpoint.
  """

  def __init__(self, streams, moves, seed, place, replicate, position=None):
    self.position = {name: int((position or {}).get(name, 0)) for name in streams}
    self.sizes: dict[str, int] = {}
    self._streams, self._moves, self._place = streams, moves, place
    self._seeds = {name: seed + stream.seed for name, stream in streams.items()}
    self._readers: dict[str, Iterator[dict[str, np.ndarray]]] = {}
    store = {}
    for name, stream in streams.items():
      source = stream.open()
      self.sizes[name] = len(source)
      arrays = (
        None
        if stream.resident is False
        else sources.into_memory(source, RESIDENT_BYTES if stream.resident is None else 1 << 62)
      )
      if arrays is not None:
        store[name] = arrays.arrays
      elif moves[name]:
        self._readers[name] = self._reader(name, source)
    self._store = replicate(store)

  def _reader(self, name: str, source: sources.Source) -> Iterator[dict[str, np.ndarray]]:
    import grain

    ordered = _Ordered(source, self._seeds[name], name, self.position[name])
    examples = grain.MapDataset.source(ordered).batch(self._moves[name] * self._streams[name].batch_size)
    return iter(examples.to_iter_dataset(grain.ReadOptions(num_threads=READ_THREADS, prefetch_buffer_size=4)))

  def __iter__(self):
    return self

  def __next__(self) -> dict[str, Any]:
    drawn = {}
    for name, stream in self._streams.items():
      moves, batch = self._moves[name], stream.batch_size
      if not moves:
        continue
      if name in self._readers:
        fields = next(self._readers[name])
      else:
        chosen = order.indices(self._seeds[name], name, self.sizes[name], self.position[name], moves * batch)
        fields = {'index': chosen.astype(np.int32)}
      drawn[name] = {k: v.reshape(moves, batch, *v.shape[1:]) for k, v in fields.items()}
      self.position[name] += moves * batch
    return {'moves': self._place(drawn), 'store': self._store}


def make_prepare(streams: Mapping[str, Stream]):
  """prepare(feed, stream, move, key) for `game.make_step`, of what `Feed` gives."""

  def prepare(feed, name, move, key):
    fields = jax.tree.map(lambda x: x[move], feed['moves'][name])
    if 'index' in fields:
      fields = {k: jnp.take(v, fields['index'], axis=0) for k, v in feed['store'][name].items()}
    return transforms.to_float(fields, streams[name].range, streams[name].flip, key)

  return prepare
