"""Checkpoints: never a wrong load, never a lost run."""

import functools
import json
import pathlib
import re
import resource
import shutil
import signal
import sys
import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

import gan_jax
from gan_jax import config as config_lib
from gan_jax import main
from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import Options
from gan_jax.distributed import parallel
from gan_jax.runs import checkpoint, checksums, resume, run_config
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import checks
from gan_jax.training import loop as train

SMALL = [
  '--config.game.generator.hidden=(8,)',
  '--config.game.discriminator.hidden=(8,)',
  '--config.batch_size=8',
  '--config.devices=1',
  '--config.log_every=1',
  '--config.sample_every=0',
  '--config.samples=4',
  '--config.checkpoint_every=2',
]


def small(*more, steps=4):
  return config_lib.override(config_lib.load('configs/gan.py:ring'), [*SMALL, f'--config.steps={steps}', *more])


def leaves(state):
  return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def assert_same(a, b):
  for x, y in zip(leaves(a), leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A run of 4 steps with checkpoints of steps 2 and 4, and the states that they hold."""
  folder = tmp_path_factory.mktemp('trained') / 'run'
  train.run(small(), folder, silent=True)
  assert sorted(path.name for path in (folder / 'checkpoints').iterdir()) == ['2', '4']
  return folder, {step: gan_jax.load(folder, step).state for step in (2, 4)}


def damages(data):
  """(name, what a file becomes; None: it is removed)."""
  yield 'removed', None
  yield 'emptied', b''
  yield 'halved', data[: len(data) // 2]
  for part in (0.02, 0.35, 0.7, 0.98):
    place = min(int(part * len(data)), max(len(data) - 1, 0))
    if data:
      yield f'bit flipped at {place}', data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


@pytest.mark.slow
def test_every_damage_to_every_file_is_refused_or_passed_over(trained, tmp_path, capsys):
  folder, states = trained
  files = sorted(path for path in (folder / 'checkpoints' / '4').rglob('*') if path.is_file())
  outcomes = {'harmless': 0, 'passed over': 0}
  for file in files:
    for name, content in damages(file.read_bytes()):
      copy = tmp_path / 'copy'
      shutil.copytree(folder, copy)
      target = copy / file.relative_to(folder)
      target.unlink() if content is None else target.write_bytes(content)
      run = gan_jax.load(copy)
      said = capsys.readouterr().err
      assert_same(run.state, states[run.step])
      if run.step == 4:
        outcomes['harmless'] += 1
      else:
        outcomes['passed over'] += 1
        assert 'step 4 is damaged' in said and 'going on from step 2' in said, (file, name, said)
      shutil.rmtree(copy)
  assert sum(outcomes.values()) >= 30 and outcomes['passed over'] >= 20, outcomes


def test_training_goes_on_from_what_can_be_read_and_ends_the_same(trained, tmp_path, capsys):
  folder, states = trained
  copy = tmp_path / 'run'
  shutil.copytree(folder, copy)
  (copy / 'checkpoints' / '9').mkdir()  # what an interrupted copy may leave behind
  data = max((copy / 'checkpoints' / '4').rglob('*'), key=lambda path: path.stat().st_size if path.is_file() else 0)
  data.write_bytes(data.read_bytes()[:-7])
  state = train.run(small(), copy)
  said = capsys.readouterr().out
  assert 'step 4 is damaged' in said and 'step 9 is damaged' in said and 'resuming at step 2' in said
  assert_same(state, states[4])
  kept = sorted(path.name.split('-')[0] for path in (copy / 'damaged').iterdir())
  assert kept == ['4', '9'], 'put aside, not deleted'
  assert_same(gan_jax.load(copy).state, states[4])


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_anew(trained, tmp_path):
  folder, _ = trained
  copy = tmp_path / 'run'
  shutil.copytree(folder, copy)
  for step in ('2', '4'):
    (copy / 'checkpoints' / step / '_CHECKPOINT_METADATA').write_text('{')
  with pytest.raises(UserError, match=r'no checkpoint .* can be read \(damaged: steps 4, 2\)'):
    train.run(small(), copy, silent=True)
  assert (copy / 'checkpoints' / '4').exists() and (copy / 'checkpoints' / '2').exists()


def test_another_format_is_named(trained, tmp_path):
  folder, _ = trained
  copy = tmp_path / 'run'
  shutil.copytree(folder, copy)
  for step in ('2', '4'):
    file = copy / 'checkpoints' / step / '_CHECKPOINT_METADATA'
    metadata = json.loads(file.read_text())
    metadata['custom_metadata']['format'] = 99
    file.write_text(json.dumps(metadata))
  with pytest.raises(UserError, match=r'format 99 .*gan_jax.*reads format'):
    gan_jax.load(copy)


def test_a_checkpoint_of_another_precision_is_not_called_damaged(tmp_path):
  checkpoints = checkpoint.Checkpoints(tmp_path, 1, write=True)
  place = checkpoint.Place(2, 0, {})
  checkpoints.save({'weight': jnp.ones(3)}, place)
  checkpoints.close()
  with pytest.raises(UserError, match=r"another precision: \['weight'\] is float32, here float16; set JAX_ENABLE_X64"):
    checkpoint.Checkpoints(tmp_path, 1).restore(place, {'weight': jax.ShapeDtypeStruct((3,), jnp.float16)})


@pytest.mark.parametrize('small', [0, checksums.SMALL])
def test_checksums_see_every_change_of_one_entry_and_no_order_of_devices(small, monkeypatch):
  tree = {'a': jnp.arange(7, dtype=jnp.float32), 'b': jnp.ones((2, 3), jnp.bfloat16), 'c': jnp.array([True, False])}
  tree |= {'d': jnp.int32(3), 'e': jnp.arange(4, dtype=jnp.uint8), 'f': jax.random.key(3)}
  by_numpy, by_devices = checksums.by_numpy(tree), jax.device_get(checksums.by_devices(tree))
  assert jax.tree.map(int, by_numpy) == jax.tree.map(int, by_devices)
  monkeypatch.setattr(checksums, 'SMALL', small)
  sums, bad = checksums.of(tree)
  assert bad.keys() == {'a', 'b'} and not any(bad.values())
  for name, leaf in tree.items():
    if name == 'f':
      changed = jax.random.key(4)
    else:
      flat = leaf.ravel()
      changed = flat.at[-1].set(~flat[-1] if leaf.dtype == bool else flat[-1] + 1).reshape(leaf.shape)
    assert checksums.of({**tree, name: changed})[0][name] != sums[name], name
  assert checksums.of({'a': tree['a'][::-1]})[0]['a'] != sums['a'], 'entries exchanged'
  assert checksums.of({'a': tree['a'].at[2].set(jnp.nan)})[1]['a'] == 1
  # By hand: the bits of 1.0f are 0x3F800000, of 2.0f 0x40000000, times 1 and 3.
  assert int(checksums.of({'x': jnp.array([1.0, 2.0])})[0]['x']) == (0x3F800000 + 3 * 0x40000000) % 2**32
  spread = jax.device_put(jnp.arange(16.0), jax.NamedSharding(jax.make_mesh((8,), ('data',)), jax.P('data')))
  assert checksums.of({'x': spread})[0]['x'] == checksums.of({'x': jnp.arange(16.0)})[0]['x']


def test_the_latest_are_kept_and_the_best(tmp_path):
  values = {1: 5.0, 2: 1.0, 3: 4.0, 4: 3.0, 5: 2.0}
  for best, extra in (('', []), ('fid', [2]), ('-fid', [1])):
    folder = tmp_path / f'run{best}'
    checkpoints = checkpoint.Checkpoints(folder, 2, best, write=True)
    for step, value in values.items():
      checkpoints.save({'x': jnp.full(3, float(step))}, checkpoint.Place(step, 0, {}), {'fid': value})
    checkpoints.close()
    assert checkpoint.Checkpoints(folder).steps() == [*extra, 4, 5]


def test_the_best_by_what_a_run_kept_before_is_kept(tmp_path):
  values = {1: 9.0, 2: 1.0, 3: 5.0, 4: 3.0}
  for before, now, kept in (
    ('fid', '', [2, 4, 7]),  # 4, the other end: older versions wrote values of '-fid' as those of 'fid'
    ('-fid', '', [1, 7]),
    ('fid', '-fid', [2, 4, 5, 7]),
    ('-fid', 'fid', [1, 7]),
    ('-fid', '-kid', [1, 5, 7]),
  ):
    folder = tmp_path / f'{before},{now}'
    for best, some in ((before, values.items()), (now, [(5, 4.0)]), (now, [(6, 3.0), (7, 2.0)])):
      checkpoints = checkpoint.Checkpoints(folder, 1, best, write=True)
      for step, value in some:
        checkpoints.save({'x': jnp.zeros(1)}, checkpoint.Place(step, 0, {}), {'fid': value, 'kid': value})
      checkpoints.close()
    assert checkpoint.Checkpoints(folder).steps() == kept, (before, now)
    assert checkpoint.Checkpoints(folder, best=before).best() == {'fid': 2, '-fid': 1}[before]


def test_a_checkpoint_without_a_number_is_never_the_best():
  of = lambda step, value: types.SimpleNamespace(step=step, metrics={'fid': value})
  known = [of(1, float('nan')), of(2, 3.0), of(3, 4.0), types.SimpleNamespace(step=4, metrics=None)]
  assert checkpoint._values(known, '-fid') == {2: 3.0, 3: 4.0}
  assert checkpoint._Kept(1, '').should_preserve(known[:1] + known[3:], context=None) == [False, True]
  assert checkpoint._Kept(1, 'fid').should_preserve(known, context=None) == [False, True, False, True]


def test_a_longer_run_and_another_learning_rate_go_on_and_nothing_else_does(tmp_path, capsys):
  folder = tmp_path / 'run'
  train.run(small('--config.keep_best=generator_loss'), folder, silent=True)
  with pytest.raises(UserError, match=r'config\.game\.loss: .*hinge.*--config\.resume=force'):
    train.run(small('--config.game.loss=hinge', steps=6), folder, silent=True)
  another = '--config.init_from=runs/another'
  train.run(small('--config.optimizers.generator.learning_rate=1e-5', another, steps=6), folder)
  said = capsys.readouterr().out
  assert f'note: config.init_from counts only at the start of a run; {folder} goes on from step 4' in said
  assert 'resuming at step 4' in said and "note: config.keep_best was 'generator_loss' and is ''" in said
  train.run(small('--config.game.loss=hinge', '--config.resume=force', another, steps=8), folder)
  said = capsys.readouterr().out
  assert 'resuming at step 6' in said and 'config.init_from' not in said, 'it is told once'
  assert run_config.read_config(folder).game.loss == 'hinge'
  with pytest.raises(UserError, match=r'another game: \d+ arrays differ, such as .*generator'):
    train.run(small('--config.game.generator.hidden=(9,)', '--config.resume=force', steps=8), folder, silent=True)
  rows = [json.loads(line)['step'] for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  assert rows == list(range(1, 9)), 'each step once'


def test_each_setting_that_the_page_calls_free_may_change(tmp_path):
  page = (pathlib.Path(__file__).parents[1] / 'docs' / 'troubleshooting.md').read_text()
  names = re.findall('`([^`]+)`', re.search(r'These settings may change:(.*?)\.\n', page, re.DOTALL)[1])
  assert 'keep_best' in names and 'data.path' in names
  config = small()
  run_config.write_config(tmp_path, config)
  for name in names:
    settings = config.to_dict()
    *path, last = name.split('.')
    part = functools.reduce(dict.get, path, settings)
    part[last] = dict.fromkeys(part[last], 'another') if isinstance(part.get(last), dict) else 'another'
    run_config.check_resumable(tmp_path, ml_collections.ConfigDict(settings))


def test_evaluations_may_begin_but_not_change(tmp_path):
  config = small()
  run_config.write_config(tmp_path, config)
  others = config_lib.override(config, ['--config.eval.every=2', '--config.eval.samples=64'])
  (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "loss": 0.5}\n')
  run_config.check_resumable(tmp_path, others)
  (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "eval_fid": 0.5}\n')
  with pytest.raises(UserError, match=r'config\.eval\.samples: \d+ -> 64'):
    run_config.check_resumable(tmp_path, others)


def test_stages_that_share_their_steps_keep_their_ends(tmp_path):
  config = small('--config.stages=({}, {"batch_size": 8})')
  run_config.write_config(tmp_path, config)
  with pytest.raises(UserError, match=r'config\.steps: \d+ -> 99'):
    run_config.check_resumable(tmp_path, config_lib.override(config, ['--config.steps=99']))
  run_config.check_resumable(tmp_path, config_lib.override(config, ['--config.steps=99', '--config.resume=force']))
  own = small('--config.stages=({"steps": 3}, {"batch_size": 8})')
  run_config.write_config(tmp_path, own)
  run_config.check_resumable(tmp_path, config_lib.override(own, ['--config.steps=99']))  # of the last stage alone


def test_a_save_that_is_tried_again_keeps_its_metrics(tmp_path, monkeypatch):
  checkpoints = checkpoint.Checkpoints(tmp_path, keep=2, best='loss', write=True)
  place, state = (lambda step: checkpoint.Place(step, 0, {})), {'x': jnp.zeros(1)}
  checkpoints.save(state, place(1), {'loss': 0.5})
  checkpoints.close()
  checkpoints = checkpoint.Checkpoints(tmp_path, keep=2, best='loss', write=True)
  with monkeypatch.context() as patch:
    patch.setattr(checkpoints._checkpointer, 'save_async', lambda *a, **k: (_ for _ in ()).throw(OSError('no space')))
    with pytest.raises(UserError, match='no space'):
      checkpoints.save(state, place(2), {'loss': 0.1})
  checkpoints.save_now(state, place(2))
  checkpoints = checkpoint.Checkpoints(tmp_path, keep=2, best='loss', write=True)
  for step in (3, 4, 5):
    checkpoints.save(state, place(step), {'loss': 0.9})
  checkpoints.close()
  assert 2 in checkpoint.Checkpoints(tmp_path).steps(), 'the best one is kept'


def test_the_best_checkpoint_is_by_a_metric_that_the_run_has():
  root, mesh = pathlib.Path(__file__).parents[1], parallel.make_mesh(1)
  pages = [path.read_text() for folder in ('docs', 'configs') for path in (root / folder).glob('*.[mp][dy]')]
  named = {name for text in pages for name in re.findall(r"keep_best='?(-?[a-z]\w+)", text)}
  assert {'generator_loss', 'eval_fid', '-eval_parzen_validation'} <= named
  experiment = experiment_of(small())
  of = types.SimpleNamespace(stages=experiment.stages, of_first=experiment.of_first, config=types.SimpleNamespace())
  for of.config.keep_best in (*named, '', '-fake_accuracy', 'discriminator_gradient_norm', '-sample_diversity'):
    checks._check_best(of, mesh, Options())
  for name in ('fid', '-eval', 'generator', 'generator_loss_0'):
    of.config.keep_best = name
    with pytest.raises(UserError, match=rf"config.keep_best '{name.strip('-')}': choose one of .*generator_loss, "):
      checks._check_best(of, mesh, Options())


def test_a_warm_start_takes_the_players_asked_for(trained, tmp_path, capsys):
  folder, states = trained
  fresh = train.run(small('--config.seed=7', steps=1), tmp_path / 'fresh', silent=True)
  settings = [f'--config.init_from={folder}', '--config.optimizers.generator.learning_rate=0.0']
  settings += ['--config.optimizers.discriminator.learning_rate=0.0', '--config.seed=7']
  state = train.run(small(*settings, steps=1), tmp_path / 'both')
  assert 'generator: 4 of 4 weights from step 4' in capsys.readouterr().out
  for name in ('generator', 'discriminator'):
    assert_same(state.players[name].params, states[4].players[name].params)
  one = small(*settings, steps=1)
  one.init_players = ('discriminator',)
  state = train.run(one, tmp_path / 'one', silent=True)
  assert_same(state.players['discriminator'].params, states[4].players['discriminator'].params)
  assert int(state.step) == 1
  assert not np.array_equal(
    leaves(state.players['generator'].params)[1], leaves(states[4].players['generator'].params)[1]
  )
  assert leaves(fresh.players['generator'].params)[1].shape == leaves(state.players['generator'].params)[1].shape
  one.init_players = ('critic',)
  with pytest.raises(UserError, match=r"init_players names 'critic'.*discriminator, generator"):
    train.run(one, tmp_path / 'none', silent=True)


def test_a_warm_start_from_a_run_without_a_player_in_common_is_one_line(trained):
  folder, states = trained
  state = states[4].replace(players={'encoder': states[4].players['generator']})
  with pytest.raises(UserError, match=r'this game has encoder, that run has discriminator, generator; name a run'):
    resume.warm(small(f'--config.init_from={folder}'), state, lambda line: None)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
  checkpoints = checkpoint.Checkpoints(tmp_path, write=True)
  checkpoints.save({'x': jnp.ones(3)}, checkpoint.Place(1, 0, {}))
  with pytest.raises(UserError, match=r"state\['x'\] has 1 entries that are not finite at step 2"):
    checkpoints.save({'x': jnp.ones(3).at[1].set(jnp.inf)}, checkpoint.Place(2, 0, {}))
  checkpoints.close()
  assert checkpoint.Checkpoints(tmp_path).steps() == [1]


@pytest.fixture
def full_disk():
  """Files may not grow beyond 64 KiB: what a write meets when there is no room."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
  yield
  resource.setrlimit(resource.RLIMIT_FSIZE, before)
  signal.signal(signal.SIGXFSZ, handler)


def test_writes_that_end_after_a_failed_save_print_no_traceback(tmp_path, monkeypatch):
  printed = []
  monkeypatch.setattr(sys, 'unraisablehook', lambda unraisable: printed.append(str(unraisable.exc_value)))
  checkpoint._silence_late_writes.cache_clear()
  checkpoints = checkpoint.Checkpoints(tmp_path, write=True)
  checkpoints.save({'x': jnp.zeros(1)}, checkpoint.Place(1, 0, {}))
  checkpoints.close()
  for error in (RuntimeError('Event loop is closed'), RuntimeError('another'), ValueError('a third')):
    sys.unraisablehook(types.SimpleNamespace(exc_value=error))
  assert printed == ['another', 'a third']


def test_a_full_disk_is_one_line_and_the_checkpoint_before_is_kept(tmp_path, request, capsys):
  arguments = ['--config', 'configs/gan.py:ring', *SMALL, '--config.game.generator.hidden=(256,256)']
  main.main([*arguments, '--config.steps=2', '--workdir', str(tmp_path / 'run')])
  capsys.readouterr()
  request.getfixturevalue('full_disk')
  with pytest.raises(SystemExit) as stop:
    main.main([*arguments, '--config.steps=6', '--workdir', str(tmp_path / 'run')])
  assert stop.value.code == 2
  lines = capsys.readouterr().err.strip().splitlines()
  assert len(lines) == 1 and 'cannot write a checkpoint' in lines[0] and 'are kept' in lines[0], lines
  resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
  assert gan_jax.load(tmp_path / 'run').step == 2
  main.main([*arguments, '--config.steps=6', '--workdir', str(tmp_path / 'run')])
  assert gan_jax.load(tmp_path / 'run').step == 6


def test_a_start_that_fails_leaves_the_folder_free(tmp_path, capsys):
  folder = tmp_path / 'run'
  with pytest.raises(UserError, match='unknown split'):
    train.run(small('--config.data.split=nothing'), folder, silent=True)
  train.run(small(), folder, silent=True)
  (folder / 'config.json').write_text('{"half')
  with pytest.raises(UserError, match=r'config\.json is damaged'):
    train.run(small(), folder, silent=True)


def test_restored_on_another_number_of_devices(trained, tmp_path):
  folder, _ = trained
  copy = tmp_path / 'run'
  shutil.copytree(folder, copy)
  state = train.run(small('--config.devices=2', steps=6), copy, silent=True)
  whole = train.run(small(steps=6), tmp_path / 'whole', silent=True)
  for a, b in zip(leaves(state), leaves(whole), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  position = lambda folder: checkpoint.Checkpoints(folder).place(6).position
  assert position(copy) == position(tmp_path / 'whole') == {'images': 48}


def test_nothing_unpickles():
  words = ('import pickle\n', 'cloudpickle', 'allow_pickle=True', 'eval(', 'exec(', 'joblib')
  for file in pathlib.Path(gan_jax.__path__[0]).rglob('*.py'):
    text = file.read_text().replace('literal_eval(', '').replace('exec_module(', '').replace('compile_time_eval(', '')
    assert not [word for word in words if word in text], file
