"""Populations: one compiled step trains N games of one config, by `vmap` over their states.

    python -m gan_jax.main --config configs/quickstart.py --config.population=3

Member i is the run of the config `vary.member_config(config, i)`. It has its own seed, so its own weights, order of the
data, latents and noise, and its own value of every setting in `config.vary`. Up to rounding, it trains as a run of that
config alone would train.

The game or the optimizer gets a number that varies as a traced float32 scalar. So it is rounded to float32, which
matters if the number is close to 1: for b2 = 0.999, Adam's 1 - b2 is wrong in the fifth digit.
"""

import dataclasses
import functools
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
from gan_jax.runs import entering, learnt, steps
from gan_jax.runs.member_metrics import statistics
from gan_jax.runs.stages import Stage, stages_of
from gan_jax.runs.views import T, View


def population_of(config: ml_collections.ConfigDict, known: learnt.Learnt = learnt.NOTHING) -> 'Population':
  """The population of config.population games that a config describes.

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
  members = tuple(View(i, alone, stages_of(alone, known)) for i, alone in enumerate(configs))
  # As the members have them: a whole number where their settings have a float is one.
  numbers = {path: tuple(vary.value_at(alone.to_dict(), path) for alone in configs) for path in numbers}
  return Population(config, members, seeds, numbers, known)


@dataclasses.dataclass(frozen=True)
class Population:
  """Several games in one program; it implements `Experiment`. The first axis of states and of moves is the member.

  Attributes:
    config: the config of the run.
    views: the members, one or more.
    seeds: one seed per member.
    numbers: {dotted path: a value per member}, the settings other than the seed that vary.
    known: what the columns of their streams learnt.
  """

  config: ml_collections.ConfigDict
  views: tuple[View, ...]
  seeds: tuple[int, ...]
  numbers: Mapping[str, tuple[float, ...]]
  known: learnt.Learnt = dataclasses.field(default_factory=dict)

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
    """A stage of one member; `index`, the number of the member, is traced."""
    if not self.numbers:
      return self.stages[number]
    settings = self.views[0].config.to_dict()
    for path, values in self.numbers.items():
      # `where` of Python numbers has a weak type, so that a bfloat16 network stays bfloat16.
      value: Any = values[-1]
      for i, other in enumerate(values[:-1]):
        value = jnp.where(index == i, other, value)
      vary.put(settings, path, value)
    return stages_of(ml_collections.ConfigDict(settings), self.known)[number]

  def enter(self, number: int, before: core.GameState | None, keys: jax.Array) -> core.GameState:
    # One member after the other: vmap would batch the QR factorisations of orthogonal kernels, and XLA:CPU hangs when
    # it runs several of these at once (jaxlib 0.10 on 2 cores).
    def one(given: Any) -> core.GameState:
      before, key, index = given
      if not self.numbers:
        return self.of_first.enter(number, before, key)
      return entering.enter(self._stage(number, index), before, key)

    return jax.lax.map(one, (before, keys, jnp.arange(len(self.views), dtype=jnp.int32)))

  @functools.cached_property
  def of_first(self) -> entering.Entries:
    return entering.Entries(self.stages, jax.random.key(0))

  def abstract_state(self, number: int) -> core.GameState:
    one = self.of_first[number]
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct((len(self.views), *s.shape), s.dtype), one)

  def make_step(self, number: int, mesh: Mesh, count: int = 1) -> Callable[..., Any]:
    # The axis of the members: the first, or behind the axis of the steps of a call.
    axis = 0 if count == 1 else 1

    def step(state: Any, feed: Any, keys: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
      # All members are at the same step, so it is one number and not batched. Then a condition on the clock stays a
      # `lax.cond`: vmap turns a cond with a batched condition into a select, which computes both branches.
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
    of_settings: dict[Any, T] = {}
    of_members = []
    for i, view in enumerate(self.views):
      settings = tuple(values[i] for path, values in self.numbers.items() if path.startswith('game.'))
      if settings not in of_settings:
        of_settings[settings] = make(view.stages[number])
      of_members.append(of_settings[settings])
    return of_members

  def check(self, mesh: Mesh) -> None:
    """Traces every stage.

    Raises:
      UserError: Python code reads a number that varies, such a number changes shapes, or two metrics would get the same
        name.
    """
    for name, usual in (('parallel', 'jit'), ('shard_state', False)):
      if self.config[name] != usual:
        raise UserError(
          f'config.{name}={self.config[name]!r} with config.population={len(self.views)} is not supported: leave it '
          f'at {usual!r}, or train each member in a run of its own'
        )
    if jax.process_count() > 1:
      raise UserError(
        f'config.population={len(self.views)} in {jax.process_count()} processes is not supported: train it in one '
        'process (with all devices of its machine), or train each member in a run of its own'
      )
    for stage in self.stages:
      try:
        names = self._traced(stage.number, mesh)
      except Exception as error:
        self._raise_for_settings(stage.number, mesh, error)
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
      Exception: of any kind, if code cannot work with a traced number.
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

  def _raise_for_settings(self, number: int, mesh: Mesh, error: Exception) -> None:
    """Raises a UserError that names the settings that cannot vary; returns if they are not the cause of the error."""

    def failing(numbers: Mapping[str, tuple[float, ...]]) -> Exception | None:
      try:
        dataclasses.replace(self, numbers=numbers)._traced(number, mesh)
      except Exception as error:
        return error
      return None

    if not self.numbers or failing({}) is not None:
      return
    for path, values in self.numbers.items():
      cause = failing({path: values})
      if cause is not None:
        raise _cannot_vary(f'config.vary.{path}={values}', cause) from cause
    raise _cannot_vary(', '.join(f'config.vary.{path}' for path in self.numbers), error) from error

  def rows(self, metrics: Mapping[str, Any]) -> list[tuple[View, dict[str, Any]]]:
    return [(view, {name: value[i] for name, value in metrics.items()}) for i, view in enumerate(self.views)]

  def row(self, values: Mapping[str, float]) -> dict[str, float]:
    """{NAME: mean over the members that have the metric, NAME_standard_error, NAME_0, NAME_1, ...}."""
    return statistics(values)

  def joined(self, states: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

  def describe(self) -> list[str]:
    lines = [f'members   {len(self.views)} games in one step, with seeds {", ".join(map(str, self.seeds))}']
    lines += [f'  {path}: {", ".join(map(str, values))}' for path, values in self.numbers.items()]
    return lines + [f'  note: members {", ".join(map(str, alike))} are the same game' for alike in self._alike()]

  def _alike(self) -> list[list[int]]:
    """The members that differ in nothing."""
    found: dict[tuple[float, ...], list[int]] = {}
    for i, seed in enumerate(self.seeds):
      found.setdefault((seed, *(values[i] for values in self.numbers.values())), []).append(i)
    return [alike for alike in found.values() if len(alike) > 1]


def _cannot_vary(where: str, error: Exception) -> UserError:
  detail = ' '.join(str(error).split('The error occurred')[0].split())
  kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
  return UserError(
    f'{where} cannot vary inside a population: the code needs a plain Python number, for a branch or a shape '
    f'({kind}{detail[:200]}); train each value in a run of its own'
  )
