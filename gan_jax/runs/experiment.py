"""Builds the games of a run from its config."""

import ml_collections

from gan_jax.base.errors import UserError
from gan_jax.runs import learnt
from gan_jax.runs.population import population_of
from gan_jax.runs.single import Single
from gan_jax.runs.stages import stages_of
from gan_jax.runs.views import Experiment


def experiment_of(config: ml_collections.ConfigDict, known: learnt.Learnt = learnt.NOTHING) -> Experiment:
  """The games that a config describes: one, or a population of config.population games.

  Args:
    config: of the run.
    known: what the columns of its streams learnt from its training set.

  Raises:
    UserError: any setting that is unknown, missing, of the wrong type, or does not fit the others.
  """
  if config.population < 0:
    raise UserError(f'config.population={config.population} must be at least 0')
  population = population_of(config, known)  # config.vary without a population is an error, too
  return population if population.views else Single(config, stages_of(config, known), known)


def complete(experiment: Experiment, known: learnt.Learnt) -> Experiment:
  """The same games, whose columns know what their run has noted, and learn the rest from the data.

  Args:
    experiment: from `experiment_of`, without anything learnt.
    known: what the run has noted.

  Raises:
    UserError: there is something to learn, and the data cannot be opened.
  """
  known = learnt.completed({stage.number: stage.streams for stage in experiment.stages}, known)
  return experiment_of(experiment.config, known) if known else experiment
