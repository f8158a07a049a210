"""Where metrics go: the console, metrics.jsonl and TensorBoard."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from etils import epath
from PIL.Image import Image
from tqdm import tqdm

from gan_jax.base.files import write_text


class Writer:
  """Writes the metrics of a run.

  Args:
    workdir: of the run.
    step: steps finished at the start; what a lost continuation wrote after it is dropped.
    steps: of the whole run.
    images_per_step: real examples drawn per step.
    silent: write files only.
  """

  def __init__(self, workdir: epath.Path, step: int, steps: int, *, silent: bool = False):
    from tensorboardX import SummaryWriter

    self._silent = silent
    self._steps = steps
    self._file = workdir / 'metrics.jsonl'
    if self._file.exists():
      # A killed run may have left half a line, and lines of steps that are to be done again.
      rows = [line for line in self._file.read_text().splitlines() if line.endswith('}')]
      write_text(self._file, ''.join(row + '\n' for row in rows if json.loads(row)['step'] <= step))
    self._board = SummaryWriter(str(workdir / 'tensorboard'), purge_step=step + 1 if step else None)
    terminal = sys.stderr.isatty() and not silent
    self._bar = tqdm(total=steps, initial=step, unit='step', dynamic_ncols=True) if terminal else None

  def say(self, line: str) -> None:
    """A line for the person at the console."""
    if self._silent:
      return
    if self._bar is not None:
      self._bar.write(line)
    else:
      print(line, flush=True)

  def metrics(self, step: int, values: Mapping[str, float], rates: Mapping[str, float]) -> None:
    """Writes one row.

    Args:
      step: steps finished.
      values: {name: mean since the last row}.
      rates: {name: speed}, steps_per_second and images_per_second; empty where nothing was timed.
    """
    row = {'step': step, **{k: float(f'{v:.6g}') for k, v in {**values, **rates}.items()}}
    with self._file.open('a') as file:
      file.write(json.dumps(row) + '\n')
    for name, value in {**values, **rates}.items():
      self._board.add_scalar(name, value, step)
    chosen = {k: v for k, v in values.items() if k.endswith(('loss', 'value'))} or dict(values)
    shown = {k.removesuffix('_loss'): f'{v:.3f}' for k, v in chosen.items()}
    if self._bar is not None:
      if rates:
        shown['images/s'] = f'{rates["images_per_second"]:.0f}'
      self._bar.set_postfix(shown, refresh=False)
      self._bar.update(step - self._bar.n)
    elif not self._silent:
      losses = '  '.join(f'{k} {v}' for k, v in shown.items())
      line = f'step {step:>6}/{self._steps}  {losses}'
      if rates:
        left = duration((self._steps - step) / rates['steps_per_second'])
        speed = f'{rates["steps_per_second"]:.3g} steps/s  {rates["images_per_second"]:.4g} images/s'
        line = f'step {step:>6}/{self._steps}  {speed}  {losses}  {left} left'
      print(line, flush=True)

  def picture(self, name: str, step: int, image: Image) -> None:
    """Shows a PIL image in TensorBoard."""
    import numpy as np

    self._board.add_image(name, np.asarray(image.convert('RGB')), step, dataformats='HWC')

  def close(self) -> None:
    self._board.close()
    if self._bar is not None:
      self._bar.close()


class NoWriter:
  """The writer of a process that leaves writing to another."""

  def say(self, line: str) -> None: ...

  def metrics(self, step: int, values: Mapping[str, float], rates: Mapping[str, float]) -> None: ...

  def picture(self, name: str, step: int, image: Any) -> None: ...

  def close(self) -> None: ...


def duration(seconds: float) -> str:
  """
  >>> duration(3725)
  '1:02:05'
  """
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
