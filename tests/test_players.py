"""Games of several players, on networks small enough to compute by hand; what one more player costs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import jitted
import numpy as np
import optax
import pytest
from scipy import special

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.games.gman import GMAN
from gan_jax.games.madgan import MADGAN
from gan_jax.games.parts.views import View
from gan_jax.games.semi_supervised import SemiSupervised
from gan_jax.latents.distributions import Label, Normal
from gan_jax.metrics.gmam import gmam
from gan_jax.nets import dcgan, mlp
from gan_jax.nets import gman as gman_nets
from gan_jax.nets import madgan as madgan_nets
from gan_jax.nets import semi_supervised as semi_supervised_nets
from gan_jax.nets.copies import Copies, dealt, joined
from gan_jax.nets.layers.conv import formulation
from gan_jax.nets.layers.data_scale import DataScale

KEY = jax.random.key(0)
ADAM = {'generator': optax.adam(1e-3), 'discriminator': optax.adam(1e-3)}
log_softmax = lambda x: special.log_softmax(x, -1)
softplus = lambda x: np.log1p(np.exp(x))


class Linear(nn.Module):
  """x W, (B, n) to (B, outputs), or to logits (B,)."""

  outputs: int = 1

  @nn.compact
  def __call__(self, x, *, train):
    x = x.reshape(len(x), -1) @ self.param('w', nn.initializers.normal(1.0), (x[0].size, self.outputs))
    return x[:, 0] if self.outputs == 1 else x


class Through(nn.Module):
  def __call__(self, x, *, train):
    return x


def some(count, size=2, seed=0, **latents):
  random = np.random.RandomState(seed)
  image, z = (jnp.asarray(random.randn(count, size), jnp.float32) for _ in range(2))
  return {'images': {'image': image}, 'latents': {'z': z, **latents} if latents else z}


def loss_of(game, params, batch, method, **rngs):
  out = game.apply({'params': params}, batch, method=method, rngs=rngs)
  return float(out[0] if isinstance(out, tuple) else out)


@pytest.mark.parametrize(
  ('bend', 'hidden', 'least', 'most'), [('elu', (128,) * 2, 0.9, 1), ('relu', (64,) * 3, 0, 0.7)]
)
def test_a_generator_of_elu_begins_as_a_nearly_linear_map(bend, hidden, least, most):
  """So its samples lie on lines; of ReLU half of the variance is that of no linear map."""
  z = jax.random.normal(KEY, (2000, 2)) if bend == 'relu' else jax.random.uniform(KEY, (2000, 64), minval=-1)
  shares = []
  for seed in range(10):
    trunk, head = madgan_nets.Trunk(hidden, bend), madgan_nets.Head(shape=(2,))
    features, _ = trunk.init_with_output(jax.random.key(seed), z, train=True)
    made = np.asarray(head.init_with_output(jax.random.key(seed + 100), features, train=True)[0])
    known = np.concatenate([z, np.ones((len(z), 1))], 1)
    left = made - known @ np.linalg.lstsq(known, made)[0]
    shares.append(1 - left.var(0).sum() / made.var(0).sum())
  assert least < np.mean(shares) < most
  with pytest.raises(UserError, match='bend of madgan'):
    madgan_nets.Trunk(bend='tanh').init(KEY, z, train=True)


def test_the_biases_of_a_discriminator_lie_where_they_are_asked_for():
  for bias in (0.0, 0.5):
    params = mlp.Discriminator((64, 64), bias=bias).init(KEY, jnp.zeros((1, 2)), train=True)['params']
    hidden, last = [np.asarray(params[f'Dense_{i}']['bias']) for i in range(2)], params['Dense_2']['bias']
    assert np.abs(hidden).max() <= bias and np.std(hidden) == pytest.approx(bias / 3**0.5, rel=0.2) and not last.any()


def test_copies_are_networks_of_their_own_run_as_one():
  both = Copies(mlp.Discriminator((8,)), 3)
  x = jax.random.normal(KEY, (3, 5, 2))
  variables = both.init(KEY, x, train=True)
  together = both.apply(variables, x, train=True)
  of_all = both.apply(variables, x[0], train=True, shared=True)
  for i in range(3):
    own = {'params': jax.tree.map(lambda w, i=i: w[i], variables['params']['network'])}
    np.testing.assert_allclose(together[i], mlp.Discriminator((8,)).apply(own, x[i], train=True), rtol=1e-5)
    np.testing.assert_allclose(of_all[i], mlp.Discriminator((8,)).apply(own, x[0], train=True), rtol=1e-5)
  kernels = variables['params']['network']['Dense_0']['kernel']
  assert kernels.shape == (3, 2, 8) and not np.allclose(kernels[0], kernels[1])


def test_copies_have_dropout_and_statistics_of_their_own():
  class Drop(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      return nn.Dropout(0.5, deterministic=not train)(x)

  drop = Copies(Drop(), 2)
  kept = drop.apply({}, jnp.ones((2, 64)), train=True, rngs={'dropout': KEY})
  assert not np.array_equal(kept[0], kept[1])
  norm = Copies(dcgan.Discriminator((4, 4)), 2)
  variables = jax.eval_shape(lambda: norm.init(KEY, jnp.zeros((2, 3, 8, 8, 1)), train=True))
  assert all(leaf.shape[0] == 2 for leaf in jax.tree.leaves(variables['batch_stats']))


def test_examples_are_dealt_out_in_turn_and_joined_again():
  x = jnp.arange(12.0).reshape(6, 2)
  assert dealt(x, 3)[:, :, 0].tolist() == [[0, 6], [2, 8], [4, 10]]
  np.testing.assert_array_equal(joined(dealt(x, 3)), x)


def madgan(k=3):
  latents = {'z': Normal((2,)), 'maker': Label(k)}
  return MADGAN(Through(), Copies(Linear(2), k), Linear(k + 1), latents)


def test_madgan_losses_by_hand():
  game, batch = madgan(), some(4, maker=jnp.array([2, 0, 1, 2]))
  params = core.assemble(jitted.init(game, ADAM, batch, KEY).players)['params']
  heads, judge = np.asarray(params['generator_heads']['network']['w']), np.asarray(params['discriminator']['w'])
  z, x = np.asarray(batch['latents']['z']), np.asarray(batch['images']['image'])
  made = [z @ head for head in heads]
  told = [log_softmax(fake @ judge) for fake in made]
  by_hand = -log_softmax(x @ judge)[:, 3].mean() - sum(logs[:, i].mean() for i, logs in enumerate(told))
  np.testing.assert_allclose(loss_of(game, params, batch, 'discriminator_loss'), by_hand, rtol=1e-5)
  np.testing.assert_allclose(
    loss_of(game, params, batch, 'generator_loss'), -np.mean([logs[:, 3] for logs in told]), rtol=1e-5
  )
  sampled = game.apply({'params': params}, batch, method='sample')
  np.testing.assert_allclose(sampled, [made[2][0], made[0][1], made[1][2], made[2][3]], rtol=1e-5)


def test_the_discriminator_of_the_line_begins_as_the_authors_does():
  """With weights of 1 the bends of its first layer do not come to numbers of 110 in the steps of the config."""
  net, x = madgan_nets.Discriminator(hidden=(2000, 2000), outputs=5), jnp.array([[3.0], [-70.0]])
  params = net.init(KEY, x, train=True)['params']
  for layer, (fan_in, fan_out) in (('Dense_0', (1, 2000)), ('Dense_1', (2000, 2000)), ('Dense_2', (2000, 5))):
    np.testing.assert_allclose(params[layer]['kernel'].std(), (2 / (fan_in + fan_out)) ** 0.5, rtol=0.1)
    assert not params[layer]['bias'].any()
  h = x
  for layer in ('Dense_0', 'Dense_1'):
    h = h @ params[layer]['kernel']
    h = jnp.where(h > 0, h, 0.1 * h)
  np.testing.assert_allclose(net.apply({'params': params}, x, train=True), h @ params['Dense_2']['kernel'], rtol=1e-4)


def test_madgan_counts_that_do_not_agree_are_one_line():
  latents = {'z': Normal((2,)), 'maker': Label(3)}
  with pytest.raises(UserError, match=r'count=2, latents.maker.classes=3 .*\(4,\) logits'):
    jitted.init(
      MADGAN(Through(), Copies(Linear(2), 2), Linear(4), latents), ADAM, some(2, maker=jnp.zeros(2, int)), KEY
    )


def gman(count=2, generator=None, network=None, **settings):
  return GMAN(generator or Linear(2), Copies(network or Linear(), count), Normal((2,)), **settings)


def by_hand(game, params, batch):
  """(values of -V of each discriminator on its share, log(1 - D) of fakes on its share)."""
  made = np.asarray(batch['latents']) @ np.asarray(params['generator']['w'])
  x, judges = np.asarray(batch['images']['image']), np.asarray(params['discriminators']['network']['w'])[..., 0]
  real, fake = ([part[i::2] @ judge for i, judge in enumerate(judges)] for part in (x, made))
  costs = [softplus(-r).mean() + softplus(f).mean() for r, f in zip(real, fake, strict=True)]
  return np.array(costs), np.array([-softplus(f).mean() for f in fake])


def test_gman_losses_by_hand():
  game, batch = gman(mixture='softmax', strength=2.0), some(6)
  params = core.assemble(jitted.init(game, ADAM, batch, KEY).players)['params']
  costs, values = by_hand(game, params, batch)
  np.testing.assert_allclose(loss_of(game, params, batch, 'discriminator_loss'), costs.sum(), rtol=1e-5)
  softmax = special.softmax(2 * values) @ values
  for settings, expected in (
    ({'mixture': 'softmax', 'strength': 2.0}, softmax),
    ({'mixture': 'mean'}, values.mean()),
    ({'mixture': 'max'}, values.max()),
    ({'mixture': 'softmax', 'strength': 0.0}, values.mean()),
  ):
    np.testing.assert_allclose(loss_of(gman(**settings), params, batch, 'generator_loss'), expected, rtol=1e-5)
  x, fake = batch['images']['image'], game.apply({'params': params}, batch, method='sample')
  judges = params['discriminators']['network']['w'][..., 0]
  each = [-softplus(-x @ w).mean() - softplus(fake @ w).mean() for w in judges]
  np.testing.assert_allclose(
    gman(mixture='mean').apply({'params': params}, x, fake, method='objective'), np.mean(each), rtol=1e-5
  )


def test_gman_learns_its_strength_from_what_it_gains():
  game, batch = gman(mixture='learned', reward=0.1), some(6)
  state = jitted.init(game, ADAM, batch, KEY)
  params = core.assemble(state.players)['params']
  assert float(params['generator_strength']['raw']) == -2.0
  _, values = by_hand(game, params, batch)
  strength = softplus(-2.0)
  expected = special.softmax(strength * values) @ values - 0.1 * strength
  np.testing.assert_allclose(loss_of(game, params, batch, 'generator_loss'), expected, rtol=1e-5)
  after, metrics = jitted.play(game, ADAM, game.turns[1], state, batch, KEY)
  assert after.players['generator'].params['generator_strength']['raw'] != -2.0
  np.testing.assert_allclose(metrics['strength'], strength, rtol=1e-6)


def test_boosted_discriminators_see_all_and_mind_what_the_first_got_wrong():
  game, batch = gman(boosted=True), some(4)
  params = core.assemble(jitted.init(game, ADAM, batch, KEY).players)['params']
  made = np.asarray(batch['latents']) @ np.asarray(params['generator']['w'])
  first, second = np.asarray(params['discriminators']['network']['w'])[..., 0]
  x = np.asarray(batch['images']['image'])
  cost = softplus(-x @ first).mean() + softplus(made @ first).mean()
  cost += special.softmax(-x @ first) @ softplus(-x @ second) + special.softmax(made @ first) @ softplus(made @ second)
  np.testing.assert_allclose(loss_of(game, params, batch, 'discriminator_loss'), cost, rtol=1e-5)


def test_views_and_dropout_are_each_discriminator_s_own():
  game = gman(views=(View(), View(channels=(1,))))
  batch = some(4)
  params = core.assemble(jitted.init(game, ADAM, batch, KEY).players)['params']
  x, judges = batch['images']['image'], params['discriminators']['network']['w'][..., 0]
  judged = lambda x: game.apply({'params': params}, x, {}, train=True, method='all_logits')
  np.testing.assert_allclose(judged(x), [x[0::2] @ judges[0], x[1::2, 1] * judges[1, 1]], rtol=1e-5)

  class Kept(nn.Module):
    def __call__(self, x, *, train, keep):
      return jnp.full(len(x), keep)

  game = gman(5, network=Kept(), keep=(0.4, 0.6))
  np.testing.assert_allclose(
    game.apply({}, jnp.zeros((5, 2)), {}, train=True, method='all_logits')[:, 0], [0.44, 0.48, 0.52, 0.56, 0.6]
  )


def test_the_discriminator_of_gman_drops_the_share_it_is_told():
  network = gman_nets.Discriminator((4, 4))
  x = jax.random.normal(KEY, (2, 4, 4, 1))
  variables = jax.jit(lambda: network.init({'params': KEY, 'dropout': KEY}, x, train=True))()
  out = lambda **settings: jax.jit(lambda v: network.apply(v, x, rngs={'dropout': KEY}, **settings))(variables)
  np.testing.assert_array_equal(out(train=True, keep=1.0), out(train=False, keep=0.5))
  assert not np.allclose(out(train=True, keep=0.5), out(train=False))


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    ({'mixture': 'median'}, "mixture.*'median'.*learned"),
    ({'loss': 'hinge'}, "loss.*'hinge'.*minimax"),
    ({'views': (View(),)}, '1 views for 2 discriminators'),
  ],
)
def test_settings_of_gman_that_do_not_fit_are_one_line(settings, words):
  with pytest.raises(UserError, match=words):
    jitted.init(gman(**settings), ADAM, some(4), KEY)


def test_a_batch_that_does_not_divide_is_one_line():
  with pytest.raises(UserError, match='batch of 3 cannot be divided among 2'):
    jitted.init(gman(), ADAM, some(3), KEY)


def test_gmam_is_positive_where_both_find_the_first_better_and_changes_its_sign_with_the_sides():
  np.testing.assert_allclose(gmam(-1.2, -0.8, -1.1, -1.3), np.log(1.3 / 1.1) - np.log(0.8 / 1.2))
  assert gmam(-1.2, -0.8, -1.1, -1.3) == pytest.approx(-gmam(-1.1, -1.3, -1.2, -0.8))


def test_what_a_learned_strength_earns_is_no_judgement():
  game, batch = gman(mixture='learned', reward=100.0), some(6)
  params = core.assemble(jitted.init(game, ADAM, batch, KEY).players)['params']
  x, fake = batch['images']['image'], game.apply({'params': params}, batch, method='sample')
  each = [
    -softplus(-x @ w).mean() - softplus(fake @ w).mean() for w in params['discriminators']['network']['w'][..., 0]
  ]
  found = game.apply({'params': params}, x, fake, method='objective')
  assert min(each) < found < max(each)
  np.testing.assert_allclose(found, special.softmax(softplus(-2.0) * np.array(each)) @ each, rtol=1e-5)


@pytest.mark.parametrize('objectives', [(-1.0, -0.5, -0.0, -2.0), (-1.0, -0.0, -1.0, -2.0), (-1.0, -0.5, 1.0, -2.0)])
def test_gmam_of_discriminators_without_a_doubt_is_one_line(objectives):
  with pytest.raises(UserError, match=r'gmam of the objectives .*: all must be below 0'):
    gmam(*objectives)


def _lines(game, batch):
  state = jax.eval_shape(lambda: core.init(game, ADAM, batch, KEY))
  count = 0
  with formulation('matmul'):
    for turn in game.turns:
      move = jax.jit(lambda state, batch, turn=turn: core.play(game, ADAM, turn, state, batch, KEY))
      count += len(move.lower(state, batch).as_text().splitlines())
  return count


@pytest.mark.slow
def test_more_players_make_no_larger_program():
  pictures = lambda count: {'images': {'image': jnp.zeros((count, 8, 8, 1))}, 'latents': jnp.zeros((count, 2))}
  generator = dcgan.Generator((4, 4), 1, kernel=4, base=2)
  one, five = (
    _lines(gman(n, generator, gman_nets.Discriminator((4, 4, 4)), keep=(0.4, 0.6)), pictures(10)) for n in (1, 5)
  )
  assert five < 1.5 * one
  one, eight = (_lines(madgan(k), some(4, maker=jnp.zeros(4, int))) for k in (1, 8))
  assert eight < 1.5 * one


class Told(nn.Module):
  """Logits x W, features 2 x."""

  classes: int = 3

  @nn.compact
  def __call__(self, x, *, train, features=False):
    logits = x @ self.param('w', nn.initializers.normal(1.0), (x.shape[1], self.classes))
    return (logits, 2 * x) if features else logits


def labelled(seed=0):
  random = np.random.RandomState(seed)
  image = lambda n: jnp.asarray(random.randn(n, 2), jnp.float32)
  streams = {'labelled': {'image': image(3), 'label': jnp.array([0, 2, 1])}, 'unlabelled': {'image': image(5)}}
  return {**streams, 'latents': image(4)}


@pytest.mark.parametrize('form', ['salimans', 'odena'])
def test_semi_supervised_losses_by_hand(form):
  odena, batch = form == 'odena', labelled()
  game = SemiSupervised(Linear(2), Told(3 + odena), Normal((2,)), 3, form=form, weight=0.7)
  params = core.assemble(jitted.init(game, ADAM, batch, KEY).players)['params']
  w, made = np.asarray(params['discriminator']['w']), np.asarray(batch['latents'] @ params['generator']['w'])
  x, known = np.asarray(batch['unlabelled']['image']), np.asarray(batch['labelled']['image'])
  # Salimans' logit of a fake is 0.
  whole = lambda x: x @ w if odena else np.concatenate([x @ w, np.zeros((len(x), 1))], -1)
  fake_share = lambda x: np.exp(log_softmax(whole(x))[:, -1])
  supervised = -log_softmax(known @ w)[[0, 1, 2], [0, 2, 1]].mean()
  unsupervised = -np.log(1 - fake_share(x)).mean() - np.log(fake_share(made)).mean()
  np.testing.assert_allclose(
    loss_of(game, params, batch, 'discriminator_loss'), supervised + 0.7 * unsupervised, rtol=1e-5
  )
  matching = (4 * (x.mean(0) - made.mean(0)) ** 2).mean()
  fooled = -np.log(1 - fake_share(made)).mean()
  np.testing.assert_allclose(loss_of(game, params, batch, 'generator_loss'), fooled if odena else matching, rtol=1e-5)
  told = game.apply({'params': params}, known, method='classify')
  np.testing.assert_allclose(told, (known @ w)[:, :3], rtol=1e-5)


def test_labels_alone_leave_the_generator_where_it_is():
  game, batch = SemiSupervised(Linear(2), Told(), Normal((2,)), 3, supervised=True), labelled()
  assert core.players_of(game) == ('discriminator', 'generator')
  state = jitted.init(game, {'discriminator': optax.sgd(0.1)}, batch, KEY)
  assert [turn.streams for turn in game.turns] == [('labelled',)]
  np.testing.assert_allclose(
    loss_of(game, core.assemble(state.players)['params'], batch, 'classifier_loss'),
    -log_softmax(batch['labelled']['image'] @ state.players['discriminator'].params['discriminator']['w'])[
      [0, 1, 2], [0, 2, 1]
    ].mean(),
    rtol=1e-5,
  )


def test_the_first_training_batch_sets_scale_and_offset_and_no_later_one():
  layer, x = DataScale(stddev=0.5), 3 + 2 * jax.random.normal(KEY, (64, 4))
  variables = layer.init(KEY, x, train=True)
  np.testing.assert_array_equal(layer.apply(variables, x, train=False), x)
  y, written = layer.apply(variables, x, train=True, mutable=['data_scale'])
  np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(y.std(0), 0.5, rtol=1e-4)
  later, again = layer.apply({**variables, **written}, 5 * x, train=True, mutable=['data_scale'])
  scale, shift = (written['data_scale'][name] for name in ('scale', 'shift'))
  np.testing.assert_allclose(later, 5 * x * scale[None] + shift[None], rtol=1e-4, atol=1e-4)
  jax.tree.map(np.testing.assert_array_equal, again, written)
  with pytest.raises(UserError, match='2 examples or more'):  # its deviation is 0, and would be kept
    layer.apply(variables, x[:1], train=True, mutable=['data_scale'])


def test_a_trained_scale_moves_the_scale_and_not_the_offset():
  """As the authors' y = g x + b, where the first batch sets both: a step of g does not depend on where it begins."""
  layer, x = DataScale(stddev=0.5, trained=True), 3 + 2 * jax.random.normal(KEY, (64, 4))
  variables = layer.init(KEY, x, train=True)
  _, written = layer.apply(variables, x, train=True, mutable=['data_scale'])
  scale, shift = (written['data_scale'][name] for name in ('scale', 'shift'))
  moved = jax.tree.map(lambda v: v + 0.25, variables['params'])
  y = layer.apply({'params': moved, **written}, x, train=False)
  np.testing.assert_allclose(y, x * (scale + 0.25)[None] + (shift + 0.25)[None], rtol=1e-5, atol=1e-5)


def test_a_running_average_has_the_scales_that_the_first_batch_set():
  class Scaled(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      return DataScale()(nn.Dense(3)(x), train=train)

  game, batch = SemiSupervised(Linear(2), Scaled(), Normal((2,)), 3, supervised=True), labelled()
  optimizers, ema = {'discriminator': optax.sgd(0.1)}, {'discriminator': 0.99}
  before = jitted.init(game, optimizers, batch, KEY, ema=ema)
  after, _ = jitted.play(game, optimizers, game.turns[0], before, batch, KEY, ema=ema)
  own, average = after.players['discriminator'], after.players['discriminator'].ema
  scales = lambda tree: tree['data_scale']['discriminator']['DataScale_0']
  assert np.all(np.abs(scales(own.variables)['scale'] - 1) > 0.05)  # the batch set them
  jax.tree.map(np.testing.assert_array_equal, scales(average['variables']), scales(own.variables))
  weights = lambda tree: tree['discriminator']['Dense_0']['kernel']
  start = weights(before.players['discriminator'].params)
  np.testing.assert_allclose(weights(average['params']), 0.99 * start + 0.01 * weights(own.params), rtol=1e-5)


def test_a_discriminator_of_other_than_the_form_s_logits_is_one_line():
  with pytest.raises(UserError, match=r"form='odena' of 3 classes takes 4 logits.*\(3,\).*discriminator.classes=4"):
    jitted.init(SemiSupervised(Linear(2), Told(3), Normal((2,)), 3, form='odena'), ADAM, labelled(), KEY)


def test_the_convolution_without_borders_is_scaled_by_what_it_keeps():
  """Weight norm's start is from the data inside; a border that was cut off afterwards would count."""
  sizes = []

  def record(call, arguments, keywords, context):
    if isinstance(context.module, DataScale) and arguments[0].ndim == 4:
      sizes.append(arguments[0].shape[1])
    return call(*arguments, **keywords)

  network = semi_supervised_nets.ConvDiscriminator(channels=(2, 2))
  with nn.intercept_methods(record):
    network.init({'params': KEY, 'dropout': KEY}, jnp.zeros((1, 32, 32, 3)), train=True)
  assert sizes == [32, 32, 16, 16, 16, 8, 6, 6, 6]
