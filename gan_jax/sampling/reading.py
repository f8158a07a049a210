"""What a game's `sample` reads, of all that it is given."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from gan_jax import core
from gan_jax.base.functions import read
from gan_jax.core.sampled import asked_as
from gan_jax.latents import distributions as latents_lib
from gan_jax.nets.layers.conv import short_formulation
from gan_jax.runs.stages import Stage
from gan_jax.sampling.sampler import CHUNK


class Read(NamedTuple):
  """
  Attributes:
    variables: the game's variables, True where they are read.
    fields: the (stream, field) that are read, by the names that the game has for them.
  """

  variables: Any
  fields: frozenset[tuple[str, str]]

  def networks(self) -> frozenset[str]:
    """The networks whose weights are read."""
    params = self.variables.get('params', {})
    return frozenset(name for name, leaves in params.items() if any(jax.tree.leaves(leaves)))


def read_by_sample(stage: Stage, variables: Mapping[str, Any]) -> Read:
  """Traces `sample` on as many examples as samples are made of at a time, of every stream that it may read.

  Args:
    stage: with the game and the streams.
    variables: of the game, or their shapes.

  Raises:
    UserError: the data are not there, and nothing is known of them.
  """
  game = stage.game
  latents = None
  if game.latents is not None:
    latents = jax.eval_shape(lambda: latents_lib.draw(game.latents, jax.random.key(0), CHUNK))
  inputs = {name: dict(stage.streams[name].fields(CHUNK)) for name in core.inputs_of(game, stage.streams)}
  for fields in inputs.values():
    fields |= {asked: fields[field] for field, asked in asked_as(game).items() if field in fields}

  def sample(variables: Any, latents: Any, inputs: Any, key: jax.Array) -> Any:
    batch = inputs if latents is None else {**inputs, 'latents': latents}
    with short_formulation():
      return game.apply(variables, batch, method='sample', rngs={'noise': key})

  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), dict(variables))
  key = jax.eval_shape(lambda: jax.random.key(0))
  (weights, _, fields, _), _ = read(sample, shapes, latents, inputs, key)
  named = frozenset((stream, name) for stream, known in fields.items() for name, is_read in known.items() if is_read)
  return Read(weights, named)


def averaged_players(game: Any, state: core.GameState, found: Read | None) -> list[str]:
  """The players whose running averages samples are of.

  Args:
    game: the module.
    state: of it.
    found: what `sample` reads; None if it is not known, then all that keep averages.
  """
  without = core.unaveraged_players(game)
  kept = [name for name, player in state.players.items() if name not in without and player.ema is not None]
  return [name for name in kept if found is None or found.networks() & set(state.players[name].params)]
