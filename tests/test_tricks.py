"""Augmentation, averages, truncation, standing statistics, and the settings that switch them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import jitted
import numpy as np
import optax
import pytest
from cases import few

from gan_jax import config as config_lib
from gan_jax import core, losses, runs
from gan_jax.augment import ada
from gan_jax.augment import augmentations as augment
from gan_jax.base.errors import UserError
from gan_jax.core.clock import Clock
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.pix2pix import Pix2Pix
from gan_jax.games.standard import Standard
from gan_jax.games.stylegan2 import StyleGAN2
from gan_jax.latents import distributions as latents
from gan_jax.nets import dcgan, mlp
from gan_jax.nets.layers.minibatch import Packed
from gan_jax.optim import averages
from gan_jax.sampling import standing

KEY = jax.random.key(0)
SGD = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}
RANDOM = np.random.RandomState(0)
IMAGES = jax.random.uniform(jax.random.key(1), (64, 8, 8, 3), minval=-1.0)


def test_color_is_affine_per_example():
  y = np.asarray(augment.color(KEY, IMAGES), np.float64)
  x = np.asarray(IMAGES, np.float64)
  slopes = []
  for a, b in zip(x, y, strict=True):
    grey_a, grey_b = a.mean(-1).ravel(), b.mean(-1).ravel()
    slope, offset = np.polyfit(grey_a, grey_b, 1)
    np.testing.assert_allclose(grey_b, slope * grey_a + offset, atol=1e-4)  # saturation leaves grey alone
    slopes.append(slope)
  assert 0.5 <= min(slopes) < 0.6 and 1.4 < max(slopes) <= 1.5
  shift = (y - x).mean((1, 2, 3))
  assert -0.5 <= shift.min() < -0.4 and 0.4 < shift.max() <= 0.5


def test_translation_moves_by_whole_pixels():
  y, seen = np.asarray(augment.translation(KEY, IMAGES)), set()
  padded = np.pad(np.asarray(IMAGES), ((0, 0), (1, 1), (1, 1), (0, 0)))
  for i in range(64):
    found = [(a, b) for a in range(3) for b in range(3) if np.array_equal(padded[i, a : a + 8, b : b + 8], y[i])]
    assert len(found) == 1
    seen.add(found[0])
  assert len(seen) == 9


def test_cutout_cuts_one_rectangle():
  y = np.asarray(augment.cutout(KEY, jnp.ones((64, 8, 8, 1))))[..., 0]
  for image in y:
    rows, columns = np.flatnonzero((image == 0).any(1)), np.flatnonzero((image == 0).any(0))
    assert (image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 0).all()
    assert (image == 0).sum() == len(rows) * len(columns) and 2 <= len(rows) <= 4
  assert len({image.tobytes() for image in y}) > 20


def test_diff_augment_lets_gradients_through():
  chain = augment.DiffAugment()
  gradient = jax.grad(lambda x: chain(KEY, x).sum())(IMAGES)
  assert jnp.isfinite(gradient).all() and (jnp.abs(gradient).max((1, 2, 3)) > 0).all()
  with pytest.raises(UserError, match='unknown augmentation'):
    augment.DiffAugment(('blur',))


def test_adaptive_augmentation_is_as_frequent_as_asked():
  many = jnp.tile(IMAGES[:1], (2000, 1, 1, 1))
  np.testing.assert_array_equal(augment.adaptive(KEY, many, 0.0, ('blit', 'colour')), many)
  change = jax.jit(lambda p: augment.adaptive(KEY, many, p, ('blit', 'colour')))
  untouched = lambda p: float((change(p) == many).all((1, 2, 3)).mean())
  # Mirroring, turns, moves and reflection may draw the identity: the rest is (1 - p)^4 of the others.
  for p in (0.1, 0.5):
    kept = (1 - p / 2) * (1 - 3 * p / 4) * (1 - p * 3 / 4) * (1 - p / 2) * (1 - p) ** 4
    assert abs(untouched(p) - kept) < 0.04
  assert untouched(1.0) == 0.0
  with pytest.raises(UserError, match="unknown group of adaptive augmentation 'color'"):
    augment.adaptive(KEY, many, 0.5, ('color',))


@pytest.mark.slow
def test_every_group_of_adaptive_augmentation_changes_pictures_when_it_shall():
  x = jax.random.uniform(KEY, (4, 12, 12, 3), jnp.float32, -1.0, 1.0)
  change = jax.jit(lambda p, x: augment.adaptive(KEY, x, p, ada.GROUPS))
  np.testing.assert_array_equal(change(0.0, x), x)
  assert (np.abs(change(1.0, x) - x).max((1, 2, 3)) > 0.01).all()


def affine(*rows):
  return jnp.asarray(np.array([[*rows, (0, 0, 1)]], np.float32))


def test_warped_pictures_are_where_they_should_be():
  x = jnp.asarray(RANDOM.standard_normal((1, 12, 12, 2)), jnp.float32)
  warp = jax.jit(ada.warped)
  turned, shifted = affine((0, -1, 0), (1, 0, 0)), affine((1, 0, -2), (0, 1, -1))
  np.testing.assert_allclose(ada.moved(x, turned), np.rot90(x, 1, (1, 2)))
  around = np.pad(x, ((0, 0), (1, 0), (2, 0), (0, 0)), 'reflect')[:, :12, :12]
  np.testing.assert_allclose(ada.moved(x, shifted), around)
  np.testing.assert_allclose(warp(x, shifted)[:, 2:, 2:], around[:, 2:, 2:], atol=1e-2)
  # A slope stays one when it is enlarged, turned and moved by parts of a pixel.
  rows, columns = np.mgrid[:12, :12] - 5.5
  a, b, c, d = 0.6, -0.3, 0.2, 0.7
  inverse = affine((a, b, 0.3), (c, d, -0.4))
  slope = jnp.asarray(columns + 2 * rows, jnp.float32)[None, ..., None]
  expected = (a * columns + b * rows + 0.3) + 2 * (c * columns + d * rows - 0.4)
  np.testing.assert_allclose(warp(slope, inverse)[0, 3:-3, 3:-3, 0], expected[3:-3, 3:-3], atol=0.05)
  far = affine((1, 0, 30), (0, 1, 0))  # further than one picture away
  assert not np.abs(warp(x, far)[:, :, 4:]).any()


class Drawn(ada._Chance):
  """Every example is changed, by numbers that are told."""

  def on(self, number):
    return self

  def normal(self, width=1):
    return jnp.full((self.batch, width), 0.5, jnp.float32)

  def uniform(self, width=1):
    return jnp.full((self.batch, width), 0.25, jnp.float32)

  def choice(self, count):
    return jnp.ones((self.batch, 1), jnp.float32)


def chance(batch):
  return Drawn(KEY, batch, jnp.float32(1.0))


def test_colours_are_changed_by_the_matrices_of_the_paper():
  x = RANDOM.standard_normal((2, 3, 3, 3)).astype(np.float32)
  v = np.ones((3, 1)) / 3**0.5
  angle = 0.25 * np.pi
  cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
  hue = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * v @ v.T
  saturation = v @ v.T + 2**0.5 * (np.eye(3) - v @ v.T)
  matrix = saturation @ hue @ (np.eye(3) - 2 * v @ v.T) * 2**0.25
  np.testing.assert_allclose(ada._colour(chance(2), jnp.asarray(x)), (x + 0.1) @ matrix.T, atol=1e-5)
  np.testing.assert_allclose(
    ada._colour(chance(2), jnp.asarray(x[..., :1])), -(2**0.25) * (x[..., :1] + 0.1), atol=1e-5
  )


def test_bands_noise_and_cutout():
  bank = ada.bands()
  np.testing.assert_allclose(bank.sum(0), np.eye(1, 43, 21)[0], atol=1e-6)
  np.testing.assert_allclose(bank.sum(1), [1, 0, 0, 0], atol=1e-6)  # only the lowest has what is constant
  gain = np.ones(4)
  for i in range(4):
    one = np.where(np.arange(4) == i, 2**0.5, 1)
    gain *= one / np.sqrt((one**2 * np.array([10, 1, 1, 1]) / 13).sum())
  even = jnp.full((2, 30, 30, 1), 2.0)
  np.testing.assert_allclose(jax.jit(lambda x: ada._filter(chance(2), x))(even), 2 * gain[0] ** 2, rtol=1e-4)
  noisy = np.asarray(ada._noise(chance(2), jnp.zeros((2, 50, 50, 1))))
  assert abs(noisy.std() - 0.05) < 0.002
  cut = np.asarray(ada._cutout(chance(2), jnp.ones((2, 8, 8, 1))))  # around 5/8 of the sides: from 3/8 to 7/8
  holes = np.ones((8, 8))
  holes[3:7, 3:7] = 0
  np.testing.assert_array_equal(cut[..., 0], np.stack([holes, holes]))


def test_the_controller_moves_towards_its_target():
  sure, unsure = jnp.ones(8), jnp.array([1.0, -1.0] * 4)
  np.testing.assert_allclose(augment.adapted(0.2, sure, images=5000), 0.21, rtol=1e-5)
  np.testing.assert_allclose(augment.adapted(0.2, unsure, images=5000), 0.19, rtol=1e-5)
  assert (
    float(augment.adapted(0.999, sure, images=50_000)) == 1.0 and float(augment.adapted(0.0, unsure, images=1)) == 0.0
  )


def test_top_k_as_weights():
  logits = jnp.array([0.3, -2.0, 1.5, 0.9])
  weights = augment.top_k(logits, 2)
  assert weights.tolist() == [0, 0, 1, 1]
  np.testing.assert_allclose(
    losses.nonsaturating.generator(logits, fake_weights=weights), losses.nonsaturating.generator(logits[2:]), rtol=1e-6
  )


@pytest.mark.parametrize('shape', [(3, 1), (3, 4, 4)])
def test_top_k_ranks_examples(shape):
  with pytest.raises(AssertionError):
    augment.top_k(jnp.ones(shape), 1)


def clock(step, images=0.0):
  return Clock(jnp.int32(step), jnp.int32(step), jnp.int32(100), jnp.float32(images))


def test_decays_of_averages():
  np.testing.assert_allclose([averages.warm_up(0.9)(clock(t)) for t in (0, 8, 1000)], [0.1, 0.5, 0.9])
  np.testing.assert_allclose([averages.starting_at(0.9, 5)(clock(t)) for t in (3, 4)], [0.0, 0.9])
  decay = averages.half_life(1000.0, 10, 0.05)
  np.testing.assert_allclose(decay(clock(0, 1e6)) ** 100, 0.5, rtol=1e-5)
  np.testing.assert_allclose(decay(clock(0, 2000.0)) ** 10, 0.5, rtol=1e-5)  # 5 % of 2000 images


def test_decays_take_a_number_of_steps_too():
  for decay in (averages.warm_up(0.9), averages.unbiased(0.9), averages.starting_at(0.9, 5), averages.half_life(64, 8)):
    for step in (1, 4, 9):
      np.testing.assert_allclose(decay(step), decay(clock(step, 8.0 * step)), rtol=1e-6)


@pytest.mark.parametrize(
  ('word', 'wrong'),
  [
    ('decay of -1.0', lambda: averages.warm_up(-1.0)),
    ('decay of 2.0', lambda: averages.starting_at(2.0, 3)),
    ('between 0 and 1', lambda: averages.unbiased(1 - 1e-9)),
    ('batch_size=-64', lambda: averages.half_life(64, -64)),
    ('low < high', lambda: latents.Uniform((3,), 1.0, -1.0)),
    ('threshold=nan', lambda: latents.Truncated((3,), np.nan)),
    ('classes=0', lambda: latents.Label(0)),
    ('classes=2.5', lambda: latents.Label(2.5)),
    ('no rows', lambda: latents.Tags(())),
  ],
)
def test_numbers_that_would_give_others_are_refused(word, wrong):
  with pytest.raises(UserError, match=word):
    wrong()


def test_averages_are_built_while_a_population_is_traced():
  decay = jax.jit(lambda x: x * averages.unbiased(0.9)(4) * averages.warm_up(x)(4))(0.5)
  np.testing.assert_allclose(decay, 0.5 * averages.unbiased(0.9)(4) * 5 / 14, rtol=1e-6)


def test_shares_may_be_arrays():
  assert latents.Label(3, np.array([0, 1, 0])) == latents.Label(3, (0, 1, 0))
  for share in (np.array([0.0, 1.0]), [0.0, 1.0]):
    assert latents.Attributes(('a', 'b'), share) == latents.Attributes(('a', 'b'), (0.0, 1.0))
  assert latents.draw(latents.Attributes(('a', 'b'), np.float32(1.0)), KEY, 1).tolist() == [[1.0, 1.0]]


def test_a_key_augments_pictures_of_each_dtype_alike():
  images = jax.random.uniform(KEY, (4, 8, 8, 3), jnp.float32, -1, 1)
  for made in (augment.color, augment.translation, augment.cutout):
    np.testing.assert_allclose(made(KEY, images.astype(jnp.bfloat16)), made(KEY, images), atol=0.06)


def test_an_unbiased_average_is_that_of_the_weights_of_all_steps():
  weights, average = np.random.RandomState(0).randn(50), 100.0  # what was before the first step is forgotten
  for t, weight in enumerate(weights):
    average += (1 - float(averages.unbiased(0.9)(clock(t)))) * (weight - average)
    shares = 0.9 ** np.arange(t, -1, -1)
    np.testing.assert_allclose(average, (shares * weights[: t + 1]).sum() / shares.sum(), rtol=1e-4)
  # In the rounding of float32 the first steps of a long average keep their shares.
  long = [float(averages.unbiased(0.9999)(clock(t))) for t in (0, 1, 99, 10**6)]
  np.testing.assert_allclose(long, [0, 1 / 2, 0.99, 0.9999], rtol=1e-4)


def test_truncation():
  z = np.asarray(latents.draw(latents.Truncated((200,), 0.7), KEY, 50))
  assert abs(z).max() <= 0.7 and abs(z).max() > 0.65 and abs(z.mean()) < 0.02


def test_standing_statistics_are_those_of_the_batches():
  net = dcgan.Generator((8, 4), 1, kernel=4, base=2)
  z = jax.random.normal(KEY, (4, 32, 5))
  variables = net.init(KEY, z[0], train=True)
  stood = standing.standing_statistics(lambda *a, **k: net.apply(*a, train=True, **k), variables, list(z))
  first = stood['batch_stats']['BatchNorm_0']['norm']
  projected = (np.asarray(z) @ np.asarray(variables['params']['project']['kernel'])).reshape(4, 32, 2, 2, 8)
  np.testing.assert_allclose(first['mean'], projected.mean((1, 2, 3)).mean(0), atol=1e-5)
  np.testing.assert_allclose(first['var'], projected.var((1, 2, 3)).mean(0), rtol=1e-3)
  for wrong, message in ((z, 'give a list'), ([], 'at least one')):
    with pytest.raises(UserError, match=message):
      standing.standing_statistics(lambda *a, **k: net.apply(*a, train=True, **k), variables, wrong)


SETTINGS = {
  'a factory of losses': ['--config.game.loss=smoothed'],
  'a relativistic loss': ['--config.game.loss=relativistic_average_hinge'],
  'a penalty': ["--config.game.penalty={'name': 'GradientPenalty', 'weight': 10.0}", '--config.game.loss=wasserstein'],
  'a lazy penalty': ["--config.game.penalty={'name': 'GradientPenalty', 'at': 'real', 'target': 0.0, 'every': 2}"],
  'augmentation': ["--config.game.augment={'name': 'DiffAugment', 'policy': ('translation', 'cutout')}"],
  'a warm average': ["--config.ema.discriminator={'name': 'averages.warm_up', 'decay': 0.99}"],
  'simultaneous moves': ["--config.game.dynamics={'name': 'rule', 'of': 'simultaneous'}"],
  'extragradient': ["--config.game.dynamics={'name': 'rule', 'of': 'extragradient', 'rate': 1e-3}"],
  'consensus': ["--config.game.dynamics={'name': 'rule', 'of': 'consensus', 'weight': 0.1}"],
  'feature matching': ['--config.game.feature_matching=1.0'],
  'minibatch discrimination': ['--config.game.discriminator.minibatch_kernels=5'],
  'spectral weights': ['--config.game.discriminator.weights=spectral', '--config.game.discriminator.norm=none'],
  'equalised weights': ['--config.game.discriminator.weights=equalised'],
  'adaptive augmentation': ["--config.game.augment={'name': 'Adaptive', 'speed': 100}"],
  'another optimizer': ['--config.optimizers.generator.name=optimistic'],
}


#: One that adds a turn, one that adds to a loss, one that adds a player's average, one of the optimizers.
QUICK = ('a lazy penalty', 'feature matching', 'a warm average', 'another optimizer')


@pytest.mark.parametrize('name', few(SETTINGS, lambda name: name in QUICK))
def test_one_setting_switches(name):
  small = [
    '--config.game.generator.channels=(4,4)',
    '--config.game.discriminator.channels=(4,4)',
    '--config.batch_size=4',
  ]
  config = config_lib.load('configs/quickstart.py')
  if name == 'another optimizer':
    del config.optimizers.generator['b1']
  (stage,) = runs.stages_of(config_lib.override(config, [*small, *SETTINGS[name]]))
  state = jax.jit(lambda key: runs.new_state(stage, key))(KEY)
  step = jax.jit(core.make_step(stage.game, stage.optimizers, streams=('images',), latents_batch=4, ema=stage.ema))
  feed = {'images': {'image': jax.random.uniform(KEY, (2, 4, 8, 8, 1), minval=-1.0)}}
  after, metrics = step(state, feed, KEY)
  means = core.means(jax.device_get(metrics))
  assert all(np.isfinite(value) for value in means.values())
  for player in ('generator', 'discriminator'):
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), state.players[player].params, after.players[player].params)
    assert any(jax.tree.leaves(moved))
  if name == 'a lazy penalty':
    again = core.means(jax.device_get(step(after, feed, KEY)[1]))
    assert 'penalty_loss' in means and 'penalty_loss' not in again
  if name == 'adaptive augmentation':
    moved = float(after.variables['table']['augment_probability'])
    again = core.means(jax.device_get(step(after, feed, KEY)[1]))
    # A move adjusts by what the move before it saw.
    sure = float(after.variables['table']['augment_overfitting']) > 0.6
    assert moved == means['augment_probability'] == 0 and again['augment_probability'] == pytest.approx(0.04 * sure)
  if name == 'spectral weights':
    written = after.players['discriminator'].variables
    assert set(written) == {'spectral'} and not np.array_equal(
      written['spectral']['discriminator']['Conv_1']['weights']['u'],
      state.players['discriminator'].variables['spectral']['discriminator']['Conv_1']['weights']['u'],
    )
  if name == 'a penalty':
    assert means['penalty'] > 0


@pytest.mark.slow
def test_input_gradients_in_a_game_equal_those_of_the_function():
  (stage,) = runs.stages_of(
    config_lib.override(
      config_lib.load('configs/quickstart.py'),
      ["--config.game.penalty={'name': 'GradientPenalty', 'at': 'real', 'target': 0.0, 'weight': 1.0}"],
    )
  )
  state = runs.new_state(stage, KEY)
  image = jax.random.uniform(KEY, (64, 8, 8, 1), minval=-1.0)
  batch = {'images': {'image': image}, 'latents': jnp.zeros((64, 64))}
  _, metrics = jax.jit(lambda s: core.play(stage.game, stage.optimizers, stage.game.turns[0], s, batch, KEY))(state)
  variables = {'params': state.players['discriminator'].params['discriminator']}
  variables['batch_stats'] = state.players['discriminator'].variables['batch_stats']['discriminator']
  net = stage.game.discriminator
  critic = lambda x: net.apply(variables, x, train=True, mutable=['batch_stats'])[0]
  gradients = losses.penalties.input_gradients(critic, image)
  np.testing.assert_allclose(metrics['penalty'], 2 * losses.penalties.r1(gradients), rtol=1e-4)


def test_standing_statistics_of_large_numbers():
  """A momentum found by numbers of the size of 1 would be lost beside a variance of 1e8."""
  norm = nn.BatchNorm(use_running_average=False, momentum=0.9, use_fast_variance=False)
  x = 1e4 * jax.random.normal(KEY, (256, 3)) + 1e5
  variables = norm.init(KEY, x)
  apply = lambda variables, x, mutable: norm.apply(variables, x, mutable=mutable)
  found = standing.standing_statistics(apply, variables, [x, x])['batch_stats']
  np.testing.assert_allclose(found['var'], x.var(0), rtol=1e-4)
  np.testing.assert_allclose(found['mean'], x.mean(0), rtol=1e-4)


class Sure(nn.Module):
  """It says one thing of everything."""

  logit: tuple[float, ...]

  @nn.compact
  def __call__(self, image, train=True):
    self.param('unused', nn.initializers.zeros, ())
    out = jnp.broadcast_to(jnp.array(self.logit), (len(image), len(self.logit)))
    return out if len(self.logit) > 1 else out[:, 0]


@pytest.mark.parametrize(
  ('loss', 'logit', 'wanted'),
  [
    ('nonsaturating', (0.25,), 1.0),
    ('least_squares', (0.25,), -1.0),  # nearer to 0, which is generated
    ('least_squares', (0.75,), 1.0),
    ('two_way_softmax', (1.0, 3.0), 1.0),
    ('two_way_softmax', (-1.0, -3.0), -1.0),
  ],
)
def test_adaptive_augmentation_asks_what_is_judged_real_by_the_loss(loss, logit, wanted):
  game = Standard(mlp.Generator((4,), (8, 8, 1)), Sure(logit), latents.Normal((2,)), loss, augment=augment.Adaptive())
  batch = {'images': {'image': jnp.zeros((4, 8, 8, 1))}, 'latents': jnp.zeros((4, 2))}
  rngs = {'params': KEY, 'noise': KEY}

  @jax.jit
  def overfitting():
    variables = {**game.init(rngs, batch, method='discriminator_loss'), 'clock': {'parts': 1}}
    _, after = game.apply(variables, batch, method='discriminator_loss', rngs=rngs, mutable=['table'])
    return after['table']['augment_overfitting']

  assert float(overfitting()) == wanted


@pytest.mark.parametrize('loss', ['wasserstein', 'relativistic'])
def test_adaptive_augmentation_needs_a_loss_that_says_what_is_real(loss):
  game = Standard(mlp.Generator((4,), (8, 8, 1)), Sure((0.0,)), latents.Normal((2,)), loss, augment=augment.Adaptive())
  with pytest.raises(UserError, match=f"which logits of '{loss}' do not say: choose another loss, or"):
    game.check_training({})
  game.clone(augment=None).check_training({})
  batch = {'images': {'image': jnp.zeros((4, 8, 8, 1))}, 'latents': jnp.zeros((4, 2))}
  state = jitted.init(game, SGD, batch, KEY)  # what cannot be trained can be loaded
  with pytest.raises(UserError, match=f"which logits of '{loss}' do not say"):
    jitted.play(game, SGD, game.turns[0], state, batch, KEY)


class Sides(nn.Module):
  """Logits of fake and of real, -l and l; or 2 l, their difference."""

  outputs: int

  @nn.compact
  def __call__(self, x, *, train):
    logit = self.param('a', nn.initializers.constant(3.0), ()) * jnp.square(x).reshape(len(x), -1).sum(-1)
    return jnp.stack([-logit, logit], -1) if self.outputs == 2 else 2 * logit


class Scaled(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    return self.param('b', nn.initializers.ones, ()) * x


@pytest.mark.parametrize('every', [1, 2])
@pytest.mark.parametrize('kind', [Standard, StyleGAN2, Pix2Pix])
def test_a_penalty_of_two_outputs_is_of_their_difference(kind, every):
  image = jax.random.normal(KEY, (4, 1, 1, 2))
  batch = {'images': {'image': image, 'a': image, 'b': image}, 'latents': image}
  settings = {
    Standard: dict(latents=latents.Normal((1, 1, 2))),
    StyleGAN2: dict(latents=latents.Normal((1, 1, 2)), path_weight=0.0, augment=lambda key, x: 2 * x),
    Pix2Pix: dict(conditional=False),
  }[kind]
  found = []
  for outputs, loss in ((1, 'nonsaturating'), (2, 'two_way_softmax')):
    penalty = GradientPenalty(0.5, at='real', target=0.0, every=every)
    game = kind(Scaled(), Sides(outputs), loss=loss, penalty=penalty, **settings)
    state = jitted.init(game, SGD, batch, KEY)
    metrics = {}
    for turn in game.turns[:-1]:
      metrics |= jitted.play(game, SGD, turn, state, core.turn_batch(turn, batch), KEY)[1]
    found.append(metrics.get('penalty', metrics.get('penalty_loss')))
  np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
  seen = 4.0 if kind is StyleGAN2 else 1.0  # the square of the augmentation, and for the lazy penalty its slope
  norms = jnp.square(12.0 * image).sum((1, 2, 3)).mean() * seen * (4.0 if kind is StyleGAN2 and every == 2 else 1.0)
  np.testing.assert_allclose(found[0], 0.5 * every * norms, rtol=1e-5)


class Linear(nn.Module):
  """w x summed over the examples of a pack, |w| = 5."""

  @nn.compact
  def __call__(self, x, *, train):
    w = self.param('w', lambda key: jnp.array([3.0, 4.0]))
    return x.reshape(len(x), -1, 2).sum(1) @ w


@pytest.mark.parametrize('count', [1, 4])
def test_a_penalty_of_packs_is_of_the_norm_of_a_pack(count):
  """The gradient of a pack in each of its examples is w, so its norm is |w| times the root of their number."""
  game = Standard(
    mlp.Generator((4,), (2,)), Packed(Linear(), count), latents.Normal((2,)), 'wasserstein', GradientPenalty(10.0)
  )
  batch = {'images': {'image': jax.random.normal(KEY, (8, 2))}, 'latents': jnp.ones((8, 2))}
  state = jitted.init(game, SGD, batch, KEY)
  _, metrics = jitted.play(game, SGD, game.turns[0], state, batch, KEY)
  np.testing.assert_allclose(metrics['penalty'], 10 * (5 * count**0.5 - 1) ** 2, rtol=1e-5)
