"""What happens beside the steps, each every so many of them: samples, evaluations, rows of metrics, checkpoints."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from gan_jax.base.errors import one_of
from gan_jax.base.files import write_text
from gan_jax.config.evaluation import Options
from gan_jax.distributed import parallel, processes
from gan_jax.evaluation.evaluator import Evaluation as Figures
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs.checkpoint import Place
from gan_jax.runs.stages import Stage
from gan_jax.runs.views import View
from gan_jax.sampling.sampler import Sampler
from gan_jax.training import diagnostics, sample_grids, unplayed
from gan_jax.training.session import Session


@dataclasses.dataclass
class Moment:
  """The run after a step at which something is due.

  Attributes:
    place: where it stands.
    state: of the run.
    row: metrics, to which hooks add theirs.
    rates: steps and images per second.
    diversity: {title of a game: diversity of its samples}, where they were drawn.
  """

  place: Place
  state: Any
  row: dict[str, float]
  rates: Mapping[str, float]
  diversity: dict[str, float] = dataclasses.field(default_factory=dict)


class Hook(Protocol):
  """Something that is due every so many steps, and at the end of a stage."""

  every: int

  def __call__(self, moment: Moment) -> None: ...


class Every(NamedTuple):
  """Hooks of a stage, in the order in which they act.

  Attributes:
    last: step of the stage.
    samples: pictures.
    evaluation: figures; None for none.
    row: of metrics.
    checkpoint: of the state.
  """

  last: int
  samples: Hook
  evaluation: Hook | None
  row: Hook
  checkpoint: Hook

  @property
  def periods(self) -> tuple[int, ...]:
    """Steps between what is due; 0 for never."""
    return tuple(hook.every for hook in self[1:] if hook is not None)

  def due(self, step: int, *, stopping: bool) -> list[Hook]:
    """The hooks that act after a step.

    An evaluation brings a checkpoint, so that the best can be kept. A checkpoint brings a row, so that a resumed run
    writes the rows of one that was not stopped; so do samples.
    """
    falls = lambda hook: hook is not None and (step == self.last or bool(hook.every and step % hook.every == 0))
    evaluating = falls(self.evaluation) and not stopping
    saving = stopping or falls(self.checkpoint) or evaluating
    chosen = {
      self.samples: falls(self.samples),
      self.evaluation: evaluating,
      self.row: saving or falls(self.samples) or falls(self.row),
      self.checkpoint: saving,
    }
    return [hook for hook, acts in chosen.items() if acts and hook is not None]


def hooks_of(session: Session, stage: Stage, options: Options | None) -> Every:
  """The hooks of a stage."""
  return Every(
    stage.last_step,
    Samples(session, stage),
    Evaluation(session, stage, options) if options else None,
    Row(session, stage),
    Checkpoint(session, stage),
  )


class Samples:
  """Draws a grid of samples of every game, and measures how diverse they are."""

  def __init__(self, session: Session, stage: Stage):
    self.every = session.config.sample_every
    self._session, self._number, self._told = session, stage.number, False
    self._samplers = session.experiment.each(stage.number, lambda stage: Sampler(stage.game))

  def __call__(self, moment: Moment) -> None:
    session = self._session
    for view, sampler in zip(session.experiment.views, self._samplers, strict=True):
      stage, state = view.stages[self._number], view.of(moment.state)
      state = parallel.gather(session.mesh)(state) if stage.shard_state else state
      diversity = math.nan
      if processes.first():  # the others go on, and wait for it in the next step
        with session.guard.without('a picture of samples'):
          made = sample_grids.samples(stage, sampler, state, moment.place.step, view.config)
          diversity = made.diversity
          self._tell(made.bare)
          sample_grids.write(made, session, view, moment.place.step)
      diversity = processes.of_first(diversity)
      if math.isfinite(diversity):
        moment.diversity[view.title] = diversity
        moment.row |= view.named({'sample_diversity': diversity})

  def _tell(self, bare: Mapping[str, tuple[int, ...]]) -> None:
    """Says once that there are no pictures."""
    if bare and not self._told:
      self._told = True
      named = ', '.join(f'{name} of shape {shape}' for name, shape in bare.items())
      self._session.say(f'note: {named} has no picture: give the game pictures(samples), see docs/games.md')


class Evaluation:
  """Evaluates every game; its figures are metrics called eval_NAME, their protocols are in evaluation.json."""

  def __init__(self, session: Session, stage: Stage, options: Options):
    self.every = session.config.eval.every
    self._session = session
    evaluator: Callable[[Stage], Evaluator] = lambda stage: Evaluator(stage, options, session.mesh, session.say)
    self._evaluators = session.experiment.each(stage.number, evaluator)

  def __call__(self, moment: Moment) -> None:
    session = self._session
    for view, evaluator in zip(session.experiment.views, self._evaluators, strict=True):
      found: Figures | None = None
      # Several processes compute together: one that gave up would leave the others waiting.
      leaving = session.watch.abandoning() if processes.alone() else contextlib.nullcontext()
      with session.guard.without(f'the evaluation{view.suffix}', together=True), leaving:
        found = evaluator(view.of(moment.state), moment.place.step)
      if found is not None:
        moment.row |= view.named(self._values(view, found))
      if session.watch.stopped and processes.alone():
        break

  def _values(self, view: View, found: Figures) -> dict[str, float]:
    if processes.first():
      with self._session.guard.without('writing evaluation.json'):
        write_text(self._session.workdir / f'evaluation{view.suffix}.json', found.to_json())
    values = {f'eval_{name}': value for name, value in found.values.items()}
    best = view.config.keep_best.removeprefix('-')
    if best.startswith('eval_') and best not in values:
      raise one_of('metric in config.keep_best', best, values)
    return {name: value for name, value in values.items() if math.isfinite(value)}


class Row:
  """Writes a row of metrics, and warns of a game that goes wrong."""

  def __init__(self, session: Session, stage: Stage):
    self.every = session.config.log_every
    self._session, self._first = session, stage.first_step
    self._watched = {view.title: diagnostics.START for view in session.experiment.views}
    self._played = {view.title: unplayed.START for view in session.experiment.views}
    self._turns = stage.game.turns

  def __call__(self, moment: Moment) -> None:
    step = moment.place.step
    moment.row = self._session.experiment.row(moment.row)
    self._session.writer.metrics(step, moment.row, moment.rates)
    for view in self._session.experiment.views:
      self._watched[view.title], warnings = diagnostics.watch(
        self._watched[view.title],
        step - self._first,
        view.own(moment.row),
        diversity=moment.diversity.get(view.title),
      )
      played = self._played[view.title]
      self._played[view.title], more = unplayed.watch(played, step - self._first, view.own(moment.row), self._turns)
      for warning in (*warnings, *more):
        self._session.say(f'warning: {view.title}{warning}')


class Checkpoint:
  """Saves the state."""

  def __init__(self, session: Session, stage: Stage):
    self.every = session.config.checkpoint_every
    self._session = session
    # Figures of different stages, of other sizes perhaps, do not compete for the best.
    self._competes = stage.number == len(session.experiment.stages) - 1

  def __call__(self, moment: Moment) -> None:
    self._session.checkpoints.save(moment.state, moment.place, moment.row if self._competes else {})
