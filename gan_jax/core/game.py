"""The one abstraction: a game is a Linen module, its turns say who moves when.

A game's children are the networks. A child belongs to the player whose name it bears, alone or before an
underscore (`generator`, `generator_ab`), or in the plural (a list `discriminators`). Its methods are the losses. What
`init`, `moves.play` and `moves.make_step` read of a game:

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
from flax.errors import ScopeParamShapeError

from gan_jax.base.errors import UserError, one_of

RANDOM_STREAMS = ('dropout', 'noise')
GAME_COLLECTIONS = ('table', 'memory')
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
    dynamics: (field, params of the movers) -> directions, a rule of `gan_jax.optim.dynamics`; None for the gradients.
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
  >>> owner('discriminators_0', ('generator', 'discriminator'))  # of a list called discriminators
  'discriminator'
  """
  bears = lambda name: child == name or child.startswith(name + '_')
  matches = [player for player in players if bears(player) or bears(player + 's')]
  if not matches:
    raise UserError(
      f'network {child!r} has no owner among the players {sorted(players)}: rename it to one of them, or to '
      'PLAYER_something, or declare the player frozen'
    )
  return max(matches, key=len)


def network(game: nn.Module, child: str) -> Any:
  """The network that a child's name stands for, as far as the game's fields tell; None otherwise.

  Linen calls entry 0 of a list `discriminators` discriminators_0, and entry 'a' of a dict discriminators_a.
  """
  found = getattr(game, child, None)
  for cut in (i for i, letter in enumerate(child) if letter == '_' and found is None):
    several = getattr(game, child[:cut], None)
    entries = several if isinstance(several, Mapping) else dict(enumerate(several)) if type(several) is tuple else {}
    found = {str(key): entry for key, entry in entries.items()}.get(child[cut + 1 :])
  return found


def turn_streams(turn: Turn, streams: Iterable[str]) -> tuple[str, ...]:
  """The data streams that a turn reads, among all `streams`."""
  return tuple(streams) if turn.streams is None else turn.streams


def moves_per_step(game: nn.Module, stream: str) -> int:
  """How many moves of one step read a data stream."""
  return sum(turn.repeat for turn in game.turns if stream in turn_streams(turn, (stream,)))


def of_player(tree: Mapping[str, Any], player: str, players: tuple[str, ...]) -> dict[str, Any]:
  return {child: value for child, value in tree.items() if owner(child, players) == player}


def variables_of_player(variables: Mapping[str, Any], player: str, players: tuple[str, ...]) -> dict[str, Any]:
  kept = {name: of_player(tree, player, players) for name, tree in variables.items()}
  return {name: tree for name, tree in kept.items() if tree}


def split_collections(variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
  """(what players own, the table, the scratch) among the variables that a loss left behind."""
  owned = {k: v for k, v in variables.items() if k not in (*GAME_COLLECTIONS, *PASSING)}
  return owned, {k: variables.get(k, {}) for k in GAME_COLLECTIONS}, variables.get('scratch', {})


def assemble(players: Mapping[str, TrainState], moving: Mapping[str, Any] | None = None) -> dict[str, Any]:
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
  players = playing(game, state)
  if ema:
    players = {name: player if player.ema is None else player.replace(**player.ema) for name, player in players.items()}
  variables = {**assemble(players), **state.table}
  return variables if clock is None else {**variables, 'clock': {'now': clock}}


def playing(game: nn.Module, state: GameState) -> dict[str, TrainState]:
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
  owned, table, _ = split_collections(variables)
  for child in {child for tree in (params, *owned.values()) for child in tree}:
    owner(child, players)
  states = {}
  for player in players:
    mine, rest = of_player(params, player, players), variables_of_player(owned, player, players)
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
  source = inspect.getsourcefile(type(game))
  # In the game's own file, or one beside it that games share.
  if isinstance(error, KeyError) and source and pathlib.Path(source).parent == pathlib.Path(frames[-1].filename).parent:
    fields = {name: sorted(v) if isinstance(v, Mapping) else '' for name, v in batch.items()}
    return UserError(
      f'{name} reads {error} from its batch ({place}), which has {fields}: set config.data so that the data give it '
      '(labels need config.data.classes, tags config.data.tags)'
    )
  if isinstance(error, ScopeParamShapeError):
    return UserError(
      f'{name}: one layer meets inputs of different shapes ({detail}): change config.data.size and '
      'config.data.channels, or the networks, until real and generated examples agree'
    )
  return UserError(f'{name} does not fit together ({place}, {kind}: {detail}): change config.game or config.data')
