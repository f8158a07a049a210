"""What the columns of a run learnt from its training set: words, names of classes, how many captions.

A run keeps it. Words of other data, or of data that changed, would have other numbers than those that its networks
know. Where the data are gone, texts and classes can still be asked for by name.
"""

import dataclasses
import json
import types
from collections.abc import Mapping
from typing import Any

from gan_jax.data.sources.columned import learnt
from gan_jax.data.streams import Stream

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
      before = [found.get((i, name), {}) for i in range(number)]  # a stage that is new has the words of those before it
      old = {
        field: x
        for own in (*before, known.get((number, name), {}))
        for field, x in own.items()
        if x[0] == _text(stream.columns.get(field))
      }
      more = _with(stream, old)
      if more not in by_stream:
        by_stream[more] = learnt(more)
      new = {field: (_text(stream.columns[field]), settings) for field, settings in by_stream[more].items()}
      if old or new:
        found[number, name] = {**old, **new}
  return found


def words(known: Learnt) -> Learnt:
  """The vocabularies alone: networks that begin with the weights of a run must number words as it does."""
  return {
    of: {field: (text, found) for field, (text, found) in own.items() if 'vocabulary' in found}
    for of, own in known.items()
  }


def _with(stream: Stream, known: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Stream:
  own = {field: found for field, (text, found) in known.items() if _text(stream.columns.get(field)) == text}
  columns = {field: {**column, **own.get(field, {})} for field, column in stream.columns.items()}
  return dataclasses.replace(stream, columns=columns) if own else stream


def _text(column: Mapping[str, Any] | None) -> str:
  return json.dumps(column or {}, sort_keys=True, default=lambda x: dict(x) if isinstance(x, Mapping) else list(x))
