"""From a config to the objects of a run: its stages, each with a game, optimizers, streams, a state and a step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax.sharding import Mesh

from gan_jax import game as game_lib
from gan_jax import moves as moves_lib
from gan_jax import parallel
from gan_jax.build import build, check_call
from gan_jax.config import Settings
from gan_jax.data import latents as latents_lib
from gan_jax.data.streams import Stream, make_prepare, streams_of
from gan_jax.errors import UserError, one_of

#: What a stage may reset; new weights bring a new optimizer state and new running averages with them.
RESETTABLE = ('params', 'optimizer', 'ema')
#: What a stage may set; the loop reads the rest from the config itself.
STAGED = ('game', 'optimizers', 'data', 'ema', 'batch_size', 'accumulate', 'steps')
#: float16 is left out: it would need loss scaling.
DTYPES = ('float32', 'bfloat16')
LEAST = {
  **dict.fromkeys(('batch_size', 'accumulate', 'steps_per_call', 'log_every', 'keep', 'samples', 'steps'), 1),
  **dict.fromkeys(('devices', 'sample_every', 'checkpoint_every', 'profile'), 0),
}


class Stage(NamedTuple):
  """One stretch of training with one game.

  Attributes:
    number: 0 for the first.
    game: the module.
    optimizers: {player: optax transformation}.
    ema: {player: decay, or function of the clock}.
    streams: {name: settings}.
    batch_size: latents per move.
    accumulate: microbatches per move.
    first_step: the step it begins at.
    steps: its length.
    reset: {'params' | 'optimizer' | 'ema': players that start anew on entering}.
    images: (real examples drawn before it, per step), of the widest stream.
    parallel: 'jit' or 'pmap'.
    dtype: that networks compute in.
    remat: whether the backward pass computes again what lies between convolutions and dense layers.
    shard_state: whether optimizer states and running averages are divided over the devices.
  """

  number: int
  game: nn.Module
  optimizers: Mapping[str, optax.GradientTransformation]
  ema: Mapping[str, Any]
  streams: Mapping[str, Stream]
  batch_size: int
  accumulate: int
  first_step: int
  steps: int
  reset: Mapping[str, tuple[str, ...]]
  images: tuple[int, int]
  parallel: str = 'jit'
  dtype: str = 'float32'
  remat: bool = False
  shard_state: bool = False

  @property
  def last_step(self) -> int:
    return self.first_step + self.steps

  @property
  def moves(self) -> dict[str, int]:
    """{stream: moves of one step that read it}."""
    return {name: game_lib.moves_per_step(self.game, name) for name in self.streams}


def stages_of(config: ml_collections.ConfigDict) -> tuple[Stage, ...]:
  """Builds every stage that a config describes.

  Raises:
    UserError: any setting that is unknown, missing, of the wrong type, or does not fit the others.
  """
  check_call(Settings, config.to_dict(), 'config')
  every: Sequence[Mapping[str, Any]] = config.stages or ({},)
  configs = [_merged(config, changes) for changes in every]
  games = [_game(settings.game.to_dict()) for settings in configs]
  players = {name for game in games for name in game_lib.players_of(game)}
  for settings in (config, *configs):
    for where in ('optimizers', 'ema'):
      for name in settings[where]:
        if name not in players:
          raise one_of(f'player in config.{where}', name, players)
  stages: list[Stage] = []
  for settings, game, changes in zip(configs, games, every, strict=True):
    _check_numbers(settings)
    stages.append(_stage(settings, game, changes.get('reset', {}), stages[-1] if stages else None))
  return tuple(stages)


def _check_numbers(config: ml_collections.ConfigDict) -> None:
  for name, least in LEAST.items():
    if config[name] < least:
      raise UserError(f'config.{name}={config[name]} must be at least {least}')
  for name, known in (('parallel', parallel.WAYS), ('dtype', DTYPES)):
    if config[name] not in known:
      raise one_of(f'config.{name}', config[name], known)
  if config.parallel == 'pmap' and config.shard_state:
    raise UserError("config.shard_state=True divides one program's state: set config.parallel='jit', or leave it out")


def _merged(config: ml_collections.ConfigDict, changes: Mapping[str, Any]) -> ml_collections.ConfigDict:
  merged = ml_collections.ConfigDict(config.to_dict())
  for key, value in changes.items():
    if key == 'reset':
      continue
    if key not in STAGED:
      raise one_of('setting of a stage in config.stages', key, [*STAGED, 'reset'])
    try:
      if isinstance(merged[key], ml_collections.ConfigDict):
        with merged[key].unlocked():
          merged[key].update(value)
      else:
        merged[key] = value
    except TypeError as error:
      raise UserError(f'config.stages: {key}={value!r} does not fit: {" ".join(str(error).split())}') from error
  return merged


def _game(settings: Mapping[str, Any]) -> Any:
  game = build(settings, home='gan_jax.games', where='config.game')
  if not (isinstance(game, nn.Module) and hasattr(game, 'turns') and hasattr(game, 'sample')):
    raise UserError(f'config.game.name={settings.get("name")!r} is not a game: it needs turns and sample')
  if not hasattr(game, 'latents'):
    raise UserError(f'game {type(game).__name__} has no latents: give it a field `latents` (None if it draws none)')
  return game


def _stage(
  config: ml_collections.ConfigDict, game: Any, reset: Mapping[str, Sequence[str]], before: Stage | None
) -> Stage:
  settings = config.to_dict()
  players = game_lib.players_of(game)
  built = {
    name: build(value, home='gan_jax.minimax', where=f'config.optimizers.{name}')
    for name, value in settings['optimizers'].items()
    if name in players and name not in game_lib.frozen_players(game)
  }
  for name, optimizer in built.items():
    if not isinstance(optimizer, optax.GradientTransformation):
      raise UserError(f'config.optimizers.{name} is no optax transformation: give it a name, such as optax.adam')
  decays = {name: build(v, home='gan_jax.minimax', where=f'config.ema.{name}') for name, v in settings['ema'].items()}
  for name, decay in decays.items():
    varies = isinstance(decay, jax.core.Tracer)  # over a population, whose values were checked
    if not callable(decay) and not varies and not (isinstance(decay, float | int) and 0 <= decay < 1):
      raise UserError(f'config.ema.{name}={decay!r} must be at least 0 and less than 1, such as 0.999')
  streams = streams_of(settings['data'], settings['batch_size'])
  for key, names in reset.items():
    if key not in RESETTABLE:
      raise one_of("part in a stage's reset", key, RESETTABLE)
    for name in names:
      if name not in players:
        raise one_of(f"player in a stage's reset.{key}", name, players)
  game_lib.check(game, built, streams)
  _check_classes(game, streams)
  moves = {name: game_lib.moves_per_step(game, name) for name in streams}
  per_step = max((moves[name] * (stream.batch_size or 0) for name, stream in streams.items()), default=0)
  return Stage(
    number=before.number + 1 if before else 0,
    game=game,
    optimizers=built,
    ema={name: decay for name, decay in decays.items() if name in players},
    streams=streams,
    batch_size=settings['batch_size'],
    accumulate=settings['accumulate'],
    first_step=before.last_step if before else 0,
    steps=settings['steps'],
    reset={key: tuple(names) for key, names in reset.items()},
    images=(before.images[0] + before.images[1] * before.steps if before else 0, per_step),
    **{name: settings[name] for name in ('parallel', 'dtype', 'remat', 'shard_state')},
  )


def _check_classes(game: Any, streams: Mapping[str, Stream]) -> None:
  label = game.latents.get('label') if isinstance(game.latents, Mapping) else None
  if not isinstance(label, latents_lib.Label):
    return
  for name, stream in streams.items():
    if not stream.classes and 'label' in stream.stored(1):
      raise UserError(
        f'stream {name!r} gives labels, but its classes=0 says that it has none, so that nothing would check them: '
        f'set config.data.classes={label.classes}'
      )
    if stream.classes and stream.classes != label.classes:
      raise UserError(
        f'config.game.latents.label.classes={label.classes} but stream {name!r} has classes={stream.classes}: '
        'make them equal'
      )


def clock_at(stage: Stage, step: int | jax.Array) -> game_lib.Clock:
  """The clock of a stage's game when `step` steps are finished."""
  step = jnp.asarray(step, jnp.int32)
  within = step - stage.first_step
  seen = stage.images[0] + within.astype(jnp.float32) * stage.images[1]
  return game_lib.Clock(step, within, jnp.asarray(stage.steps, jnp.int32), seen)


def example_batch(stage: Stage) -> dict[str, Any]:
  """A batch of one microbatch of zeros, for shapes."""
  size = lambda batch: max(batch // stage.accumulate, 1)
  zeros = lambda tree: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), tree)
  batch: dict[str, Any] = {
    name: zeros(stream.fields(size(stream.batch_size or stage.batch_size))) for name, stream in stage.streams.items()
  }
  latents = stage.game.latents
  if latents is not None:
    draw = lambda key: latents_lib.draw(latents, key, size(stage.batch_size))
    batch['latents'] = zeros(jax.eval_shape(draw, jax.random.key(0)))
  return moves_lib.cast(batch, stage.dtype)


def new_state(stage: Stage, key: jax.Array) -> game_lib.GameState:
  """The state of a stage's game with nothing trained; jit or `jax.eval_shape` it."""
  key = jax.random.fold_in(key, stage.number)
  return game_lib.init(stage.game, stage.optimizers, example_batch(stage), key, ema=stage.ema)


def enter(stage: Stage, before: game_lib.GameState | None, key: jax.Array) -> game_lib.GameState:
  """The state in which a stage begins: every weight whose path survives is kept, but for what the stage resets.

  A weight survives even if its network now belongs to another player. Optimizers and running averages that begin anew
  begin from the surviving weights. Players that this stage's game lacks wait unchanged for a later one.

  Raises:
    UserError: a weight of the same path has another shape.
  """
  fresh = new_state(stage, key)
  if before is None:
    return fresh
  players = {}
  for name, new in fresh.players.items():
    anew = {part for part in RESETTABLE if name in stage.reset.get(part, ())}
    old = before.players.get(name)
    # A player's own weights come last, so that they win over copies of a network that changed hands.
    others = [player for other, player in before.players.items() if other != name]
    sources = [*others, *([old] if old else [])]
    params, variables = new.params, new.variables
    if 'params' not in anew:
      params = _surviving([player.params for player in sources], params, f'{name}.params', strict=True)
      variables = _surviving([player.variables for player in sources], variables, f'{name}.variables')
    opt_state = None if new.opt_state is None else stage.optimizers[name].init(params)
    if old and opt_state is not None and not anew & {'optimizer', 'params'}:
      opt_state = _surviving([old.opt_state], opt_state, f'{name}.opt_state')
    ema = None if new.ema is None else jax.tree.map(jnp.copy, {'params': params, 'variables': variables})
    if ema is not None and not anew & {'ema', 'params'}:
      ema = _surviving([player.ema for player in sources if player.ema is not None], ema, f'{name}.ema', strict=True)
    players[name] = game_lib.TrainState(params, variables, opt_state, ema)
  children = {child for player in players.values() for child in player.params}
  waiting = {name: player for name, player in before.players.items() if name not in players}
  players |= {name: player for name, player in waiting.items() if not children & set(player.params)}
  table = _surviving([before.table], fresh.table, 'table')
  return game_lib.GameState(step=before.step, players=players, table=table, scratch={})


def _surviving(old: Sequence[Any], new: Any, where: str, *, strict: bool = False) -> Any:
  """`new` with the leaves of `old` trees whose path and shape are the same; later trees win."""
  kept = {jax.tree_util.keystr(path): leaf for tree in old for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}

  def leaf(path, value):
    name = jax.tree_util.keystr(path)
    if name not in kept:
      return value
    if kept[name].shape == value.shape:
      return kept[name]
    if strict:
      raise UserError(
        f'weight {where}{name} changes its shape between stages, {kept[name].shape} -> {value.shape}: give the new '
        "layer a name of its own, or list the player in the stage's reset"
      )
    return value

  return jax.tree_util.tree_map_with_path(leaf, new)


def abstract_state(stages: tuple[Stage, ...], number: int, key: jax.Array) -> game_lib.GameState:
  """Shapes and dtypes of the state inside stage `number`."""
  state: Any = None
  for stage in stages[: number + 1]:
    enter_stage = lambda before, key, stage=stage: enter(stage, before, key)
    state = jax.eval_shape(enter_stage, state, key)
  return state


def state_sharding(stage: Stage, mesh: Mesh, state: Any) -> Any:
  """Where each array of a state (or of its shapes) lies: whole on every device, or divided by config.shard_state."""
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
  """The step of a stage on a mesh, not yet compiled: (state, what `Feed` gives, key) -> (state, metrics).

  Args:
    stage: of the run.
    mesh: the devices.
    count: steps in one call; more than 1 takes what `Feed.take(count)` gives, and metrics have the steps in front.
  """
  for name, stream in stage.streams.items():
    where = f'batch_size of stream {name!r}, config.data.batch_size or config.batch_size'
    parallel.check_batch(mesh, where, stream.batch_size or 0, stage.accumulate)
  parallel.check_batch(mesh, 'config.batch_size', stage.batch_size, stage.accumulate)
  mapped = stage.parallel == 'pmap'
  optimizers = stage.optimizers
  if stage.shard_state:
    optimizers = {name: parallel.with_whole_gradients(tx, mesh) for name, tx in optimizers.items()}
  step = moves_lib.make_step(
    stage.game,
    optimizers,
    streams=tuple(stage.streams),
    latents_batch=stage.batch_size // mesh.size if mapped else stage.batch_size,
    prepare=make_prepare(stage.streams),
    constrain=(lambda latents: latents) if mapped else parallel.constrain(mesh),
    axis_name=parallel.AXIS if mapped else None,
    dtype=stage.dtype,
    remat=stage.remat,
    ema=stage.ema,
    accumulate=stage.accumulate,
    first_step=stage.first_step,
    steps=stage.steps,
    images=stage.images,
  )
  divide = (lambda step: parallel.per_device(step, mesh, count > 1)) if mapped else (lambda step: step)
  if count == 1:
    return divide(step)

  def steps(state: game_lib.GameState, feed: Any, key: jax.Array) -> tuple[game_lib.GameState, dict[str, jax.Array]]:
    one = lambda state, moves: step(state, {**feed, 'moves': moves}, key)
    unroll = 1
    if jax.default_backend() == 'cpu':
      unroll = moves_lib.unrolling(jax.make_jaxpr(one)(state, jax.tree.map(lambda x: x[0], feed['moves'])), count)
    return jax.lax.scan(one, state, feed['moves'], length=count, unroll=unroll)

  return divide(steps)


def abstract_feed(stage: Stage, mesh: Mesh, count: int = 1) -> dict[str, Any]:
  """Shapes of what a streaming `Feed` gives a call of `count` steps, for compiling without data."""
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
