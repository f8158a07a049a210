"""A run of one game."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from gan_jax import core
from gan_jax.base.seeds import key_of
from gan_jax.runs import entering, learnt, steps
from gan_jax.runs.stages import Stage
from gan_jax.runs.views import T, View


@dataclasses.dataclass(frozen=True)
class Single:
  """One game; it implements `Experiment` with the functions of `stages`, `entering` and `steps`.

  Attributes:
    config: the config of the run.
    stages: its stages.
    known: what the columns of its streams learnt.
  """

  config: ml_collections.ConfigDict
  stages: tuple[Stage, ...]
  known: learnt.Learnt = dataclasses.field(default_factory=dict)

  @property
  def views(self) -> Sequence[View]:
    return (View(None, self.config, self.stages),)

  @property
  def keys(self) -> jax.Array:
    return key_of(self.config.seed)

  @property
  def feed_seed(self) -> int:
    return int(self.config.seed)

  def check(self, mesh: Mesh) -> None:
    return

  def step_of(self, state: core.GameState) -> int:
    return int(state.step)

  def enter(self, number: int, before: core.GameState | None, keys: jax.Array) -> core.GameState:
    return self.of_first.enter(number, before, keys)

  @functools.cached_property
  def of_first(self) -> entering.Entries:
    return entering.Entries(self.stages, jax.random.key(0))

  def abstract_state(self, number: int) -> core.GameState:
    return self.of_first[number]

  def make_step(self, number: int, mesh: Mesh, count: int = 1) -> Callable[..., Any]:
    return steps.make_step(self.stages[number], mesh, count)

  def abstract_feed(self, number: int, mesh: Mesh, count: int = 1) -> dict[str, Any]:
    return steps.abstract_feed(self.stages[number], mesh, count)

  def each(self, number: int, make: Callable[[Stage], T]) -> list[T]:
    return [make(self.stages[number])]

  def rows(self, metrics: Mapping[str, Any]) -> list[tuple[View, dict[str, Any]]]:
    return [(self.views[0], dict(metrics))]

  def row(self, values: Mapping[str, float]) -> dict[str, float]:
    return dict(values)

  def joined(self, states: Sequence[Any]) -> Any:
    (state,) = states
    return state

  def describe(self) -> list[str]:
    return []
