"""What the columns of a run learnt from its training set: words, names of classes, how many captions.

A run keeps it. Words of other data, or of data that changed, would have other numbers than those that its networks
know. Where the data are gone, texts and classes can still be asked for by name.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from gan_jax.data.sources.columned import learnt
from gan_jax.data.streams import Stream
from gan_jax.runs.stages import Stage

#: {(number of the stage, name of the stream): {field: (settings of the column as JSON, those that it learnt)}}
Learnt = Mapping[tuple[int, str], Mapping[str, tuple[str, Mapping[str, Any]]]]


def from_data(stages: Iterable[Stage]) -> Learnt:
  """What the columns of the stages' streams learn from the data; nothing where there is nothing to learn.

  Raises:
    UserError: the data cannot be opened.
  """
  by_stream: dict[Stream, Mapping[str, tuple[str, Mapping[str, Any]]]] = {}  # stages mostly read the same
  found = {}
  for stage in stages:
    for name, stream in stage.streams.items():
      if stream not in by_stream:
        by_stream[stream] = {
          field: (_text(stream.columns[field]), settings) for field, settings in learnt(stream).items()
        }
      if by_stream[stream]:
        found[stage.number, name] = by_stream[stream]
  return found


def applied(stages: Iterable[Stage], known: Learnt) -> tuple[Stage, ...]:
  """The stages, with streams whose columns know it; columns that now have other settings learn anew."""
  return tuple(
    stage._replace(streams={n: _with(stream, known.get((stage.number, n), {})) for n, stream in stage.streams.items()})
    for stage in stages
  )


def _with(stream: Stream, known: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Stream:
  own = {field: found for field, (text, found) in known.items() if _text(stream.columns.get(field)) == text}
  columns = {field: {**column, **own.get(field, {})} for field, column in stream.columns.items()}
  return dataclasses.replace(stream, columns=columns) if own else stream


def _text(column: Mapping[str, Any] | None) -> str:
  return json.dumps(dict(column or {}), sort_keys=True, default=list)
