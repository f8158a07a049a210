"""What the training loop sees of a run, whether it is one game or a population of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import ml_collections
from jax.sharding import Mesh

from gan_jax import core
from gan_jax.runs.stages import Stage

T = TypeVar('T')


class View(NamedTuple):
  """One game of a run.

  Attributes:
    number: in a population, from 0; None for the one game of an ordinary run.
    config: as a run of its own.
    stages: of that config.
  """

  number: int | None
  config: ml_collections.ConfigDict
  stages: tuple[Stage, ...]

  @property
  def suffix(self) -> str:
    """The end of the names of its files."""
    return '' if self.number is None else f'_member_{self.number}'

  @property
  def title(self) -> str:
    """For messages: 'member 3: '; empty for an ordinary run."""
    return '' if self.number is None else f'member {self.number}: '

  def of(self, state: Any) -> Any:
    """Its part of the state of the run."""
    return state if self.number is None else _slice(state, self.number)

  def named(self, values: Mapping[str, float]) -> dict[str, float]:
    """Its metrics under the names that they have in a row of the run: in a population NAME_0, NAME_1, ..."""
    return dict(values) if self.number is None else {f'{name}_{self.number}': v for name, v in values.items()}

  def own(self, row: Mapping[str, float]) -> dict[str, float]:
    """The reverse of `named`: its own metrics in a row of the run."""
    if self.number is None:
      return dict(row)
    end = f'_{self.number}'
    return {name.removesuffix(end): value for name, value in row.items() if name.endswith(end)}


_slice = jax.jit(lambda tree, number: jax.tree.map(lambda x: x[number], tree))


class Experiment(Protocol):
  """The games of a run, which begin, move and are saved together.

  Attributes:
    config: of the run.
    views: its games, one or more.
    stages: of the first game. Those of the others differ in numbers, never in shapes, steps or streams.
    keys: the key of the run, or (N,) of the games.
    feed_seed: what `Feed` takes as its seed.
  """

  @property
  def config(self) -> ml_collections.ConfigDict: ...

  @property
  def views(self) -> Sequence[View]: ...

  @property
  def stages(self) -> tuple[Stage, ...]: ...

  @property
  def keys(self) -> jax.Array: ...

  @property
  def feed_seed(self) -> int | tuple[int, ...]: ...

  def check(self, mesh: Mesh) -> None:
    """Raises a UserError for what cannot be one compiled program, before the first step."""

  def step_of(self, state: Any) -> int:
    """Steps finished."""

  def enter(self, number: int, before: Any, keys: jax.Array) -> Any:
    """The state in which stage `number` begins; it compiles what it needs."""

  def abstract_state(self, number: int) -> core.GameState:
    """Shapes and dtypes of the state inside stage `number`."""

  def make_step(self, number: int, mesh: Mesh, count: int = 1) -> Callable[..., Any]:
    """The step of stage `number`, `count` of them in one call: (state, feed, keys) -> (state, metrics)."""

  def abstract_feed(self, number: int, mesh: Mesh, count: int = 1) -> dict[str, Any]:
    """Shapes of what a streaming `Feed` gives a call of `count` steps."""

  def each(self, number: int, make: Callable[[Stage], T]) -> list[T]:
    """`make(stage)` for the stage of every game; games of the same settings share one."""

  def rows(self, metrics: Mapping[str, Any]) -> list[tuple[View, dict[str, Any]]]:
    """The metrics of one step, as the step gives them, of each game."""

  def row(self, values: Mapping[str, float]) -> dict[str, float]:
    """A row for metrics.jsonl from the values of all games under their `View.named` names."""

  def joined(self, states: Sequence[Any]) -> Any:
    """The state of the run from that of each game."""

  def describe(self) -> list[str]:
    """Lines for the person at the console."""
