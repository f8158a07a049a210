"""StackGAN: conditions, what each stage plays, and its losses by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import load_shrunk

from gan_jax import config as config_lib
from gan_jax import core, losses, runs
from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import Options
from gan_jax.core.state import GameState
from gan_jax.data import columns, sets, sources
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.features import classifier
from gan_jax.games import lapgan
from gan_jax.games.stackgan import StackGAN
from gan_jax.nets import stackgan
from gan_jax.sampling import conditions, inputs

EMBEDDING = np.array([[1.0], [2.0], [4.0]], np.float32)
LATENTS = {'z': np.ones((3, 2)), 'noise_1': np.zeros((3, 4)), 'noise_2': np.ones((3, 4))}


class Maker(nn.Module):
  """Images of the mean of what it gets plus 1, mu = the condition everywhere, log sigma = 0."""

  size: int

  def __call__(self, x, *, train, condition, noise):
    value = x.mean(tuple(range(1, x.ndim))) + 1
    image = jnp.broadcast_to(value.reshape(-1, 1, 1, 1), (len(x), self.size, self.size, 1))
    return image, jnp.broadcast_to(condition, noise.shape), jnp.zeros(noise.shape)


class Judge(nn.Module):
  def __call__(self, image, *, train, condition):
    return image.mean((1, 2, 3)) * condition[:, 0]


def game(stage=1, **settings):
  return StackGAN(Maker(2), Judge(), Maker(4), Judge(), {}, stage=stage, **settings)


def apply(of, method, size):
  image = np.full((3, size, size, 1), 0.5) * np.array([1, 2, 3]).reshape(3, 1, 1, 1)
  return of.apply({}, {'images': {'image': image, 'embedding': EMBEDDING}, 'latents': LATENTS}, method=method)


def softplus(x):
  return np.log1p(np.exp(x))


@pytest.mark.parametrize(('stage', 'size'), [(1, 2), (2, 4)])
def test_the_losses_of_a_stage(stage, size):
  real, fake = np.array([0.5, 2.0, 6.0]), (stage + 1) * EMBEDDING[:, 0]
  wrong = np.array([1.5 * 1, 0.5 * 2, 1.0 * 4])  # the images of the example before
  high, low = softplus(-real).mean(), lambda x: softplus(x).mean()
  loss, shares = apply(game(stage), 'discriminator_loss', size)
  np.testing.assert_allclose(loss, high + (low(fake) + low(wrong)) / 2, rtol=1e-6)
  assert (shares['real_accuracy'], shares['fake_accuracy'], shares['wrong_accuracy']) == (1, 0, 0)
  np.testing.assert_allclose(
    apply(game(stage, wrong=False), 'discriminator_loss', size)[0], high + low(fake), rtol=1e-6
  )
  kl = (EMBEDDING[:, 0] ** 2 / 2).mean()  # in each dimension
  loss, _ = apply(game(stage, kl=3.0), 'generator_loss', size)
  np.testing.assert_allclose(loss, softplus(-fake).mean() + 3 * kl, rtol=1e-6)
  assert apply(game(stage), 'sample', size).shape == (3, size, size, 1)


class Normed(nn.Module):
  """A logit of an image and its class, behind batch norm."""

  @nn.compact
  def __call__(self, image, *, train, condition):
    both = image.mean((1, 2, 3))[:, None] * jax.nn.one_hot(condition, 2)
    return nn.Dense(1)(nn.BatchNorm(use_running_average=not train)(both))[:, 0]


@pytest.mark.parametrize('one_batch', [True, False])
def test_a_pair_is_judged_by_itself_not_by_the_batch_it_comes_in(one_batch):
  """Images 0 and 2 lie before one of their own class, so that these wrong pairs are real ones too."""
  of = StackGAN(Maker(2), Normed(), Maker(4), Normed(), {}, condition='label', one_batch=one_batch)
  image = jnp.broadcast_to(jnp.arange(1.0, 5.0).reshape(4, 1, 1, 1), (4, 2, 2, 1))
  batch = {'images': {'image': image, 'label': jnp.array([0, 0, 1, 1])}}
  logits, _ = of.init_with_output(jax.random.key(0), batch, 0.5 * image, method='judge')
  same = jnp.allclose(logits['real'][jnp.array([0, 2])], logits['wrong'][jnp.array([1, 3])], atol=1e-6)
  assert same == one_batch, logits


def test_stage_two_moves_its_own_players():
  assert [turn.movers for turn in game(2).turns] == [('discriminator_2',), ('generator_2',)]
  assert game(1).frozen == () and game(2).frozen == ('generator_1',)


def test_augmentation_draws_from_what_it_says():
  layer, embedding = stackgan.Augmentation(), np.random.RandomState(0).standard_normal((2, 5)).astype(np.float32)
  noise = np.random.RandomState(1).standard_normal((2, 3)).astype(np.float32)
  params = layer.init(jax.random.key(0), embedding, noise)
  drawn, mean, log_stddev = layer.apply(params, embedding, noise)
  np.testing.assert_allclose(drawn, mean + np.exp(log_stddev) * noise, rtol=1e-6)
  np.testing.assert_allclose(layer.apply(params, embedding, np.zeros_like(noise))[0], mean)


def test_a_class_or_a_text_needs_the_number_of_words():
  with pytest.raises(UserError, match='words=0'):
    stackgan.embedded(jnp.zeros((2,), jnp.int32), 0)
  assert stackgan.embedded(jnp.array([2]), 3).tolist() == [[0, 0, 1]]
  assert stackgan.embedded(jnp.zeros((1, 4), jnp.int32), 3).tolist() == [[0, 0, 0]]
  assert stackgan.embedded(EMBEDDING, 0).tolist() == EMBEDDING.tolist()
  assert stackgan.embedded(EMBEDDING, 3)[2].tolist() == [4, 0, 0]


def test_a_text_is_as_strong_as_a_class():
  """The first layer takes the direction of the words, not their number."""
  layer = stackgan.Augmentation(words=40)
  tokens, noise = jnp.array([[7] * 6, [7, 0, 0, 0, 0, 0], [8, 9, 0, 0, 0, 0], [0] * 6]), jnp.zeros((4, 3))
  params = layer.init(jax.random.key(0), tokens, noise)
  kernel = next(x for x in jax.tree.leaves(params) if x.ndim == 2)
  mean, log_stddev = layer.apply(params, tokens, noise)[1:]
  wanted = jnp.stack([kernel[7], kernel[7], (kernel[8] + kernel[9]) / 2**0.5, 0 * kernel[0]])
  np.testing.assert_allclose(jnp.concatenate([mean, log_stddev], -1), stackgan.leaky(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('condition', [jnp.arange(40), jnp.arange(1, 41)[:, None]], ids=['classes', 'words'])
def test_words_move_the_mean_and_not_the_deviation_at_first(condition):
  """A deviation that differs from word to word hides them: the KL began at 3.2, and 0.3 of it was the mean's."""
  layer, noise = stackgan.Augmentation(words=42), jnp.zeros((40, 64))
  params = layer.init(jax.random.key(0), condition, noise)
  _, mean, log_stddev = layer.apply(params, condition, noise)
  assert 0.5 < np.std(mean) < 0.8  # a leaky N(0, 1)
  assert np.abs(log_stddev).max() < 0.1
  kl = losses.reconstruction.conditioning_kl(mean, log_stddev) / 64
  assert 0.2 < float(kl) < 0.35


def test_networks_must_know_all_words_and_classes():
  def stages(variant, *changes):
    return runs.stages_of(config_lib.override(load_shrunk(f'configs/stackgan.py:{variant}'), changes))

  tokens = stages('birds_64')[0].streams['images'].kinds['text'].tokens
  with pytest.raises(UserError, match=rf"generator_2\.words={tokens - 1} but column 'text' has up to {tokens}"):
    stages('birds_64', f'--config.game.generator_2.words={tokens - 1}')
  with pytest.raises(UserError, match=rf'vocabulary to {tokens - 3}$'):
    stages('birds_64', f'--config.game.generator_2.words={tokens - 1}')
  with pytest.raises(UserError, match=r"words=3 but column 'size' is no class and no text: set it to 0"):
    stages(
      'birds_64',
      "--config.data.columns.size={'name': 'Number'}",
      '--config.game.condition=size',
      *(f'--config.game.{kind}_{k}.words=3' for kind in ('generator', 'discriminator') for k in (1, 2)),
    )
  with pytest.raises(UserError, match=r"discriminator_1\.words=9 but column 'label' has up to 10"):
    stages('digits', '--config.game.discriminator_1.words=9')
  # Of the columns it is the one that is asked for that counts.
  classes = ["--config.data.columns.kind={'name': 'Label', 'classes': 4}", '--config.game.condition=kind']
  classes += [f'--config.game.{kind}_{k}.words=4' for kind in ('generator', 'discriminator') for k in (1, 2)]
  assert stages('birds_64', *classes)[0].game.condition == 'kind'


def test_the_papers_config_is_built_without_its_data():
  first, second = runs.stages_of(config_lib.load('configs/stackgan.py:birds'))
  fields = {name: field.shape for name, field in second.streams['images'].fields(2).items()}
  assert fields == {'image': (2, 256, 256, 3), 'embedding': (2, 1024)}
  assert first.steps == 600 * 138 and first.streams['images'].fields(1)['image'].shape == (1, 64, 64, 3)
  (texts,) = runs.stages_of(config_lib.load('configs/stackgan.py:birds_64'))[0].streams.values()
  assert texts.fields(2)['text'].shape == (2, 16)


def test_samples_may_be_asked_for_by_a_text_of_ones_own():
  stage = runs.stages_of(load_shrunk('configs/stackgan.py:birds_64'))[0]
  given = inputs.first(stage, 3)
  asked = conditions.apply(stage, {'text': 'the digit seven, please'}, None, given)[1]['images']
  kind = stage.streams['images'].open().kinds['text']
  assert [kind.decode(row) for row in asked['text']] == ['the digit seven ?'] * 3
  assert asked['text'].shape == given['images']['text'].shape and asked['text'].dtype == np.int32
  np.testing.assert_array_equal(asked['image'], given['images']['image'])
  for field, value, words in (('colour', 'red', "unknown condition .*'colour'"), ('text', '!', 'has no words')):
    with pytest.raises(UserError, match=words):
      conditions.apply(stage, {field: value}, None, given)


def test_samples_may_be_asked_for_by_a_class_of_the_data():
  stage = runs.stages_of(load_shrunk('configs/stackgan.py:digits'))[0]
  asked = conditions.apply(stage, {'label': '7'}, None, inputs.first(stage, 2))[1]['images']
  assert asked['label'].tolist() == [7, 7] and asked['label'].dtype == np.int32
  with pytest.raises(UserError, match='condition label'):
    conditions.apply(stage, {'label': 'seven'}, None, inputs.first(stage, 2))


class Copied(nn.Module):
  """A game whose samples are the pictures that their captions belong to."""

  latents, turns, inputs, condition = None, (), ('images',), 'text'

  def sample(self, batch):
    return batch['images']['image']


def test_samples_are_asked_for_any_class_of_the_example_that_they_are_made_of():
  config = load_shrunk('configs/stackgan.py:birds_64')
  with config.unlocked():
    config.data.columns.odd = dict(name='Label', classes=2)
  stage = runs.stages_of(config)[0]._replace(game=Copied())
  evaluator = Evaluator(stage, Options(metrics=('fid',), samples=100, features='raw', classes_of='odd'))
  fake = evaluator.evidence(GameState(jnp.zeros((), jnp.int32), {}, {}, {}), 0).fake
  shown = inputs.first(stage, 100)['images']
  np.testing.assert_array_equal(fake.labels, shown['odd'])
  assert set(fake.labels) == {0, 1} and evaluator.stream.classes == 2
  source = evaluator.stream.open()
  assert [int(source[i]['label']) for i in range(30)] == [i % 10 % 2 for i in range(30)]
  with pytest.raises(UserError, match=r"--classes_of .*'colour'.* odd"):
    Evaluator(stage, Options(classes_of='colour'))
  (plain,) = runs.stages_of(load_shrunk('configs/stackgan.py:digits'))[-1].streams.values()
  with pytest.raises(UserError, match=r"--classes_of .*'odd'.*config\.data\.columns\.odd"):
    sets.reference_stream(plain, classes_of='odd')


def test_classes_of_two_fields_are_kept_apart(monkeypatch, tmp_path):
  """Two rare classes may agree on all examples that a fingerprint of the set looks at."""
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path))
  monkeypatch.setattr(sources, 'fingerprint', lambda source: 'the same')
  config = load_shrunk('configs/stackgan.py:birds_64')
  with config.unlocked():
    config.data.columns.odd = config.data.columns.hat = dict(name='Label', classes=2)
  stage = runs.stages_of(config)[0]._replace(game=Copied())
  state, titles, settings = GameState(jnp.zeros((), jnp.int32), {}, {}, {}), [], []
  for field in ('odd', 'hat'):
    evaluator = Evaluator(stage, Options(metrics=('fid',), samples=100, features='random', classes_of=field))
    settings.append(classifier._settings(evaluator.stream, None, 0))
    titles.append(evaluator(state, 0).shared['reference'].split(', ')[-1])
  assert titles == ["classes of 'odd'", "classes of 'hat'"] and settings[0] != settings[1]
  kept = sorted(file.stem.split('-')[-1] for file in tmp_path.rglob('statistics/*.npz'))
  assert kept == ['hat', 'odd']


def test_embeddings_are_what_the_settings_say():
  vector = lambda *shape: np.zeros(shape)
  kind = columns.Embedding(size=4, captions=2)
  assert (kind.form.shape, kind.stored(vector(2, 4)).shape) == ((2, 4), (2, 4))
  assert columns.Embedding(size=4, captions=1).stored(vector(1, 4)).shape == (4,)
  assert columns.Embedding(size=4).form is None and columns.Text(length=3).form is None
  for wrong, words in ((vector(2, 3), 'has 3 entries, but size=4'), (vector(3, 4), 'captions=2: set it to 3')):
    with pytest.raises(UserError, match=words):
      kind.stored(wrong)


def test_samples_of_a_later_stage_are_of_what_it_learnt_from():
  """The second generator was trained on images of the first one's weights as they are."""
  second = game(stage=2)
  players = {}
  for name in core.players_of(second):
    of = lambda value, name=name: {name: {'w': jnp.full((), value)}}
    players[name] = core.TrainState(of(0.0), {}, None, {'params': of(1.0)})
  state = GameState(jnp.zeros((), jnp.int32), players, {}, {})
  weights = lambda ema: {k: float(v['w']) for k, v in core.game_variables(second, state, ema=ema)['params'].items()}
  assert core.frozen_players(second) == ('generator_1',)
  assert weights(True) == {name: float(name != 'generator_1') for name in players}
  assert set(weights(False).values()) == {0.0}
  # LAPGAN's levels learn from enlarged data: averages of those below are used.
  assert core.unaveraged_players(second) == ('generator_1',) and not hasattr(lapgan.LAPGAN, 'unaveraged')
