"""How a run begins: anew, from where it stopped, or from the weights of another; and whether it may go on."""

import json
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from gan_jax import config as config_lib
from gan_jax import experiment, parallel
from gan_jax import game as game_lib
from gan_jax.checkpoint import Checkpoints, Place
from gan_jax.errors import UserError
from gan_jax.writers import write_text

#: Settings that a resumed run may change: they do not alter what a step computes, or are meant to be tuned on the way.
FREE = re.compile(
  r'config\.(steps|log_every|sample_every|checkpoint_every|keep|keep_best|samples|devices|shard_state|remat|steps_per_call|profile|resume|init_from'
  r'|init_players|eval|eval\.every|data\.(\w+\.)?(resident|workers|path)|optimizers\.\w+\.(.*\.)?learning_rate(\..*)?)$'
)
RESUME = ('auto', 'force')


def write_config(workdir: epath.Path, config: Any) -> None:
  """Writes config.json, whole or not at all."""
  write_text(workdir / 'config.json', config_lib.to_json(config))


def read_config(workdir: epath.PathLike) -> Any:
  """The config a run was started with.

  Raises:
    UserError: there is no run.
  """
  return config_lib.from_json(_config_text(epath.Path(workdir)))


def _config_text(workdir: epath.Path) -> str:
  file = workdir / 'config.json'
  if not file.exists():
    raise UserError(f'{workdir} is not a run: it has no config.json; name a folder that was given as --workdir')
  text = file.read_text()
  try:
    json.loads(text)
  except ValueError as error:
    raise UserError(f'{file} is damaged ({error}): remove it to go on with the settings you give') from error
  return text


def check_config(config: Any) -> None:
  """Raises a UserError unless config.json will give the same config back, or the run could not be loaded later."""
  if config.resume not in RESUME:
    raise UserError(f'config.resume={config.resume!r}: choose one of {", ".join(RESUME)}')
  again = config_lib.from_json(config_lib.to_json(config)).to_dict()
  changed = config_lib.differences(config.to_dict(), again)
  if changed:
    raise UserError(
      f'{changed[0].split(":")[0]} is lost in config.json: give numbers, names, booleans, tuples or dicts'
    )


def check_resumable(workdir: epath.Path, config: Any) -> None:
  """Raises a UserError if a run is to go on with settings that change what it computes."""
  defaults = config_lib.base(game={}, optimizers={}, data={})  # of settings that an older version did not have
  old = {**json.loads(config_lib.to_json(defaults)), **json.loads(_config_text(workdir))}
  new = json.loads(config_lib.to_json(config))
  changed = [line for line in config_lib.differences(old, new) if not FREE.match(line.split(':')[0])]
  if changed and config.resume != 'force':
    raise UserError(
      f'{workdir} holds a run with other settings ({"; ".join(changed)}): give the same ones to resume it, another '
      '--workdir, or --config.resume=force to go on with these'
    )


def start(
  config: Any,
  checkpoints: Checkpoints,
  population: Any,
  mesh: jax.sharding.Mesh,
  keys: jax.Array,
  say: Callable[[str], object],
) -> tuple[Place, game_lib.GameState]:
  """The state a run begins with, and where it stands.

  Args:
    config: of the run.
    checkpoints: of its workdir.
    population: of the config.
    mesh: the devices.
    keys: of the run, or of each member.
    say: told what was found.
  """
  stages = population.stages

  def abstract_of(place: Place) -> Any:
    if place.stage >= len(stages):
      raise UserError(
        f'the checkpoint of step {place.step} is of stage {place.stage + 1}, the config has {len(stages)}'
      )
    state = population.abstract_state(place.stage)
    placed = lambda s, sharding: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding)
    return jax.tree.map(placed, state, experiment.state_sharding(stages[place.stage], mesh, state))

  found = checkpoints.newest(abstract_of, say)
  if found is not None:
    place, stage = found[0], stages[found[0].stage]
    if not stage.first_step < place.step <= stage.last_step:
      raise UserError(
        f'the checkpoint of step {place.step} is of stage {place.stage + 1}, which now runs from step '
        f'{stage.first_step} to {stage.last_step}: leave the steps of finished stages as they were'
      )
    checkpoints.put_aside(after=found[0].step)
    say(f'resuming at step {found[0].step}')
    return found
  state = enter(population, 0, None, mesh, keys)
  if config.init_from:
    warmed = [warm(m.config, m.of(state), (lambda line: None) if m.number else say) for m in population.members]
    state = warmed[0] if population.alone else jax.tree.map(lambda *leaves: jnp.stack(leaves), *warmed)
    state = jax.device_put(state, experiment.state_sharding(stages[0], mesh, state))
  return Place(0, 0, {}), state


def enter(population: Any, number: int, state: Any, mesh: jax.sharding.Mesh, keys: jax.Array) -> game_lib.GameState:
  """The state in which a stage begins, on the devices."""
  begin = lambda state, keys: population.enter(number, state, keys)
  placed = experiment.state_sharding(population.stages[number], mesh, jax.eval_shape(begin, state, keys))
  return parallel.compile_once(begin, placed)(state, keys)


def warm(config: Any, state: game_lib.GameState, say: Callable[[str], object]) -> game_lib.GameState:
  """The state with weights and running averages of the run `config.init_from` where path and shape agree.

  Raises:
    UserError: no such run, no such player, or a player with no weight in common.
  """
  from gan_jax.sample import load

  run = load(config.init_from)
  names = tuple(config.init_players) or tuple(name for name in state.players if name in run.state.players)
  players = dict(state.players)
  for name in names:
    for what, known in (('this game', state.players), (f'the run {config.init_from}', run.state.players)):
      if name not in known:
        raise UserError(f'config.init_players names {name!r}, which {what} lacks: it has {", ".join(sorted(known))}')
    ours, theirs = players[name], run.state.players[name]
    params, taken, count = _transplanted(ours.params, theirs.params)
    if not taken:
      raise UserError(
        f'player {name!r} has no weight in common with that of {config.init_from}: leave it out of config.init_players'
      )
    variables, *_ = _transplanted(ours.variables, theirs.variables)
    average = ours.ema
    if average is not None:
      source = theirs.ema or {'params': theirs.params, 'variables': theirs.variables}
      average, *_ = _transplanted(average, source)
    players[name] = ours.replace(params=params, variables=variables, ema=average)
    say(f'{name}: {taken} of {count} weights from step {run.step} of {config.init_from}')
  return state.replace(players=players)


def _transplanted(ours: Any, theirs: Any) -> tuple[Any, int, int]:
  """(ours with theirs where path, shape and dtype agree, how many were taken, of how many)."""
  known = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(theirs)}
  fits = lambda name, leaf: name in known and (known[name].shape, known[name].dtype) == (leaf.shape, leaf.dtype)
  paths = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(ours)]
  taken = sum(fits(name, leaf) for name, leaf in paths)
  leaves = [jnp.array(known[name]) if fits(name, leaf) else leaf for name, leaf in paths]
  return jax.tree.unflatten(jax.tree.structure(ours), leaves), taken, len(leaves)
