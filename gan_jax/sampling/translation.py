"""What a game makes of pictures of your own, for games that read pictures when they sample."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.outputs import imitated, named, pick
from gan_jax.sampling.run import Run

#: {stream: {field: (N, ...)}}
Fields = Mapping[str, Mapping[str, Any]]
#: Times a picture is translated to see whether what lies beside it makes a difference.
TRIED = 64


class Translated(NamedTuple):
  """What was made of a folder.

  Attributes:
    files: the pictures' paths in the folder.
    made: {name of what the game makes: (pictures (N, H, W, C), (low, high) of their values)}; '' if it makes one thing.
    given: the pictures as the game read them, (N, H, W, C), and their (low, high).
  """

  files: list[str]
  made: dict[str, tuple[np.ndarray, tuple[float, float]]]
  given: tuple[np.ndarray, tuple[float, float]]


def translated(run: Run, folder: str, *, output: str = '', **how: Any) -> Translated:
  """What a run's game makes of each picture of a folder.

  The run's own data need not be there, if what is made of the pictures does not depend on them.

  Args:
    run: from `gan_jax.load`.
    folder: FOLDER, or STREAM=FOLDER: which stream they stand for; the first that the game reads by default.
    output: the only one to make, of several things.
    **how: arguments of `Run.sample`, such as seed and condition.

  Raises:
    UserError: the game reads no pictures, the folder has none, or an output is no picture; or the run's own data are
      not there, and what is made depends on them.
  """
  with run.remembering():
    return _translated(run, folder, output, how)


def _translated(run: Run, folder: str, output: str, how: Mapping[str, Any]) -> Translated:
  stream, found, fields = inputs_lib.of_folder(run.stage, folder, run.read)
  own = next(iter(fields))
  shown = fields[own], run.stage.streams[stream].range_of(own)

  def made(given: Fields) -> dict[str, np.ndarray]:
    """What is made of the pictures of this stream: what is made of other streams says nothing of them."""
    whole = run.sample(len(given[stream][own]), inputs=given, **how)
    declared = core.outputs_of(run.stage.game, run.stage.streams)
    samples = {output: np.asarray(pick(whole, output, declared=declared))} if output else named(whole)
    of = {name: imitated(run.stage, name) for name in samples}
    kept = {name: x for name, x in samples.items() if not of[name].of or of[name].source[0] == stream}
    if not kept:
      what = f'--output={output} is' if output else 'all outputs are'
      raise UserError(f'--inputs of {stream!r}: {what} made of another stream, choose another')
    return kept

  try:
    given = run.inputs(len(found)) or {}
  except UserError as missing:
    samples = _without_data(run, stream, fields, made, missing)
  else:
    rest = given.get(stream, {}).keys() - fields
    try:
      samples = made({**given, stream: fields})
    except KeyError as error:
      if not (error.args and getattr(error, 'field', error.args[0]) in rest):
        raise
      # It must read more beside the pictures: the run's own, or a condition.
      samples = made({**given, stream: {**given[stream], **fields}})
  for name, array in samples.items():
    if array.ndim != 4 or array.shape[-1] > 4:
      raise UserError(f'{name or "samples"} of shape {array.shape[1:]} are no pictures: choose another --output')
  of = {name: imitated(run.stage, name) for name in samples}
  limits = {name: run.stage.streams[of[name].stream].range_of(of[name].field) for name in samples}
  return Translated(found, {name: (array, limits[name]) for name, array in samples.items()}, shown)


def _without_data(
  run: Run,
  stream: str,
  fields: Mapping[str, np.ndarray],
  made: Callable[[Fields], dict[str, np.ndarray]],
  missing: UserError,
) -> dict[str, np.ndarray]:
  """What is made of the pictures of one stream, if all else that the game reads makes no difference."""
  streams = run.stage.streams
  needed = lambda what: UserError(f'{missing}; what is made of {stream!r} depends on {what} too')
  others = [name for name in core.inputs_of(run.stage.game, streams) if name != stream]

  def beside(pictures: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """What is made of pictures, with numbers at random in the place of the other streams."""
    count = len(next(iter(pictures.values())))
    try:
      filled = {name: inputs_lib.at_random(streams[name], count, seed) for name in others}
    except UserError as error:
      raise UserError(f'{missing}; {error}') from error
    return made({**filled, stream: pictures})

  try:
    if others:
      # The first picture beside many others: one of them alone could be as good as another.
      many = {field: np.repeat(x[:1], TRIED, axis=0) for field, x in fields.items()}
      first, second = beside(many, 0), beside(many, 1)
      if not all(np.array_equal(x, second[name], equal_nan=True) for name, x in first.items()):
        raise needed(' and '.join(map(repr, others)))
    shapes = {name: streams[name].fields(len(next(iter(fields.values())))) for name in others}
    return made({**jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes), stream: fields})
  except KeyError as error:
    field = getattr(error, 'field', error.args[0] if error.args else '')
    if field in set(streams[stream].fields(1)) - set(fields):
      raise needed(f'its field {field!r}') from error
    raise
