"""What a game is made of between two moves: the state of every player, and what nobody owns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from flax import struct

from gan_jax.core.clock import Clock
from gan_jax.core.game import owner, players_of

GAME_COLLECTIONS = ('table', 'memory')


#: What Linen's `sow` writes: never part of the state, or it would grow with every move.
PASSING = ('intermediates', 'scratch', 'clock', 'params')


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
