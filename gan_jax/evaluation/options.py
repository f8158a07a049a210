"""Reads config.eval, the evaluation during training."""

from collections.abc import Mapping
from typing import Any

from gan_jax.base.errors import UserError, one_of
from gan_jax.config.evaluation import IN_TRAINING, Options
from gan_jax.evaluation.measures import check_measures


def options_of(settings: Mapping[str, Any]) -> Options | None:
  """The options in config.eval; None if `every` is 0, which means no evaluation.

  Raises:
    UserError: a setting or a metric is unknown.
  """
  for name in settings:
    if name not in IN_TRAINING:
      raise one_of('setting in config.eval', name, IN_TRAINING)
  values = {**IN_TRAINING, **settings}
  every = values.pop('every')
  if not isinstance(every, int) or every < 0:
    raise UserError(f'config.eval.every={every!r} must be a number of steps, 0 for no evaluation')
  if isinstance(values['metrics'], str):
    values['metrics'] = tuple(name.strip() for name in values['metrics'].split(','))
  options = Options(**values)._replace(metrics=tuple(values['metrics']))
  check_measures(options.metrics)
  return options if every else None
