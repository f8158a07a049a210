"""The interface between the training loop and a run: the loop treats one game and a population alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import ml_collections
from jax.sharding import Mesh

from gan_jax import core
from gan_jax.runs import learnt
from gan_jax.runs.entering import Entries
from gan_jax.runs.stages import Stage

T = TypeVar('T')


class View(NamedTuple):
  """One game of a run.

  Attributes:
    number: its number in a population, from 0; None in a run of one game.
    config: the config of this game alone.
    stages: the stages of that config.
  """

  number: int | None
  config: ml_collections.ConfigDict
  stages: tuple[Stage, ...]

  @property
  def suffix(self) -> str:
    """The end of the names of its files: '_member_3'; '' in a run of one game."""
    return '' if self.number is None else f'_member_{self.number}'

  @property
  def title(self) -> str:
    """The start of messages about it: 'member 3: '; '' in a run of one game."""
    return '' if self.number is None else f'member {self.number}: '

  def of(self, state: Any) -> Any:
    """Its state, out of the state of the run."""
    return state if self.number is None else _slice(state, self.number)

  def named(self, values: Mapping[str, float]) -> dict[str, float]:
    """Its metrics with the names of a row of the run: NAME_3 for member 3 of a population."""
    return dict(values) if self.number is None else {f'{name}_{self.number}': v for name, v in values.items()}

  def own(self, row: Mapping[str, float]) -> dict[str, float]:
    """Its metrics out of those of all games, before `Experiment.row` adds means: the inverse of `named`."""
    if self.number is None:
      return dict(row)
    end = f'_{self.number}'
    return {name.removesuffix(end): value for name, value in row.items() if name.endswith(end)}


_slice = jax.jit(lambda tree, number: jax.tree.map(lambda x: x[number], tree))


class Experiment(Protocol):
  """The games of a run. They start together, take their steps together and are saved together.

  Attributes:
    config: the config of the run.
    views: its games, one or more.
    stages: the stages of the first game. Those of the others have the same shapes, steps and streams.
    known: what the columns of their streams learnt.
    keys: the PRNG key of the run, or (N,) keys of the games.
    feed_seed: the argument `seed` of `data.Feed`.
  """

  @property
  def config(self) -> ml_collections.ConfigDict: ...

  @property
  def views(self) -> Sequence[View]: ...

  @property
  def stages(self) -> tuple[Stage, ...]: ...

  @property
  def known(self) -> learnt.Learnt: ...

  @property
  def keys(self) -> jax.Array: ...

  @property
  def feed_seed(self) -> int | tuple[int, ...]: ...

  @property
  def of_first(self) -> Entries:
    """The states at the starts of the first game's stages, and their shapes."""

  def check(self, mesh: Mesh) -> None:
    """Raises a UserError if one compiled program cannot train the games; called before the first step."""

  def step_of(self, state: Any) -> int:
    """The number of finished steps."""

  def enter(self, number: int, before: Any, keys: jax.Array) -> Any:
    """The state at the start of stage `number`, as `entering.enter` makes it."""

  def abstract_state(self, number: int) -> core.GameState:
    """Shapes and dtypes of the state in stage `number`."""

  def make_step(self, number: int, mesh: Mesh, count: int = 1) -> Callable[..., Any]:
    """(state, feed, keys) -> (state, metrics): `count` steps of stage `number`, as `steps.make_step` makes them."""

  def abstract_feed(self, number: int, mesh: Mesh, count: int = 1) -> dict[str, Any]:
    """The shapes of the feed of a call of `count` steps, as `steps.abstract_feed` gives them."""

  def each(self, number: int, make: Callable[[Stage], T]) -> list[T]:
    """`make(stage)` for stage `number` of every game. Games with the same settings share one result."""

  def rows(self, metrics: Mapping[str, Any]) -> list[tuple[View, dict[str, Any]]]:
    """(game, its metrics) for every game, from the metrics that one step returned."""

  def row(self, values: Mapping[str, float]) -> dict[str, float]:
    """The row for metrics.jsonl, from the metrics of all games with the names of `View.named`."""

  def joined(self, states: Sequence[Any]) -> Any:
    """The state of the run, from the states of its games."""

  def describe(self) -> list[str]:
    """Lines of text about the games for the console."""
