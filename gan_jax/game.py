"""The one abstraction: a game is a Linen module, its turns say who moves when, `play` makes one move.

A game's children are the networks. A child belongs to the player whose name it bears, alone or before an
underscore (`generator`, `generator_ab`). Its methods are the losses. What `play`, `init` and `make_step`
read of a game:

  turns     a tuple of `Turn`
  latents   what `data.latents.draw` takes: one distribution, or a dict of them
  sample    method: batch -> generated examples, networks in eval mode
  frozen    optional tuple of players that never move

A loss method takes the batch, `{stream: {field: (B, ...)}, 'latents': ...}`, and returns a scalar or
`(scalar, metrics)`. Variables of the game itself live in three collections: `table` (kept; combined by mean over
microbatches), `memory` (kept; threaded through microbatches, such as an image pool) and `scratch` (readable by
the later turns of the same step, then dropped). `read_clock` tells the time.
"""

from __future__ import annotations

import inspect
import pathlib
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.core import DenyList
from flax.errors import ScopeParamShapeError
from flax.traverse_util import flatten_dict, unflatten_dict

from gan_jax.data import latents as latents_lib
from gan_jax.errors import UserError, one_of

RANDOM_STREAMS = ('dropout', 'noise')
GAME_COLLECTIONS = ('table', 'memory')
#: Names in a row of metrics that are no metric's.
RESERVED = ('step', 'steps_per_second', 'images_per_second')
#: What Linen's `sow` writes: never part of the state, or it would grow with every move.
PASSING = ('intermediates', 'scratch', 'clock', 'params')


class Turn(NamedTuple):
  """Who moves, on which loss, how often, on which data.

  Attributes:
    movers: the players whose parameters move.
    loss: the name of the game's method that they minimise; or {mover: method}, each its own at the same point.
    repeat: moves in a row (n_critic), each on fresh data.
    streams: the data streams the loss reads; None for all. The others are not drawn for it.
    when: (clock, table) -> boolean scalar; None for always. A turn that is not played still uses up its data.
    dynamics: (field, params of the movers) -> directions, a rule of `gan_jax.dynamics`; None for the gradients.
    share: the first move takes the latents (not the data, nor the noise) of the move before it. If the generator did
      not move in between and draws no noise of its own, the compiler computes its forward pass once for both.
  """

  movers: tuple[str, ...]
  loss: str | Mapping[str, str]
  repeat: int = 1
  streams: tuple[str, ...] | None = None
  when: Callable[[Clock, Mapping[str, Any]], jax.Array] | None = None
  dynamics: Callable[[Callable[[Any], Any], Any], Any] | None = None
  share: bool = False

  @property
  def methods(self) -> tuple[str, ...]:
    """The methods of the game that are minimised."""
    return (self.loss,) if isinstance(self.loss, str) else tuple(dict.fromkeys(self.loss.values()))

  @property
  def title(self) -> str:
    return ' + '.join(self.methods)


class Clock(struct.PyTreeNode):
  """The time, for everything that changes with it: fade-in, ramps, noise schedules.

  Attributes:
    step: steps finished since the start, int32 scalar.
    stage_step: steps finished in this stage.
    stage_length: steps of this stage.
    images: real examples drawn since the start (of the widest stream), float32 scalar.
  """

  step: jax.Array
  stage_step: jax.Array
  stage_length: jax.Array
  images: jax.Array


class TrainState(struct.PyTreeNode):
  """Everything one player owns.

  Attributes:
    params: {child: parameters}.
    variables: {collection: {child: variables}}, such as batch statistics.
    opt_state: of the player's optax chain; None for a frozen player.
    ema: None, or {'params': ..., 'variables': ...}, the running averages of both.
  """

  params: Any
  variables: Any
  opt_state: Any
  ema: Any


class GameState(struct.PyTreeNode):
  """The whole game between two moves.

  Attributes:
    step: steps finished, int32 scalar.
    players: {player: TrainState}.
    table: {'table': ..., 'memory': ...}, what nobody owns and is kept.
    scratch: what earlier turns of this step wrote; empty between steps.
  """

  step: jax.Array
  players: dict[str, TrainState]
  table: Any
  scratch: Any


def read_clock(module: nn.Module) -> Clock:
  """The `Clock`, read inside a method of a game (zeros while the game is being initialised)."""
  if module.is_initializing():
    return Clock(*(jnp.zeros((), jnp.int32),) * 2, jnp.ones((), jnp.int32), jnp.zeros(()))
  clock: Clock | None = module.get_variable('clock', 'now')
  if clock is None:
    raise ValueError('read_clock works in the methods of the game itself: pass what a network needs as an argument')
  return clock


def input_gradients(critic: nn.Module, x: jax.Array, **inputs: Any) -> jax.Array:
  """The gradient of each example's summed output with respect to that example, inside a method of a game.

  Linen's lifted form: the critic's collections (batch statistics, spectral norm) stay as they were.

  Args:
    critic: a network of the game, (B, ...), train -> logits.
    x: (B, ...).
    **inputs: what else the critic takes.

  Returns:
    Of the shape of x, differentiable by everything.
  """

  def logits(critic: nn.Module, x: jax.Array) -> jax.Array:
    return critic(x, train=True, **inputs).astype(jnp.float32)

  out, backward = nn.vjp(logits, critic, x)
  return backward(jnp.ones_like(out))[-1]


def players_of(game: nn.Module) -> tuple[str, ...]:
  """The players of a game: all that its turns move and all it declares frozen, in that order."""
  names = [name for turn in game.turns for name in turn.movers] + list(frozen_players(game))
  return tuple(dict.fromkeys(names))


def frozen_players(game: nn.Module) -> tuple[str, ...]:
  return tuple(getattr(game, 'frozen', ()))


def owner(child: str, players: Iterable[str]) -> str:
  """The player that a child of the game belongs to; the longest matching name wins.

  Raises:
    UserError: no player bears the child's name.

  >>> owner('generator_ab', ('generator', 'generator_ab', 'discriminator'))
  'generator_ab'
  """
  matches = [player for player in players if child == player or child.startswith(player + '_')]
  if not matches:
    raise UserError(
      f'network {child!r} has no owner among the players {sorted(players)}: rename it to one of them, or to '
      'PLAYER_something, or declare the player frozen'
    )
  return max(matches, key=len)


def turn_streams(turn: Turn, streams: Iterable[str]) -> tuple[str, ...]:
  """The data streams that a turn reads, among all `streams`."""
  return tuple(streams) if turn.streams is None else turn.streams


def moves_per_step(game: nn.Module, stream: str) -> int:
  """How many moves of one step read a data stream."""
  return sum(turn.repeat for turn in game.turns if stream in turn_streams(turn, (stream,)))


def _of_player(tree: Mapping[str, Any], player: str, players: tuple[str, ...]) -> dict[str, Any]:
  return {child: value for child, value in tree.items() if owner(child, players) == player}


def _variables_of_player(variables: Mapping[str, Any], player: str, players: tuple[str, ...]) -> dict[str, Any]:
  kept = {name: _of_player(tree, player, players) for name, tree in variables.items()}
  return {name: tree for name, tree in kept.items() if tree}


def _split_collections(variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
  """(what players own, the table, the scratch) among the variables that a loss left behind."""
  owned = {k: v for k, v in variables.items() if k not in (*GAME_COLLECTIONS, *PASSING)}
  return owned, {k: variables.get(k, {}) for k in GAME_COLLECTIONS}, variables.get('scratch', {})


def _assemble(players: Mapping[str, TrainState], moving: Mapping[str, Any] | None = None) -> dict[str, Any]:
  """The variables of the game from its players' states; `moving` replaces some players' parameters."""
  variables: dict[str, Any] = {'params': {}}
  for name, player in players.items():
    variables['params'].update((moving or {}).get(name, player.params))
    for collection, tree in player.variables.items():
      variables.setdefault(collection, {}).update(tree)
  return variables


def game_variables(
  game: nn.Module, state: GameState, *, ema: bool = False, clock: Clock | None = None
) -> dict[str, Any]:
  """The variables to apply the game with, as in `game.apply(variables, batch, method='sample')`.

  Args:
    game: the module.
    state: of the game.
    ema: take the running averages of the players that have them.
    clock: what `read_clock` is to tell.
  """
  players = _playing(game, state)
  if ema:
    players = {name: player if player.ema is None else player.replace(**player.ema) for name, player in players.items()}
  variables = {**_assemble(players), **state.table}
  return variables if clock is None else {**variables, 'clock': {'now': clock}}


def _playing(game: nn.Module, state: GameState) -> dict[str, TrainState]:
  """The players of this game, without those that wait for a later stage."""
  return {name: state.players[name] for name in players_of(game)}


def _everything(game: nn.Module, batch: Mapping[str, Any]) -> None:
  """Touches every network, so that `init` makes every parameter."""
  for turn in game.turns:
    for method in turn.methods:
      getattr(game, method)(_narrow(turn, batch))
  # As sampling will call it: with latents alone, or with the streams of a game that draws none.
  game.sample(batch if game.latents is None else {'latents': batch['latents']})


def _narrow(turn: Turn, batch: Mapping[str, Any]) -> dict[str, Any]:
  wanted = turn_streams(turn, [name for name in batch if name != 'latents'])
  return {name: batch[name] for name in (*wanted, 'latents') if name in batch}


def check(game: nn.Module, optimizers: Mapping[str, Any], streams: Iterable[str]) -> None:
  """Raises a UserError if turns, players, optimizers, losses and streams do not fit together."""
  players, frozen = set(players_of(game)), set(frozen_players(game))
  movers = {name for turn in game.turns for name in turn.movers}
  if movers & frozen:
    raise UserError(f'players {sorted(movers & frozen)} are declared frozen but move in a turn: drop one of the two')
  if set(optimizers) != players - frozen:
    raise UserError(
      f'config.optimizers names {sorted(optimizers)} but the players of {type(game).__name__} that move are '
      f'{sorted(players - frozen)}: give each of them one optimizer'
    )
  for turn in game.turns:
    if turn.share and (turn is game.turns[0] or game.latents is None):
      reason = 'no move comes before it in a step' if game.latents is not None else 'the game draws none'
      raise UserError(f'turn {turn.title!r} of {type(game).__name__} shares latents, but {reason}: leave out share')
    if turn.repeat < 1:
      raise UserError(f'turn {turn.title!r} of {type(game).__name__} has repeat={turn.repeat}: it must be at least 1')
    if not isinstance(turn.loss, str) and set(turn.loss) != set(turn.movers):
      raise UserError(
        f'a turn of {type(game).__name__} moves {sorted(turn.movers)} but gives losses to {sorted(turn.loss)}: one each'
      )
    for method in turn.methods:
      if not callable(getattr(type(game), method, None)):
        known = [n for n, f in inspect.getmembers(type(game), callable) if n in vars(type(game)) and n[0] != '_']
        raise one_of(f'loss of {type(game).__name__}', method, [n for n in known if n not in ('setup', 'sample')])
    for stream in turn.streams or ():
      if stream not in streams:
        raise one_of(f'stream of {type(game).__name__}', stream, streams)


def init(
  game: nn.Module,
  optimizers: Mapping[str, optax.GradientTransformation],
  batch: Mapping[str, Any],
  key: jax.Array,
  *,
  ema: Iterable[str] = (),
) -> GameState:
  """The state of a game before its first move.

  Args:
    game: the module.
    optimizers: an optax transformation for each player that moves.
    batch: an example batch of every stream and the latents; only shapes and dtypes matter.
    key: a PRNG key.
    ema: the players of which running averages are kept.

  Raises:
    UserError: a network without owner, a player without optimizer, an unknown name, a field the data lacks.
  """
  check(game, optimizers, [name for name in batch if name != 'latents'])
  players = players_of(game)
  for name in ema:
    if name not in players:
      raise one_of('player in config.ema', name, players)
  keys = dict(zip(('params', *RANDOM_STREAMS), jax.random.split(key, 1 + len(RANDOM_STREAMS)), strict=True))
  try:
    variables = game.init(keys, batch, method=_everything)
  except UserError:
    raise
  except Exception as error:
    raise _misfit(game, batch, error) from error
  params = variables.get('params', {})
  for child, tree in params.items():
    if not isinstance(tree, Mapping):
      raise UserError(f'parameter {child!r} is made on the game itself: put it in a small module of a player')
  owned, table, _ = _split_collections(variables)
  for child in {child for tree in (params, *owned.values()) for child in tree}:
    owner(child, players)
  states = {}
  for player in players:
    mine, rest = _of_player(params, player, players), _variables_of_player(owned, player, players)
    optimizer = optimizers.get(player)
    states[player] = TrainState(
      params=mine,
      variables=rest,
      opt_state=None if optimizer is None else optimizer.init(mine),
      # A real copy: the same buffer twice in a donated state would be donated twice.
      ema=jax.tree.map(jnp.copy, {'params': mine, 'variables': rest}) if player in ema else None,
    )
  return GameState(step=jnp.zeros((), jnp.int32), players=states, table=table, scratch={})


def _misfit(game: nn.Module, batch: Mapping[str, Any], error: Exception) -> UserError:
  """What made init fail, as one line."""
  name, kind = type(game).__name__, type(error).__name__
  frames = [f for f in traceback.extract_tb(error.__traceback__) if 'site-packages' not in f.filename]
  place = f'{pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno}'
  detail = ' '.join(str(error).split(' (http')[0].split())
  if isinstance(error, KeyError) and frames[-1].filename == inspect.getsourcefile(type(game)):
    fields = {name: sorted(v) if isinstance(v, Mapping) else '' for name, v in batch.items()}
    return UserError(
      f'{name} reads {error} from its batch ({place}), which has {fields}: set config.data so that the data give it '
      '(labels need config.data.classes)'
    )
  if isinstance(error, ScopeParamShapeError):
    return UserError(
      f'{name}: one layer meets inputs of different shapes ({detail}): change config.data.size and '
      'config.data.channels, or the networks, until real and generated examples agree'
    )
  return UserError(f'{name} does not fit together ({place}, {kind}: {detail}): change config.game or config.data')


def _averaged(ema: Any, new: Any, decay: Any) -> Any:
  def leaf(old, new):
    return new if not jnp.issubdtype(new.dtype, jnp.inexact) else (old + (1 - decay) * (new - old)).astype(new.dtype)

  return jax.tree.map(leaf, ema, new)


def _norm(tree: Any) -> jax.Array:
  squares = [jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(tree)]
  return jnp.sqrt(sum(squares, jnp.zeros(())))


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

  Returns:
    The new state, and {name: scalar}: the loss under the name of its method, the norm of each mover's gradient
    (PLAYER_gradient_norm), and what the loss gave.
  """
  if clock is None:
    clock = Clock(state.step, state.step, state.step + 1, jnp.zeros(()))
  everybody = _playing(game, state)
  players = tuple(everybody)
  moving = {name: state.players[name].params for name in turn.movers}
  mutable = DenyList(('params', 'clock'))

  def loss_of(moving, owned, table, scratch, batch, key, method):
    keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(RANDOM_STREAMS)}
    variables = _assemble(everybody, moving)
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
    everyone, new_table, new_scratch = _split_collections(written)
    mine: dict[str, Any] = {}
    for name in turn.movers:
      for collection, tree in _variables_of_player(everyone, name, players).items():
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
      (_, left), gradients = jax.value_and_grad(loss, has_aux=True)(own, owned, tables, scratch)
      owned, tables, scratch, new_metrics = left
      metrics |= new_metrics
      grads |= gradients
    return (owned, tables, scratch, metrics), grads

  def microbatch(owned, memory, index, scratch, batch):
    tables = {'table': state.table['table'], 'memory': memory}
    micro_key = jax.random.fold_in(key, index)
    left, grads = gradient(moving, owned, tables, scratch, batch, micro_key)
    if turn.dynamics is not None:
      field = lambda params: gradient(params, owned, tables, scratch, batch, micro_key)[1]
      grads = turn.dynamics(field, moving)
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
    inputs = (jnp.arange(accumulate), state.scratch, jax.tree.map(split, dict(batch)))
    traced = jax.make_jaxpr(microbatch, return_shape=True)
    jaxpr, shapes = traced(mine, memory, *jax.tree.map(lambda x: x[0], inputs))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[-1])
    unroll = unrolling(jaxpr, accumulate)
    (mine, memory, sums), scratch = jax.lax.scan(body, (mine, memory, zeros), inputs, unroll=unroll)
    means = jax.tree.map(lambda x: (x / accumulate).astype(x.dtype), sums)

  updated = dict(state.players)
  metrics = dict(means['metrics'])
  for name in turn.movers:
    player = state.players[name]
    metrics[f'{name}_gradient_norm'] = _norm(means['grads'][name])
    updates, opt_state = optimizers[name].update(means['grads'][name], player.opt_state, player.params)
    params = optax.apply_updates(player.params, updates)
    variables = _variables_of_player(mine, name, players)
    average = player.ema
    if average is not None:
      decay = (ema or {})[name]
      decay = decay(clock) if callable(decay) else decay
      average = _averaged(average, {'params': params, 'variables': variables}, decay)
    updated[name] = TrainState(params, variables, opt_state, average)
  tables = {'table': means['table'], 'memory': memory}
  return state.replace(players=updated, table=tables, scratch=scratch), metrics


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
  first_step: int = 0,
  steps: int = 1,
  images: tuple[int, int] = (0, 0),
) -> Callable[[GameState, Any, jax.Array], tuple[GameState, dict[str, jax.Array]]]:
  """One step of the schedule: every turn in order, each move on fresh data, latents and keys.

  Args:
    game: the module.
    optimizers: an optax transformation for each player that moves.
    streams: the names of the data streams.
    latents_batch: latents per move.
    prepare: (feed, stream, move, key) -> fields of one move, from what the step is fed; `move` counts the moves of
      this step that read the stream, and may be traced. By default feed[stream] has the moves in front:
      {field: (moves, B, ...)}.
    constrain: places the latents on the devices; without it every device would run the whole generator.
    ema: per player, the decay of its running averages: a number, or a function of the clock.
    accumulate: microbatches per move.
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
          batch[stream] = prepare(feed, stream, before[stream] + move_number, jax.random.fold_in(data_key, i))
        if game.latents is not None:
          if latents is None:
            latents = constrain(latents_lib.draw(game.latents, latents_key, latents_batch))
          batch['latents'] = latents

        def move(state):
          state, metrics = play(
            game, optimizers, turn, state, batch, play_key, clock=clock, ema=ema, accumulate=accumulate
          )
          return state, {k: jnp.stack([jnp.asarray(v, jnp.float32), jnp.ones(())]) for k, v in metrics.items()}

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
        (state, latents, metrics), _ = jax.lax.scan(body, (state, latents, zeros), jnp.array(numbers))
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
