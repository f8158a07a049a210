"""Where curves and pictures are looked at: TensorBoard's file, and Weights & Biases."""

import contextlib
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from etils import epath

from gan_jax.base.errors import UserError


class Board(Protocol):
  """Takes numbers and pictures of steps."""

  def scalars(self, values: Mapping[str, float], step: int) -> None: ...

  def image(self, name: str, pixels: np.ndarray, step: int) -> None: ...

  def discard(self) -> None: ...

  def close(self) -> None: ...


#: Seconds between two flushes of TensorBoard's file. A flush to gs:// sends the whole file.
FLUSH = 60


class TensorBoard:
  """Writes TensorBoard's file in this thread. The thread of tensorboardX dies when the disk is full, and the run hangs.

  Args:
    folder: the folder of the file.
    purge_step: TensorBoard ignores entries of older files from this step on; None for none.
  """

  def __init__(self, folder: epath.Path, purge_step: int | None):
    from tensorboardX import record_writer, summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2

    self._summary, self._protos = summary, event_pb2
    record_writer.directory_check(str(folder))
    self._events = EventsWriter(os.path.join(str(folder), 'events'))
    self._flushed = 0.0
    if purge_step is not None:
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self._events.write_event(event_pb2.Event(wall_time=time.time(), step=purge_step, session_log=start))

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    for name, value in values.items():
      self._write(self._summary.scalar(name, value), step)
    if time.monotonic() - self._flushed > FLUSH:
      self._flushed = time.monotonic()
      self._events.flush()

  def image(self, name: str, pixels: np.ndarray, step: int) -> None:
    self._write(self._summary.image(name, pixels, dataformats='HWC'), step)

  def _write(self, summary: Any, step: int) -> None:
    self._events.write_event(self._protos.Event(wall_time=time.time(), step=step, summary=summary))

  def discard(self) -> None:
    """Closes the file without writing the rest."""
    with contextlib.suppress(OSError, ValueError):
      self._events._py_recordio_writer.close()

  def close(self) -> None:
    self._events.close()


class WandB:
  """Writes to Weights & Biases: a run of a project, which a resumed training goes on with.

  Its own settings are its environment variables: WANDB_MODE=offline writes to WORKDIR/wandb alone, for `wandb sync`.

  Args:
    workdir: the folder of the run.
    project: its name.
    settings: of the run, as they are shown.
  """

  def __init__(self, workdir: epath.Path, project: str, settings: Mapping[str, Any]):
    self._wandb = wandb()
    # A training that is resumed goes on with its run; another one in a folder of the same name does not.
    file = workdir / 'wandb_id'
    if not file.exists():
      file.write_text(secrets.token_hex(6))
    name = file.read_text().strip()
    self._run = self._wandb.init(
      project=project, id=name, name=workdir.name, dir=os.fspath(workdir), config=dict(settings), resume='allow'
    )
    # Not W&B's own step, which must grow: a training that resumes from an earlier checkpoint would lose its rows.
    self._run.define_metric('step')
    self._run.define_metric('*', step_metric='step')

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    self._run.log({**values, 'step': step})

  def image(self, name: str, pixels: np.ndarray, step: int) -> None:
    self._run.log({name: self._wandb.Image(pixels), 'step': step})

  def discard(self) -> None:
    """Leaves the run as it is."""

  def close(self) -> None:
    self._run.finish()


def wandb() -> Any:
  """The module wandb.

  Raises:
    UserError: it is not installed.
  """
  try:
    import wandb as module
  except ImportError as error:
    raise UserError(
      f"config.wandb needs wandb, which is not installed ({error}): pip install 'gan_jax[wandb]', or leave it out"
    ) from error
  return module
