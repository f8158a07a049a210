"""The state of a game between two moves: the state of every player, and the variables of the game itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from flax import struct

from gan_jax.core.clock import Clock
from gan_jax.core.game import owner, players_of, unaveraged_players

#: Collections of the game itself; they are kept between steps.
GAME_COLLECTIONS = ('table', 'memory')
#: Collections that the first batch sets for good: a running average of them would go on from what they were before it.
SET_ONCE = ('data_scale',)
#: Collections that are no variables of a player. 'intermediates' is what Linen's `sow` writes: in the state it would
#: grow with every move.
NOT_OF_PLAYERS = ('intermediates', 'scratch', 'clock', 'params')


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
    variables: {'table': {...}, 'memory': {...}}, the variables of the game itself, which belong to no player.
    scratch: the collection that earlier turns of this step wrote; empty between steps.
  """

  step: jax.Array
  players: dict[str, TrainState]
  variables: Any
  scratch: Any


def of_player(tree: Mapping[str, Any], player: str, players: tuple[str, ...]) -> dict[str, Any]:
  """The entries {child: value} of one player."""
  return {child: value for child, value in tree.items() if owner(child, players) == player}


def variables_of_player(variables: Mapping[str, Any], player: str, players: tuple[str, ...]) -> dict[str, Any]:
  """{collection: {child: value}} of one player."""
  kept = {name: of_player(tree, player, players) for name, tree in variables.items()}
  return {name: tree for name, tree in kept.items() if tree}


def split_collections(variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
  """(variables of the players, variables of the game, scratch) of all variables that a loss wrote."""
  of_players = {k: v for k, v in variables.items() if k not in (*GAME_COLLECTIONS, *NOT_OF_PLAYERS)}
  return of_players, {k: variables.get(k, {}) for k in GAME_COLLECTIONS}, variables.get('scratch', {})


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
    state: its state.
    ema: use the running averages of the players that keep them. Those of its `unaveraged` are left out.
    clock: the time that `read_clock` returns in the game's methods.
  """
  players = active_players(game, state)
  if ema:
    without = unaveraged_players(game)
    players = {
      name: player if player.ema is None or name in without else player.replace(**player.ema)
      for name, player in players.items()
    }
  variables = {**assemble(players), **state.variables}
  return variables if clock is None else {**variables, 'clock': {'now': clock}}


def active_players(game: nn.Module, state: GameState) -> dict[str, TrainState]:
  """The players of this game. The state may also hold players that wait for a later stage."""
  return {name: state.players[name] for name in players_of(game)}
