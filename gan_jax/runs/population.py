"""Populations: N games of one config in one compiled step, by `vmap` over their states.

    python -m gan_jax.main --config configs/quickstart.py --config.population=3

Member i is the run that `vary.member_config(config, i)` describes: its own seed, hence its own weights, order of the
data, latents and noise, and its own value of every setting in `config.vary`. It trains what a run of that config would
train, up to rounding.

A number that varies reaches the game or the optimizer as a traced float32 scalar. The rounding of float32 is all that
may then differ, but it shows where a number is close to 1: 1 - b2 of Adam is wrong in its fifth digit for b2 = 0.999.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed, key_of
from gan_jax.config import vary
from gan_jax.distributed import parallel
from gan_jax.runs import entering, steps
from gan_jax.runs.member_metrics import statistics
from gan_jax.runs.stages import Stage, stages_of
from gan_jax.runs.views import T, View


def population_of(config: ml_collections.ConfigDict) -> 'Population':
  """The config.population games that a config describes.

  Raises:
    UserError: any setting that is unknown, missing, of the wrong type, or does not fit the others.
  """
  numbers = vary.varied(config)
  seeds = tuple(int(seed) for seed in numbers.pop('seed', ())) or tuple(
    config.seed + i for i in range(config.population)
  )
  for seed in seeds:
    check_seed(seed)
  configs = [vary.member_config(config, i) for i in range(config.population)]
  members = tuple(View(i, alone, stages_of(alone)) for i, alone in enumerate(configs))
  return Population(config, members, seeds, numbers)


@dataclasses.dataclass(frozen=True)
class Population:
  """Several games in one program: an `Experiment`. States and the moves of a `Feed` have the members in front.

  Attributes:
    config: of the run.
    views: the members, one or more.
    seeds: one per member.
    numbers: {dotted path: a value per member} of what varies beside the seed.
  """

  config: ml_collections.ConfigDict
  views: tuple[View, ...]
  seeds: tuple[int, ...]
  numbers: Mapping[str, tuple[float, ...]]

  @property
  def stages(self) -> tuple[Stage, ...]:
    return self.views[0].stages

  @property
  def keys(self) -> jax.Array:
    return jnp.stack([key_of(seed) for seed in self.seeds])

  @property
  def feed_seed(self) -> tuple[int, ...]:
    return self.seeds

  def step_of(self, state: core.GameState) -> int:
    return int(state.step[0])

  def _stage(self, number: int, index: jax.Array) -> Stage:
    """A stage of the member of a traced index."""
    if not self.numbers:
      return self.stages[number]
    settings = self.views[0].config.to_dict()
    for path, values in self.numbers.items():
      # Chosen among Python's numbers, so that it has their weak type: a bfloat16 network stays one.
      value: Any = values[-1]
      for i, other in enumerate(values[:-1]):
        value = jnp.where(index == i, other, value)
      vary.put(settings, path, value)
    return stages_of(ml_collections.ConfigDict(settings))[number]

  def enter(self, number: int, before: core.GameState | None, keys: jax.Array) -> core.GameState:
    # One after the other: under vmap the QR factorisations of orthogonal kernels come in batches, and XLA:CPU waits for
    # ever where it runs several of these at once (jaxlib 0.10 on 2 cores).
    one = lambda given: entering.enter(self._stage(number, given[2]), *given[:2])
    return jax.lax.map(one, (before, keys, jnp.arange(len(self.views), dtype=jnp.int32)))

  def abstract_state(self, number: int) -> core.GameState:
    state = entering.abstract_state(self.stages, number, jax.random.key(0))
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct((len(self.views), *s.shape), s.dtype), state)

  def make_step(self, number: int, mesh: Mesh, count: int = 1) -> Callable[..., Any]:
    # Metrics have the members in front, behind the steps of a call.
    axis = 0 if count == 1 else 1

    def step(state: Any, feed: Any, keys: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
      # All members stand at one step. As one number, a condition on the clock stays a condition: under vmap, one of
      # each member would be a choice between two results that are both computed.
      shared = state.step[0]

      def one(state: Any, moves: Any, key: jax.Array, index: jax.Array) -> Any:
        step = steps.make_step(self._stage(number, index), mesh, count)
        return step(state.replace(step=shared), {**feed, 'moves': moves}, key)

      members = jnp.arange(len(self.views), dtype=jnp.int32)
      together = jax.vmap(one, in_axes=(0, axis, 0, 0), out_axes=(0, axis))
      stepped: tuple[Any, dict[str, jax.Array]] = together(state, feed['moves'], keys, members)
      return stepped

    return step

  def abstract_feed(self, number: int, mesh: Mesh, count: int = 1) -> dict[str, Any]:
    feed = steps.abstract_feed(self.stages[number], mesh, count)
    axis = 0 if count == 1 else 1

    def stacked(s: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
      shape = (*s.shape[:axis], len(self.views), *s.shape[axis:])
      return jax.ShapeDtypeStruct(shape, s.dtype, sharding=parallel.sharded(mesh, axis + 2))

    return {**feed, 'moves': jax.tree.map(stacked, feed['moves'])}

  def each(self, number: int, make: Callable[[Stage], T]) -> list[T]:
    made: dict[Any, T] = {}
    things = []
    for i, view in enumerate(self.views):
      game = tuple(values[i] for path, values in self.numbers.items() if path.startswith('game.'))
      if game not in made:
        made[game] = make(view.stages[number])
      things.append(made[game])
    return things

  def check(self, mesh: Mesh) -> None:
    """Traces every stage.

    Raises:
      UserError: a number that varies is read by Python, changes shapes, or two metrics would have one name.
    """
    for name, usual in (('parallel', 'jit'), ('shard_state', False)):
      if self.config[name] != usual:
        raise UserError(
          f'config.{name}={self.config[name]!r} with config.population={len(self.views)} is not supported: leave it '
          f'at {usual!r}, or train each member by itself'
        )
    if jax.process_count() > 1:
      raise UserError(
        f'config.population={len(self.views)} in {jax.process_count()} processes is not supported: train it in one '
        'process (of as many devices as it has), or each member by itself'
      )
    for stage in self.stages:
      try:
        names = self._traced(stage.number, mesh)
      except Exception as error:
        self._blame(stage.number, mesh, error)
        raise
      rows = [row for name in names for row in (name, f'{name}_standard_error', *(m.named({name: 0}).popitem()[0]
              for m in self.views))]  # fmt: skip
      double = {name for name in rows if rows.count(name) > 1}
      if double:
        raise UserError(
          f'metric {min(double)!r} of {type(stage.game).__name__} is also the name of a figure over members: rename '
          'the metric'
        )

  def _traced(self, number: int, mesh: Mesh) -> list[str]:
    """The names of the metrics of a step.

    Raises:
      whatever a number that is no plain one brings about.
    """
    shapes = lambda tree: jax.tree.map(lambda s: (s.shape, s.dtype), tree)
    state = self.abstract_state(number)
    before = self.abstract_state(number - 1) if number else None
    keys = jax.eval_shape(lambda: self.keys)
    begun = jax.eval_shape(lambda before, keys: self.enter(number, before, keys), before, keys)
    after, metrics = jax.eval_shape(self.make_step(number, mesh), state, self.abstract_feed(number, mesh), keys)
    if not shapes(begun) == shapes(state) == shapes(after):
      raise ValueError('shapes or types of the state change with it')
    return list(metrics)

  def _blame(self, number: int, mesh: Mesh, error: Exception) -> None:
    """Raises a UserError that names the settings by which a stage cannot be traced; returns if there are none."""

    def failing(numbers: Mapping[str, tuple[float, ...]]) -> Exception | None:
      try:
        dataclasses.replace(self, numbers=numbers)._traced(number, mesh)
      except Exception as error:
        return error
      return None

    if not self.numbers or failing({}) is not None:
      return
    for path, values in self.numbers.items():
      found = failing({path: values})
      if found is not None:
        raise _rigid(f'config.vary.{path}={values}', found) from found
    raise _rigid(', '.join(f'config.vary.{path}' for path in self.numbers), error) from error

  def rows(self, metrics: Mapping[str, Any]) -> list[tuple[View, dict[str, Any]]]:
    return [(view, {name: value[i] for name, value in metrics.items()}) for i, view in enumerate(self.views)]

  def row(self, values: Mapping[str, float]) -> dict[str, float]:
    """NAME (the mean over the members that have it), NAME_standard_error, then NAME_0, NAME_1, ..."""
    return statistics(values)

  def joined(self, states: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

  def describe(self) -> list[str]:
    lines = [f'members   {len(self.views)} games in one step, of seeds {", ".join(map(str, self.seeds))}']
    return lines + [f'  {path}: {", ".join(map(str, values))}' for path, values in self.numbers.items()]


def _rigid(where: str, error: Exception) -> UserError:
  detail = ' '.join(str(error).split('The error occurred')[0].split())
  kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
  return UserError(
    f'{where} cannot vary inside a population, for what reads it needs a plain number, to branch or for a shape '
    f'({kind}{detail[:200]}): train its values in runs of their own'
  )
