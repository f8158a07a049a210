"""Players that classify, and pairs of players: losses by hand, data, metrics."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import Options
from gan_jax.data.sources.transformed import edges
from gan_jax.data.streams import Stream
from gan_jax.evaluation import evaluator, of_players
from gan_jax.games.cogan import CoGAN
from gan_jax.games.triple import TripleGAN
from gan_jax.latents.distributions import Label, Normal
from gan_jax.nets import cogan as cogan_nets
from gan_jax.nets import mlp
from gan_jax.nets import triple as triple_nets
from gan_jax.nets.layers.basic import BatchNorm
from gan_jax.sampling.sampler import Sampler

KEY = jax.random.key(0)
ADAM = {name: optax.adam(1e-3) for name in ('generator', 'discriminator', 'classifier')}
log_softmax = lambda x: special.log_softmax(x, -1)
softplus = lambda x: np.log1p(np.exp(x))


class Weighed(nn.Module):
  """x W, and the class as one more input if there is one."""

  outputs: int

  @nn.compact
  def __call__(self, x, *, train, label=None):
    x = x if label is None else jnp.concatenate([x, label[:, None].astype(x.dtype)], -1)
    x = x @ self.param('kernel', nn.initializers.normal(1.0), (x.shape[1], self.outputs))
    return x[:, 0] if self.outputs == 1 else x


class Pair(nn.Module):
  """(z A, z B)."""

  @nn.compact
  def __call__(self, z, *, train):
    return {d: z @ self.param(d, nn.initializers.normal(1.0), (z.shape[1], 2)) for d in 'ab'}


class Judge(nn.Module):
  """Features x A or x B, then shared logits and classes."""

  @nn.compact
  def __call__(self, x, domain, *, train):
    features = x @ self.param(domain, nn.initializers.normal(1.0), (2, 4))
    shared = lambda name, n: features @ self.param(name, nn.initializers.normal(1.0), (4, n))
    return {'features': features, 'logits': shared('logits', 2), 'classes': shared('classes', 3)}


def made(game, batch):
  moving = {name: ADAM[name] for name in core.players_of(game)}
  state = jax.jit(lambda: core.init(game, moving, batch, KEY))()
  params = core.assemble(state.players)['params']

  def call(method, *args, **settings):
    out = game.apply({'params': params, 'clock': {'now': CLOCK}}, *(args or (batch,)), method=method, **settings)
    return np.asarray(out[0] if isinstance(out, tuple) else out)

  return jax.tree.map(np.asarray, params), call


CLOCK = core.Clock(*(jnp.asarray(n, jnp.int32) for n in (5, 5, 10)), jnp.zeros(()))
random = np.random.RandomState(0)
some = lambda n, size=2: jnp.asarray(random.randn(n, size), jnp.float32)


def test_cogan_losses_by_hand():
  batch = {'a': {'image': some(3), 'label': jnp.array([0, 2, 1])}, 'b': {'image': some(3)}, 'latents': some(4)}
  game = CoGAN(Pair(), Judge(), Normal((2,)), classifier=10.0, matching=0.01)
  params, call = made(game, batch)
  d, z = params['discriminator'], np.asarray(batch['latents'])
  judged = {}
  for name in 'ab':
    for side, x in (('real', np.asarray(batch[name]['image'])), ('fake', z @ params['generator'][name])):
      judged[name, side] = x @ d[name]
  cross = lambda features, label: -log_softmax(features @ d['logits'])[:, label].mean()
  adversarial = sum(cross(judged[name, 'real'], 1) + cross(judged[name, 'fake'], 0) for name in 'ab') / 2
  matching = ((judged['a', 'fake'] - judged['b', 'fake']) ** 2).sum(1).mean()
  classes = -log_softmax(judged['a', 'real'] @ d['classes'])[[0, 1, 2], [0, 2, 1]].mean()
  np.testing.assert_allclose(call('discriminator_loss'), adversarial + 0.01 * matching + 10 * classes, rtol=1e-5)
  fooled = sum(cross(judged[name, 'fake'], 1) for name in 'ab') / 2
  np.testing.assert_allclose(call('generator_loss'), fooled, rtol=1e-5)
  b = batch['b']['image']
  np.testing.assert_allclose(call('classify', b), np.asarray(b) @ d['b'] @ d['classes'], rtol=1e-5)


def test_cogan_pairs_share_what_they_should():
  z, x = jnp.zeros((2, 5)), jnp.zeros((2, 28, 28, 1))
  made = lambda network, *args: jax.eval_shape(lambda: network.init(KEY, *args, train=True))['params']
  shapes = lambda *args: jax.tree.map(jnp.shape, made(*args))
  generator = cogan_nets.Generator((8, 6, 4, 2))
  out = jax.eval_shape(lambda: generator.init_with_output(KEY, z, train=True)[0])
  assert {d: v.shape for d, v in out.items()} == {'a': (2, 28, 28, 1), 'b': (2, 28, 28, 1)}
  found = shapes(generator, z)
  assert found['image_a'] == found['image_b'] and found['image_a']['kernel'] == (6, 6, 2, 1)
  assert len([name for name in found if name.startswith('ConvTranspose')]) == 3
  judge = cogan_nets.Discriminator(classes=10)
  a, b = (set(shapes(judge, x, d)) for d in 'ab')
  assert a ^ b == {'first_a', 'first_b'} and {'second', 'hidden', 'real', 'classes'} <= a & b
  assert shapes(judge, x, 'a')['hidden']['kernel'] == (4 * 4 * 50, 500)
  assert 'image_b' not in shapes(cogan_nets.Generator((8, 6), conditional=True), z)
  assert 'first_both' in shapes(cogan_nets.Discriminator(conditional=True), x, 'b')


def triple(*, classifier=None, decay=0.01, **settings):
  batch = {
    'labelled': {'image': some(3), 'label': jnp.array([0, 2, 1])},
    'unlabelled': {'image': some(5)},
    'real_labelled': {'image': some(1), 'label': jnp.array([2])},
    'real_unlabelled': {'image': some(4)},
    'latents': {'z': some(4), 'label': jnp.array([0, 1, 2, 1])},
  }
  latents = {'z': Normal((2,)), 'label': Label(3)}
  game = TripleGAN(Weighed(2), Weighed(1), classifier or Weighed(3), latents, decay=decay, **settings)
  return batch, made(game, batch)


@pytest.mark.parametrize(('config', 'stage', 'rate'), [('semi_supervised', 0, 0.003), ('stacked', 1, 0.0001)])
def test_the_adam_of_improved_gan_has_its_epsilon_inside_the_root(config, stage, rate):
  """As `nn.py` of openai/improved-gan, which Stacked GAN took over: gradients far below 1e-4 make small steps."""
  optimizers = runs.stages_of(config_lib.load(f'configs/{config}.py'))[stage].optimizers
  for player in ('generator', 'discriminator'):
    tx, w, average, square = optimizers[player], jnp.zeros(3), np.zeros(3), np.zeros(3)
    state, expected = tx.init(w), np.zeros(3)
    for t, g in enumerate(np.array([[1e-6, 1e-3, -1.0], [2e-6, -1e-3, 1.0], [1e-6, 2e-3, 3.0]]), 1):
      updates, state = tx.update(jnp.asarray(g, jnp.float32), state, w)
      w = optax.apply_updates(w, updates)
      average, square = 0.5 * average + 0.5 * g, 0.999 * square + 0.001 * g**2
      expected -= rate * average / (1 - 0.5**t) / np.sqrt(square / (1 - 0.999**t) + 1e-8)
    np.testing.assert_allclose(w, expected, rtol=1e-4)


def test_triple_gan_losses_by_hand():
  batch, (params, call) = triple(pseudo=0.1)
  g, d, c = (params[name]['kernel'] for name in ('generator', 'discriminator', 'classifier'))
  beside = lambda x, y: np.concatenate([x, np.asarray(y)[:, None]], -1)
  judge = lambda x, y: (beside(x, y) @ d)[:, 0]
  of = lambda stream: np.asarray(batch[stream]['image'])
  guess = lambda x: judge(x, (x @ c).argmax(1))
  fake, asked = beside(batch['latents']['z'], batch['latents']['label']) @ g, batch['latents']['label']
  real = np.concatenate([judge(of('real_labelled'), [2]), guess(of('real_unlabelled'))])
  expected = softplus(-real).mean() + 0.5 * softplus(judge(fake, asked)).mean()
  expected += 0.5 * softplus(guess(of('unlabelled'))).mean()
  np.testing.assert_allclose(call('discriminator_loss'), expected, rtol=1e-5)
  np.testing.assert_allclose(call('generator_loss'), 0.5 * softplus(-judge(fake, asked)).mean(), rtol=1e-5)

  x = of('unlabelled')
  logs = log_softmax(x @ c)
  cross = -log_softmax(of('labelled') @ c)[[0, 1, 2], [0, 2, 1]].mean()
  entropy, balance = -(np.exp(logs) * logs).sum(1).mean(), -np.log(np.exp(logs).mean(0)).mean()
  alone = lambda stage: cross + 0.3 * entropy + (0.001, 0.3)[stage] * balance + 0.01 * (c**2).sum()
  adversarial = (np.exp(logs).max(1) * softplus(-guess(x))).mean()
  pseudo = -log_softmax(fake @ c)[range(4), asked].mean()
  np.testing.assert_allclose(call('classifier_loss'), alone(0) + 0.5 * adversarial + 0.1 * pseudo, rtol=1e-5)
  np.testing.assert_allclose(call('pretraining_loss'), alone(1), rtol=1e-5)
  np.testing.assert_allclose(call('classify', batch['unlabelled']['image']), x @ c, rtol=1e-5)


def test_triple_gan_s_decay_may_be_of_one_layer():
  def value(**settings):
    random.seed(0)  # the same examples each time
    _, (params, call) = triple(classifier=mlp.Discriminator((4,), outputs=3), **settings)
    return call('classifier_loss'), params['classifier']

  (without, params), squares = value(decay=0.0), lambda name: (params[name]['kernel'] ** 2).sum()
  np.testing.assert_allclose(value(decay=1.0, decayed='Dense_1')[0] - without, squares('Dense_1'), rtol=1e-4)
  np.testing.assert_allclose(value(decay=1.0)[0] - without, squares('Dense_0') + squares('Dense_1'), rtol=1e-4)
  with pytest.raises(UserError, match="decayed is 'last', but the layers of the classifier are Dense_0, Dense_1"):
    value(decayed='last')


class Normed(nn.Module):
  """A layer with batch norm."""

  @nn.compact
  def __call__(self, x, *, train):
    return BatchNorm()(nn.Dense(3)(x), train=train)


@pytest.mark.parametrize('fakes', [False, True])
def test_without_fakes_the_classifier_knows_nothing_of_the_generator(fakes):
  """Neither its loss nor the statistics of its batch norm, which are those of data that it will classify."""
  batch, _ = triple()
  latents = {'z': Normal((2,)), 'label': Label(3)}
  game = TripleGAN(Weighed(2), Weighed(1), Normed(), latents, pseudo=1e6, fakes=fakes)
  moving = {name: ADAM[name] for name in core.players_of(game)}
  whole = core.assemble(core.init(game, moving, batch, KEY).players)
  found = []
  for scale in (1.0, 5.0):
    kernel = {'kernel': whole['params']['generator']['kernel'] * scale}
    variables = {**whole, 'params': {**whole['params'], 'generator': kernel}}
    (loss, _), after = game.apply(variables, batch, method='classifier_loss', mutable=['batch_stats'])
    found.append((float(loss), *(np.asarray(x) for x in jax.tree.leaves(after['batch_stats']))))
  (loss, *first), (other, *second) = found
  same = loss == other and all((a == b).all() for a, b in zip(first, second, strict=True))
  assert same is not fakes and (loss > 1e3) is fakes
  moved = jax.tree.leaves(whole['batch_stats'])
  assert not any((a == b).all() for a, b in zip(first, moved, strict=True))  # they did move


def test_triple_gan_s_classifier_sees_28_pixels_as_the_authors():
  shapes = jax.eval_shape(
    functools.partial(triple_nets.Classifier().init, train=False), KEY, jnp.zeros((2, 28, 28, 1))
  )['params']
  kernels = [shapes[f'Conv_{i}']['kernel'].shape for i in range(5)]
  assert kernels == [(5, 5, 1, 32), (3, 3, 32, 64), (3, 3, 64, 64), (3, 3, 64, 128), (3, 3, 128, 128)]


def test_pre_training_moves_the_classifier_alone_at_a_rate_of_its_own():
  stages = runs.stages_of(config_lib.load('configs/triple.py:digits'))
  assert [[turn.movers for turn in stage.game.turns] for stage in stages] == [
    [('classifier',)], *[[('discriminator',), ('generator',), ('classifier',)]] * 2,
  ]  # fmt: skip
  assert [stage.game.fakes for stage in stages[1:]] == [False, True]
  sizes = [{name: stream.batch_size for name, stream in stage.streams.items()} for stage in stages]
  assert sizes[0] == {'labelled': 20, 'unlabelled': 500, 'real_labelled': 1, 'real_unlabelled': 100}
  assert sizes[1]['unlabelled'] == 100
  ones = {'w': jnp.ones(3)}
  for stage, rate in zip(stages, (3e-4, 1e-3, 1e-3), strict=True):
    optimizer = stage.optimizers['classifier']
    updates, _ = optimizer.update(ones, optimizer.init(ones), ones)
    np.testing.assert_allclose(updates['w'], -rate, rtol=1e-4)


def test_all_rates_of_triple_gan_fall_from_the_same_step_on():
  """The classifier's optimizer begins anew when R_P counts, and with it the count of its schedule."""
  config = config_lib.load('configs/triple.py:mnist')
  rates = config.optimizers
  of = lambda rate, step: float(optax.exponential_decay(**{k: v for k, v in rate.items() if k != 'name'})(step))
  # The authors: `if epoch < 300`, the first being 1, without R_P; `lr *= .995` after the 300th and each later one.
  late, last = config.stages[1]['steps'], config.stages[2]['steps']
  assert late == 299 * 600 and late + last == 1000 * 600
  for player in ('generator', 'discriminator'):
    rate = rates[player].learning_rate
    assert [of(rate, 300 * 600 + i) for i in (-1, 0, 600)] == pytest.approx([1e-3, 0.995e-3, 0.995**2 * 1e-3])
  rate = {**rates.classifier.learning_rate, **config.stages[2]['optimizers']['classifier']['learning_rate']}
  assert [of(rate, 600 + i) for i in (-1, 0, 600)] == pytest.approx([1e-3, 0.995e-3, 0.995**2 * 1e-3])
  assert of(rates.classifier.learning_rate, late) == pytest.approx(1e-3)


def test_edges_and_negatives_are_sets_of_their_own():
  plain, outlined, negative = (
    Stream(name=name, size=8, channels=1, classes=10).open().arrays
    for name in ('digits', 'edges/digits', 'negatives/digits')
  )
  image = plain['image'].astype(int)
  np.testing.assert_array_equal(negative['image'], 255 - image)
  np.testing.assert_array_equal(negative['label'], plain['label'])
  by_hand = image[:, 2:5, 3:6].max((1, 2)) - image[:, 3, 4]
  np.testing.assert_array_equal(outlined['image'][:, 3, 4], by_hand)
  assert edges(np.full((1, 3, 3, 1), 7, np.uint8)).max() == 0
  with pytest.raises(UserError, match='no pictures of 8 bits'):
    Stream(name='edges/ring').open()


class Evidence:
  """What measures of players read, of a game that is not trained."""

  def __init__(self, game, variables, name, samples=20, **settings):
    self.game, self.variables, self.seed, self.samples, self.rivals = game, variables, 0, samples, ()
    self.batch_size = 128
    self.stream = Stream(name=name, size=8, channels=1, range=(0.0, 1.0), classes=10)
    self.sampler = Sampler(game) if hasattr(game, 'latents') else None
    self.labelled_held_out = Stream(name=name, split='test', size=8, channels=1, range=(0.0, 1.0), classes=10)
    self.__dict__.update(settings)

  def once(self, name, make):
    return make()

  def in_range(self, examples):
    return examples.astype(np.float32) / 255


class Fixed(nn.Module):
  """Says class 3 of everything, and makes pairs of which b is the negative of a but for a tenth."""

  latents = Normal((2,))

  def classify(self, image):
    return jnp.broadcast_to(jax.nn.one_hot(3, 10), (len(image), 10))

  def sample(self, batch):
    a = jnp.full((len(batch['latents']), 4, 4, 1), 0.2)
    return {'a': a, 'b': 1 - a - 0.1}


def test_the_error_of_a_game_s_classifier_is_that_on_held_out_examples():
  (figure,) = of_players.classifier_figures(Evidence(Fixed(), {}, 'digits'))
  labels = Stream(name='digits', split='test', size=8, channels=1, classes=10).open().arrays['label']
  assert figure.name == 'test_error' and figure.value == pytest.approx((labels != 3).mean())


def test_pairs_agree_by_the_distance_of_their_pixels():
  figure, chance = of_players.pair_figures(Evidence(Fixed(), {}, 'negatives/digits'))
  # 51 becomes 204, and b is round(0.7 * 255) = 178 (or 179): 26 (or 25) of 255.
  assert figure.value == pytest.approx(1 - 25.5 / 255, abs=0.5 / 255 + 1e-6) and chance.value == figure.value
  with pytest.raises(UserError, match="here it is 'digits'"):
    list(of_players.pair_figures(Evidence(Fixed(), {}, 'digits')))


def test_agreement_by_chance_is_that_of_outputs_of_other_latents():
  class Grey(nn.Module):
    latents = Normal((2,))

    def sample(self, batch):
      grey = jax.scipy.stats.norm.cdf(batch['latents'][:, 0])  # uniform in [0, 1]
      a = jnp.broadcast_to(grey[:, None, None, None], (len(grey), 4, 4, 1))
      return {'a': a, 'b': 1 - a}

  class Rounded(NamedTuple):
    name = 'rounded'
    variables: Any = {}

    def apply(self, variables, x):
      return {'logits': jax.nn.one_hot(x[:, 0, 0, 0] // 64, 4)}

  evidence = Evidence(Grey(), {}, 'negatives/digits', samples=2000, extractor=Rounded())
  figure, chance = of_players.pair_figures(evidence)
  assert figure.value > 0.99 and chance.value == pytest.approx(2 / 3, abs=0.03)
  figure, chance = of_players.pair_class_figures(evidence)
  assert figure.value > 0.97 and chance.value == pytest.approx(1 / 4, abs=0.05)


def test_makers_are_those_of_the_latents_that_the_samples_came_from():
  from gan_jax.data.sources.builtin import ring_centers
  from gan_jax.latents import distributions

  class Several(nn.Module):
    latents = {'z': Normal((2,)), 'maker': Label(2)}

  drawn = distributions.draw(Several.latents, jax.random.key(0), 400)
  # Generator 0 makes modes 0 and 1, generator 1 modes 4 ... 6.
  mode = np.where(drawn['maker'] == 0, np.arange(400) % 2, 4 + np.arange(400) % 3)

  class Made:
    examples = ring_centers()[mode].astype(np.float32)

  figures = {f.name: f for f in of_players.maker_figures(Evidence(Several(), {}, 'ring', fake=Made))}
  assert [figures[f'modes_of_maker_{i}'].value for i in (0, 1)] == [2, 3]
  assert figures['modes_of_maker_0'].parts[2:] == [0] * 6
  assert figures['maker_information'].value == pytest.approx(1.0)


def test_each_generator_s_points_are_drawn_in_its_colour():
  from gan_jax.sampling import shown
  from gan_jax.sampling.makers import COLOURS, makers

  class Run:
    class stage:
      streams = {'images': None}

      class game:
        latents = {'z': Normal((1,)), 'maker': Label(2)}

    def latents(self, count, *, seed, label, truncation):
      self.asked = seed, label, truncation
      return {'z': np.zeros((count, 1), np.float32), 'maker': np.zeros(count, np.int32)}

    def generate(self, latents, seed, ema):
      x = latents['maker'][:, None].astype(np.float32)
      return np.concatenate([x, x], 1) if self.plane else x

  for plane in (True, False):
    Run.plane = plane
    run = Run()
    seen = set(map(tuple, np.asarray(makers(run, 3, shown.Options(seed=2, label=1, truncation=0.5))).reshape(-1, 3)))
    assert {COLOURS[0], COLOURS[1], (255, 255, 255)} == seen and run.asked == (2, 1, 0.5)


def test_players_of_triple_gan_with_other_classes_are_one_line():
  config = config_lib.load('configs/triple.py:digits')
  config.game.discriminator.classes = 7
  stage = runs.stages_of(config)[1]
  with pytest.raises(UserError, match=r'classifier\.classes=10.*discriminator\.classes=7: make them equal'):
    jax.eval_shape(lambda key: runs.new_state(stage, key), KEY)


def test_each_output_of_cogan_is_compared_with_its_own_domain():
  (stage,) = runs.stages_of(config_lib.load('configs/cogan.py:digits'))
  for output, domain in (('', 'a'), ('a', 'a'), ('b', 'b')):
    assert evaluator._output_of(stage, Options(output=output)).stream == domain
  assert evaluator._several(stage, Options()) == ('a', 'b')
  assert evaluator._output_of(stage, Options(output='a', stream='b')).stream == 'b'
  with pytest.raises(UserError, match=r'--stream\): CoGAN makes a, b; say which .*--output'):
    evaluator._output_of(stage, Options(stream='b'))


def test_the_classifier_of_cogan_is_of_its_second_domain():
  config = config_lib.load('configs/cogan.py:digits')
  (stage,) = runs.stages_of(config)
  with pytest.raises(UserError, match='CoGAN classifies nothing as it is set: leave the metric classifier out'):
    evaluator.check(stage, Options(metrics=('classifier',)))
  config.game.classifier, config.game.discriminator.classes, config.data.a.classes = 10.0, 10, 10
  (stage,) = runs.stages_of(config)
  assert core.classified_in(stage.game, stage.streams) == ('b',)
  for options in (Options(output='a'), Options(output='b', stream='a')):
    with pytest.raises(UserError, match=r"classifies examples of 'b', none of 'a'.*choose another --output"):
      evaluator.check(stage, options._replace(metrics=('classifier',)))
  # Of all outputs, those that it does not classify leave it out.
  each = evaluator._of_each(stage, Options(metrics=('classifier',)))
  assert list(each) == ['b'] and each['b'].metrics == ('classifier',)
  each = evaluator._of_each(stage, Options(metrics=('kid', 'classifier')))
  assert {name: own.metrics for name, own in each.items()} == {'a': ('kid',), 'b': ('kid', 'classifier')}
  evaluator.check(stage, Options(metrics=('kid', 'classifier')))
  (stage,) = runs.stages_of(config_lib.load('configs/semi_supervised.py:digits'))
  evaluator.check(stage, Options(metrics=('classifier',)))


def test_gmam_is_told_its_rivals():
  (stage,) = runs.stages_of(config_lib.load('configs/gman.py:digits'))
  evaluator.check(stage, Options(metrics=('gmam',), rivals=('runs/other',)))
  with pytest.raises(UserError, match='name them by --rivals=RUN,RUN'):
    evaluator.check(stage, Options(metrics=('gmam',)))
