"""The state at the start of a stage: new, or with the weights that the stage before trained."""

import functools
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import core
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.compute import Compute
from gan_jax.latents import distributions as latents_lib
from gan_jax.nets.layers.conv import short_formulation
from gan_jax.runs.stages import RESETTABLE, Stage
from gan_jax.runs.survival import surviving


def example_batch(stage: Stage) -> dict[str, Any]:
  """A microbatch of zeros, with the shapes and dtypes of a stage's data and latents."""
  size = lambda batch: max(batch // stage.accumulate, 1)
  zeros = lambda tree: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), tree)
  batch: dict[str, Any] = {
    name: zeros(stream.fields(size(stream.batch_size or stage.batch_size))) for name, stream in stage.streams.items()
  }
  latents = stage.game.latents
  if latents is not None:
    draw = lambda key: latents_lib.draw(latents, key, size(stage.batch_size))
    batch['latents'] = zeros(jax.eval_shape(draw, jax.random.key(0)))
  cast: dict[str, Any] = Compute(dtype=stage.dtype).cast(batch)
  return cast


def new_state(stage: Stage, key: jax.Array) -> core.GameState:
  """The untrained state of a stage's game; a pure function for `jax.jit` or `jax.eval_shape`."""
  key = jax.random.fold_in(key, stage.number)
  # Few numbers that networks compute here matter, and most of them are never computed.
  with short_formulation():
    return core.init(stage.game, stage.optimizers, example_batch(stage), key, ema=stage.ema)


def enter(stage: Stage, before: core.GameState | None, key: jax.Array) -> core.GameState:
  """The state at the start of a stage: a weight is kept if the new game has one of the same path.

  Parts that the stage resets are new. A weight is kept even if its network now belongs to another player. New optimizer
  states and new running averages start from the kept weights. If this stage's game lacks a player, the player's state
  is kept unchanged for a later stage; of a player that is frozen, the weights are. A network that the stage's `start`
  names begins with the weights, statistics and averages of another, and with moments of zero in the optimizer's state,
  whose count of steps is the player's and goes on.

  Args:
    stage: the stage to start.
    before: the state at the end of the stage before; None for the first stage.
    key: the PRNG key of the run.

  Raises:
    UserError: a weight of the same path has another shape, or `start` names a network that is not there.
  """
  fresh = new_state(stage, key)
  if before is None:
    return fresh
  copies = _copies(stage, before, fresh)
  players = {}
  for name, new in fresh.players.items():
    anew = {part for part in RESETTABLE if name in stage.reset.get(part, ())}
    old = before.players.get(name)
    # The player's own weights come last and so win, if another player had a network of the same name.
    others = [player for other, player in before.players.items() if other != name]
    sources = [*others, *([old] if old else []), *copies]
    kept = copies if 'params' in anew else sources
    params = _surviving([player.params for player in kept], new.params, f'{name}.params', strict=True)
    variables = _surviving([player.variables for player in kept], new.variables, f'{name}.variables', together=True)
    opt_state = None if new.opt_state is None else stage.optimizers[name].init(params)
    if old and opt_state is not None and not anew & {'optimizer', 'params'}:
      went_on = _surviving([old.opt_state], opt_state, f'{name}.opt_state')
      opt_state = _begun_anew(opt_state, went_on, params, stage.start)
    ema = None if new.ema is None else jax.tree.map(jnp.copy, {'params': params, 'variables': variables})
    if ema is not None and not anew & {'ema', 'params'}:
      averages = [player.ema for player in sources if player.ema is not None]
      # As of the weights and variables themselves: a pool may change its size.
      how: dict[str, Any] = {'params': {'strict': True}, 'variables': {'together': True}}
      ema = {
        part: _surviving([average[part] for average in averages], ema[part], f'{name}.ema', **how[part]) for part in ema
      }
    players[name] = core.TrainState(params, variables, opt_state, ema)
  children = {child for player in players.values() for child in player.params}
  waiting = {name: player for name, player in before.players.items() if name not in players}
  players |= {name: player for name, player in waiting.items() if not children & set(player.params)}
  variables = _surviving([before.variables], fresh.variables, 'variables', together=True)
  return core.GameState(step=before.step, players=players, variables=variables, scratch={})


def _begun_anew(begun: Any, went_on: Any, networks: Any, started: Collection[str]) -> Any:
  """An optimizer's state that goes on, but for the networks that were started from others."""
  leaf = lambda path, new, old: new if _network(path, networks) in started else old
  return jax.tree_util.tree_map_with_path(leaf, begun, went_on)


def _network(path: Any, networks: Any) -> Any:
  """The network that a leaf of an optimizer's state is of, by its path; None for those of none."""
  keys = [entry.key for entry in path if isinstance(entry, jax.tree_util.DictKey)]
  return next((key for key in keys if key in networks), None)


def _copies(stage: Stage, before: core.GameState, fresh: core.GameState) -> list[core.TrainState]:
  """The networks that others begin from, under the names of these."""
  owners = {child: player for player in before.players.values() for child in player.params}
  known = [child for player in fresh.players.values() for child in player.params]
  copies = []
  for new, old in stage.start.items():
    for name, there, whose in ((new, known, 'this stage'), (old, owners, 'the stages before')):
      if name not in there:
        raise one_of(f'network of {whose} in config.stages, start={dict(stage.start)}', name, there)
    params, variables = _renamed(owners[old].params, owners[old].variables, old, new)
    ema = owners[old].ema
    if ema is not None:
      ema = dict(zip(('params', 'variables'), _renamed(ema['params'], ema['variables'], old, new), strict=True))
    # One that keeps no averages begins them from its weights.
    copies.append(core.TrainState(params, variables, None, ema or {'params': params, 'variables': variables}))
  return copies


def _renamed(params: Any, variables: Any, old: str, new: str) -> tuple[Any, Any]:
  """The parameters and variables of one network of a player, under another name."""
  of = lambda tree: {new: tree[old]} if old in tree else {}
  return of(params), {name: of(tree) for name, tree in variables.items()}


def _surviving(old: Sequence[Any], new: Any, where: str, *, strict: bool = False, together: bool = False) -> Any:
  """`new` with the arrays of the `old` trees that fit.

  Raises:
    UserError: `strict`, and an array of the same path has another shape.
  """
  survival = surviving(old, new, together=together)
  for name, (before, after) in survival.changed.items() if strict else ():
    raise UserError(
      f'weight {where}{name} changes its shape between stages, {before} -> {after}: give the new layer a name of its '
      "own, or list the player in the stage's reset"
    )
  return survival.tree


class Entries:
  """The states at the starts of several stages, and their shapes.

  The functions are kept, so that jax traces the first start once for the shapes, the shardings and the numbers.

  Args:
    stages: of one game, from the first.
    key: a PRNG key; only its kind matters.
  """

  def __init__(self, stages: Sequence[Stage], key: jax.Array):
    self._key = key
    self._enter = [jax.jit(functools.partial(enter, stage)) for stage in stages]
    self._found: list[core.GameState] = []

  def __getitem__(self, number: int) -> core.GameState:
    """Shapes and dtypes of the state in stage `number`."""
    for enter_stage in self._enter[len(self._found) : number + 1]:
      before = self._found[-1] if self._found else None
      self._found.append(jax.eval_shape(enter_stage, before, self._key))
    return self._found[number]

  def enter(self, number: int, before: core.GameState | None, key: jax.Array) -> core.GameState:
    """The state at the start of stage `number`, as `enter` makes it."""
    state: core.GameState = self._enter[number](before, key)
    return state


def abstract_state(stages: Sequence[Stage], number: int, key: jax.Array) -> core.GameState:
  """Shapes and dtypes of the state in stage `number`; of several stages, take `Entries`."""
  return Entries(stages, key)[number]
