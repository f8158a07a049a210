"""Checks before a run writes files or compiles its first step."""

from typing import Any

import jax
from flax.errors import FlaxError
from jax.sharding import Mesh

from gan_jax import core, runs
from gan_jax.base.errors import UserError
from gan_jax.evaluation.evaluator import check as check_evaluation
from gan_jax.evaluation.options import options_of
from gan_jax.runs import run_config
from gan_jax.runs.stages import Stage
from gan_jax.runs.views import Experiment
from gan_jax.training import boards


def check_run(experiment: Experiment, mesh: Mesh) -> None:
  """Checks that a run can be trained, sampled and evaluated.

  Raises:
    UserError: batch sizes do not divide over the devices, networks do not fit, sampling or an evaluation cannot work,
      data do not exist, wandb is asked for and missing, or config.json cannot hold a setting.
  """
  config, options = experiment.config, options_of(experiment.config.eval)
  check_games(experiment)
  for stage in experiment.stages:
    runs.make_step(stage, mesh)
    made = _check_sampling(experiment, stage)
    if options:
      check_evaluation(stage, options, made)
  experiment.check(mesh)
  if config.keep_best.removeprefix('-').startswith('eval_') and not options:
    raise UserError(
      f'config.keep_best={config.keep_best!r} needs evaluations: set config.eval.every to a number of steps'
    )
  for stream in experiment.stages[0].streams.values():
    stream.open()
  if config.wandb:
    boards.wandb()
  run_config.check_config(config)


def check_games(experiment: Experiment) -> None:
  """Asks the games that have `check_training` whether they can be trained with their streams.

  Runs that were trained with what is refused now can still be loaded.

  Raises:
    UserError: one cannot.
  """
  for stage in experiment.stages:
    if check := getattr(stage.game, 'check_training', None):  # what only the game knows
      check(stage.streams)


def _check_sampling(experiment: Experiment, stage: Stage) -> Any:
  """Traces the sampling of a stage; returns the shapes of what it makes."""
  state = experiment.of_first[stage.number]
  batch = core.given(stage.game, runs.example_batch(stage))
  least = min((len(x) for x in jax.tree.leaves(batch)), default=0)
  batch = jax.tree.map(lambda x: x[:least], batch)

  def sample(state: Any, key: jax.Array) -> Any:
    clock = runs.clock_at(stage, stage.first_step)
    variables = core.game_variables(stage.game, state, ema=True, clock=clock)
    return stage.game.apply(variables, batch, method='sample', rngs={'noise': key})

  try:
    return jax.eval_shape(sample, state, jax.random.key(0))
  except FlaxError as error:
    detail = ' '.join(str(error).split(' (http')[0].split())
    raise UserError(
      f'{type(stage.game).__name__}.sample does not run: {detail}; it gets '
      "the batch, the clock and make_rng('noise'), networks in eval mode"
    ) from error
