"""What samples are asked to be: `--condition Blond_Hair=1,Male=0`, `Run.sample(condition={'text': 'a red shoe'})`.

A condition is a part of a game's latents (a class, an attribute, a vector), or a column of a stream that it reads when
it samples (a class, attributes, a number, a text, an embedding). It replaces what is drawn, in every sample.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.sampled import asked_as
from gan_jax.data import columns
from gan_jax.data.sources.columned import fitted_kinds
from gan_jax.data.streams import Stream
from gan_jax.latents import distributions as latents_lib
from gan_jax.latents import paths
from gan_jax.nets.layers.text import word_shares
from gan_jax.runs.stages import Stage
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.reading import Read

#: {name: value}, as `parsed` gives it, with values as text or as Python has them.
Condition = Mapping[str, Any]


def parsed(texts: Sequence[str]) -> dict[str, str]:
  """The values of --condition: NAME=VALUE, or several of them with commas between.

  >>> parsed(['Blond_Hair=1,Male=0', 'text=a red, small shoe'])
  {'Blond_Hair': '1', 'Male': '0', 'text': 'a red, small shoe'}
  """
  found: dict[str, str] = {}
  for text in texts:
    parts = text.split(',')
    # A comma that no NAME= follows belongs to the value, such as a text.
    whole = all('=' in part for part in parts)
    for part in parts if whole else [text]:
      name, equal, value = part.partition('=')
      if not (name.strip() and equal and value.strip()):
        raise UserError(f'--condition={text} must be NAME=VALUE, such as Male=1, or several with commas between')
      if found.setdefault(name.strip(), value.strip()) != value.strip():
        raise UserError(f'--condition asks for {name.strip()}={found[name.strip()]} and for {value.strip()}: give one')
  return found


class Asked(NamedTuple):
  """What one condition takes.

  Attributes:
    kind: 'class', 'attribute' (0 or 1), 'number', 'text' or 'numbers'.
    choices: of a class, their names; its number where it has no name.
    size: how many numbers; 0 where the data say.
  """

  kind: str
  choices: tuple[str, ...] = ()
  size: int = 0


def known(stage: Stage, read: Read | None = None) -> list[str]:
  """The names that a stage's game can be asked for."""
  return list(asked(stage, read))


def asked(stage: Stage, read: Read | None = None) -> dict[str, Asked]:
  """{name that a stage's game can be asked for: what it takes}, for a page that shows them.

  Args:
    stage: with the game and the streams.
    read: what the game reads when it samples: other columns are no condition. None if it is not known.
  """
  found: dict[str, Asked] = {}
  for name, part in _parts(stage.game.latents).items():
    distribution = stage.game.latents[part]
    if isinstance(distribution, latents_lib.Attributes):
      found[name] = Asked('attribute')
    elif isinstance(distribution, latents_lib.Label):
      found[name] = _of_kind(_classes(stage, part, distribution))
    else:
      found[name] = Asked('numbers', size=int(np.prod(_drawn(distribution).shape[1:])))
  for key, stream in _streams(stage).items():
    for field, kind in _read_kinds(stage, key, stream, read).items():
      if isinstance(kind, columns.Attributes):
        found.update((name, Asked('attribute')) for name in kind.names)
      elif _askable(kind):
        found[field] = _of_kind(kind)
  return found


def _of_kind(kind: Any) -> Asked:
  if isinstance(kind, columns.Label):
    return Asked('class', tuple(map(str, kind.classes if isinstance(kind.classes, tuple) else range(kind.count))))
  return Asked(
    'number' if isinstance(kind, columns.Number) else 'text' if isinstance(kind, columns.Text) else 'numbers'
  )


def _classes(stage: Stage, part: str, distribution: latents_lib.Label) -> columns.Label:
  """The classes of a part of the latents: with names, if the data have a column of that name and as many classes."""
  kind = None
  with contextlib.suppress(UserError):  # without the data a class has its number
    kind = _kinds(next(iter(stage.streams.values()))).get(part)
  if isinstance(kind, columns.Label) and kind.count == distribution.classes:
    return kind
  return columns.Label(classes=distribution.classes)


def apply(
  stage: Stage, condition: Condition, latents: Any, inputs: Any, count: int = 0, read: Read | None = None
) -> tuple[Any, Any]:
  """Latents and inputs with the conditions in the place of what was drawn.

  Args:
    stage: with the game and the streams.
    condition: {name: value}.
    latents: (count, ...), or a dict of such; None of games that draw none.
    inputs: {stream: {field: (count, ...)}}; None of games that read none.
    count: how many, where the inputs may have no field; by default as many as these have.
    read: as in `asked`.

  Raises:
    UserError: the game has no such condition, or the value is none.
  """
  if isinstance(latents, Mapping):
    latents = dict(latents)
  inputs = {name: dict(fields) for name, fields in inputs.items()} if inputs else inputs
  given = {name: set(fields) for name, fields in inputs.items()} if inputs else {}
  named = asked_as(stage.game)
  count = count or next((len(x) for fields in (inputs or {}).values() for x in fields.values()), 0)
  for name, value in condition.items():
    if name in _parts(stage.game.latents):
      _ask_latents(stage, name, value, latents)
    elif not any(
      _ask_input(stream, _read_kinds(stage, key, stream, read), name, value, inputs[key], count, named)
      for key, stream in _streams(stage).items()
    ):
      title = type(stage.game).__name__
      if not known(stage, read):
        raise UserError(f'condition {name}={value!r}: {title} takes no condition, leave it out')
      raise one_of(f'condition of {title}', name, known(stage, read))
  for key in given:
    for field in inputs[key].keys() - given[key]:
      kind = _kinds(stage.streams[key]).get(field)
      if isinstance(kind, columns.Attributes) and np.isnan(inputs[key][field]).any():
        names = ', '.join(kind.names)
        raise UserError(f'condition: the other {field!r} are not known here, give a value for each of {names}')
  return latents, inputs


def between(stage: Stage, first: tuple[Any, Any], last: tuple[Any, Any], steps: int) -> tuple[Any, Any]:
  """Latents and inputs on the way from one condition to another, which differ in what was asked for.

  Args:
    stage: with the game and the streams.
    first: (latents, inputs) as `apply` gives them.
    last: the same with the other condition.
    steps: points on the way of each sample, both ends included.

  Returns:
    (latents, inputs) of count * steps rows, those of a sample next to each other. Numbers move in equal steps, classes
    (B,) become shares (B, classes), and texts shares of their words (B, tokens), as `nets.layers.text.word_shares`.
  """
  latents, inputs = first
  if isinstance(latents, Mapping):
    counts = {part: getattr(kind, 'classes', 0) for part, kind in stage.game.latents.items()}
    ways = {part: functools.partial(_way, steps=steps, count=count) for part, count in counts.items()}
    latents = {part: jax.tree.map(ways[part], x, last[0][part]) for part, x in latents.items()}
  else:
    latents = paths.repeated(latents, steps)
  for key, stream in _streams(stage).items():
    kinds, other = _kinds(stream), last[1][key]
    counts = {name: getattr(kind, 'tokens', getattr(kind, 'count', 0)) for name, kind in kinds.items()}
    # What is asked for may have a name of its own beside what the example is.
    counts |= {asked: counts[name] for name, asked in asked_as(stage.game).items() if name in counts}
    moved = {name: _way(x, other[name], steps, counts.get(name, 0)) for name, x in inputs[key].items()}
    inputs = {**inputs, key: moved}
  return latents, inputs


def same(first: Any, last: Any) -> bool:
  """Whether two arrays are equal; an entry that nobody asked for, NaN, equals another."""
  first, last = np.asarray(first), np.asarray(last)
  return bool(np.array_equal(first, last, equal_nan=np.issubdtype(first.dtype, np.floating)))


def _way(first: Any, last: Any, steps: int, count: int) -> Any:
  """`count`: of the classes or tokens that integers stand for."""
  first, last = np.asarray(first), np.asarray(last)
  if same(first, last):
    return paths.repeated(first, steps)
  if np.issubdtype(first.dtype, np.integer):
    if not count:
      raise UserError('the conditions are whole numbers whose count is not known: there is no way between them')
    shares = (lambda x: np.eye(count, dtype=np.float32)[x]) if first.ndim == 1 else lambda x: word_shares(x, count)
    first, last = (np.asarray(shares(x)) for x in (first, last))
  return paths.walk(first, last, steps, kind='linear')


def _parts(latents: Any) -> dict[str, str]:
  """{name that can be asked for: the part of the latents that has it}; those of several arrays cannot be."""
  found: dict[str, str] = {}
  for part, distribution in latents.items() if isinstance(latents, Mapping) else ():
    if isinstance(distribution, latents_lib.Attributes):
      found.update((name, part) for name in distribution.names)
    elif part != 'z' and isinstance(_drawn(distribution), jax.ShapeDtypeStruct):
      found[part] = part
  return found


def _drawn(distribution: latents_lib.Latents) -> Any:
  """The shape of one example, (1, ...)."""
  return jax.eval_shape(lambda: latents_lib.draw(distribution, jax.random.key(0), 1))


def _ask_latents(stage: Stage, name: str, value: Any, latents: dict[str, Any]) -> None:
  part = _parts(stage.game.latents)[name]
  distribution, drawn = stage.game.latents[part], latents[part]
  if isinstance(distribution, latents_lib.Attributes):
    latents[part] = _with_entry(distribution.names, name, value, drawn)
    return
  if isinstance(distribution, latents_lib.Label):
    latents[part] = np.full(drawn.shape, _stored(_classes(stage, part, distribution), name, value), drawn.dtype)
    return
  vector = _stored(columns.Array(), name, _numbers(value))
  if vector.size != np.prod(drawn.shape[1:]):
    raise UserError(f'condition {name}={value!r} has {vector.size} numbers, it takes {int(np.prod(drawn.shape[1:]))}')
  latents[part] = np.broadcast_to(vector.reshape(drawn.shape[1:]), drawn.shape).astype(drawn.dtype)


def _read_kinds(stage: Stage, key: str, stream: Stream, read: Read | None) -> dict[str, Any]:
  """The kinds of those columns of a stream that the game reads."""
  named = asked_as(stage.game)
  kinds = _kinds(stream).items()
  return {f: kind for f, kind in kinds if read is None or (key, named.get(f, f)) in read.fields}


def _ask_input(
  stream: Stream,
  kinds: Mapping[str, Any],
  name: str,
  value: Any,
  fields: dict[str, Any],
  count: int,
  named: Mapping[str, str],
) -> bool:
  """Whether a stream has the condition, which is then in its fields, by the names that the game has for it."""
  for field, kind in kinds.items():
    if isinstance(kind, columns.Attributes) and name in kind.names:
      unknown = np.full((count, len(kind.names)), np.nan, np.float32)
      filled = named.get(field, field)
      fields[filled] = _with_entry(kind.names, name, value, fields.get(filled, unknown))
      return True
    if field == name and _askable(kind):
      plain = isinstance(kind, columns.Array | columns.Embedding)
      stored = _stored(kind, name, _numbers(value) if plain else value)
      prepared = np.asarray(kind.prepare(stored[None], jax.random.key(0)))[0]
      form = fields[field] if field in fields else _form(stream, field, prepared)
      if prepared.shape != form.shape[1:]:
        raise UserError(f'condition {name} has the shape {prepared.shape}, the data have {form.shape[1:]}')
      fields[named.get(field, field)] = np.broadcast_to(prepared, (count, *prepared.shape)).astype(form.dtype)
      return True
  return False


def _form(stream: Stream, field: str, value: np.ndarray) -> Any:
  """Shape and dtype of a field of one example, as the data or the run's notes have them; of a value where none say."""
  with contextlib.suppress(UserError):
    return stream.fields(1)[field]
  return value[None]


def _askable(kind: Any) -> bool:
  return isinstance(kind, columns.Label | columns.Number | columns.Text | columns.Array | columns.Embedding)


def _with_entry(names: Sequence[str], name: str, value: Any, rows: np.ndarray) -> np.ndarray:
  rows = np.array(rows)
  rows[:, list(names).index(name)] = _stored(columns.Attributes(names=(name,)), name, [value])[0]
  return rows


def _stored(kind: Any, name: str, value: Any) -> np.ndarray:
  names = () if not isinstance(kind, columns.Label) or isinstance(kind.classes, int) else kind.classes
  if names and str(value).isdecimal() and not any(name.isdecimal() for name in names):
    kind = columns.Label(classes=len(names))  # a class that has a name has a number, too
  try:
    stored: np.ndarray = np.asarray(kind.stored(value))
  except UserError as error:
    raise UserError(f'condition {name} {error}') from error
  return stored


def _numbers(value: Any) -> Any:
  """Numbers with spaces between, of the command line, as a list."""
  if not isinstance(value, str):
    return value
  try:
    return [float(part) for part in value.split()]
  except ValueError as error:
    raise UserError(f'condition {value!r} must be numbers with spaces between') from error


def _streams(stage: Stage) -> dict[str, Stream]:
  return {name: stage.streams[name] for name in core.inputs_of(stage.game, stage.streams)}


def _kinds(stream: Stream) -> dict[str, Any]:
  """The kinds of a stream's columns; older runs did not note what these learnt, which the data then say."""
  if any(kind.unfitted for kind in stream.kinds.values()):
    try:
      return fitted_kinds(inputs_lib.input_stream(stream, stream.split))
    except UserError:
      if any(isinstance(kind, columns.Text) and kind.unfitted for kind in stream.kinds.values()):
        raise
      return stream.kinds  # the data are gone, and numbered classes learn nothing of them
  if not stream.columns and stream.classes:
    numbers = any(name.isdecimal() for name in stream.class_names)  # 3 means class 3, not the class of the name '3'
    return {'label': columns.Label(classes=stream.classes if numbers else stream.class_names or stream.classes)}
  return stream.kinds
