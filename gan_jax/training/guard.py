"""What may fail without the training: outputs are left out, and every other error saves the last good state first."""

import contextlib
import datetime
import traceback
from collections.abc import Callable, Iterator

from etils import epath

from gan_jax.base.errors import Diverged, UserError, short
from gan_jax.distributed import processes


class Guard:
  """Keeps the failures of a run apart from its training.

  Args:
    workdir: of the run; its errors.txt takes the tracebacks.
    say: told one line about each failure.
  """

  def __init__(self, workdir: epath.Path, say: Callable[[str], object]):
    self._file, self._say = workdir / 'errors.txt', say
    self._known: set[str] = set()

  @contextlib.contextmanager
  def without(self, what: str, *, together: bool = False) -> Iterator[None]:
    """A block that a training can do without: if it fails, a line says so, once for each reason.

    Args:
      what: the block does, such as 'writing TensorBoard'.
      together: whether all processes run it; an error of one of several then ends the run, for the others wait for it.
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
        self._say(f'warning: {reason}: the training goes on without; the traceback is in {self._file}')

  @contextlib.contextmanager
  def saving(self, save: Callable[[], str]) -> Iterator[None]:
    """A block whose errors leave it only when what was trained is saved.

    Args:
      save: saves the last good state, and says in a line what it did.
    """
    try:
      yield
    except Diverged:  # the last good state is in the checkpoints
      raise
    except Exception as error:
      self._record(error)
      if not isinstance(error, UserError):
        error.add_note(f'the traceback is in {self._file}')
      if processes.alone():  # several would have to save together, and the others do not know
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
