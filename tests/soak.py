"""Twenty kills of one run at random times: its end equals that of a run that was left alone (`make soak`)."""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

import gan_jax

ROOT = pathlib.Path(__file__).parent.parent
SETTINGS = [
  '--config.checkpoint_every=5',
  '--config.log_every=50',
  '--config.sample_every=0',
  '--config.devices=1',
]


def command(workdir: pathlib.Path, steps: int) -> list[str]:
  main = [sys.executable, '-m', 'gan_jax.main', '--config', 'configs/quickstart.py', '--workdir', str(workdir)]
  return [*main, f'--config.steps={steps}', *SETTINGS]


def soak(folder: pathlib.Path, kills: int, steps: int, seed: int) -> None:
  quiet = dict(cwd=ROOT, stdout=subprocess.DEVNULL)
  subprocess.run(command(folder / 'whole', steps), check=True, **quiet)
  draw, met, done, target = random.Random(seed), 0, 0, folder / 'killed'
  while done < kills:
    process = subprocess.Popen(command(target, steps), **quiet)
    before = _committed(target)
    while process.poll() is None and _committed(target) <= before:
      time.sleep(0.01)
    time.sleep(draw.uniform(0, 1.2))
    if process.poll() is not None:
      sys.exit(f'the run ended after {done} kills: give more --steps')
    process.kill()
    process.wait()
    done += 1
    partial = [int(path.name.split('.')[0]) for path in (target / 'checkpoints').iterdir() if 'tmp' in path.name]
    newer = [step for step in partial if step > _committed(target)]
    met += bool(newer)
    print(f'kill {done:>2} after checkpoint {_committed(target)}, partial {newer or "none"}', flush=True)
  subprocess.run(command(target, steps), check=True, **quiet)
  ends = [jax.tree.leaves(gan_jax.load(folder / name).state) for name in ('whole', 'killed')]
  same = all(np.array_equal(a, b) for a, b in zip(*ends, strict=True))
  print(f'{kills} kills, {met} restarts met a newer partial checkpoint; final states bit-equal: {same}')
  if not same or not met:
    sys.exit(1)


def _committed(workdir: pathlib.Path) -> int:
  if not (workdir / 'checkpoints').exists():
    return 0
  return max((int(path.name) for path in (workdir / 'checkpoints').iterdir() if path.name.isdigit()), default=0)


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--kills', type=int, default=20)
  parser.add_argument('--steps', type=int, default=2000)
  parser.add_argument('--seed', type=int, default=0)
  values = parser.parse_args()
  scratch = pathlib.Path(tempfile.mkdtemp(prefix='soak-'))
  try:
    soak(scratch, values.kills, values.steps, values.seed)
  finally:
    shutil.rmtree(scratch)
