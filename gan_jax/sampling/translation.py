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

  Args:
    run: from `gan_jax.load`.
    folder: FOLDER, or STREAM=FOLDER: which stream they stand for; the first that the game reads by default.
    output: the only one to make, of several things.
    **how: arguments of `Run.sample`, such as seed and condition.

  Where the run's own data are not there, all else that the game reads is zeros, if these pictures do not depend on it.

  Raises:
    UserError: the game reads no pictures, the folder has none, or an output is no picture; or the run's own data are
      not there, and what is made depends on more than the folder.
  """
  stream, found, fields = inputs_lib.of_folder(run.stage, folder)
  own = next(iter(fields))
  shown = fields[own], run.stage.streams[stream].range_of(own)

  def made(given: Fields) -> dict[str, np.ndarray]:
    """What is made of the folder's pictures: what is made of other streams says nothing of them."""
    whole = run.sample(len(found), inputs={**given, stream: {**given.get(stream, {}), **fields}}, **how)
    samples = {output: np.asarray(pick(whole, output))} if output else named(whole)
    of = {name: imitated(run.stage, name) for name in samples}
    return {name: x for name, x in samples.items() if not of[name].of or of[name].source[0] == stream}

  try:
    given = run.inputs(len(found)) or {}
  except UserError as missing:
    samples = _without_data(run, stream, made, len(found), missing)
  else:
    # What else it reads beside the pictures is the run's own, or a condition.
    samples = made(given if run.stage.streams[stream].columns else {**given, stream: {}})
  for name, array in samples.items():
    if array.ndim != 4 or array.shape[-1] > 4:
      raise UserError(f'{name or "samples"} of shape {array.shape[1:]} are no pictures: choose another --output')
  of = {name: imitated(run.stage, name) for name in samples}
  limits = {name: run.stage.streams[of[name].stream].range_of(of[name].field) for name in samples}
  return Translated(found, {name: (array, limits[name]) for name, array in samples.items()}, shown)


def _without_data(
  run: Run, stream: str, made: Callable[[Fields], dict[str, np.ndarray]], count: int, missing: UserError
) -> dict[str, np.ndarray]:
  """What is made of pictures of one stream, whatever the others hold; raises `missing` if it depends on them."""
  names = [name for name in core.inputs_of(run.stage.game, run.stage.streams) if name != stream]
  shapes = {name: run.stage.streams[name].fields(count) for name in names}
  filled = lambda value: jax.tree.map(lambda s: np.full(s.shape, value, s.dtype), shapes)
  try:
    samples = made(filled(0))
  except KeyError as error:  # a field beside the pictures
    raise missing from error
  if names:
    others = made(filled(1))
    if not all(np.array_equal(x, others[name]) for name, x in samples.items()):
      raise missing
  return samples
