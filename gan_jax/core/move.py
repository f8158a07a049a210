"""One move: the gradients of a turn's losses, then one update of the movers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import DenyList

from gan_jax.base.errors import UserError
from gan_jax.core.clock import Clock
from gan_jax.core.compute import Compute
from gan_jax.core.game import RANDOM_STREAMS, Turn
from gan_jax.core.microbatches import LossResult, Variables, over_devices, over_microbatches
from gan_jax.core.state import (
  SET_ONCE,
  GameState,
  TrainState,
  active_players,
  assemble,
  split_collections,
  variables_of_player,
)

#: Names in a row of metrics that a game's metrics must not have.
RESERVED = ('step', 'steps_per_second', 'images_per_second')


def play(
  game: nn.Module,
  optimizers: Mapping[str, optax.GradientTransformation],
  turn: Turn,
  state: GameState,
  batch: Mapping[str, Any],
  key: jax.Array,
  *,
  clock: Clock | None = None,
  ema: Mapping[str, Any] | None = None,
  compute: Compute = Compute(),
) -> tuple[GameState, dict[str, jax.Array]]:
  """One move: the turn's movers take one optimizer step on its loss; the other players do not change.

  Only the movers' parameters are differentiated, so losses need no `stop_gradient` between players. All networks run
  in training mode, but only the movers' networks keep the variables that they write (batch statistics, say).

  Args:
    game: the module.
    optimizers: an optax transformation for each player that moves.
    turn: the turn to play. It is played once; `repeat` does not count here.
    state: the state of the game.
    batch: {stream: {field: (B, ...)}, 'latents': ...}.
    key: the PRNG key of this move.
    clock: the time; by default it follows from `state.step`.
    ema: {player: decay of its running averages}; a decay is a number, or a function of the clock.
    compute: how to compute. Its `dtype` has no effect here: the batch has its dtype already.

  Returns:
    (new state, metrics). The metrics are {name: scalar}: the loss under the name of its method, the gradient norm of
    each mover as PLAYER_gradient_norm, and the metrics that the loss returned.

  Raises:
    UserError: the loss is not a scalar, it writes variables that did not exist at init, or the game has a memory of
      examples, which would differ between the devices of an axis.
  """
  if clock is None:
    clock = Clock(state.step, state.step, state.step + 1, jnp.zeros((), jnp.float32))
  if compute.axis_name is not None and state.variables['memory']:
    raise UserError(
      f'{type(game).__name__} keeps a memory of examples, which would differ between devices: set config.parallel=jit'
    )
  active = active_players(game, state)
  before = Variables(_owned(turn, active), state.variables['table'], state.variables['memory'], state.scratch)
  moving = {name: active[name].params for name in turn.movers}
  gradients = _gradients_of(_loss_of(game, turn, active, {'now': clock, 'parts': compute.parts}), turn, compute)
  over_batch = lambda at: over_microbatches(at, before, dict(batch), compute.own_key(key), compute.accumulate)
  after, grads, metrics = over_batch(functools.partial(gradients, moving))
  if turn.dynamics is not None:
    at, here = _derived(gradients, compute), grads
    # The field at `moving` is known; a compiler that meets it twice merges no loops over microbatches.
    field = lambda params: here if params is moving else over_batch(functools.partial(at, params))[1]
    grads = turn.dynamics(field, moving)
  # The scratch holds examples, which differ between devices: it is not averaged.
  owned, table, metrics = compute.averaged((after.owned, after.table, metrics))
  table = over_devices(table, before.table, compute.axis_name)
  metrics |= {f'{name}_gradient_norm': optax.tree_utils.tree_norm(grads[name]) for name in turn.movers}
  players = dict(state.players)
  for name in turn.movers:
    variables = variables_of_player(owned, name, tuple(active))
    decay = _decay(name, players[name], ema, clock)
    players[name] = _updated(players[name], optimizers[name], grads[name], variables, decay)
  of_game = {'table': table, 'memory': after.memory}
  return state.replace(players=players, variables=of_game, scratch=after.scratch), metrics


def _owned(turn: Turn, players: Mapping[str, TrainState]) -> dict[str, Any]:
  """{collection: {child: ...}} of a turn's movers."""
  owned: dict[str, Any] = {}
  for name in turn.movers:
    for collection, tree in players[name].variables.items():
      owned.setdefault(collection, {}).update(tree)
  return owned


def _loss_of(
  game: nn.Module, turn: Turn, players: Mapping[str, TrainState], clock: Mapping[str, Any]
) -> Callable[..., tuple[jax.Array, tuple[Variables, dict[str, jax.Array]]]]:
  """(method, movers' parameters, variables, batch, key) -> (loss, (variables, metrics))."""
  mutable = DenyList(('params', 'clock', 'intermediates'))
  structure: Any = jax.tree.structure(_owned(turn, players))

  def loss_of(
    method: str, moving: Any, before: Variables, batch: Any, key: jax.Array
  ) -> tuple[jax.Array, tuple[Variables, dict[str, jax.Array]]]:
    keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(RANDOM_STREAMS)}
    variables = assemble(players, moving)
    for collection, tree in before.owned.items():
      variables[collection] = {**variables.get(collection, {}), **tree}
    variables |= {'table': before.table, 'memory': before.memory, 'scratch': before.scratch, 'clock': clock}
    out, written = game.apply(variables, batch, method=method, rngs=keys, mutable=mutable)
    loss, metrics = out if isinstance(out, tuple) else (out, {})
    for name in RESERVED:
      if name in metrics:
        raise UserError(f'metric {name!r} of {method!r} has a name that every row of metrics uses: choose another')
    if jnp.shape(loss) != ():
      raise UserError(f'loss {method!r} returned shape {jnp.shape(loss)}: a loss is a scalar')
    of_players, of_game, scratch = split_collections(written)
    owned: dict[str, Any] = {}
    for name in turn.movers:
      for collection, tree in variables_of_player(of_players, name, tuple(players)).items():
        owned.setdefault(collection, {}).update(tree)
    if structure != jax.tree.structure(owned):
      raise UserError(
        f'loss {method!r} writes variables of {", ".join(turn.movers)} that did not exist at init: make them in '
        'every mode of the network'
      )
    # A collection that the loss did not write keeps its value.
    table, memory = of_game['table'] or before.table, of_game['memory'] or before.memory
    table = _as_before(before.table, table, f'loss {method!r} writes table')
    memory = _as_before(before.memory, memory, f'loss {method!r} writes memory')
    owned = _as_before(before.owned, owned, f'loss {method!r} writes ')
    after = Variables(owned, table, memory, scratch or before.scratch)
    # Float32 before they are averaged: counts are no longer whole numbers then.
    metrics = {name: jnp.asarray(value, jnp.float32) for name, value in {**metrics, method: loss}.items()}
    return loss, (after, metrics)

  return loss_of


def _as_before(old: Any, new: Any, what: str) -> Any:
  """What a loss wrote, in the dtypes that it found: the state of a run has one form from the first step to the last.

  Raises:
    UserError: an entry is new, or has another shape.
  """
  known = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(old)}

  def leaf(path: Any, value: jax.Array) -> jax.Array:
    name, value = jax.tree_util.keystr(path), jnp.asarray(value)
    if name not in known:
      raise UserError(f'{what}{name}, which did not exist at init: make it in setup')
    if jnp.shape(value) != known[name].shape:
      raise UserError(f'{what}{name} of shape {jnp.shape(value)}, at init it was {known[name].shape}: keep its shape')
    return value if value.dtype == known[name].dtype else value.astype(known[name].dtype)

  return jax.tree_util.tree_map_with_path(leaf, new)


def _gradients_of(loss_of: Callable[..., Any], turn: Turn, compute: Compute) -> Callable[..., Any]:
  """(movers' parameters, variables, batch, key) -> (variables, gradients, metrics).

  All gradients are taken at the same parameters.
  """
  # {players with the same loss: its method}
  losses = {turn.movers: turn.loss} if isinstance(turn.loss, str) else {(name,): m for name, m in turn.loss.items()}

  def gradients(moving: Any, variables: Variables, batch: Any, key: jax.Array) -> LossResult:
    grads: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    for names, method in losses.items():

      def loss(own: Any, variables: Variables, method: str = method) -> Any:
        return loss_of(method, {**moving, **own}, variables, batch, key)

      if compute.remat is not None:
        loss = jax.checkpoint(loss, policy=compute.remat)
      own = {name: moving[name] for name in names}
      (_, (variables, new_metrics)), new_grads = jax.value_and_grad(loss, has_aux=True)(own, variables)
      grads, metrics = {**grads, **new_grads}, {**metrics, **new_metrics}
    return variables, compute.averaged(grads), metrics

  return gradients


def _derived(gradients: Callable[..., Any], compute: Compute) -> Callable[..., Any]:
  """`_gradients_of` for rules that differentiate the field: its derivative is that of the whole batch.

  Without this, each device would have the derivative of its own gradients, and what a rule decides by it could differ.
  """

  @jax.custom_jvp
  def shared(params: Any) -> Any:
    return params

  shared.defjvp(lambda params, tangents: (*params, compute.averaged(*tangents)))

  def derived(params: Any, variables: Variables, batch: Any, key: jax.Array) -> LossResult:
    # What one microbatch passes to the next is data, as in the gradients.
    variables = jax.lax.stop_gradient(variables)
    result: LossResult = gradients(params if compute.axis_name is None else shared(params), variables, batch, key)
    return result

  # So that no more than one microbatch is in memory.
  return derived if compute.accumulate == 1 else jax.checkpoint(derived)


def _updated(
  player: TrainState, optimizer: optax.GradientTransformation, grads: Any, variables: Any, decay: Any
) -> TrainState:
  """A player after one update. `decay` is None if the player keeps no running averages."""
  updates, opt_state = optimizer.update(grads, player.opt_state, player.params)
  params = optax.apply_updates(player.params, updates)
  average = player.ema
  if average is not None:
    average = _averaged(average, {'params': params, 'variables': variables}, decay)
    average['variables'] |= {name: tree for name, tree in variables.items() if name in SET_ONCE}
  return TrainState(params, variables, opt_state, average)


def _decay(name: str, player: TrainState, ema: Mapping[str, Any] | None, clock: Clock) -> Any:
  """The decay of a player's running averages now; None if it keeps none.

  Raises:
    UserError: it keeps running averages, but `ema` has no decay for it.
  """
  if player.ema is None:
    return None
  if ema is None or name not in ema:
    raise UserError(f'{name} keeps running averages, but ema={ema} has no decay for it: give ema={{{name!r}: 0.999}}')
  return ema[name](clock) if callable(ema[name]) else ema[name]


def _averaged(average: Any, new: Any, decay: Any) -> Any:
  """decay * average + (1 - decay) * new for floats. Other numbers, such as counters, are taken from `new`.

  `optax.incremental_update` computes two products: its rounding changes an average even if old and new are equal.
  """

  def leaf(old: jax.Array, new: jax.Array) -> jax.Array:
    return new if not jnp.issubdtype(new.dtype, jnp.inexact) else (old + (1 - decay) * (new - old)).astype(new.dtype)

  return jax.tree.map(leaf, average, new)
