"""One step of training: every turn in order, each move with new data, latents and keys."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from gan_jax.core.clock import Clock
from gan_jax.core.compute import Compute, unrolling
from gan_jax.core.game import Turn, turn_batch, turn_streams
from gan_jax.core.move import play
from gan_jax.core.state import GameState
from gan_jax.latents import distributions as latents_lib

#: The inputs of a move: (batch, PRNG key).
Inputs = tuple[dict[str, Any], jax.Array]
#: {metric: (sum over the moves played, number of moves played)}.
Totals = dict[str, jax.Array]


def make_step(
  game: nn.Module,
  optimizers: Mapping[str, optax.GradientTransformation],
  *,
  streams: tuple[str, ...],
  latents_batch: int,
  prepare: Callable[[Any, str, int, jax.Array], Mapping[str, jax.Array]] | None = None,
  constrain: Callable[[Any], Any] = lambda tree: tree,
  ema: Mapping[str, Any] | None = None,
  clock: Callable[[jax.Array], Clock] | None = None,
  compute: Compute = Compute(),
) -> Callable[[GameState, Any, jax.Array], tuple[GameState, Totals]]:
  """The function that trains one step: every turn in order, each move with new data, latents and keys.

  Args:
    game: the module.
    optimizers: an optax transformation for each player that moves.
    streams: the names of the data streams.
    latents_batch: latents per move; with `compute.axis_name`, per device.
    prepare: (feed, stream, move, key) -> {field: (B, ...)}, the examples of one move, taken from the step's feed.
      `move` counts the moves of this step that draw from the stream; it may be traced. By default feed[stream] is
      {field: (moves, B, ...)}.
    constrain: places the latents on the devices; without it every device would run the whole generator.
    ema: {player: decay of its running averages}; a decay is a number, or a function of the clock.
    clock: steps finished -> the time; by default a stage that has just begun at step 0.
    compute: how moves are computed.

  Returns:
    step(state, feed, key) -> (state, metrics), a pure function for `jax.jit`. A metric is (sum over the moves played,
    number of moves played); `means` divides them.
  """
  take = lambda feed, stream, move, key: jax.tree.map(lambda x: x[move], feed[stream])
  supply = _Supply(game.latents, streams, latents_batch, prepare or take, constrain, compute)

  def step(state: GameState, feed: Any, key: jax.Array) -> tuple[GameState, Totals]:
    key = jax.random.fold_in(key, state.step)
    now = Clock(state.step, state.step, jnp.int32(1), jnp.float32(0)) if clock is None else clock(state.step)
    moves_drawn = dict.fromkeys(streams, 0)
    previous: Inputs | None = None
    totals: Totals = {}
    for number, turn in enumerate(game.turns):
      draw = functools.partial(supply.draw, turn, feed, dict(moves_drawn), jax.random.fold_in(key, number))

      def move(state: GameState, inputs: Inputs, turn: Turn = turn) -> tuple[GameState, Totals]:
        def one(state: GameState) -> tuple[GameState, Totals]:
          state, metrics = play(game, optimizers, turn, state, *inputs, clock=now, ema=ema, compute=compute)
          return state, {k: jnp.stack([jnp.asarray(v, jnp.float32), jnp.float32(1)]) for k, v in metrics.items()}

        return one(state) if turn.when is None else _play_if(turn.when(now, state.variables), one, state)

      state, previous, metrics = _play_turn(turn, state, previous, draw, move)
      totals = _added(totals, metrics)
      for stream in turn_streams(turn, streams):
        moves_drawn[stream] += turn.fresh
    return state.replace(step=state.step + 1, scratch={}), totals

  return step


def means(metrics: Mapping[str, Any]) -> dict[str, float]:
  """The mean of each metric over the moves of one step, as Python numbers. Turns that were not played have none."""
  return {name: float(total / count) for name, (total, count) in metrics.items() if count}


class _Supply(NamedTuple):
  """Makes the inputs of moves. The attributes are arguments of `make_step`."""

  latents: Any
  streams: tuple[str, ...]
  latents_batch: int
  prepare: Callable[[Any, str, int, jax.Array], Mapping[str, jax.Array]]
  constrain: Callable[[Any], Any]
  compute: Compute

  def draw(
    self, turn: Turn, feed: Any, drawn: Mapping[str, int], key: jax.Array, number: int, latents: Any = None
  ) -> Inputs:
    """The inputs of one move of a turn.

    Args:
      turn: the turn.
      feed: the feed of the step.
      drawn: {stream: moves of this step that drew from it before this turn}.
      key: the PRNG key of the turn.
      number: the number of the move in the turn; may be traced.
      latents: the latents of the move before, if the turn shares them; None draws new ones.
    """
    latents_key, data_key, play_key = jax.random.split(jax.random.fold_in(key, number), 3)
    batch: dict[str, Any] = {}
    for i, stream in enumerate(turn_streams(turn, self.streams)):
      own_key = self.compute.own_key(jax.random.fold_in(data_key, i))
      move = drawn[stream] + number - (turn.repeat - turn.fresh)
      batch[stream] = self.compute.cast(self.prepare(feed, stream, move, own_key))
    if self.latents is not None:
      if latents is None:
        # Every device draws its own part of the latents that one device would draw for the whole batch.
        start = self.compute.device * self.latents_batch
        fresh = latents_lib.draw(self.latents, latents_key, self.latents_batch, start=start)
        latents = self.constrain(self.compute.cast(fresh))
      batch['latents'] = latents
    return batch, play_key


def _play_turn(
  turn: Turn,
  state: GameState,
  previous: Inputs | None,
  draw: Callable[..., Inputs],
  move: Callable[[GameState, Inputs], tuple[GameState, Totals]],
) -> tuple[GameState, Inputs | None, Totals]:
  """(state, inputs of the last move, metrics) after all moves of a turn.

  Args:
    turn: the turn.
    state: the state before it.
    previous: the inputs of the move before the turn.
    draw: (number of the move, latents to share) -> inputs of the move.
    move: (state, inputs) -> (state, metrics), plays one move.
  """
  numbers = list(range(turn.repeat))
  totals: Totals = {}
  if turn.share:
    assert previous is not None  # `core.check` makes sure
    batch, key = previous
    previous = (turn_batch(turn, batch), key) if turn.share == 'batch' else draw(numbers[0], batch['latents'])
    state, totals = move(state, previous)
    numbers = numbers[1:]
  one = lambda state, number: move(state, draw(number))
  if _can_loop(lambda state: one(state, numbers[0])[0], state, len(numbers)):

    def body(carry: Any, number: jax.Array) -> tuple[Any, None]:
      state, metrics = one(carry[0], number)
      return (state, _added(carry[1], metrics)), None

    shapes = jax.eval_shape(lambda state: one(state, numbers[0])[1], state)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    (state, metrics), _ = jax.lax.scan(body, (state, zeros), jnp.array(numbers, jnp.int32))
    # To draw the inputs of the last move again costs less than to carry them, and nothing if no turn shares them.
    return state, draw(numbers[-1]), _added(totals, metrics)
  for number in numbers:
    previous = draw(number)
    state, metrics = move(state, previous)
    totals = _added(totals, metrics)
  return state, previous, totals


def _can_loop(move: Callable[[GameState], GameState], state: GameState, moves: int) -> bool:
  """Whether the moves of a turn can be a `jax.lax.scan`, which compiles one move for all of them.

  They cannot if the turn is the first to write to the scratch: that changes the structure of the state. Two moves are
  a loop only on accelerators, where that saves compile time and memory (benchmarks/README.md).
  """
  if moves < (3 if jax.default_backend() == 'cpu' else 2):
    return False
  jaxpr, shapes = jax.make_jaxpr(move, return_shape=True)(state)
  structures: list[Any] = [jax.tree.structure(tree) for tree in (shapes, state)]
  return structures[0] == structures[1] and unrolling(jaxpr, moves) == 1


def _added(totals: Mapping[str, jax.Array], metrics: Mapping[str, jax.Array]) -> Totals:
  return {**totals, **{k: totals[k] + v if k in totals else v for k, v in metrics.items()}}


def _play_if(condition: jax.Array, move: Callable[[GameState], Any], state: GameState) -> Any:
  """`move(state)` if the condition holds; else the same state, with zeros for new scratch entries and metrics."""
  jaxpr, (shapes, metric_shapes) = jax.make_jaxpr(move, return_shape=True)(state)

  def skip(state: GameState) -> tuple[GameState, Any]:
    scratch = {k: jnp.zeros(s.shape, s.dtype) for k, s in flatten_dict(shapes.scratch).items()}
    scratch = unflatten_dict(scratch | flatten_dict(state.scratch))
    return state.replace(scratch=scratch), jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), metric_shapes)

  if unrolling(jaxpr, 2) > 1:
    # XLA:CPU computes its own convolutions inside a branch so slowly that it is 20 times faster to always play the move
    # and then drop its result.
    return jax.tree.map(lambda new, old: jnp.where(condition, new, old), move(state), skip(state))
  return jax.lax.cond(condition, move, skip, state)
