"""What a run says before it trains: settings that will not do what they say, and first steps that will be long.

What it says of learning rates is in `rates`.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from gan_jax import core, runs
from gan_jax.config import vary
from gan_jax.config.settings import Settings
from gan_jax.optim.averages import HalfLife
from gan_jax.runs.stages import networks_of
from gan_jax.runs.views import Experiment

#: The share of the first weights in a running average at the end of a run that is told.
STALE = 0.02
#: The values that a network's `output` makes.
MADE = {'tanh': (-1.0, 1.0), 'sigmoid': (0.0, 1.0)}
#: {state of an optimizer whose weights are not those that it finds: what they are}.
BESIDE = {
  'ScheduleFreeState': 'where its gradients are taken, not the averages that it finds',
  'SAMState': 'beside the ones that it finds between two of its updates',
}
#: Numbers of a stage at the top of a config.
NUMBERS = ('steps', 'batch_size', 'accumulate')


def on_given(config: ml_collections.ConfigDict, names: Iterable[str]) -> list[str]:
  """A line for each setting of the command line that some stages have of their own.

  Args:
    config: of the run, with the settings of the command line.
    names: their dotted names, such as 'game.generators[0].sigmoid'.
  """
  names = list(names)
  settings = config.to_dict()
  sets = lambda changes, name: vary.sets_anew(changes, name, settings)
  own = {name: [i for i, stage in enumerate(config.stages) if sets(stage, name)] for name in names}
  listed = lambda numbers: ', '.join(map(str, numbers))
  each = vary.varied(config) if config.population else {}
  return [
    f'note: config.{name} has no effect, because config.vary.{name} gives each member its own'
    for name in names
    if name in each
  ] + [
    f'note: config.{name} has no effect in stage {listed(i + 1 for i in stages)} of {len(config.stages)}, where it is '
    f'set anew: change config.stages[i] too, i = {listed(stages)}'
    for name, stages in own.items()
    if stages and name not in _in_vain(config)  # of those `on_settings` tells
  ]


def on_settings(config: ml_collections.ConfigDict) -> list[str]:
  """A line for each number that was set in vain, because every stage has its own.

  It is no error: a run that was started so goes on.

  Args:
    config: of the run.
  """
  last = len(config.stages) - 1
  return [
    f'note: config.{name}={config[name]} has no effect, because every stage has its own: change '
    f'config.stages[i].{name}, i from 0 to {last}'
    for name in _in_vain(config)
  ]


def _in_vain(config: ml_collections.ConfigDict) -> list[str]:
  """Numbers that every stage has of its own, but those of a default: nobody knows whether that was set."""
  return [
    name
    for name in NUMBERS
    if config.stages and config[name] != getattr(Settings, name) and all(name in changes for changes in config.stages)
  ]


def on_calls(most: int, first: int, last: int, periods: Sequence[int]) -> list[str]:
  """A line of text if no call can have config.steps_per_call steps; else none.

  Args:
    most: config.steps_per_call.
    first: steps finished.
    last: the last step of the stage.
    periods: the period of each hook in steps; 0 for never.
  """
  often = min([last - first, *(every for every in periods if every)])
  if most <= often:
    return []
  return [
    f'note: config.steps_per_call={most} has no effect: every {often} steps a log line, a picture, a checkpoint, an '
    'evaluation or the end is due, so every call is one step'
  ]


def on_averages_of_members(experiment: Experiment) -> list[str]:
  """The lines of `on_averages` for every game of a run, once if they are the same for all.

  Args:
    experiment: the games of the run.
  """
  told = [(view.title, on_averages(view.stages)) for view in experiment.views]
  if all(lines == told[0][1] for _, lines in told):
    return told[0][1]
  return [line.replace(': ', f': {title}', 1) for title, lines in told for line in lines]


def on_averages(stages: Sequence[runs.Stage]) -> list[str]:
  """A line for each player whose running average will not be what its settings say.

  It is still that of the first weights when the run ends, or its half-life is counted in another batch than the run's.

  Args:
    stages: of the run.
  """
  notes = []
  for player in stages[-1].ema:
    moves = [moves_of(stage, player) for stage in stages]
    notes += [*_on_first_weights(stages, player, moves), *_on_batches(stages, player, moves)]
  return notes


def _on_first_weights(stages: Sequence[runs.Stage], player: str, moves: Sequence[tuple[float, bool]]) -> list[str]:
  log_left, count = 0.0, 0.0
  for stage, (often, _) in zip(stages, moves, strict=True):
    if player not in stage.ema or any(player in stage.reset.get(part, ()) for part in ('params', 'ema')):
      log_left, count = 0.0, 0.0
    if often and player in stage.ema:
      count += stage.steps * often
      log_left += stage.steps * often * _log_decay(stage, stage.ema[player])
  decay, left = stages[-1].ema[player], math.exp(log_left) if count else 0.0
  if left <= STALE:
    return []
  value, cure = '', 'or shorten it'
  if not callable(decay):
    value = f'={decay}'
    cure = (
      f'set it to {max(0.0, 1 - 5 / count):.3g} or less, or begin '
      f"short with dict(name='averages.warm_up', decay={decay})"
    )
  elif isinstance(decay, HalfLife) and decay.ramp_up is None:
    cure = f'or begin short with --config.ema.{player}.ramp_up=0.05'
  return [
    f'warning: config.ema.{player}{value} is long for {count:.0f} moves: {100 * left:.0f} % of the running average '
    f'will be the first weights, and samples are made of it; train longer, {cure}'
  ]


def _on_batches(stages: Sequence[runs.Stage], player: str, moves: Sequence[tuple[float, bool]]) -> list[str]:
  for stage, (often, known) in zip(stages, moves, strict=True):
    decay = stage.ema.get(player)
    # The examples of a step are those of the turn that reads most; those of another player's turn are no more of them.
    reads = [(turn.repeat, name) for turn in stage.game.turns for name in core.turn_streams(turn, stage.streams)]
    shown = max((repeat * (stage.streams[name].batch_size or 0) for repeat, name in reads), default=0)
    if not (isinstance(decay, HalfLife) and known and often and shown):
      continue
    says = decay.batch_size * often
    # In few steps, a turn of every fourth is played up to once more than its share.
    if abs(says - shown) > 0.01 * shown + decay.batch_size / stage.steps:
      where = f' in stage {stage.number + 1}' if len(stages) > 1 else ''
      times = 'once' if often == 1 else f'{often:.3g} times'
      return [
        f'note: config.ema.{player}.batch_size={decay.batch_size:g} makes half-lives {shown / says:.3g} times as long '
        f'as they say: a step{where} shows {shown} examples and {player} moves {times} in it; set it to '
        f'{shown / often:.4g}'
      ]
  return []


def moves_of(stage: runs.Stage, player: str) -> tuple[float, bool]:
  """The moves of a player in a step, on average; False if a rule asks for more than the clock: then as if always."""
  moves, known = 0.0, True
  for turn in (turn for turn in stage.game.turns if player in turn.movers):
    share = 1.0
    if turn.when is not None:
      try:
        share = float(_over(stage, lambda clock, rule=turn.when: rule(clock, {})).mean())
      except Exception:  # of any kind: it asks for a variable of the game, which nobody knows yet
        known = False
    moves += share * turn.repeat
  return moves, known


def _log_decay(stage: runs.Stage, decay: Any) -> float:
  """The mean logarithm of a decay over the steps of a stage; -inf if it is 0 in one."""
  values = _over(stage, decay) if callable(decay) else np.float64(decay)
  with np.errstate(divide='ignore'):
    return float(np.log(values).mean())


def _over(stage: runs.Stage, value: Any) -> np.ndarray:
  """A function of the clock at the steps of a stage, float64: all of them, or of each hundredth the first 240."""
  steps = np.arange(min(stage.steps, 100 * 240), dtype=np.int32)
  if stage.steps > len(steps):
    steps = np.add.outer(np.arange(100) * (stage.steps // 100), np.arange(240)).ravel().astype(np.int32)
  at = jax.vmap(lambda step: jnp.asarray(value(runs.clock_at(stage, stage.first_step + step)), jnp.float32))
  return np.asarray(jax.jit(at)(steps), np.float64)


def on_new_layers(experiment: Experiment) -> list[str]:
  """A line for the players whose layers a stage adds or starts anew while their Adam, or a relative of it, goes on.

  Such an optimizer divides by the root of a mean of squares, which is 0 for a new layer. Its old count says that this
  mean is over many steps, so nothing corrects it.

  Args:
    experiment: the games of the run.
  """
  found: dict[str, list[int]] = {}
  for stage in experiment.stages[1:]:
    before, after = (experiment.of_first[number].players for number in (stage.number - 1, stage.number))
    for player in after:
      anew = any(player in stage.reset.get(part, ()) for part in ('params', 'optimizer'))
      if anew or player not in before:
        continue
      old, new = _squares(before[player].opt_state), _squares(after[player].opt_state)
      started = old.keys() & new.keys() and set(stage.start) & set(before[player].params) & set(after[player].params)
      if started or any(name in old and nu - old[name] for name, nu in new.items()):
        found.setdefault(player, []).append(stage.number + 1)
  notes = []
  for stages in dict.fromkeys(map(tuple, found.values())):
    players = tuple(player for player, where in found.items() if tuple(where) == stages)
    notes.append(
      f'note: new or started layers of {", ".join(players)} in stage {", ".join(map(str, stages))} meet the old state '
      'of an optimizer: their first steps may be up to 30 times as long as its learning rate; give each such stage '
      f"reset={{'optimizer': {players}}}, which begins it anew"
    )
  return notes


def _squares(state: Any) -> dict[str, set[str]]:
  """{a part of an optimizer's state with a count and means of squares: the paths of these means}."""
  corrects = lambda x: {'count', 'nu'} <= set(getattr(x, '_fields', ()))
  named = jax.tree_util.tree_leaves_with_path
  name_of = jax.tree_util.keystr
  nodes = [(name_of(path), node) for path, node in named(state, is_leaf=corrects) if corrects(node)]
  return {name: {name_of(path) for path, _ in named(node.nu)} for name, node in nodes}


def on_optimizers(experiment: Experiment) -> list[str]:
  """A line for each player whose optimizer keeps the weights that it finds in its own state, where no sample is made.

  Args:
    experiment: the games of the run.
  """
  kind = lambda x: type(x).__name__
  found: dict[str, str] = {}
  for stage in experiment.stages:
    for player in sorted(stage.optimizers.keys() - stage.ema.keys()):
      state = experiment.of_first[stage.number].players[player].opt_state
      parts = map(kind, jax.tree.leaves(state, is_leaf=lambda x: kind(x) in BESIDE))
      part = next((part for part in parts if part in BESIDE), None)
      if part is not None:
        found[player] = part
  return [
    f'note: the optimizer of {player} leaves weights {BESIDE[part]}: samples and figures are of these weights, unless '
    f'they are averaged; set config.ema.{player}=0.999'
    for player, part in found.items()
  ]


def on_pauses(experiment: Experiment) -> list[str]:
  """A line for each network that a stage leaves out of its player: only whole players wait for their return."""
  found: list[str] = []
  trained: dict[str, int] = {}
  kept: set[str] = set()
  for stage in experiment.stages:
    players = experiment.of_first[stage.number].players
    own = {child: name for name in core.players_of(stage.game) for child in players[name].params}
    found += [
      f'note: network {child!r} was trained in stage {trained[child] + 1} and then left out of its player: in stage '
      f'{stage.number + 1} it begins anew. Keep it in a player of every stage to go on with it'
      for child, name in own.items()
      if child in trained.keys() - kept and child not in stage.start and name not in stage.reset.get('params', ())
    ]
    trained |= dict.fromkeys(own, stage.number)
    kept = {child for player in players.values() for child in player.params}
  return found


def on_ranges(stages: Sequence[runs.Stage]) -> list[str]:
  """A line for each network of the last stage whose outputs end elsewhere than all data do."""
  stage = stages[-1]
  ends = {tuple(map(float, stream.range_of())) for stream in stage.streams.values()}
  data = ' or '.join(f'{low:g} and {high:g}' for low, high in sorted(ends))
  return [
    f'note: config.game.{name}.output={network.output!r} makes values from {MADE[network.output][0]:g} to 1, the data '
    f'lie between {data}: change {"the output or " if "output" in _settings(network) else ""}'
    'config.data.range'
    for name, network in networks_of(stage.game)
    if getattr(network, 'output', None) in MADE and MADE[network.output] not in ends
  ]


def _settings(network: nn.Module) -> set[str]:
  return {field.name for field in dataclasses.fields(network)}
