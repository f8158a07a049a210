"""Writes metrics to the console, metrics.jsonl and TensorBoard."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from etils import epath
from PIL.Image import Image
from tqdm import tqdm

from gan_jax.base import console
from gan_jax.base.files import write_text
from gan_jax.training.guard import Guard

#: Seconds between two flushes of TensorBoard's file. A flush to gs:// sends the whole file.
FLUSH = 60


class _Board:
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


class Writer:
  """Writes the metrics of a run. No method raises an error: if an output cannot be written, a line warns about it.

  Args:
    workdir: the folder of the run.
    step: steps finished at the start; rows of later steps, which a killed run wrote, are deleted.
    steps: the steps of the whole run.
    silent: write files only.

  Attributes:
    guard: the guard of the run.
  """

  def __init__(self, workdir: epath.Path, step: int, steps: int, *, silent: bool = False):
    self._silent = silent
    self._console_works = True
    self.guard = Guard(workdir, self.say)
    self._unwritten: list[str] = []
    self._steps = steps
    self._file = workdir / 'metrics.jsonl'
    if self._file.exists():
      # A killed run may have left half a line, and rows of steps that are trained again.
      rows = [line for line in self._file.read_text().splitlines() if line.endswith('}')]
      write_text(self._file, ''.join(row + '\n' for row in rows if json.loads(row)['step'] <= step))
    self._board: _Board | None = None
    with self.guard.tolerating('opening TensorBoard'):
      self._board = _Board(workdir / 'tensorboard', step + 1 if step else None)
    self._bar: Any = None
    if sys.stderr is not None and sys.stderr.isatty() and not silent:
      with contextlib.suppress(OSError, ValueError):
        self._bar = tqdm(total=steps, initial=step, unit='step', dynamic_ncols=True)

  def say(self, line: str) -> None:
    """Prints a line of text on the console."""
    if self._silent:
      return
    printed = False
    try:
      with self._bar.external_write_mode(file=sys.stdout) if self._bar is not None else contextlib.nullcontext():
        printed = console.say(line)
    except (OSError, ValueError):  # the terminal of the progress bar is gone
      self._bar = None
    if self._console_works and not printed:
      console.say('note: standard output cannot be written: the training goes on without it', error=True)
    self._console_works = printed

  def metrics(self, step: int, values: Mapping[str, float], rates: Mapping[str, float]) -> None:
    """Writes one row.

    Args:
      step: steps finished.
      values: {name: mean since the last row}.
      rates: {name: speed}, steps_per_second and images_per_second; empty if no step was timed.
    """
    row = {'step': step, **{k: float(f'{v:.6g}') for k, v in {**values, **rates}.items()}}
    self._unwritten.append(json.dumps(row) + '\n')
    with self.guard.tolerating('writing metrics.jsonl'):
      self._write_rows()
    with self._on_board() as board:
      if board is not None:
        board.scalars({**values, **rates}, step)
    chosen = {k: v for k, v in values.items() if k.endswith(('loss', 'value'))} or dict(values)
    shown = {k.removesuffix('_loss'): f'{v:.3f}' for k, v in chosen.items()}
    if self._bar is not None:
      if rates:
        shown['images/s'] = f'{rates["images_per_second"]:.0f}'
      try:
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(step - self._bar.n)
      except (OSError, ValueError):
        self._bar = None
    elif not self._silent:
      losses = '  '.join(f'{k} {v}' for k, v in shown.items())
      line = f'step {step:>6}/{self._steps}  {losses}'
      if rates:
        left = duration((self._steps - step) / rates['steps_per_second'])
        speed = f'{rates["steps_per_second"]:.3g} steps/s  {rates["images_per_second"]:.4g} images/s'
        line = f'step {step:>6}/{self._steps}  {speed}  {losses}  {left} left'
      self.say(line)

  def picture(self, name: str, step: int, image: Image) -> None:
    """Shows a PIL image in TensorBoard."""
    with self._on_board() as board:
      if board is not None:
        board.image(name, np.asarray(image.convert('RGB')), step)

  @contextlib.contextmanager
  def _on_board(self) -> Iterator[_Board | None]:
    """TensorBoard's file; None after its first error, because a half record would hide all later ones."""
    board, self._board = self._board, None
    with self.guard.tolerating('writing TensorBoard'):
      try:
        yield board
      except Exception:
        if board is not None:
          board.discard()
        raise
      self._board = board

  def _write_rows(self) -> None:
    """Appends all rows that are not written yet. After a full disk has room again, no row is missing."""
    size = self._file.stat().length if self._file.exists() else 0
    try:
      with self._file.open('a') as file:
        file.write(''.join(self._unwritten))
    except OSError:
      with contextlib.suppress(OSError):  # remove half a line
        os.truncate(self._file, size)
      raise
    self._unwritten.clear()

  def close(self) -> None:
    if self._unwritten:
      with self.guard.tolerating(f'writing the last {len(self._unwritten)} rows of metrics.jsonl'):
        self._write_rows()
    with self._on_board() as board:
      if board is not None:
        board.close()
    if self._bar is not None:
      with contextlib.suppress(OSError, ValueError):
        self._bar.close()


class NoWriter:
  """A writer that writes nothing, for processes other than the first.

  Attributes:
    guard: the guard of the run.
  """

  def __init__(self, workdir: epath.Path):
    self.guard = Guard(workdir, lambda line: None)

  def say(self, line: str) -> None: ...

  def metrics(self, step: int, values: Mapping[str, float], rates: Mapping[str, float]) -> None: ...

  def picture(self, name: str, step: int, image: Any) -> None: ...

  def close(self) -> None: ...


def duration(seconds: float) -> str:
  """Seconds as minutes and seconds, or as hours, minutes and seconds.

  >>> duration(3725)
  '1:02:05'
  """
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
