"""The start of a run: new, from its last checkpoint, or from the weights of another run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.distributed import parallel
from gan_jax.runs import saved
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.stages import stages_of
from gan_jax.runs.steps import state_sharding
from gan_jax.runs.survival import surviving


def start(
  config: Any,
  checkpoints: Checkpoints,
  experiment: Any,
  mesh: jax.sharding.Mesh,
  keys: jax.Array,
  say: Callable[[str], object],
) -> tuple[Place, core.GameState]:
  """(progress, state) at the start of a run: from its newest checkpoint if there is one, else new.

  Args:
    config: the config of the run.
    checkpoints: the checkpoints in its workdir.
    experiment: the games of the config.
    mesh: the devices.
    keys: the PRNG key of the run, or one of each member.
    say: gets lines of text about the start.

  Raises:
    UserError: no checkpoint can be read, or the stages of the config do not fit the checkpoint.
  """
  stages = experiment.stages

  def abstract_of(place: Place) -> Any:
    if place.stage >= len(stages):
      raise UserError(
        f'the checkpoint of step {place.step} is of stage {place.stage + 1}, the config has {len(stages)}: give the '
        'config that it was trained with, or another --workdir'
      )
    state = experiment.abstract_state(place.stage)
    placed = lambda s, sharding: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding)
    return jax.tree.map(placed, state, state_sharding(stages[place.stage], mesh, state))

  newest = checkpoints.newest(abstract_of, say)
  if newest is not None:
    place, stage = newest[0], stages[newest[0].stage]
    if place.step > stage.last_step and place.stage == len(stages) - 1:
      whose = f'the last of config.stages has {stage.steps} steps' if config.stages else f'config.steps={config.steps}'
      raise UserError(
        f'{whose}, which ends at step {stage.last_step}, before the last checkpoint, of step {place.step}: give more, '
        'or another --workdir'
      )
    if not stage.first_step < place.step <= stage.last_step:
      raise UserError(
        f'the checkpoint of step {place.step} is of stage {place.stage + 1}, which now runs from step '
        f'{stage.first_step} to {stage.last_step}: leave the steps of finished stages as they were'
      )
    checkpoints.put_aside(after=place.step)
    say(f'resuming at step {place.step}')
    return newest
  state = enter(experiment, 0, None, mesh, keys)
  if config.init_from:
    quiet = lambda line: None
    states = [warm(v.config, v.of(state), quiet if v.number else say) for v in experiment.views]
    state = experiment.joined(states)
    state = jax.device_put(state, state_sharding(stages[0], mesh, state))
  return Place(0, 0, {}), state


def enter(experiment: Any, number: int, state: Any, mesh: jax.sharding.Mesh, keys: jax.Array) -> core.GameState:
  """The state at the start of a stage, on the devices."""
  begin = lambda state, keys: experiment.enter(number, state, keys)
  placed = state_sharding(experiment.stages[number], mesh, jax.eval_shape(begin, state, keys))
  return parallel.compile_once(begin, placed)(state, keys)


def _beside(params: Any, player: Any) -> Any:
  """A player that was read from a file, on the devices where the weights of ours are."""
  mesh = getattr(jax.tree.leaves(params)[0].sharding, 'mesh', None)
  return player if mesh is None or mesh.size == 1 else parallel.replicate(mesh)(player)


def warm(config: Any, state: core.GameState, say: Callable[[str], object]) -> core.GameState:
  """The state with weights and running averages of the runs in `config.init_from` where path and shape agree.

  The optimizers begin at these weights: some keep a copy of them.

  Raises:
    UserError: there is no such run or player, or a player has no weight in common with that of the run.
  """
  folders, setting = config.init_from, 'config.init_players'
  if isinstance(folders, str):
    run = saved.read(folders, say=say)
    names = tuple(config.init_players) or tuple(name for name in state.players if name in run.state.players)
    if not names:
      raise UserError(
        f'config.init_from={folders!r} shares no player with this game: this game has '
        f'{", ".join(sorted(state.players))}, that run has {", ".join(sorted(run.state.players))}; name a run that '
        'shares one, or leave config.init_from out'
      )
    chosen = dict.fromkeys(names, (folders, run))
  else:
    if config.init_players:
      raise UserError('config.init_from names a run for each player: leave config.init_players out')
    read = {folder: saved.read(folder, say=say) for folder in dict.fromkeys(folders.values())}
    chosen, setting = {name: (folder, read[folder]) for name, folder in folders.items()}, 'config.init_from'
  players, optimizers = dict(state.players), stages_of(config)[0].optimizers
  for name, (folder, run) in chosen.items():
    for what, known in (('this game', state.players), (f'the run {folder}', run.state.players)):
      if name not in known:
        raise UserError(f'{setting} names {name!r}, which {what} lacks: it has {", ".join(sorted(known))}')
    ours, theirs = players[name], _beside(players[name].params, run.state.players[name])
    params = surviving([theirs.params], ours.params)
    if not params.kept:
      all_of_one = isinstance(folders, str) and not config.init_players
      cure = 'name the others in config.init_players' if all_of_one else f'leave it out of {setting}'
      raise UserError(f'player {name!r} has no weight in common with that of {folder}: {cure}')
    variables = surviving([theirs.variables], ours.variables, together=True).tree
    average = ours.ema
    if average is not None:
      source = theirs.ema or {'params': theirs.params, 'variables': theirs.variables}
      average = {
        'params': surviving([source['params']], average['params']).tree,
        'variables': surviving([source['variables']], average['variables'], together=True).tree,
      }
    opt_state = ours.opt_state
    if opt_state is not None:
      opt_state = parallel.compile_once(optimizers[name].init)(params.tree)
    # A copy, because the step donates the buffers of its state.
    begun = ours.replace(params=params.tree, variables=variables, opt_state=opt_state, ema=average)
    players[name] = jax.tree.map(jnp.array, begun)
    count = len(jax.tree.leaves(ours.params))
    say(f'{name}: {len(params.kept)} of {count} weights from step {run.step} of {folder}')
  return state.replace(players=players)
