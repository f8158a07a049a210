"""A trace of some steps of a run, for TensorBoard, xprof and Perfetto."""

from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from gan_jax.training.guard import Guard

#: Steps of a run before the trace begins, so that compiling is not in it.
FIRST = 10


class Profile:
  """Traces some steps of a run, after its first steps. A trace consists of whole calls.

  Args:
    steps: the least number of steps to trace; 0 for no trace.
    folder: the folder for the trace.
    say: gets a line of text that names the folder.
    guard: the guard of the run, which goes on if the trace cannot be written.
  """

  def __init__(self, steps: int, folder: epath.Path, say: Callable[[str], object], guard: Guard):
    self._steps, self._folder, self._say, self._guard = steps, folder, say, guard
    self._seen = self._traced = 0
    self._tracing, self._done = False, not steps

  def call(self, count: int, step: Callable[..., Any], *arguments: Any) -> Any:
    """Calls step(*arguments), which makes `count` steps; starts and ends the trace when it is time."""
    if self._done:
      return step(*arguments)
    if not self._tracing and self._seen >= FIRST:
      jax.block_until_ready(arguments)  # earlier calls do not belong to the trace
      self._done = True  # stays so if the trace cannot start
      with self._guard.tolerating('beginning the trace'):
        jax.profiler.start_trace(str(self._folder))
        self._tracing, self._done = True, False
    with jax.profiler.StepTraceAnnotation('train', step_num=self._seen):
      out = step(*arguments)
    self._seen += count
    if self._tracing:
      self._traced += count
      if self._traced >= self._steps:
        jax.block_until_ready(out)
        self.close()
    return out

  def close(self) -> None:
    """Ends the trace, if it is running, and prints where it is."""
    if self._tracing:
      with self._guard.tolerating('writing the trace'):
        jax.profiler.stop_trace()
        self._say(
          f'profile   {self._traced} steps in {self._folder}: `tensorboard --logdir {self._folder}` (pip install '
          'xprof), or open its trace.json.gz in ui.perfetto.dev'
        )
    elif not self._done:
      self._say(f'profile   no trace: it begins after {FIRST} steps, this run had {self._seen}')
    self._tracing, self._done = False, True
