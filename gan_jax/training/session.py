"""An open run: its folder, checkpoints and writers, and what the loop and its hooks share."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections
from etils import epath
from jax.sharding import Mesh

from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.distributed import parallel, processes
from gan_jax.runs import resume, run_config
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.views import Experiment
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
  """

  experiment: Experiment
  mesh: Mesh
  keys: jax.Array
  workdir: epath.Path
  checkpoints: Checkpoints
  writer: Writer | NoWriter
  profile: Profile

  @property
  def config(self) -> ml_collections.ConfigDict:
    return self.experiment.config

  def say(self, line: str) -> None:
    """A line for the person at the console."""
    self.writer.say(line)


@contextlib.contextmanager
def opened(
  experiment: Experiment, workdir: epath.Path, mesh: Mesh, *, silent: bool
) -> Iterator[tuple[Session, Any, Place]]:
  """(session, state, place) of a run that begins or goes on; closes what it opened.

  Raises:
    UserError: the folder cannot be written, or holds a run with other settings.
  """
  config = experiment.config
  with command.writable(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(workdir, config.keep, config.keep_best, write=True)
    if checkpoints.steps():
      run_config.check_resumable(workdir, config)
    (workdir / 'samples').mkdir(exist_ok=True)
  processes.together('have looked at the workdir')
  say: Callable[[str], None] = (lambda line: None) if silent else (lambda line: print(line, flush=True))
  keys = parallel.replicate(mesh)(experiment.keys)
  place, state = resume.start(config, checkpoints, experiment, mesh, keys, say)
  writer: Writer | NoWriter = NoWriter()
  if processes.first():
    with command.writable(workdir):
      run_config.write_config(workdir, config)
      writer = Writer(workdir, place.step, experiment.stages[-1].last_step, silent=silent)
  profile = Profile(config.profile if processes.first() else 0, workdir / 'profile', writer.say)
  try:
    yield Session(experiment, mesh, keys, workdir, checkpoints, writer, profile), state, place
  finally:
    with contextlib.suppress(UserError):  # the one that is being raised says more
      checkpoints.close()
    profile.close()
    writer.close()
