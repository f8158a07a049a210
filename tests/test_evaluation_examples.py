"""The examples of evaluations: which ones, how they are prepared, under which name their statistics are kept."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import evaluate, runs
from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import Options
from gan_jax.data import sets
from gan_jax.data.streams import Stream
from gan_jax.distributed import parallel
from gan_jax.evaluation import evaluator, of_networks, reference, scores
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.evaluation.evidence import Evidence
from gan_jax.features import choose
from gan_jax.sampling import inputs

MESH = parallel.make_mesh(1)


def evidence_of(stream, **more):
  return Evidence(None, None, None, None, stream, 8, 0, **more)


def array_stream(path, **settings):
  return Stream(name='npz', path=str(path), columns={'image': {'name': 'Array', **settings}})


def test_statistics_of_another_scale_are_others(monkeypatch, tmp_path):
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path / 'cache'))
  np.savez(tmp_path / 'a.npz', image=np.random.RandomState(0).rand(50, 4).astype(np.float32))
  means = []
  for high in (1.0, 10.0):
    stream = array_stream(tmp_path / 'a.npz', range=(-1.0, 1.0), low=0.0, high=high)
    found = reference.reference_scores(stream, scores.Scorer(choose.choose('raw', stream), MESH))
    means.append(found.moments.mean.mean())
    np.testing.assert_allclose(means[-1], sets.examples(stream, 50)[0].mean(), rtol=1e-5)
  assert means[0] - means[1] > 0.5


HOLES = {'name': 'data.degradations.Degraded', 'column': 'image', 'by': ('holes',), 'hole': 0.5}


def test_examples_of_columns_beside_a_label(tmp_path):
  np.savez(tmp_path / 'a.npz', image=np.ones((20, 4), np.float32), label=np.arange(20) % 2)
  stream = array_stream(tmp_path / 'a.npz')
  stream = dataclasses.replace(stream, columns={**stream.columns, 'label': {'name': 'Label', 'classes': 2}}, classes=2)
  images, labels = sets.examples(sets.reference_stream(stream), 20)
  assert images.tolist() == [[1.0] * 4] * 20 and sorted(labels) == [0] * 10 + [1] * 10
  (batch,) = scores.real_batches(sets.reference_stream(stream), np.arange(20), MESH)
  assert np.asarray(batch.labels).reshape(-1)[:4].tolist() == [0, 1, 0, 1]


def test_a_reference_needs_no_training_set(tmp_path):
  settings = [f'--config.data.{name}={value}' for name, value in saved(tmp_path).items()]
  (tmp_path / 'train.npz').unlink()
  stage = runs.stages_of(config_lib.override(config_lib.load('configs/quickstart.py'), settings))[0]
  assert len(Evaluator(stage, Options(metrics=('swd',), split='test')).stream.open()) == 40


@pytest.mark.parametrize('together', [True, False])
def test_what_is_drawn_for_an_example_follows_its_number(together):
  columns = {'a': {**HOLES, 'together': together}, 'b': {'name': 'Picture', 'column': 'image'}}
  stream = inputs.input_stream(Stream(name='digits', size=8, channels=1, columns=columns))
  whole = inputs.examples(stream, np.arange(48))['a']
  np.testing.assert_array_equal(inputs.examples(stream, np.arange(24, 48))['a'], whole[24:])
  assert len({row.tobytes() for row in (whole == 0).reshape(48, -1)}) > 8  # holes of their own
  # Metrics see the same, in whatever blocks they read.
  seen = sets.examples(sets.reference_stream(stream, None, 'a'), 48)[0]
  np.testing.assert_allclose(seen / 127.5 - 1, whole, atol=0.51 / 127.5)
  order = sets.order(stream)[:48]
  (batch, *_) = scores.real_batches(sets.reference_stream(stream, None, 'a'), order[24:], MESH)
  np.testing.assert_array_equal(np.asarray(batch.examples)[0, :24], seen[24:])


def saved(folder):
  """Settings of a set of 80 and 40 pictures."""
  for split, count in (('train', 80), ('test', 40)):
    pixels = np.random.RandomState(count).randint(0, 256, (count, 8, 8)).astype(np.uint8)
    np.savez(folder / f'{split}.npz', image=pixels)
  return {'name': 'npz', 'path': str(folder / '{split}.npz')}


def test_the_examples_that_a_game_learnt_from_are_those_whatever_it_is_compared_with(tmp_path):
  settings = [f'--config.data.{name}={value}' for name, value in saved(tmp_path).items()]
  config = config_lib.load('configs/quickstart.py')
  stage = runs.stages_of(config_lib.override(config, [*settings, '--config.data.split=train[:50]']))[0]
  own = stage.streams['images'].open()
  wanted = {own[i]['image'].tobytes() for i in range(50)}
  for split in ('', 'train', 'train[50:]', 'test'):
    made = Evaluator(stage, Options(metrics=('swd',), split=split))
    evidence = evidence_of(made.stream, trained=made._trained, trained_on=made._trained_on)
    assert {image.tobytes() for image in evidence.trained_examples(2000)} == wanted
    assert (len(evidence.real_examples(2000)) == 50) == (split == '')


def test_a_classifier_of_the_game_is_of_its_own_classes(monkeypatch):
  stage = types.SimpleNamespace(game=None, streams={'images': None})
  monkeypatch.setattr(evaluator, '_of_each', lambda *_: {})
  monkeypatch.setattr(evaluator, '_output_of', lambda *_: types.SimpleNamespace(stream='images'))
  monkeypatch.setattr(evaluator, '_check_classified', lambda *_: None)
  monkeypatch.setattr(evaluator, 'truncated', lambda *_: None)
  with pytest.raises(UserError, match=r"classes_of='type'.*'label': leave one of them out"):
    evaluator.check(stage, Options(metrics=('classifier',), classes_of='type'))


def test_values_are_of_0_to_1_where_they_were_brought_to_a_range(tmp_path):
  np.savez(tmp_path / 'bytes.npz', image=np.arange(256, dtype=np.uint8).reshape(64, 4))
  np.savez(tmp_path / 'floats.npz', image=np.linspace(0, 10, 256, dtype=np.float32).reshape(64, 4))
  for name, settings, words, most in (
    ('bytes', {}, 'values as stored', 255.0),
    ('bytes', {'range': (-1.0, 1.0)}, 'values in [0, 1]', 1.0),
    ('floats', {}, 'values as stored', 10.0),
    ('floats', {'range': (-1.0, 1.0), 'low': 0.0, 'high': 10.0}, 'values in [0, 1]', 1.0),
  ):
    evidence = evidence_of(array_stream(tmp_path / f'{name}.npz', **settings))
    assert evidence.values == words
    given = evidence.unit(evidence.real_examples(64))
    assert (given.min(), given.max()) == pytest.approx((0.0, most), abs=1e-6)


@pytest.mark.parametrize(
  ('sides', 'grid'), [((16, 8, 4), 4), ((14, 7), 7), ((14, 7, 4, 2), 1), ((12, 6), 6), ((32, 16, 8), 4), ((2, 1), 1)]
)
def test_layers_are_pooled_to_a_size_that_divides_all(monkeypatch, sides, grid):
  layers = [jnp.zeros((2, side, side, 3)) for side in sides]
  game = types.SimpleNamespace(layers=None, apply=lambda *_, method: layers)
  found = []
  evidence = types.SimpleNamespace(
    game=game, once=lambda name, make: make(), stream=types.SimpleNamespace(classes=2), labelled_held_out=1
  )
  evidence.need_pictures = lambda name: None
  monkeypatch.setattr(of_networks.sets, 'examples', lambda *_: (np.zeros((2, 8, 8, 1)), np.zeros(2)))

  def in_batches(e, network, pictures):
    found.append(jax.eval_shape(network, {}, pictures).shape[-1])
    raise InterruptedError

  monkeypatch.setattr(of_networks, 'in_batches', in_batches)
  with pytest.raises(InterruptedError):
    list(of_networks.probe_figure(evidence))
  assert found == [len(sides) * 3 * grid * grid]


def test_options_in_python_may_be_text(monkeypatch):
  seen = []
  monkeypatch.setattr(evaluate, 'Evaluator', lambda stage, options, say: seen.append(options) or (lambda *_: None))
  run = types.SimpleNamespace(stage=None, state=None, step=0)
  for metrics in ('fid, kid', ('fid', 'kid'), ''):
    evaluate.evaluate(run, metrics=metrics, rivals='runs/b')
  assert [options.metrics for options in seen] == [('fid', 'kid'), ('fid', 'kid'), ()]
  assert seen[0].rivals == ('runs/b',)


def test_a_whole_split_that_is_named_as_a_part_has_no_rest(tmp_path):
  settings = saved(tmp_path)
  of = lambda split: sets.validation_stream(Stream(size=8, channels=1, split=split, **settings)).split
  assert (of('train[:50]'), of('train[:80]'), of('train[:100%]')) == ('train[50:]', 'train[:80]', 'train[:100%]')
