"""A source whose columns are stored as the kinds of a stream's `columns` say."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from gan_jax.base.calls import check_call, resolve
from gan_jax.base.errors import UserError, short
from gan_jax.data import columns as kinds_lib
from gan_jax.data import order
from gan_jax.data.pixels import decode
from gan_jax.data.sources import splits
from gan_jax.data.sources.raw import raw_source
from gan_jax.data.text import Text

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

HOME = 'gan_jax.data.columns'
#: Settings of a column that are not its kind's.
OURS = ('name', 'column', 'together')
#: Settings of a picture that are the stream's where it does not name them.
INHERITED = ('size', 'channels', 'crop', 'random_crop', 'range', 'flip', 'values', 'background', 'filter')


def kinds_of(stream: 'Stream', where: str = 'config.data', *, alike: bool = True) -> dict[str, Any]:
  """{field: kind} of a stream's columns, not fitted.

  Args:
    stream: with the columns.
    where: its settings are, for messages.
    alike: whether pictures that belong together must have flips and windows alike.

  Raises:
    UserError: an unknown kind or setting, or a value that does not fit.
  """
  from gan_jax.data import sources

  # Sets that are in memory are cropped before the columns read them.
  inherited = tuple(key for key in INHERITED if key != 'crop' or not sources.has_arrays(stream.name))
  kinds = {}
  for field, settings in stream.columns.items():
    here = f'{where}.columns.{field}'
    if not isinstance(settings, Mapping) or 'name' not in settings:
      raise UserError(f"{here}={settings!r} is no column: give it the name of a kind, such as {{'name': 'Picture'}}")
    if not isinstance(settings.get('column', ''), str):
      raise UserError(f'{here}.column={settings["column"]!r} must be the name of a column')
    if not isinstance(settings.get('together', True), bool):
      raise UserError(f'{here}.together={settings["together"]!r} must be True or False')
    target = resolve(settings['name'], HOME, f'{here}.name')
    keywords = {key: value for key, value in settings.items() if key not in OURS}
    if isinstance(target, type) and issubclass(target, kinds_lib.Picture):
      keywords = {**{key: getattr(stream, key) for key in inherited}, **keywords}
    check_call(target, keywords, here)
    try:
      kinds[field] = target(**keywords)
    except (TypeError, ValueError) as error:
      raise UserError(f'{here}.{error}' if isinstance(error, UserError) else f'{here}: {error}') from error
  told = {field: getattr(kind, 'captions', 0) for field, kind in kinds.items()}
  _check_captions(stream, kinds, {field: count for field, count in told.items() if count > 1}, where)
  together = {f: k for f, k in kinds.items() if isinstance(k, kinds_lib.Picture) and is_together(stream, f)}
  for field, kind in together.items() if alike else ():
    first, other = next(iter(together.items()))
    if (kind.flip, bool(kind.random_crop)) != (other.flip, bool(other.random_crop)):
      raise UserError(
        f'{where}.columns: {first!r} and {field!r} belong together but only one has flip or random_crop: give both the '
        'same, or one together=False'
      )
  return kinds


def _check_captions(stream: 'Stream', kinds: Mapping[str, Any], counts: Mapping[str, int], where: str) -> None:
  """One draw takes a caption and the vector of that caption, where there are several: there is one for each.

  Args:
    stream: with the columns.
    kinds: {field: kind}.
    counts: {field: the captions or vectors of an example}, of those that have several.
    where: the settings are, for messages.
  """
  together = [field for field in counts if is_together(stream, field)]
  for text in (field for field in together if isinstance(kinds[field], Text)):
    for field in (field for field in together if isinstance(kinds[field], kinds_lib.Embedding)):
      if counts[field] < counts[text]:
        raise UserError(
          f'{where}.columns: {text!r} has {counts[text]} captions, {field!r} has {counts[field]}, and one draw takes '
          'both: give them one number, or one of them together=False'
        )


def fitted_kinds(stream: 'Stream') -> dict[str, Any]:
  """{field: kind} of a stream's columns; the data are opened only where the training set has to complete one.

  Raises:
    UserError: it has to, and the data cannot be opened.
  """
  if not any(kind.unfitted for kind in stream.kinds.values()):
    return stream.kinds
  whole = dataclasses.replace(stream, per_class=0)  # of which a vocabulary is, and a number of captions
  return dict(whole.open().kinds)  # type: ignore[attr-defined]


def fitted_kind(stream: 'Stream', field: str) -> Any:
  """One of `fitted_kinds`."""
  kind = stream.kinds[field]
  return fitted_kinds(stream)[field] if kind.unfitted else kind


def learnt(stream: 'Stream') -> dict[str, dict[str, Any]]:
  """{field: the settings of its kind that the training set completes}, such as words; {} where there are none.

  Raises:
    UserError: there are some, and the data cannot be opened.
  """
  unfitted = {field: kind for field, kind in stream.kinds.items() if kind.unfitted}
  # Not `stream.open`, which would keep the data for the stream that has learnt nothing.
  fitted = columned(stream).kinds if unfitted else {}
  found: dict[str, dict[str, Any]] = {}
  for field, kind in unfitted.items():
    with contextlib.suppress(Exception):  # a kind of the user's own that is not what its settings say
      settings = _changed(kind, fitted[field])
      columns = {**stream.columns, field: {**stream.columns[field], **settings}}
      if settings and kinds_of(dataclasses.replace(stream, columns=columns))[field] == fitted[field]:
        found[field] = settings
  return found


def _changed(kind: Any, fitted: Any) -> dict[str, Any]:
  """The settings in which a kind differs when it is fitted, as a file keeps them."""
  if not dataclasses.is_dataclass(kind) or type(fitted) is not type(kind):
    return {}
  of = lambda kind: {setting.name: getattr(kind, setting.name) for setting in dataclasses.fields(kind) if setting.init}
  before, after = json.loads(json.dumps(of(kind))), json.loads(json.dumps(of(fitted)))
  return {name: value for name, value in after.items() if value != before[name]}


def is_together(stream: 'Stream', field: str) -> bool:
  """Whether a field takes its windows, flips and captions where the others take theirs."""
  return bool(stream.columns[field].get('together', True))


def columned(stream: 'Stream') -> 'Columned':
  """The source of a stream with columns.

  Raises:
    UserError: a column is not there, or the first example is not what its kind says.
  """
  kinds = kinds_of(stream, alike=False)  # the stream is what is stored, without its flips
  reads = {f: _reads(stream, f, kind) for f, kind in kinds.items()}
  wanted = sorted({column for columns in reads.values() for column in columns})
  labelled = 'label' in wanted
  # A set in memory is read as large as the largest picture that columns make of it.
  sides = [side for kind in kinds.values() if isinstance(kind, kinds_lib.Picture) for side in kind.stored_size]
  read = functools.partial(raw_source, wanted=wanted, labelled=labelled, side=max(sides, default=0))
  source = read(stream)
  if not len(source):
    raise UserError(f'data set {stream.name!r} has no examples in split {stream.split!r}')
  known = getattr(source, 'columns', None) or dict.fromkeys(source[0])
  for field, columns in reads.items():
    for column in columns:
      if column not in known:
        raise UserError(
          f'config.data.columns.{field}: {stream.path or stream.name} has no column {column!r}: it has '
          f'{", ".join(list(known)[:50])}'
        )
  unfitted = [field for field, kind in kinds.items() if kind.unfitted]
  if unfitted:
    whole = source
    with contextlib.suppress(UserError):  # there is no training set
      # Another split must number its classes and words as the training set does.
      training = 'train' if '+' in stream.split else splits.training(stream.split)
      if stream.split != training:
        whole = read(dataclasses.replace(stream, split=training))
    for field in unfitted:
      (column,) = reads[field]
      values = whole.column(column) if hasattr(whole, 'column') else [whole[i][column] for i in range(len(whole))]
      try:
        kinds[field] = kinds[field].fit(values)
      except UserError as error:
        raise UserError(f'config.data.columns.{field}: column {column!r} {error}') from error
  result = Columned(source, kinds, reads, stream.name, stream.values)
  # Numbers that the settings leave to the data.
  several = {field: len(value) for field, value in result[0].items() if value.ndim == 2}
  _check_captions(stream, kinds, several, 'config.data')
  return result


def _reads(stream: 'Stream', field: str, kind: Any) -> tuple[str, ...]:
  column = stream.columns[field].get('column', '')
  return (column,) if column else tuple(kind.names) or (field,)


class Columned:
  """Examples as the kinds store them.

  Attributes:
    source: with all columns.
    kinds: {field: kind}, fitted.
    files, notes: those of the source.
  """

  def __init__(
    self, source: Any, kinds: Mapping[str, Any], reads: Mapping[str, Sequence[str]], name: str, values: Any = None
  ):
    self.source, self.kinds, self._reads, self._name, self._values = source, dict(kinds), reads, name, values
    self.files, self.notes = getattr(source, 'files', ()), tuple(getattr(source, 'notes', ()))
    self._forms: dict[str, Any] = {}

  def __len__(self) -> int:
    return len(self.source)

  @property
  def identity(self) -> str:
    """What the source knows of all its columns, for a fingerprint; '' where it reads them one by one."""
    known: str = getattr(self.source, 'identity', '')
    return known

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    example = self.source[index]
    return {field: self._stored(field, example, index) for field in self.kinds}

  def labels(self) -> np.ndarray | None:
    """(N,) the field 'label', without decoding pictures where the source can."""
    return self.values('label') if 'label' in self.kinds else None

  def values(self, field: str) -> np.ndarray:
    """(N, ...) a field of one column of all examples, the others unread where the source can."""
    (column,) = self._reads[field]
    if not hasattr(self.source, 'column'):
      return np.array([self[i][field] for i in range(len(self))])
    values = self.source.column(column)
    return np.array([self._stored(field, {column: value}, i) for i, value in enumerate(values)])

  def shares(self, field: str) -> order.Shares:
    """How often each example is drawn: a number says it, of a class each class as often as the others.

    Raises:
      UserError: the numbers are no weights.
    """
    values = self.values(field)
    if isinstance(self.kinds[field], kinds_lib.Label):
      return order.Shares(1 / np.bincount(values)[values])
    try:
      return order.Shares(values)
    except UserError as error:
      raise UserError(f'config.data.weights={field!r}: {error}') from error

  def _stored(self, field: str, example: Mapping[str, Any], index: int) -> np.ndarray:
    columns = self._reads[field]
    absent = [column for column in columns if example.get(column) is None]
    of = f'{field!r} of example {index} of {self._name!r}{self._file(index)}'
    if absent:
      raise UserError(f'{of} has no {absent[0]!r}: give one, or remove the example')
    value = {c: example[c] for c in columns} if self.kinds[field].names == columns else example[columns[0]]
    try:
      if isinstance(value, Image.Image) and not isinstance(self.kinds[field], kinds_lib.Picture):
        value = decode(value, self._values, getattr(value, 'filename', '') or 'a picture')
      stored = self.kinds[field].stored(value)
    except UserError as error:
      raise UserError(f'{of} {error}') from error
    except Exception as error:  # a kind of the user's own
      raise UserError(f'{of} cannot be stored ({short(error)}): correct it, or the kind') from error
    form = stored.dtype, stored.shape
    if form != self._forms.setdefault(field, form):
      had, has = (f'{dtype} {shape}' for dtype, shape in (self._forms[field], form))
      raise UserError(f'{of} is {has}, another is {had}: give all one form')
    return stored

  def _file(self, index: int) -> str:
    return f' ({self.files[index]})' if self.files else ''
