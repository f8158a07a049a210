"""Writes metrics to the console, metrics.jsonl, TensorBoard and, if asked, Weights & Biases."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath
from PIL.Image import Image
from tqdm import tqdm

from gan_jax.base import console
from gan_jax.base.files import write_text
from gan_jax.training.boards import Board, TensorBoard, WandB
from gan_jax.training.guard import Guard


class Writer:
  """Writes the metrics of a run. No method raises an error: if an output cannot be written, a line warns about it.

  Args:
    workdir: the folder of the run.
    step: steps finished at the start; rows of later steps, which a killed run wrote, are deleted.
    steps: the steps of the whole run.
    silent: write files only.
    wandb: a project of Weights & Biases; '' for none.
    settings: of the run, which it shows.

  Attributes:
    guard: the guard of the run.
  """

  def __init__(
    self,
    workdir: epath.Path,
    step: int,
    steps: int,
    *,
    silent: bool = False,
    wandb: str = '',
    settings: Mapping[str, Any] | None = None,
  ):
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
    self._boards: dict[str, Board] = {}
    with self.guard.tolerating('opening TensorBoard'):
      self._boards['TensorBoard'] = TensorBoard(workdir / 'tensorboard', step + 1 if step else None)
    if wandb:
      with self.guard.tolerating('opening wandb'):
        self._boards['wandb'] = WandB(workdir, wandb, settings or {})
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
    self._on_boards(lambda board: board.scalars({**values, **rates}, step))
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
    """Shows a PIL image on the boards."""
    self._on_boards(lambda board: board.image(name, np.asarray(image.convert('RGB')), step))

  def _on_boards(self, act: Callable[[Board], None]) -> None:
    """Does something with each board. One that fails is left out from then on: half a record hides all later ones."""
    for name in list(self._boards):
      board = self._boards.pop(name)
      with self.guard.tolerating(f'writing {name}'):
        try:
          act(board)
        except Exception:
          board.discard()
          raise
        self._boards[name] = board

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
    self._on_boards(lambda board: board.close())
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
