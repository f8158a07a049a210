"""The training step of a stage on a mesh of devices: its function, the shardings of its state, its feed's shapes."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from gan_jax import core
from gan_jax.data.feed import make_prepare
from gan_jax.distributed import parallel
from gan_jax.nets.layers.conv import keep_products
from gan_jax.runs.stages import Stage, clock_at


def state_sharding(stage: Stage, mesh: Mesh, state: Any) -> Any:
  """The sharding of each array of a state: all of it on every device, or divided if config.shard_state.

  Args:
    stage: the stage.
    mesh: the devices.
    state: a state, or its shapes.
  """
  whole = jax.tree.map(lambda _: parallel.replicated(mesh), state)
  if not stage.shard_state:
    return whole
  parts = lambda tree: jax.tree.map(lambda x: parallel.divided(mesh, x.shape), tree)
  players = {
    name: whole.players[name].replace(opt_state=parts(player.opt_state), ema=parts(player.ema))
    for name, player in state.players.items()
  }
  return whole.replace(players=players)


def make_step(stage: Stage, mesh: Mesh, count: int = 1) -> Callable[..., Any]:
  """The step of a stage, (state, feed, key) -> (state, metrics), not yet compiled. `data.Feed` gives the feed.

  Args:
    stage: the stage.
    mesh: the devices.
    count: steps in one call. If it is more than 1, the feed is `Feed.take(count)`, and the first axis of every metric
      is the step.
  """
  for name, stream in stage.streams.items():
    where = f'batch_size of stream {name!r}, config.data.batch_size or config.batch_size'
    parallel.check_batch(mesh, where, stream.batch_size or 0, stage.accumulate)
  parallel.check_batch(mesh, 'config.batch_size', stage.batch_size, stage.accumulate)
  mapped = stage.parallel == 'pmap'
  optimizers = stage.optimizers
  if stage.shard_state:
    optimizers = {name: parallel.with_whole_gradients(tx, mesh) for name, tx in optimizers.items()}
  step = core.make_step(
    stage.game,
    optimizers,
    streams=tuple(stage.streams),
    latents_batch=stage.batch_size // mesh.size if mapped else stage.batch_size,
    prepare=make_prepare(stage.streams),
    constrain=(lambda latents: latents) if mapped else parallel.constrain(mesh),
    ema=stage.ema,
    clock=lambda step: clock_at(stage, step),
    compute=core.Compute(
      accumulate=stage.accumulate,
      remat=keep_products if stage.remat else None,
      dtype=stage.dtype,
      axis_name=parallel.AXIS if mapped else None,
    ),
  )
  divide = (lambda step: parallel.per_device(step, mesh, count > 1)) if mapped else (lambda step: step)
  if count == 1:
    return divide(step)

  def steps(state: core.GameState, feed: Any, key: jax.Array) -> tuple[core.GameState, dict[str, jax.Array]]:
    one = lambda state, moves: step(state, {**feed, 'moves': moves}, key)
    unroll = 1
    if jax.default_backend() == 'cpu':
      unroll = core.unrolling(jax.make_jaxpr(one)(state, jax.tree.map(lambda x: x[0], feed['moves'])), count)
    return jax.lax.scan(one, state, feed['moves'], length=count, unroll=unroll)

  return divide(steps)


def abstract_feed(stage: Stage, mesh: Mesh, count: int = 1) -> dict[str, Any]:
  """The shapes of the feed of a call of `count` steps, for compiling without data. No set is kept on the device."""
  front = () if count == 1 else (count,)
  moves = {}
  for name, stream in stage.streams.items():
    times = stage.moves[name]
    if times:
      place = parallel.sharded(mesh, 1 + len(front))
      moves[name] = {
        key: jax.ShapeDtypeStruct((*front, times, *s.shape), s.dtype, sharding=place)
        for key, s in stream.stored(stream.batch_size or stage.batch_size).items()
      }
  return {'moves': moves, 'store': {}}
