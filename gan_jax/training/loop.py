"""The only training loop. What happens beside the steps is in `hooks`."""

import contextlib
import time
from typing import Any

import jax
import ml_collections
from etils import epath

from gan_jax.base.command import writable
from gan_jax.core import GameState
from gan_jax.data.streams import Feed
from gan_jax.distributed import interrupt, parallel, processes
from gan_jax.evaluation.options import options_of
from gan_jax.runs import best_member, resume
from gan_jax.runs.checkpoint import Place
from gan_jax.runs.experiment import experiment_of
from gan_jax.runs.stages import Stage
from gan_jax.training import checks, summary
from gan_jax.training.calls import Calls, steps_of_call
from gan_jax.training.hooks import Moment, hooks_of
from gan_jax.training.measured import Measured
from gan_jax.training.session import Session, opened
from gan_jax.training.writers import duration


def run(config: ml_collections.ConfigDict, workdir: epath.PathLike, *, silent: bool = False) -> GameState:
  """Trains what a config describes, from the start or from the workdir's last checkpoint.

  Args:
    config: from `config.load`.
    workdir: a folder for config.json, metrics.jsonl, tensorboard/, samples/ and checkpoints/.
    silent: print nothing.

  Returns:
    The final state.

  Raises:
    UserError: settings that do not fit, data that are not there, a loss that is not finite.
    interrupt.Stopped: a signal, when the step is finished and saved; unless it is caught, the program ends.
  """
  workdir, silent = epath.Path(workdir), silent or not processes.first()
  experiment, mesh = experiment_of(config), parallel.make_mesh(config.devices or None)
  checks.check_run(experiment, mesh)
  started, last = time.perf_counter(), experiment.stages[-1].last_step
  with opened(experiment, workdir, mesh, silent=silent) as (session, state, place):
    with interrupt.Watch() as watch:
      agreement = processes.Agreement(watch)
      for stage in experiment.stages[place.stage :]:
        if stage.number != place.stage:
          state = resume.enter(experiment, stage.number, state, mesh, session.keys)
          place = place._replace(stage=stage.number)
        state, place = _train_stage(session, stage, state, place, agreement)
        if agreement.stopped:
          break
    session.checkpoints.close()
    with writable(workdir):
      ended = list(best_member.export(experiment, workdir, state, place))
    took = duration(time.perf_counter() - started)
    if agreement.stopped:
      session.say(f'{agreement.stopped}: stopped after step {place.step} of {last} ({took}) and saved')
    else:
      session.say(f'finished {place.step} steps in {took}')
  if not silent:
    print('\n'.join([*ended, summary.closing(workdir, done=place.step == last)]))
  if agreement.stopped:
    raise interrupt.Stopped(agreement.stopped)
  return state


def _train_stage(
  session: Session, stage: Stage, state: Any, place: Place, agreement: processes.Agreement
) -> tuple[Any, Place]:
  """(state, place) at the end of a stage, or where the run was stopped."""
  if place.step >= stage.last_step:
    return state, place
  with contextlib.closing(_feed(session, stage, place)) as feed:
    hooks = hooks_of(session, stage, options_of(session.config.eval))
    calls = Calls(session.experiment, stage, session.mesh, feed, session.profile, session.say)
    measured = Measured(session.experiment, session.checkpoints.steps)
    most = session.config.steps_per_call
    described = summary.describe(session.experiment, stage.number, session.mesh, feed.sizes).splitlines()
    notes = summary.note_on_calls(most, place.step, stage.last_step, hooks.periods)
    for line in (*described, *feed.notes, 'compiling ...', *notes):
      session.say(line)
    drawn = place.position  # of streams that this stage does not read, too
    while place.step < stage.last_step:
      count = steps_of_call(place.step, most, stage.last_step, hooks.periods)
      state, metrics = calls(count, state)
      measured.add(place.step + 1, count, metrics)
      place = Place(place.step + count, stage.number, {**drawn, **feed.position})
      stopping = agreement.after(place.step)  # looked at once: a signal after this is for the next step
      due = hooks.due(place.step, stopping=stopping)
      if due:
        moment = Moment(place, state, measured.row(), calls.rates())
        for hook in due:
          hook(moment)
        calls.restart()
      if stopping:
        break
  return state, place


def _feed(session: Session, stage: Stage, place: Place) -> Feed:
  return Feed(
    stage.streams,
    stage.moves,
    session.experiment.feed_seed,
    parallel.place(session.mesh),
    parallel.replicate(session.mesh),
    {**dict.fromkeys(stage.streams, 0), **place.position},
    (jax.process_index(), jax.process_count()),
  )
