"""One move: the gradients of a turn's losses, over its microbatches, and the one update of its movers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import DenyList

from gan_jax.base.errors import UserError
from gan_jax.core.clock import Clock
from gan_jax.core.compute import Compute, unrolling
from gan_jax.core.game import RANDOM_STREAMS, Turn
from gan_jax.core.state import GameState, TrainState, assemble, playing, split_collections, variables_of_player

#: Names in a row of metrics that are no metric's.
RESERVED = ('step', 'steps_per_second', 'images_per_second')


class Variables(NamedTuple):
  """What the losses of a move may write, handed from one to the next.

  Attributes:
    owned: {collection: {child: ...}} of the movers.
    table: of the game, what microbatches average.
    memory: of the game, what microbatches hand on.
    scratch: what earlier turns of this step wrote.
  """

  owned: dict[str, Any]
  table: Any
  memory: Any
  scratch: Any


#: (variables, gradients or directions of the movers, metrics).
Found = tuple[Variables, Any, dict[str, jax.Array]]


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
  """One move: the turn's movers take one step down its loss; everybody else comes back untouched.

  Only the movers' parameters are differentiated, so losses need no `stop_gradient` between players. All networks
  run in training mode with mutable collections; what the others' networks write is dropped.

  Args:
    game: the module.
    optimizers: an optax transformation for each player that moves.
    turn: the turn to play (once, whatever its `repeat`).
    state: of the game.
    batch: {stream: {field: (B, ...)}, 'latents': ...}.
    key: a PRNG key of this move; microbatches fold in their number.
    clock: the time; by default taken from `state.step`.
    ema: per player, the decay of its running averages: a number, or a function of the clock.
    compute: microbatches, what the backward pass keeps, the devices' axis; `dtype` is not read, the batch has one.

  Returns:
    The new state, and {name: scalar}: the loss under the name of its method, the norm of each mover's gradient
    (PLAYER_gradient_norm), and what the loss gave.

  Raises:
    UserError: the loss is no scalar, writes variables that were not there at init, or a memory of examples would
      differ between devices.
  """
  if clock is None:
    clock = Clock(state.step, state.step, state.step + 1, jnp.zeros((), jnp.float32))
  if compute.axis_name is not None and state.table['memory']:
    raise UserError(
      f'{type(game).__name__} keeps a memory of examples, which would differ between devices: set config.parallel=jit'
    )
  everybody = playing(game, state)
  before = Variables(_owned(turn, everybody), state.table['table'], state.table['memory'], state.scratch)
  moving = {name: everybody[name].params for name in turn.movers}
  gradients = _gradients_of(_loss_of(game, turn, everybody, {'now': clock, 'parts': compute.parts}), turn, compute)
  directions = _directions_of(gradients, turn, compute)
  one = lambda variables, batch, key: directions(moving, variables, batch, key)
  after, grads, metrics = _over_microbatches(one, before, dict(batch), compute.own_key(key), compute.accumulate)
  # The scratch holds examples, each device its own.
  owned, table, metrics = compute.averaged((after.owned, after.table, metrics))
  metrics |= {f'{name}_gradient_norm': optax.tree_utils.tree_norm(grads[name]) for name in turn.movers}
  players = dict(state.players)
  for name in turn.movers:
    variables = variables_of_player(owned, name, tuple(everybody))
    decay = _decay(name, players[name], ema, clock)
    players[name] = _updated(players[name], optimizers[name], grads[name], variables, decay)
  tables = {'table': table, 'memory': after.memory}
  return state.replace(players=players, table=tables, scratch=after.scratch), metrics


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
    method: str, moving: Any, given: Variables, batch: Any, key: jax.Array
  ) -> tuple[jax.Array, tuple[Variables, dict[str, jax.Array]]]:
    keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(RANDOM_STREAMS)}
    variables = assemble(players, moving)
    for collection, tree in given.owned.items():
      variables[collection] = {**variables.get(collection, {}), **tree}
    variables |= {'table': given.table, 'memory': given.memory, 'scratch': given.scratch, 'clock': clock}
    out, written = game.apply(variables, batch, method=method, rngs=keys, mutable=mutable)
    loss, metrics = out if isinstance(out, tuple) else (out, {})
    for name in RESERVED:
      if name in metrics:
        raise UserError(f'metric {name!r} of {method!r} is a name that rows of metrics have: choose another')
    if jnp.shape(loss) != ():
      raise UserError(f'loss {method!r} returned shape {jnp.shape(loss)}: a loss is a scalar')
    everyone, of_game, scratch = split_collections(written)
    owned: dict[str, Any] = {}
    for name in turn.movers:
      for collection, tree in variables_of_player(everyone, name, tuple(players)).items():
        owned.setdefault(collection, {}).update(tree)
    if structure != jax.tree.structure(owned):
      raise UserError(
        f'loss {method!r} writes variables of {", ".join(turn.movers)} that were not there at init: make them in '
        'every mode of the network'
      )
    # A collection that the loss did not touch keeps its value.
    table, memory = (of_game[name] or old for name, old in (('table', given.table), ('memory', given.memory)))
    left = Variables(owned, table, memory, scratch or given.scratch)
    return loss, (left, {**metrics, method: loss})

  return loss_of


def _gradients_of(loss_of: Callable[..., Any], turn: Turn, compute: Compute) -> Callable[..., Any]:
  """(movers' parameters, variables, batch, key) -> (variables, gradients, metrics), all losses at the same point."""
  # {players that share a loss: its method}
  shares = {turn.movers: turn.loss} if isinstance(turn.loss, str) else {(name,): m for name, m in turn.loss.items()}

  def gradients(moving: Any, variables: Variables, batch: Any, key: jax.Array) -> Found:
    grads: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    for names, method in shares.items():

      def loss(own: Any, variables: Variables, method: str = method) -> Any:
        return loss_of(method, {**moving, **own}, variables, batch, key)

      if compute.remat is not None:
        loss = jax.checkpoint(loss, policy=compute.remat)
      own = {name: moving[name] for name in names}
      (_, (variables, measured)), found = jax.value_and_grad(loss, has_aux=True)(own, variables)
      grads, metrics = {**grads, **found}, {**metrics, **measured}
    return variables, compute.averaged(grads), metrics

  return gradients


def _directions_of(gradients: Callable[..., Any], turn: Turn, compute: Compute) -> Callable[..., Any]:
  """The same with directions in place of gradients: what the turn's dynamics make of their field."""
  if turn.dynamics is None:
    return gradients
  dynamics = turn.dynamics

  def directions(moving: Any, variables: Variables, batch: Any, key: jax.Array) -> Found:
    left, _, metrics = gradients(moving, variables, batch, key)
    field = lambda params: gradients(params, variables, batch, key)[1]
    # Averaged once more: a rule that differentiates the field saw this device's own derivative.
    return left, compute.averaged(dynamics(field, moving)), metrics

  return directions


def _over_microbatches(
  one: Callable[[Variables, Any, jax.Array], Found],
  before: Variables,
  batch: dict[str, Any],
  key: jax.Array,
  count: int,
) -> Found:
  """(variables, gradients, metrics) of a batch in `count` microbatches, which are computed one after the other.

  Gradients, metrics and the table are means; the movers' variables and the memory are handed on; the scratch has the
  microbatches in front, as an earlier turn of this step has written it.
  """
  if count == 1:
    return one(before, batch, jax.random.fold_in(key, 0))

  def microbatch(owned: Any, memory: Any, index: Any, scratch: Any, batch: Any) -> Any:
    variables = Variables(owned, before.table, memory, scratch)
    left, grads, metrics = one(variables, batch, jax.random.fold_in(key, index))
    return left.owned, left.memory, left.scratch, (grads, metrics, left.table)

  def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
    owned, memory, sums = carry
    owned, memory, scratch, new = microbatch(owned, memory, *inputs)
    return (owned, memory, jax.tree.map(jnp.add, sums, new)), scratch

  def dealt(x: jax.Array) -> jax.Array:
    # Rows are dealt out in turn, (B / n, n) swapped, so that a scan never runs over a sharded axis.
    return jnp.swapaxes(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 0, 1)

  inputs = (jnp.arange(count, dtype=jnp.int32), before.scratch, jax.tree.map(dealt, batch))
  traced = jax.make_jaxpr(microbatch, return_shape=True)
  jaxpr, shapes = traced(before.owned, before.memory, *jax.tree.map(lambda x: x[0], inputs))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[-1])
  carry = (before.owned, before.memory, zeros)
  (owned, memory, sums), scratch = jax.lax.scan(body, carry, inputs, unroll=unrolling(jaxpr, count))
  grads, metrics, table = jax.tree.map(lambda x: (x / count).astype(x.dtype), sums)
  return Variables(owned, table, memory, scratch), grads, metrics


def _updated(
  player: TrainState, optimizer: optax.GradientTransformation, grads: Any, variables: Any, decay: Any
) -> TrainState:
  """A player after the update; the decay of its running averages is None where it keeps none."""
  updates, opt_state = optimizer.update(grads, player.opt_state, player.params)
  params = optax.apply_updates(player.params, updates)
  average = player.ema
  if average is not None:
    average = _averaged(average, {'params': params, 'variables': variables}, decay)
  return TrainState(params, variables, opt_state, average)


def _decay(name: str, player: TrainState, ema: Mapping[str, Any] | None, clock: Clock) -> Any:
  """The decay of a player's running averages now; None if it keeps none.

  Raises:
    UserError: it keeps some, and there is no decay for it.
  """
  if player.ema is None:
    return None
  if ema is None or name not in ema:
    raise UserError(f'{name} keeps running averages, but ema={ema} has no decay for it: give ema={{{name!r}: 0.999}}')
  return ema[name](clock) if callable(ema[name]) else ema[name]


def _averaged(average: Any, new: Any, decay: Any) -> Any:
  """decay * average + (1 - decay) * new, of real numbers; others, such as counters, are the new ones.

  Not `optax.incremental_update`, whose two products move an average of equal numbers by rounding.
  """

  def leaf(old: jax.Array, new: jax.Array) -> jax.Array:
    return new if not jnp.issubdtype(new.dtype, jnp.inexact) else (old + (1 - decay) * (new - old)).astype(new.dtype)

  return jax.tree.map(leaf, average, new)
