"""Populations: every member is the run that its own config describes; saved, resumed, read back, the best exported."""

import json
import math
import os
import shutil
import signal
import types

import jax
import numpy as np
import pytest
from etils import epath
from rows import IDS, ROWS, SMALLEST, load_shrunk

import gan_jax
from gan_jax import config as config_lib
from gan_jax import evaluate, export, sample
from gan_jax.base.errors import UserError
from gan_jax.config.vary import member_config
from gan_jax.data.feed import Feed
from gan_jax.data.streams import Stream
from gan_jax.distributed import interrupt, parallel
from gan_jax.evaluation import measures
from gan_jax.evaluation.figures import Figure
from gan_jax.nets.layers.conv import formulation
from gan_jax.runs import best_member, entering, member_metrics, resume, run_config
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.experiment import experiment_of
from gan_jax.runs.single import Single
from gan_jax.runs.views import View
from gan_jax.training import hooks, notes, writers
from gan_jax.training import loop as train

SGD = dict(name='optax.sgd', learning_rate=0.1)
SMALL = ['--config.game.generator.hidden=(8,)', '--config.game.discriminator.hidden=(8,)', '--config.batch_size=8']
SMALL += ['--config.devices=1', '--config.samples=4', '--config.sample_every=0', '--config.log_every=1']


def leaves(tree):
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def assert_close(a, b, rtol=1e-5, atol=1e-6):
  a, b = leaves(a), leaves(b)
  assert a.keys() == b.keys()
  for path in a:
    assert a[path].dtype == b[path].dtype, path
    np.testing.assert_allclose(a[path], b[path], rtol=rtol, atol=atol, err_msg=path)


def member(tree, i):
  return jax.tree.map(lambda x: x[i], tree)


def descent(config, **settings):
  """Plain descent, so that parameters show the gradients; Adam would blow up the rounding of those near 0."""
  with config.unlocked():
    config.optimizers = {player: {**SGD, **settings} for player in config.optimizers}
  return config


def small(*more, config='configs/gan.py:ring'):
  return config_lib.override(descent(config_lib.override(config_lib.load(config), SMALL)), list(more))


def begun(config, devices=1, count=1):
  """(population, mesh, keys, state, feed, compiled step)."""
  mesh, crowd = parallel.make_mesh(devices), experiment_of(config)
  keys = parallel.replicate(mesh)(crowd.keys)
  (stage,) = crowd.stages
  feed = Feed(stage.streams, stage.moves, crowd.feed_seed, parallel.place(mesh), parallel.replicate(mesh))
  step = parallel.compile_step(crowd.make_step(0, mesh, count), mesh)
  return crowd, mesh, keys, resume.enter(crowd, 0, None, mesh, keys), feed, step


def rows_of(folder):
  return [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize('convolutions', ['matmul', 'xla'])
def test_eight_members_are_eight_runs(convolutions):
  with formulation(convolutions):
    _eight_members()


def _eight_members():
  # Slow enough that rounding is not blown up from step to step, which batch norm of 8 examples does.
  config = descent(load_shrunk('configs/dcgan.py:digits'), learning_rate=0.01)
  config.population = 8
  _, mesh, keys, state, feed, step = begun(config)
  first, rows = jax.tree.map(np.array, state), []
  placed, donated = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state), jax.tree.leaves(state)
  for _ in range(4):
    state, metrics = step(state, next(feed), keys)
    rows.append(metrics)
  # Law 5, of a population.
  assert step._cache_size() == 1 and all(leaf.is_deleted() for leaf in donated)
  assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state) == placed
  # One program for all eight: a seed is no part of it.
  single, *_, alone = begun(member_config(config, 0))
  enter = jax.jit(lambda key: single.enter(0, None, key), out_shardings=parallel.replicated(mesh))
  for i in range(8):
    one = experiment_of(member_config(config, i))
    assert isinstance(one, Single) and one.feed_seed == i
    key, (stage,) = parallel.replicate(mesh)(one.keys), one.stages
    own = enter(key)
    own_feed = Feed(stage.streams, stage.moves, one.feed_seed, parallel.place(mesh), parallel.replicate(mesh))
    assert_close(member(first, i), own, rtol=1e-6)
    for row in rows:
      own, metrics = alone(own, next(own_feed), key)
      assert_close(member(row, i), metrics)
    assert_close(member(state, i), own)
    assert own_feed.position == feed.position
  different = leaves(member(state, 0)), leaves(member(state, 1))
  assert any(not np.allclose(different[0][path], different[1][path], atol=1e-3) for path in different[0])


@pytest.mark.parametrize('resident', [True, False])
def test_members_draw_what_they_would_alone(resident):
  stream = Stream(name='digits', size=8, channels=1, classes=10, batch_size=20, resident=resident)
  mesh = parallel.make_mesh(2)
  place, whole = parallel.place(mesh), parallel.replicate(mesh)

  def taken(seed, counts):
    feed = Feed({'images': stream}, {'images': 2}, seed, place, whole, {'images': 1000})
    given = [feed.take(count) if count else next(feed) for count in counts]
    feed.close()
    assert feed.position == {'images': 1000 + 40 * sum(count or 1 for count in counts)}
    return [given['moves']['images'] for given in given]

  seeds, counts = (5, 3, 5), (0, 2, 0, 3)  # two members of one seed, such as those of a search for a learning rate
  together = taken(seeds, counts)
  for i, seed in enumerate(seeds):
    for count, given, alone in zip(counts, together, taken(seed, counts), strict=True):
      for name in alone:
        assert given[name].shape[: 3 if count else 2] == ((count, 3, 2) if count else (3, 2))
        # B, behind the steps of a call, the members and the moves, is what the devices share.
        assert given[name].sharding.spec[2 + bool(count)] == 'data'
        of_member = np.asarray(given[name])[:, i] if count else np.asarray(given[name])[i]
        np.testing.assert_array_equal(of_member, alone[name])


VARIED = {
  'seed': (7, 3, 3),
  'optimizers.generator.learning_rate': (0.1, 0.2, 0.4),
  'game.penalty.weight': (0, 1.0, 5),
  'ema.generator': (0.5, 0.9, 0.99),
}


def varying(*more):
  penalty = "--config.game.penalty={'name': 'GradientPenalty', 'weight': 1.0, 'at': 'real', 'target': 0.0}"
  settings = ['--config.population=3', f'--config.vary={VARIED}', '--config.ema.generator=0.5', penalty]
  quiet = ['--config.steps=12', '--config.checkpoint_every=6', '--config.steps_per_call=3', '--config.log_every=3']
  return small(*settings, *quiet, '--config.keep_best=-discriminator_loss', *more)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """(folder of a population of three, its final state)."""
  folder = tmp_path_factory.mktemp('population')
  return folder, train.run(varying(), folder, silent=True)


@pytest.mark.parametrize('i', [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2))])
def test_a_member_is_the_run_of_its_config(trained, tmp_path, i):
  folder, state = trained
  config = member_config(varying(), i)
  assert (config.seed, config.population, config.vary.to_dict()) == (VARIED['seed'][i], 0, {})
  assert config.optimizers.generator.learning_rate == VARIED['optimizers.generator.learning_rate'][i]
  assert config.game.penalty.weight == VARIED['game.penalty.weight'][i]
  alone = train.run(config, tmp_path, silent=True)
  assert_close(member(state, i), alone)
  run = gan_jax.load(folder, member=i)
  assert (run.member, run.step) == (i, 12) and run.config.to_dict() == config.to_dict()
  assert_close(run.sample(5, seed=4), gan_jax.load(tmp_path).sample(5, seed=4))
  for row, own in zip(rows_of(folder), rows_of(tmp_path), strict=True):
    own = {name: value for name, value in own.items() if 'per_second' not in name}
    step = own.pop('step')
    assert row['step'] == step and len(own) >= 6
    for name, value in own.items():
      assert row[f'{name}_{i}'] == pytest.approx(value, rel=3e-5, abs=1e-6), name
  pictures = [f'samples/step_0000012{end}.png' for end in (f'_member_{i}', '')]
  assert (folder / pictures[0]).read_bytes() == (tmp_path / pictures[1]).read_bytes()


def test_rows_have_means_and_standard_errors(trained):
  folder, _ = trained
  assert len(list((folder / 'samples').iterdir())) == 3
  for row in rows_of(folder):
    for name in ('generator_loss', 'discriminator_gradient_norm', 'penalty'):
      values = [row[f'{name}_{i}'] for i in range(3)]
      assert row[name] == pytest.approx(np.mean(values), rel=1e-5)
      spread = math.sqrt(sum((value - np.mean(values)) ** 2 for value in values) / 2)
      assert row[f'{name}_standard_error'] == pytest.approx(spread / math.sqrt(3), rel=1e-3)
  assert 'sample_diversity_2' in rows_of(folder)[-1]
  assert 'discriminator' in member_metrics.statistics({'discriminator_0': 1.0})
  assert not any('error' in name for name in member_metrics.statistics({'discriminator_0': 1.0}))


@pytest.mark.parametrize(
  'more',
  [[], pytest.param(['--config.data.resident=False'], marks=pytest.mark.slow)],
  ids=['resident', 'read'],
)
def test_a_resumed_population_ends_bit_equal(trained, tmp_path, more):
  folder, state = trained
  if more:
    state = train.run(varying(*more), tmp_path / 'whole', silent=True)
    folder = tmp_path / 'whole'
    assert_close(state, trained[1])
  train.run(varying('--config.steps=6', *more), tmp_path / 'half', silent=True)
  again = train.run(varying(*more), tmp_path / 'half', silent=True)
  for path, value in leaves(state).items():
    np.testing.assert_array_equal(value, leaves(again)[path], err_msg=path)
  rows = [[{k: v for k, v in row.items() if 'per_second' not in k and 'diversity' not in k} for row in rows_of(f)]
          for f in (folder, tmp_path / 'half')]  # fmt: skip
  assert rows[0] == rows[1]
  # A folder of before these settings goes on too; other members do not.
  with pytest.raises(UserError, match=r'other settings \(config.vary.ema.generator: .* give the same ones'):
    train.run(varying('--config.vary.ema.generator=(0.5,0.9,0.9)', *more), tmp_path / 'half', silent=True)
  file = tmp_path / 'half' / 'config.json'
  assert run_config.read_config(tmp_path / 'half').to_dict() == varying(*more).to_dict()
  old = {k: v for k, v in json.loads(file.read_text()).items() if k not in ('profile', 'samples')}
  file.write_text(json.dumps(old))
  run_config.check_resumable(tmp_path / 'half', varying(*more))


def test_the_best_member_is_a_run_of_its_own(trained, tmp_path, capsys):
  folder, state = trained
  last = rows_of(folder)[-1]
  best = max(range(3), key=lambda i: last[f'discriminator_loss_{i}'])
  run = gan_jax.load(folder)
  assert run.member == best
  said = capsys.readouterr().err
  assert f'population of 3: member {best}, the best by -discriminator_loss; --member=I chooses another' in said
  shutil.copytree(folder / 'best', tmp_path / 'best')
  exported = gan_jax.load(tmp_path / 'best', 'best')
  assert (tmp_path / 'best' / 'examples.json').read_text() == (folder / 'examples.json').read_text()
  assert exported.member is None and exported.config.to_dict() == member_config(varying(), best).to_dict()
  assert_close(exported.state, member(state, best), rtol=0, atol=0)
  assert not capsys.readouterr().err
  # It goes on, and starts others.
  longer = config_lib.override(exported.config, ['--config.steps=15'])
  ended = train.run(longer, tmp_path / 'best', silent=True)
  alone = train.run(
    config_lib.override(member_config(varying(), best), ['--config.steps=15']), tmp_path / 'x', silent=True
  )
  assert_close(ended, alone)
  with pytest.raises(UserError, match=r'member=0 but .*best is a run of one game'):
    gan_jax.load(tmp_path / 'best', member=0)
  with pytest.raises(UserError, match='there is no member 3 in a population of 3'):
    gan_jax.load(folder, member=3)


def test_commands_take_a_member(trained, tmp_path, capsys):
  folder, _ = trained
  command = lambda module, *arguments: module.command.main(module._define, module._run, '', list(arguments))
  out = tmp_path / 'samples.npz'
  command(sample, '--workdir', str(folder), '--member=2', '--count=5', f'--out={out}')
  np.testing.assert_array_equal(np.load(out)['samples'], gan_jax.load(folder, member=2).sample(5))
  asked = ['--metrics=modes', '--samples=50', '--features=raw']
  command(evaluate, '--workdir', str(folder), '--member=1', *asked)
  assert (folder / 'evaluation_member_1.json').exists() and not (folder / 'evaluation.json').exists()


@pytest.mark.slow
def test_a_stopped_population_has_its_best_too_and_what_was_used_is_put_aside(tmp_path, monkeypatch, capsys):
  original = writers.Writer.metrics

  def metrics(self, step, *arguments):
    if step == 3:
      os.kill(os.getpid(), signal.SIGTERM)
    original(self, step, *arguments)

  config = varying('--config.steps=100', '--config.keep_best=generator_loss')
  monkeypatch.setattr(writers.Writer, 'metrics', metrics)
  with pytest.raises(interrupt.Stopped):
    train.run(config, tmp_path)
  monkeypatch.setattr(writers.Writer, 'metrics', original)
  assert gan_jax.load(tmp_path / 'best').step == 6
  row = rows_of(tmp_path)[-1]
  best = min(range(3), key=lambda i: row[f'generator_loss_{i}'])
  assert f'member {best} of step 6, generator_loss {row[f"generator_loss_{best}"]:.4g}' in capsys.readouterr().out
  assert gan_jax.load(tmp_path / 'best').config.seed == VARIED['seed'][best]
  train.run(varying('--config.steps=9', '--config.keep_best=generator_loss'), tmp_path, silent=True)
  assert gan_jax.load(tmp_path / 'best').step == 9
  assert [file.name for file in tmp_path.glob('best*')] == ['best']
  (tmp_path / 'best' / 'notes.txt').write_text('mine')
  train.run(varying('--config.steps=12', '--config.keep_best=generator_loss'), tmp_path)
  assert f'note: {tmp_path / "best"} was used, so it is now called' in capsys.readouterr().out
  (aside,) = tmp_path.glob('best-*')
  assert gan_jax.load(aside).step == 9 and (aside / 'notes.txt').exists() and gan_jax.load(tmp_path / 'best').step == 12


def test_exports_of_members_have_folders_of_their_own():
  of = lambda member: export._folder(types.SimpleNamespace(workdir=epath.Path('runs'), member=member))
  assert [str(of(member)) for member in (None, 0, 2)] == ['runs/export', 'runs/export_member_0', 'runs/export_member_2']


@pytest.mark.slow
def test_without_a_metric_nothing_is_the_best(tmp_path, capsys):
  settings = ['--config.population=2', '--config.steps=2', '--config.profile=1']
  source = tmp_path / 'source'
  train.run(small(*settings), source)
  said = capsys.readouterr().out
  assert 'members   2 games in one step, with seeds 0, 1' in said and 'config.keep_best=METRIC' in said
  assert not (source / 'best').exists()
  assert gan_jax.load(source).member == 0
  assert 'member 0, the first, for config.keep_best names no metric' in capsys.readouterr().err
  # Members begin with the weights of another run, each with its own optimizer, data and latents.
  config = small(*settings, f'--config.init_from={source}', '--config.steps=3', '--config.seed=4')
  state = train.run(config, tmp_path / 'warm', silent=True)
  alone = train.run(member_config(config, 1), tmp_path / 'alone', silent=True)
  assert_close(member(state, 1), alone)


def test_a_member_that_is_not_finite_is_named(tmp_path):
  config = small('--config.population=3', '--config.vary.optimizers.discriminator.learning_rate=(0.1,1e38,0.1)')
  with pytest.raises(UserError, match=r'member 1: \w+ is (nan|inf) at step [123]: training stopped'):
    train.run(config_lib.override(config, ['--config.steps=5']), tmp_path, silent=True)


def test_a_member_whose_weights_are_not_finite_is_named(tmp_path):
  config = small('--config.population=2', '--config.vary.optimizers.generator.learning_rate=(0.1,1e39)')
  settings = ['--config.steps=2', '--config.checkpoint_every=1', '--config.optimizers.generator.name=optax.sgd']
  with pytest.raises(UserError, match=r'^member 1: state.*not finite at step 1'):
    train.run(config_lib.override(config, settings), tmp_path, silent=True)


def test_what_varies_makes_shared_numbers_vain_and_may_be_lowered_where_a_run_goes_on(tmp_path):
  given = ['--config.seed=77', '--config.optimizers.generator.learning_rate=0.5', '--config.batch_size=8']
  rates = '--config.vary.optimizers.generator.learning_rate=(0.1,0.2)'
  config = small('--config.population=2', '--config.vary.seed=3,3', rates, *given)
  names = [text.removeprefix('--config.').partition('=')[0] for text in given]
  lines = notes.on_given(config, names)
  told = 'note: config.{0} has no effect, because config.vary.{0} gives each member its own'
  assert lines == [told.format(name) for name in names[:2]]
  experiment = experiment_of(config)
  assert not any('are the same game' in line for line in experiment.describe())
  own = lambda last: small('--config.population=2', '--config.vary.seed=3,3', rates.replace('0.2', last), *given)
  same = experiment_of(own('0.1')).describe()
  assert same[-1].strip() == 'note: members 0, 1 are the same game'
  run_config.write_config(epath.Path(tmp_path), config)
  lower = own('0.05')
  run_config.check_resumable(epath.Path(tmp_path), lower)
  (line,) = run_config.changed_rates(config, lower)
  assert line.startswith('note: config.vary.optimizers.generator.learning_rate was [0.1, 0.2] and is [0.1, 0.05]')


def test_whole_numbers_of_a_setting_that_is_a_float_vary_as_floats():
  momentum = "--config.optimizers.generator={'name': 'momentum', 'learning_rate': 0.1, 'momentum': 0.5}"
  experiment = experiment_of(small(TWO, momentum, '--config.vary.optimizers.generator.momentum=(0,0)'))
  assert all(type(value) is float for value in experiment.numbers['optimizers.generator.momentum'])
  experiment.check(parallel.make_mesh(1))


def test_every_member_is_evaluated(tmp_path):
  figures = ['--config.eval.every=2', "--config.eval.metrics=('modes',)", '--config.eval.samples=50']
  settings = ['--config.population=2', '--config.steps=4', '--config.eval.features=raw', *figures]
  config = small(*settings, '--config.keep_best=-eval_high_quality', '--config.game.latents.shape=(3,)')
  train.run(config, tmp_path, silent=True)
  last = rows_of(tmp_path)[-1]
  assert {'eval_modes', 'eval_modes_standard_error', 'eval_mode_kl_0', 'eval_high_quality_1'} <= set(last)
  for i in range(2):
    figures = json.loads((tmp_path / f'evaluation_member_{i}.json').read_text())['figures']
    assert last[f'eval_mode_kl_{i}'] == pytest.approx(figures['mode_kl']['value'], rel=1e-5)
  assert gan_jax.load(tmp_path / 'best').config.seed == max(range(2), key=lambda i: last[f'eval_high_quality_{i}'])
  config.keep_best = 'eval_quality'
  with pytest.raises(UserError, match=r"unknown metric in config.keep_best 'eval_quality': choose one of eval_"):
    train.run(config, tmp_path / 'other', silent=True)


def test_a_figure_of_an_earlier_step_is_none_of_the_best_weights(tmp_path):
  config = small('--config.population=2', '--config.keep_best=score', '--config.keep=1')
  experiment = experiment_of(config)
  state = experiment.joined([entering.new_state(experiment.stages[0], key) for key in experiment.keys])
  (tmp_path / 'metrics.jsonl').write_text(json.dumps({'step': 4, 'score_0': 2.0, 'score_1': 1.0}) + '\n')
  for step, figures in ((7, {}), (4, {'score': 1.0})):
    (line,) = best_member.export(experiment, epath.Path(tmp_path), state, Place(step, 0, {'images': 0}))
    assert line.endswith(f'member 1 of step {step}, score 1' + (' of step 4' if step == 7 else ''))
    checkpoints = Checkpoints(tmp_path / 'best', best='score')
    if figures:
      assert checkpoints.best() == 4
    else:
      with pytest.raises(UserError, match="has the metric 'score'"):
        checkpoints.best()
    checkpoints.close()


def test_figures_of_some_members_choose_no_best(tmp_path, monkeypatch):
  scores = iter([5.0, 4.0, 1.0, None, 5.0, 3.0])  # of the members 0 and 1, evaluation by evaluation

  def measure(evidence):
    if (value := next(scores)) is None:
      raise UserError('too few samples')
    yield Figure('score', value, 'made up')

  monkeypatch.setitem(measures.MEASURES, 'modes', measure)
  settings = ['--config.population=2', '--config.steps=6', '--config.keep=1', '--config.checkpoint_every=0']
  settings += ['--config.eval.every=2', "--config.eval.metrics=('modes',)", '--config.eval.features=raw']
  config = small(*settings, '--config.eval.samples=4', '--config.keep_best=eval_score', '--config.log_every=2')
  train.run(config, tmp_path, silent=True)
  rows = rows_of(tmp_path)
  assert [(row.get('eval_score_0'), row.get('eval_score_1')) for row in rows] == [(5, 4), (1, None), (5, 3)]
  assert Checkpoints(tmp_path, 1, 'eval_score').best() == 6
  assert best_member.ranking(tmp_path, config, 4) == {1: 4.0, 0: 5.0}, 'of step 2'
  staged = config.copy_and_resolve_references()
  staged.stages = ({'steps': 2}, {'steps': 4})
  assert best_member.ranking(tmp_path, staged, 2) == {1: 4.0, 0: 5.0}
  assert best_member.ranking(tmp_path, staged, 4) == {}, 'the row of step 2 is of another stage'
  assert best_member.ranking(tmp_path, staged, 6) == {1: 3.0, 0: 5.0}
  (tmp_path / 'metrics.jsonl').write_text(json.dumps(rows[1]) + '\n')
  assert best_member.choose(tmp_path, config, 6, None)[0] == 0
  assert 'for every member' in best_member.choose(tmp_path, config, 6, None)[1]


@pytest.mark.slow
@pytest.mark.parametrize('name', ['growing:default', 'pool:accumulate', 'accuracy:default', 'triple:default'])
def test_stages_and_other_games(tmp_path, name):
  config = config_lib.override(load_shrunk(ROWS[IDS.index(name)]), ['--config.devices=1', '--config.population=2'])
  for changes in (config, *config.stages):
    if 'optimizers' in changes:
      changes['optimizers'] = {player: dict(SGD) for player in changes['optimizers']}
  state = train.run(config, tmp_path / 'both', silent=True)
  assert_close(member(state, 1), train.run(member_config(config, 1), tmp_path / 'one', silent=True), 1e-4, 1e-5)


def primitives(jaxpr):
  """(name, ranks of the inputs) of all that a traced program computes, at any depth."""
  for equation in jaxpr.eqns:
    yield equation.primitive.name, [v.aval.ndim for v in equation.invars]
    for value in equation.params.values():
      for inner in value if isinstance(value, (tuple, list)) else [value]:
        inner = getattr(inner, 'jaxpr', inner)
        if hasattr(inner, 'eqns'):
          yield from primitives(inner)


@pytest.mark.slow
def test_members_with_orthogonal_kernels_begin_one_after_the_other_bit_equal():
  least = ['generator.channels=(4,)', 'discriminator.channels=(4,)', 'discriminator.halvings=0']
  more = ['--config.devices=1', '--config.population=3', '--config.data.size=4', *(f'--config.game.{x}' for x in least)]
  config = config_lib.override(load_shrunk('configs/sngan.py:digits'), more)
  crowd, mesh = experiment_of(config), parallel.make_mesh(1)
  traced = jax.make_jaxpr(lambda keys: crowd.enter(0, None, keys))(crowd.keys)
  ranks = [ranks for name, ranks in primitives(traced.jaxpr) if name == 'qr']
  # Batches of them (rank 3) at once never end on XLA:CPU.
  assert len(ranks) > 2 and all(rank == [2] for rank in ranks)
  state = resume.enter(crowd, 0, None, mesh, crowd.keys)
  alone = member_config(config, 2)
  expected = leaves(resume.enter(experiment_of(alone), 0, None, mesh, jax.random.key(alone.seed)))
  found = leaves(member(state, 2))
  assert found.keys() == expected.keys()
  for path, value in expected.items():
    np.testing.assert_array_equal(found[path], value, err_msg=path)


@pytest.mark.slow
def test_devices_share_the_batch_and_not_the_members():
  def flops(batch, devices):
    config = config_lib.override(load_shrunk('configs/gan.py:ring'), [f'--config.batch_size={batch}'])
    config.population = 3
    crowd, mesh = experiment_of(config), parallel.make_mesh(devices)
    place = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh))
    state = jax.tree.map(place, crowd.abstract_state(0))
    step = parallel.compile_step(crowd.make_step(0, mesh), mesh)
    compiled = step.lower(state, crowd.abstract_feed(0, mesh), crowd.keys).compile()
    return compiled.cost_analysis()['flops']

  added = {devices: flops(128, devices) - flops(64, devices) for devices in (1, 8)}
  assert 0 < added[8] <= added[1] / 7


@pytest.mark.slow
def test_one_device_equals_two():
  ends = []
  for devices in (1, 2):
    _, _, keys, state, feed, step = begun(small('--config.population=3'), devices, 2)
    for _ in range(2):
      state, metrics = step(state, feed.take(2), keys)
    assert all(value.shape == (2, 3, 2) for value in metrics.values())
    ends.append((state, metrics))
  assert_close(*ends)


def vary(**entries):
  return [f'--config.vary={entries}']


PENALTY = "--config.game.penalty={'name': 'GradientPenalty', 'weight': 1.0, 'at': 'real', 'target': 0.0, 'every': 2}"
TWO = '--config.population=2'


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    (['--config.population=-1'], r'config.population=-1 must be at least 0'),
    (['--config.vary.seed=(1,2)'], r'config.vary.seed=\(1, 2\) but config.population=0: set config.population=2'),
    ([TWO, '--config.vary.seed=(1,2,3)'], r'config.vary.seed has 3 values for config.population=2: give one to each'),
    ([TWO, '--config.vary.seed=(1.5,2)'], r'1.5 is not a whole number, and only numbers vary'),
    ([TWO, '--config.parallel=pmap'], r"config.parallel='pmap' with config.population=2 is not supported: leave it at"),
    ([TWO, '--config.vary.seed=3'], r'config.vary.seed=3 is not a list: give a value to each member'),
    ([TWO, '--config.vary=3'], r'--config.vary=3: name the setting, as in --config.vary.seed='),
    ([TWO, '--config.vary.batch_size=(8,16)'], r'all members share config.batch_size; only the seed'),
    ([TWO, '--config.vary.data.seed=(8,16)'], r'all members share config.data.seed'),
    ([TWO, "--config.vary.game.loss=('hinge','minimax')"], r"'hinge' is not a number, and only numbers vary"),
    ([TWO, '--config.vary.game.loss=(1,2)'], r"config.game.loss='nonsaturating' is not a number"),
    ([TWO, '--config.vary.game.one_pass=(True,False)'], r'True is not a number'),
    ([TWO, '--config.vary.optimizers.critic.learning_rate=(1,2)'], r'there is no config.optimizers.critic'),
    ([TWO, '--config.vary.optimizers.critic=(1,2)'], r"unknown setting 'critic': known here are"),
    ([TWO, '--config.vary.optimizers.generator.rate=(1,2)'], r'unknown setting config.optimizers.generator.rate'),
    ([TWO, '--config.vary.ema.generator=(0.9,1.5)'], r'config.ema.generator=1.5 must be at least 0'),
    (
      [TWO, '--config.vary.game.discriminator_steps=(1,2)'],
      r'config.vary.game.discriminator_steps=\(1, 2\) cannot vary inside a population: the code needs a plain',
    ),
    (
      [TWO, PENALTY, '--config.vary.game.penalty.every=(1,2)', '--config.vary.game.penalty.weight=(1,2)'],
      r'config.vary.game.penalty.every=\(1, 2\) cannot vary',
    ),
    ([TWO, "--config.stages=({'steps': 1, 'optimizers': {'generator': {'learning_rate': 0.1}}},)",
      '--config.vary.optimizers.generator.learning_rate=(1,2)'], r'config.stages\[0\] sets it for all members'),
    ([TWO, "--config.stages=({'steps': 1, 'optimizers': {'generator': {'name': 'optax.adam', 'learning_rate': 0.1}}},)",
      '--config.vary.optimizers.generator.momentum=(0.1,0.2)'], r'config.stages\[0\] sets it for all members'),
    ([TWO, "--config.stages=({'steps': 1, 'optimizers': {'generator': {'learning_rate': {'name': "
      "'optax.constant_schedule', 'value': 0.1}}}},)",
      '--config.vary.optimizers.generator.learning_rate.init_value=(0.1,0.2)'],
      r'config.stages\[0\] sets it for all members|there is no config.optimizers.generator.learning_rate'),
    ([TWO, '--config.vary.optimizers.generator.links[0].b1=(1,2)'], r'no config.optimizers.generator.links\[0\]'),
  ],
)  # fmt: skip
def test_errors_name_the_setting_and_the_cure(settings, message, tmp_path):
  with pytest.raises(UserError, match=message) as error:
    train.run(small(*settings), tmp_path / 'run', silent=True)
  assert '\n' not in str(error.value) and not (tmp_path / 'run').exists()


def test_a_game_that_does_not_fit_is_not_blamed_on_what_varies(tmp_path):
  config = small(TWO, '--config.game.generator.shape=(3,)', '--config.vary.optimizers.generator.learning_rate=(1,2)')
  with pytest.raises(UserError, match='the generator makes examples of shape'):
    train.run(config, tmp_path / 'run', silent=True)


#: The others in `make test-all`.
QUICK = ('lapgan', 'cogan', 'madgan')


@pytest.mark.slow
@pytest.mark.parametrize('row', [
  pytest.param(row, marks=() if any(f'/{name}.py' in row for name in QUICK) else pytest.mark.slow, id=row)
  for row in sorted(SMALLEST) if row.startswith('configs/')
])  # fmt: skip
def test_every_shipped_game_can_be_a_population(row):
  """No metric of it has the name of another metric's figure for a member."""
  config = config_lib.override(load_shrunk(row), [TWO, '--config.devices=1'])
  experiment_of(config).check(parallel.make_mesh(1))


def test_warnings_read_the_metrics_of_their_own_member():
  """Of a Stacked GAN, the mean of level i over members has the name of a level-less metric of member i."""
  levels = {'real_accuracy_0': 1.0, 'fake_accuracy_0': 1.0, 'real_accuracy_1': 0.6, 'fake_accuracy_1': 0.6}
  views, said, written = [View(i, None, ()) for i in range(2)], [], []
  session = types.SimpleNamespace(
    config=types.SimpleNamespace(log_every=1), place=types.SimpleNamespace(step=0), say=said.append,
    experiment=types.SimpleNamespace(views=views, row=member_metrics.statistics),
    writer=types.SimpleNamespace(metrics=lambda step, row, rates: written.append(row)),
  )  # fmt: skip
  stage = types.SimpleNamespace(first_step=0, game=types.SimpleNamespace(turns=()))

  def told(values):
    said.clear()
    hook = hooks.Row(session, stage)
    for step in range(600, 605):
      row = {name: value for view in views for name, value in view.named(values).items()}
      hook(hooks.Moment(types.SimpleNamespace(step=step), None, row, {}))
    return list(said)

  assert not told(levels)
  assert written[-1]['real_accuracy_0'] == 1.0 and written[-1]['real_accuracy_1_0'] == 0.6
  lines = told({'real_accuracy': 1.0, 'fake_accuracy': 1.0})
  assert [line.partition(': the discriminator wins')[0] for line in lines] == ['warning: member 0', 'warning: member 1']


def test_a_number_among_others_varies():
  settings = [TWO, '--config.vary.game.information.digit=(0.5,2)', '--config.devices=1']
  config = config_lib.override(config_lib.load('configs/infogan.py:digits'), settings)
  crowd = experiment_of(config)
  assert [m.stages[0].game.information['digit'] for m in crowd.views] == [0.5, 2.0]
  crowd.check(parallel.make_mesh(1))  # its trace is where the number is not a plain one


def test_a_number_of_a_link_of_an_optimizer_varies():
  links = "({'name': 'optax.adam', 'learning_rate': 0.1}, {'name': 'optax.scale', 'step_size': 1.0})"
  chain = f"{{'name': 'chain', 'links': {links}}}"
  settings = [
    TWO,
    f'--config.optimizers.generator={chain}',
    '--config.vary.optimizers.generator.links[1].step_size=(1,2)',
  ]
  config = small(*settings)
  assert [member_config(config, i).optimizers.generator.links[1]['step_size'] for i in (0, 1)] == [1.0, 2.0]
  assert config.optimizers.generator.links[1]['step_size'] == 1.0, 'the config itself is as it was'
  experiment_of(config).check(parallel.make_mesh(1))
  falling = {'name': 'optax.cosine_decay_schedule', 'init_value': 0.1, 'decay_steps': 5}
  sgd = {'name': 'optax.sgd', 'learning_rate': falling}
  settings[1] = f'--config.optimizers.generator={ ({"name": "chain", "links": (sgd,)}) }'
  settings[2] = '--config.vary.optimizers.generator.links[0].learning_rate.init_value=(1.0,2.0)'
  config = small(*settings)
  experiment_of(config).check(parallel.make_mesh(1))
  assert config.optimizers.generator.links[0]['learning_rate']['init_value'] == 0.1


def test_vary_is_written_dotted_or_nested_and_read_back():
  config = config_lib.load('configs/quickstart.py')
  settings = {key: config[key] for key in config}
  dotted = config_lib.base(**{**settings, 'vary': {'optimizers.generator.learning_rate': (1, 2), 'seed': [3, 4]}})
  nested = config_lib.override(
    config, ['--config.vary.optimizers.generator.learning_rate=1,2', '--config.vary.seed=[3,4]']
  )
  assert dotted.to_dict() == nested.to_dict()
  assert config_lib.from_json(config_lib.to_json(dotted)).to_dict() == dotted.to_dict()
  dotted.population = 2
  # A setting that is a float stays one.
  assert repr(member_config(dotted, 1).optimizers.generator.learning_rate) == '2.0'
  assert member_config(dotted, 1).seed == 4


def test_a_dry_run_counts_the_members(capsys):
  from gan_jax import main

  flops = []
  for size in (0, 4):
    main.main(['--config=configs/gan.py:ring', '--dry_run', f'--config.population={size}', *SMALL])
    said = capsys.readouterr().out
    flops.append(float(said.split('flops')[1].split()[0]))
  assert 'members   4 games in one step' in said
  assert 3 < flops[1] / flops[0] < 5
