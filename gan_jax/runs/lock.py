"""The lock of a workdir, because two runs in one folder would delete each other's checkpoints.

The operating system locks the file WORKDIR/lock.json, which names the owner. If the owner dies in any way, the system
frees the lock: on a local disk, and on NFS from version 4 on. Some stores have no locks (gs://, some cluster file
systems). There only the name in the file counts: if that process is alive on this host, the run is refused; if not, a
line warns about it and the run starts.
"""

import contextlib
import datetime
import json
import os
import socket
import time
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
#: Seconds in which a file of process 0 must be seen by the others.
SEEN = 60


class Owner(NamedTuple):
  """The process that writes to a folder.

  Attributes:
    process: the process id.
    host: the name of its machine.
    since: local date and time when it took the lock.
  """

  process: int
  host: str
  since: str

  def __str__(self) -> str:
    return f'process {self.process} on {self.host}, since {self.since}'


@contextlib.contextmanager
def held(workdir: epath.Path, say: Callable[[str], object]) -> Iterator[None]:
  """Holds the lock of a folder in a `with` block. Several processes of one run share the lock of the first process.

  Args:
    workdir: a folder that exists.
    say: gets a line of text if the last owner did not release the lock, or if the store has no locks.

  Raises:
    UserError: another run holds the lock.
  """
  release: Callable[[], None] = lambda: None
  refusal = None
  if processes.first():
    try:
      release = _take(workdir, say)
    except UserError as error:  # raised below: the other processes wait, and must know of it first
      refusal = error
  if processes.broadcast(float(refusal is not None)):
    raise refusal or UserError(f'{workdir} is in use by another run: see the message of process 0')
  try:
    if not processes.alone() and not processes.all_gather(_is_seen(workdir)).all():
      raise UserError(f'{workdir} is not one folder for all processes: put it where all of them can read and write')
    yield
  finally:
    release()


def _is_seen(workdir: epath.Path) -> bool:
  """Whether the file that process 0 has written is here, which may take a while over a network."""
  for _ in range(SEEN):
    if FILE in {file.name for file in workdir.iterdir()}:
      return True
    time.sleep(1)
  return False


def _take(workdir: epath.Path, say: Callable[[str], object]) -> Callable[[], None]:
  """Takes the lock; returns the function that releases it."""
  file, here = workdir / FILE, _here()
  before, descriptor = None, None
  reason = 'it is not on a file system' if '://' in str(workdir) else 'this system has no flock'
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
    say(f'the last run in this folder did not end properly ({before}): taking its place; if it still runs, stop it')
  with contextlib.suppress(OSError):  # on a full disk the file stays empty, but the lock works
    file.write_text(json.dumps(here._asdict()))

  def release() -> None:
    with contextlib.suppress(OSError):  # remove the file before unlocking, so that nobody locks a removed file
      file.unlink()
    if descriptor is not None:
      os.close(descriptor)

  return release


def _locked(file: epath.Path) -> int:
  """Opens and locks the file; returns its descriptor.

  Raises:
    BlockingIOError: another process holds the lock.
    OSError: the file system has no locks.
  """
  while True:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      with contextlib.suppress(FileNotFoundError):
        # The last owner may have removed the file after it was opened here: then try again.
        if os.path.samestat(os.fstat(descriptor), os.stat(file)):
          return descriptor
    except OSError:
      os.close(descriptor)
      raise
    os.close(descriptor)


def _here() -> Owner:
  return Owner(os.getpid(), socket.gethostname(), datetime.datetime.now().strftime('%Y-%m-%d %H:%M:%S'))


def _owner(file: epath.Path) -> Owner | None:
  """The owner that the file names; None if there is no file, or no name in it."""
  try:
    return Owner(**json.loads(file.read_text()))
  except (OSError, ValueError, TypeError):
    return None


def _alive(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except OSError:  # it is a process of another user
    return True
  return True


def _in_use(workdir: epath.Path, owner: Owner | None) -> UserError:
  who = str(owner) if owner else 'another process'
  return UserError(f'{workdir} is in use by {who}: wait until it ends, stop it, or give another --workdir')
