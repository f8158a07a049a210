"""The laws that every game must pass, a row for each shipped config and probe game."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from rows import GIANT, IDS, LATER, ROWS, load_shrunk, shrunk

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, main, runs
from gan_jax.data.streams import Feed, make_prepare
from gan_jax.distributed import parallel
from gan_jax.latents import distributions as latents
from gan_jax.nets.layers.conv import formulation
from gan_jax.runs.checkpoint import Checkpoints

KEY = jax.random.key(0)
PLATFORMS = ('cpu', 'cuda', 'tpu')
_marks = [pytest.mark.slow if row in LATER else () for row in ROWS]
PLAYED = [pytest.param(row, id=name, marks=marks) for row, name, marks in zip(ROWS, IDS, _marks, strict=True)]
RUN = [pytest.param(i, id=name, marks=marks) for i, (name, marks) in enumerate(zip(IDS, _marks, strict=True))]
FULL = [
  pytest.param(row, id=name, marks=pytest.mark.slow if row in GIANT else ())
  for row, name in zip(ROWS, IDS, strict=True)
]
#: Rows whose runs are resumed in the fast suite: batch norm, spectral norm, a table, a memory, stages, three players.
_RESUMED = ('dcgan:digits', 'sndcgan:digits', 'began:default', 'pool:default', 'growing:default', 'triple:default')
RESUMED = [pytest.param(i, id=name, marks=() if name in _RESUMED else pytest.mark.slow) for i, name in enumerate(IDS)]


def leaves(tree):
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def assert_equal(a, b, where=''):
  a, b = leaves(a), leaves(b)
  assert a.keys() == b.keys()
  for name in a:
    np.testing.assert_array_equal(a[name], b[name], err_msg=where + name)


def changed(a, b):
  a, b = leaves(a), leaves(b)
  return a.keys() != b.keys() or any(not np.array_equal(a[name], b[name]) for name in a)


@functools.lru_cache(maxsize=1)
def started(row):
  """(stages, {stage number: (mesh, state on entering, feed)}) of a shrunk config on two devices."""
  config = load_shrunk(row)
  stages = runs.stages_of(config)
  mesh = parallel.make_mesh(2)
  state, begun = None, {}
  for stage in stages:
    enter = parallel.compile_once(lambda s, k, stage=stage: runs.enter(stage, s, k), parallel.replicated(mesh))
    state = enter(state, KEY)
    begun[stage.number] = (state, Feed(stage.streams, stage.moves, 0, parallel.place(mesh), parallel.replicate(mesh)))
  return stages, mesh, begun


def parts(row):
  stages, mesh, begun = started(row)
  for stage in stages:
    state, feed = begun[stage.number]
    yield stage, mesh, jax.tree.map(jnp.copy, state), feed


@pytest.mark.parametrize('row', FULL)
def test_law_1_full_size_shapes_and_lowering(row):
  stages = runs.stages_of(config_lib.load(row))
  mesh = parallel.make_mesh(1)
  for stage in stages:
    state = runs.abstract_state(stages, stage.number, KEY)
    step = runs.make_step(stage, mesh)
    feed = runs.abstract_feed(stage, mesh)
    after, metrics = jax.eval_shape(step, state, feed, KEY)
    assert jax.tree.map(lambda s: (s.shape, s.dtype), after) == jax.tree.map(lambda s: (s.shape, s.dtype), state)
    assert {method for turn in stage.game.turns for method in turn.methods} <= set(metrics)
    traced = jax.jit(step).trace(state, feed, KEY)
    for platform in PLATFORMS:
      assert traced.lower(lowering_platforms=(platform,))


@pytest.mark.parametrize('row', ROWS, ids=IDS)
def test_law_2_every_network_has_an_owner_and_every_player_an_optimizer(row):
  stages = runs.stages_of(load_shrunk(row))
  for stage in stages:
    players, frozen = core.players_of(stage.game), core.frozen_players(stage.game)
    assert set(stage.optimizers) == set(players) - set(frozen)
    fresh = jax.eval_shape(lambda key, stage=stage: runs.new_state(stage, key), KEY)
    for name in players:
      assert all(core.owner(child, players) == name for child in fresh.players[name].params)


@pytest.mark.parametrize('row', PLAYED)
def test_laws_3_and_5_all_move_all_is_finite_nothing_compiles_twice(row):
  for stage, mesh, state, feed in parts(row):
    before = jax.tree.map(np.array, state)  # a view would keep the buffers from being donated
    placed = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state)
    step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
    donated = jax.tree.leaves(state)
    total = {}
    for _ in range(2):
      state, metrics = step(state, next(feed), KEY)
      for name, value in metrics.items():
        total[name] = total.get(name, 0) + np.asarray(value)
    assert step._cache_size() == 1, 'the second call compiled again'
    assert all(leaf.is_deleted() for leaf in donated), 'buffers are not donated'
    assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state) == placed
    assert all(np.isfinite(value).all() for value in (*leaves(state).values(), *total.values()))
    assert all(total[method][1] > 0 for turn in stage.game.turns for method in turn.methods), 'a turn was never played'
    for name in core.players_of(stage.game):
      moved = changed(before.players[name].params, state.players[name].params)
      if name in core.frozen_players(stage.game):
        assert_equal(before.players[name], state.players[name], f'frozen {name}')
      else:
        assert moved, f'{name} did not move'


@pytest.mark.parametrize('row', PLAYED)
def test_law_4_one_turn_changes_its_movers_and_nothing_else(row):
  for stage, _, state, feed in parts(row):
    prepare = make_prepare(stage.streams)
    given = next(feed)
    for turn in stage.game.turns:
      batch = {name: prepare(given, name, 0, KEY) for name in core.turn_streams(turn, stage.streams)}
      if stage.game.latents is not None:
        batch['latents'] = latents.draw(stage.game.latents, KEY, stage.batch_size)

      @jax.jit
      def move(state, batch, turn=turn, stage=stage):
        return core.play(
          stage.game, stage.optimizers, turn, state, batch, KEY, ema=stage.ema, compute=core.Compute(stage.accumulate)
        )

      after, metrics = move(state, batch)
      assert all(np.isfinite(metrics[method]) for method in turn.methods)
      for name, player in state.players.items():
        if name in turn.movers:
          assert changed(player.params, after.players[name].params), f'{name} did not move'
        else:
          assert_equal(player, after.players[name], f'{turn.title} touched {name}')
      assert after.step == state.step
      state = after  # later turns may read what this one left in scratch


@pytest.fixture(scope='module')
def trained(tmp_path_factory, request):
  """Law 9's runs, law 8's copies of them stopped half-way, and one new process that finishes all the copies."""
  folder = tmp_path_factory.mktemp('runs')
  wanted = [item for item in request.session.items if item.module is request.module]
  of_law = lambda name: {item.callspec.params['number'] for item in wanted if item.originalname.startswith(name)}
  resumed = sorted(of_law('test_law_8'))
  for number in sorted({*resumed, *of_law('test_law_9')}):
    row = ROWS[number]
    whole, half = folder / f'{number}-whole', folder / f'{number}-half'
    main.main(['--config', row, '--workdir', str(whole), *shrunk(row), '--config.devices=1'])
    if number not in resumed:
      continue
    half.mkdir()
    shutil.copy(whole / 'config.json', half)
    (half / 'checkpoints').mkdir()
    shutil.copytree(whole / 'checkpoints' / '2', half / 'checkpoints' / '2')
  script = (
    'import conftest, sys, json\n'
    'from gan_jax.runs import run_config; from gan_jax.training import loop as train\n'
    'for folder in sys.argv[1:]:\n'
    '  train.run(run_config.read_config(folder), folder, silent=True)\n'
  )
  halves = [str(folder / f'{number}-half') for number in resumed]
  here = pathlib.Path(__file__).parent
  if halves:
    subprocess.run([sys.executable, '-c', script, *halves], cwd=here, check=True, timeout=900)
  return folder


@pytest.mark.timeout(1200)
@pytest.mark.parametrize('number', RESUMED)
def test_law_8_a_resumed_run_ends_bit_equal(trained, number):
  ends = []
  for kind in ('whole', 'half'):
    checkpoints = Checkpoints(trained / f'{number}-{kind}')
    place = checkpoints.place(checkpoints.steps()[-1])
    ends.append((place, gan_jax.load(trained / f'{number}-{kind}').state))
    checkpoints.close()
  assert ends[0][0] == ends[1][0]
  assert ends[0][0].step == ends[0][1].step
  assert_equal(ends[0][1], ends[1][1])
  rows = [(trained / f'{number}-{kind}' / 'metrics.jsonl').read_text().splitlines() for kind in ('whole', 'half')]
  last = [{k: v for k, v in json.loads(lines[-1]).items() if 'per_second' not in k} for lines in rows]
  assert last[0] == last[1]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize('number', RUN)
def test_law_9_it_runs_writes_and_reads_back(trained, number):
  workdir = trained / f'{number}-whole'
  metrics = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  stages = runs.stages_of(load_shrunk(ROWS[number]))
  assert metrics[-1]['step'] == stages[-1].last_step
  assert any(file.stat().st_size for file in (workdir / 'tensorboard').iterdir())
  pictures = sorted((workdir / 'samples').glob('*.png'))
  assert pictures and all(Image.open(file).size[0] > 100 for file in pictures)
  run = gan_jax.load(workdir)
  inputs = None
  if run.stage.game.latents is None:
    inputs = {
      name: {k: np.zeros(v.shape, v.dtype) for k, v in stream.fields(9).items()}
      for name, stream in run.stage.streams.items()
    }
  nine, three = run.sample(9, seed=5, inputs=inputs), run.sample(3, seed=5, inputs=inputs)
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:3], b), nine, three)
  assert all(np.std(array, axis=0).max() > 0 for array in jax.tree.leaves(nine)), 'all samples are alike'
  if inputs is None:
    assert changed(nine, run.sample(9, seed=6))


def _covering(fast, slow):
  marks = dict.fromkeys(fast, ()) | dict.fromkeys(slow, pytest.mark.slow)
  return [pytest.param(ROWS[IDS.index(name)], id=name, marks=mark) for name, mark in marks.items()]


#: Batch norm, no coupling of examples, accumulation, a table; `when`, three players.
COVERING = _covering(
  ('dcgan:digits', 'gan:ring', 'pool:accumulate', 'began:default'), ('accuracy:default', 'triple:default')
)


def _descended(config, devices):
  """The state and the metrics after a step of every stage, on the host."""
  mesh = parallel.make_mesh(devices)
  state, ends = None, []
  for stage in runs.stages_of(config):
    # Plain descent, so that parameters show the gradients; Adam would blow up the noise of those near 0.
    stage = stage._replace(optimizers={name: optax.sgd(0.1) for name in stage.optimizers})
    enter = parallel.compile_once(lambda s, k, stage=stage: runs.enter(stage, s, k), parallel.replicated(mesh))
    state = enter(state, KEY)
    feed = Feed(stage.streams, stage.moves, 0, parallel.place(mesh), parallel.replicate(mesh))
    step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
    state, metrics = step(state, next(feed), KEY)
    ends.append(jax.device_get((state, metrics)))
  return ends


def _assert_close(a, b, rtol, atol, where):
  a, b = leaves(a), leaves(b)
  assert a.keys() == b.keys()
  for name in a:
    np.testing.assert_allclose(a[name], b[name], rtol=rtol, atol=atol, err_msg=f'{where}: {name}')


@pytest.mark.parametrize('row', COVERING)
def test_law_6_one_device_equals_two_equals_eight(row):
  config = config_lib.override(load_shrunk(row), ['--config.batch_size=16'])
  for name in config.data:
    if hasattr(config.data[name], 'keys') and config.data[name].get('batch_size'):
      config.data[name].batch_size = 16
  one = _descended(config, 1)
  for devices in (2, 8):
    _assert_close(one, _descended(config, devices), 1e-5, 1e-6, f'{devices} devices')


def _flops(row, batch, devices):
  config = config_lib.override(load_shrunk(row), [f'--config.batch_size={batch}'])
  stages = runs.stages_of(config)
  mesh = parallel.make_mesh(devices)
  place = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh))
  state = jax.tree.map(place, runs.abstract_state(stages, 0, KEY))
  step = parallel.compile_step(runs.make_step(stages[0], mesh), mesh)
  compiled = step.lower(state, runs.abstract_feed(stages[0], mesh), KEY).compile()
  return compiled.cost_analysis()['flops']


@pytest.mark.parametrize('row', _covering(('dcgan:digits',), ('gan:ring',)))
def test_law_7_work_scales(row):
  added = {devices: _flops(row, 128, devices) - _flops(row, 64, devices) for devices in (1, 8)}
  assert 0 < added[8] <= added[1] / 7


def _traced(row, kind):
  """What convolutions a step of the shrunk config computes on one CPU device: (XLA's own, matrix products)."""
  stages = runs.stages_of(load_shrunk(row))
  mesh = parallel.make_mesh(1)
  with formulation(kind):
    step, feed = runs.make_step(stages[-1], mesh), runs.abstract_feed(stages[-1], mesh)
    text = str(jax.make_jaxpr(step)(runs.abstract_state(stages, len(stages) - 1, KEY), feed, KEY))
  return text.count('conv_general_dilated'), text.count('dot_general')


#: Strided and transposed convolutions with batch norm; spectral norm; residual blocks, up and down; attention; 3x3.
CONVOLVED = _covering(
  ('dcgan:digits',), ('sndcgan:digits', 'sngan:digits', 'biggan:digits', 'began:digits', 'dcgan:imagenet32')
)


@pytest.mark.parametrize('row', CONVOLVED)
def test_law_10_the_convolutions_of_one_cpu_device_make_the_same_step(row):
  """Tests run on 8 simulated devices, whose convolutions are those of accelerators: XLA's own."""
  (own, _), (left, products) = _traced(row, 'xla'), _traced(row, 'matmul')
  assert left == 0 < own and products > 0
  ends = {}
  for kind in ('xla', 'matmul'):
    with formulation(kind):
      ends[kind] = _descended(load_shrunk(row), 1)
  _assert_close(ends['xla'], ends['matmul'], 1e-4, 2e-5, 'as matrix products')
