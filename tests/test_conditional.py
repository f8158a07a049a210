"""Games that ask for something: a class, tags that hold at once, codes that nobody named."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import jitted
import numpy as np
import optax
import pytest
from rows import load_shrunk
from scipy import special

from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.base.errors import UserError
from gan_jax.data import sets
from gan_jax.data.streams import Stream, streams_of
from gan_jax.evaluation import measures, of_features, of_networks, suited
from gan_jax.games.infogan import InfoGAN
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Label, Normal, Scales, Tags, Uniform, draw
from gan_jax.metrics.codes import code_error
from gan_jax.nets import cdcgan, cgan, dcgan, infogan, stackgan
from gan_jax.nets.layers.basic import beside_pixels, condition
from gan_jax.sampling.sampler import Sampler
from gan_jax.training import loop as train

KEY = jax.random.key(0)
SGD = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}
CLASSES = 3
TABLE = ((0, 1), (1, 0), (1, 1))


class Shift(nn.Module):
  """z + w of the label."""

  @nn.compact
  def __call__(self, z, *, train, label):
    w = self.param('w', nn.initializers.normal(1.0), (condition(label, CLASSES).shape[-1], z.shape[-1]))
    return z + condition(label, CLASSES) @ w


class Match(nn.Module):
  """x dot v of the label."""

  @nn.compact
  def __call__(self, x, *, train, label):
    v = self.param('v', nn.initializers.normal(1.0), (condition(label, CLASSES).shape[-1], x.shape[-1]))
    return (x * (condition(label, CLASSES) @ v)).sum(-1)


def batch_of(count, kind='label', seed=0):
  random = np.random.RandomState(seed)
  real, fake = random.randint(CLASSES, size=(2, count))
  pick = (lambda i: i.astype(np.int32)) if kind == 'label' else (lambda i: np.array(TABLE, np.float32)[i])
  image, z = random.randn(2, count, 2).astype(np.float32)
  images, latents = {'image': image, kind: pick(real)}, {'z': z, kind: pick(fake)}
  return jax.tree.map(jnp.asarray, {'images': images, 'latents': latents})


LATENTS = {
  'label': {'z': Normal((2,)), 'label': Label(CLASSES)},
  'tags': {'z': Normal((2,)), 'tags': Tags(TABLE)},
}


def by_hand(state, batch, kind):
  """(rows of the condition of data, of what was asked, w, v), numpy float64."""
  rows = lambda x: np.asarray(x, np.float64) if kind == 'tags' else np.eye(CLASSES)[np.asarray(x)]
  w, v = (
    np.asarray(state.players[player].params[player][name], np.float64)
    for player, name in (('generator', 'w'), ('discriminator', 'v'))
  )
  return rows(batch['images'][kind]), rows(batch['latents'][kind]), w, v


@pytest.mark.parametrize('one_pass', [False, True])
@pytest.mark.parametrize('kind', LATENTS)
def test_both_players_are_told_what_is_asked(kind, one_pass):
  game, batch = Standard(Shift(), Match(), LATENTS[kind], one_pass=one_pass), batch_of(5, kind)
  state = jitted.init(game, SGD, batch, KEY)
  of_real, of_fake, w, v = by_hand(state, batch, kind)
  real = (np.asarray(batch['images']['image']) * (of_real @ v)).sum(1)
  fake = ((np.asarray(batch['latents']['z']) + of_fake @ w) * (of_fake @ v)).sum(1)
  softplus = lambda x: np.logaddexp(0, x)
  wanted = {
    'discriminator_loss': softplus(-real).mean() + softplus(fake).mean(),
    'generator_loss': softplus(-fake).mean(),
  }
  for turn in game.turns:
    _, metrics = jitted.play(game, SGD, turn, state, batch, KEY)
    np.testing.assert_allclose(metrics[turn.loss], wanted[turn.loss], rtol=1e-5)


def test_where_real_and_fake_meet_in_pairs_the_fake_has_the_class_of_the_real():
  batch = batch_of(6)
  game = Standard(Shift(), Match(), LATENTS['label'], loss='wasserstein', penalty=GradientPenalty(10.0))
  state = jitted.init(game, SGD, batch, KEY)
  of_real, of_fake, w, v = by_hand(state, batch, 'label')
  real, z = np.asarray(batch['images']['image']), np.asarray(batch['latents']['z'])
  _, metrics = jitted.play(game, SGD, game.turns[0], state, batch, KEY)
  # The gradient of x . v is v wherever it is taken: that of the data's class.
  penalty = 10 * np.mean((np.linalg.norm(of_real @ v, axis=1) - 1) ** 2)
  fake = ((z + of_real @ w) * (of_real @ v)).sum(1)
  np.testing.assert_allclose(metrics['penalty'], penalty, rtol=1e-5)
  critic = fake.mean() - (real * (of_real @ v)).sum(1).mean()
  np.testing.assert_allclose(metrics['discriminator_loss'], critic + penalty, rtol=1e-5)
  # The generator's move draws no data and asks for classes of its own.
  _, metrics = jitted.play(game, SGD, game.turns[-1], state, {'latents': batch['latents']}, KEY)
  np.testing.assert_allclose(metrics['generator_loss'], -((z + of_fake @ w) * (of_fake @ v)).sum(1).mean(), rtol=1e-5)


def test_a_relativistic_pair_is_of_one_class():
  batch = batch_of(6)
  game = Standard(Shift(), Match(), LATENTS['label'], loss='relativistic')
  state = jitted.init(game, SGD, batch, KEY)
  of_real, _, w, v = by_hand(state, batch, 'label')
  real = (np.asarray(batch['images']['image']) * (of_real @ v)).sum(1)
  fake = ((np.asarray(batch['latents']['z']) + of_real @ w) * (of_real @ v)).sum(1)
  for turn, margin in zip(game.turns, (real - fake, fake - real), strict=True):
    _, metrics = jitted.play(game, SGD, turn, state, batch, KEY)
    np.testing.assert_allclose(metrics[turn.loss], np.logaddexp(0, -margin).mean(), rtol=1e-5)


def test_networks_of_cgan_read_the_label():
  z, image = jnp.ones((2, 7)), jnp.ones((2, 4, 4, 1))
  same, other = jnp.array([1, 1]), jnp.array([1, 2])
  rngs = {'params': KEY, 'dropout': KEY}
  for net, x in (
    (cgan.Generator(z_units=4, label_units=4, units=8, shape=(4, 4, 1)), z),
    (cgan.MaxoutDiscriminator(units=4, label_units=3, joint_units=4, irange=0.5), image),
  ):
    variables = net.init(rngs, x, train=False, label=same)
    out = net.apply(variables, x, train=False, label=same)
    assert out.shape == ((2, 4, 4, 1) if x is z else (2,))
    np.testing.assert_array_equal(out[0], out[1])
    changed = net.apply(variables, x, train=False, label=other)
    np.testing.assert_array_equal(changed[0], out[0])
    assert np.abs(changed[1] - out[1]).max() > 1e-6
    trained = net.apply(variables, x, train=True, label=same, rngs={'dropout': KEY})
    assert np.abs(trained[1] - out[1]).max() > 1e-6, 'no dropout'


@pytest.mark.slow
def test_every_layer_of_conditional_dcgan_reads_the_condition():
  z, image = jnp.ones((2, 7)), jnp.ones((2, 8, 8, 1))
  label, zeros = jnp.array([1, 2]), jnp.zeros(2, int)
  for net, x, layers in (
    (cdcgan.Generator(3, 6, (4, 5), base=2), z, 4),
    (cdcgan.Discriminator(3, (4, 5), 6), image, 4),
  ):
    variables = net.init({'params': KEY}, x, train=True, label=label)
    call = jax.jit(
      lambda params, label, net=net, x=x, v=variables: net.apply({**v, 'params': params}, x, train=False, label=label)
    )
    inputs = lambda name: -1 if name.startswith('ConvTranspose') else -2  # the axis of a kernel's inputs
    assert len(variables['params']) == layers
    for reads in variables['params']:
      deaf = {}
      for name, layer in variables['params'].items():
        kernel = jnp.moveaxis(layer['kernel'], inputs(name), 0)
        kernel = kernel if name == reads else kernel.at[-3:].set(0.0)
        deaf[name] = {'kernel': 30 * jnp.moveaxis(kernel, 0, inputs(name))}
      out = call(deaf, label)
      assert np.abs(out[0] - out[1]).max() > 1e-4, f'{reads} does not read the condition'
      np.testing.assert_array_equal(*call(deaf, zeros))


def test_conditional_dcgan_is_as_large_as_the_authors():
  def size(net, x):
    made = jax.eval_shape(lambda: net.init(KEY, x, train=True, label=jnp.zeros(2, int)))
    return sum(leaf.size for leaf in jax.tree.leaves(made['params']))

  assert size(cdcgan.Generator(), jnp.zeros((2, 100))) == 110 * 1024 + 1034 * 6272 + 138 * 64 * 25 + 74 * 25
  wanted = 11 * 64 * 25 + 74 * 128 * 25 + 6282 * 1024 + 1034
  assert size(cdcgan.Discriminator(), jnp.zeros((2, 28, 28, 1))) == wanted
  _, features = cdcgan.Discriminator(3, (4,), 6).init_with_output(
    KEY, jnp.ones((2, 8, 8, 1)), train=True, label=jnp.zeros(2, int), features=True
  )[0]
  assert features.shape == (2, 6)


def test_a_stream_gives_each_class_its_tags():
  settings = dict(name='digits', size=8, channels=1, classes=10, tags=tuple((i % 2, i // 5) for i in range(10)))
  stream = streams_of(settings, 4)['images']
  assert stream.fields(4)['tags'].shape == (4, 2)
  fields = {'image': jnp.zeros((3, 8, 8, 1), jnp.uint8), 'label': jnp.array([0, 7, 4])}
  assert stream.prepare(fields, KEY)['tags'].tolist() == [[0, 0], [1, 1], [0, 0]]
  for wrong in (((0, 1),), tuple((0,) * (1 + i % 2) for i in range(10))):
    with pytest.raises(UserError, match=r'config\.data\.tags has rows of lengths .* one row, and all rows one length'):
      streams_of({**settings, 'tags': wrong}, 4)


def test_data_without_what_is_asked_are_refused():
  config = config_lib.override(load_shrunk('configs/cgan.py:digits_tags'), ['--config.data.tags=()'])
  (stage,) = runs.stages_of(config)
  with pytest.raises(UserError, match=r"'tags'.*config\.data\.tags"):
    runs.new_state(stage, KEY)


def test_every_row_of_tags_comes_as_often():
  drawn = np.asarray(draw(Tags(TABLE), KEY, 3000))
  shares = [np.mean((drawn == row).all(1)) for row in np.array(TABLE)]
  np.testing.assert_allclose(shares, 1 / 3, atol=0.03)


def test_a_class_that_is_asked_for_is_made(tmp_path):
  # Class k of the ring lies at the angle 2 pi k / 8.
  net = dict(classes=8, irange=0.3)
  config = config_lib.base(
    game=dict(
      name='standard.Standard', loss='nonsaturating',
      latents=dict(z=dict(name='Normal', shape=(4,)), label=dict(name='Label', classes=8)),
      generator=dict(
        name='cgan.Generator', z_units=16, label_units=32, units=64, shape=(2,), output='identity', dropout=0.0, **net
      ),
      discriminator=dict(
        name='cgan.MaxoutDiscriminator', units=32, label_units=16, joint_units=32, dropout=(0.0, 0.0, 0.0), **net
      ),
    ),
    optimizers={player: dict(name='optax.adam', learning_rate=1e-3, b1=0.0) for player in SGD},
    data=config_lib.stream(name='ring', classes=8),
    batch_size=128, steps=800, sample_every=0, checkpoint_every=0, devices=1,
  )  # fmt: skip
  train.run(config, tmp_path / 'run', silent=True)
  import gan_jax

  run = gan_jax.load(tmp_path / 'run')
  for label in range(8):
    x, y = run.sample(64, seed=3, label=label).mean(0)
    away = np.angle(np.exp(1j * (np.arctan2(y, x) - 2 * np.pi * label / 8)))
    assert abs(away) < np.pi / 8 and 0.7 < np.hypot(x, y) < 1.3, f'class {label} is made at ({x:.2f}, {y:.2f})'


def evidence(seen, tags, table):
  stream = types.SimpleNamespace(tags=table, name='digits')
  fake = types.SimpleNamespace(tags=None if tags is None else np.array(tags, np.float32))
  return types.SimpleNamespace(stream=stream, fake=fake, predicted_classes=np.array(seen), game=object())


def test_tag_figures_by_hand():
  # Classes 0, 1, 2 have the tags 01, 10, 11. The third sample lacks the first tag, the fourth has one too many.
  found = evidence([0, 1, 0, 2], [[0, 1], [1, 0], [1, 1], [0, 1]], TABLE)
  figures = {figure.name: figure for figure in of_features.tag_figures(found)}
  assert figures['tag_precision'].parts == [0.5, 1.0] and figures['tag_precision'].value == 0.75
  assert figures['all_tags_right'].value == 0.5
  tagged = types.SimpleNamespace(latents={'z': Normal((2,)), 'tags': Normal((2,))})
  assert suited.lack('tags', tagged) == ''
  with pytest.raises(UserError, match='is not asked for tags'):
    suited.check_game('tags', types.SimpleNamespace(latents={'z': Normal((2,)), 'label': Label(2)}))
  with pytest.raises(UserError, match='the metric tags needs tags of its classes'):
    measures.check_needs(['tags'], Stream(name='digits', size=8, channels=1, classes=10), 'auto')


def test_code_error_by_hand():
  labels = np.repeat(np.arange(4), 5)
  renamed = np.array([2, 0, 3, 1])[labels]
  found = code_error(renamed, labels, renamed, labels)
  assert found.value == 0 and found.matching.tolist() == [1, 3, 0, 2]
  # Two codes for one class: only one of them may have it, and the class without a code is always wrong.
  codes = np.array([0, 0, 0, 1, 1, 2, 2, 2])
  classes = np.array([0, 0, 0, 0, 0, 1, 2, 2])
  assert code_error(codes, classes, np.array([0, 1, 2, 2]), np.array([0, 0, 2, 1])).value == 0.5
  with pytest.raises(UserError, match='give one of each'):
    code_error(codes, classes[:3], codes, classes)


BATCH = 128


class Reader:
  """A game whose code tells each picture's nearest mean, one of `means` (n, 8, 8, 1)."""

  def __init__(self, means):
    self.means = jnp.asarray(means)[None]
    self.latents = {'digit': Label(len(means)), 'style': Uniform((2,))}

  def codes(self, image):
    away = jnp.square(image[:, None] - self.means).sum((2, 3, 4))
    return {'digit': -away, 'style': away[:, :2]}

  def apply(self, variables, image, method):
    assert not variables and len(image) == BATCH
    return getattr(self, method)(image)


def test_the_code_error_of_held_out_digits_is_that_of_its_classifier():
  stream = streams_of(dict(name='digits', size=8, channels=1, classes=10), 4)['images']
  held_out = sets.held_out_stream(stream)
  (train, train_labels), (test, test_labels) = (sets.examples(side, 2000) for side in (stream, held_out))
  scale = lambda images: images.astype(np.float64) / 127.5 - 1
  order = np.random.RandomState(0).permutation(10)  # the code's value k stands for the class order[k]
  means = np.stack([scale(train[train_labels == k]).mean(0) for k in order])
  nearest_of = lambda side: np.array([np.square(x - means).sum((1, 2, 3)).argmin() for x in scale(side)])
  found = types.SimpleNamespace(
    game=Reader(means), variables={}, stream=stream, labelled_held_out=held_out, batch_size=BATCH,
    once=lambda name, make: make(), in_range=lambda images: jnp.asarray(scale(images), jnp.float32),
  )  # fmt: skip
  figure, on_training = of_networks.code_figures(found)
  assert len(test) % BATCH, 'the last batch is to be a padded one'
  assert figure.name == 'code_error_digit' and 0.05 < figure.value < 0.2
  assert figure.value == pytest.approx(np.mean(order[nearest_of(test)] != test_labels), abs=0.003)
  assert on_training.name == 'code_error_digit_training'
  assert on_training.value == pytest.approx(np.mean(order[nearest_of(train)] != train_labels), abs=0.003)
  with pytest.raises(UserError, match='reads no codes'):
    suited.check_game('codes', object())


def small_infogan():
  return InfoGAN(
    dcgan.Generator((8, 4), 1, kernel=4, base=2),
    infogan.Discriminator(dcgan.Discriminator((4, 8), kernel=4), {'digit': 3, 'style': 2}, units=8),
    {'z': Normal((2,)), 'digit': Label(3), 'style': Uniform((2,))},
    {'digit': 0.5, 'style': 2.0},
  )


def test_infogan_adds_the_weighted_information_in_both_turns():
  game = small_infogan()
  random = np.random.RandomState(0)
  image = jnp.asarray(random.randn(6, 8, 8, 1), jnp.float32)
  batch = {'images': {'image': image}, 'latents': draw(game.latents, KEY, 6)}
  state = jitted.init(game, SGD, batch, KEY)
  variables = core.game_variables(game, state)
  # Codes stand behind z in the order of their names.
  codes = np.concatenate(
    [batch['latents']['z'], np.eye(3)[batch['latents']['digit']], batch['latents']['style']], 1, dtype=np.float32
  )

  def networks(game, z, image):
    fake = game.generator(z, train=True)
    return game.discriminator(fake, train=True, codes=True), game.discriminator(image, train=True)

  ((fake, q), real), _ = game.apply(variables, jnp.asarray(codes), image, method=networks, mutable=True)
  log_q = special.log_softmax(np.asarray(q['digit'], np.float64), 1)[np.arange(6), batch['latents']['digit']]
  style = 0.5 * np.square(np.asarray(q['style'] - batch['latents']['style'], np.float64)) + 0.5 * np.log(2 * np.pi)
  information = 0.5 * -log_q.mean() + 2.0 * style.sum(1).mean()
  softplus = lambda x: np.logaddexp(0, np.asarray(x, np.float64)).mean()
  wanted = {
    'discriminator_loss': softplus(-real) + softplus(fake) + information,
    'generator_loss': softplus(-fake) + information,
  }
  for turn in game.turns:
    after, metrics = jitted.play(game, SGD, turn, state, batch, KEY)
    np.testing.assert_allclose(metrics[turn.loss], wanted[turn.loss], rtol=1e-4)
    before, now = (s.players['discriminator'].params['discriminator']['q_digit'] for s in (state, after))
    moved = any(np.any(a != b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(now), strict=True))
    assert moved == (turn.movers == ('discriminator',)), "Q is the discriminator's"


def test_a_code_that_nobody_reads_is_an_input_all_the_same():
  game = small_infogan().clone(information={'digit': 0.5})
  batch = {'images': {'image': jnp.zeros((4, 8, 8, 1))}, 'latents': draw(game.latents, KEY, 4)}
  variables = core.game_variables(game, jitted.init(game, SGD, batch, KEY))
  other = {**batch['latents'], 'style': -batch['latents']['style']}
  made = [game.apply(variables, {'latents': latents}, method='sample') for latents in (batch['latents'], other)]
  assert (made[0] != made[1]).any()


def test_a_second_condition_is_an_error():
  game = Standard(Shift(), Match(), {**LATENTS['label'], **LATENTS['tags']})
  with pytest.raises(UserError, match=r'latents has label and tags, .* keep one of them'):
    game.check_training({})


class Echo(nn.Module):
  """As a generator z + w label, as a discriminator w times what it is told, so that conditions are seen in losses."""

  judge: bool = False

  @nn.compact
  def __call__(self, x, *, train, label):
    w = self.param('w', nn.initializers.ones, ())
    label = label.astype(jnp.float32)
    return w * label.sum(-1) + 0 * x.sum(-1) if self.judge else 0 * x + w * label


@pytest.mark.parametrize('column', ['vector', 'text'])
def test_any_column_is_the_condition_of_both_networks(column):
  game = Standard(Echo(), Echo(True), Normal((3,)), 'wasserstein', condition=column)
  value = {'vector': jnp.ones((4, 3)) * jnp.arange(4.0)[:, None], 'text': jnp.arange(12).reshape(4, 3)}[column]
  batch = {
    'images': {'image': jnp.zeros((4, 3)), column: value},
    'latents': jax.random.normal(jax.random.key(0), (4, 3)),
  }
  sgd = {'generator': optax.sgd(0.0), 'discriminator': optax.sgd(0.0)}
  state = jitted.init(game, sgd, batch, jax.random.key(0))
  for turn in game.turns:
    state, metrics = jitted.play(game, sgd, turn, state, batch, jax.random.key(1))
    told = float(value.astype(jnp.float32).sum(-1).mean())
    if turn.loss == 'discriminator_loss':
      assert metrics['real_logit'] == metrics['fake_logit'] == pytest.approx(told)
    else:
      assert metrics['generator_loss'] == pytest.approx(-told)
  assert core.inputs_of(game, ('images',)) == ('images',)
  variables = core.game_variables(game, state)
  made = Sampler(game)(variables, 3, 0, inputs={'images': {'image': np.zeros((3, 3)), column: np.asarray(value)[1:]}})
  np.testing.assert_allclose(made, np.asarray(value)[1:], atol=1e-6)


def test_a_condition_that_the_data_have_not_is_one_line():
  batch = {'images': {'image': jnp.zeros((4, 3))}, 'latents': jnp.zeros((4, 3))}
  sgd = {'generator': optax.sgd(0.0), 'discriminator': optax.sgd(0.0)}
  for settings, latents, words in (
    ({'condition': 'text'}, Normal((3,)), "unknown column in config.game.condition 'text'.*image"),
    ({'condition': 'image'}, {'z': Normal((3,))}, 'make config.game.latents one distribution'),
  ):
    given = {**batch, 'latents': batch['latents'] if isinstance(latents, Normal) else {'z': batch['latents']}}
    with pytest.raises(UserError, match=words):
      jitted.init(Standard(Echo(), Echo(True), latents, **settings), sgd, given, jax.random.key(0))
  few = {**batch, 'latents': jnp.zeros((2, 3))}
  with pytest.raises(UserError, match='needs as many examples as latents, not 4 and 2'):
    jitted.init(Standard(Echo(), Echo(True), Normal((3,)), condition='image'), sgd, few, jax.random.key(0))
  maps = {**batch, 'latents': tuple(jnp.zeros((2, 1)) for _ in range(4))}
  with pytest.raises(UserError, match='needs as many examples as latents, not 4 and 2'):
    scales = Scales(((1,),) * 4)
    jitted.init(Standard(Echo(), Echo(True), scales, condition='image'), sgd, maps, jax.random.key(0))


def test_numbers_are_conditions_as_they_are():
  # They would be no class of any: one-hot of a real number is zeros.
  assert condition(jnp.array([0.5, 2.0]), 1).tolist() == [[0.5], [2.0]]
  assert condition(jnp.array([0, 2]), 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
  assert condition(jnp.array([[0.5, 2.0]]), 3).tolist() == [[0.5, 2.0]]  # tags


def test_classes_of_another_form_are_no_conditions():
  nobody = np.asarray(condition(jnp.array([-1, 1, 3]), 3))
  assert np.isnan(nobody[[0, 2]]).all() and nobody[1].tolist() == [0, 1, 0]
  for wrong in (jnp.array([[1], [2]]), jnp.array([1.0, 2.0])):
    with pytest.raises(UserError, match='with classes=3: give whole numbers'):
      condition(wrong, 3)
  assert np.isnan(np.asarray(stackgan.embedded(jnp.array([-1, 1]), 3))).any(1).tolist() == [True, False]
  with pytest.raises(UserError, match='give classes as whole numbers'):
    stackgan.embedded(jnp.array([0.0, 1.0]), 3)
  for vector in (jnp.arange(2), jnp.ones((1, 3))):
    with pytest.raises(UserError, match='2 pictures and a condition of shape'):
      beside_pixels(jnp.zeros((2, 2, 2, 1)), vector)
