"""An open run: its folder, checkpoints, writers, state and progress, which the loop and its hooks share."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections
from etils import epath
from jax.sharding import Mesh

import gan_jax
from gan_jax.base import console
from gan_jax.base.command import writable
from gan_jax.base.errors import UserError
from gan_jax.distributed import interrupt, parallel, processes
from gan_jax.runs import lock, resume, run_config
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.views import Experiment
from gan_jax.training.guard import Guard
from gan_jax.training.profiling import Profile
from gan_jax.training.writers import NoWriter, Writer


@dataclasses.dataclass
class Session:
  """An open run, which the loop and its hooks share.

  Attributes:
    experiment: the games of the run.
    mesh: the devices.
    keys: the PRNG keys of the run, on the devices.
    workdir: its folder.
    checkpoints: the checkpoints in it.
    writer: writes its metrics.
    profile: traces some calls.
    watch: notes signals to stop.
    agreement: makes all processes stop after the same step.
    state: the state after the last finished step.
    place: the progress at that step.
  """

  experiment: Experiment
  mesh: Mesh
  keys: jax.Array
  workdir: epath.Path
  checkpoints: Checkpoints
  writer: Writer | NoWriter
  profile: Profile
  watch: interrupt.Watch
  agreement: processes.Agreement
  state: Any
  place: Place

  @property
  def config(self) -> ml_collections.ConfigDict:
    return self.experiment.config

  @property
  def guard(self) -> Guard:
    """Lets training go on if an output fails."""
    return self.writer.guard

  def say(self, line: str) -> None:
    """Prints a line of text on the console."""
    self.writer.say(line)

  def save_last(self) -> str:
    """Saves the last good state before an error leaves the loop; returns a line that says so."""
    step = self.place.step
    if not step:
      return ''
    if any(leaf.is_deleted() for leaf in jax.tree.leaves(self.state)):
      return f'the state of step {step} is lost, because the failed step used its memory: the last checkpoint is kept'
    self.checkpoints.save_now(self.state, self.place)
    return f'saved step {step}, the last before an error: the same command goes on from it'


@contextlib.contextmanager
def opened(experiment: Experiment, workdir: epath.Path, mesh: Mesh, *, silent: bool) -> Iterator[Session]:
  """Opens a new run, or one to resume, and locks its folder; closes everything at the end of the `with` block.

  Raises:
    UserError: the folder cannot be written, another run uses it, or it holds a run with other settings.
  """
  config = experiment.config
  say: Callable[[str], object] = (lambda line: None) if silent else console.say
  old = config
  with contextlib.ExitStack() as stack:
    with writable(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
      stack.enter_context(lock.held(workdir, say))
      settings = f'{gan_jax.__version__} {run_config.without_paths(config)}'
      processes.check_alike('settings', settings, 'start one command in all of them')
      if (workdir / 'config.json').exists():  # even if there is no checkpoint yet
        run_config.check_resumable(workdir, config)
        old = run_config.read_config(workdir)
        before = old.get('keep_best')
        if before and before != config.keep_best:
          say(
            f'note: config.keep_best was {before!r} and is {config.keep_best!r}: the best checkpoint so far by what it '
            f'was is kept, later ones are not compared with it; to go on, give {before!r} again'
          )
      checkpoints = Checkpoints(workdir, config.keep, config.keep_best, write=True)
      (workdir / 'samples').mkdir(exist_ok=True)
    processes.barrier('have checked the workdir')
    keys = parallel.replicate(mesh)(experiment.keys)
    place, state = resume.start(config, checkpoints, experiment, mesh, keys, say)
    for line in run_config.changed_rates(old, config) if place.step else ():
      say(line)
    if place.step and config.init_from and config.init_from != old.get('init_from'):
      say(f'note: config.init_from counts only at the start of a run; {workdir} goes on from step {place.step}')
    writer: Writer | NoWriter = NoWriter(workdir)
    if processes.first():
      for line in run_config.changed_data(workdir, experiment.stages, place.stage) if place.step else ():
        say(line)
      with writable(workdir):
        run_config.write_config(workdir, config)
        run_config.write_examples(workdir, experiment.stages, experiment.known)
        shown = dict(wandb=config.wandb, settings=config.to_dict() if config.wandb else None)
        writer = Writer(workdir, place.step, experiment.stages[-1].last_step, silent=silent, **shown)
    profile = Profile(config.profile if processes.first() else 0, workdir / 'profile', writer.say, writer.guard)
    with interrupt.Watch(tell=not silent) as watch:  # until all is written
      try:
        agreement = processes.Agreement(watch)
        session = Session(experiment, mesh, keys, workdir, checkpoints, writer, profile, watch, agreement, state, place)
        with writer.guard.saving(session.save_last):
          yield session
      finally:
        with contextlib.suppress(UserError):  # the error that is on its way says more
          checkpoints.close()
        profile.close()
        writer.close()
