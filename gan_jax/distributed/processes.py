"""Several processes of one run: how they find each other, who writes, how they agree to stop.

Every process runs the same command. One that computes what the others do not would wait for them forever, so whatever
only one of them knows (a signal, a time) is told to all before it decides anything.
"""

import os
import time
from typing import Any

import jax
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.distributed.interrupt import Watch

#: Variables by which launchers tell each process how many there are.
LAUNCHERS = {'SLURM_STEP_NUM_TASKS': 'srun', 'OMPI_COMM_WORLD_SIZE': 'mpirun', 'PMI_SIZE': 'mpiexec'}
#: Seconds between two looks at whether all are to stop.
SECONDS = 1.0


def join(
  *,
  distributed: bool = False,
  coordinator: str | None = None,
  processes: int | None = None,
  process: int | None = None,
) -> None:
  """Joins the other processes; before anything is computed.

  Args:
    distributed: a cluster started the processes, which JAX recognises.
    coordinator: HOST:PORT of process 0, of processes that were started by hand; with the next two.
    processes: how many there are.
    process: the number of this one, from 0.

  Raises:
    UserError: arguments that do not fit together, no cluster, others that do not come.
  """
  by_hand = {'coordinator': coordinator, 'processes': processes, 'process': process}
  given = [name for name, value in by_hand.items() if value is not None]
  if not given and not distributed:
    for variable, launcher in LAUNCHERS.items():
      if os.environ.get(variable, '1') not in ('', '1'):
        raise UserError(
          f'{launcher} started {os.environ[variable]} processes, which would each train the whole run: give '
          '--distributed, or start one'
        )
    return
  if given and (distributed or len(given) < 3):
    lacking = ', '.join(f'--{name}' for name in by_hand if name not in given)
    raise UserError(
      f'--{given[0]} is for processes started by hand: '
      + ('leave --distributed out' if distributed else f'give {lacking} too')
    )
  if process is not None and processes is not None and not 0 <= process < processes:
    raise UserError(f'--process={process} of --processes={processes}: count from 0 to processes - 1')
  try:
    if given:
      jax.distributed.initialize(coordinator, processes, process)
    else:
      jax.distributed.initialize()
  except (ValueError, RuntimeError) as error:
    cure = 'let all start within 5 minutes, with the same --coordinator' if given else (
      'no cluster was recognised, or its processes did not all come: see docs/parallel.md'
    )  # fmt: skip
    raise UserError(f'the processes did not find each other ({" ".join(str(error).split())}): {cure}') from error


def alone() -> bool:
  return jax.process_count() == 1


def first() -> bool:
  """Whether this process is the one that writes what is written once."""
  return jax.process_index() == 0


def together(what: str) -> None:
  """Waits until all processes have come here."""
  if not alone():
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(f'gan_jax {what}')


def of_first(value: float) -> float:
  """The number that process 0 has, in all of them."""
  if alone():
    return value
  from jax.experimental import multihost_utils

  return float(multihost_utils.broadcast_one_to_all(np.float64(value)))


def of_all(value: Any) -> np.ndarray:
  """(processes, ...) float32: the number, or the row of numbers, that each process has."""
  row = np.asarray(value, np.float32)
  if alone():
    return row[None]
  from jax.experimental import multihost_utils

  return np.asarray(multihost_utils.process_allgather(row))


class Agreement:
  """When to stop: after the same step in every process, whichever of them had the signal.

  Args:
    watch: of this process's signals.

  Attributes:
    stopped: the reason, once it is agreed; '' before.
  """

  def __init__(self, watch: Watch):
    self._watch = watch
    self._looked, self._at, self._next = 0, time.perf_counter(), 0
    self.stopped = ''

  def after(self, step: int) -> bool:
    """Whether to stop after a step that all have finished; called after the same steps by all."""
    if alone():
      self.stopped = self._watch.stopped
    elif step >= self._next:
      now = time.perf_counter()
      seconds = max(now - self._at, 1e-6) / max(step - self._looked, 1)
      # By the clock of process 0 all look again in a second, or after the next step.
      everyones = of_all([bool(self._watch.stopped), max(round(SECONDS / seconds), 1)])
      self._looked, self._at, self._next = step, now, step + int(everyones[0, 1])
      if everyones[:, 0].any():
        self.stopped = self._watch.stopped or 'a signal to another process'
    return bool(self.stopped)
