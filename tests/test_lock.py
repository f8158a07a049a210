"""Two runs never write one folder."""

import datetime
import errno
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

import gan_jax
from gan_jax import config as config_lib
from gan_jax import main
from gan_jax.base.errors import UserError
from gan_jax.runs import lock
from gan_jax.training import loop as train

ROOT = pathlib.Path(gan_jax.__path__[0]).parent
SMALL = [
  '--config.game.generator.hidden=(8,)',
  '--config.game.discriminator.hidden=(8,)',
  '--config.batch_size=8',
  '--config.devices=1',
  '--config.samples=4',
  '--config.sample_every=0',
  '--config.steps=2',
]


def small(*more):
  return config_lib.override(config_lib.load('configs/gan.py:ring'), [*SMALL, *more])


def owner(process, host):
  return json.dumps(dict(process=process, host=host, since='2020-01-01 00:00:00'))


def dead_process():
  process = subprocess.Popen([sys.executable, '-c', ''])
  process.wait()
  return process.pid


def test_one_at_a_time(tmp_path):
  said = []
  with lock.held(tmp_path, said.append):
    assert json.loads((tmp_path / lock.FILE).read_text())['process'] == os.getpid()
    words = rf'in use by process {os.getpid()} on {socket.gethostname()}.*--workdir'
    with pytest.raises(UserError, match=words), lock.held(tmp_path, said.append):
      raise AssertionError('not refused')
    with pytest.raises(UserError, match='in use'):
      train.run(small(), tmp_path, silent=True)
  assert not (tmp_path / lock.FILE).exists() and not said
  with lock.held(tmp_path, said.append):
    pass
  assert not said


def test_a_killed_owner_is_followed_with_a_line(tmp_path):
  code = (
    'import os, pathlib, signal, sys; from gan_jax.runs import lock\n'
    'with lock.held(pathlib.Path(sys.argv[1]), print):\n'
    '  os.kill(os.getpid(), signal.SIGKILL)\n'
  )
  process = subprocess.run([sys.executable, '-c', code, str(tmp_path)], cwd=ROOT)
  assert process.returncode == -signal.SIGKILL and (tmp_path / lock.FILE).exists()
  said = []
  with lock.held(tmp_path, said.append):
    assert len(said) == 1 and 'did not end properly (process ' in said[0] and socket.gethostname() in said[0]


def test_a_store_without_locks_knows_the_living_of_this_host_only(tmp_path, monkeypatch):
  def no_locks(*_):
    raise OSError(errno.EOPNOTSUPP, 'Operation not supported')

  monkeypatch.setattr(lock.fcntl, 'flock', no_locks)
  here, said = socket.gethostname(), []
  with lock.held(tmp_path, said.append):
    assert ['cannot be locked (Operation not supported)' in line for line in said] == [True]
    with pytest.raises(UserError, match='in use'), lock.held(tmp_path, said.append):
      raise AssertionError('not refused')
  for text, words in (
    (owner(dead_process(), here), 'did not end properly'),
    (owner(1, 'elsewhere'), 'on elsewhere, since 2020-01-01 00:00:00): taking its place; if it still runs, stop it'),
  ):
    (tmp_path / lock.FILE).write_text(text)
    said.clear()
    with lock.held(tmp_path, said.append):
      assert words in said[-1]


def test_processes_of_one_run_share_the_lock_of_the_first(tmp_path, monkeypatch):
  with lock.held(tmp_path, print):
    monkeypatch.setattr(lock.processes, 'first', lambda: False)
    monkeypatch.setattr(lock.processes, 'broadcast', lambda value: 0.0)
    with lock.held(tmp_path, print):
      pass
    assert (tmp_path / lock.FILE).exists(), 'not released by one that did not take it'
    monkeypatch.setattr(lock.processes, 'broadcast', lambda value: 1.0)
    with pytest.raises(UserError, match='see the message of process 0'), lock.held(tmp_path, print):
      raise AssertionError('not refused')


def test_a_full_disk_leaves_the_lock_without_a_name(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(pathlib.Path, 'write_text', full)
  refused = pytest.raises(UserError, match='in use by another process')
  with lock.held(tmp_path, print), refused, lock.held(tmp_path, print):
    raise AssertionError('not refused')


def test_folders_without_a_name_differ_in_the_same_second(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)

  class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
      return cls(2020, 1, 2, 3, 4, 5)

  monkeypatch.setattr(main.datetime, 'datetime', Clock)
  with main._new_folder('runs/x') as a, main._new_folder('runs/x') as b:
    assert (str(a), str(b)) == ('runs/x-20200102-030405', 'runs/x-20200102-030405-2')
    (b / 'config.json').write_text('')
  assert not a.exists() and b.exists(), 'a start that fails leaves no empty folder'


def test_other_settings_are_refused_before_the_first_checkpoint(tmp_path):
  train.run(small('--config.steps=1'), tmp_path / 'run', silent=True)
  for checkpoint in (tmp_path / 'run' / 'checkpoints').iterdir():
    checkpoint.rename(tmp_path / checkpoint.name)
  with pytest.raises(UserError, match=r'config\.seed: 0 -> 3'):
    train.run(small('--config.seed=3'), tmp_path / 'run', silent=True)
