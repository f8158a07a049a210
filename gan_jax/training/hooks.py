"""Hooks, which act every n steps: samples, evaluations, rows of metrics, checkpoints."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from gan_jax.base.errors import Diverged, one_of
from gan_jax.base.files import write_text
from gan_jax.config.evaluation import Options
from gan_jax.distributed import parallel, processes
from gan_jax.evaluation.evaluator import Evaluation as Figures
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs import checksums
from gan_jax.runs.checkpoint import Place
from gan_jax.runs.stages import Stage
from gan_jax.runs.views import View
from gan_jax.sampling.sampler import Sampler
from gan_jax.training import diagnostics, sample_grids, unplayed
from gan_jax.training.session import Session


@dataclasses.dataclass
class Moment:
  """The run after a step at which a hook is due.

  Attributes:
    place: the progress of the run.
    state: the state of the run.
    row: the metrics; hooks add theirs.
    rates: steps and images per second.
    diversity: {title of a game: diversity of its samples}, if samples were drawn.
  """

  place: Place
  state: Any
  row: dict[str, float]
  rates: Mapping[str, float]
  diversity: dict[str, float] = dataclasses.field(default_factory=dict)


class Hook(Protocol):
  """It acts every `every` steps, and at the end of a stage."""

  every: int

  def __call__(self, moment: Moment) -> None: ...


class Every(NamedTuple):
  """The hooks of a stage, in the order in which they act.

  Attributes:
    last: the last step of the stage.
    samples: draws grids of samples.
    evaluation: evaluates; None without evaluations.
    row: writes a row of metrics.
    checkpoint: saves the state.
  """

  last: int
  samples: Hook
  evaluation: Hook | None
  row: Hook
  checkpoint: Hook

  @property
  def periods(self) -> tuple[int, ...]:
    """The period of each hook in steps; 0 for never."""
    return tuple(hook.every for hook in self[1:] if hook is not None)

  def due(self, step: int, *, stopping: bool) -> list[Hook]:
    """The hooks that act after a step.

    After an evaluation comes a checkpoint, so that the best one is kept. Before a checkpoint, and after samples, comes
    a row: so a resumed run writes the same rows as a run that was never stopped.

    Args:
      step: the finished step.
      stopping: True if the run stops after it: then it saves and does not evaluate.
    """
    is_due = lambda hook: hook is not None and (step == self.last or bool(hook.every and step % hook.every == 0))
    evaluates = is_due(self.evaluation) and not stopping
    saves = stopping or is_due(self.checkpoint) or evaluates
    acts = {
      self.samples: is_due(self.samples),
      self.evaluation: evaluates,
      self.row: saves or is_due(self.samples) or is_due(self.row),
      self.checkpoint: saves,
    }
    return [hook for hook, is_acting in acts.items() if is_acting and hook is not None]


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
  """Draws a grid of samples of every game, and measures the diversity of the samples."""

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
        with session.guard.tolerating('a picture of samples'):
          made = sample_grids.samples(stage, sampler, state, moment.place.step, view.config)
          diversity = made.diversity
          self._tell(made.bare)
          sample_grids.write(made, session, view, moment.place.step)
      diversity = processes.broadcast(diversity)
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
  """Evaluates every game. The figures become metrics eval_NAME; evaluation.json has their protocols."""

  def __init__(self, session: Session, stage: Stage, options: Options):
    self.every = session.config.eval.every
    self._session = session
    self._competes = stage.number == session.experiment.stages[-1].number  # figures of other stages do not compare
    self._seen: set[str] = set()
    self._told = False
    evaluator: Callable[[Stage], Evaluator] = lambda stage: Evaluator(stage, options, session.mesh, session.say)
    # Before its first stage a run is better mended; in a later one what cannot be evaluated ends no training.
    later = session.guard.tolerating('the set-up of the evaluation', together=True)
    self._evaluators: Sequence[Evaluator] = ()
    with later if stage.number else contextlib.nullcontext():
      self._evaluators = session.experiment.each(stage.number, evaluator)

  def __call__(self, moment: Moment) -> None:
    session = self._session
    for view, evaluator in zip(session.experiment.views, self._evaluators, strict=False):  # or none at all
      if session.watch.stopped and processes.alone():  # it came while samples were drawn, or in the view before
        break
      figures: Figures | None = None
      # With several processes no one may leave the evaluation: the others would wait for it.
      leave_on_signal = session.watch.abandoning() if processes.alone() else contextlib.nullcontext()
      with session.guard.tolerating(f'the evaluation{view.suffix}', together=True), leave_on_signal:
        figures = evaluator(view.of(moment.state), moment.place.step)
      if figures is not None:
        moment.row |= view.named(self._values(view, figures))

  def _values(self, view: View, figures: Figures) -> dict[str, float]:
    if processes.first():
      with self._session.guard.tolerating('writing evaluation.json'):
        write_text(self._session.workdir / f'evaluation{view.suffix}.json', figures.to_json())
    values = {f'eval_{name}': value for name, value in figures.values.items()}
    self._seen |= values.keys()
    best = view.config.keep_best.removeprefix('-')
    # One that fails now and then ends no training: only a name that no figure has.
    unknown = best.startswith('eval_') and best not in self._seen
    if unknown and not figures.left_out:
      if self._competes:
        raise one_of('metric in config.keep_best', best, values)
      if not self._told:
        self._session.say(f'note: config.keep_best={best!r} is no figure of this stage ({", ".join(values)})')
      self._told = True
    return {name: value for name, value in values.items() if math.isfinite(value)}


class Row:
  """Writes a row of metrics, and prints the warnings of `diagnostics`."""

  def __init__(self, session: Session, stage: Stage):
    self.every = session.config.log_every
    self._session, self._first, self._begun = session, stage.first_step, session.place.step
    self._watched = {view.title: diagnostics.START for view in session.experiment.views}
    self._played = {view.title: unplayed.START for view in session.experiment.views}
    self._turns = stage.game.turns

  def __call__(self, moment: Moment) -> None:
    step, named = moment.place.step, moment.row  # before means of names such as real_accuracy_0 join those of member 0
    moment.row = self._session.experiment.row(named)
    self._session.writer.metrics(step, moment.row, moment.rates)
    for view in self._session.experiment.views:
      self._watched[view.title], warnings = diagnostics.watch(
        self._watched[view.title],
        step - self._first,
        view.own(named),
        diversity=moment.diversity.get(view.title),
      )
      played = self._played[view.title]
      self._played[view.title], more = unplayed.watch(played, step - self._begun, view.own(named), self._turns)
      for warning in (*warnings, *more):
        self._session.say(f'warning: {view.title}{warning}')


class Checkpoint:
  """Saves the state."""

  def __init__(self, session: Session, stage: Stage):
    self.every = session.config.checkpoint_every
    self._session = session
    # Only the last stage competes for the best checkpoint: figures of stages with other sizes do not compare.
    self._competes = stage.number == len(session.experiment.stages) - 1

  def __call__(self, moment: Moment) -> None:
    name, views = self._session.config.keep_best.removeprefix('-'), self._session.experiment.views
    # A mean over some members, such as of an evaluation that a signal ended, does not compare with that over all.
    known = {key in moment.row for view in views for key in view.named({name: 0.0})}
    competes = self._competes and len(known) == 1
    try:
      self._session.checkpoints.save(moment.state, moment.place, moment.row if competes else {})
    except Diverged as error:
      whose = [view.title for view in views if view.title and not checksums.are_finite(view.of(moment.state))]
      raise Diverged(f'{"".join(whose)}{error}') from error
