"""The pictures that a run writes while it trains: a grid of samples from fixed latents."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from PIL.Image import Image

from gan_jax import core, runs
from gan_jax.data import sets
from gan_jax.data.streams import Stream
from gan_jax.runs.stages import Stage
from gan_jax.runs.views import View
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling import pictures, sheets
from gan_jax.sampling.outputs import imitated, named
from gan_jax.sampling.sampler import Sampler
from gan_jax.training import diagnostics
from gan_jax.training.session import Session


class Samples(NamedTuple):
  """Samples of one game.

  Attributes:
    pictures: {name of what the game makes: its grid}; what has no picture is left out.
    bare: {name: shape} where nothing that the game makes has a picture.
    diversity: of the main output against the data that it imitates; nan where they cannot be compared.
  """

  pictures: dict[str, Image]
  diversity: float
  bare: dict[str, tuple[int, ...]]


def samples(stage: Stage, sampler: Sampler, state: Any, step: int, config: ml_collections.ConfigDict) -> Samples:
  """Draws config.samples samples of one game, from the latents of config.seed.

  Args:
    stage: the stage, with the game and the streams.
    sampler: the sampler of the game.
    state: the state of the game.
    step: steps finished.
    config: the config of the game.
  """
  count = config.samples
  if stage.game.latents is None:  # the same example twice would give the same picture
    count = min([count, *(len(sets.order(stream)) for stream in inputs_lib.streams_for(stage).values())])
  inputs = inputs_lib.first(stage, count)
  clock = runs.clock_at(stage, step)

  def draw(ema: bool) -> dict[str, np.ndarray]:
    variables = jax.device_get(core.game_variables(stage.game, state, ema=ema, clock=clock))
    return named(sampler(variables, count, config.seed, inputs=inputs), core.outputs_of(stage.game, stage.streams))

  made = draw(True)
  drawn = sheets.sheets(stage, made.get('', made), inputs, real=True)
  main = imitated(stage, next(iter(made)))
  data = _spread_examples(stage.streams[main.stream], 4 * count)[main.field]
  # Running averages lag behind: a collapse shows in the weights as they are first.
  averaged = any(player.ema is not None for player in state.players.values())
  latest = next(iter((draw(False) if averaged else made).values()))
  comparable = stage.game.latents is not None and latest.shape[1:] == data.shape[1:]
  bare = {} if drawn else {name or 'samples': array.shape[1:] for name, array in made.items()}
  return Samples(drawn, diagnostics.diversity(latest, data) if comparable else math.nan, bare)


def write(samples: Samples, session: Session, view: View, step: int) -> None:
  """Writes the grids to samples/step_NUMBER.png and to TensorBoard."""
  for name, picture in samples.pictures.items():
    stem = f'step_{step:07d}' + (f'_{name}' if name else '') + view.suffix
    pictures.write(picture, session.workdir / 'samples' / f'{stem}.png')
    session.writer.picture((name or 'samples') + view.suffix, step, picture)


def _spread_examples(stream: Stream, count: int) -> dict[str, np.ndarray]:
  """Examples from all over a set: sets may be sorted by class."""
  source = stream.open()
  count = min(count, len(source))
  chosen = np.linspace(0, len(source) - 1, count).astype(int)
  rows = [source[int(i)] for i in chosen]
  fields = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
  columns = {field: {k: v for k, v in own.items() if k != 'flip'} for field, own in stream.columns.items()}
  plain = dataclasses.replace(stream, flip=False, columns=columns)
  prepared: dict[str, np.ndarray] = jax.device_get(sets.prepared(plain, fields, chosen))
  return prepared
