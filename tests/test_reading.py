"""What samples are made of: conditions that the game reads, pictures that it takes, inputs of exported files."""

import json

import jax
import numpy as np
import pytest
import untrained
from PIL import Image
from rows import load_shrunk

import gan_jax
from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import Options
from gan_jax.core import game_variables
from gan_jax.distributed import parallel
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.exports import function
from gan_jax.runs import best_member, run_config
from gan_jax.runs.experiment import experiment_of
from gan_jax.sampling import conditions
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.reading import averaged_players, read_by_sample
from gan_jax.sampling.translation import translated

LABEL = {'name': 'Label', 'classes': 10}
TEXT = {'name': 'Text', 'length': 16, 'level': 'words', 'captions': 2}


@pytest.fixture(scope='module')
def asked(tmp_path_factory):
  """A run of the standard game whose condition is one of several columns."""
  folder = tmp_path_factory.mktemp('asked')
  columns = {'image': {'name': 'Picture'}, 'kind': {**LABEL, 'column': 'label'}, 'text': TEXT, 'other': LABEL}
  untrained.run(
    '--config', 'configs/cdcgan.py:digits', '--workdir', str(folder / 'run'), '--config.steps=2',
    '--config.data.name=captioned.source', f'--config.data.columns={columns}', '--config.data.classes=0',
    '--config.game.condition=kind', '--config.game.latents={"name": "Normal", "shape": (4,)}',
    '--config.sample_every=0', '--config.eval.every=0', '--config.ema={"discriminator": 0.9}',
    '--config.game.generator.channels=(4,4)', '--config.game.discriminator.channels=(4,4)',
  )  # fmt: skip
  pictures = folder / 'photos'
  pictures.mkdir()
  for i in range(3):
    Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(pictures / f'{i}.png')
  return gan_jax.load(folder / 'run'), pictures


def test_only_conditions_that_are_read_are_taken(asked):
  run, _ = asked
  assert conditions.known(run.stage, run.read) == ['kind'] != conditions.known(run.stage)
  three = run.sample(4, condition={'kind': 3})
  assert three.shape == (4, 8, 8, 1) and not np.array_equal(three, run.sample(4, condition={'kind': 4}))
  for name, value in (('text', 'a three'), ('other', 3)):
    with pytest.raises(UserError, match=f"unknown condition of Standard '?{name}'?: choose one of kind|{name}"):
      run.sample(4, condition={name: value})


def test_pictures_of_ones_own_are_refused_where_nothing_is_made_of_them(asked):
  run, pictures = asked
  with pytest.raises(UserError, match="Standard makes nothing of pictures of 'images'"):
    translated(run, str(pictures))


def test_a_field_that_nothing_gave_is_one_line(asked):
  run, _ = asked
  image = run.examples(n=2)['image']
  with pytest.raises(UserError, match="the game reads the field 'kind', which its inputs lack"):
    run.sample(2, inputs={'images': {'image': image}})


def test_averages_that_no_sample_is_of_are_not_named(asked):
  run, _ = asked
  assert averaged_players(run.stage.game, run.state, run.read) == []
  assert averaged_players(run.stage.game, run.state, None) == ['discriminator']


@pytest.mark.parametrize('row', ['pix2pix:digits', pytest.param('stackgan:digits', marks=pytest.mark.slow)])
def test_an_exported_function_takes_what_it_reads(row):
  stage = runs.stages_of(load_shrunk(f'configs/{row.replace(":", ".py:")}'))[-1]
  variables = jax.device_get(game_variables(stage.game, runs.enter(stage, None, jax.random.key(0))))
  read = read_by_sample(stage, variables)
  inputs = inputs_lib.first(stage, 3)
  latents = None
  if stage.game.latents is not None:
    latents = jax.device_get(gan_jax.latents.distributions.draw(stage.game.latents, jax.random.key(0), 3))
  made = function.of_game(stage.game, variables, latents, inputs)
  whole = {f'{stream}_{field}' for stream, fields in inputs.items() for field in fields}
  kept = {f'{stream}_{field}' for stream, field in read.fields}
  assert kept == whole & set(made.inputs) and kept < whole
  found = jax.tree.leaves(made.apply(made.weights, made.inputs))[0]
  batch = {**inputs, **({} if latents is None else {'latents': latents})}
  noise = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), function.NOISE), 0)
  wanted = stage.game.apply(variables, batch, method='sample', rngs={'noise': noise})
  np.testing.assert_allclose(found, jax.tree.leaves(wanted)[0], atol=1e-4)


def test_examples_without_labels_are_attacked_as_what_they_are_taken_for():
  stage = runs.stages_of(load_shrunk('configs/adversarial_examples.py:digits'))[0]
  game = stage.game
  variables = jax.device_get(game_variables(game, runs.enter(stage, None, jax.random.key(0))))
  image = inputs_lib.first(stage, 5)['images']['image']
  sample = lambda fields: game.apply(variables, {'images': fields}, method='sample', rngs={'noise': jax.random.key(1)})
  taken_for = game.apply(variables, image, method=lambda game, x: game._pure(game.classifier)(x)).argmax(-1)
  np.testing.assert_array_equal(sample({'image': image}), sample({'image': image, 'label': taken_for}))
  assert not np.array_equal(sample({'image': image}), sample({'image': image, 'label': (taken_for + 1) % 10}))


@pytest.mark.slow
def test_the_exported_best_member_brings_its_figures(tmp_path):
  untrained.run(
    '--config', 'configs/gan.py:ring', '--workdir', str(tmp_path / 'run'), '--config.population=2', '--config.steps=2',
    '--config.keep_best=eval_fid', '--config.eval.every=2', "--config.eval.metrics=('fid',)",
    '--config.eval.features=raw', '--config.eval.samples=50', '--config.sample_every=0', '--config.checkpoint_every=1',
  )  # fmt: skip
  best = gan_jax.load(tmp_path / 'run').member
  own = json.loads((tmp_path / 'run' / f'evaluation_member_{best}.json').read_text())
  copied = json.loads((tmp_path / 'run' / 'best' / 'evaluation.json').read_text())
  assert copied.pop('copied_from') == f'evaluation_member_{best}.json' and copied == own
  assert not best_member._used(gan_jax.base.paths.expand(tmp_path / 'run' / 'best'))
  (tmp_path / 'run' / 'best' / 'evaluation.json').write_text(json.dumps(own))
  assert best_member._used(gan_jax.base.paths.expand(tmp_path / 'run' / 'best'))


def test_a_finished_run_is_loaded_whatever_its_data_have_become(tmp_path):
  vectors = np.random.RandomState(0).rand(16, 6).astype(np.float32)
  np.savez(tmp_path / 'x.npz', x=vectors)
  untrained.run(
    '--config', 'configs/gan.py:ring', '--workdir', str(tmp_path / 'run'), '--config.steps=1',
    '--config.data={"name": "npz", "path": "' + str(tmp_path / 'x.npz') + '", "columns": {"image": {"name": "Array", '
    '"column": "x"}}}', '--config.game.generator.shape=(6,)', '--config.batch_size=8', '--config.sample_every=0',
  )  # fmt: skip
  before = gan_jax.load(tmp_path / 'run').sample(3)
  np.savez(tmp_path / 'x.npz', x=np.tile(vectors, (1, 2)))
  gan_jax.data.sources._open.cache_clear()
  np.testing.assert_array_equal(gan_jax.load(tmp_path / 'run').sample(3), before)


@pytest.mark.slow
def test_init_from_on_several_devices_with_an_optimizer_that_keeps_weights(tmp_path):
  """Weights that do not fit are ours, on all devices; those that were read are on one."""
  small = ['--config.steps=1', '--config.sample_every=0', '--config.eval.every=0', '--config.batch_size=16']
  looking = "{'name': 'chain', 'links': ({'name': 'adam', 'learning_rate': 0.1}, {'name': 'lookahead', 'every': 2})}"
  untrained.run('--config', 'configs/gan.py:digits', '--workdir', str(tmp_path / 'a'), *small)
  config = config_lib.override(
    config_lib.load('configs/gan.py:digits'),
    [*small, f'--config.init_from={tmp_path / "a"}', f'--config.optimizers.generator={looking}',
     '--config.game.latents.shape=(7,)'],
  )  # fmt: skip
  experiment = experiment_of(config)
  from gan_jax.runs import resume

  mesh = parallel.make_mesh(2)
  begun = parallel.replicate(mesh)(runs.enter(experiment.stages[0], None, jax.random.key(0)))
  warmed = resume.warm(config, begun, lambda line: None)
  both, player = set(mesh.devices.flat), warmed.players['generator']
  assert all(leaf.sharding.device_set == both for leaf in jax.tree.leaves(player.params))
  assert any(leaf.shape[:1] == (7,) for leaf in jax.tree.leaves(player.params))
  assert any(leaf.shape[:1] == (7,) for leaf in jax.tree.leaves(player.opt_state))


def test_averages_of_a_game_that_reads_the_clock():
  """A layer that fades in looks at the time when it samples, as evaluations do."""
  stage = runs.stages_of(load_shrunk('configs/progressive.py:digits'))[-1]
  state = runs.enter(stage, None, jax.random.key(0))
  evaluator = Evaluator(stage, Options(metrics=('fid',), features='raw', samples=16))
  assert evaluator._averaged(state, stage.first_step + 1) == ['generator']


def test_settings_are_alike_wherever_data_are():
  of = lambda *settings: run_config.without_paths(
    config_lib.override(config_lib.load('configs/gan.py:digits'), list(settings))
  )
  assert of('--config.data.path=a') == of('--config.data.path=b') != of('--config.steps=7')
