"""Several steps in one compiled call: the same numbers, the same examples, everything due on its step."""

import json
import os
import signal
import subprocess
import sys
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rows import IDS, ROWS, load_shrunk

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.core import compute
from gan_jax.data import streams
from gan_jax.data.feed import Feed
from gan_jax.distributed import interrupt, parallel
from gan_jax.runs import checkpoint
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import calls as calls_lib
from gan_jax.training import loop as train
from gan_jax.training import measured, writers
from gan_jax.training.calls import steps_of_call

KEY = jax.random.key(1)  # of key 0 an activation lies where its slope changes, so that rounding decides
#: (row, devices): batch norm, running averages, stages; memory, two streams, accumulation; a table, scratch, `when`.
CASES = [('gan:ring', 1)]
_SLOW = (
  ('dcgan:digits', 1),
  ('growing:default', 1),
  ('quickstart:', 2),
  ('accuracy:default', 2),
  ('pool:accumulate', 2),
)
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in _SLOW]


def leaves(tree):
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def small(*more, config='configs/gan.py:ring'):
  """Arguments of a run with narrow networks."""
  narrow = ['--config.game.generator.hidden=(8,)', '--config.game.discriminator.hidden=(8,)', '--config.batch_size=8']
  quiet = ['--config.devices=1', '--config.samples=4', '--config.sample_every=0']
  return config_lib.override(config_lib.load(config), [*narrow, *quiet, *more])


def started(stage, mesh, before=None):
  enter = parallel.compile_once(lambda s, k: runs.enter(stage, s, k), parallel.replicated(mesh))
  feed = Feed(stage.streams, stage.moves, 0, parallel.place(mesh), parallel.replicate(mesh))
  return enter(before, KEY), feed


@pytest.mark.parametrize(('name', 'devices'), CASES)
def test_a_call_of_three_steps_equals_three_calls(name, devices):
  mesh = parallel.make_mesh(devices)
  one = many = None
  for stage in runs.stages_of(load_shrunk(ROWS[IDS.index(name)])):
    # As in law 6, Adam blows up the rounding of gradients near 0, which differs between the two programs; with a wide
    # epsilon it does not, and the moments and the count are still compared.
    stage = stage._replace(optimizers={player: optax.adam(0.01, eps=0.1) for player in stage.optimizers})
    one, feed = started(stage, mesh, one)
    step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
    rows = []
    for _ in range(6):
      one, metrics = step(one, next(feed), KEY)
      rows.append(jax.device_get(metrics))
    position = feed.position
    many, feed = started(stage, mesh, many)
    steps = parallel.compile_step(runs.make_step(stage, mesh, 3), mesh)
    placed = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), many)
    donated, found = jax.tree.leaves(many), []
    for _ in range(2):
      many, metrics = steps(many, feed.take(3), KEY)
      assert all(value.shape == (3, 2) for value in metrics.values())
      found += [{k: np.asarray(v)[i] for k, v in metrics.items()} for i in range(3)]
    # Law 5, of the program of three steps.
    assert steps._cache_size() == 1, 'the second call compiled again'
    assert all(leaf.is_deleted() for leaf in donated), 'buffers are not donated'
    assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), many) == placed
    assert feed.position == position
    a, b = leaves((one, rows)), leaves((many, found))
    assert a.keys() == b.keys()
    for path in a:
      np.testing.assert_allclose(a[path], b[path], rtol=1e-5, atol=1e-6, err_msg=path)


def test_dense_networks_give_the_same_bits():
  mesh = parallel.make_mesh(1)
  (stage,) = runs.stages_of(small())
  one, feed = started(stage, mesh)
  step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
  for _ in range(8):
    one, _ = step(one, next(feed), KEY)
  many, feed = started(stage, mesh)
  many, _ = parallel.compile_step(runs.make_step(stage, mesh, 8), mesh)(many, feed.take(8), KEY)
  for path, value in leaves(one).items():
    np.testing.assert_array_equal(value, leaves(many)[path], err_msg=path)


def test_only_loops_over_convolutions_are_written_out():
  mesh = parallel.make_mesh(1)

  def loops(row, *more):
    (stage,) = runs.stages_of(config_lib.override(load_shrunk(row), list(more)))
    state = jax.eval_shape(lambda key: runs.new_state(stage, key), KEY)
    traced = jax.make_jaxpr(runs.make_step(stage, mesh, 3))(state, runs.abstract_feed(stage, mesh, 3), KEY)
    return {e.params['length']: e.params['unroll'] for e in traced.eqns if e.primitive.name == 'scan'}

  assert loops('configs/gan.py:ring') == {3: 1}
  assert loops('configs/dcgan.py:digits') == {3: 3}, 'XLA:CPU is slow at convolutions in loops'
  from gan_jax.nets.layers.conv import formulation

  with formulation('matmul'):
    assert loops('configs/dcgan.py:digits') == {3: 1}


def test_loops_over_flaxs_own_convolutions_are_written_out_for_their_gradients():
  layer, x = nn.Conv(2, (3, 3)), jnp.ones((1, 4, 4, 2))
  params = layer.init(KEY, x)
  loss = lambda params: layer.apply(params, x).sum()
  assert compute.unrolling(jax.make_jaxpr(loss)(params), 3) == 1  # its axes are in order
  assert compute.unrolling(jax.make_jaxpr(jax.grad(loss))(params), 3) == 3
  wide = lambda k: jax.lax.conv_general_dilated(
    x, k, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count=2
  )
  assert compute.unrolling(jax.make_jaxpr(wide)(jnp.ones((3, 3, 1, 2))), 3) == 3


def test_two_moves_are_a_loop_on_accelerators_and_give_the_same(monkeypatch):
  mesh = parallel.make_mesh(1)
  (stage,) = runs.stages_of(small('--config.game.discriminator_steps=2'))
  found, loops = [], []
  for backend in ('cpu', 'gpu'):
    state, feed = started(stage, mesh)
    step, given = runs.make_step(stage, mesh), next(feed)
    with monkeypatch.context() as patch:
      patch.setattr(jax, 'default_backend', lambda backend=backend: backend)
      traced = jax.jit(step).trace(state, given, KEY)
    loops.append([e.params['length'] for e in traced.jaxpr.eqns if e.primitive.name == 'scan'])
    found.append(leaves(traced.lower().compile()(state, given, KEY)))
  assert loops == [[], [2]]
  for path, value in found[0].items():
    np.testing.assert_allclose(value, found[1][path], rtol=1e-5, atol=1e-7, err_msg=path)


@pytest.mark.parametrize('resident', [True, False])
@pytest.mark.parametrize('process', [(0, 1), (1, 2)])
def test_examples_come_once_and_in_order_however_many_steps_are_taken(resident, process):
  stream = streams.Stream(name='digits', size=8, channels=1, classes=10, batch_size=20, resident=resident)
  mesh = parallel.make_mesh(2 if process == (0, 1) else 1)

  def taken(counts):
    feed = Feed(
      {'images': stream}, {'images': 2}, 0, parallel.place(mesh), parallel.replicate(mesh), None, process=process
    )
    rows = []
    for count in counts:
      given = feed.take(count) if count else next(feed)
      moves = {k: np.asarray(v) for k, v in given['moves']['images'].items()}
      share = 20 // process[1]
      assert all(v.shape[:3] == (count, 2, share) for v in moves.values()) if count else True
      rows += [{k: v[i] for k, v in moves.items()} for i in range(count)] if count else [moves]
      assert feed.position == {'images': 40 * len(rows)}
    feed.close()
    return {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}

  whole, mixed = taken([0] * 12), taken([3, 0, 0, 2, 2, 1, 0, 1])
  assert whole.keys() == mixed.keys()
  for name in whole:
    np.testing.assert_array_equal(whole[name], mixed[name])


def test_no_call_passes_over_a_step_that_is_due():
  def calls(most, last, *periods, first=0):
    n, found = first, []
    while n < last:
      count = steps_of_call(n, most, last, periods)
      assert count in (1, most)
      n += count
      found.append(n)
    return found

  assert calls(4, 10) == [4, 8, 9, 10]
  assert calls(4, 12, 6, 0) == [4, 5, 6, 10, 11, 12]
  assert calls(5, 20, 10, 20) == [5, 10, 15, 20]
  assert calls(5, 20, 10, first=3) == [8, 9, 10, 15, 20]
  assert calls(3, 5, 2) == [1, 2, 3, 4, 5]


def rows_of(folder):
  # The last step of a run has pictures, which a longer one need not have there.
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  return [{k: v for k, v in line.items() if 'per_second' not in k and k != 'sample_diversity'} for line in lines]


def assert_same_run(a, b):
  assert rows_of(a) == rows_of(b)
  ends = [checkpoint.Checkpoints(folder) for folder in (a, b)]
  assert ends[0].steps() == ends[1].steps()
  for step in ends[0].steps():
    assert ends[0].place(step) == ends[1].place(step)
    states = [leaves(gan_jax.load(folder, step).state) for folder in (a, b)]
    for path, value in states[0].items():
      np.testing.assert_array_equal(value, states[1][path], err_msg=f'step {step}: {path}')


RUN = ['--config.log_every=6', '--config.checkpoint_every=10', '--config.keep=9', '--config.steps=27']


@pytest.mark.parametrize(
  'more',
  [[], pytest.param(['--config.data.resident=False'], marks=pytest.mark.slow)],
  ids=['resident', 'read'],
)
def test_a_run_is_the_same_run_and_may_change_its_calls_when_resumed(tmp_path, capsys, more):
  train.run(small(*RUN, *more), tmp_path / 'one', silent=True)
  train.run(small(*RUN, *more, '--config.steps_per_call=4'), tmp_path / 'four')
  assert 'first 4 steps after' in capsys.readouterr().out
  assert [row['step'] for row in rows_of(tmp_path / 'four')] == [6, 10, 12, 18, 20, 24, 27]
  assert_same_run(tmp_path / 'one', tmp_path / 'four')
  short = [*RUN[:-1], *more]
  train.run(small(*short, '--config.steps=10', '--config.steps_per_call=5'), tmp_path / 'changed', silent=True)
  train.run(small(*short, '--config.steps=27', '--config.steps_per_call=3'), tmp_path / 'changed', silent=True)
  assert_same_run(tmp_path / 'one', tmp_path / 'changed')


@pytest.mark.slow
def test_stages_end_on_their_step(tmp_path):
  row = ROWS[IDS.index('growing:default')]
  quiet = ['--config.log_every=50', '--config.checkpoint_every=0', '--config.devices=1']
  ends = []
  for calls in (1, 2):
    config = config_lib.override(load_shrunk(row), [*quiet, f'--config.steps_per_call={calls}'])
    ends.append(leaves(train.run(config, tmp_path / str(calls), silent=True)))
  places = [checkpoint.Checkpoints(tmp_path / calls).place(6) for calls in '12']
  assert places[0] == places[1]
  for path, value in ends[0].items():
    np.testing.assert_allclose(value, ends[1][path], rtol=1e-4, atol=1e-5, err_msg=path)


def test_a_signal_is_noticed_between_calls(tmp_path, monkeypatch):
  original = writers.Writer.metrics

  def metrics(self, step, *arguments):
    if step == 10:
      os.kill(os.getpid(), signal.SIGTERM)
    original(self, step, *arguments)

  monkeypatch.setattr(writers.Writer, 'metrics', metrics)
  many = ['--config.log_every=10', '--config.checkpoint_every=0', '--config.steps_per_call=5']
  with pytest.raises(interrupt.Stopped) as stop:
    train.run(small(*many, '--config.steps=100'), tmp_path / 'run', silent=True)
  assert stop.value.code == 143 and gan_jax.load(tmp_path / 'run').step == 15
  monkeypatch.setattr(writers.Writer, 'metrics', original)
  state = train.run(small(*many, '--config.steps=30'), tmp_path / 'run', silent=True)
  whole = train.run(small('--config.steps=30', '--config.log_every=10'), tmp_path / 'whole', silent=True)
  for path, value in leaves(whole).items():
    np.testing.assert_array_equal(value, leaves(state)[path], err_msg=path)


def test_metrics_do_not_wait_on_the_device_without_end(tmp_path, monkeypatch):
  config = small('--config.log_every=40', '--config.steps=40')
  train.run(config, tmp_path / 'late', silent=True)
  sizes, original = [], measured.Measured._fetch
  monkeypatch.setattr(measured, 'MOST_PENDING', 12)
  monkeypatch.setattr(measured.Measured, '_fetch', lambda self: sizes.append(len(self._pending)) or original(self))
  train.run(config, tmp_path / 'often', silent=True)
  assert sizes == [12, 12, 12, 4]
  assert rows_of(tmp_path / 'late') == rows_of(tmp_path / 'often')


def test_calls_that_never_fit_are_told(tmp_path, capsys):
  train.run(small('--config.steps=4', '--config.log_every=2', '--config.steps_per_call=3'), tmp_path / 'run')
  assert 'config.steps_per_call=3 has no effect: every 2 steps' in capsys.readouterr().out


@pytest.mark.slow
def test_a_trace_of_some_steps(tmp_path, capsys):
  settings = ['--config.log_every=5', '--config.steps=15']
  train.run(small(*settings, '--config.profile=3'), tmp_path / 'run')
  said = capsys.readouterr().out
  assert '3 steps in ' in said and f'tensorboard --logdir {tmp_path / "run" / "profile"}' in said
  files = [file.name for file in (tmp_path / 'run' / 'profile').rglob('*') if file.is_file() and file.stat().st_size]
  assert any(name.endswith('.xplane.pb') for name in files) and any(name.endswith('.trace.json.gz') for name in files)
  # It may be asked of a run that goes on; one that is too short says so.
  train.run(small('--config.log_every=5', '--config.steps=18', '--config.profile=2'), tmp_path / 'run')
  assert 'no trace: it begins after 10 steps, this run had 3' in capsys.readouterr().out
  train.run(small(*settings, '--config.profile=50', '--config.steps_per_call=5'), tmp_path / 'short')
  assert '5 steps in ' in capsys.readouterr().out, 'the run ended before the trace'


def test_game_means_are_per_step():
  rows = measured.Measured(experiment_of(small()), list)
  rows.add(3, 2, {'loss': np.array([[2.0, 1.0], [6.0, 2.0]]), 'rare': np.array([[0.0, 0.0], [1.0, 1.0]])})
  assert rows.row() == {'loss': 2.5, 'rare': 1.0}
  assert core.means({'loss': np.array([2.0, 1.0])}) == {'loss': 2.0}


def test_what_was_freed_is_given_back():
  """As many small pieces as a compiler leaves, one in a thousand of which is still in use."""
  script = """
import sys
from typing import NamedTuple
from gan_jax import memory
resident = lambda: next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')) / 1024
pieces = [bytearray(20000 + i % 7) for i in range(10000)]
kept = pieces[::1000]
del pieces
before = resident()
memory.release()
sys.exit(not before - resident() > 50)
"""
  if not os.path.exists('/proc/self/status'):
    pytest.skip('not Linux')
  assert subprocess.run([sys.executable, '-c', script]).returncode == 0


@pytest.mark.parametrize(('seconds', 'most'), [(10.0, 2), (0.3, 3), (0.01, 100)])
def test_the_host_is_no_more_than_a_second_ahead_of_the_device(monkeypatch, seconds, most):
  """Or a signal waits for all calls that JAX has taken on: minutes, where many slow steps make a call."""
  clock, ended = [0.0], [0]

  class Call(NamedTuple):
    number: int

  def wait(call):
    clock[0] += seconds * (call.number + 1 - ended[0])
    ended[0] = call.number + 1

  monkeypatch.setattr(calls_lib.jax, 'block_until_ready', wait)
  monkeypatch.setattr(calls_lib.time, 'perf_counter', lambda: clock[0])
  ahead, waiting = calls_lib.Ahead(), []
  for number in range(400):
    ahead.add(Call(number))
    waiting.append(number + 1 - ended[0])
  assert max(waiting[:3]) <= 2 and max(waiting) == most == waiting[-1]
