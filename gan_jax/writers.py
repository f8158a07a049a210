"""Where metrics go: the console, metrics.jsonl and TensorBoard."""

import json
import sys
from collections.abc import Mapping

from etils import epath
from tqdm import tqdm


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
      rows = [line for line in self._file.read_text().splitlines() if line.endswith('}')]
      self._file.write_text(''.join(row + '\n' for row in rows if json.loads(row)['step'] <= step))
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
      rates: {name: speed}, such as steps_per_second.
    """
    row = {'step': step, **{k: float(f'{v:.6g}') for k, v in {**values, **rates}.items()}}
    with self._file.open('a') as file:
      file.write(json.dumps(row) + '\n')
    for name, value in {**values, **rates}.items():
      self._board.add_scalar(name, value, step)
    losses = {k: v for k, v in values.items() if k.endswith(('loss', 'value'))} or dict(values)
    shown = {k.removesuffix('_loss'): f'{v:.3f}' for k, v in losses.items()}
    if self._bar is not None:
      self._bar.set_postfix({**shown, 'images/s': f'{rates["images_per_second"]:.0f}'}, refresh=False)
      self._bar.update(step - self._bar.n)
    elif not self._silent:
      left = (self._steps - step) / rates['steps_per_second']
      print(
        f'step {step:>6}/{self._steps}  {rates["steps_per_second"]:.3g} steps/s  '
        f'{rates["images_per_second"]:.4g} images/s  '
        + '  '.join(f'{k} {v}' for k, v in shown.items())
        + f'  {duration(left)} left',
        flush=True,
      )

  def picture(self, name: str, step: int, image) -> None:
    """Shows a PIL image in TensorBoard."""
    import numpy as np

    self._board.add_image(name, np.asarray(image.convert('RGB')), step, dataformats='HWC')

  def close(self) -> None:
    self._board.close()
    if self._bar is not None:
      self._bar.close()


def duration(seconds: float) -> str:
  """
  >>> duration(3725)
  '1:02:05'
  """
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
