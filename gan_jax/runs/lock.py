"""The lock of a workdir: two runs in one folder would delete each other's checkpoints.

It is the file WORKDIR/lock.json, which names its owner, locked by the system. The system frees the lock when the owner
dies, however that was, on a local disk and on NFS from version 4 on. Stores without locks (gs://, some cluster file
systems) have only the name of the owner: a process that is alive on this host is respected, any other is said.
"""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

from etils import epath

from gan_jax.base.errors import UserError
from gan_jax.distributed import processes

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None  # type: ignore[assignment]

FILE = 'lock.json'


class Owner(NamedTuple):
  """Who writes a folder.

  Attributes:
    process: its number.
    host: where it runs.
    since: date and time, local.
  """

  process: int
  host: str
  since: str

  def __str__(self) -> str:
    return f'process {self.process} on {self.host}, since {self.since}'


@contextlib.contextmanager
def held(workdir: epath.Path, say: Callable[[str], object]) -> Iterator[None]:
  """Keeps others from writing a folder. Several processes of one run share the lock of the first.

  Args:
    workdir: a folder that is there.
    say: told when the owner before ended without releasing it, and where the store knows no locks.

  Raises:
    UserError: another run writes it.
  """
  release: Callable[[], None] = lambda: None
  refusal = None
  if processes.first():
    try:
      release = _take(workdir, say)
    except UserError as error:  # told to the others first, for they wait
      refusal = error
  if processes.of_first(float(refusal is not None)):
    raise refusal or UserError(f'{workdir} is in use by another run: see the message of process 0')
  try:
    yield
  finally:
    release()


def _take(workdir: epath.Path, say: Callable[[str], object]) -> Callable[[], None]:
  """Takes the lock; returns what releases it."""
  file, here = workdir / FILE, _here()
  before, descriptor = None, None
  reason = 'it is no file system' if '://' in str(workdir) else 'this system has no flock'
  if fcntl is not None and '://' not in str(workdir):
    try:
      descriptor = _locked(file)
    except BlockingIOError:
      raise _in_use(workdir, _owner(file)) from None
    except OSError as error:
      reason = error.strerror or str(error)
  before = _owner(file)
  if descriptor is None:
    if before and before.host == here.host and _alive(before.process):
      raise _in_use(workdir, before)
    say(f'note: {workdir} cannot be locked ({reason}): never start two runs in it at once')
  if before:
    say(f'the run before did not end in good order ({before}): taking its place; if it still runs, stop it')
  with contextlib.suppress(OSError):  # on a full disk the lock has no name, and holds all the same
    file.write_text(json.dumps(here._asdict()))

  def release() -> None:
    with contextlib.suppress(OSError):  # removed while it is held: nobody can lock a file that is on its way out
      file.unlink()
    if descriptor is not None:
      os.close(descriptor)

  return release


def _locked(file: epath.Path) -> int:
  """A descriptor of the file, locked.

  Raises:
    BlockingIOError: another has it.
    OSError: the file system has no locks.
  """
  while True:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      with contextlib.suppress(FileNotFoundError):
        # Between the two calls the owner before may have removed the file that was opened.
        if os.path.samestat(os.fstat(descriptor), os.stat(file)):
          return descriptor
    except OSError:
      os.close(descriptor)
      raise
    os.close(descriptor)


def _here() -> Owner:
  return Owner(os.getpid(), socket.gethostname(), datetime.datetime.now().strftime('%Y-%m-%d %H:%M:%S'))


def _owner(file: epath.Path) -> Owner | None:
  """Who the file names; None if it is not there, or holds no name."""
  try:
    return Owner(**json.loads(file.read_text()))
  except (OSError, ValueError, TypeError):
    return None


def _alive(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except OSError:  # another user's
    return True
  return True


def _in_use(workdir: epath.Path, owner: Owner | None) -> UserError:
  who = str(owner) if owner else 'another process'
  return UserError(f'{workdir} is in use by {who}: wait until it ends, stop it, or give another --workdir')
