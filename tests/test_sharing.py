"""Work that is done once: latents that two turns share, real and generated examples in one pass."""

import functools
import itertools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import few
from rows import load_shrunk

from gan_jax import config as config_lib
from gan_jax import core, losses, runs
from gan_jax.augment.augmentations import Adaptive, DiffAugment
from gan_jax.base.errors import UserError
from gan_jax.core.game import Turn
from gan_jax.distributed import parallel
from gan_jax.games.minimax import Minimax
from gan_jax.games.parts.coupling import couples
from gan_jax.games.parts.fit import check_head
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Normal
from gan_jax.nets import dcgan, mlp
from gan_jax.nets.layers.conv import formulation
from gan_jax.nets.layers.minibatch import minibatch_stddev
from gan_jax.optim import dynamics

KEY = jax.random.key(0)
SGD = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}


def batch_of(count, shape=(2,), latents=3, seed=0):
  random = np.random.RandomState(seed)
  image, z = (jnp.asarray(random.randn(count, *s), jnp.float32) for s in (shape, (latents,)))
  return {'images': {'image': image}, 'latents': z}


class Telling(Standard):
  """Says which latents, data and noise each turn had, as sums of one and of three moves."""

  def told(self, batch, name):
    found = {'latents': batch['latents'].sum(), 'noise': jax.random.normal(self.make_rng('noise'))}
    return {f'{name}_{key}': value for key, value in found.items()}

  def discriminator_loss(self, batch):
    loss, metrics = super().discriminator_loss(batch)
    return loss, {**metrics, **self.told(batch, 'discriminator')}

  def penalty_loss(self, batch):
    first = self.told(batch, 'penalty')  # before the penalty draws its points
    return super().penalty_loss(batch), first

  def generator_loss(self, batch):
    return super().generator_loss(batch), self.told(batch, 'generator')


def told(accumulate=1, **settings):
  game = Telling(mlp.Generator((8,), (2,), 'identity'), mlp.Discriminator((8,)), Normal((3,)), **settings)
  state = core.init(game, SGD, batch_of(4), KEY)
  step = core.make_step(game, SGD, streams=('images',), latents_batch=4, compute=core.Compute(accumulate))
  moves = core.moves_per_step(game, 'images')
  _, metrics = jax.jit(step)(state, {'images': {'image': jnp.ones((moves, 4, 2))}}, KEY)
  return core.means(jax.device_get(metrics))


@pytest.mark.slow
def test_the_generator_takes_the_latents_of_the_move_before_it():
  apart, shared = told(), told(share_latents=True)
  assert apart['generator_latents'] != pytest.approx(apart['discriminator_latents'])
  assert shared['generator_latents'] == pytest.approx(shared['discriminator_latents'], rel=1e-6)
  assert shared['discriminator_latents'] == apart['discriminator_latents'], 'the others draw as before'
  assert shared['generator_noise'] == apart['generator_noise'] != shared['discriminator_noise']
  # Microbatches are the same parts of the same latents.
  split = told(accumulate=2, share_latents=True)
  assert 2 * split['generator_latents'] == pytest.approx(shared['generator_latents'], rel=1e-5)
  # The last of several moves, which here are told as a mean of two.
  twice = told(share_latents=True, discriminator_steps=2)
  assert twice['generator_latents'] != pytest.approx(twice['discriminator_latents'])
  # A lazy penalty in between passes the discriminator's on.
  lazy = told(share_latents=True, penalty=GradientPenalty(every=2))
  assert lazy['generator_latents'] == pytest.approx(lazy['discriminator_latents'], rel=1e-6)
  assert lazy['penalty_latents'] == pytest.approx(lazy['discriminator_latents'], rel=1e-6)
  # And takes its noise and data, with or without shared latents.
  for alone in (lazy, told(penalty=GradientPenalty(every=2))):
    assert alone['penalty_latents'] == pytest.approx(alone['discriminator_latents'], rel=1e-6)
    assert alone['penalty_noise'] == alone['discriminator_noise']


def counted(lowered):
  analysis = lowered.compile().cost_analysis()
  return (analysis[0] if isinstance(analysis, list) else analysis)['flops']


def flops(game, image, batch, latents):
  state = jax.eval_shape(lambda: core.init(game, SGD, batch_of(batch, image, latents), KEY))
  step = core.make_step(game, SGD, streams=('images',), latents_batch=batch)
  feed = {'images': {'image': jax.ShapeDtypeStruct((1, batch, *image), jnp.float32)}}
  return counted(jax.jit(step).lower(state, feed, KEY))


@pytest.mark.parametrize('kind', [Standard, Minimax])
def test_shared_latents_save_a_forward_pass_of_the_generator(kind):
  batch, widths = 512, (32, 256, 256, 64)
  generator = mlp.Generator(widths[1:-1], widths[-1:], 'identity')
  game = lambda **settings: kind(generator, mlp.Discriminator((64,)), Normal(widths[:1]), **settings)
  saved = flops(game(), (64,), batch, 32) - flops(game(share_latents=True), (64,), batch, 32)
  forward = 2 * batch * sum(a * b for a, b in itertools.pairwise(widths))
  # And the drawing of 512 x 32 normals.
  assert forward <= saved <= 1.1 * forward


@pytest.mark.slow
def test_shared_latents_save_a_forward_pass_of_a_dcgan_with_batch_norm():
  batch, sizes, used = 32, (64, 32, 16), {}
  widths = [f'--config.game.generator.channels={sizes}', '--config.game.discriminator.channels=(8,8,8)']
  mesh = parallel.make_mesh(1)
  place = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh))
  with formulation('plain'):
    for share in (False, True):
      more = [f'--config.batch_size={batch}', f'--config.game.share_latents={share}']
      (stage,) = runs.stages_of(config_lib.override(config_lib.load('configs/dcgan.py:digits'), [*widths, *more]))
      state = jax.tree.map(place, runs.abstract_state((stage,), 0, KEY))
      step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
      used[share] = counted(step.lower(state, runs.abstract_feed(stage, mesh), KEY))
    generator, z = stage.game.generator, jnp.zeros((batch, 100))
    variables = generator.init(KEY, z, train=True)
    forward = counted(
      jax.jit(lambda v, z: generator.apply(v, z, train=True, mutable=['batch_stats'])).lower(variables, z)
    )
  assert 0.95 * forward <= used[False] - used[True] <= 1.1 * forward


def test_what_cannot_be_shared_is_an_error():
  nets = mlp.Generator((8,), (2,), 'identity'), mlp.Discriminator((8,))

  class First(Standard):
    turns = (Turn(('generator',), 'generator_loss', share=True), Turn(('discriminator',), 'discriminator_loss'))

  with pytest.raises(UserError, match="turn 'generator_loss' of First shares latents, but no move comes before"):
    core.init(First(*nets, Normal((3,))), SGD, batch_of(4), KEY)

  class Without(Standard):
    turns = (Turn(('generator',), 'generator_loss'), Turn(('discriminator',), 'discriminator_loss', share=True))

  with pytest.raises(UserError, match='the game draws none'):
    core.init(Without(*nets, None), SGD, batch_of(4), KEY)
  at_once = Standard(*nets, Normal((3,)), dynamics=dynamics.simultaneous, share_latents=True)
  with pytest.raises(UserError, match='leave share_latents out'):
    core.init(at_once, SGD, batch_of(4), KEY)


def test_configs_take_both_by_name():
  settings = ['--config.game.share_latents=true', '--config.game.one_pass=true']
  (stage,) = runs.stages_of(config_lib.override(load_shrunk('configs/gan.py:ring'), settings))
  assert [turn.share for turn in stage.game.turns] == [False, True] and stage.game.one_pass


SMOOTH = dict(generator=mlp.Generator((16,), (2,), 'identity'), latents=Normal((3,)))
PICTURES = dict(generator=dcgan.Generator((8, 8), 1, kernel=4, base=2), latents=Normal((3,)))
PASSES = {
  'mlp': (SMOOTH, mlp.Discriminator((16, 16)), {}, (2,)),
  'two_way_softmax': (SMOOTH, mlp.Discriminator((16,), outputs=2), dict(loss='two_way_softmax'), (2,)),
  'relativistic': (SMOOTH, mlp.Discriminator((16,)), dict(loss='relativistic_average'), (2,)),
  'penalty': (SMOOTH, mlp.Discriminator((16,)), dict(penalty=GradientPenalty(at='real')), (2,)),
  'feature_matching': (PICTURES, dcgan.Discriminator((8, 8), 4, norm='none'), dict(feature_matching=1.0), (8, 8, 1)),
}


@pytest.mark.parametrize('name', few(PASSES, lambda name: name in ('mlp', 'feature_matching')))
def test_one_pass_equals_two(name):
  rest, discriminator, settings, shape = PASSES[name]
  batch, ends = batch_of(8, shape), []
  for one_pass in (False, True):
    game = Standard(discriminator=discriminator, **rest, **settings, one_pass=one_pass)
    state = core.init(game, SGD, batch, KEY)
    moved = [jax.jit(functools.partial(core.play, game, SGD, turn))(state, batch, KEY) for turn in game.turns]
    ends.append([(metrics, after.players) for after, metrics in moved])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *ends)


def test_a_two_way_head_has_one_mean_logit_of_each_side():
  """Real minus fake: the mean over both outputs would say nothing."""

  class Head(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      return jnp.stack([x[:, 0], 5.0 * x[:, 0]], -1) * self.param('w', nn.initializers.ones, ())

  game, batch = Standard(discriminator=Head(), **SMOOTH, loss='two_way_softmax'), batch_of(8)
  state = core.init(game, SGD, batch, KEY)
  _, metrics = core.play(game, SGD, game.turns[0], state, batch, KEY)
  assert metrics['real_logit'] == pytest.approx(4 * float(batch['images']['image'][:, 0].mean()), rel=1e-5)


@pytest.mark.parametrize(
  ('shape', 'outputs'), [((4,), 1), ((4, 3, 3), 1), ((4, 3, 3, 3), 1), ((4, 2), 2), ((4, 3, 3, 2), 2), ((4, 1), 1)]
)
def test_logits_of_examples_and_of_patches_are_counted(shape, outputs):
  for loss, name in ((losses.hinge, 'hinge'), (losses.two_way_softmax, 'two_way_softmax')):
    if loss.outputs == outputs:
      check_head(loss, name, jnp.zeros(shape))
    else:
      with pytest.raises(UserError, match=f"config.game.loss='{name}' takes .* but the discriminator gives"):
        check_head(loss, name, jnp.zeros(shape))


def calls_of_the_discriminator(one_pass):
  seen = []

  class Counting(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      seen.append(x.shape)
      return nn.Dense(1)(x)[:, 0]

  game = Standard(discriminator=Counting(), **SMOOTH, one_pass=one_pass)
  state = core.init(game, SGD, batch_of(8), KEY)
  seen.clear()
  core.play(game, SGD, game.turns[0], state, batch_of(8), KEY)
  return seen


def test_it_is_one_batch_of_twice_the_size():
  assert calls_of_the_discriminator(False) == [(8, 2), (8, 2)]
  assert calls_of_the_discriminator(True) == [(16, 2)]


def test_spectral_norm_makes_one_power_iteration_per_pass():
  """With a rate of 0 the kernel stays, so that u shows how many iterations there were."""
  still, batch = {name: optax.sgd(0.0) for name in SGD}, batch_of(8, (8, 8, 1))
  discriminator = dcgan.Discriminator((8, 8), 4, norm='none', weights='spectral')
  vectors = {}
  for one_pass in (False, True):
    game = Standard(discriminator=discriminator, **PICTURES, one_pass=one_pass)
    if not one_pass:
      start = core.init(game, still, batch, KEY)
    state, vectors[one_pass] = start, []
    for _ in range(2):
      state, _ = core.play(game, still, game.turns[0], state, batch, KEY)
      vectors[one_pass].append(state.players['discriminator'].variables['spectral'])
  same = lambda a, b: all(np.allclose(x, y, atol=1e-6) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))
  assert same(vectors[True][1], vectors[False][0]), 'two moves of one pass, one move of two'
  assert not same(vectors[True][0], vectors[False][0])


class Gated(nn.Module):
  """Couples examples behind a gate that starts at 0, and through a layer that has no variables."""

  @nn.compact
  def __call__(self, x, *, train):
    gate = self.param('gate', nn.initializers.zeros, ())
    x = minibatch_stddev(x) * jnp.concatenate([jnp.ones(x.shape[-1]), gate[None]])[None, None, None]
    return nn.Dense(1)(x.reshape(x.shape[0], -1))[:, 0]


class Dropping(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    return nn.Dense(1)(nn.Dropout(0.5, deterministic=not train)(x.reshape(x.shape[0], -1)))[:, 0]


class Unhashable(nn.Module):
  sizes: tuple = (np.ones(2),)

  @nn.compact
  def __call__(self, x, *, train):
    return nn.Dense(1)(x.reshape(x.shape[0], -1))[:, 0]


@pytest.mark.parametrize(
  ('discriminator', 'words'),
  [
    (dcgan.Discriminator((8, 8), 4), 'would mix the batch statistics'),
    (dcgan.Discriminator((8, 8), 4, norm='none', minibatch_kernels=5), 'depends on the other examples'),
    (Gated(), 'depends on the other examples'),
    (dcgan.Discriminator((8, 8), 4, norm='none'), ''),
    (dcgan.Discriminator((8, 8), 4, norm='none', weights='spectral'), ''),
    (dcgan.Discriminator((8, 8), 4, norm='none', weights='weight'), ''),
    (mlp.MaxoutDiscriminator((8,), 2, (0.2, 0.5)), ''),
    (Dropping(), ''),
    (Unhashable(), ''),
  ],
)
def test_discriminators_that_couple_examples_are_refused(discriminator, words):
  game = Standard(discriminator=discriminator, **PICTURES, one_pass=True)
  begin = lambda: jax.eval_shape(lambda key: core.init(game, SGD, batch_of(8, (8, 8, 1)), key), KEY)
  if words:
    with pytest.raises(UserError, match=f'{words}.*set config.game.one_pass=False'):
      begin()
  else:
    begin()
  # Two passes take them all.
  core.init(game.clone(one_pass=False), SGD, batch_of(8, (8, 8, 1)), KEY)


class RoundedTogether(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    logits = nn.Dense(1)(x.reshape(x.shape[0], -1))[:, 0]
    return logits + (0.01 * logits.mean() if x.dtype == jnp.bfloat16 else 0)


def test_coupling_is_looked_for_in_float32():
  game = Standard(discriminator=RoundedTogether(), **PICTURES, one_pass=True)
  batch = jax.tree.map(lambda x: x.astype(jnp.bfloat16), batch_of(8, (8, 8, 1)))
  jax.eval_shape(lambda key: core.init(game, SGD, batch, key), KEY)


def test_coupling_is_looked_for_once_for_each_network():
  game = Standard(discriminator=mlp.Discriminator((3, 5)), **SMOOTH, one_pass=True)
  for _ in range(3):
    before = couples.cache_info()
    core.init(game, SGD, batch_of(8), KEY)
  assert couples.cache_info().misses == before.misses


def test_one_pass_needs_batches_of_one_size():
  game = Standard(discriminator=mlp.Discriminator((8,)), **SMOOTH, one_pass=True)
  batch = {**batch_of(8), 'latents': jnp.zeros((4, 3))}
  with pytest.raises(UserError, match=r'not \(8, 2\) and \(4, 2\): set config\.data\.batch_size'):
    core.init(game, SGD, batch, KEY)


def test_one_pass_moves_no_examples_between_devices():
  settings = ['--config.game.one_pass=true', '--config.batch_size=16']
  (stage,) = runs.stages_of(config_lib.override(load_shrunk('configs/gan.py:ring'), settings))
  mesh = parallel.make_mesh(2)
  place = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh))
  state = jax.tree.map(place, runs.abstract_state((stage,), 0, KEY))
  step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
  text = step.lower(state, runs.abstract_feed(stage, mesh), KEY).compile().as_text()
  assert 'all-reduce' in text and not re.search(r'= \S+ (all-gather|all-to-all|collective-permute)\(', text)


def stepped(game, moves, steps=2, accumulate=1):
  """[metrics of each step], every move on other examples."""
  images = jnp.asarray(np.random.RandomState(1).randn(moves, 4, 8, 8, 1), jnp.float32)
  optimizers = {name: optax.sgd(0.0) for name in SGD}
  state = jax.jit(lambda key: core.init(game, optimizers, batch_of(4, (8, 8, 1)), key))(KEY)
  streams, settings = ('images',), dict(latents_batch=4, compute=core.Compute(accumulate))
  step = jax.jit(core.make_step(game, optimizers, streams=streams, **settings))
  rows = []
  for _ in range(steps):
    state, metrics = step(state, {'images': {'image': images}}, KEY)
    rows.append(core.means(jax.device_get(metrics)))
  return rows


def test_the_generator_learns_through_the_augmentation():
  """Else the discriminator would have seen other images than those that the generator is judged by."""
  nets = mlp.Generator((8,), (8, 8, 1), 'tanh'), mlp.Discriminator((8,))
  sgd = {name: optax.sgd(0.1) for name in SGD}
  for augment, moves in ((None, True), (lambda key, x: 0 * x, False)):
    game = Standard(*nets, Normal((3,)), augment=augment)
    batch = batch_of(4, (8, 8, 1))
    before = core.init(game, sgd, batch, KEY)
    after, _ = core.play(game, sgd, game.turns[-1], before, batch, KEY)
    moved = jax.tree.map(
      lambda a, b: bool((a != b).any()), before.players['generator'].params, after.players['generator'].params
    )
    assert any(jax.tree.leaves(moved)) == moves


class Bowl(nn.Module):
  """|x|^2 / 2, whose gradient is x: a penalty tells where it was taken."""

  @nn.compact
  def __call__(self, x, *, train):
    return self.param('w', nn.initializers.ones, ()) * jnp.square(x).reshape(len(x), -1).sum(-1) / 2


@pytest.mark.parametrize('at', ['real', 'fake', 'between', 'around', 'both'])
def test_a_penalty_is_taken_at_its_points(at):
  real, fake = (jnp.asarray(np.random.RandomState(i).randn(6, 5), jnp.float32) for i in range(2))
  penalty = GradientPenalty(3.0, at=at, target=0.0)

  class Game(nn.Module):
    critic: nn.Module

    def __call__(self):
      return penalty(self.critic, KEY, real, fake)

  found, _ = Game(Bowl()).init_with_output(KEY)
  squares = lambda x: 3.0 * jnp.square(x).sum(-1).mean()
  mix, (first, noise) = jax.random.uniform(KEY, (6, 1)), jax.random.split(KEY)
  near = real + jax.random.uniform(first, (6, 1)) * 0.5 * real.std() * jax.random.uniform(noise, (6, 5))
  expected = {
    'real': squares(real), 'fake': squares(fake), 'between': squares(mix * real + (1 - mix) * fake),
    'around': squares(near), 'both': squares(real) + squares(fake),
  }  # fmt: skip
  np.testing.assert_allclose(found, expected[at], rtol=1e-5)


def test_a_lazy_penalty_is_the_eager_one_of_its_step():
  """Same examples, same augmentation, same points."""
  nets = mlp.Generator((8,), (8, 8, 1), 'tanh'), mlp.Discriminator((8,))
  penalty = lambda every: GradientPenalty(weight=1.0, at='between', target=0.0, every=every)
  augment = DiffAugment(('translation',))
  make = lambda every: Standard(*nets, Normal((3,)), penalty=penalty(every), augment=augment)
  lazy, eager = stepped(make(2), 1), stepped(make(1), 1, steps=1)
  assert 'penalty_loss' in lazy[0] and 'penalty_loss' not in lazy[1]
  assert lazy[0]['penalty_loss'] == pytest.approx(2 * eager[0]['penalty'], rel=1e-5)
  # No turn but the discriminator's draws data, resting or not.
  assert core.moves_per_step(make(2), 'images') == core.moves_per_step(make(1), 'images') == 1


class Line(nn.Module):
  """As a discriminator a x, whose gradient penalty is a^2; as a generator always 0."""

  generates: bool = False

  @nn.compact
  def __call__(self, x, *, train):
    a = self.param('a', nn.initializers.ones, ())
    return 0 * a * x if self.generates else a * x[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize('steps', [1, 3])
def test_a_lazy_penalty_pulls_as_the_eager_one(steps):
  """Data and fakes are 0, so nothing else moves a."""
  rate, pulls = 1e-5, {}
  optimizers = {**SGD, 'discriminator': optax.sgd(rate)}
  for every in (1, 2):
    penalty = GradientPenalty(1.0, at='real', target=0.0, every=every)
    rule = dict(loss='wasserstein', discriminator_steps=steps, penalty=penalty)
    game = Standard(Line(True), Line(), Normal((2,)), **rule)
    state = core.init(game, optimizers, batch_of(2, latents=2), KEY)
    step = jax.jit(core.make_step(game, optimizers, streams=('images',), latents_batch=2))
    for _ in range(2):
      state, _ = step(state, {'images': {'image': jnp.zeros((steps, 2, 2))}}, KEY)
    pulls[every] = (1 - float(state.players['discriminator'].params['discriminator']['a'])) / rate
  assert pulls == pytest.approx(dict.fromkeys((1, 2), 2 * steps * 2), rel=0.02)


def test_a_lazy_penalty_rests_with_the_discriminator():
  nets = mlp.Generator((8,), (8, 8, 1), 'tanh'), mlp.Discriminator((8,))
  penalty = GradientPenalty(at='real', target=0.0, every=2)
  make = lambda most: Standard(*nets, Normal((3,)), penalty=penalty, most_accuracy=most)
  # Its accuracy on the first batch is more than a hundredth; before that it is 0.
  rows = {most: stepped(make(most), 1, steps=3) for most in (0.01, 1.0)}
  played = lambda most: [('discriminator_loss' in row, 'penalty_loss' in row) for row in rows[most]]
  assert played(0.01) == [(True, True), (False, False), (False, False)]
  assert played(1.0) == [(True, True), (True, False), (True, True)]


def test_a_shared_batch_is_that_of_the_last_move():
  """Of discriminators that do not move, a turn that shares the batch has the loss of the last move."""

  class Again(Standard):
    turns = (
      Turn(('discriminator',), 'first_loss', repeat=4),
      Turn(('discriminator',), 'discriminator_loss', repeat=2, share='batch'),
      Turn(('generator',), 'generator_loss', streams=(), share=True),
    )

    def told(self, batch, name):
      noise = jax.random.normal(self.make_rng('noise'))
      return {f'{name}_{k}': v for k, v in (('z', batch['latents'].sum()), ('noise', noise))} | {
        f'{name}_image': batch['images']['image'].sum() if 'images' in batch else 0.0
      }

    def first_loss(self, batch):
      return super().discriminator_loss(batch)[0], self.told(batch, 'first')

    def discriminator_loss(self, batch):
      return super().discriminator_loss(batch)[0], self.told(batch, 'second')

    def generator_loss(self, batch):
      return super().generator_loss(batch), self.told(batch, 'generator')

  game = Again(mlp.Generator((8,), (8, 8, 1), 'tanh'), mlp.Discriminator((8,)), Normal((3,)))
  assert core.moves_per_step(game, 'images') == 5
  (row,) = stepped(game, 5, steps=1)
  images = np.random.RandomState(1).randn(5, 4, 8, 8, 1).sum((1, 2, 3, 4))
  assert row['first_image'] == pytest.approx(images[:4].mean(), rel=1e-4)
  # The fourth once more, then the fifth, of its own.
  assert row['second_image'] == pytest.approx(images[3:].mean(), rel=1e-4)


@pytest.mark.parametrize(
  ('turn', 'message'),
  [
    (dict(share='batch', streams=('images',)), "shares the batch of 'generator_loss', which reads no images: list the"),
    (dict(share='labels'), "unknown share of turn 'discriminator_loss' of Strange 'labels'"),
  ],
)
def test_a_batch_that_cannot_be_shared_is_an_error(turn, message):
  class Strange(Standard):
    turns = (
      Turn(('generator',), 'generator_loss', streams=()),
      Turn(('discriminator',), 'discriminator_loss', **turn),
    )

  game = Strange(mlp.Generator((8,), (2,), 'identity'), mlp.Discriminator((8,)), Normal((3,)))
  with pytest.raises(UserError, match=message):
    core.init(game, SGD, batch_of(4), KEY)


def test_adaptive_augmentation_counts_all_microbatches_and_moves_by_their_mean():
  """Signs 1, 1, 1, -1 have a mean of 0.5 < 0.6 and p falls, though of 4 microbatches of one image three would rise."""

  class Judge(nn.Module):
    """Logits 1 for pictures above 0, else -1."""

    @nn.compact
    def __call__(self, x, *, train):
      return jnp.sign(x.reshape(x.shape[0], -1)[:, 0]) + 0.0 * self.param('w', nn.initializers.zeros, ())

  class Still(Adaptive):
    """Leaves the pictures as they are."""

    def __call__(self, key, images, probability):
      return images

  game = Standard(mlp.Generator((2,), (1, 1, 1), 'tanh'), Judge(), Normal((3,)), augment=Still(speed=100))
  optimizers = {name: optax.sgd(0.0) for name in SGD}
  state = jax.jit(lambda key: core.init(game, optimizers, batch_of(4, (1, 1, 1)), key))(KEY)
  table = state.variables['table']
  variables = {**state.variables, 'table': {**table, 'augment_probability': jnp.float32(0.5)}}
  mostly, all_of = jnp.array([1.0, 1, 1, -1]), jnp.ones(4)
  for accumulate, devices in ((1, 1), (4, 1), (2, 2)):
    apart = 'data' if devices > 1 else None
    step = core.make_step(
      game,
      optimizers,
      streams=('images',),
      latents_batch=4 // devices,
      compute=core.Compute(accumulate, axis_name=apart),
    )
    if apart:
      step = jax.vmap(step, in_axes=(None, 0, None), out_axes=None, axis_name='data')
    step, now, p = jax.jit(step), state.replace(variables=variables), []
    for image in (all_of, mostly, mostly):
      image = image.reshape(1, 4, 1, 1, 1) if devices == 1 else image.reshape(devices, 1, -1, 1, 1, 1)
      now, metrics = step(now, {'images': {'image': image}}, KEY)
      p.append(core.means(jax.device_get(metrics))['augment_probability'])
    # Each move by 4 images of 100, by the signs of the move before it; before the first nobody was sure.
    assert p == pytest.approx([0.46, 0.50, 0.46], abs=1e-6), (accumulate, devices)
