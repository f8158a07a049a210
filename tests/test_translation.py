"""Games that translate pictures, on networks small enough to compute by hand."""

import dataclasses
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import jitted
import numpy as np
import optax
import pytest

from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.base.errors import UserError
from gan_jax.config.build import build
from gan_jax.core.clock import Clock
from gan_jax.data.streams import Stream
from gan_jax.games.cyclegan import CycleGAN
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.pix2pix import Pix2Pix
from gan_jax.games.stargan import StarGAN
from gan_jax.nets import translation
from gan_jax.runs.experiment import experiment_of
from gan_jax.sampling import conditions
from gan_jax.training import checks

KEY = jax.random.key(0)
SGD = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}
softplus = lambda x: np.log1p(np.exp(x))


class Times(nn.Module):
  """w x, or of the label too: w x + its first entry."""

  start: float = 1.0

  @nn.compact
  def __call__(self, x, label=None, *, train):
    x = x * self.param('w', nn.initializers.constant(self.start), ())
    return x if label is None else x + label[:, :1, None, None]


class Mean(nn.Module):
  """w times the mean of each picture, a logit; with features those too; with domains a logit for each."""

  start: float = 1.0
  domains: int = 0

  @nn.compact
  def __call__(self, x, *, train, features=False, classify=True):
    logits = x.mean((1, 2, 3)) * self.param('w', nn.initializers.constant(self.start), ())
    if self.domains and classify:
      return logits, logits[:, None] * jnp.arange(1, self.domains + 1)[None]
    return (logits, [x, 2 * x]) if features else logits


def pictures(*levels):
  return {'image': jnp.asarray(levels, jnp.float32)[:, None, None, None] * jnp.ones((1, 2, 2, 1))}


BATCH = {'a': pictures(1.0, 2.0), 'b': pictures(3.0, -1.0)}


def cyclegan(**settings):
  return CycleGAN(Times(2.0), Times(0.5), Mean(1.0), Mean(-1.0), **settings)


def first_loss(game, method, batch=BATCH, step=0):
  state = jitted.init(game, SGD, batch, KEY)
  variables = core.game_variables(game, state, clock=Clock(*(jnp.int32(step),) * 2, jnp.int32(9), jnp.float32(0)))
  out, written = game.apply(variables, batch, method=method, rngs={'noise': KEY}, mutable=True)
  return float(out[0]), {k: float(v) for k, v in out[1].items()}, written


@pytest.mark.parametrize('one_pass', [False, True])
def test_cyclegan_by_hand(one_pass):
  """G = 2 x, F = x / 2, D_a(x) = mean, D_b(x) = -mean."""
  loss, terms, written = first_loss(cyclegan(one_pass=one_pass), 'generator_loss')
  a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0])
  # 2 times the half square of least_squares; the ways back are exact here; G(b) - b = b, F(a) - a = -a / 2.
  expected = {
    'fooled_b': np.mean((-2 * a - 1) ** 2),
    'fooled_a': np.mean((b / 2 - 1) ** 2),
    'cycle_a': 0.0,
    'cycle_b': 0.0,
    'identity_b': 10 * 0.5 * np.abs(b).mean(),
    'identity_a': 10 * 0.5 * np.abs(a / 2).mean(),
  }
  assert terms == pytest.approx(expected)
  assert loss == pytest.approx(sum(expected.values()))
  np.testing.assert_allclose(written['scratch']['fake_b'][:, 0, 0, 0], 2 * a)


def test_dualgan_and_discogan_by_hand():
  dual = cyclegan(loss='wasserstein', adversarial=1.0, cycle=500.0, identity=0.0, pool=0, first='discriminator')
  a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0])
  assert first_loss(dual, 'generator_loss')[0] == pytest.approx(np.mean(2 * a) - np.mean(b / 2))
  loss, _, _ = first_loss(dual, 'discriminator_loss')
  assert loss == pytest.approx((np.mean(b) + np.mean(-2 * a)) + (-np.mean(a) + np.mean(b / 2)))
  disco = cyclegan(
    loss='nonsaturating', adversarial=0.1, features=0.9, cycle=1.0, distance='l2', identity=0.0, pool=0,
    rates=((0, 0.01), (5, 0.5)), first='discriminator', generator_steps=2, share=False,
  )  # fmt: skip
  for step, rate in ((0, 0.01), (4, 0.01), (5, 0.5), (8, 0.5)):
    loss, _, _ = first_loss(disco, 'generator_loss', step=step)
    fooled = softplus(2 * a).mean() + softplus(-b / 2).mean()
    # Means of 2a less means of b, of b / 2 less of a; the second map is twice the first: four times the squares.
    features = 5 * ((2 * a).mean() - b.mean()) ** 2 + 5 * ((b / 2).mean() - a.mean()) ** 2
    assert loss == pytest.approx((1 - rate) * (0.1 * fooled + 0.9 * features), rel=1e-5)
  late = cyclegan(pool=0, rates=((5, 0.25), (9, 0.5)))
  weighed = lambda step: first_loss(late, 'generator_loss', step=step)[1]['fooled_b']
  # The first share holds from the start.
  assert [weighed(step) / np.mean((-2 * a - 1) ** 2) for step in (0, 5, 9)] == pytest.approx([0.75, 0.75, 0.5])


def made_by(game, method, batch, given=None):
  """What a method makes of the batch, or of other examples that are given."""
  state = jitted.init(game, SGD, batch, KEY)
  return game.apply(core.game_variables(game, state), given or batch, method=method, rngs={'noise': KEY})


def test_cyclegan_where_the_way_back_is_not_exact():
  """G = 2 x, F = 3 x; a loss that compares, a penalty."""
  settings = dict(loss='relativistic', adversarial=1.0, identity=0.0, pool=0, first='discriminator')
  game = CycleGAN(
    Times(2.0), Times(3.0), Mean(1.0), Mean(-1.0), rates=((0, 0.25),), penalty=GradientPenalty(10.0), **settings
  )
  a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0])
  expected = {
    'fooled_b': 0.75 * softplus(2 * a - b).mean(),
    'fooled_a': 0.75 * softplus(a - 3 * b).mean(),
    'cycle_a': 0.25 * 10 * np.abs(6 * a - a).mean(),
    'cycle_b': 0.25 * 10 * np.abs(6 * b - b).mean(),
  }
  assert first_loss(game, 'generator_loss')[1] == pytest.approx(expected, rel=1e-5)
  # The gradient of a mean of 4 pixels has the norm 1/2.
  terms = first_loss(game, 'discriminator_loss')[1]
  assert [terms['penalty_a'], terms['penalty_b']] == pytest.approx([10 * 0.25] * 2, rel=1e-5)
  level = lambda made: {name: array[:, 0, 0, 0].tolist() for name, array in made.items()}
  assert level(made_by(game, 'sample', BATCH)) == {'ab': [2.0, 4.0], 'ba': [9.0, -3.0]}
  assert level(made_by(game, 'round_trip', BATCH)) == {'a': [6.0, 12.0], 'b': [18.0, -6.0]}


def test_the_turns_of_three_papers():
  game = lambda name: build(config_lib.load(f'configs/{name}.py').game.to_dict(), home='gan_jax.games')
  plan = lambda name: [(turn.movers[0], turn.repeat, turn.share) for turn in game(name).turns]
  assert plan('cyclegan') == [('generator', 1, False), ('discriminator', 1, 'batch')]
  assert plan('dualgan') == [('discriminator', 1, False), ('generator', 1, 'batch')]
  assert plan('discogan') == [('discriminator', 1, False), ('generator', 2, False)]
  assert plan('stargan') == [('discriminator', 5, False), ('generator', 1, 'batch')]
  assert plan('pix2pix') == [('discriminator', 1, False), ('generator', 1, 'batch')]


def test_the_pool_shows_fakes_of_before():
  game = cyclegan(pool=4)
  state = jitted.init(game, SGD, BATCH, KEY)
  assert state.variables['memory']['pool_b']['images'].shape == (4, 2, 2, 1)
  step = jax.jit(core.make_step(game, SGD, streams=('a', 'b'), latents_batch=2))
  feed = jax.tree.map(lambda x: x[None], BATCH)
  state, metrics = step(state, feed, KEY)
  # The first two fakes are shown and go in: those made before the generators moved.
  memory = state.variables['memory']['pool_b']
  np.testing.assert_allclose(memory['images'][:, 0, 0, 0], [2.0, 4.0, 0.0, 0.0])
  assert int(memory['count']) == 2 and 'fake_b' not in state.scratch
  # 1/2 (D(b) - 1)^2 + 1/2 D(2a)^2 with D = -mean.
  expected = np.mean((-np.array([3.0, -1.0]) - 1) ** 2) / 2 + np.mean(np.array([2.0, 4.0]) ** 2) / 2
  assert core.means(metrics)['discriminator_b'] == pytest.approx(expected)
  assert cyclegan(pool=0).turns and not jitted.init(cyclegan(pool=0), SGD, BATCH, KEY).variables['memory']


class Centred(nn.Module):
  """The mean of each picture less that of the batch."""

  @nn.compact
  def __call__(self, x, *, train):
    means = x.mean((1, 2, 3)) * self.param('w', nn.initializers.ones, ())
    return means - means.mean()


def test_one_pass_refuses_networks_that_see_the_other_examples():
  net = translation.ResnetGenerator(channels=2, blocks=0, image_channels=1, norm='batch')
  batch = {name: {'image': jnp.zeros((2, 4, 4, 1))} for name in 'ab'}
  for nets, words in (
    ((net, net, Mean(), Mean()), 'would mix the batch statistics'),
    ((Times(), Times(), Mean(), Centred()), 'depends on the other examples'),
  ):
    with pytest.raises(UserError, match=f'one_pass.*{words}'):
      jax.eval_shape(lambda key, nets=nets: core.init(CycleGAN(*nets, one_pass=True), SGD, batch, key), KEY)
  uneven = {'a': {'image': jnp.zeros((2, 4, 4, 1))}, 'b': {'image': jnp.zeros((3, 4, 4, 1))}}
  with pytest.raises(UserError, match='one_pass needs batches of one shape'):
    jax.eval_shape(lambda key: core.init(cyclegan(one_pass=True), SGD, uneven, key), KEY)


PAIR = {'images': {'a': pictures(1.0, 2.0)['image'], 'b': pictures(3.0, -1.0)['image']}}


def test_pix2pix_by_hand():
  a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0])
  loss, terms, _ = first_loss(Pix2Pix(Times(2.0), Mean()), 'generator_loss', PAIR)
  distance = np.abs(2 * a - b).mean()
  # The discriminator sees both beside each other: the mean of a and G(a).
  assert terms['fooled'] == pytest.approx(softplus(-(a + 2 * a) / 2).mean()) and terms['l1'] == pytest.approx(distance)
  assert loss == pytest.approx(terms['fooled'] + 100 * distance)
  loss, _, _ = first_loss(Pix2Pix(Times(2.0), Mean()), 'discriminator_loss', PAIR)
  assert loss == pytest.approx(softplus(-(a + b) / 2).mean() + softplus((a + 2 * a) / 2).mean())
  alone = Pix2Pix(Times(2.0), Mean(), conditional=False, l1=0.0, perceptual=10.0)
  loss, terms, _ = first_loss(alone, 'generator_loss', PAIR)
  assert loss == pytest.approx(softplus(-2 * a).mean() + 10 * np.mean([distance, 2 * distance]), rel=1e-5)
  small = {'images': {'a': jnp.ones((2, 1, 1, 1)), 'b': jnp.ones((2, 2, 2, 1))}}
  seen = Pix2Pix(Times(), Mean()).seen(small['images']['a'], small['images']['b'])
  assert seen.shape == (2, 2, 2, 2)
  grey = jnp.arange(4.0).reshape(1, 2, 2, 1)
  seen = Pix2Pix(Times(), Mean()).seen(grey, jnp.zeros((1, 4, 4, 1)))
  np.testing.assert_array_equal(seen[0, :, :, 0], np.kron(grey[0, :, :, 0], np.ones((2, 2))))
  with pytest.raises(UserError, match="of 'b' are 3x3, of 'a' 2x2: make the first a whole multiple"):
    Pix2Pix(Times(), Mean()).seen(grey, jnp.zeros((1, 3, 3, 1)))
  compared = Pix2Pix(Times(2.0), Mean(), loss='relativistic', l1=0.0, penalty=GradientPenalty(10.0))
  assert first_loss(compared, 'generator_loss', PAIR)[0] == pytest.approx(softplus((b - 2 * a) / 2).mean())
  # A mean of 8 values: its gradient has the norm 8^-1/2.
  penalty = first_loss(compared, 'discriminator_loss', PAIR)[1]['penalty']
  assert penalty == pytest.approx(10 * (8**-0.5 - 1) ** 2, rel=1e-5)
  assert made_by(compared, 'sample', PAIR)[:, 0, 0, 0].tolist() == [2.0, 4.0]


def test_stargan_by_hand():
  domains, own = ('dark', 'fair', 'old'), jnp.array([[1.0, 0, 0], [1.0, 0, 0]])
  game = StarGAN(Times(2.0), Mean(1.0, 3), domains, exclusive=('dark', 'fair'), penalty=GradientPenalty(10.0))
  batch = {'images': {**pictures(1.0, 2.0), 'attributes': own}}
  x = np.array([1.0, 2.0])
  fake = 2 * x + 1  # whatever the order of attributes that are all alike
  loss, terms, _ = first_loss(game, 'discriminator_loss', batch)
  logits = x[:, None] * np.arange(1, 4)
  classified = (softplus(logits) - logits * np.asarray(own)).sum(-1).mean()
  # The gradient of a mean of 4 pixels has the norm 1/2.
  expected = {'judged': fake.mean() - x.mean(), 'classified': classified, 'penalty': 10 * 0.25}
  assert terms == pytest.approx(expected, rel=1e-5) and loss == pytest.approx(sum(expected.values()), rel=1e-5)
  loss, terms, _ = first_loss(game, 'generator_loss', batch)
  logits = fake[:, None] * np.arange(1, 4)
  obeyed = (softplus(logits) - logits * np.asarray(own)).sum(-1).mean()
  cycle = 10 * np.abs(2 * fake + 1 - x).mean()
  assert terms == pytest.approx({'fooled': -fake.mean(), 'obeyed': obeyed, 'cycle': cycle}, rel=1e-5)
  compared = game.clone(loss='relativistic', classifier=0.0, cycle=0.0)
  assert first_loss(compared, 'generator_loss', batch)[0] == pytest.approx(softplus(x - fake).mean(), rel=1e-5)
  with pytest.raises(UserError, match=r'two_way_softmax.*takes'):
    jitted.init(game.clone(loss='two_way_softmax'), SGD, batch, KEY)
  changed = lambda name: game.wanted(own, name)[0].tolist()
  assert changed('fair') == [0, 1, 0] and changed('dark') == [1, 0, 0] and changed('old') == [1, 0, 1]
  # Pictures without attributes have those that the discriminator sees: all logits are positive here.
  alone = {'images': pictures(1.0)}
  assert made_by(game, 'known', batch, alone).tolist() == [[1, 1, 1]]
  made = made_by(game, 'sample', batch, alone)
  assert {name: float(array[0, 0, 0, 0]) for name, array in made.items()} == {'dark': 3.0, 'fair': 2.0, 'old': 3.0}


def test_stargan_asks_for_attributes_of_other_examples():
  own = jnp.array([[i % 2, i // 2 % 2, i // 4] for i in range(8)], jnp.float32)
  # Near 0, where the distance from the way back with the wanted attributes, in place of its own, has another mean.
  x = np.linspace(-1.0, -0.1, 8)
  game = StarGAN(Times(2.0), Mean(1.0, 3), ('dark', 'old', 'male'))
  batch = {'images': {**pictures(*x), 'attributes': own}}
  wanted = np.asarray(made_by(game, 'moved', batch)[2])
  assert sorted(wanted.tolist()) == sorted(own.tolist()) and (wanted[:, 0] != own[:, 0]).any()
  fake = 2 * x + wanted[:, 0]
  logits = fake[:, None] * np.arange(1, 4)
  expected = {
    'fooled': -fake.mean(),
    'obeyed': (softplus(logits) - logits * wanted).sum(-1).mean(),
    'cycle': 10 * np.abs(2 * fake + np.asarray(own[:, 0]) - x).mean(),
  }
  assert first_loss(game, 'generator_loss', batch)[1] == pytest.approx(expected, rel=1e-5)
  # All logits are positive, so that all attributes are there: made 2 + 0 and 2 + 1, and back 2 made + 1.
  again = made_by(game, 'round_trip', batch, {'images': pictures(1.0)})
  assert {name: float(array[0, 0, 0, 0]) for name, array in again.items()} == {'dark': 5.0, 'old': 7.0, 'male': 7.0}


def test_stargan_compares_as_many_attributes_as_its_discriminator_tells():
  """One logit would be compared with each attribute, five with one."""
  batch = {'images': {'image': jnp.zeros((2, 4, 4, 1)), 'attributes': jnp.zeros((2, 3))}}
  game = lambda count: StarGAN(Times(2.0), Mean(1.0, count), ('dark', 'old', 'male'))
  told = lambda count: rf'tells {count} attributes but .* names 3: set .*discriminator\.domains=3'
  state = jitted.init(game(1), SGD, batch, KEY)  # a run from before can be loaded
  for turn in game(1).turns:
    with pytest.raises(UserError, match=told(1)):
      jitted.play(game(1), SGD, turn, state, batch, KEY)
  with pytest.raises(UserError, match=told(5)):
    jitted.init(game(5), SGD, batch, KEY)


def test_an_identity_term_needs_domains_of_as_many_channels():
  config = config_lib.load('configs/cyclegan.py:digits')
  given = ['--config.data.a.channels=3', '--config.game.generator_ba.image_channels=3']
  with pytest.raises(UserError, match=r'identity=0.5 shows .* 3 channels and one 1: set config\.game\.identity=0'):
    runs.abstract_state(runs.stages_of(config_lib.override(config, [*given, '--config.game.identity=0.5'])), 0, KEY)


def test_stargan_of_classes():
  game = StarGAN(Times(), Mean(1.0, 3), ('0', '1', '2'), field='label')
  batch = {'images': {**pictures(1.0, 2.0), 'label': jnp.array([0, 2])}}
  _, terms, _ = first_loss(game, 'discriminator_loss', batch)
  logits = np.array([1.0, 2.0])[:, None] * np.arange(1, 4)
  assert terms['classified'] == pytest.approx(np.mean(np.log(np.exp(logits).sum(-1)) - logits[[0, 1], [0, 2]]))
  assert game.wanted(jnp.array([[1.0, 0, 0]]), '2').tolist() == [[0, 0, 1]]
  # A class that there is not is not taken for a picture without attributes.
  for none in (
    game.attributes({'label': jnp.array([3, 1])}),
    game.obeyed(jnp.eye(3)[:2], {'wanted': jnp.array([-1, 1])}),
  ):
    np.testing.assert_array_equal(none, [[np.nan] * 3, [0, 1, 0]])
  wrong = {'images': {**pictures(1.0, 2.0), 'label': jnp.array([0, 3])}}
  assert np.isnan(first_loss(game, 'discriminator_loss', wrong)[1]['classified'])
  # The last logit is the largest of a bright picture.
  assert made_by(game, 'known', batch, {'images': pictures(1.0)}).tolist() == [[0, 0, 1]]
  with pytest.raises(UserError, match='exclusive'):
    jitted.init(dataclasses.replace(game, exclusive=('3',)), SGD, batch, KEY)


def test_a_condition_of_stargan_is_what_its_samples_have():
  """Of what the input has, one attribute is turned over in each output: a condition comes after that."""
  names = ('dark', 'fair', 'old')
  game = StarGAN(Times(2.0), Mean(1.0, 3), names, exclusive=('dark', 'fair'))
  columns = {'image': {'name': 'Picture'}, 'attributes': {'name': 'Attributes', 'names': names}}
  streams = {'images': Stream(name='folder', path='none', size=2, columns=columns)}
  stage = types.SimpleNamespace(streams=streams, game=game)
  given = {'images': {**pictures(1.0), 'attributes': np.array([[1.0, 0, 0]], np.float32)}}

  def wanted(**condition):
    fields = conditions.apply(stage, condition, None, given)[1]['images'] if condition else given['images']
    assert np.array_equal(fields['attributes'], given['images']['attributes'])  # what the input has
    return {
      name: game.obeyed(game.wanted(jnp.asarray(fields['attributes']), name), fields)[0].tolist() for name in names
    }

  assert wanted() == {'dark': [1, 0, 0], 'fair': [0, 1, 0], 'old': [1, 0, 1]}
  assert wanted(old='1') == {'dark': [1, 0, 1], 'fair': [0, 1, 1], 'old': [1, 0, 1]}
  assert wanted(old='0') == {'dark': [1, 0, 0], 'fair': [0, 1, 0], 'old': [1, 0, 0]}
  assert wanted(fair='1', old='1') == {name: [0, 1, 1] for name in names}  # one colour of hair
  assert wanted(dark='0')['old'] == [0, 0, 1]
  # Of your pictures, which say nothing, the rest is what the discriminator sees.
  alone = conditions.apply(stage, {'fair': '1'}, None, {'images': pictures(1.0)}, 1)[1]
  batch = {'images': {**pictures(1.0), 'attributes': jnp.zeros((1, 3))}}
  assert {name: float(x[0, 0, 0, 0]) for name, x in made_by(game, 'sample', batch, alone).items()} == dict.fromkeys(
    names, 2.0
  )
  classes = StarGAN(Times(), Mean(1.0, 3), ('0', '1', '2'), field='label')
  assert classes.asked_as == {'label': 'wanted'}
  for asked in (jnp.array([2]), jnp.array([[0.0, 0.0, 1.0]])):
    assert classes.obeyed(jnp.array([[1.0, 0, 0]]), {'wanted': asked}).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize('name', ['cyclegan', 'pix2pix', 'stargan'])
def test_a_lazy_penalty_without_a_turn_of_its_own_is_refused(name):
  config = config_lib.load(f'configs/{name}.py:digits')
  penalty = "{'name': 'GradientPenalty', 'weight': 10.0, 'every': 16}"
  config = config_lib.override(config, [f'--config.game.penalty={penalty}'])
  with pytest.raises(UserError, match=r'config\.game\.penalty\.every=16: .* adds its penalty in every step'):
    checks.check_games(experiment_of(config))
  runs.abstract_state(runs.stages_of(config), 0, KEY)  # an old run of it can be loaded


def test_moves_of_a_discriminator_on_pictures_that_it_has_seen_are_refused():
  config = config_lib.override(config_lib.load('configs/cyclegan.py:digits'), ['--config.game.discriminator_steps=2'])
  runs.stages_of(config)[0].game.check_training({})  # a pool has others
  config.game.pool = 0
  with pytest.raises(UserError, match=r'discriminator_steps=2.*set config\.game\.first=discriminator'):
    runs.stages_of(config)[0].game.check_training({})
  config.game.first = 'discriminator'
  runs.stages_of(config)[0].game.check_training({})
