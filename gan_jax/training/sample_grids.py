"""The pictures that a run writes while it trains: a grid of samples from fixed latents."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from PIL.Image import Image

from gan_jax import core, runs
from gan_jax.data.streams import Stream
from gan_jax.runs.stages import Stage
from gan_jax.runs.views import View
from gan_jax.sampling import pictures
from gan_jax.sampling.outputs import named
from gan_jax.sampling.sampler import Sampler
from gan_jax.training import diagnostics
from gan_jax.training.session import Session


class Samples(NamedTuple):
  """Samples of one game.

  Attributes:
    pictures: {name of an output of the game: its grid}, for outputs that can be drawn.
    diversity: `diagnostics.diversity` of samples and data; nan if they cannot be compared.
  """

  pictures: dict[str, Image]
  diversity: float


def samples(stage: Stage, sampler: Sampler, state: Any, step: int, config: ml_collections.ConfigDict) -> Samples:
  """Draws config.samples samples of one game, from the latents of config.seed.

  Args:
    stage: the stage, with the game and the streams.
    sampler: the sampler of the game.
    state: the state of the game.
    step: steps finished.
    config: the config of the game.
  """
  inputs, count = None, config.samples
  if stage.game.latents is None:
    inputs = {name: _first_examples(stream, count) for name, stream in stage.streams.items()}
    count = min(len(value) for fields in inputs.values() for value in fields.values())
  clock = runs.clock_at(stage, step)

  def draw(ema: bool) -> dict[str, np.ndarray]:
    variables = jax.device_get(core.game_variables(stage.game, state, ema=ema, clock=clock))
    return named(sampler(variables, count, config.seed, inputs=inputs))

  outputs = draw(True)
  stream = next(iter(stage.streams.values()))
  grids = {}
  for name, array in outputs.items():
    real = _first_examples(stream, 1000)['image'] if array.ndim == 2 else None
    picture = pictures.picture_of(array, stream.range, real if real is not None and real.ndim == 2 else None)
    if picture is not None:
      grids[name] = picture
  data = _first_examples(stream, 4 * count, spread=True)['image']
  # Running averages lag behind, so the raw weights show a collapse first.
  averaged = any(player.ema is not None for player in state.players.values())
  latest = next(iter((draw(False) if averaged else outputs).values()))
  comparable = inputs is None and latest.shape[1:] == data.shape[1:]
  return Samples(grids, diagnostics.diversity(latest, data) if comparable else math.nan)


def write(samples: Samples, session: Session, view: View, step: int) -> None:
  """Writes the grids to samples/step_NUMBER.png and to TensorBoard."""
  for name, picture in samples.pictures.items():
    stem = f'step_{step:07d}' + (f'_{name}' if name else '') + view.suffix
    pictures.write(picture, session.workdir / 'samples' / f'{stem}.png')
    session.writer.picture((name or 'samples') + view.suffix, step, picture)


def _first_examples(stream: Stream, count: int, *, spread: bool = False) -> dict[str, np.ndarray]:
  """Examples of a set: the first `count`, or with `spread` evenly spaced ones, because sets may be sorted by class."""
  source = stream.open()
  count = min(count, len(source))
  chosen = np.linspace(0, len(source) - 1, count).astype(int) if spread else range(count)
  rows = [source[int(i)] for i in chosen]
  fields = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
  prepared: dict[str, np.ndarray] = jax.device_get(
    dataclasses.replace(stream, flip=False).prepare(fields, jax.random.key(0))
  )
  return prepared
