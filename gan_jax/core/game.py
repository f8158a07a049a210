"""A game is a Linen module: its children are the networks, its methods the losses, its turns say who moves when.

The name of a child decides which player it belongs to. It is the player's name (`generator`), the name and an
underscore (`generator_ab`), or the plural (a list `discriminators`). `init`, `play` and `make_step` read from a game:

  turns     a tuple of `Turn`
  latents   one distribution of `gan_jax.latents.distributions`, a dict of them, or None
  sample    method: batch -> generated examples, networks in eval mode
  frozen    optional tuple of players that never move
  unaveraged  optional tuple of frozen players whose averages samples leave out, as the others learnt without them
  check_training  optional method ({name: Stream}) that raises a UserError for what the game could not be trained with
  fewest          optional number of examples that a loss must see at a time, because it compares them
  inputs    optional tuple of the streams that `sample` reads; by default all if the game draws no latents, else none
  condition optional name of a field of the stream `images` that says what samples are asked for; '' for none
  outputs   optional {name of what `sample` makes: core.Output}, what each imitates, the main one first
  classified  optional tuple of the streams whose examples its `classify` is for; by default all

A loss method takes the batch, `{stream: {field: (B, ...)}, 'latents': ...}`, and returns a scalar or
`(scalar, metrics)`. Some variables belong to the game and to no player. They live in three collections:

  table     kept from step to step; the mean over the microbatches of a move
  memory    kept from step to step; each microbatch passes it to the next, such as an image pool
  scratch   later turns of the same step can read it; it is empty at the end of the step

`read_clock` gives the time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError, one_of
from gan_jax.core.clock import Clock
from gan_jax.core.sampled import inputs_of, outputs_of

RANDOM_STREAMS = ('dropout', 'noise')
#: What a loss method takes: {stream: {field: (B, ...)}, 'latents': ...}.
Batch = Mapping[str, Any]
#: What a loss method may return in place of the loss alone.
LossAndMetrics = tuple[jax.Array, dict[str, jax.Array]]


@runtime_checkable
class Game(Protocol):
  """What every game has. A game is also a Linen module.

  Attributes:
    turns: the moves of one step, in order.
    latents: one distribution of `gan_jax.latents.distributions`, or a dict of them; None if the game draws no latents.
  """

  @property
  def turns(self) -> tuple[Turn, ...]: ...

  @property
  def latents(self) -> Any: ...

  def sample(self, batch: Mapping[str, Any]) -> Any:
    """batch -> generated examples, or {name: examples}, networks in eval mode.

    The batch has the streams that the game's `inputs` name, as its losses see them, and its latents.

    With a second argument `train=False` it can also be called in training mode, which standing statistics need.
    """


@runtime_checkable
class HasLogits(Protocol):
  """A game whose discriminator gives one logit per example.

  Attributes:
    boundary: the discriminator takes an example for real if its logit is above this number. None if a logit alone has
      no meaning, as for a Wasserstein critic or a relativistic loss: there only differences count.
  """

  @property
  def boundary(self) -> float | None: ...

  def logits(self, image: jax.Array) -> jax.Array:
    """(B, ...) -> (B,), high for real examples; networks in eval mode."""


@runtime_checkable
class HasLayers(Protocol):
  """A game whose discriminator gives the feature maps of its layers."""

  def layers(self, image: jax.Array) -> Sequence[jax.Array]:
    """(B, H, W, C) -> the feature maps (B, h, w, c) of the layers; networks in eval mode."""


@runtime_checkable
class HasCodes(Protocol):
  """A game that predicts parts of the latents from an example (InfoGAN's codes)."""

  def codes(self, image: jax.Array) -> dict[str, jax.Array]:
    """(B, ...) -> {name of the code: logits or means (B, n)}; networks in eval mode."""


@runtime_checkable
class HasClassifier(Protocol):
  """A game that classifies examples."""

  def classify(self, image: jax.Array) -> jax.Array:
    """(B, ...) -> logits (B, classes); networks in eval mode."""


@runtime_checkable
class HasObjective(Protocol):
  """A game whose discriminators can also score the samples of another run."""

  def objective(self, real: jax.Array, fake: jax.Array) -> jax.Array:
    """Examples (B, ...) twice -> the scalar that the discriminators maximise; networks in eval mode."""


def samples_in_training(game: Game) -> bool:
  """Whether the game's `sample` has the argument `train`."""
  return 'train' in inspect.signature(game.sample).parameters


class Turn(NamedTuple):
  """Who moves, on which loss, how often, on which data.

  Attributes:
    movers: the players whose parameters move.
    loss: the name of the game's method that they minimise; or {mover: method}, if each mover has its own loss. Then
      all gradients are taken before any parameter moves.
    repeat: moves in a row (n_critic), each on new data.
    streams: the data streams that the loss reads; None for all. The turn draws no data from the others.
    when: (clock, variables of the game) -> boolean scalar; None for always. The variables are
      {'table': {...}, 'memory': {...}}. A turn that is not played still uses up its data, unless it shares a batch.
    dynamics: (field, params of the movers) -> directions, a rule of `gan_jax.optim.dynamics`; None for the gradients.
    share: 'latents' (or True): the first move reuses the latents of the move before it, with new data and noise. If
      the generator did not move in between and draws no noise, the compiler runs its forward pass once for both moves.
      'batch': the first move reuses the latents, the data and the PRNG key of the move before it. A loss that draws
      from `make_rng` in the same order gets the same noise. This move draws no data.
  """

  movers: tuple[str, ...]
  loss: str | Mapping[str, str]
  repeat: int = 1
  streams: tuple[str, ...] | None = None
  when: Callable[[Clock, Mapping[str, Any]], jax.Array] | None = None
  dynamics: Callable[[Callable[[Any], Any], Any], Any] | None = None
  share: bool | str = False

  @property
  def fresh(self) -> int:
    """The number of its moves that draw new data."""
    return self.repeat - (self.share == 'batch')

  @property
  def methods(self) -> tuple[str, ...]:
    """The methods of the game that it minimises."""
    return (self.loss,) if isinstance(self.loss, str) else tuple(dict.fromkeys(self.loss.values()))

  @property
  def title(self) -> str:
    """The turn in messages: its methods."""
    return ' + '.join(self.methods)


def players_of(game: nn.Module) -> tuple[str, ...]:
  """The players of a game: first those that move in its turns, then its frozen ones."""
  names = [name for turn in game.turns for name in turn.movers] + list(frozen_players(game))
  return tuple(dict.fromkeys(names))


def frozen_players(game: nn.Module) -> tuple[str, ...]:
  """The players that never move: the game's optional attribute `frozen`."""
  return tuple(getattr(game, 'frozen', ()))


def unaveraged_players(game: nn.Module) -> tuple[str, ...]:
  """The players whose running averages samples leave out: the game's optional attribute `unaveraged`."""
  return tuple(getattr(game, 'unaveraged', ()))


def owner(child: str, players: Iterable[str]) -> str:
  """The player that a child of the game belongs to. If several names match, the longest wins.

  Raises:
    UserError: no player's name matches.

  >>> owner('generator_ab', ('generator', 'generator_ab', 'discriminator'))
  'generator_ab'
  >>> owner('discriminators_0', ('generator', 'discriminator'))  # entry 0 of a list `discriminators`
  'discriminator'
  """
  starts_with = lambda name: child == name or child.startswith(name + '_')
  matches = [player for player in players if starts_with(player) or starts_with(player + 's')]
  if not matches:
    raise UserError(
      f'network {child!r} has no owner among the players {sorted(players)}: rename it to one of them or to '
      'PLAYER_something, or list its player in `frozen`'
    )
  return max(matches, key=len)


def classified_in(game: Any, streams: Iterable[str]) -> tuple[str, ...]:
  """The streams whose examples a game's `classify` is for: its `classified`, by default all; none without it."""
  return tuple(getattr(game, 'classified', streams)) if isinstance(game, HasClassifier) else ()


def network(game: nn.Module, child: str) -> Any:
  """The network of a child's name, if it is a field of the game; else None (a network made in `setup`).

  Linen gives entry 0 of a list `discriminators` the name discriminators_0, and entry 'a' of a dict discriminators_a.
  """
  module = getattr(game, child, None)
  for cut in (i for i, letter in enumerate(child) if letter == '_' and module is None):
    field = getattr(game, child[:cut], None)
    entries = field if isinstance(field, Mapping) else dict(enumerate(field)) if type(field) is tuple else {}
    module = {str(key): entry for key, entry in entries.items()}.get(child[cut + 1 :])
  return module


def turn_streams(turn: Turn, streams: Iterable[str]) -> tuple[str, ...]:
  """The data streams that a turn reads, among all `streams`."""
  return tuple(streams) if turn.streams is None else turn.streams


def moves_per_step(game: nn.Module, stream: str) -> int:
  """How many moves of one step draw from a data stream."""
  return sum(turn.fresh for turn in game.turns if stream in turn_streams(turn, (stream,)))


def turn_batch(turn: Turn, batch: Mapping[str, Any]) -> dict[str, Any]:
  """The part of a batch that a turn reads: its streams and the latents."""
  streams = turn_streams(turn, [name for name in batch if name != 'latents'])
  return {name: batch[name] for name in (*streams, 'latents') if name in batch}


def check(game: nn.Module, optimizers: Mapping[str, Any], streams: Iterable[str]) -> None:
  """Checks that the turns, players, optimizers, losses and streams of a game fit together.

  Raises:
    UserError: they do not.
  """
  players, frozen = set(players_of(game)), set(frozen_players(game))
  movers = {name for turn in game.turns for name in turn.movers}
  if movers & frozen:
    raise UserError(f'players {sorted(movers & frozen)} are declared frozen but move in a turn: drop one of the two')
  if set(optimizers) != players - frozen:
    raise UserError(
      f'config.optimizers names {sorted(optimizers)} but the players of {type(game).__name__} that move are '
      f'{sorted(players - frozen)}: give each of them one optimizer'
    )
  streams = tuple(streams)
  inputs_of(game, streams)
  outputs_of(game, streams)
  for number, turn in enumerate(game.turns):
    if turn.share:
      _check_share(game, number, streams)
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


def _check_share(game: nn.Module, number: int, streams: tuple[str, ...]) -> None:
  turn = game.turns[number]
  where = f'turn {turn.title!r} of {type(game).__name__}'
  if turn.share not in (True, 'latents', 'batch'):
    raise one_of(f'share of {where}', turn.share, ('latents', 'batch'))
  what = 'the batch' if turn.share == 'batch' else 'latents'
  if number == 0:
    raise UserError(f'{where} shares {what}, but no move comes before it in a step: leave out share')
  if turn.share != 'batch' and game.latents is None:
    raise UserError(f'{where} shares {what}, but the game draws none: leave out share')
  if turn.share == 'batch':
    before = game.turns[number - 1]
    missing = set(turn_streams(turn, streams)) - set(turn_streams(before, streams))
    if missing:
      raise UserError(
        f'{where} shares the batch of {before.title!r}, which reads no {", ".join(sorted(missing))}: list the streams '
        'of both turns in streams, or leave out share'
      )
