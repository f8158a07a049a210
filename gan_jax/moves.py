"""Moves: `play` makes one, `make_step` a whole step of the schedule; `means` reads what a step measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import DenyList
from flax.traverse_util import flatten_dict, unflatten_dict

from gan_jax.data import latents as latents_lib
from gan_jax.errors import UserError
from gan_jax.game import (
  RANDOM_STREAMS,
  Clock,
  GameState,
  TrainState,
  Turn,
  assemble,
  playing,
  split_collections,
  turn_streams,
  variables_of_player,
)
from gan_jax.nets.conv import KEPT

#: Names in a row of metrics that are no metric's.
RESERVED = ('step', 'steps_per_second', 'images_per_second')


def _averaged(ema: Any, new: Any, decay: Any) -> Any:
  def leaf(old, new):
    return new if not jnp.issubdtype(new.dtype, jnp.inexact) else (old + (1 - decay) * (new - old)).astype(new.dtype)

  return jax.tree.map(leaf, ema, new)


def cast(tree: Any, dtype: Any) -> Any:
  """The real numbers of a tree in another dtype; what are not, such as labels, as they were."""
  return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def _over(axis_name: str | None) -> Callable[[Any], Any]:
  """The mean over devices of the real numbers of a tree, where there are several programs; all else as it is."""
  if axis_name is None:
    return lambda tree: tree
  mean = lambda x: jax.lax.pmean(x, axis_name) if jnp.issubdtype(x.dtype, jnp.inexact) else x
  return lambda tree: jax.tree.map(mean, tree)


def _norm(tree: Any) -> jax.Array:
  squares = [jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(tree)]
  return jnp.sqrt(sum(squares, jnp.zeros((), jnp.float32)))


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
  accumulate: int = 1,
  remat: bool = False,
  axis_name: str | None = None,
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
    accumulate: the number of microbatches to split the batch into. Gradients are averaged before the one update;
      batch statistics pass from one microbatch to the next; losses that couple examples see one microbatch.
    remat: keep only the outputs of convolutions and dense layers for the backward pass, and compute what lies between
      again: less memory.
    axis_name: of the devices that play the same move on their own examples each (`jax.pmap`, `jax.shard_map`).
      Gradients, table, running statistics and metrics are averaged over them; batch statistics and losses that couple
      examples are each device's own. Noise differs between them. The memory of a game would not be the same on all.

  Returns:
    The new state, and {name: scalar}: the loss under the name of its method, the norm of each mover's gradient
    (PLAYER_gradient_norm), and what the loss gave.
  """
  if clock is None:
    clock = Clock(state.step, state.step, state.step + 1, jnp.zeros((), jnp.float32))
  everybody = playing(game, state)
  players = tuple(everybody)
  averaged = _over(axis_name)
  if axis_name is not None:
    if state.table['memory']:
      raise UserError(
        f'{type(game).__name__} keeps a memory of examples, which would differ between devices: set config.parallel=jit'
      )
    key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
  moving = {name: state.players[name].params for name in turn.movers}
  mutable = DenyList(('params', 'clock', 'intermediates'))

  def loss_of(moving, owned, table, scratch, batch, key, method):
    keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(RANDOM_STREAMS)}
    variables = assemble(everybody, moving)
    for collection, tree in owned.items():
      variables[collection] = {**variables.get(collection, {}), **tree}
    variables |= {**table, 'scratch': scratch, 'clock': {'now': clock}}
    out, written = game.apply(variables, batch, method=method, rngs=keys, mutable=mutable)
    loss, metrics = out if isinstance(out, tuple) else (out, {})
    for name in RESERVED:
      if name in metrics:
        raise UserError(f'metric {name!r} of {method!r} is a name that rows of metrics have: choose another')
    if jnp.shape(loss) != ():
      raise UserError(f'loss {method!r} returned shape {jnp.shape(loss)}: a loss is a scalar')
    everyone, new_table, new_scratch = split_collections(written)
    mine: dict[str, Any] = {}
    for name in turn.movers:
      for collection, tree in variables_of_player(everyone, name, players).items():
        mine.setdefault(collection, {}).update(tree)
    if structure != jax.tree.structure(mine):
      raise UserError(
        f'loss {method!r} writes variables of {", ".join(turn.movers)} that were not there at init: make them in '
        'every mode of the network'
      )
    # A collection that the loss did not touch keeps its value.
    table = {name: new_table[name] or old for name, old in table.items()}
    return loss, (mine, table, new_scratch or scratch, {**metrics, method: loss})

  mine: dict[str, Any] = {}
  for name in turn.movers:
    for collection, tree in state.players[name].variables.items():
      mine.setdefault(collection, {}).update(tree)

  structure: Any = jax.tree.structure(mine)

  # {players that share a loss: its method}
  shares = {turn.movers: turn.loss} if isinstance(turn.loss, str) else {(name,): m for name, m in turn.loss.items()}

  def gradient(moving, owned, tables, scratch, batch, key):
    """((what the losses leave behind), gradients), every loss at the same parameters."""
    metrics: dict[str, Any] = {}
    grads: dict[str, Any] = {}
    for names, method in shares.items():

      def loss(own, owned, tables, scratch, method=method):
        return loss_of({**moving, **own}, owned, tables, scratch, batch, key, method)

      own = {name: moving[name] for name in names}
      if remat:
        loss = jax.checkpoint(loss, policy=jax.checkpoint_policies.save_only_these_names(KEPT))
      (_, left), gradients = jax.value_and_grad(loss, has_aux=True)(own, owned, tables, scratch)
      owned, tables, scratch, new_metrics = left
      metrics |= new_metrics
      grads |= gradients
    return (owned, tables, scratch, metrics), averaged(grads)

  def microbatch(owned, memory, index, scratch, batch):
    tables = {'table': state.table['table'], 'memory': memory}
    micro_key = jax.random.fold_in(key, index)
    left, grads = gradient(moving, owned, tables, scratch, batch, micro_key)
    if turn.dynamics is not None:
      field = lambda params: gradient(params, owned, tables, scratch, batch, micro_key)[1]
      # Averaged once more: a rule that differentiates the field saw this device's own derivative.
      grads = averaged(turn.dynamics(field, moving))
    owned, tables, scratch, metrics = left
    return owned, tables['memory'], scratch, {'grads': grads, 'metrics': metrics, 'table': tables['table']}

  memory = state.table['memory']
  if accumulate == 1:
    mine, memory, scratch, means = microbatch(mine, memory, 0, state.scratch, dict(batch))
  else:

    def split(x):
      # Rows are dealt out in turn, (B / n, n) swapped, so that a scan never runs over a sharded axis.
      return jnp.swapaxes(x.reshape(x.shape[0] // accumulate, accumulate, *x.shape[1:]), 0, 1)

    def body(carry, inputs):
      owned, memory, sums = carry
      owned, memory, scratch, new = microbatch(owned, memory, *inputs)
      return (owned, memory, jax.tree.map(jnp.add, sums, new)), scratch

    # What an earlier turn wrote to scratch has the microbatches in front already.
    inputs = (jnp.arange(accumulate, dtype=jnp.int32), state.scratch, jax.tree.map(split, dict(batch)))
    traced = jax.make_jaxpr(microbatch, return_shape=True)
    jaxpr, shapes = traced(mine, memory, *jax.tree.map(lambda x: x[0], inputs))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[-1])
    unroll = unrolling(jaxpr, accumulate)
    (mine, memory, sums), scratch = jax.lax.scan(body, (mine, memory, zeros), inputs, unroll=unroll)
    means = jax.tree.map(lambda x: (x / accumulate).astype(x.dtype), sums)

  mine, tables, metrics = averaged((mine, means['table'], dict(means['metrics'])))
  updated = dict(state.players)
  for name in turn.movers:
    player = state.players[name]
    metrics[f'{name}_gradient_norm'] = _norm(means['grads'][name])
    updates, opt_state = optimizers[name].update(means['grads'][name], player.opt_state, player.params)
    params = optax.apply_updates(player.params, updates)
    variables = variables_of_player(mine, name, players)
    average = player.ema
    if average is not None:
      if name not in (ema or {}):
        raise UserError(
          f'the state keeps running averages of {name!r}, but play has no decay of them: give ema={{{name!r}: 0.999}}, '
          'or make the state without (game.init, ema)'
        )
      decay = (ema or {})[name]
      decay = decay(clock) if callable(decay) else decay
      average = _averaged(average, {'params': params, 'variables': variables}, decay)
    updated[name] = TrainState(params, variables, opt_state, average)
  table = {'table': tables, 'memory': memory}
  return state.replace(players=updated, table=table, scratch=scratch), metrics


def _convolves(jaxpr: Any) -> bool:
  """Whether a traced program holds convolutions of XLA's own, at any depth."""
  inner = (
    item for e in jaxpr.eqns for value in e.params.values() for item in (value if type(value) is tuple else [value])
  )
  return any(e.primitive.name == 'conv_general_dilated' for e in jaxpr.eqns) or any(
    _convolves(item) for item in inner if hasattr(item, 'eqns')
  )


def unrolling(jaxpr: Any, length: int) -> int:
  """How far to unroll a scan of some length over a traced body.

  XLA:CPU computes its convolutions inside loops on a path 60 times slower, so there a body that holds any is written
  out in full, which takes as many times longer to compile. `nets.conv` needs it on several CPU devices only, but the
  networks of others may have convolutions from elsewhere: what counts is what was traced.
  """
  return length if jax.default_backend() == 'cpu' and _convolves(jaxpr) else 1


def _is_loop(make_move: Callable[..., Any], state: GameState, moves: int) -> bool:
  """Whether the moves of a turn may be a loop: compiled once, however many they are.

  A turn that writes to the scratch for the first time changes the state's structure.
  """
  if moves < 3:
    return False
  jaxpr, shapes = jax.make_jaxpr(lambda state: make_move(state, None, 0)[0], return_shape=True)(state)
  structures: list[Any] = [jax.tree.structure(tree) for tree in (shapes, state)]
  return structures[0] == structures[1] and unrolling(jaxpr, moves) == 1


def _added(totals: Mapping[str, jax.Array], metrics: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
  return {**totals, **{k: totals[k] + v if k in totals else v for k, v in metrics.items()}}


def _play_if(condition: jax.Array, move: Callable[[GameState], Any], state: GameState) -> Any:
  """`move(state)` where the condition holds; else the same state and zeros for what the move would have added."""
  shapes, metric_shapes = jax.eval_shape(move, state)

  def skip(state):
    scratch = {k: jnp.zeros(s.shape, s.dtype) for k, s in flatten_dict(shapes.scratch).items()}
    scratch = unflatten_dict(scratch | flatten_dict(state.scratch))
    return state.replace(scratch=scratch), jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), metric_shapes)

  if jax.default_backend() == 'cpu':
    # XLA:CPU computes convolutions inside a branch on a path 20 times slower than to make the move and drop it.
    return jax.tree.map(lambda new, old: jnp.where(condition, new, old), move(state), skip(state))
  return jax.lax.cond(condition, move, skip, state)


def make_step(
  game: nn.Module,
  optimizers: Mapping[str, optax.GradientTransformation],
  *,
  streams: tuple[str, ...],
  latents_batch: int,
  prepare: Callable[[Any, str, int, jax.Array], Mapping[str, jax.Array]] | None = None,
  constrain: Callable[[Any], Any] = lambda tree: tree,
  ema: Mapping[str, Any] | None = None,
  accumulate: int = 1,
  remat: bool = False,
  dtype: Any = jnp.float32,
  axis_name: str | None = None,
  first_step: int = 0,
  steps: int = 1,
  images: tuple[int, int] = (0, 0),
) -> Callable[[GameState, Any, jax.Array], tuple[GameState, dict[str, jax.Array]]]:
  """One step of the schedule: every turn in order, each move on fresh data, latents and keys.

  Args:
    game: the module.
    optimizers: an optax transformation for each player that moves.
    streams: the names of the data streams.
    latents_batch: latents per move; with `axis_name`, per device.
    prepare: (feed, stream, move, key) -> fields of one move, from what the step is fed; `move` counts the moves of
      this step that read the stream, and may be traced. By default feed[stream] has the moves in front:
      {field: (moves, B, ...)}.
    constrain: places the latents on the devices; without it every device would run the whole generator.
    ema: per player, the decay of its running averages: a number, or a function of the clock.
    accumulate: microbatches per move.
    remat: as in `play`.
    dtype: of the examples and latents that a game is given. Networks compute in the dtype of what they are given;
      parameters, normalisations and losses stay float32.
    axis_name: as in `play`.
    first_step: the step at which this stage begins.
    steps: the length of this stage.
    images: (real examples drawn before this stage, drawn per step), for the clock.

  Returns:
    step(state, feed, key) -> (state, metrics). Pure: jit it. A metric is (sum over the moves played, number of
    moves played), so that a turn which was not played says nothing: see `means`.
  """
  if prepare is None:
    prepare = lambda feed, stream, move, key: jax.tree.map(lambda x: x[move], feed[stream])

  def step(state: GameState, feed: Any, key: jax.Array) -> tuple[GameState, dict[str, jax.Array]]:
    key = jax.random.fold_in(key, state.step)
    device = 0 if axis_name is None else jax.lax.axis_index(axis_name)
    stage_step = state.step - first_step
    seen = images[0] + stage_step.astype(jnp.float32) * images[1]
    clock = Clock(state.step, stage_step, jnp.asarray(steps, jnp.int32), seen)
    drawn = dict.fromkeys(streams, 0)
    latents: Any = None
    totals: dict[str, jax.Array] = {}
    for number, turn in enumerate(game.turns):
      turn_key, before = jax.random.fold_in(key, number), dict(drawn)

      def make_move(state, latents, move_number, turn=turn, key=turn_key, before=before):
        """One move of the turn on latents that are given, or None for new ones: (state, latents, metrics)."""
        latents_key, data_key, play_key = jax.random.split(jax.random.fold_in(key, move_number), 3)
        batch: dict[str, Any] = {}
        for i, stream in enumerate(turn_streams(turn, streams)):
          own_key = jax.random.fold_in(data_key, i)
          own_key = own_key if axis_name is None else jax.random.fold_in(own_key, device)
          batch[stream] = cast(prepare(feed, stream, before[stream] + move_number, own_key), dtype)
        if game.latents is not None:
          if latents is None:
            # Examples of their own for every device, the same ones that one device would draw for all.
            fresh = latents_lib.draw(game.latents, latents_key, latents_batch, start=device * latents_batch)
            latents = constrain(cast(fresh, dtype))
          batch['latents'] = latents

        def move(state):
          settings: dict[str, Any] = dict(accumulate=accumulate, remat=remat, axis_name=axis_name)
          state, metrics = play(game, optimizers, turn, state, batch, play_key, clock=clock, ema=ema, **settings)
          return state, {
            k: jnp.stack([jnp.asarray(v, jnp.float32), jnp.ones((), jnp.float32)]) for k, v in metrics.items()
          }

        if turn.when is None:
          state, metrics = move(state)
        else:
          state, metrics = _play_if(turn.when(clock, state.table), move, state)
        return state, latents, metrics

      numbers = list(range(turn.repeat))
      if turn.share:
        state, latents, metrics = make_move(state, latents, numbers.pop(0))
        totals = _added(totals, metrics)
      if _is_loop(make_move, state, len(numbers)):

        def body(carry, move_number, make_move=make_move):
          state, latents, metrics = make_move(carry[0], None, move_number)
          return (state, latents, _added(carry[2], metrics)), None

        shapes = jax.eval_shape(lambda state, make_move=make_move: make_move(state, None, 0), state)
        latents, zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[1:])
        (state, latents, metrics), _ = jax.lax.scan(body, (state, latents, zeros), jnp.array(numbers, jnp.int32))
        totals = _added(totals, metrics)
      else:
        for move_number in numbers:
          state, latents, metrics = make_move(state, None, move_number)
          totals = _added(totals, metrics)
      for stream in turn_streams(turn, streams):
        drawn[stream] += turn.repeat
    return state.replace(step=state.step + 1, scratch={}), totals

  return step


def means(metrics: Mapping[str, Any]) -> dict[str, float]:
  """The metrics of one step as numbers, on the host; those of turns that were not played are left out."""
  return {name: float(total / count) for name, (total, count) in metrics.items() if count}
