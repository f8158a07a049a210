"""An open run: its folder, checkpoints and writers, how far it is, and what the loop and its hooks share."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections
from etils import epath
from jax.sharding import Mesh

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
  """What the loop and its hooks share.

  Attributes:
    experiment: the games of the run.
    mesh: the devices.
    keys: of the run, on the devices.
    workdir: its folder.
    checkpoints: in it.
    writer: of its metrics.
    profile: which may trace some calls.
    watch: of the signals to stop.
    agreement: when all processes stop.
    state: the last that is whole.
    place: where it stands.
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
    """Keeps outputs that fail apart from the training."""
    return self.writer.guard

  def say(self, line: str) -> None:
    """A line for the person at the console."""
    self.writer.say(line)

  def save_last(self) -> str:
    """Saves the last good state before an error leaves the loop; returns a line that says so."""
    step = self.place.step
    if not step:
      return ''
    if any(leaf.is_deleted() for leaf in jax.tree.leaves(self.state)):
      return f'the state of step {step} is lost in the step that failed: the checkpoint before it stands'
    self.checkpoints.save_now(self.state, self.place)
    return f'saved step {step}, the last before an error: the same command goes on from it'


@contextlib.contextmanager
def opened(experiment: Experiment, workdir: epath.Path, mesh: Mesh, *, silent: bool) -> Iterator[Session]:
  """A run that begins or goes on, in a folder that is locked; closes what it opened.

  Raises:
    UserError: the folder cannot be written, is in use, or holds a run with other settings.
  """
  config = experiment.config
  say: Callable[[str], object] = (lambda line: None) if silent else console.say
  with contextlib.ExitStack() as stack:
    with writable(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
      stack.enter_context(lock.held(workdir, say))
      if (workdir / 'config.json').exists():  # before the first checkpoint too
        run_config.check_resumable(workdir, config)
      checkpoints = Checkpoints(workdir, config.keep, config.keep_best, write=True)
      (workdir / 'samples').mkdir(exist_ok=True)
    processes.together('have looked at the workdir')
    keys = parallel.replicate(mesh)(experiment.keys)
    place, state = resume.start(config, checkpoints, experiment, mesh, keys, say)
    writer: Writer | NoWriter = NoWriter(workdir)
    if processes.first():
      with writable(workdir):
        run_config.write_config(workdir, config)
        run_config.write_examples(workdir, [stage.streams for stage in experiment.stages])
        writer = Writer(workdir, place.step, experiment.stages[-1].last_step, silent=silent)
    profile = Profile(config.profile if processes.first() else 0, workdir / 'profile', writer.say, writer.guard)
    try:
      with interrupt.Watch(tell=not silent) as watch:
        agreement = processes.Agreement(watch)
        session = Session(experiment, mesh, keys, workdir, checkpoints, writer, profile, watch, agreement, state, place)
        with writer.guard.saving(session.save_last):
          yield session
    finally:
      with contextlib.suppress(UserError):  # the one that is being raised says more
        checkpoints.close()
      profile.close()
      writer.close()
