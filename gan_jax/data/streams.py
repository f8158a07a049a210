"""A stream: the settings of a set, its source, and what is done with its examples. `data.feed` draws batches of it."""

import dataclasses
import functools
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from gan_jax.base.calls import check_call
from gan_jax.base.errors import UserError, one_of
from gan_jax.data import columns, sources, transforms
from gan_jax.data.text import Text, captions_in, chosen

LEAST = {
  **dict.fromkeys(('size', 'batch_size'), 1),
  **dict.fromkeys(('classes', 'crop', 'random_crop', 'per_class', 'workers'), 0),
}
WITH_PATH = ('folder', 'npz', 'lines', 'midi')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
  """The settings of one stream: config.data, or config.data.NAME for each of several.

  Attributes:
    name: a built-in set (digits, ring, grid, line, spirals, oracle/5000x20, melodies), 'folder', 'npz', 'lines' or
      'midi' (with `path`), a TFDS name, or the dotted name of a function of yours that takes this `Stream` and returns
      a source.
    path: the folder of pictures or of MIDI files, the .npz file, or the text file; '{split}' in a file's path is
      replaced by the split.
    links: a folder beside `path`: links in `path` that lead into it are followed. Others that leave `path` are not.
    split: the split of the set.
    size: height and width of pictures after cropping and resizing, pixels.
    crop: side of the central square that is cut from a picture before it is resized, pixels; 0 for the largest square.
    random_crop: resize to this side instead, and cut a random square of `size` in every draw; 0 for none.
    channels: 1 for grey, 3 for colour.
    classes: the number of classes; 0 to read no labels.
    class_names: the class subfolders of a folder of pictures, in the order of their numbers; () for those of its
      training set in the order of the alphabet, which a run remembers.
    tags: one row per class, with 1 for each tag that the class has and 0 for the others; examples then have 'tags' as
      well as 'label'.
    per_class: keep only so many examples of each class; 0 for all.
    per_class_seed: the seed of their choice.
    range: the values of black and white in the inputs of networks.
    values: the stored values of black and white; values outside are clipped. None for the scale of the type (8 bits: 0
      and 255, 16 bits: 0 and 65535). Pictures of floats or of other integers in a folder need it. Without it, arrays of
      floats keep their values.
    background: red, green and blue (0 to 255) of the colour under transparent parts of pictures.
    filter: how pictures are resized: 'bilinear'; 'box' for the mean of what a pixel covers, so that pictures of half
      the size are means of 2 x 2 pixels; 'nearest' makes no new values.
    flip: whether to mirror half of the pictures left to right.
    batch_size: examples per move; None or 0 for config.batch_size.
    seed: added to config.seed for the order.
    weights: the field among `columns` that says how often an example is drawn: a Number, in proportion to it; a Label,
      each class as often as the others. '' for each example once an epoch.
    resident: keep the set on the device; None to decide by its size (1 GiB).
    workers: processes that read and decode a set that is not resident; 0 for threads of this process.
    unread: (field, settings) of columns as below that this view of the set does not read, but by which its rows are
      chosen, such as those of pairs whose two pictures are sound. Evaluations set it.
    columns: {field: {'name': kind of `data.columns`, 'column': of the source (the field's name by default), 'together':
      False for windows, flips and captions apart from the other columns', settings of the kind}}. Empty: 'image', and
      'label' with classes.
  """

  name: str
  path: str = ''
  links: str = ''
  split: str = 'train'
  size: int = 32
  crop: int = 0
  random_crop: int = 0
  channels: int = 3
  classes: int = 0
  class_names: tuple[str, ...] = ()
  tags: tuple[tuple[int, ...], ...] = ()
  per_class: int = 0
  per_class_seed: int = 0
  range: tuple[float, float] = (-1.0, 1.0)
  values: tuple[float, float] | None = None
  background: tuple[int, int, int] = (0, 0, 0)
  filter: str = 'bilinear'
  flip: bool = False
  batch_size: int | None = None
  seed: int = 0
  weights: str = ''
  resident: bool | None = None
  workers: int = 0
  unread: tuple[tuple[str, Any], ...] = ()
  columns: Mapping[str, Any] = FrozenDict()

  def __post_init__(self) -> None:
    object.__setattr__(self, 'columns', _frozen(self.columns))
    label = self.columns.get('label')
    if isinstance(label, Mapping) and not self.classes:  # what is asked of labels elsewhere
      classes = label.get('classes', 0)
      object.__setattr__(self, 'classes', classes if isinstance(classes, int) else len(classes))

  @functools.cached_property
  def kinds(self) -> dict[str, Any]:
    """{field: kind} of the columns; {} without."""
    from gan_jax.data.sources.columned import kinds_of

    return kinds_of(self)

  @property
  def main(self) -> str:
    """The field that the stream is about: 'image', or the first column (of a config: by name) where there is none."""
    return 'image' if 'image' in self.columns or not self.columns else next(iter(self.columns))

  def range_of(self, field: str = '') -> tuple[float, float]:
    """(low, high) of a field as losses see it, the main one by default; the stream's where it has none of its own."""
    kind = self.kinds.get(field or self.main)
    return getattr(kind, 'range', None) or self.range

  @property
  def stored_size(self) -> int:
    """Height and width of pictures when the source returns them."""
    return self.random_crop or self.size

  def stored(self, count: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch of `count` examples as the source returns them."""
    return {k: jax.ShapeDtypeStruct((count, *s.shape), s.dtype) for k, s in sources.example(self).items()}

  def fields(self, count: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch of `count` examples after `prepare`, as a loss sees them."""
    return jax.eval_shape(lambda fields: self.prepare(fields, jax.random.key(0)), self.stored(count))

  def prepare(self, fields: dict[str, Any], key: jax.Array) -> dict[str, Any]:
    """Stored examples to what a loss sees: a random window, flips, float32 in the range."""
    if self.columns:
      return self._prepared(fields, key)
    image = fields['image']
    if self.random_crop and image.ndim == 4:
      image = transforms.random_window(image, self.size, jax.random.fold_in(key, 1))
    if self.tags:
      fields = {**fields, 'tags': jnp.asarray(self.tags, jnp.float32)[fields['label']]}
    return transforms.to_float({**fields, 'image': image}, self.range, self.flip, key)

  def _prepared(self, fields: dict[str, Any], key: jax.Array) -> dict[str, Any]:
    from gan_jax.data.sources.columned import is_together

    together = [field for field in self.kinds if is_together(self, field)]
    # An embedding is of the caption that is drawn, of the first text: there are no fewer of them than captions.
    texts = [f for f in together if isinstance(self.kinds[f], Text) and fields[f].ndim == 3]
    counts = captions_in(fields[texts[0]]) if texts else None
    prepared = {}
    for field, kind in self.kinds.items():
      own = key if field in together else jax.random.fold_in(key, zlib.crc32(field.encode()))
      if counts is not None and field in together and isinstance(kind, columns.Embedding) and fields[field].ndim == 3:
        prepared[field] = chosen(fields[field], counts, own)
      else:
        prepared[field] = kind.prepare(fields[field], own)
    if self.tags and 'label' in prepared:
      prepared['tags'] = jnp.asarray(self.tags, jnp.float32)[prepared['label']]
    return prepared

  @property
  def pictures(self) -> bool:
    """Whether the examples are stored as pictures of 8 bits, grey or colour."""
    if self.columns and not isinstance(self.kinds[self.main], columns.Picture):
      return False
    stored = self.stored(1)[self.main]
    return stored.dtype == np.uint8 and len(stored.shape) == 4 and stored.shape[-1] in (1, 3)

  @property
  def whole(self) -> 'Stream':
    """The same for all streams of one set, whatever the sizes in which they read it."""
    return dataclasses.replace(self, size=1, crop=0, random_crop=0, batch_size=None, flip=False, seed=0)

  def open(self) -> sources.Source:
    """Opens the source.

    Raises:
      UserError: the source does not exist, or it does not fit the settings.
    """
    return sources.open_source(self)


def _frozen(value: Any) -> Any:
  if hasattr(value, 'items'):  # a ConfigDict is no Mapping
    return FrozenDict({key: _frozen(entry) for key, entry in value.items()})
  return tuple(_frozen(entry) for entry in value) if isinstance(value, list | tuple) else value


def streams_of(data: Mapping[str, Any], batch_size: int) -> dict[str, Stream]:
  """The streams of config.data: if it has a name, one stream 'images'; else one per entry.

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
    _check(streams[name], where)
  return streams


def check_effect(stream: Stream, where: str) -> None:
  """Raises a UserError for settings that contradict others or have no effect; runs with them can still be loaded."""
  if stream.values is not None and sources.has_arrays(stream.name):
    raise UserError(f'{where}.values={stream.values} but {stream.name!r} has a fixed scale: leave it at None')
  if not stream.columns:
    return
  for field, kind in stream.kinds.items():
    if isinstance(kind, Text):
      kind.check_vocabulary(f'{where}.columns.{field}')
  label = stream.columns.get('label', {}).get('classes', 0)
  classes = label if isinstance(label, int) else len(label)
  if classes and stream.classes != classes:
    raise UserError(
      f'{where}.classes={stream.classes} but {where}.columns.label.classes has {classes}: set both to one number'
    )
  if stream.classes and 'label' not in stream.columns:
    raise UserError(f"{where}.classes={stream.classes} but no column is 'label': add it to {where}.columns, or set 0")
  for name in ('flip', 'random_crop'):
    if getattr(stream, name) and not any(isinstance(kind, columns.Picture) for kind in stream.kinds.values()):
      raise UserError(f'{where}.{name}={getattr(stream, name)} is of pictures, and no column is one: leave it out')


def _check(stream: Stream, where: str) -> None:
  if stream.filter not in transforms.FILTERS:
    raise one_of(f'filter in {where}.filter', stream.filter, transforms.FILTERS)
  if stream.columns:
    from gan_jax.data.sources.columned import kinds_of

    kinds_of(stream, where)
  if stream.weights:
    if not isinstance(stream.kinds.get(stream.weights), columns.Number | columns.Label):
      fields = [name for name, kind in stream.kinds.items() if isinstance(kind, columns.Number | columns.Label)]
      raise one_of(f'Number or Label among the columns, for {where}.weights', stream.weights, fields)
    if stream.per_class:
      raise UserError(f'{where}.weights={stream.weights!r} and per_class={stream.per_class}: choose one')
  for key, least in LEAST.items():
    if getattr(stream, key) < least:
      raise UserError(f'{where}.{key}={getattr(stream, key)} must be at least {least}')
  if stream.channels not in (1, 3):
    raise UserError(f'{where}.channels={stream.channels} must be 1 (grey) or 3 (colour)')
  if not stream.range[0] < stream.range[1]:
    raise UserError(f'{where}.range={stream.range} must rise, such as (-1.0, 1.0)')
  if stream.values is not None and not stream.values[0] < stream.values[1]:
    raise UserError(f'{where}.values={stream.values} must rise, such as (0.0, 1.0)')
  if stream.values is not None and (stream.name in sources.BUILT_IN or stream.name.startswith('stacked/')):
    raise UserError(f'{where}.values={stream.values} but {stream.name!r} has a fixed scale: leave it at None')
  if not all(0 <= level <= 255 for level in stream.background):
    raise UserError(f'{where}.background={stream.background} must be red, green and blue from 0 to 255')
  if stream.random_crop and stream.random_crop < stream.size:
    raise UserError(f'{where}.random_crop={stream.random_crop} is less than size={stream.size}: make it larger, or 0')
  if stream.per_class and not stream.classes:
    raise UserError(f'{where}.per_class={stream.per_class} needs labels: set {where}.classes')
  if stream.class_names and (stream.name != 'folder' or stream.columns or not stream.classes):
    raise UserError(
      f'{where}.class_names={stream.class_names} has an effect only with name=folder, classes and no columns: leave it '
      'out'
    )
  if stream.class_names and (len(set(stream.class_names)), len(stream.class_names)) != (stream.classes,) * 2:
    raise UserError(
      f'{where}.class_names={stream.class_names} must be {stream.classes} different names, as many as {where}.classes'
    )
  if stream.tags and (len(stream.tags) != stream.classes or len({len(row) for row in stream.tags}) != 1):
    raise UserError(
      f'{where}.tags has rows of lengths {[len(row) for row in stream.tags]} for classes={stream.classes}: give each '
      'class one row, and all rows one length'
    )
  if stream.path and stream.name not in WITH_PATH:
    raise UserError(
      f'{where}.path={stream.path!r} has an effect only with {where}.name={" or ".join(WITH_PATH)}: set the name, or '
      'leave out the path'
    )
