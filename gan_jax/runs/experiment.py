"""Builds the games of a run from its config."""

import ml_collections

from gan_jax.base.errors import UserError
from gan_jax.runs.population import population_of
from gan_jax.runs.single import Single
from gan_jax.runs.stages import stages_of
from gan_jax.runs.views import Experiment


def experiment_of(config: ml_collections.ConfigDict) -> Experiment:
  """The games that a config describes: one, or a population of config.population games.

  Raises:
    UserError: any setting that is unknown, missing, of the wrong type, or does not fit the others.
  """
  if config.population < 0:
    raise UserError(f'config.population={config.population} must be at least 0')
  population = population_of(config)  # config.vary without a population is an error, too
  return population if population.views else Single(config, stages_of(config))
