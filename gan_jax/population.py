"""Populations: N games of one config in one compiled step, by `vmap` over their states.

    python -m gan_jax.main --config configs/quickstart.py --config.population=3

Member i is the run that `vary.member_config(config, i)` describes: its own seed, hence its own weights, order of the
data, latents and noise, and its own value of every setting in `config.vary`. It trains what `train.run` of that config
trains, up to rounding. An ordinary run is a population of one member without a number, so that there is one loop.

A number that varies reaches the game or the optimizer as a traced float32 scalar. The rounding of float32 is all that
may then differ, but it shows where a number is close to 1: 1 - b2 of Adam is wrong in its fifth digit for b2 = 0.999.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from gan_jax import experiment, member_metrics, parallel, vary
from gan_jax import game as game_lib
from gan_jax.errors import UserError
from gan_jax.seeds import check_seed, key_of


class Member(NamedTuple):
  """One of the games of a run.

  Attributes:
    number: from 0; None for the one game of an ordinary run.
    config: as a run of its own.
    stages: of that config.
  """

  number: int | None
  config: ml_collections.ConfigDict
  stages: tuple[experiment.Stage, ...]

  @property
  def suffix(self) -> str:
    """What the names of its files end in."""
    return '' if self.number is None else f'_member_{self.number}'

  @property
  def title(self) -> str:
    """For messages: 'member 3: '; nothing for an ordinary run."""
    return '' if self.number is None else f'member {self.number}: '

  def of(self, state: Any) -> Any:
    """Its part of the state of the population."""
    return state if self.number is None else _slice(state, self.number)

  def named(self, values: Mapping[str, float]) -> dict[str, float]:
    """Metrics under the names that they have in the row of the population: NAME_0, NAME_1, ..."""
    return dict(values) if self.number is None else {f'{name}_{self.number}': v for name, v in values.items()}

  def row(self, values: Mapping[str, float]) -> dict[str, float]:
    """The reverse of `named`: its own metrics among those of all."""
    if self.number is None:
      return dict(values)
    end = f'_{self.number}'
    return {name.removesuffix(end): value for name, value in values.items() if name.endswith(end)}


_slice = jax.jit(lambda tree, number: jax.tree.map(lambda x: x[number], tree))


def population_of(config: ml_collections.ConfigDict) -> 'Population':
  """The members that a config describes: config.population of them, or one without a number.

  Raises:
    UserError: any setting that is unknown, missing, of the wrong type, or does not fit the others.
  """
  if config.population < 0:
    raise UserError(f'config.population={config.population} must be at least 0')
  numbers = vary.varied(config)
  seeds = tuple(int(seed) for seed in numbers.pop('seed', ())) or tuple(
    config.seed + i for i in range(config.population)
  )
  if not config.population:
    check_seed(config.seed)
    return Population(config, (Member(None, config, experiment.stages_of(config)),), (config.seed,), {})
  for seed in seeds:
    check_seed(seed)
  configs = [vary.member_config(config, i) for i in range(config.population)]
  members = tuple(Member(i, alone, experiment.stages_of(alone)) for i, alone in enumerate(configs))
  return Population(config, members, seeds, numbers)


@dataclasses.dataclass(frozen=True)
class Population:
  """The games of a run, which begin, move and are saved together.

  States have the members in front of every leaf; so have the moves of a `Feed`. Of an ordinary run (`alone`) all
  methods give what `experiment` gives.

  Attributes:
    config: of the run.
    members: one or more.
    seeds: one per member.
    numbers: {dotted path: a value per member} of what varies beside the seed.
  """

  config: ml_collections.ConfigDict
  members: tuple[Member, ...]
  seeds: tuple[int, ...]
  numbers: Mapping[str, tuple[float, ...]]

  @property
  def alone(self) -> bool:
    """Whether this is an ordinary run."""
    return self.members[0].number is None

  @property
  def stages(self) -> tuple[experiment.Stage, ...]:
    """The stages of the first member. The others' differ in numbers, never in shapes, steps or streams."""
    return self.members[0].stages

  @property
  def keys(self) -> jax.Array:
    """The key of the run, or (N,) of the members."""
    if self.alone:
      return key_of(self.seeds[0])
    return jnp.stack([key_of(seed) for seed in self.seeds])

  @property
  def feed_seed(self) -> int | tuple[int, ...]:
    """What `Feed` takes as its seed."""
    return self.seeds[0] if self.alone else self.seeds

  def step_of(self, state: game_lib.GameState) -> int:
    """Steps finished."""
    return int(state.step if self.alone else state.step[0])

  def _stage(self, number: int, index: jax.Array) -> experiment.Stage:
    """A stage of the member of a traced index."""
    if not self.numbers:
      return self.stages[number]
    settings = self.members[0].config.to_dict()
    for path, values in self.numbers.items():
      # Chosen among Python's numbers, so that it has their weak type: a bfloat16 network stays one.
      value: Any = values[-1]
      for i, other in enumerate(values[:-1]):
        value = jnp.where(index == i, other, value)
      vary.put(settings, path, value)
    return experiment.stages_of(ml_collections.ConfigDict(settings))[number]

  def enter(self, number: int, before: game_lib.GameState | None, keys: jax.Array) -> game_lib.GameState:
    """The state in which stage `number` begins, see `experiment.enter`; jit it."""
    if self.alone:
      return experiment.enter(self.stages[number], before, keys)
    one = lambda before, key, index: experiment.enter(self._stage(number, index), before, key)
    return jax.vmap(one)(before, keys, jnp.arange(len(self.members), dtype=jnp.int32))

  def abstract_state(self, number: int) -> game_lib.GameState:
    """Shapes and dtypes of the state inside stage `number`."""
    state = experiment.abstract_state(self.stages, number, jax.random.key(0))
    if self.alone:
      return state
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct((len(self.members), *s.shape), s.dtype), state)

  def make_step(self, number: int, mesh: Mesh, count: int = 1) -> Callable[..., Any]:
    """The step of stage `number` for all members, see `experiment.make_step`: (state, feed, keys) -> (state, metrics).

    Metrics have the members in front, behind the steps of a call.
    """
    if self.alone:
      return experiment.make_step(self.stages[number], mesh, count)
    axis = 0 if count == 1 else 1

    def step(state: Any, feed: Any, keys: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
      # All members stand at one step. As one number, a condition on the clock stays a condition: under vmap, one of
      # each member would be a choice between two results that are both computed.
      shared = state.step[0]

      def one(state, moves, key, index):
        step = experiment.make_step(self._stage(number, index), mesh, count)
        return step(state.replace(step=shared), {**feed, 'moves': moves}, key)

      members = jnp.arange(len(self.members), dtype=jnp.int32)
      return jax.vmap(one, in_axes=(0, axis, 0, 0), out_axes=(0, axis))(state, feed['moves'], keys, members)

    return step

  def abstract_feed(self, number: int, mesh: Mesh, count: int = 1) -> dict[str, Any]:
    """Shapes of what a streaming `Feed` gives a call of `count` steps."""
    feed = experiment.abstract_feed(self.stages[number], mesh, count)
    if self.alone:
      return feed
    axis = 0 if count == 1 else 1

    def stacked(s: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
      shape = (*s.shape[:axis], len(self.members), *s.shape[axis:])
      return jax.ShapeDtypeStruct(shape, s.dtype, sharding=parallel.sharded(mesh, axis + 2))

    return {**feed, 'moves': jax.tree.map(stacked, feed['moves'])}

  def each(self, number: int, make: Callable[[experiment.Stage], Any]) -> list[Any]:
    """`make(stage)` for the stage of every member; members whose game has the same settings share one."""
    made: dict[Any, Any] = {}
    things = []
    for i, member in enumerate(self.members):
      game = tuple(values[i] for path, values in self.numbers.items() if path.startswith('game.'))
      if game not in made:
        made[game] = make(member.stages[number])
      things.append(made[game])
    return things

  def check(self, mesh: Mesh) -> None:
    """Traces every stage, so that what cannot be one program is known before the first step.

    Raises:
      UserError: a number that varies is read by Python, changes shapes, or two metrics would have one name.
    """
    if self.alone:
      return
    for name, usual in (('parallel', 'jit'), ('shard_state', False)):
      if self.config[name] != usual:
        raise UserError(
          f'config.{name}={self.config[name]!r} with config.population={len(self.members)} is not supported: leave it '
          f'at {usual!r}, or train each member by itself'
        )
    if jax.process_count() > 1:
      raise UserError(
        f'config.population={len(self.members)} in {jax.process_count()} processes is not supported: train it in one '
        'process (of as many devices as it has), or each member by itself'
      )
    for stage in self.stages:
      try:
        names = self._traced(stage.number, mesh)
      except Exception as error:
        self._blame(stage.number, mesh, error)
        raise
      rows = [row for name in names for row in (name, f'{name}_standard_error', *(m.named({name: 0}).popitem()[0]
              for m in self.members))]  # fmt: skip
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

  def statistics(self, values: Mapping[str, float]) -> dict[str, float]:
    """A row of metrics: NAME (mean over the members), NAME_standard_error, then NAME_0, NAME_1, ...

    Args:
      values: {NAME_i: value}; a member may lack some. Those of an ordinary run are returned as they are.
    """
    return dict(values) if self.alone else member_metrics.statistics(values)

  def describe(self) -> list[str]:
    """Lines for the person at the console."""
    if self.alone:
      return []
    lines = [f'members   {len(self.members)} games in one step, of seeds {", ".join(map(str, self.seeds))}']
    return lines + [f'  {path}: {", ".join(map(str, values))}' for path, values in self.numbers.items()]


def _rigid(where: str, error: Exception) -> UserError:
  detail = ' '.join(str(error).split('The error occurred')[0].split())
  kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
  return UserError(
    f'{where} cannot vary inside a population, for what reads it needs a plain number, to branch or for a shape '
    f'({kind}{detail[:200]}): train its values in runs of their own'
  )
