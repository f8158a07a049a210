"""What a run says of its learning rates: schedules that end too early, and schedules entered in their middle."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gan_jax import runs
from gan_jax.config.build import build
from gan_jax.runs.stages import merged
from gan_jax.runs.views import Experiment
from gan_jax.training.notes import moves_of

#: The share of a stage with a learning rate of 0 that is told.
IDLE = 0.01


def on_schedules(experiment: Experiment) -> list[str]:
  """A line for each stage that gives a player another schedule of the learning rate while its optimizer goes on.

  A schedule is read at the number of updates, which goes on too: the new one is entered in its middle or at its end.

  Args:
    experiment: the games of the run.
  """
  notes = []
  configs = [merged(experiment.config, changes) for changes in experiment.config.stages]
  for stage in experiment.stages[1:]:
    before, after = (configs[number].optimizers.to_dict() for number in (stage.number - 1, stage.number))
    for player in sorted(experiment.stages[stage.number - 1].optimizers.keys() & stage.optimizers.keys()):
      was, now = _rates(before[player]), _rates(after[player])
      anew = any(player in stage.reset.get(part, ()) for part in ('params', 'optimizer'))
      if not anew and was != now and all(isinstance(rate, dict) for rate in (*was, *now)):
        notes.append(
          f'note: stage {stage.number + 1} gives {player} another schedule of the learning rate, which goes on at the '
          f"updates of the stages before; to begin it at 0, give the stage reset={{'optimizer': ({player!r},)}}"
        )
  return notes


def on_rests(experiment: Experiment, number: int) -> list[str]:
  """A line for players whose learning rate is 0 from a step of a stage on: to its end they learn nothing.

  So it is where a run gets more steps than its schedules have. Players whose number of updates is not known, and those
  whose rate is 0 from the first on, are passed over.

  Args:
    experiment: the games of the run.
    number: of the stage.
  """
  stages, varied = experiment.stages[: number + 1], experiment.config.vary.get('optimizers', {})
  stage, changes = stages[-1], list(experiment.config.stages) or [{}]
  settings = [merged(experiment.config, changes[each.number]).optimizers.to_dict() for each in stages]
  found: dict[int, list[str]] = {}
  for player in sorted(stage.optimizers.keys() - set(varied)):
    rates, own = _rates_at(settings[-1][player], f'config.optimizers.{player}'), str(settings[-1][player])
    moves, known = moves_of(stage, player)
    if not rates or not known or 'MultiSteps' in own or not all(isinstance(rate, dict) for rate in rates.values()):
      continue
    schedules = [build(rate, home='gan_jax.optim') for rate in rates.values()]
    first = round(_updates_before(stages, [each.get(player) for each in settings], player))
    last = first + round(moves * stage.steps) - 1
    at_rest = functools.cache(lambda update, all_of=schedules: all(float(rate(update)) == 0 for rate in all_of))
    if last <= first or not at_rest(last):
      continue
    grid = sorted({round(update) for update in np.linspace(first, last, 200)})
    low = next((update for update in reversed(grid) if not at_rest(update)), None)
    if low is None and all(map(at_rest, range(0, first, max(first // 200, 1)))):
      continue  # it never moves
    high = first if low is None else next(update for update in grid if update > low)
    while low is not None and high - low > 1:  # the rate is 0 from `high` on
      middle = (low + high) // 2
      low, high = (low, middle) if at_rest(middle) else (middle, high)
    if (last - high) / (last - first) > IDLE:
      found.setdefault(stage.first_step + round((high - first) / moves), []).extend(rates)
  return [
    f'note: {" and ".join(names)} {"is" if len(names) == 1 else "are"} 0 from step {step:,} of {stage.last_step:,} on, '
    'and nothing is learnt there: make the schedule longer, or give fewer steps'
    for step, names in found.items()
  ]


def _updates_before(stages: Sequence[runs.Stage], settings: Sequence[Any], player: str) -> float:
  """The updates of a player before the last of some stages, since its optimizer or its schedule began."""
  updates = 0.0
  for i, stage in enumerate(stages[1:], 1):
    updates += moves_of(stages[i - 1], player)[0] * stages[i - 1].steps if player in stages[i - 1].optimizers else 0.0
    began = any(player in stage.reset.get(part, ()) for part in ('params', 'optimizer'))
    # A number has no count of updates that a schedule could go on from.
    if began or not all(isinstance(rate, dict) for rate in _rates(settings[i - 1])):
      updates = 0.0
  return updates


def _rates(settings: Any) -> list[Any]:
  """The learning rates in the settings of an optimizer and of the links of a chain."""
  return list(_rates_at(settings, '').values())


def _rates_at(settings: Any, path: str) -> dict[str, Any]:
  """{path: learning rate} of an optimizer's settings and of the links of a chain."""
  if isinstance(settings, tuple | list):
    parts = [_rates_at(entry, f'{path}[{i}]') for i, entry in enumerate(settings)]
  elif isinstance(settings, dict):
    inner = {name: f'{path}.{name}' for name in settings}
    own = {inner[name]: rate for name, rate in settings.items() if name == 'learning_rate'}
    parts = [own, *(_rates_at(value, inner[name]) for name, value in settings.items() if name != 'learning_rate')]
  else:
    parts = []
  return {name: rate for part in parts for name, rate in part.items()}
