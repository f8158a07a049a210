"""Several processes of one run: how they find each other, which one writes files, how they stop together.

Every process runs the same command. If one process starts a computation and the others do not, it waits for them
forever. So a fact that only one process knows (a signal, a time) is sent to all before any of them acts on it.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.distributed.interrupt import Watch

#: {environment variable with the number of processes: launcher that sets it}.
LAUNCHERS = {'SLURM_STEP_NUM_TASKS': 'srun', 'OMPI_COMM_WORLD_SIZE': 'mpirun', 'PMI_SIZE': 'mpiexec'}
#: Seconds between two exchanges about stopping.
SECONDS = 1.0


def join(
  *,
  distributed: bool = False,
  coordinator: str | None = None,
  processes: int | None = None,
  process: int | None = None,
) -> None:
  """Connects this process with the others of its run. Call it before any computation.

  Args:
    distributed: True if a cluster that JAX recognises started the processes.
    coordinator: HOST:PORT of process 0, if the processes were started by hand; give the next two as well.
    processes: the number of processes.
    process: the number of this one, from 0.

  Raises:
    UserError: the arguments do not fit together, JAX recognises no cluster, or the other processes do not connect.
  """
  by_hand = {'coordinator': coordinator, 'processes': processes, 'process': process}
  given = [name for name, value in by_hand.items() if value is not None]
  if not given and not distributed:
    for variable, launcher in LAUNCHERS.items():
      if os.environ.get(variable, '1') not in ('', '1'):
        raise UserError(
          f'{launcher} started {os.environ[variable]} processes, and each would train the whole run: give '
          '--distributed, or start one process'
        )
    return
  if given and (distributed or len(given) < 3):
    lacking = ', '.join(f'--{name}' for name in by_hand if name not in given)
    raise UserError(
      f'--{given[0]} is for processes started by hand: '
      + ('leave out --distributed' if distributed else f'give {lacking} too')
    )
  if process is not None and processes is not None and not 0 <= process < processes:
    raise UserError(f'--process={process} of --processes={processes}: count from 0 to processes - 1')
  try:
    if given:
      jax.distributed.initialize(coordinator, processes, process)
    else:
      jax.distributed.initialize()
  except (ValueError, RuntimeError) as error:
    cure = 'start all of them within 5 minutes, with the same --coordinator' if given else (
      'JAX recognised no cluster, or not all of its processes started: see docs/parallel.md'
    )  # fmt: skip
    raise UserError(f'the processes did not find each other ({" ".join(str(error).split())}): {cure}') from error


def alone() -> bool:
  """Whether the run has only this process."""
  return jax.process_count() == 1


def first() -> bool:
  """Whether this is process 0, which writes the files and lines of the run."""
  return jax.process_index() == 0


def barrier(what: str) -> None:
  """Waits until all processes have called this function.

  Args:
    what: the processes have done, such as 'have opened the workdir'; it must be the same in all of them.
  """
  if not alone():
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(f'gan_jax {what}')


def broadcast(value: float) -> float:
  """Sends the number of process 0 to all processes; each returns it."""
  if alone():
    return value
  from jax.experimental import multihost_utils

  return float(multihost_utils.broadcast_one_to_all(np.float64(value)))


def all_gather(value: Any) -> np.ndarray:
  """(processes, ...) float32: the numbers of all processes, in each of them."""
  row = np.asarray(value, np.float32)
  if alone():
    return row[None]
  from jax.experimental import multihost_utils

  return np.asarray(multihost_utils.process_allgather(row))


@contextlib.contextmanager
def together(what: str) -> Iterator[None]:
  """An error in one process ends all of them: a process that waits for one that has ended says something else.

  Args:
    what: the processes do inside, such as 'read the data'. Nothing in it may wait for another process.

  Raises:
    UserError: another process failed; its console says why.
  """
  error = None
  try:
    yield
  except Exception as own:  # of any kind: raised below, when the others know
    error = own
  failed = all_gather(error is not None)
  if error is not None:
    raise error
  if failed.any():
    raise UserError(f'process {int(failed.argmax())} could not {what}: see its message')


def check_alike(what: str, value: str, cure: str) -> None:
  """Raises a UserError if a text is not the same in all processes.

  Args:
    what: the text is of, such as 'settings'.
    value: the text.
    cure: what to do.
  """
  if alone():
    return
  digest = int.from_bytes(hashlib.sha256(value.encode()).digest()[:3])  # which float32 has exactly
  if len(np.unique(all_gather(digest))) > 1:
    raise UserError(f'the processes have different {what}: {cure}')


class Agreement:
  """Makes all processes stop after the same step, if any of them got a signal.

  Args:
    watch: notes the signals of this process.

  Attributes:
    stopped: the reason, once the processes agree to stop; '' before.
  """

  def __init__(self, watch: Watch):
    self._watch = watch
    self._last_step, self._last_time, self._next_step = 0, time.perf_counter(), 0
    self.stopped = ''

  def after(self, step: int) -> bool:
    """Whether to stop now, after a step. All processes must call it after the same steps."""
    if alone():
      self.stopped = self._watch.stopped
    elif step >= self._next_step:
      now = time.perf_counter()
      seconds = max(now - self._last_time, 1e-6) / max(step - self._last_step, 1)
      # The next exchange is in about a second by the clock of process 0, but not before the next step.
      rows = all_gather([bool(self._watch.stopped), max(round(SECONDS / seconds), 1)])
      self._last_step, self._last_time, self._next_step = step, now, step + int(rows[0, 1])
      if rows[:, 0].any():
        self.stopped = self._watch.stopped or 'a signal to another process'
    return bool(self.stopped)
