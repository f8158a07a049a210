"""The only training loop. `hooks` has everything that happens between steps."""

import contextlib
import time

import jax
import ml_collections
from etils import epath

from gan_jax.base import console, paths
from gan_jax.base.command import writable
from gan_jax.core import GameState
from gan_jax.data import alike
from gan_jax.data.feed import Feed
from gan_jax.distributed import interrupt, parallel, processes
from gan_jax.evaluation.options import options_of
from gan_jax.nets.layers.conv import chosen_formulation
from gan_jax.runs import best_member, resume, run_config
from gan_jax.runs.checkpoint import Place
from gan_jax.runs.experiment import complete, experiment_of
from gan_jax.runs.stages import Stage
from gan_jax.training import checks, rates, summary
from gan_jax.training import notes as notes_lib
from gan_jax.training.calls import Calls, steps_of_call
from gan_jax.training.hooks import Moment, hooks_of
from gan_jax.training.measured import Measured
from gan_jax.training.session import Session, opened
from gan_jax.training.writers import duration


def run(config: ml_collections.ConfigDict, workdir: epath.PathLike, *, silent: bool = False) -> GameState:
  """Trains the games of a config, from the start or from the last checkpoint in the workdir.

  Args:
    config: from `config.load`.
    workdir: a folder for config.json, metrics.jsonl, tensorboard/, samples/ and checkpoints/.
    silent: print nothing.

  Returns:
    The final state.

  Raises:
    UserError: settings do not fit, data do not exist, a loss is not finite, or another run uses the workdir.
    interrupt.Stopped: a signal came after the first step; the run is saved. If no code catches it, the program ends.
    Exception: any other error, after the last good state is saved. Outputs that fail raise no error.
  """
  with chosen_formulation(config.formulation):
    return _run(config, paths.expand(workdir), silent or not processes.first())


def _run(config: ml_collections.ConfigDict, workdir: epath.Path, silent: bool) -> GameState:
  with processes.together('begin'):
    experiment, mesh = experiment_of(config), parallel.make_mesh(config.devices or None)
    known = run_config.noted(workdir, experiment.stages, config.init_from)
    run_config.check_classes(config, experiment.stages, known)
    experiment = complete(experiment, known)
    checks.check_run(experiment, mesh)
  started, last = time.perf_counter(), experiment.stages[-1].last_step
  with opened(experiment, workdir, mesh, silent=silent) as session:
    for note in notes_lib.on_settings(config):
      session.say(note)
    for stage in experiment.stages[session.place.stage :]:
      if stage.number != session.place.stage:
        session.state = resume.enter(experiment, stage.number, session.state, mesh, session.keys)
        session.place = session.place._replace(stage=stage.number)
      if session.place.step < stage.last_step:
        with contextlib.closing(_feed(session, stage)) as feed:
          _train_stage(session, stage, feed)
      if session.agreement.stopped:
        break
    session.checkpoints.close()
    with writable(workdir):
      ended = list(best_member.export(experiment, workdir, session.state, session.place))
    took, step, signal = duration(time.perf_counter() - started), session.place.step, session.agreement.stopped
    if signal:
      session.say(f'{signal}: stopped after step {step} of {last} ({took}) and saved')
    else:
      session.say(f'finished {step} steps in {took}')
    if step == last and config.eval.every:
      with session.guard.tolerating('reading the metrics'):
        for view in experiment.views:
          if not summary.evaluated(workdir, last, view):
            member = '' if view.number is None else f' --member {view.number}'
            session.say(f'note: step {last} was not evaluated: python -m gan_jax.evaluate --workdir {workdir}{member}')
  if not silent:
    seeded = experiment.stages[session.place.stage].game.latents is not None
    console.say('\n'.join([*ended, summary.closing(workdir, done=step == last, seeded=seeded)]))
  if signal:
    raise interrupt.Stopped(signal)
  return session.state


def _train_stage(session: Session, stage: Stage, feed: Feed) -> None:
  """Trains a stage to its end or until a signal: steps, and after each step the hooks that are due."""
  hooks = hooks_of(session, stage, options_of(session.config.eval))
  calls = Calls(session, stage, feed)
  measured = Measured(session.experiment, session.checkpoints.steps)
  most, before = session.config.steps_per_call, session.place
  described = summary.describe(session.experiment, stage.number, session.mesh, feed.sizes).splitlines()
  notes = notes_lib.on_calls(most, before.step, stage.last_step, hooks.periods)
  notes += rates.on_rests(session.experiment, stage.number)
  if not before.step:
    notes += notes_lib.on_new_layers(session.experiment)
    notes += notes_lib.on_pauses(session.experiment)
    notes += rates.on_schedules(session.experiment)
    notes += notes_lib.on_optimizers(session.experiment)
    notes += notes_lib.on_ranges(session.experiment.stages)
  if not before.step and not session.config.init_from:
    notes += notes_lib.on_averages_of_members(session.experiment)
  for line in (*described, *feed.notes, 'compiling ...', *notes):
    session.say(line)
  while session.place.step < stage.last_step:
    step = session.place.step
    count = steps_of_call(step, most, stage.last_step, hooks.periods)
    session.state, metrics = calls(count, session.state)
    # Streams that this stage does not read keep their position.
    session.place = Place(step + count, stage.number, {**before.position, **feed.position})
    session.watch.begin()  # after the first step there is a state to save
    measured.add(step + 1, count, metrics)
    stopping = session.agreement.after(step + count)  # read only once: a later signal counts after the next step
    due = hooks.due(step + count, stopping=stopping)
    if due:
      moment = Moment(session.place, session.state, measured.row(), calls.rates())
      for hook in due:
        hook(moment)
      calls.restart()
    # A signal may have ended the evaluation; the checkpoint hook saved after it.
    if stopping or (hooks.evaluation in due and processes.alone() and session.agreement.after(step + count)):
      break


def _feed(session: Session, stage: Stage) -> Feed:
  alike.check_same(stream for _, stream in sorted(stage.streams.items()))
  return Feed(
    stage.streams,
    stage.moves,
    session.experiment.feed_seed,
    parallel.place(session.mesh),
    parallel.replicate(session.mesh),
    {**dict.fromkeys(stage.streams, 0), **session.place.position},
    (jax.process_index(), jax.process_count()),
  )
