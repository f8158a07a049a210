"""A run that is stopped anywhere ends bit for bit as one that is not."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax.runs.checkpoint import Checkpoints

HERE = pathlib.Path(__file__).parent
STEPS = 8


def start(workdir, *kind, steps=STEPS):
  return subprocess.Popen(
    [sys.executable, str(HERE / 'interrupted.py'), str(workdir), str(steps), *kind],
    cwd=HERE.parent,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(HERE.parent)},
  )


def assert_same_end(a, b):
  ends = [gan_jax.load(folder) for folder in (a, b)]
  assert ends[0].step == ends[1].step
  for x, y in zip(*(jax.tree.leaves(run.state) for run in ends), strict=True):
    np.testing.assert_array_equal(x, y)
  rows = []
  for folder in (a, b):
    lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    rows.append([{k: v for k, v in line.items() if 'per_second' not in k} for line in lines])
  assert rows[0] == rows[1]
  places = [Checkpoints(folder).place(ends[0].step) for folder in (a, b)]
  assert places[0] == places[1]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole') / 'run'
  process = start(folder)
  out, _ = process.communicate(timeout=200)
  assert process.returncode == 0, out
  return folder


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['step', 'write', 'commit'])
def test_kill_9(whole, tmp_path, kind):
  folder = tmp_path / 'run'
  process = start(folder, kind)
  out, _ = process.communicate(timeout=200)
  assert process.returncode == -signal.SIGKILL, out
  partial = [path.name for path in (folder / 'checkpoints').iterdir() if 'tmp' in path.name]
  # A kill inside a step may meet the save of the step before.
  assert partial or kind == 'step'
  steps = Checkpoints(folder).steps()
  if kind != 'step':
    assert all(int(name.split('.')[0]) > max(steps, default=0) for name in partial), (
      'it is newer than the last whole one'
    )
  process = start(folder)
  out, _ = process.communicate(timeout=200)
  assert process.returncode == 0, out
  assert ('resuming at step' in out) == bool(steps)
  assert_same_end(folder, whole)
  assert not [path for path in (folder / 'checkpoints').iterdir() if 'tmp' in path.name], 'what was partial is cleared'


@pytest.mark.parametrize('number', [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_finishes_the_step_and_saves(tmp_path, number):
  folder = tmp_path / 'run'
  process = start(folder, steps=100_000)
  limit = time.monotonic() + 120
  while not (folder / 'metrics.jsonl').exists() or len((folder / 'metrics.jsonl').read_text().splitlines()) < 3:
    assert time.monotonic() < limit and process.poll() is None
    time.sleep(0.05)
  process.send_signal(number)
  out, _ = process.communicate(timeout=100)
  assert process.returncode == 128 + number, out  # not 0: what would follow on a finished run must not
  step = gan_jax.load(folder).step
  assert f'{signal.Signals(number).name}: stopped after step {step} of 100000' in out and 'goes on from here' in out
  process = start(folder, steps=step + 3)
  out, _ = process.communicate(timeout=200)
  assert process.returncode == 0 and f'resuming at step {step}' in out, out
  process = start(tmp_path / 'whole', steps=step + 3)
  out, _ = process.communicate(timeout=200)
  assert process.returncode == 0, out
  runs = [gan_jax.load(tmp_path / name) for name in ('run', 'whole')]
  for x, y in zip(*(jax.tree.leaves(run.state) for run in runs), strict=True):
    np.testing.assert_array_equal(x, y)


def test_a_signal_late_in_a_step_is_kept_for_the_next(tmp_path):
  """One that comes after the step has decided what to save stops the run with the step's successor, saved.

  It comes twice, as from a scheduler that asks the process and its parent, who passes it on.
  """
  process = start(tmp_path / 'run', 'late', steps=100_000)
  out, _ = process.communicate(timeout=200)
  assert process.returncode == 128 + signal.SIGTERM, out
  step = gan_jax.load(tmp_path / 'run').step
  assert f'stopped after step {step} of 100000' in out and step == 4, out


@pytest.mark.parametrize(
  ('kind', 'number', 'step'),
  [('early', signal.SIGTERM, 0), pytest.param('insist', signal.SIGINT, 2, marks=pytest.mark.slow)],
)
def test_a_signal_before_the_first_step_and_ctrl_c_after_another_end_at_once(tmp_path, kind, number, step):
  process = start(tmp_path / 'run', kind, steps=100_000)
  out, _ = process.communicate(timeout=200)
  assert process.returncode == -number and 'Traceback' not in out, out
  # The checkpoint before may still have been written. What the first signal asked for was not.
  assert max(Checkpoints(tmp_path / 'run').steps(), default=0) in {0, step}
