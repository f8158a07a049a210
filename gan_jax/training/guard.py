"""Errors during training: an output that fails is left out; before any other error the last good state is saved."""

import contextlib
import datetime
import traceback
from collections.abc import Callable, Iterator

from etils import epath

from gan_jax.base.errors import Diverged, UserError, short
from gan_jax.distributed import processes


class Guard:
  """Handles the errors of a run.

  Args:
    workdir: the folder of the run; tracebacks go to its errors.txt.
    say: gets one line of text for each error.
  """

  def __init__(self, workdir: epath.Path, say: Callable[[str], object]):
    self._file, self._say = workdir / 'errors.txt', say
    self._known: set[str] = set()

  @contextlib.contextmanager
  def tolerating(self, what: str, *, together: bool = False) -> Iterator[None]:
    """A block that may fail: then a warning is printed, once for each reason, and training goes on.

    Args:
      what: what the block does, such as 'writing TensorBoard'.
      together: True if all processes run the block. With several processes an error then ends the run, because the
        others wait for the process that failed.
    """
    try:
      yield
    except Exception as error:
      if together and not processes.alone():
        raise
      reason = f'{what} failed ({short(error)})'
      if reason not in self._known:
        self._known.add(reason)
        self._record(error)
        self._say(f'warning: {reason}: the training goes on without it; the traceback is in {self._file}')

  @contextlib.contextmanager
  def saving(self, save: Callable[[], str]) -> Iterator[None]:
    """A block. If it raises an error, the last good state is saved first, and then the error goes on.

    Args:
      save: saves the last good state; returns a line of text about it.
    """
    try:
      yield
    except Diverged:  # the last good state is in the checkpoints
      raise
    except Exception as error:
      self._record(error)
      if not isinstance(error, UserError):
        error.add_note(f'the traceback is in {self._file}')
      if processes.alone():  # several processes must save together, but the others do not know of the error
        try:
          line = save()
        except Exception as second:
          self._record(second)
          line = f'the last state could not be saved: {short(second)}'
        if line:
          self._say(line)
      raise

  def _record(self, error: Exception) -> None:
    text = f'{datetime.datetime.now():%Y-%m-%d %H:%M:%S}\n{"".join(traceback.format_exception(error))}\n'
    with contextlib.suppress(OSError), self._file.open('ab') as file:
      file.write(text.encode('utf-8', 'backslashreplace'))
