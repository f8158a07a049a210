"""Evaluations as a whole: the same on any number of devices and processes, each figure with its protocol."""

import contextlib
import json
import logging
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, evaluate, runs
from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import Options
from gan_jax.core.state import GameState
from gan_jax.data import sets, transforms
from gan_jax.data.sources import builtin
from gan_jax.data.sources.builtin import digits
from gan_jax.distributed import parallel
from gan_jax.evaluation import evaluator as evaluator_lib
from gan_jax.evaluation import measures, of_examples, of_features, of_networks, reference, scores, suited
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.evaluation.figures import Figure
from gan_jax.evaluation.options import options_of
from gan_jax.features import choose
from gan_jax.features import classifier as classifier_lib
from gan_jax.latents.distributions import Label, Normal, Scales
from gan_jax.metrics import frechet, histograms, two_sample
from gan_jax.sampling.sampler import Sampler
from gan_jax.training import hooks
from gan_jax.training import loop as train

SMALL = [
  '--config.game.generator.channels=(8, 4)',
  '--config.game.discriminator.channels=(4, 8)',
  '--config.batch_size=16',
  '--config.devices=1',
  '--config.samples=9',
  '--config.log_every=2',
  '--config.sample_every=0',
]


@pytest.fixture(autouse=True)
def short_judge(monkeypatch):
  """The figure `two_sample` trains a network: its own tests train it for long."""
  monkeypatch.setitem(two_sample.two_sample_test.__kwdefaults__, 'steps', 40)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('evaluated') / 'run'
  settings = [*SMALL, '--config.steps=6', '--config.checkpoint_every=0', '--config.eval.every=2']
  settings += ['--config.eval.features=raw', '--config.eval.samples=200', '--config.keep=1']
  settings += ["--config.eval.metrics=('fid', 'prdc')", '--config.keep_best=eval_fid']
  train.run(config_lib.override(config_lib.load('configs/quickstart.py'), settings), folder, silent=True)
  return folder


@pytest.fixture(scope='module')
def run(workdir):
  return gan_jax.load(workdir)


def _evaluator(run, devices=1, **options):
  return Evaluator(run.stage, Options(**{'features': 'raw', 'samples': 700, **options}), parallel.make_mesh(devices))


# The figures themselves


def test_frechet_distance_is_that_of_the_samples_as_stored(run):
  # Written without any of our statistics: samples rounded to 8 bits, numpy's covariance, eigenvalues of the product.
  made = transforms.to_uint8(run.sample(700, seed=5), (-1.0, 1.0)).reshape(700, -1) / 255.0
  real = digits(run.stage.streams['images']).arrays['image'].reshape(-1, 64) / 255.0
  moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (real, made)]
  (m1, c1), (m2, c2) = moments
  expected = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2) - 2 * np.sqrt(linalg.eigvals(c1 @ c2) + 0j).real.sum()
  got = _evaluator(run, seed=5, metrics=('fid',))(run.state, run.step)
  assert got.values['fid'] == pytest.approx(expected, rel=1e-4)
  protocol = json.loads(got.to_json())['figures']['fid']['protocol']
  for words in ('700 samples against all 1433', 'digits train (1433), 8x8x1', 'seed 5, rounded to 8 bits', 'raw-8x8x1'):
    assert protocol.count(words) == 1, protocol


@pytest.mark.parametrize('samples', [100, 640, 1300])
def test_padding_counts_for_nothing(run, samples):
  evidence = _evaluator(run, 2, samples=samples).evidence(run.state, run.step)
  fake = evidence.fake
  assert fake.moments.examples == len(fake.features) == len(fake.examples) == samples
  np.testing.assert_array_equal(fake.examples, transforms.to_uint8(run.sample(samples, seed=1), (-1.0, 1.0)))
  np.testing.assert_allclose(fake.moments.covariance, np.cov(fake.features.astype(np.float64), rowvar=False), atol=1e-6)


def test_figures_are_the_same_on_one_and_on_eight_devices(run):
  metrics = ('fid', 'kid', 'prdc')
  one, eight = (_evaluator(run, devices, metrics=metrics)(run.state, run.step).values for devices in (1, 8))
  assert one == pytest.approx(eight, rel=1e-4, abs=1e-7)


def test_work_is_split_over_devices(run):
  sampler = Sampler(run.stage.game)

  def flops(devices):
    mesh = parallel.make_mesh(devices)
    generated = scores.Generated(sampler, mesh, limits=(-1.0, 1.0))
    starts = scores.split(mesh, 64 * np.arange(16, dtype=np.int32).reshape(devices, -1))
    variables = parallel.replicate(mesh)(run.variables())
    compiled = generated._make.lower(variables, jax.random.key(0), starts, {}).compile()
    return compiled.cost_analysis()['flops']

  assert flops(8) < flops(1) / 7


@pytest.mark.slow
def test_figures_are_the_same_from_two_processes(workdir, run, tmp_path):
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  script, out = str(pathlib.Path(__file__).parent / 'evaluated.py'), str(tmp_path / 'figures')
  command = [sys.executable, script, str(workdir), out]
  # A cache of its own: the real side is to be read and scored by both.
  settings = {**os.environ, 'GAN_JAX_CACHE': str(tmp_path / 'cache')}
  processes = [subprocess.Popen([*command, str(i), '2', str(port), '2'], env=settings) for i in range(2)]
  assert [process.wait(200) for process in processes] == [0, 0]
  first, second = (json.loads(pathlib.Path(f'{out}.{i}').read_text()) for i in range(2))
  assert first == second and first.pop('devices') == 4
  one = _evaluator(run, metrics=('fid', 'kid', 'prdc'))(run.state, run.step).values
  assert first == pytest.approx(one, rel=1e-4, abs=1e-7)


class Prototypes(nn.Module):
  """Makes the mean digit of the class asked for, with a little noise: classes 5 to 9 are made as 0 to 4 if `half`."""

  latents: dict
  half: bool = False

  turns = ()

  def sample(self, batch):
    data = digits(config_stream())
    means = np.stack([data.arrays['image'][data.arrays['label'] == k].mean(0) for k in range(10)]) / 127.5 - 1
    label = batch['latents']['label']
    label = label % 5 if self.half else label
    return jnp.asarray(means)[label] + 0.1 * batch['latents']['z'].reshape(-1, 8, 8, 1)


def config_stream(**changes):
  from gan_jax.data.streams import Stream

  return Stream(**{'name': 'digits', 'size': 8, 'channels': 1, 'classes': 10, **changes})


def _prototypes(half):
  game = Prototypes({'z': Normal((64,)), 'label': Label(10)}, half)
  state = GameState(jnp.int32(0), {}, {'table': {}, 'memory': {}}, {})
  stage = runs.Stage(0, game, {}, {}, {'images': config_stream()}, 64, 1, 0, 1, {}, (0, 1))
  options = Options(metrics=('classes', 'prdc', 'ifid'), samples=640, features='classifier')
  return Evaluator(stage, options, parallel.make_mesh(1))(state, 0)


@pytest.mark.slow
def test_a_generator_that_ignores_half_of_the_classes_is_exposed():
  whole, half = _prototypes(False), _prototypes(True)
  assert whole.values['class_accuracy'] > 0.97 and 0.4 < half.values['class_accuracy'] < 0.6
  assert whole.values['rarest_class'] > 0.05 and half.values['rarest_class'] < 0.01
  assert whole.values['class_kl'] < 0.05 and half.values['class_kl'] == pytest.approx(np.log(2), abs=0.1)
  assert half.values['coverage'] < 0.75 * whole.values['coverage']
  assert half.values['intra_fid'] > whole.values['intra_fid']
  # Prototypes with noise are far less varied than digits.
  assert whole.values['class_diversity'] < 0.5
  parts = next(figure.parts for figure in half.figures if figure.name == 'class_kl')
  assert len(parts) == 10 and sum(parts) == pytest.approx(1.0)


def test_a_class_that_the_reference_lacks_is_told_beside_the_figures():
  random, real_labels, made = np.random.RandomState(0), np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
  scores = lambda labels: types.SimpleNamespace(features=random.randn(6, 2), labels=labels, examples=random.randn(6, 4))
  real, fake = scores(real_labels), scores(made)
  evidence = types.SimpleNamespace(
    real=real, fake=fake, labels=made, predicted_classes=made, stream=types.SimpleNamespace(classes=3),
    logits=lambda scores: 9.0 * np.eye(3)[scores.labels], real_examples=lambda count: real.examples[:count],
  )  # fmt: skip
  figures = {figure.name: figure for figure in (*of_features.intra_fid(evidence), *of_features.class_figures(evidence))}
  assert np.isnan(figures['intra_fid'].value) and np.isinf(figures['class_kl'].value)
  assert 'NOTE: no mean, for there is no distance with fewer than 2 ex' in figures['intra_fid'].protocol
  assert figures['intra_fid'].protocol.endswith('of class 2')
  assert 'NOTE: infinite, for the reference has none of what samples have: of class 2' in figures['class_kl'].protocol
  real.labels = np.array([0, 0, 1, 1, 2, 2])
  figures = {figure.name: figure for figure in (*of_features.intra_fid(evidence), *of_features.class_figures(evidence))}
  assert all(np.isfinite(figures[name].value) for name in ('intra_fid', 'class_kl'))
  assert not any('no mean' in figure.protocol or 'infinite' in figure.protocol for figure in figures.values())


def test_the_histogram_of_the_line_is_compared_with_as_many_points_as_the_authors():
  """Chi-square grows with the number of points: with few, rare bins are empty and are left out."""
  stream = config_stream(name='line', classes=0)
  made = builtin.line_points(np.random.RandomState(5), 20_000)[0]
  made[::26] = np.random.RandomState(6).uniform(0, 115, made[::26].shape)
  evidence = types.SimpleNamespace(stream=stream, fake=types.SimpleNamespace(examples=made))
  figures = {figure.name: figure for figure in of_examples.histogram_figures(evidence)}
  assert '20000 samples, 1048576 real' in figures['chi_square'].protocol
  assert 0.1 < figures['chi_square'].value < 1.0
  few = builtin.line_points(np.random.RandomState(2), 50_000)[0].ravel()
  assert histograms.histogram_distances(made.ravel(), few).chi_square < figures['chi_square'].value / 3


def test_fewer_pictures_than_asked_for_have_a_note_beside_swd(monkeypatch):
  """Large ones: the distance of fewer is larger."""
  pictures = np.random.RandomState(0).randint(0, 256, (60, 16, 16, 1)).astype(np.uint8)
  stream = types.SimpleNamespace(open=lambda: pictures)

  def figure(kept, samples):
    evidence = types.SimpleNamespace(
      need_pictures=lambda name: None, stream=stream, samples=samples, real_examples=lambda count: pictures[:kept],
      fake=types.SimpleNamespace(examples=pictures[:samples][:kept]),
    )  # fmt: skip
    return next(iter(of_examples.swd(evidence))).protocol

  monkeypatch.setattr(sets, 'KEPT_BYTES', 9 << 20)
  assert '4 of each side; NOTE: all that 9 MB hold, fewer than asked for' in figure(4, 50)
  assert all('NOTE' not in figure(60, samples) for samples in (50, 60, 100))


#: Metrics of other sets and other games.
ELSEWHERE = {
  'modes', 'swd', 'tags', 'codes', 'makers', 'histogram', 'gmam', 'classifier', 'pairs', 'pair_classes',
  'targets', 'music', 'oracle_nll', 'likelihood', 'bleu', 'self_bleu',
}  # fmt: skip


def test_every_metric_gives_finite_figures(run, tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))  # others want a classifier that was trained for long
  monkeypatch.setattr(of_examples, 'SIMILAR_PAIRS', 50)
  monkeypatch.setattr(classifier_lib, 'EPOCHS', (4, 6))
  for name, value in (('PATHS', 40), ('INVERTED', 8)):
    monkeypatch.setattr(of_networks, name, value)
  names = [name for name in measures.MEASURES if name not in ELSEWHERE]
  evaluator = _evaluator(run, features='classifier', samples=400, metrics=tuple(names))
  found = evaluator(run.state, run.step)
  # After six steps one class is made: there is no mean over classes, which is told as null.
  undefined = {name for name, value in found.values.items() if not np.isfinite(value)}
  assert undefined <= {'intra_fid', 'class_diversity'}, found.values
  written = json.loads(found.to_json())
  for name, figure in written['figures'].items():
    assert figure['protocol'] and figure['seconds'] >= 0, name
  assert {'fid', 'kid', 'precision', 'inception_score', 'parzen', 'probe', 'overfitting', 'ppl'} <= set(
    written['figures']
  )
  assert found.table().count('classifier-digits') == 1
  assert 'running averages of generator' in written['figures']['fid']['protocol']  # of no other player
  # A game's own discriminator judges by its loss's boundary.
  assert 0 <= found.values['judged_real_held_out'] <= 1


def test_figures_without_features_train_no_classifier(run, monkeypatch):
  monkeypatch.setattr(of_examples, 'SIMILAR_PAIRS', 50)
  monkeypatch.setattr(of_networks, 'INVERTED', 8)
  # But those that take long to compile.
  names = tuple(sorted(measures.FEATURELESS - ELSEWHERE - {'two_sample', 'inversion', 'ppl'}))
  settings = dict(samples=200, metrics=names)
  asked = _evaluator(run, **{**settings, 'metrics': (*names, 'fid')})(run.state, run.step)
  monkeypatch.setattr(choose, 'choose', lambda *args, **kwargs: pytest.fail('nothing asks for features'))
  found = _evaluator(run, **settings, features='classifier')(run.state, run.step)
  assert asked.shared.pop('features').startswith('raw') and found.shared == asked.shared
  assert found.values.keys() == asked.values.keys() - {'fid'}
  assert found.values == pytest.approx({name: asked.values[name] for name in found.values}, rel=1e-5, nan_ok=True)
  with pytest.raises(pytest.fail.Exception, match='nothing asks for features'):
    _evaluator(run, samples=200)  # what suits the set is chosen by its features


@contextlib.contextmanager
def compilations():
  """Names of the functions that are compiled in the block."""
  names, handler = [], logging.Handler()

  def emit(record):
    if found := re.match(r'Finished XLA compilation of (\S+)', record.getMessage()):
      names.append(found[1])

  handler.emit = emit
  with jax.log_compiles():
    logging.getLogger('jax').addHandler(handler)
    yield names
    logging.getLogger('jax').removeHandler(handler)


def test_evaluating_again_compiles_little(run, monkeypatch):
  for name, value in (('PATHS', 40), ('INVERTED', 8)):
    monkeypatch.setattr(of_networks, name, value)
  evaluator = _evaluator(run, metrics=('fid', 'prdc', 'ppl', 'inversion', 'held_out', 'probe', 'kid'), samples=200)
  with compilations() as begun:
    first = evaluator(run.state, run.step).values
  other = jax.tree.map(lambda x: x + 1e-3 if jnp.issubdtype(x.dtype, jnp.inexact) else x, run.state)
  with compilations() as again:
    second = evaluator(other, run.step).values
  # The solver of the probe's SVM starts with as many rows as it is given; networks are not compiled again.
  networks = {'jit(_made)', 'jit(pooled)', 'jit(stage)', 'jit(_scored)'}  # the last two may be known to tests before
  assert {'jit(_made)', 'jit(pooled)'} <= set(begun) and not networks & set(again), again
  # New weights, new figures: nothing of the first state is left in the compiled functions.
  assert all(first[name] != second[name] for name in ('fid', 'ppl', 'inversion_training', 'overfitting'))


@pytest.mark.parametrize('metric', ['ppl', 'inversion'])
@pytest.mark.parametrize('latents', [Scales(((2,), (3,))), Scales(((2,), (2,))), {'z': Normal((2,))}, None])
def test_paths_and_searches_are_of_one_vector(metric, latents):
  with pytest.raises(UserError, match=f'other latents than one vector: leave the metric {metric} out'):
    suited.check_game(metric, types.SimpleNamespace(latents=latents))


def test_paths_and_searches_are_of_latents_alone():
  game = types.SimpleNamespace(latents=Normal((2,)))
  assert suited.lack('ppl', game) == '' and suited.lack('ppl', game, lambda: True) == 'reads examples when it samples'


def test_wasserstein_critics_have_no_share(tmp_path):
  settings = [*SMALL, '--config.steps=2', '--config.game.loss=wasserstein']
  train.run(config_lib.override(config_lib.load('configs/quickstart.py'), settings), tmp_path / 'run', silent=True)
  run = gan_jax.load(tmp_path / 'run')
  found = _evaluator(run, metrics=('held_out',), samples=100)(run.state, run.step)
  assert set(found.values) == {'overfitting'}
  rows = (tmp_path / 'run' / 'metrics.jsonl').read_text()
  assert 'real_accuracy' not in rows and 'discriminator_gradient_norm' in rows


def test_volumes(tmp_path):
  # Labelled or not, volumes are no pictures: random features, and values brought to [0, 1].
  volumes = np.random.RandomState(0).rand(40, 8, 8, 8) < 0.3
  np.savez(tmp_path / 'volumes.npz', x=volumes, y=np.arange(40) % 2)
  stream = sets.reference_stream(config_stream(name='npz', path=str(tmp_path / 'volumes.npz'), classes=0))
  assert stream.classes == 2 and not stream.pictures
  extractor = choose.choose('auto', stream)
  assert extractor.name.startswith('random')
  with pytest.raises(UserError, match='square pictures'):
    choose.choose('classifier', stream)
  assert sets.examples(stream, 5)[0].dtype == np.float32
  found = reference.reference_scores(stream, scores.Scorer(extractor, parallel.make_mesh(1)))
  assert np.isfinite(found.features).all() and found.labels.tolist() == [i % 2 for i in sets.order(stream)]


def test_labels_that_number_no_classes(tmp_path):
  for y in (np.eye(3)[np.arange(9) % 3].astype(int), np.arange(9) % 3 - 1, np.linspace(0, 1, 9)):
    np.savez(tmp_path / 'set.npz', x=np.zeros((9, 8, 8), np.uint8), y=y)
    assert sets.reference_stream(config_stream(name='npz', path=str(tmp_path / 'set.npz'), classes=0)).classes == 0


def test_classes_must_be_those_of_the_set(run):
  evaluator = _evaluator(run, samples=100, features='raw')
  evidence = evaluator.evidence(run.state, run.step)
  strange = evidence.fake._replace(logits=np.zeros((100, 1008), np.float32))
  evidence.__dict__['fake'] = strange
  with pytest.raises(UserError, match='1008 classes'):
    list(of_features.class_figures(evidence))


def test_points(tmp_path):
  settings = [*SMALL[2:], '--config.steps=2', '--config.game.generator.hidden=(8,)', '--config.batch_size=16']
  config = config_lib.override(config_lib.load('configs/gan.py:ring'), settings)
  train.run(config, tmp_path / 'ring', silent=True)
  found = evaluate.evaluate(gan_jax.load(tmp_path / 'ring'), samples=3000)
  assert set(found.values) == {
    'fid', 'kid', 'precision', 'recall', 'density', 'coverage', 'modes', 'high_quality', 'mode_kl'
  }  # fmt: skip
  assert found.shared['features'].startswith('raw') and found.values['modes'] <= 8


def test_a_diverged_model_is_named(run):
  broken = jax.tree.map(lambda x: x * jnp.nan if jnp.issubdtype(x.dtype, jnp.inexact) else x, run.state)
  with pytest.raises(UserError, match='finite'):
    _evaluator(run, metrics=('fid',))(broken, run.step)


# The reference


def test_the_reference_is_computed_once_and_never_mixed(monkeypatch, tmp_path):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))
  stream, mesh = sets.reference_stream(config_stream(classes=0)), parallel.make_mesh(1)
  scorer = scores.Scorer(choose.choose('raw', stream), mesh)
  said = []
  first = reference.reference_scores(stream, scorer, said.append)
  again = reference.reference_scores(stream, scorer, said.append)
  assert len(said) == 1 and len(list(tmp_path.glob('statistics/*.npz'))) == 1
  np.testing.assert_array_equal(first.features, again.features)
  np.testing.assert_array_equal(first.labels, again.labels)
  np.testing.assert_array_equal(first.moments.scatter, again.moments.scatter)
  # The labels are the examples', in the order of the features.
  images, labels = sets.examples(stream, 50)
  np.testing.assert_array_equal(first.labels[:50], labels)
  np.testing.assert_allclose(first.features[:50], images.reshape(50, -1) / 255.0, rtol=1e-6)
  # Another split, another size, other features: other files.
  reference.reference_scores(sets.reference_stream(stream, 'test'), scorer, said.append)
  other = choose.of_function('means', lambda x: x.astype(jnp.float32).mean((1, 2)))
  reference.reference_scores(stream, scores.Scorer(other, mesh), said.append)
  assert len(said) == 3 and len(list(tmp_path.glob('statistics/*.npz'))) == 2
  # A function has no version that could be told: nothing of it is kept.
  assert not list(tmp_path.glob('statistics/*means*'))
  # A damaged file is computed anew.
  for path in tmp_path.glob('statistics/*.npz'):
    path.write_bytes(path.read_bytes()[:100])
  reference.reference_scores(stream, scorer, said.append)
  assert len(said) == 4


def test_a_changed_set_is_scored_anew(monkeypatch, tmp_path):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))
  images = np.random.RandomState(0).randint(0, 256, (300, 8, 8)).astype(np.uint8)
  found = []
  for count in (0, 200):
    images[1 : 1 + count] = 0
    np.savez(tmp_path / f'{count}.npz', x=images)
    stream = sets.reference_stream(config_stream(name='npz', path=str(tmp_path / f'{count}.npz'), classes=0))
    found.append(reference.reference_scores(stream, scores.Scorer(choose.choose('raw', stream), parallel.make_mesh(1))))
  assert abs(found[0].moments.mean - found[1].moments.mean).max() > 0.1


def test_a_folder_without_splits_has_nothing_held_out(tmp_path):
  from PIL import Image

  for i in range(4):
    Image.fromarray(np.full((8, 8), 60 * i, np.uint8)).save(tmp_path / f'{i}.png')
  stream = sets.reference_stream(config_stream(name='folder', path=str(tmp_path), classes=0))
  assert sets.held_out_stream(stream) is None
  assert sets.held_out_stream(config_stream()).split == 'test'
  # 'all' holds the test examples too.
  assert sets.held_out_stream(config_stream(split='all')) is None


# In training, and as a command


def test_training_evaluates_and_keeps_the_best(workdir):
  rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  scored = {row['step']: row['eval_fid'] for row in rows if 'eval_fid' in row}
  assert set(scored) == {2, 4, 6} and all('eval_recall' in row for row in rows if row['step'] in scored)
  best = min(scored, key=scored.get)
  run = gan_jax.load(workdir, 'best')
  assert run.step == best
  assert {int(path.name) for path in (workdir / 'checkpoints').iterdir()} == {best, 6}
  again = _evaluator(run, samples=200, metrics=('fid',))(run.state, run.step).values['fid']
  assert again == pytest.approx(scored[best], rel=1e-4)
  # Gradient norms, accuracies and diversity are in the rows too.
  assert {'generator_gradient_norm', 'discriminator_gradient_norm', 'real_accuracy', 'fake_accuracy'} <= set(rows[0])
  assert rows[-1]['sample_diversity'] > 0


def test_weights_and_inception_s_file_are_those_that_are_asked_for(run, monkeypatch):
  for weights in ('ema', 'raw'):
    evaluator = _evaluator(run, weights=weights, samples=70, metrics=('fid',))
    kept = {}

    def evidence(game, variables, *_, kept=kept):
      kept.update(variables)
      pytest.fail('enough')

    monkeypatch.setattr(evaluator_lib, 'Evidence', evidence)
    with pytest.raises(pytest.fail.Exception, match='enough'):
      evaluator(run.state, run.step)
    expected = core.game_variables(run.stage.game, run.state, ema=weights == 'ema')['params']
    jax.tree.map(np.testing.assert_array_equal, kept['params'], expected)
  asked = {}
  monkeypatch.setattr(choose, 'choose', lambda name, stream, **given: asked.update(given) or pytest.fail('enough'))
  with pytest.raises(pytest.fail.Exception, match='enough'):
    _evaluator(run, features='inception', inception_weights='mine.npz')
  assert asked['weights'] == 'mine.npz'


def _command(arguments, capsys):
  evaluate.command.main(evaluate._define, evaluate._run, evaluate.__doc__, arguments)
  return capsys.readouterr()


def test_the_command(workdir, capsys):
  arguments = ['--workdir', str(workdir), '--samples=100', '--features=raw', '--metrics=fid,prdc']
  out = _command([*arguments, '--checkpoint=best', '--weights=raw'], capsys).out
  written = json.loads((workdir / 'evaluation.json').read_text())
  assert 'raw weights' in written['samples'] and 'coverage' in out and written['device'].endswith('cpu')
  assert written['figures']['precision']['protocol'].startswith('of features, k = 5')
  for wrong, words in (
    (['--metrics=fod'], ['fod', 'fid']),
    (['--features=nothing'], ['nothing', 'classifier']),
    (['--features=no.such'], ['no.such']),
    (['--checkpoint=first'], ['first', 'best']),
    (['--checkpoint=3'], ['3']),
    (['--metrics=is'], ['classes', 'raw']),
    (['--metrics=parzen', '--split=all'], ['held-out', 'all']),
    (['--metrics=swd', '--output=b'], ["'b'"]),
    (['--metrics=modes'], ['digits', 'ring']),
    (['--stream=b'], ["'b'", 'images']),
    (['--split=night'], ['night']),
  ):
    with pytest.raises(SystemExit) as stop:
      _command([*arguments, *wrong], capsys)
    err = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and err[-1].startswith('error: ') and all(w in err[-1] for w in words), (wrong, err)


def test_wrong_evaluations_are_known_before_training(tmp_path):
  for settings, words in (
    (['--config.eval.every=2', "--config.eval.metrics=('fid', 'modes')"], 'modes'),
    (['--config.eval.every=2', '--config.eval.features=raw', "--config.eval.metrics=('is',)"], 'classes'),
    (['--config.eval.every=2', '--config.eval.stream=b'], 'stream'),
    (['--config.keep_best=eval_fid'], 'eval.every'),
  ):
    config = config_lib.override(config_lib.load('configs/quickstart.py'), [*SMALL, '--config.steps=2', *settings])
    with pytest.raises(UserError, match=words):
      train.run(config, tmp_path / 'run', silent=True)
    assert not (tmp_path / 'run').exists()


def test_a_failing_evaluation_ends_no_training(tmp_path, monkeypatch):
  def fails(evidence):
    raise UserError('no figure today')

  monkeypatch.setitem(measures.MEASURES, 'fid', fails)
  settings = [*SMALL, '--config.steps=4', '--config.eval.every=2', '--config.eval.features=raw']
  train.run(config_lib.override(config_lib.load('configs/quickstart.py'), settings), tmp_path / 'run', silent=True)
  assert gan_jax.load(tmp_path / 'run').step == 4


def test_a_chosen_metric_that_fails_now_and_then_ends_no_training(tmp_path, monkeypatch):
  swd = iter([None, 2.0, None, 1.0])

  def measure(evidence):
    if (value := next(swd)) is None:
      raise UserError('too few samples')
    yield Figure('swd', value, 'made up')

  monkeypatch.setitem(measures.MEASURES, 'swd', measure)
  monkeypatch.setitem(measures.MEASURES, 'fid', lambda evidence: iter([Figure('fid', 1.0, 'made up')]))
  monkeypatch.setattr(measures, 'default_measures', lambda evidence: ('fid', 'swd'))
  settings = [*SMALL, '--config.steps=6', '--config.eval.every=2', '--config.eval.metrics=()', '--config.keep=1']
  settings += ['--config.eval.features=raw', '--config.eval.samples=4', '--config.checkpoint_every=0']
  config = config_lib.override(config_lib.load('configs/quickstart.py'), [*settings, '--config.keep_best=eval_swd'])
  train.run(config, tmp_path / 'run', silent=True)
  assert gan_jax.load(tmp_path / 'run', 'best').step == 4
  config.keep_best = 'eval_swdd'
  with pytest.raises(
    UserError, match=r"unknown metric in config\.keep_best 'eval_swdd': choose one of eval_fid, eval_swd"
  ):
    train.run(config, tmp_path / 'other', silent=True)


def test_the_best_may_be_by_a_figure_that_the_last_stage_alone_has(tmp_path, monkeypatch):
  monkeypatch.setitem(measures.MEASURES, 'fid', lambda evidence: iter([Figure('fid', 1.0, 'made up')]))
  monkeypatch.setitem(measures.MEASURES, 'swd', lambda evidence: iter([Figure('swd', 2.0, 'made up')]))
  monkeypatch.setattr(measures, 'default_measures', lambda e: ('fid', 'swd') if e.batch_size == 8 else ('fid',))
  settings = [*SMALL, '--config.eval.every=2', '--config.eval.metrics=()', '--config.keep_best=eval_swd']
  settings += ['--config.eval.features=raw', '--config.eval.samples=4', '--config.checkpoint_every=2']
  settings += ["--config.stages=({'steps': 2}, {'steps': 2, 'batch_size': 8})"]
  train.run(config_lib.override(config_lib.load('configs/quickstart.py'), settings), tmp_path, silent=True)
  assert gan_jax.load(tmp_path, 'best').step == 4


def test_an_evaluation_that_a_later_stage_cannot_set_up_ends_no_training(tmp_path, monkeypatch, capsys):
  broken, make = 1, Evaluator

  def made(stage, *arguments):
    if stage.number == broken:
      raise UserError('no classes')
    return make(stage, *arguments)

  monkeypatch.setattr(hooks, 'Evaluator', made)
  settings = [*SMALL, '--config.eval.every=2', "--config.eval.metrics=('fid',)", '--config.eval.features=raw']
  settings += ['--config.eval.samples=20', "--config.stages=({'steps': 2}, {'steps': 2})"]
  config = config_lib.override(config_lib.load('configs/quickstart.py'), settings)
  train.run(config, tmp_path / 'run')
  assert 'the set-up of the evaluation' in (said := ''.join(capsys.readouterr())) and 'no classes' in said
  rows = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
  assert [row['step'] for row in rows if 'eval_fid' in row] == [2] and gan_jax.load(tmp_path / 'run').step == 4
  broken = 0
  with pytest.raises(UserError, match='no classes'):
    train.run(config, tmp_path / 'other', silent=True)


def test_a_last_step_that_was_not_evaluated_is_told(workdir, tmp_path, capsys):
  shutil.copytree(workdir, tmp_path / 'run')
  config = gan_jax.load(tmp_path / 'run').config
  train.run(config, tmp_path / 'run')
  assert 'was not evaluated' not in capsys.readouterr().out
  rows = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  kept = [row for row in rows if json.loads(row)['step'] < 6]
  (tmp_path / 'run' / 'metrics.jsonl').write_text('\n'.join(kept) + '\n')  # as where a signal came
  figures = tmp_path / 'run' / 'evaluation.json'
  figures.write_text(json.dumps({**json.loads(figures.read_text()), 'step': 6}))
  train.run(config, tmp_path / 'run')
  assert 'was not evaluated' not in capsys.readouterr().out, 'the command has evaluated it'
  figures.unlink()
  train.run(config, tmp_path / 'run')
  assert (
    f'note: step 6 was not evaluated: python -m gan_jax.evaluate --workdir {tmp_path}/run' in capsys.readouterr().out
  )


def test_a_discriminator_is_asked_in_batches_that_its_groups_divide(run):
  of = lambda size, devices=1, **how: Evaluator(
    run.stage._replace(batch_size=size, **how), Options(features='raw'), parallel.make_mesh(devices)
  )._batch_size()
  assert [of(24), of(48, accumulate=2), of(48, 2, parallel='pmap'), of(48, 2)] == [24, 24, 24, 48]
  # Groups of 2, 3, 4, 6, 8 of a large batch divide its parts.
  assert [of(300), of(768), of(1000), of(2048), of(257)] == [60, 192, 200, 256, 257]
  assert _evaluator(run).evidence(run.state, run.step).batch_size == 16


def test_a_resumed_run_keeps_its_protocol(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / 'run')
  config = gan_jax.load(tmp_path / 'run').config
  longer = config_lib.override(config, ['--config.steps=8', '--config.eval.every=4'])
  train.run(longer, tmp_path / 'run', silent=True)
  with pytest.raises(UserError, match=r'config.eval.samples: 200 -> 300'):
    train.run(config_lib.override(config, ['--config.eval.samples=300']), tmp_path / 'run', silent=True)


def test_a_run_without_a_chosen_metric_has_no_best(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / 'run')
  text = (tmp_path / 'run' / 'config.json').read_text().replace('"eval_fid"', '""')
  (tmp_path / 'run' / 'config.json').write_text(text)
  with pytest.raises(UserError, match='keep_best'):
    gan_jax.load(tmp_path / 'run', 'best')


@pytest.mark.parametrize(
  ('settings', 'words'),
  [({'often': 3}, 'often'), ({'every': -1}, 'every'), ({'every': 5, 'metrics': ('fod',)}, 'fod')],
)
def test_bad_settings_of_evaluations(settings, words):
  with pytest.raises(UserError, match=words):
    options_of(settings)


def test_settings_of_evaluations():
  assert options_of({'every': 0}) is None
  assert options_of({'every': 5, 'metrics': 'fid,kid'}).metrics == ('fid', 'kid')
  assert config_lib.base(game={}, optimizers={}, data={}, eval=dict(every=7)).eval.samples == 5000


def test_moments_survive_many_batches():
  # Merging is exact: the same as at once, whatever the sizes of the parts.
  x = np.random.RandomState(0).randn(500, 6) * 3 + 40
  total = frechet.Moments(0, np.zeros(6), np.zeros((6, 6)))
  for part in np.split(x, [1, 7, 300]):
    total = total.merge(frechet.moments(part))
  np.testing.assert_allclose(total.covariance, np.cov(x, rowvar=False), rtol=1e-10)
