"""The state of a game before its first move."""

from __future__ import annotations

import inspect
import pathlib
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.errors import ScopeParamShapeError

from gan_jax.base.errors import UserError, one_of
from gan_jax.core.game import RANDOM_STREAMS, check, owner, players_of, turn_batch
from gan_jax.core.sampled import given
from gan_jax.core.state import GameState, TrainState, of_player, split_collections, variables_of_player


def _run_all_networks(game: nn.Module, batch: Mapping[str, Any]) -> None:
  """Runs every network, so that `init` makes every parameter."""
  for turn in game.turns:
    for method in turn.methods:
      getattr(game, method)(turn_batch(turn, batch))
  # As sampling will call it. Streams may have batch sizes of their own.
  reads = given(game, batch)
  least = min((len(x) for x in jax.tree.leaves(reads)), default=0)
  reads = jax.tree.map(lambda x: x[:least], reads)
  try:
    game.sample(reads)
  except KeyError as error:
    name = error.args[0] if error.args else None
    if name not in batch or name in reads:
      raise
    raise UserError(
      f'{type(game).__name__}.sample reads the stream {name!r}, but is given {", ".join(reads)}: name the streams that '
      f'it reads in the game, inputs = ({", ".join(repr(n) for n in dict.fromkeys((*reads, name)) if n != "latents")},)'
    ) from error


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
    ema: the players that keep running averages.

  Raises:
    UserError: a network belongs to no player, a player has no optimizer, a name is unknown, or the data lack a field.
  """
  check(game, optimizers, [name for name in batch if name != 'latents'])
  players = players_of(game)
  for name in ema:
    if name not in players:
      raise one_of('player in config.ema', name, players)
  keys = dict(zip(('params', *RANDOM_STREAMS), jax.random.split(key, 1 + len(RANDOM_STREAMS)), strict=True))
  try:
    variables = game.init(keys, batch, method=_run_all_networks)
  except UserError:
    raise
  except Exception as error:
    raise _misfit(game, batch, error) from error
  params = variables.get('params', {})
  for child, tree in params.items():
    if not isinstance(tree, Mapping):
      raise UserError(f'parameter {child!r} belongs to the game, not to a player: put it in a small module of a player')
  of_players, of_game, _ = split_collections(variables)
  for child in {child for tree in (params, *of_players.values()) for child in tree}:
    owner(child, players)
  states = {}
  for player in players:
    own_params = of_player(params, player, players)
    own_variables = variables_of_player(of_players, player, players)
    optimizer = optimizers.get(player)
    states[player] = TrainState(
      params=own_params,
      variables=own_variables,
      opt_state=None if optimizer is None else optimizer.init(own_params),
      # A copy: a donated state must not hold one buffer twice.
      ema=jax.tree.map(jnp.copy, {'params': own_params, 'variables': own_variables}) if player in ema else None,
    )
  return GameState(step=jnp.zeros((), jnp.int32), players=states, variables=of_game, scratch={})


def _misfit(game: nn.Module, batch: Mapping[str, Any], error: Exception) -> UserError:
  """An exception of `init` as one line for the user."""
  name, kind = type(game).__name__, type(error).__name__
  source = inspect.getsourcefile(type(game))
  frames = traceback.extract_tb(error.__traceback__)
  # Frames of jax, flax and chex do not help. Ours do, though they may lie in site-packages too.
  own = [folder for folder in (pathlib.Path(__file__).parent, source and pathlib.Path(source).parent) if folder]
  useful = [
    f
    for f in frames
    if 'site-packages' not in f.filename or any(folder in pathlib.Path(f.filename).parents for folder in own)
  ]
  frame = (useful or frames)[-1]
  place = f'{pathlib.Path(frame.filename).name}:{frame.lineno}'
  detail = ' '.join(str(error).split(' (http')[0].split())
  # In the game's own file, or one beside it that games share.
  if isinstance(error, KeyError) and source and pathlib.Path(source).parent in pathlib.Path(frame.filename).parents:
    fields = {name: sorted(v) if isinstance(v, Mapping) else '' for name, v in batch.items()}
    return UserError(
      f'{name} reads {error} from its batch ({place}), which has {fields}: set config.data so that the data give it '
      '(labels need config.data.classes, tags config.data.tags); a part of the latents, or what a network gives, is '
      'set in config.game'
    )
  if isinstance(error, ScopeParamShapeError):
    return UserError(
      f'{name}: one layer meets inputs of different shapes ({detail}): change config.data.size and '
      'config.data.channels, or the networks, until real and generated examples agree'
    )
  counts = {part: len(jax.tree.leaves(fields)[0]) for part, fields in batch.items() if jax.tree.leaves(fields)}
  each = ' and '.join(f'{count} {part}' for part, count in counts.items())
  # A loss or a penalty may compare them in pairs.
  sizes = (
    f'; a move reads {each}: leave batch_size out of config.data for as many' if len({*counts.values()}) > 1 else ''
  )
  return UserError(
    f'{name} does not fit together ({place}, {kind}: {detail}): change config.game, config.data or config.batch_size'
    f'{sizes}'
  )
