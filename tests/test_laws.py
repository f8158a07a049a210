"""The laws that every game must pass, a row for each shipped config and probe game."""

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
from rows import (
  FIRST,
  IDS,
  MOST_COMPILED,
  ROWS,
  SMALLEST,
  described,
  is_run,
  load_shrunk,
  shrunk,
  shrunk_and_described,
)

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, main, runs
from gan_jax.base.errors import UserError
from gan_jax.core import compute
from gan_jax.data.feed import Feed, make_prepare
from gan_jax.distributed import parallel
from gan_jax.latents import distributions as latents
from gan_jax.nets.layers.conv import formulation
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.sampling import sampler

KEY = jax.random.key(0)
PLATFORMS = ('cpu', 'cuda', 'tpu')
#: Each row with the fixture `row`; its laws stand together, so that they share what was traced, compiled and trained.
ALL = [pytest.param(row, id=name) for row, name in zip(ROWS, IDS, strict=True)]
PLAYED = [
  pytest.param(row, id=name, marks=() if row in SMALLEST else pytest.mark.slow)
  for row, name in zip(ROWS, IDS, strict=True)
]
LOWERED = [
  pytest.param(row, id=name, marks=() if row in FIRST else pytest.mark.slow)
  for row, name in zip(ROWS, IDS, strict=True)
]
#: Rows whose runs are resumed in the fast suite: batch norm, a memory, stages.
_RESUMED = ('dragan:digits', 'pool:accumulate', 'growing:default')
RESUMED = [pytest.param(_RESUMED, id='covering')]
RESUMED += [pytest.param((name,), id=name, marks=pytest.mark.slow) for name in IDS if name not in _RESUMED]


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


def in_short(request):
  """Whether this is `make test`."""
  return 'not slow' in request.config.option.markexpr


@pytest.fixture(autouse=True)
def small_programs(monkeypatch):
  """Of the 64 samples that a device makes at a time, the laws ask for 9. Moves in a row are a loop.

  On a CPU with several devices they are written out, because convolutions in a loop are slow; compiling that takes
  four times as long as the loop, which is what accelerators get. `test_calls` compares the two.
  """
  monkeypatch.setattr(sampler, 'CHUNK', 16)
  monkeypatch.setattr(compute, '_convolves', lambda jaxpr: False)


@pytest.fixture(scope='module')
def row(request):
  return request.param


@pytest.mark.parametrize('row', LOWERED, indirect=True)
def test_law_1_full_size_shapes_and_lowering(row, request):
  full = described(row, MOST_COMPILED) if in_short(request) else described(row)
  if full is None:
    pytest.skip('for make test-all: it takes long')
  mesh = parallel.make_mesh(1)
  for stage, state in zip(*full, strict=True):
    traced = jax.jit(runs.make_step(stage, mesh)).trace(state, runs.abstract_feed(stage, mesh), KEY)
    after, metrics = traced.out_info
    assert jax.tree.map(lambda s: (s.shape, s.dtype), after) == jax.tree.map(lambda s: (s.shape, s.dtype), state)
    assert {method for turn in stage.game.turns for method in turn.methods} <= set(metrics)
    assert traced.lower(lowering_platforms=PLATFORMS)


@pytest.mark.parametrize('row', ALL, indirect=True)
def test_law_2_every_player_has_an_optimizer(row):
  for stage in runs.stages_of(config_lib.load(row)):
    players, frozen = core.players_of(stage.game), core.frozen_players(stage.game)
    assert set(stage.optimizers) == set(players) - set(frozen)


@pytest.mark.parametrize('row', PLAYED, indirect=True)
def test_law_2_every_network_has_an_owner(row):
  for stage, state in zip(*shrunk_and_described(row), strict=True):
    players = core.players_of(stage.game)
    owned = {name: set(state.players[name].params) for name in players}
    for name, children in owned.items():
      assert all(child in (name, f'{name}s') or child.startswith((f'{name}_', f'{name}s_')) for child in children)
      # Not those of a player with a longer name, such as generator_ab beside generator.
      longer = [other for other in players if other != name and other.startswith(name)]
      assert not [child for child in children for other in longer if child == other or child.startswith(f'{other}_')]
    assert any(owned.values())


def passed_through(closed, given, after):
  """Of a traced function of a tree to such a tree: {path of a result: path of what it is, untouched}.

  A result that is an argument itself is bit-equal to it whatever the numbers are; of others the path is None.
  """
  paths = lambda tree: [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
  names = dict(zip(map(id, closed.jaxpr.invars), paths(given), strict=False))
  return {path: names.get(id(value)) for path, value in zip(paths(after), closed.jaxpr.outvars, strict=False)}


def move_of(stage, turn):
  """One move of a turn: (state, feed, key) -> (state, metrics)."""
  prepare = make_prepare(stage.streams)

  def move(state, feed, key):
    batch = {name: prepare(feed, name, 0, key) for name in core.turn_streams(turn, stage.streams)}
    if stage.game.latents is not None:
      batch['latents'] = latents.draw(stage.game.latents, key, stage.batch_size)
    compute = core.Compute(stage.accumulate, dtype=stage.dtype)
    batch = compute.cast(batch)
    return core.play(stage.game, stage.optimizers, turn, state, batch, key, ema=stage.ema, compute=compute)

  return move


def products(jaxpr):
  """The types of both sides of every product and convolution, at any depth."""
  for equation in jaxpr.eqns:
    if equation.primitive.name in ('dot_general', 'conv_general_dilated'):
      yield tuple(v.aval for v in equation.invars)
    for value in equation.params.values():
      for item in value if isinstance(value, tuple | list) else (value,):
        inner = getattr(item, 'jaxpr', item)
        if hasattr(inner, 'eqns'):
          yield from products(inner)


def assert_in_bfloat16(row, found):
  """Products are of bfloat16, but for power iteration (by vectors), maps of the plane (3x3, by which augmentation moves
  pictures), StyleGAN 2's styles, BigGAN's orthogonal link, and losses: the pulling-away term is a product of all pairs
  of examples with its two adjoints.
  """
  wide = [pair for pair in found if {v.dtype for v in pair} != {jnp.dtype('bfloat16')}]
  wide = [pair for pair in wide if min(v.ndim for v in pair) > 1 and pair[0].shape[-2:] != (3, 3)]
  if 'stylegan2' in row or 'biggan' in row:
    wide = [pair for pair in wide if max(v.ndim for v in pair) > 2]
  assert len(found) > len(wide) == (3 if 'ebgan' in row else 0)


@pytest.mark.parametrize('row', PLAYED, indirect=True)
def test_law_4_one_turn_changes_its_movers_and_nothing_else(row):
  """In the traced program, for all numbers at once; that movers move in numbers too is law 3.

  Traced in bfloat16, in which every shipped config can compute; its state stays float32.
  """
  config, rounded = load_shrunk(row), 'probes' not in row
  if rounded:
    config = config_lib.override(config, ['--config.dtype=bfloat16'])
  if 'seqgan' in row:  # what draws tokens refuses it
    with pytest.raises(UserError, match=r'set config\.dtype=float32'):
      runs.abstract_state(runs.stages_of(config), 0, KEY)
    config, rounded = load_shrunk(row), False
  for stage, state in zip(runs.stages_of(config), shrunk_and_described(row)[1], strict=True):
    feed, found = runs.abstract_feed(stage, parallel.make_mesh(1)), []
    for turn in stage.game.turns:
      closed, (after, _) = jax.make_jaxpr(move_of(stage, turn), return_shape=True)(state, feed, KEY)
      came_from = passed_through(closed, state, after)
      assert came_from['.step'] == '.step'
      for name in state.players:
        own = {path: source for path, source in came_from.items() if path.startswith(f".players['{name}']")}
        if name not in turn.movers:
          assert own == {path: path for path in own}, f'{turn.title} touched {name}'
        else:
          params = [path for path in own if path.startswith(f".players['{name}'].params")]
          assert params and all(own[path] is None for path in params), f'{name} did not move'
      types = lambda tree: jax.tree.map(lambda s: s.dtype, tree)
      assert types(after.players) == types(state.players) and types(after.variables) == types(state.variables)
      found += products(closed.jaxpr)
      state = after  # later turns may read what this one left in scratch
    if rounded:
      assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(state.players))
      assert_in_bfloat16(row, found)


@pytest.mark.slow
@pytest.mark.parametrize('row', ALL, indirect=True)
def test_law_4_in_numbers(row):
  stages, state = runs.stages_of(load_shrunk(row)), None
  for stage in stages:
    state = jax.jit(lambda before, key, stage=stage: runs.enter(stage, before, key))(state, KEY)
    mesh = parallel.make_mesh(1)
    feed = next(Feed(stage.streams, stage.moves, 0, parallel.place(mesh), parallel.replicate(mesh)))
    for turn in stage.game.turns:
      after, _ = jax.jit(move_of(stage, turn))(state, feed, KEY)
      for name, player in state.players.items():
        if name in turn.movers:
          assert changed(player.params, after.players[name].params), f'{name} did not move'
        else:
          assert_equal(player, after.players[name], f'{turn.title} touched {name}')
      state = after
    state = state.replace(scratch={})


class Watched:
  """The compiled step of a stage as a run calls it, with what laws 3 and 5 ask."""

  def __init__(self, step):
    self.step, self.programs, self.before, self.total = step, 0, None, {}
    self.donated = self.moved_places = self.not_finite = False

  def __call__(self, state, feed, key):
    first = self.before is None
    if first:
      self.before = jax.tree.map(np.array, state)  # a view would keep the buffers from being donated
    placed = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state)
    given = jax.tree.leaves(state)
    state, metrics = self.step(state, feed, key)
    if first:  # later ones may be held by pictures or a checkpoint
      self.donated = all(leaf.is_deleted() for leaf in given)
    self.moved_places |= jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state) != placed
    for name, value in metrics.items():
      self.total[name] = self.total.get(name, 0) + np.asarray(value)
    self.programs = self.step._cache_size()
    self.after = jax.tree.map(np.array, state)
    self.not_finite |= not all(np.isfinite(x).all() for x in (*leaves(self.after).values(), *self.total.values()))
    return state, metrics


RUNS = {}


def run_of(row, folder):
  """(folder, [Watched of each stage]) of a run of the shrunk config on two devices, by the command; trained once."""
  if row not in RUNS:
    workdir, steps = folder.mktemp('run'), []
    with pytest.MonkeyPatch.context() as patch:
      compile_step = parallel.compile_step
      patch.setattr(parallel, 'compile_step', lambda *a, **k: steps.append(Watched(compile_step(*a, **k))) or steps[-1])
      main.main(['--config', row, '--workdir', str(workdir), *shrunk(row), '--config.devices=2'])
    for step in steps:
      step.step = None  # its program is not needed any more
    RUNS[row] = workdir, steps
  return RUNS[row]


@pytest.fixture
def run(row, request, tmp_path_factory):
  if in_short(request) and not is_run(row):
    pytest.skip('for make test-all: a smaller one stands for it, or it takes long')
  return run_of(row, tmp_path_factory)


@pytest.mark.parametrize('row', PLAYED, indirect=True)
def test_law_3_all_move_and_all_is_finite(row, run):
  stages = runs.stages_of(load_shrunk(row))
  for stage, step in zip(stages, run[1], strict=True):
    assert not step.not_finite
    assert all(step.total[method][1] > 0 for turn in stage.game.turns for method in turn.methods), 'a turn not played'
    for name in core.players_of(stage.game):
      before, after = step.before.players[name], step.after.players[name]
      if name in core.frozen_players(stage.game):
        assert_equal(before, after, f'frozen {name}')
      else:
        assert changed(before.params, after.params), f'{name} did not move'


@pytest.mark.parametrize('row', PLAYED, indirect=True)
def test_law_5_nothing_compiles_twice(row, run):
  for step in run[1]:
    assert step.programs == 1, 'the second call compiled again'
    assert step.donated, 'buffers are not donated'
    assert not step.moved_places


@pytest.mark.timeout(1200)
@pytest.mark.parametrize('row', PLAYED, indirect=True)
def test_law_9_it_runs_writes_and_reads_back(row, run):
  workdir, _ = run
  metrics = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  stages = runs.stages_of(load_shrunk(row))
  assert metrics[-1]['step'] == stages[-1].last_step
  assert any(file.stat().st_size for file in (workdir / 'tensorboard').iterdir())
  pictures = sorted((workdir / 'samples').glob('*.png'))
  assert pictures and all(Image.open(file).size[0] > 100 for file in pictures)
  run = gan_jax.load(workdir)
  inputs = None
  if run.stage.game.latents is None:
    # Pictures that differ: of like ones a game without noise makes samples that differ by rounding, or not at all.
    uniform = np.random.default_rng(5).uniform
    inputs = {
      name: {k: uniform(-1, 1, v.shape).astype(v.dtype) for k, v in stream.fields(9).items()}
      for name, stream in run.stage.streams.items()
    }
  nine, three = run.sample(9, seed=5, inputs=inputs), run.sample(3, seed=5, inputs=inputs)
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:3], b), nine, three)
  # Of first weights some networks (InfoGAN's) make samples that differ by less than this, but of noise never the same.
  least = 0 if inputs is None else 1e-4
  assert all(np.std(array, axis=0).max() > least for array in jax.tree.leaves(nine)), 'all samples are alike'
  if inputs is None:
    assert changed(nine, run.sample(9, seed=6))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize('names', RESUMED)
def test_law_8_a_resumed_run_ends_bit_equal(names, tmp_path, tmp_path_factory):
  """Copies of the runs, stopped half-way, are finished by one new process."""
  script = (
    'import conftest, sys\n'
    'from gan_jax.core import compute; compute._convolves = lambda jaxpr: False\n'
    'from gan_jax.runs import run_config; from gan_jax.training import loop as train\n'
    'for folder in sys.argv[1:]:\n'
    '  train.run(run_config.read_config(folder), folder, silent=True)\n'
  )
  wholes = [run_of(ROWS[IDS.index(name)], tmp_path_factory)[0] for name in names]
  halves = [tmp_path / str(number) for number in range(len(names))]
  for whole, half in zip(wholes, halves, strict=True):
    half.mkdir()
    shutil.copy(whole / 'config.json', half)
    shutil.copytree(whole / 'checkpoints' / '2', half / 'checkpoints' / '2')
  here = pathlib.Path(__file__).parent
  subprocess.run([sys.executable, '-c', script, *map(str, halves)], cwd=here, check=True, timeout=900)
  for name, *folders in zip(names, wholes, halves, strict=True):
    ends = []
    for folder in folders:
      checkpoints = Checkpoints(folder)
      place = checkpoints.place(checkpoints.steps()[-1])
      ends.append((place, gan_jax.load(folder).state))
      checkpoints.close()
    assert ends[0][0] == ends[1][0], name
    assert ends[0][0].step == ends[0][1].step
    assert_equal(ends[0][1], ends[1][1], name)
    rows = [(folder / 'metrics.jsonl').read_text().splitlines() for folder in folders]
    last = [{k: v for k, v in json.loads(lines[-1]).items() if 'per_second' not in k} for lines in rows]
    assert last[0] == last[1], name


def _covering(fast, slow):
  marks = dict.fromkeys(fast, ()) | dict.fromkeys(slow, pytest.mark.slow)
  return [pytest.param(ROWS[IDS.index(name)], id=name, marks=mark) for name, mark in marks.items()]


#: Batch norm, no coupling of examples; accumulation, a table, `when`, three players.
COVERING = _covering(
  ('dcgan:digits', 'gan:ring'), ('pool:accumulate', 'began:default', 'accuracy:default', 'triple:default')
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


@pytest.mark.parametrize('devices', [pytest.param(2, marks=pytest.mark.slow), 8])
@pytest.mark.parametrize('row', COVERING)
def test_law_6_one_device_equals_two_equals_eight(row, devices):
  config = config_lib.override(load_shrunk(row), ['--config.batch_size=16'])
  for name in config.data:
    if hasattr(config.data[name], 'keys') and config.data[name].get('batch_size'):
      config.data[name].batch_size = 16
  _assert_close(_descended(config, 1), _descended(config, devices), 1e-5, 1e-6, f'{devices} devices')


def _flops(row, batch, devices):
  config = config_lib.override(load_shrunk(row), [f'--config.batch_size={batch}'])
  stages = runs.stages_of(config)
  mesh = parallel.make_mesh(devices)
  place = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh))
  state = jax.tree.map(place, runs.abstract_state(stages, 0, KEY))
  step = parallel.compile_step(runs.make_step(stages[0], mesh), mesh)
  compiled = step.lower(state, runs.abstract_feed(stages[0], mesh), KEY).compile()
  return compiled.cost_analysis()['flops']


@pytest.mark.parametrize('row', _covering(('gan:ring',), ('dcgan:digits',)))
def test_law_7_work_scales(row):
  added = {devices: _flops(row, 128, devices) - _flops(row, 64, devices) for devices in (1, 8)}
  assert 0 < added[8] <= added[1] / 7


def _traced(row, kind):
  """Of a shrunk config's step on one CPU device: (XLA's convolutions, whether loops make them slow, products)."""
  stages = runs.stages_of(load_shrunk(row))
  mesh = parallel.make_mesh(1)
  with formulation(kind):
    step, feed = runs.make_step(stages[-1], mesh), runs.abstract_feed(stages[-1], mesh)
    traced = jax.make_jaxpr(step)(runs.abstract_state(stages, len(stages) - 1, KEY), feed, KEY)
  text = str(traced)
  return text.count('conv_general_dilated'), compute.unrolling(traced, 2) > 1, text.count('dot_general')


#: Strided and transposed convolutions with batch norm; spectral norm; residual blocks, up and down; attention; 3x3.
CONVOLVED = _covering(
  ('dcgan:digits',), ('sndcgan:digits', 'sngan:digits', 'biggan:digits', 'began:digits', 'dcgan:imagenet32')
)


@pytest.mark.slow
@pytest.mark.parametrize('row', CONVOLVED)
def test_law_10_the_convolutions_of_one_cpu_device_make_the_same_step(row):
  """Tests run on 8 simulated devices, whose convolutions are those of accelerators: XLA's own."""
  (own, _, _), (_, slow, products) = _traced(row, 'xla'), _traced(row, 'matmul')
  assert own > 0 and not slow and products > 0
  ends = {}
  for kind in ('xla', 'matmul'):
    with formulation(kind):
      ends[kind] = _descended(load_shrunk(row), 1)
  _assert_close(ends['xla'], ends['matmul'], 1e-4, 2e-5, 'as matrix products')
