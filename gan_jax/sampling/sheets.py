"""The pictures of what a game makes: one for each output, beside what it was made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL.Image import Image

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.data.streams import Stream
from gan_jax.data.transforms import to_uint8
from gan_jax.runs.stages import Stage
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling import pictures
from gan_jax.sampling.outputs import imitated, named

#: Examples below each other; more stand side by side.
ROWS = 16
#: Real points that are drawn behind generated ones.
POINTS = 1000


def sheets(
  stage: Stage, samples: Any, inputs: Any = None, *, real: bool = False, rows: int = ROWS, side: int = 192
) -> dict[str, Image]:
  """{name of what a game makes: its picture}, the main output's first; what has no picture is left out.

  Several outputs of single numbers are the columns of a table: one picture of their marginals beside the data's.
  A game's own `pictures(samples) -> {name: array or picture}` is asked first. An output that is made of an input stands
  beside it, with all others that are made of the same one, and its target, if it has one: an example a row.

  Args:
    stage: with the game and the streams.
    samples: that the game made, numpy.
    inputs: that they were made of, numpy.
    real: draw points of the data behind points.
    rows: examples below each other, of those that stand beside what they are made of; more stand side by side.
    side: width of a column of a table, pixels.
  """
  declared = core.outputs_of(stage.game, stage.streams)
  made: dict[str, Any] = dict(named(samples, declared))
  drawn: dict[str, Image] = {}
  if hasattr(stage.game, 'pictures'):
    made = dict(stage.game.pictures(samples))
  elif len(made) > 1 and all(np.ndim(array) == 1 for array in made.values()):
    return {'': pictures.marginals(made, _columns(stage, made), side=side)}
  for name, array in made.items():
    if isinstance(array, Image):
      drawn[name] = array
      continue
    array, output = np.asarray(array), imitated(stage, name)
    stream = stage.streams[output.stream]
    row = _row(stage, {n: v for n, v in made.items() if imitated(stage, n).of == output.of}, inputs, output)
    if row is not None:
      if next(iter(row.made)) == name:  # the others stand beside it
        drawn[name] = row.picture(rows)
      continue
    behind = _points(stream).get(output.field) if real and array.ndim == 2 else None
    picture = pictures.picture_of(
      array, stream.range_of(output.field), behind if behind is not None and behind.ndim == 2 else None
    )
    if picture is not None:
      drawn[name] = picture
  return drawn


def _points(stream: Stream) -> dict[str, np.ndarray]:
  """Points of the data; none where they are not there any more."""
  try:
    return inputs_lib.examples(stream, np.arange(POINTS))
  except UserError:
    return {}


def _columns(stage: Stage, made: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """The columns of a table that the data have; none where the data are not."""
  of = {name: imitated(stage, name) for name in made}
  try:
    found = {s: inputs_lib.examples(stage.streams[s], np.arange(POINTS)) for s in {o.stream for o in of.values()}}
  except UserError:
    return {}
  real = {name: found[output.stream].get(output.field) for name, output in of.items()}
  return {name: array for name, array in real.items() if array is not None and np.ndim(array) == 1}


class _Row:
  """{title: (N, H, W, C) uint8} that stand side by side; `made` are those that the game made."""

  def __init__(self, columns: Mapping[str, np.ndarray], made: Mapping[str, Any]):
    self._columns, self.made = columns, made

  def picture(self, rows: int) -> Image:
    most = max(x.shape[-1] for x in self._columns.values())
    parts = [np.broadcast_to(x, (*x.shape[:-1], most)) if x.shape[-1] == 1 else x for x in self._columns.values()]
    images = np.stack(parts, 1).reshape(-1, *parts[0].shape[1:])
    across = max(1, -(-len(parts[0]) // rows))
    return pictures.grid(images, (0.0, 255.0), columns=across * len(parts), heads=list(self._columns) * across)


def _row(stage: Stage, made: Mapping[str, Any], inputs: Any, output: core.Output) -> _Row | None:
  """What is drawn in a row with an output; None if it is made of no input, or they are not pictures of one size."""
  fields = (inputs or {}).get(output.source[0], {}) if output.of else {}
  if output.source[1] not in fields:
    return None
  streams = stage.streams
  columns = {'input': (fields[output.source[1]], streams[output.source[0]].range_of(output.source[1]))}
  for name, array in made.items():
    of = imitated(stage, name)
    columns[name or 'output'] = (array, streams[of.stream].range_of(of.field))
  if output.paired and not output.again and output.field in fields:
    columns['target'] = (fields[output.field], streams[output.stream].range_of(output.field))
  count = min(len(array) for array, _ in columns.values())
  shapes = {np.shape(array)[1:3] for array, _ in columns.values()}
  if len(shapes) > 1 or any(np.ndim(x) != 4 or np.shape(x)[-1] not in (1, 3) for x, _ in columns.values()):
    return None
  return _Row({title: to_uint8(array[:count], limits) for title, (array, limits) in columns.items()}, made)
