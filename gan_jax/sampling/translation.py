"""What a game makes of pictures of your own, for games that read pictures when they sample."""

from typing import Any, NamedTuple

import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.outputs import imitated, named, pick
from gan_jax.sampling.run import Run


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

  Raises:
    UserError: the game reads no pictures, the folder has none, or an output is no picture.
  """
  stream, found, fields = inputs_lib.of_folder(run.stage, folder)
  count = len(found)
  try:
    given = run.inputs(count) or {}
  except UserError:
    if core.inputs_of(run.stage.game, run.stage.streams) != (stream,):
      raise
    given = {}  # the run's own data need not be there
  own = next(iter(fields))
  shown = fields[own], run.stage.streams[stream].range_of(own)
  if run.stage.streams[stream].columns:  # what else it reads beside the pictures is the run's own, or a condition
    fields = {**given.get(stream, {}), **fields}
  made = run.sample(count, inputs={**given, stream: fields}, **how)
  samples = {output: np.asarray(pick(made, output))} if output else named(made)
  # What is made of other streams says nothing of these pictures.
  of = {name: imitated(run.stage, name) for name in samples}
  samples = {name: x for name, x in samples.items() if not of[name].of or of[name].source[0] == stream}
  for name, array in samples.items():
    if array.ndim != 4 or array.shape[-1] > 4:
      raise UserError(f'{name or "samples"} of shape {array.shape[1:]} are no pictures: choose another --output')
  limits = {name: run.stage.streams[of[name].stream].range_of(of[name].field) for name in samples}
  return Translated(found, {name: (array, limits[name]) for name, array in samples.items()}, shown)
