"""What a run learnt from its training set: words, names of classes, how many captions.

A run keeps it. Words of other data, or of data that changed, would have other numbers than those that its networks
know. Where the data are gone, texts and classes can still be asked for by name.
"""

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence
from typing import Any

from gan_jax.base.errors import UserError
from gan_jax.data.sources.columned import learnt
from gan_jax.data.sources.folder import class_names_in
from gan_jax.data.streams import Stream

#: The field of what a stream without columns learnt: the names of its classes.
WHOLE = ''
#: {(number of the stage, name of the stream): {field: (settings of the column as JSON, those that it learnt)}}
Learnt = Mapping[tuple[int, str], Mapping[str, tuple[str, Mapping[str, Any]]]]
NOTHING: Learnt = types.MappingProxyType({})


def applied(streams: Mapping[str, Stream], stage: int, known: Learnt) -> dict[str, Stream]:
  """The streams of a stage, with columns that know it; those that now have other settings do not."""
  return {name: _with(stream, known.get((stage, name), {})) for name, stream in streams.items()}


def completed(streams: Mapping[int, Mapping[str, Stream]], known: Learnt) -> Learnt:
  """What was known, and what the columns of the stages' streams learn from the data in addition.

  Args:
    streams: {number of the stage: its streams}, as the config has them.
    known: what a run has noted; of columns that now have other settings it is left out.

  Raises:
    UserError: there is something to learn, and the data cannot be opened.
  """
  by_stream: dict[Stream, dict[str, Any]] = {}  # stages mostly read the same
  found: dict[tuple[int, str], Mapping[str, tuple[str, Mapping[str, Any]]]] = {}
  for number, own in streams.items():
    for name, stream in own.items():
      # A stage that is new has the words of those before it, and the classes if it reads the same pictures.
      before = [
        {field: x for field, x in found.get((i, name), {}).items() if field != WHOLE or _alike(streams[i], own, name)}
        for i in range(number)
      ]
      old = {
        field: x
        for noted in (*before, known.get((number, name), {}))
        for field, x in noted.items()
        if x[0] == _text(stream, field)
      }
      more = _with(stream, old)
      if more not in by_stream:
        names = old[WHOLE][1]['class_names'] if WHOLE in old else ()
        by_stream[more] = {**learnt(more), **_classes(more, names)}
      new = {field: (_text(stream, field), settings) for field, settings in by_stream[more].items()}
      if old or new:
        found[number, name] = {**old, **new}
  return found


def words(runs: Mapping[str, Learnt], streams: Mapping[int, Mapping[str, Stream]]) -> Learnt:
  """The vocabularies of runs: networks that begin with their weights must number words as they do.

  Args:
    runs: {run: what it learnt}.
    streams: {number of the stage: its streams} of the new run; columns with other settings learn anew.

  Raises:
    UserError: two runs know other words of one column.
  """
  found: dict[tuple[int, str], dict[str, tuple[str, Mapping[str, Any]]]] = {}
  whose: dict[tuple[tuple[int, str], str], str] = {}
  for run, known in runs.items():
    for of, own in known.items():
      stream = streams.get(of[0], {}).get(of[1])
      for field, (text, settings) in own.items():
        if 'vocabulary' not in settings or stream is None or text != _text(stream, field):
          continue
        _, first = found.setdefault(of, {}).setdefault(field, (text, settings))
        other = whose.setdefault((of, field), run)
        if first['vocabulary'] != settings['vocabulary']:
          raise UserError(
            f'config.init_from: {other} and {run} know other words of the column {field!r} of {of[1]!r}: take all '
            'players from one of them'
          )
  return found


def _with(stream: Stream, known: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Stream:
  own = {field: found for field, (text, found) in known.items() if _text(stream, field) == text}
  if WHOLE in own:
    names = tuple(own[WHOLE]['class_names'])
    return dataclasses.replace(stream, class_names=names) if len(names) == stream.classes else stream
  columns = {field: {**column, **own.get(field, {})} for field, column in stream.columns.items()}
  return dataclasses.replace(stream, columns=columns) if own else stream


def _classes(stream: Stream, known: Sequence[str]) -> dict[str, dict[str, Any]]:
  """The names of the classes of a folder without columns, new ones behind those that are known."""
  if stream.name != 'folder' or stream.columns or stream.class_names or not stream.classes:
    return {}
  names = class_names_in(stream)
  names = (*known, *(name for name in names if name not in known))
  return {WHOLE: {'class_names': list(names)}} if len(names) == stream.classes else {}


def _alike(streams: Mapping[str, Stream], others: Mapping[str, Stream], name: str) -> bool:
  """Whether two stages read the same split of the same folder."""
  return (streams[name].path, streams[name].split) == (others[name].path, others[name].split)


def _text(stream: Stream, field: str) -> str:
  """The settings that say what is learnt; those of a column, or of a stream without columns."""
  plain = {} if stream.columns else {'class_names': stream.class_names}
  settings = stream.columns.get(field, {}) if field != WHOLE else plain
  return json.dumps(settings, sort_keys=True, default=lambda x: dict(x) if isinstance(x, Mapping) else list(x))
