"""The one abstraction: a game is a Linen module, its turns say who moves when.

A game's children are the networks. A child belongs to the player whose name it bears, alone or before an
underscore (`generator`, `generator_ab`), or in the plural (a list `discriminators`). Its methods are the losses. What
`init`, `play` and `make_step` read of a game:

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError, one_of
from gan_jax.core.clock import Clock

RANDOM_STREAMS = ('dropout', 'noise')
#: What a loss method takes: {stream: {field: (B, ...)}, 'latents': ...}.
Batch = Mapping[str, Any]
#: What a loss method may return in place of the loss alone.
LossAndMetrics = tuple[jax.Array, dict[str, jax.Array]]


@runtime_checkable
class Game(Protocol):
  """What every game is, beside a Linen module.

  Attributes:
    turns: who moves when.
    latents: what `latents.draw` takes: one distribution, or a dict of them; None if the game draws none.
  """

  @property
  def turns(self) -> tuple[Turn, ...]: ...

  @property
  def latents(self) -> Any: ...

  def sample(self, batch: Mapping[str, Any]) -> Any:
    """batch -> generated examples, or {name: examples}, networks in eval mode.

    With a second argument `train=False` it can also be called in training mode, which standing statistics need.
    """


@runtime_checkable
class HasLogits(Protocol):
  """A game whose discriminator can be asked about examples by themselves.

  Attributes:
    boundary: the logit on whose two sides real and fake belong; None if only differences mean something.
  """

  @property
  def boundary(self) -> float | None: ...

  def logits(self, image: jax.Array) -> jax.Array:
    """(B, ...) -> (B,), high on data, in eval mode."""


@runtime_checkable
class HasLayers(Protocol):
  """A game whose discriminator gives what its layers see."""

  def layers(self, image: jax.Array) -> Sequence[jax.Array]:
    """(B, H, W, C) -> the maps (B, h, w, c) of its layers, in eval mode."""


@runtime_checkable
class HasCodes(Protocol):
  """A game that reads codes of the latents from examples."""

  def codes(self, image: jax.Array) -> dict[str, jax.Array]:
    """(B, ...) -> {name of the code: logits or means (B, n)}, in eval mode."""


@runtime_checkable
class HasClassifier(Protocol):
  """A game with a player that tells classes."""

  def classify(self, image: jax.Array) -> jax.Array:
    """(B, ...) -> logits (B, classes), in eval mode."""


@runtime_checkable
class HasObjective(Protocol):
  """A game whose discriminator scores the fakes of others, too."""

  def objective(self, real: jax.Array, fake: jax.Array) -> jax.Array:
    """The value that the discriminators maximise, a scalar, of examples (B, ...), in eval mode."""


def samples_in_training(game: Game) -> bool:
  """Whether `sample` takes `train`."""
  return 'train' in inspect.signature(game.sample).parameters


class Turn(NamedTuple):
  """Who moves, on which loss, how often, on which data.

  Attributes:
    movers: the players whose parameters move.
    loss: the name of the game's method that they minimise; or {mover: method}, each its own at the same point.
    repeat: moves in a row (n_critic), each on fresh data.
    streams: the data streams the loss reads; None for all. The others are not drawn for it.
    when: (clock, table) -> boolean scalar; None for always. A turn that is not played still uses up the data that it
      does not share.
    dynamics: (field, params of the movers) -> directions, a rule of `gan_jax.optim.dynamics`; None for the gradients.
    share: 'latents' (or True): the first move takes the latents (not the data, nor the noise) of the move before it. If
      the generator did not move in between and draws no noise of its own, the compiler computes its forward pass once
      for both. 'batch': the first move takes the whole batch of the move before it, latents and data, and its noise: a
      loss that draws from `make_rng` in the same order draws the same. It uses up no data.
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
    """How many of its moves take data of their own."""
    return self.repeat - (self.share == 'batch')

  @property
  def methods(self) -> tuple[str, ...]:
    """The methods of the game that are minimised."""
    return (self.loss,) if isinstance(self.loss, str) else tuple(dict.fromkeys(self.loss.values()))

  @property
  def title(self) -> str:
    return ' + '.join(self.methods)


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
    out: jax.Array = critic(x, train=True, **inputs)
    return out.astype(jnp.float32)

  out, backward = nn.vjp(logits, critic, x)
  gradients: jax.Array = backward(jnp.ones_like(out))[-1]
  return gradients


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
  """How many moves of one step draw from a data stream."""
  return sum(turn.fresh for turn in game.turns if stream in turn_streams(turn, (stream,)))


def narrow(turn: Turn, batch: Mapping[str, Any]) -> dict[str, Any]:
  """The latents and those streams of a batch that a turn reads."""
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
  streams = tuple(streams)
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
