"""Real processes on this machine, two simulated devices each, against one process."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from etils import epath
from PIL import Image

import gan_jax
from gan_jax import config as config_lib
from gan_jax.base import flags as flag_lib
from gan_jax.base.errors import UserError
from gan_jax.data import alike, feed, sources
from gan_jax.data.streams import Stream
from gan_jax.distributed import interrupt, parallel, processes
from gan_jax.evaluation import reference
from gan_jax.runs import lock
from gan_jax.sampling import sampler
from gan_jax.training import loop as train

ROW = 'configs/dcgan.py:digits'
SMALL = ['--config.game.generator.channels=(8,8,8)', '--config.game.discriminator.channels=(8,8,8)']
SMALL += ['--config.batch_size=16', '--config.samples=9', '--config.log_every=1', '--config.sample_every=0']
#: Rows of metrics of two runs agree but for their speed.
SPEEDS = ('steps_per_second', 'images_per_second')


def port():
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return free.getsockname()[1]


def start(workdir, *settings, count=2, row=ROW, small=SMALL, each=()):
  """The processes of one run, each writing what it says to WORKDIR.log.NUMBER."""
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2'}
  command = [sys.executable, '-m', 'gan_jax.main', '--config', row, '--workdir', str(workdir), *small, *settings]
  command += ['--coordinator', f'127.0.0.1:{port()}', '--processes', str(count)]
  started = []
  for number in range(count):
    with open(f'{workdir}.log.{number}', 'w') as log:
      one = [*command, *(each[number] if each else ()), '--process', str(number)]
      started.append(subprocess.Popen(one, env=environment, stdout=log, stderr=subprocess.STDOUT))
  return started


def said(workdir, number=0):
  return pathlib.Path(f'{workdir}.log.{number}').read_text()


def finished(workdir, started, code=0):
  codes = [process.wait(250) for process in started]
  assert codes == [code] * len(codes), said(workdir) + said(workdir, 1)


def rows(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [{k: v for k, v in json.loads(line).items() if k not in SPEEDS} for line in lines]


def alone(workdir, *settings, row=ROW, small=SMALL):
  config = config_lib.override(config_lib.load(row), [*small, '--config.devices=4', *settings])
  return train.run(config, workdir, silent=True)


def assert_same(a, b):
  a, b = ({jax.tree_util.keystr(p): np.asarray(x) for p, x in jax.tree_util.tree_leaves_with_path(t)} for t in (a, b))
  assert a.keys() == b.keys()
  for name in a:
    np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture(scope='module')
def two(tmp_path_factory):
  """A run of two processes, four steps, and the same of one process."""
  folder = tmp_path_factory.mktemp('processes')
  settings = ['--config.steps=4', '--config.checkpoint_every=2', '--config.ema={"generator": 0.9}']
  settings += ['--config.eval.every=4', "--config.eval.metrics=('fid',)", '--config.eval.features=raw']
  settings += ['--config.eval.samples=200']
  started = start(folder / 'two', *settings)
  if any(process.wait(250) for process in started) and 'Gloo context initialization failed' in said(folder / 'two'):
    # On a busy machine one process may compile for longer than the 30 s that the other waits to be met.
    shutil.rmtree(folder / 'two')
    started = start(folder / 'two', *settings)
  finished(folder / 'two', started)
  return folder, alone(folder / 'one', *settings), settings


@pytest.mark.timeout(400)
def test_two_processes_train_what_one_does(two):
  folder, one, _ = two
  assert_same(gan_jax.load(folder / 'two').state, one)
  ours, theirs = rows(folder / 'two'), rows(folder / 'one')
  assert len(ours) == len(theirs) == 4
  for a, b in zip(ours, theirs, strict=True):
    assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
  assert 'eval_fid' in ours[-1] and 'sample_diversity' in ours[-1]
  names = lambda kind: sorted(p.relative_to(folder / kind).as_posix() for p in (folder / kind).rglob('*.png'))
  assert names('two') == names('one') != []
  assert 'devices   4 x cpu' in said(folder / 'two') and 'step ' not in said(folder / 'two', 1)


@pytest.mark.timeout(400)
def test_one_process_goes_on_from_what_two_saved(two):
  folder, _, settings = two
  shutil.copytree(folder / 'two', folder / 'more')
  more = [*settings, '--config.steps=6', '--config.eval.every=0']
  ours, theirs = alone(folder / 'more', *more), alone(folder / 'six', *more)
  assert int(ours.step) == 6
  assert_same(ours, theirs)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_signal_to_one_stops_all_after_a_save(tmp_path):
  workdir = tmp_path / 'run'
  settings = '--config.steps=100000', '--config.shard_state=true', '--config.log_every=5'
  started = start(
    workdir, *settings, row='configs/gan.py:ring', small=['--config.batch_size=16', '--config.sample_every=0']
  )
  until = time.time() + 200
  while not (workdir / 'metrics.jsonl').exists() and started[0].poll() is None and time.time() < until:
    time.sleep(0.2)
  started[1].send_signal(signal.SIGTERM)
  finished(workdir, started, 128 + signal.SIGTERM)
  run = gan_jax.load(workdir)
  assert f'a signal to another process: stopped after step {run.step} of 100000' in said(workdir)
  assert 0 < run.step == int(run.state.step) < 100000


def test_what_is_drawn_is_counted_over_all_processes(two):
  folder, _, _ = two
  from gan_jax.runs.checkpoint import Checkpoints

  checkpoints = Checkpoints(folder / 'two')
  assert checkpoints.place(4).position == {'images': 64}
  checkpoints.close()


def join(*arguments):
  values = flags.FlagValues()
  flag_lib.define_processes(values)
  values(['program', *arguments])
  processes.join(**flag_lib.processes(values))


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (('--process=1',), 'give --coordinator, --processes too'),
    (('--coordinator=a:1', '--processes=2'), 'give --process too'),
    (('--coordinator=a:1', '--processes=2', '--process=2'), '--process=2 of --processes=2: count from 0'),
    (('--distributed', '--coordinator=a:1', '--processes=2', '--process=0'), 'leave out --distributed'),
  ],
)
def test_flags_that_do_not_fit_together(arguments, words):
  with pytest.raises(UserError, match=words):
    join(*arguments)


def test_a_launcher_without_the_flag_is_an_error(monkeypatch):
  """Each process would train the whole run, in the same folder."""
  join()
  monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '4')
  with pytest.raises(UserError, match=r'srun started 4 processes.*give --distributed'):
    join()


def test_alone_everything_is_decided_at_once():
  assert processes.alone() and processes.first()
  assert processes.broadcast(2.5) == 2.5
  processes.barrier('nothing')
  watch = interrupt.Watch()
  agreement = processes.Agreement(watch)
  assert not agreement.after(1)
  watch.stopped = 'SIGTERM'
  assert agreement.stopped == '' and agreement.after(2) and agreement.stopped == 'SIGTERM'


def test_all_look_after_the_same_steps(monkeypatch):
  """Process 0 says when: here steps of it take no time at all, so all look again many steps later."""
  looks, watch = [], interrupt.Watch()
  monkeypatch.setattr(processes, 'alone', lambda: False)
  monkeypatch.setattr(processes, 'all_gather', lambda row: looks.append(row) or np.array([row, [len(looks) == 3, 1.0]]))
  monkeypatch.setattr(processes.time, 'perf_counter', lambda: 0.05 * now)
  now, at = 0, []
  agreement = processes.Agreement(watch)
  for now in range(1, 60):
    before = len(looks)
    stop = agreement.after(now)
    at += [now] if len(looks) > before else []
    if stop:
      break
  assert at == [1, 21, 41], 'every 20 steps of 0.05 seconds'
  assert agreement.stopped == 'a signal to another process'


def test_devices_must_be_all_where_there_are_several_processes(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  with pytest.raises(
    UserError, match=r'config\.devices=1 but 2 processes must use all of their 8 devices: set it to 0'
  ):
    parallel.make_mesh(1)


@pytest.fixture
def second(monkeypatch):
  """As if this was process 1 of two, of which process 0 says what `said` is set to."""
  said = {}
  monkeypatch.setattr(processes, 'alone', lambda: False)
  monkeypatch.setattr(processes, 'all_gather', lambda value: np.array([said.get('zero', value), value], np.float32))
  return said


def test_processes_that_differ_do_not_train(second, tmp_path, monkeypatch):
  processes.check_alike('settings', 'a', 'start one command')
  with processes.together('begin'):
    pass
  second['zero'] = 1
  with pytest.raises(UserError, match='the processes have different settings: start one command'):
    processes.check_alike('settings', 'a', 'start one command')
  with pytest.raises(UserError, match='process 0 could not begin: see its message'), processes.together('begin'):
    pass
  with pytest.raises(KeyError, match='own'), processes.together('begin'):
    raise KeyError('own')
  monkeypatch.setattr(lock, 'SEEN', 1)
  monkeypatch.setattr(processes, 'first', lambda: False)
  monkeypatch.setattr(processes, 'broadcast', lambda value: 0.0)
  refused = pytest.raises(UserError, match='is not one folder for all processes')
  with refused, lock.held(epath.Path(tmp_path), lambda line: None):
    pass


def test_a_set_is_the_same_wherever_its_files_are(tmp_path):
  for place in ('one', 'two', 'less'):
    for i in range(4 - (place == 'less')):
      (tmp_path / place / 'cat').mkdir(parents=True, exist_ok=True)
      Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / place / 'cat' / f'{i}.png')
  of = lambda place: alike.seen(Stream(name='folder', path=str(tmp_path / place), size=8, channels=1))
  assert of('one') == of('two') != of('less')
  shutil.copytree(tmp_path / 'one', tmp_path / 'other')
  Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / 'other' / 'cat' / '1.png')
  assert of('other') != of('one')
  digits = lambda split: alike.seen(Stream(name='digits', split=split, size=8, channels=1))
  assert digits('train') == digits('train') != digits('test')


def test_tables_and_arrays_of_other_contents_are_other_sets(tmp_path):
  """A class would be another one in each process, and nothing would say so."""
  columns = {'image': {'name': 'Picture'}, 'label': {'name': 'Label', 'classes': 2}}
  of = lambda path, **more: alike.seen(Stream(name='folder', path=str(tmp_path / path), size=8, channels=1, **more))
  for place, labels in (('a/t', 'xyxy'), ('b/u', 'xyxy'), ('c/t', 'yxxy')):
    (tmp_path / place).mkdir(parents=True)
    rows = [{'file_name': f'{i}.png', 'label': label} for i, label in enumerate(labels)]
    (tmp_path / place / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    for i in range(4):
      Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / place / f'{i}.png')
  assert of('a/t', columns=columns) == of('b/u', columns=columns) != of('c/t', columns=columns)
  assert of('a/t') == of('b/u') == of('c/t'), 'nothing reads the labels'
  pictures = np.random.RandomState(0).randint(0, 256, (20, 8, 8, 1)).astype(np.uint8)
  for name, changed in (('one', 0), ('two', 0), ('other', 1)):
    np.savez(tmp_path / f'{name}.npz', image=pictures + np.uint8(changed) * (np.arange(20) == 7)[:, None, None, None])
  arrays = lambda name: alike.seen(Stream(name='npz', path=str(tmp_path / f'{name}.npz'), size=8, channels=1))
  assert arrays('one') == arrays('two') != arrays('other')


def test_sets_that_are_compared_with_samples_are_the_same_in_all_processes(second, tmp_path):
  stream = Stream(name='digits', size=8, channels=1)
  alike.check_same([stream])
  second['zero'] = 1
  refused = lambda: pytest.raises(UserError, match='process 0 could not read the data')
  with refused():
    alike.check_same([stream], 'data to evaluate with')
  with refused():
    reference.reference_scores(stream, None)


def test_workers_are_deaf_to_signals_to_their_group():
  names = ('SIGTERM', 'SIGINT', 'SIGHUP')
  before = {name: signal.getsignal(getattr(signal, name)) for name in names}
  try:
    feed._deaf(0, 1)
    assert {signal.getsignal(getattr(signal, name)) for name in names} == {signal.SIG_IGN}
  finally:
    for name, handler in before.items():
      signal.signal(getattr(signal, name), handler)


class Whatever:
  """Of a user, whose attributes mean what they mean to him."""

  def __init__(self, drawn_anew=False, **attributes):
    self.__dict__.update(attributes)
    self._random = np.random.RandomState(0) if drawn_anew else None

  def __len__(self):
    return 5

  def __getitem__(self, index):
    return {'image': np.full(2, index) if self._random is None else self._random.rand(2)}


def test_a_source_may_have_any_attributes(tmp_path):
  (tmp_path / 'a.bin').write_bytes(b'123')
  for attributes in (
    dict(contents=np.ones(3)), dict(contents=['a']), dict(identity=lambda: 'me'), dict(files={'a': 1}),
    dict(files=[tmp_path / 'a.bin']), dict(files=[tmp_path / 'a.bin', pathlib.Path(__file__)], root='x'),
  ):  # fmt: skip
    assert sources.content(Whatever(**attributes)) == sources.content(Whatever(**attributes))
    assert sources.fingerprint(Whatever(**attributes)) == sources.fingerprint(Whatever(**attributes))
  assert sources.content(Whatever(drawn_anew=True)) == sources.content(Whatever(drawn_anew=True))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_error_of_one_ends_all_at_once(tmp_path):
  for i in range(40):
    for place in ('zero', 'one'):
      (tmp_path / place).mkdir(exist_ok=True)
      Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / place / f'{i:02d}.png')
  data = [
    '--config.data.name=folder',
    '--config.data.size=8',
    '--config.data.channels=1',
    '--config.data.resident=false',
  ]
  workdir = tmp_path / 'run'
  settings = [*data, '--config.steps=100000', '--config.log_every=5']
  paths = [[f'--config.data.path={tmp_path / place}'] for place in ('zero', 'one')]
  small = [text.replace('8,8,8', '8,8') for text in SMALL]
  started = start(workdir, *settings, row='configs/quickstart.py', small=small, each=paths)
  until = time.time() + 200
  while not (workdir / 'metrics.jsonl').exists() and started[0].poll() is None and time.time() < until:
    time.sleep(0.2)
  (tmp_path / 'one' / '05.png').unlink()
  assert started[1].wait(60) == 2 and 'cannot be read' in said(workdir, 1)
  assert started[0].wait(60) == 1 and 'error: ' in said(workdir)


def test_what_other_processes_have_too_is_sampled_here():
  whole = jnp.ones(3)
  assert sampler._local(whole) is whole and sampler._local(2) == 2
  assert parallel.one_device().devices.flat[0] == jax.local_devices()[0]
