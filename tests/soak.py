"""Runs that are killed, signalled, left without disk, console or pictures, and started twice, for some minutes.

`make soak MINUTES=30`. Every run ends bit for bit as one that was left alone, with the same rows of metrics; nothing
hangs; a second starter is refused. Without the right to mount a small disk, the full disk is a limit on the size of
files.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import gan_jax

ROOT = pathlib.Path(__file__).parent.parent
SETTINGS = [
  '--config.data.name=folder',
  '--config.data.size=8',
  '--config.data.resident=False',
  '--config.game.generator.hidden=(32,)',
  '--config.game.discriminator.units=(16,)',
  '--config.game.discriminator.dropout=(0.2,0.5)',
  '--config.batch_size=16',
  '--config.checkpoint_every=10',
  '--config.log_every=1',
  '--config.sample_every=50',
  '--config.samples=4',
  '--config.devices=1',
]
#: Seconds that nothing may take: a start, the end after a signal or an error, a checkpoint.
PATIENCE = 240
DISK = 64 << 20


class Failed(Exception):
  """Something was lost, or hung."""


class Soak:
  """One run after the other, each disturbed until it ends.

  Args:
    folder: for all files.
    disk: a folder on a small disk of its own, or None.
    steps: of each run.
    draw: of the disturbances.
  """

  def __init__(self, folder: pathlib.Path, disk: pathlib.Path | None, steps: int, draw: random.Random):
    self._folder, self._disk, self._steps, self._draw = folder, disk, steps, draw
    self._pictures, self._whole = folder / 'pictures', folder / 'whole'
    self._target = (disk or folder) / 'target'
    self._kinds: list[Callable[[subprocess.Popen], None]] = []
    self.counts: collections.Counter[str] = collections.Counter()
    self._full = False  # rows that a full disk kept back are lost with a process that ends before it has room
    self._pictures.mkdir()
    for i, image in enumerate(load_digits().images[:200]):
      Image.fromarray((image * 15).astype(np.uint8)).save(self._pictures / f'{i:03}.png')

  def whole(self) -> None:
    """The run that is left alone."""
    subprocess.run(self._command(self._whole), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)

  def disturb(self) -> None:
    """Starts the run, or goes on with it, disturbs it once, and compares it if it has ended."""
    if not self._kinds:  # each comes as often as the others
      self._kinds = [self.kill, self.signal, self.full_disk, self.dead_pipe, self.vanished, self.second]
      self._draw.shuffle(self._kinds)
    kind = self._kinds.pop()
    before, started = _committed(self._target), time.time()
    # The output goes to a file, so that no full pipe stops what runs.
    with (self._folder / 'out.txt').open('w') as out:
      to = subprocess.PIPE if kind == self.dead_pipe else out
      process = subprocess.Popen(self._command(self._target), cwd=ROOT, stdout=to, stderr=out)
      try:
        # Rows of the run before may lie behind the checkpoint until this one goes on.
        self._wait(process, lambda: self._rows(started) > before, 'the first step')
        time.sleep(self._draw.uniform(0, 1.5))
        if process.poll() is None:
          kind(process)
        self._wait(process, lambda: False, f'the end after {kind.__name__}')
      finally:
        process.kill()
        process.wait()
        if process.stdout:
          process.stdout.close()
    name, code, said = kind.__name__, process.returncode, (self._folder / 'out.txt').read_text()
    after, rows = _committed(self._target), self._rows()
    last = said.strip().splitlines()[-1:] or ['']
    late = code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)  # the signal came after all was done and said
    if late and (last[0].startswith('error: ') or after == self._steps):
      code = 0 if after == self._steps else 2
    self.counts[name] += 1
    print(f'{name:<10} code {code:>3}, checkpoint {before} -> {after}, row {rows}: {last[0][:110]}', flush=True)
    if after < before:
      raise Failed(f'{name} lost checkpoints: {before} -> {after}')
    if 'Traceback' in said:
      raise Failed(f'{name} ended in a traceback:\n{said}')
    allowed = {0, 128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP, -signal.SIGKILL, 2}
    if code not in allowed:
      raise Failed(f'{name} ended with {code}:\n{said}')
    if code > 2 and after != rows:
      raise Failed(f'a signal at step {rows} saved step {after}')
    if code == 2 and name == 'vanished' and after != rows and not self._full:
      raise Failed(f'a picture was missing at step {rows}, saved is step {after}')
    reasons = {'vanished': 'cannot be read', 'full_disk': 'cannot write', 'second': 'in use'}
    if code == 2 and reasons.get(name, 'nothing') not in said:
      raise Failed(f'{name} ended so:\n{said}')
    if code == 0:
      self._compare()

  def kill(self, process):
    """In the middle of a save, if it is there soon."""
    committed, limit = _committed(self._target), time.monotonic() + 3
    while process.poll() is None and _committed(self._target) <= committed and time.monotonic() < limit:
      time.sleep(0.01)
    time.sleep(self._draw.uniform(0, 0.3))
    process.kill()

  def signal(self, process):
    process.send_signal(self._draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))

  def full_disk(self, process):
    """It lasts until a checkpoint fails, or a while; then there is room again."""
    self._full = True
    if self._disk:
      ballast = self._disk / 'ballast'
      with contextlib.suppress(OSError), ballast.open('wb', buffering=0) as file:
        while True:
          file.write(bytes(1 << 16))
      _until(lambda: process.poll() is not None, self._draw.uniform(0.5, 20))
      ballast.unlink()
    else:
      most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
      with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (64, most))
      _until(lambda: process.poll() is not None, self._draw.uniform(0.5, 20))
      with contextlib.suppress(ProcessLookupError, PermissionError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    self.signal(process)

  def dead_pipe(self, process):
    process.stdout.close()
    rows = self._rows()
    self._wait(process, lambda: self._rows() > rows + 2, 'a step without a console')
    self.signal(process)

  def vanished(self, process):
    """A picture, which ends the run, or a folder of outputs, which does not."""
    if self._draw.random() < 0.3:
      for name in ('samples', 'tensorboard'):
        shutil.rmtree(self._target / name, ignore_errors=True)
      rows = self._rows()
      self._wait(process, lambda: self._rows() > rows + 2, 'a step without a folder')
      self.signal(process)
      return
    files = [self._pictures / f'{self._draw.randrange(200):03}.png' for _ in range(3)]
    away = [file.with_suffix('.away') for file in files]
    for file, other in zip(files, away, strict=True):
      with contextlib.suppress(FileNotFoundError):  # the same one twice
        file.rename(other)
    self._wait(process, lambda: False, 'the end without a picture')
    for file, other in zip(files, away, strict=True):
      with contextlib.suppress(FileNotFoundError):
        other.rename(file)

  def second(self, process):
    """One of the two is refused; it is the first one if the second takes the lock before it."""
    other = subprocess.run(self._command(self._target), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    if process.poll() is None and not (other.returncode == 2 and 'in use' in other.stderr):
      raise Failed(f'a second starter ended with {other.returncode}:\n{other.stdout}{other.stderr}')
    self.signal(process)

  def _compare(self) -> None:
    """The run that has ended with the one that was left alone; then the next begins."""
    ends = [jax.tree.leaves(gan_jax.load(folder).state) for folder in (self._whole, self._target)]
    if not all(np.array_equal(a, b) for a, b in zip(*ends, strict=True)):
      raise Failed('the end is not that of a run that was left alone')
    whole, mine = (
      {row['step']: row for row in map(json.loads, (folder / 'metrics.jsonl').read_text().splitlines())}
      for folder in (self._whole, self._target)
    )
    differing = [n for n, row in mine.items() if _plain(row) != _plain(whole[n])]
    missing = len(whole) - len(mine)
    if differing or (missing and not self._full):
      raise Failed(f'rows differ at steps {differing[:5]}, {missing} are missing')
    self.counts['runs that ended the same'] += 1
    print(f'ended as the run that was left alone, {missing} rows missing', flush=True)
    shutil.rmtree(self._target)
    self._full = False

  def _command(self, workdir: pathlib.Path) -> list[str]:
    main = [sys.executable, '-m', 'gan_jax.main', '--config', 'configs/gan.py:digits', '--workdir', str(workdir)]
    return [*main, f'--config.steps={self._steps}', f'--config.data.path={self._pictures}', *SETTINGS]

  def _rows(self, since: float = 0) -> int:
    """The step of the last row; 0 if none was written since then."""
    with contextlib.suppress(OSError, ValueError, IndexError):
      if (self._target / 'metrics.jsonl').stat().st_mtime < since:
        return 0
      return json.loads((self._target / 'metrics.jsonl').read_text().splitlines()[-1])['step']
    return 0

  def _wait(self, process, done, what: str) -> None:
    if not _until(lambda: process.poll() is not None or done(), PATIENCE):
      raise Failed(f'{what} did not come in {PATIENCE} s:\n{(self._folder / "out.txt").read_text()}')


def _plain(row: dict[str, float]) -> dict[str, float]:
  # The diversity of samples is measured where pictures are; the speed differs.
  return {k: v for k, v in row.items() if 'per_second' not in k and k != 'sample_diversity'}


def _until(done, seconds: float) -> bool:
  limit = time.monotonic() + seconds
  while time.monotonic() < limit:
    if done():
      return True
    time.sleep(0.02)
  return False


def _committed(workdir: pathlib.Path) -> int:
  if not (workdir / 'checkpoints').exists():
    return 0
  return max((int(path.name) for path in (workdir / 'checkpoints').iterdir() if path.name.isdigit()), default=0)


@contextlib.contextmanager
def small_disk(folder: pathlib.Path):
  """A small disk of its own below a folder; None where it may not be mounted."""
  disk = folder / 'disk'
  disk.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', f'size={DISK}', 'tmpfs', str(disk)]
  try:
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
  except OSError:
    mounted = False
  if not mounted:
    print('a small disk may not be mounted here: the full disk is a limit on the size of files', flush=True)
  try:
    yield disk if mounted else None
  finally:
    if mounted:
      subprocess.run(['umount', str(disk)], check=True)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--minutes', type=float, default=3)
  parser.add_argument('--steps', type=int, default=2000)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--no_disk', action='store_true', help='limit the size of files, as where no disk can be mounted')
  values = parser.parse_args()
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is mounted must go
  signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup runs would inherit that it is ignored
  scratch = pathlib.Path(tempfile.mkdtemp(prefix='soak-'))
  limit = time.monotonic() + 60 * values.minutes
  try:
    with contextlib.nullcontext() if values.no_disk else small_disk(scratch) as disk:
      soak = Soak(scratch, disk, values.steps, random.Random(values.seed))
      soak.whole()
      while time.monotonic() < limit:
        soak.disturb()
    print(f'nothing lost, nothing hung in {values.minutes:g} minutes: {dict(soak.counts)}')
  except Failed as error:
    sys.exit(f'FAILED: {error}')
  finally:
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == '__main__':
  main()
