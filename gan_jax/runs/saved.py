"""Reads a run from its folder: the config, the stage and the state of one of its checkpoints."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
from etils import epath

from gan_jax import core
from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.data.sources import remembered
from gan_jax.distributed import parallel
from gan_jax.runs import best_member, run_config
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.experiment import experiment_of
from gan_jax.runs.stages import Stage


class Saved(NamedTuple):
  """One game of a run, at one of its checkpoints.

  Attributes:
    config: the config of the run; for a member of a population, the config of that member alone.
    stage: the stage of the checkpoint, with the game and the streams.
    step: steps trained.
    state: the state of the game.
    member: the number of the member in a population; None for a run of one game.
  """

  config: ml_collections.ConfigDict
  stage: Stage
  step: int
  state: core.GameState
  member: int | None


def read(
  workdir: epath.PathLike,
  step: int | str | None = None,
  member: int | None = None,
  say: Callable[[str], object] = lambda line: None,
) -> Saved:
  """Reads a checkpoint of a run.

  Args:
    workdir: the folder of the run.
    step: the step of the checkpoint, or 'best' for the best by config.keep_best; the latest by default.
    member: the number of the member of a population; by default the best by config.keep_best, else the first.
    say: gets a line of text about the chosen member, and about newer checkpoints that cannot be read.

  Raises:
    UserError: there is no run, or no such checkpoint or member.
  """
  workdir = paths.expand(workdir)
  with remembered.remembering(run_config.read_examples(workdir)):
    return _read(workdir, step, member, say)


def _read(workdir: epath.Path, step: int | str | None, member: int | None, say: Callable[[str], object]) -> Saved:
  config = run_config.read_config(workdir)
  experiment = experiment_of(config, run_config.read_learnt(workdir))
  if member is not None and not config.population:
    raise UserError(f'member={member} but {workdir} is a run of one game, not a population: leave member out')
  # With several processes an array spans all of them, and each device has all of it.
  one = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  sharding = one if jax.process_count() == 1 else parallel.replicated(parallel.make_mesh())
  with_device = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding)

  def abstract_of(place: Place) -> Any:
    return jax.tree.map(with_device, experiment.abstract_state(place.stage))

  checkpoints = Checkpoints(workdir, best=config.keep_best)
  if isinstance(step, str):
    if step != 'best':
      raise UserError(f"checkpoint {step!r} must be 'best' or a step")
    step = checkpoints.best()
  newest = checkpoints.newest(abstract_of, say, step)
  checkpoints.close()
  if newest is None:
    raise UserError(f'{workdir} has no checkpoint yet: train it with python -m gan_jax.main')
  place, state = newest
  if config.population:
    member, why = best_member.choose(workdir, config, place.step, member)
    if why:
      say(why)
  chosen = experiment.views[member or 0]
  return Saved(chosen.config, chosen.stages[place.stage], place.step, chosen.of(state), member)
