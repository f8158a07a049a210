"""Optax links, and games whose behaviour theory predicts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from precision import float64

from gan_jax import core, losses
from gan_jax.base.errors import UserError
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Normal
from gan_jax.nets import mlp
from gan_jax.nets.copies import Copies
from gan_jax.nets.layers import conv
from gan_jax.optim import dynamics, minimax, schedules

KEY = jax.random.key(0)


class Point(nn.Module):
  """A player with one number."""

  start: float

  @nn.compact
  def __call__(self):
    return self.param('value', lambda key: jnp.asarray(self.start))


class Bilinear(nn.Module):
  """min over x, max over y of x y."""

  x: nn.Module
  y: nn.Module
  simultaneous: bool = True
  latents: None = None

  @property
  def turns(self):
    if self.simultaneous:
      return (core.Turn(('x', 'y'), 'value'),)
    return (core.Turn(('x',), 'value'), core.Turn(('y',), 'value'))

  def value(self, batch):
    return self.x() * self.y()

  def sample(self, batch):
    return self.x()


class Dirac(nn.Module):
  """Data at 0, a generator at x, a discriminator of slope y: Mescheder et al. 2018, definition 2.1."""

  x: nn.Module
  y: nn.Module
  gamma: float = 0.0
  latents: None = None
  turns = (core.Turn(('x',), 'generator_loss'), core.Turn(('y',), 'discriminator_loss'))

  def discriminator_loss(self, batch):
    slope = self.y()
    r1 = 0.5 * self.gamma * slope**2
    return losses.minimax.discriminator(jnp.zeros(1), (slope * self.x())[None]) + r1

  def generator_loss(self, batch):
    return losses.minimax.generator((self.y() * self.x())[None])

  def sample(self, batch):
    return self.x()


@pytest.mark.parametrize(('name', 'setting'), [('extragradient', 'rate'), ('consensus', 'weight')])
def test_a_rule_that_lacks_a_setting_is_told_at_once(name, setting):
  with pytest.raises(UserError, match=f'{name} needs {setting}: set config.game.dynamics.{setting}'):
    dynamics.rule(of=name)


def test_a_ramp_of_no_steps_is_refused():
  with pytest.raises(UserError, match='steps=0 of the schedule cosine'):
    schedules.cosine(0.0, 1.0, 0)
  assert float(jax.jit(lambda steps: schedules.cosine(0.0, 1.0, steps)(3))(10)) > 0  # a population varies it


def trajectory(game, optimizers, steps):
  """(steps + 1, 2): the two numbers along play."""
  state = core.init(game, optimizers, {}, KEY)
  step = jax.jit(core.make_step(game, optimizers, streams=(), latents_batch=1))
  points = [[float(state.players[name].params[name]['value']) for name in ('x', 'y')]]
  for _ in range(steps):
    state, _ = step(state, {}, KEY)
    points.append([float(state.players[name].params[name]['value']) for name in ('x', 'y')])
  return np.array(points)


def norms(points):
  return np.linalg.norm(points, axis=-1)


def test_bilinear_simultaneous_descent_grows_at_its_rate():
  rate = 0.1
  optimizers = {'x': optax.sgd(rate), 'y': minimax.ascend(optax.sgd(rate))}
  radius = norms(trajectory(Bilinear(Point(1.0), Point(1.0)), optimizers, 50))
  np.testing.assert_allclose(radius[1:] / radius[:-1], np.sqrt(1 + rate**2), rtol=1e-5)


def test_bilinear_alternating_descent_stays_on_its_ellipse():
  rate = 0.1
  optimizers = {'x': optax.sgd(rate), 'y': minimax.ascend(optax.sgd(rate))}
  points = trajectory(Bilinear(Point(1.0), Point(1.0), simultaneous=False), optimizers, 200)
  x, y = points.T
  # x' = x - r y, y' = y + r x' keeps x^2 + y^2 - r x y.
  invariant = x**2 + y**2 - rate * x * y
  np.testing.assert_allclose(invariant, invariant[0], rtol=1e-4)


def test_bilinear_optimistic_descent_converges_at_its_rate():
  rate = 0.3
  optimistic = optax.optimistic_gradient_descent(rate)
  optimizers = {'x': optimistic, 'y': minimax.ascend(optax.optimistic_gradient_descent(rate))}
  radius = norms(trajectory(Bilinear(Point(1.0), Point(1.0)), optimizers, 120))
  # z' = z - 2 r J z + r J z_before with J's eigenvalues +-i: the larger root of l^2 - (1 - 2 r i) l - r i.
  roots = np.roots([1, -(1 - 2j * rate), -1j * rate])
  expected = np.abs(roots).max()
  assert expected < 1
  np.testing.assert_allclose((radius[120] / radius[60]) ** (1 / 60), expected, rtol=1e-3)


def test_dirac_circles_without_a_penalty_and_converges_with_r1():
  optimizers = {'x': optax.sgd(0.1), 'y': optax.sgd(0.1)}
  free = norms(trajectory(Dirac(Point(1.0), Point(1.0)), optimizers, 300))
  held = norms(trajectory(Dirac(Point(1.0), Point(1.0), gamma=1.0), optimizers, 300))
  assert free[-100:].min() > 0.5
  assert held[-1] < 1e-3


def test_ascend_negates_and_clip_weights_clips():
  params = {'w': jnp.array([0.5, -0.5])}
  chain = optax.chain(minimax.ascend(optax.sgd(1.0)), minimax.clip_weights(0.6))
  updates, _ = chain.update({'w': jnp.array([1.0, 0.02])}, chain.init(params), params)
  np.testing.assert_allclose(optax.apply_updates(params, updates)['w'], [0.6, -0.48], rtol=1e-6)
  with pytest.raises(ValueError, match='must be positive'):
    minimax.clip_weights(0.0)


@pytest.mark.parametrize('dampened', [False, True])
@pytest.mark.parametrize('decays', [[0.5, 0.6, 0.7], [0.6, 0.6, 0.6]])
def test_momentum_by_hand(dampened, decays):
  rates = [0.1, 0.05, 0.025]
  momentum = optax.linear_schedule(0.5, 0.7, 2) if decays[0] == 0.5 else 0.6
  tx = minimax.momentum(optax.exponential_decay(0.1, 1, 0.5), momentum, dampened)
  params = jnp.zeros(())
  state, velocity = tx.init(params), 0.0
  for rate, decay, gradient in zip(rates, decays, [1.0, 2.0, -1.0], strict=True):
    update, state = tx.update(jnp.asarray(gradient), state, params)
    velocity = decay * velocity - rate * gradient * (1 - decay if dampened else 1)
    np.testing.assert_allclose(update, velocity, rtol=1e-5)


@pytest.mark.parametrize('make', [minimax.adam, lambda rate: minimax.momentum(0.1, rate, dampened=True)])
def test_a_number_of_the_settings_holds_in_an_older_state(make):
  """A resumed run, or a later stage, whose learning rate or momentum is another: as if it had been so in the state."""
  params = {'w': jnp.arange(3.0)}
  old, new = make(0.5), make(0.25)
  after = lambda tx, state: tx.update(params, tx.update(params, state, params)[1], params)
  update, state = after(new, old.init(params))
  jax.tree.map(np.testing.assert_array_equal, (update, state), after(new, new.init(params)))
  assert jax.tree.structure(state) == jax.tree.structure(old.init(params)), 'older checkpoints fit'
  assert not np.allclose(update['w'], after(old, old.init(params))[0]['w'])
  # A number of a population is traced; a whole number stays one.
  each = jax.vmap(lambda rate: after(make(rate), old.init(params))[0]['w'])(jnp.array([0.5, 0.25]))
  np.testing.assert_allclose(each[1], update['w'], rtol=1e-6)
  zero = make(0)
  assert jax.tree.map(jnp.result_type, after(zero, zero.init(params))[1]) == jax.tree.map(
    jnp.result_type, zero.init(params)
  )


def kernels(count=None):
  """A network of two dense layers, or copies of it, and what else a player may have."""
  random = np.random.RandomState(0)
  draw = lambda *shape: jnp.asarray(random.randn(*(() if count is None else (count,)), *shape), jnp.float32)
  layers = {f'Dense_{i}': {'kernel': draw(*shape), 'bias': draw(shape[1])} for i, shape in enumerate([(4, 4), (4, 2)])}
  return {'network': {**layers, 'Conv_0': {'kernel': draw(3, 3, 2, 4)}, 'gamma': draw()}}


LINKS = [minimax.max_column_norm(1.0), minimax.orthogonal(0.5), minimax.orthogonal(0.5, off_diagonal=False)]


@pytest.mark.parametrize('tx', LINKS)
def test_each_copy_of_a_network_is_bounded_and_pulled_by_itself(tx):
  move = jax.jit(lambda params: tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)[0])
  copies, free = kernels(3), {'critic': {'network': {'w': jnp.full((2, 2), 3.0)}}}
  together = move({'critics': copies, **free})
  for i in range(3):
    alone = move(jax.tree.map(lambda x, i=i: x[i], copies))
    jax.tree.map(
      lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5, atol=1e-6), together['critics'], alone
    )
  assert np.abs(together['critics']['network']['Dense_0']['kernel']).max((1, 2)).min() > 0
  assert not np.any(together['critics']['network']['Dense_0']['bias'])
  jax.tree.map(np.testing.assert_array_equal, together['critic'], move(free)['critic'])
  # Copies of copies; and the tree of the module itself.
  twice = move({'network': jax.tree.map(lambda x: x[None], copies)})
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x[0], y, rtol=1e-5), twice['network'], together['critics'])
  net = Copies(mlp.Discriminator((4,)), 3)
  params = net.init(KEY, jnp.ones((3, 2, 2)), train=True)['params']
  full = jax.tree.map(lambda x: jnp.full(x.shape, 2.0), params)
  for path, moved in jax.tree_util.tree_leaves_with_path(move(full)):
    assert path[-1].key == 'kernel' or not np.any(moved)


def test_without_copies_columns_and_pulls_are_what_they_were():
  """Bit by bit, also of a network whose name is `network` and whose layers are all as wide as they are deep.

  But a bias goes free, however many axes it has.
  """
  params = {**kernels(), 'square': {'network': {'kernel': jnp.full((2, 2), 3.0), 'bias': jnp.ones(2)}}}
  params['table'] = {'embedding': jnp.full((5, 4), 0.7), 'bias': jnp.ones((1, 4))}
  zeros = jax.tree.map(jnp.zeros_like, params)

  def column(p):
    return p * jnp.minimum(1.0, 1.0 / jnp.maximum(jnp.sqrt(jnp.square(p).sum(0, keepdims=True)), 1e-7)) - p

  def pull(p):
    penalty = lambda w: 0.5 * jnp.sum((w.T @ w * (1 - jnp.eye(w.shape[-1]))) ** 2)
    return jax.grad(lambda p: penalty(p.reshape(-1, p.shape[-1])))(p)

  for tx, chosen, expected in ((LINKS[0], lambda p: p.ndim == 2, column), (LINKS[1], lambda p: p.ndim > 1, pull)):
    moved = tx.update(zeros, tx.init(params), params)[0]
    wanted = jax.tree.map(lambda p, c=chosen, e=expected: e(p) if c(p) else jnp.zeros_like(p), params)
    wanted['table']['bias'] = jnp.zeros((1, 4))
    jax.tree.map(np.testing.assert_array_equal, moved, wanted)


def game_and_data(dtype):
  game = Standard(
    mlp.Generator(hidden=(8,), shape=(2,), output='identity'), mlp.Discriminator(hidden=(8,)), latents=Normal((3,))
  )
  data = np.random.RandomState(0).randn(6, 16, 2).astype(dtype)
  return game, data


@pytest.mark.parametrize('discriminator_steps', [pytest.param(1, marks=pytest.mark.slow), 2])
def test_alternate_in_a_foreign_loop_equals_play_bit_for_bit(discriminator_steps):
  """Given the same gradients: those that play computed, seen by a spy in the optimizers' place.

  Operation by operation: compiled, two programs may round a multiply-add once or twice.
  """
  game, data = game_and_data(np.float32)
  optimizers = {'generator': optax.adam(1e-2, b1=0.5), 'discriminator': optax.rmsprop(1e-2)}
  batch = lambda i: {
    'images': {'image': jnp.asarray(data[i])},
    'latents': jax.random.normal(jax.random.key(i), (16, 3)),
  }
  state = core.init(game, optimizers, batch(0), KEY)
  foreign = {name: state.players[name].params for name in optimizers}
  tx = minimax.alternate(**optimizers, discriminator_steps=discriminator_steps)
  foreign_state = tx.init(foreign)
  turns = {turn.movers[0]: turn for turn in game.turns}

  cycle = ['discriminator'] * discriminator_steps + ['generator']
  recorded = {}
  spy = {name: recording(tx_, recorded, name) for name, tx_ in optimizers.items()}
  with jax.disable_jit():
    for i, name in enumerate(cycle * 3):
      state, _ = core.play(game, spy, turns[name], state, batch(i % 6), jax.random.key(i))
      others = {k: jax.tree.map(jnp.ones_like, v) for k, v in foreign.items() if k != name}
      updates, foreign_state = tx.update({name: recorded[name], **others}, foreign_state, foreign)
      foreign = optax.apply_updates(foreign, updates)
      for player in optimizers:
        jax.tree.map(np.testing.assert_array_equal, foreign[player], state.players[player].params)


def recording(tx, recorded, name):
  def update(grads, state, params=None):
    recorded[name] = grads
    return tx.update(grads, state, params)

  return optax.GradientTransformation(tx.init, update)


@pytest.mark.slow
def test_alternate_end_to_end_in_float64():
  """Somebody else's loop, which computes its own gradients from the pure losses, against play."""
  with float64():
    game, data = game_and_data(np.float64)
    widen = lambda tree: jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, tree)
    optimizers = {'generator': optax.adam(1e-2, b1=0.5), 'discriminator': optax.adam(1e-2, b1=0.5)}
    latents = lambda i: jax.random.normal(jax.random.key(i), (16, 3), jnp.float64)
    batch = lambda i: {'images': {'image': jnp.asarray(data[i % 6])}, 'latents': latents(i)}
    state = widen(core.init(game, optimizers, batch(0), KEY))
    foreign = {name: state.players[name].params[name] for name in optimizers}
    tx = minimax.alternate(**optimizers, discriminator_steps=2)
    foreign_state = tx.init(foreign)
    generate = lambda params, z: game.generator.apply({'params': params}, z, train=True)
    judge = lambda params, x: game.discriminator.apply({'params': params}, x, train=True)
    turns = {turn.movers[0]: turn for turn in game.turns}

    def discriminator_loss(discriminator, generator, x, z):
      return losses.nonsaturating.discriminator(judge(discriminator, x), judge(discriminator, generate(generator, z)))

    def generator_loss(generator, discriminator, z):
      return losses.nonsaturating.generator(judge(discriminator, generate(generator, z)))

    for i in range(12):
      name = ('discriminator', 'discriminator', 'generator')[i % 3]
      x, z = jnp.asarray(data[i % 6]), latents(i)
      grads = {
        'discriminator': jax.grad(discriminator_loss)(foreign['discriminator'], foreign['generator'], x, z),
        'generator': jax.grad(generator_loss)(foreign['generator'], foreign['discriminator'], z),
      }
      updates, foreign_state = tx.update(grads, foreign_state, foreign)
      foreign = optax.apply_updates(foreign, updates)
      state, _ = core.play(game, optimizers, turns[name], state, batch(i), jax.random.key(i))
    for player in optimizers:
      ours = state.players[player].params[player]
      jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), foreign[player], ours)
      assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(ours))


ROTATION = lambda p: {'x': p['y'], 'y': -p['x']}  # the gradients of min over x, max over y of x y


def radii(direction, rate, steps=40):
  """Distances from the equilibrium along p <- p - rate direction(field, p), from (1, 1)."""
  params, out = {'x': jnp.float32(1.0), 'y': jnp.float32(1.0)}, []
  for _ in range(steps):
    out.append(float(jnp.hypot(params['x'], params['y'])))
    params = jax.tree.map(lambda p, d: p - rate * d, params, direction(ROTATION, params))
  return np.array(out)


@pytest.mark.parametrize('rate', [0.1, 0.3])
def test_dynamics_of_the_bilinear_game_have_the_rates_of_theory(rate):
  # The field is a rotation J with eigenvalues +-i; each rule multiplies the distance by a known factor.
  factor = lambda direction: radii(direction, rate)[1:] / radii(direction, rate)[:-1]
  np.testing.assert_allclose(factor(dynamics.simultaneous), np.sqrt(1 + rate**2), rtol=1e-5)
  extra = lambda field, p: dynamics.extragradient(field, p, rate=rate)
  np.testing.assert_allclose(factor(extra), np.sqrt((1 - rate**2) ** 2 + rate**2), rtol=1e-5)
  agreed = lambda field, p: dynamics.consensus(field, p, weight=0.8)
  np.testing.assert_allclose(factor(agreed), np.sqrt((1 - 0.8 * rate) ** 2 + rate**2), rtol=1e-5)
  # A = J here, so A^T F = J^T J p = p: the same as consensus of weight 1.
  adjusted = lambda field, p: dynamics.symplectic(field, p)
  np.testing.assert_allclose(factor(adjusted), np.sqrt((1 - rate) ** 2 + rate**2), rtol=1e-5)


def test_optimistic_play_converges_at_its_rate():
  rate, tx = 0.2, minimax.optimistic(0.2)
  params = {'x': jnp.float32(1.0), 'y': jnp.float32(1.0)}
  state, out = tx.init(params), []
  for _ in range(200):
    updates, state = tx.update(ROTATION(params), state, params)
    params = optax.apply_updates(params, updates)
    out.append(float(jnp.hypot(params['x'], params['y'])))
  # z' = z - 2 rate J z + rate J z_before: the larger root of m^2 - (1 - 2 i rate) m - i rate = 0.
  roots = np.roots([1, -(1 - 2j * rate), -1j * rate])
  np.testing.assert_allclose((out[-1] / out[99]) ** (1 / 100), abs(roots).max(), rtol=1e-3)
  assert abs(roots).max() < 1


def test_negative_momentum_damps_alternating_play():
  """Alternating steps on x y: momentum 0 keeps the distance bounded, below zero it shrinks."""
  ends = {}
  for beta in (None, -0.5):
    tx = optax.sgd(0.3) if beta is None else minimax.negative_momentum(0.3, beta)
    x, y = jnp.float32(1.0), jnp.float32(1.0)
    states = [tx.init(x), tx.init(y)]
    for _ in range(300):
      update, states[0] = tx.update(y, states[0])
      x = x + update
      update, states[1] = tx.update(-x, states[1])
      y = y + update
    ends[beta] = float(jnp.hypot(x, y))
  # One round as a matrix on (x, y, velocity of x, velocity of y).
  move_x = np.array([[1, -0.3, -0.5, 0], [0, 1, 0, 0], [0, -0.3, -0.5, 0], [0, 0, 0, 1]])
  move_y = np.array([[1, 0, 0, 0], [0.3, 1, 0, -0.5], [0, 0, 1, 0], [0.3, 0, 0, -0.5]])
  expected = np.linalg.matrix_power(move_y @ move_x, 300) @ np.array([1, 1, 0, 0])
  np.testing.assert_allclose(ends[-0.5], np.hypot(*expected[:2]), rtol=1e-2)
  assert 0.5 < ends[None] < 3 and ends[-0.5] < 0.1
  with pytest.raises(ValueError, match='between -1 and 0'):
    minimax.negative_momentum(0.1, 0.5)


def test_symplectic_adjustment_keeps_a_potential_game_as_it_is():
  """The gradient field of one function has no antisymmetric part."""
  field = jax.grad(lambda p: p['x'] ** 2 + 3 * p['x'] * p['y'] + jnp.cos(p['y']))
  params = {'x': jnp.float32(0.3), 'y': jnp.float32(-0.7)}
  expected, adjusted = field(params), dynamics.symplectic(field, params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), adjusted, expected)


def test_symplectic_adjustment_of_convolutions_without_forward_mode():
  """Against J F by forward mode, which the plain formulation has, for a generator and a critic of its pictures."""
  z, real = np.random.RandomState(0).randn(2, 3, 4, 4, 2).astype(np.float32)
  draw = lambda seed, *shape: jnp.asarray(np.random.RandomState(seed).randn(*shape) / 4, jnp.float32)
  params = {'critic': draw(1, 3, 3, 2, 4), 'generator': draw(2, 3, 3, 2, 2)}

  def value(params):
    score = lambda x: jnp.tanh(conv.conv(x, params['critic'], (2, 2))).sum((1, 2, 3)).mean()
    return score(real) - score(conv.conv_transpose(z, params['generator'], (1, 1)))

  def field(params):
    gradient = jax.grad(value)(params)
    return {'critic': -gradient['critic'], 'generator': gradient['generator']}

  def expected(params):
    here, backward = jax.vjp(field, params)
    (transposed,), (_, forward) = backward(here), jax.jvp(field, (params,), (here,))
    return jax.tree.map(lambda f, t, j: f + 0.5 * (t - j), here, transposed, forward)

  with conv.formulation('plain'):
    answer = jax.jit(expected)(params)
  assert not np.allclose(answer['critic'], field(params)['critic'], rtol=1e-2)  # it is no potential game
  for name in conv.FORMULATIONS:
    with conv.formulation(name):
      adjusted = jax.jit(lambda p: dynamics.symplectic(field, p, align=False))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), adjusted, answer)


def test_lookahead_shrinks_simultaneous_play():
  slow = fast = {'x': jnp.float32(1.0), 'y': jnp.float32(1.0)}
  for step in range(1, 301):
    fast = jax.tree.map(lambda p, g: p - 0.3 * g, fast, ROTATION(fast))
    slow, fast = dynamics.lookahead(slow, fast, jnp.int32(step), every=5)
  # Five steps multiply z by (1 - 0.3 i)^5; half-way back by (1 + that) / 2.
  expected = np.sqrt(2) * abs((1 + (1 - 0.3j) ** 5) / 2) ** 60
  np.testing.assert_allclose(float(jnp.hypot(fast['x'], fast['y'])), expected, rtol=1e-3)
  assert expected < 0.5


def test_orthogonal_and_historical_links_against_finite_differences():
  w = np.random.RandomState(0).randn(2, 3, 4)
  params = {'kernel': jnp.asarray(w, jnp.float32), 'bias': jnp.ones(4)}
  zeros = jax.tree.map(jnp.zeros_like, params)
  for off_diagonal in (True, False):
    tx = minimax.orthogonal(0.1, off_diagonal=off_diagonal)
    updates, _ = tx.update(zeros, tx.init(params), params)
    m = w.reshape(-1, 4)
    gram = m.T @ m
    excess = gram * (1 - np.eye(4)) if off_diagonal else gram - np.eye(4)
    np.testing.assert_allclose(updates['kernel'], (0.1 * 4 * m @ excess).reshape(w.shape), rtol=1e-4, atol=1e-5)
    assert not jnp.any(updates['bias'])
  tx = minimax.orthogonal(0.1, skip=('shared',))
  tree = {'shared': {'weights': params}, 'block': params}
  nothing = {'shared': {'weights': zeros}, 'block': zeros}
  updates, _ = tx.update(nothing, tx.init(tree), tree)
  assert not jnp.any(updates['shared']['weights']['kernel']) and jnp.any(updates['block']['kernel'])
  # A bias may have as many axes as a kernel; a table of gains is pulled, as in BigGAN's code.
  tree = {'bias': params['kernel'], 'bias_0': params['kernel'], 'gain': {'weights': {'kernel': params['kernel']}}}
  updates, _ = tx.update(jax.tree.map(jnp.zeros_like, tree), tx.init(tree), tree)
  assert not (jnp.any(updates['bias']) or jnp.any(updates['bias_0'])) and jnp.any(updates['gain']['weights']['kernel'])
  tx = minimax.historical_averaging(0.5)
  state = tx.init(params)
  seen = []
  for factor in (1.0, 1.5, 1.5):  # the first weights are those of the first update
    params = jax.tree.map(lambda p, factor=factor: p * factor, params)
    seen.append(params)
    updates, state = tx.update(zeros, state, params)
    mean = jax.tree.map(lambda *p: sum(p) / len(p), *seen)
    jax.tree.map(lambda u, p, m: np.testing.assert_allclose(u, p - m, rtol=1e-4, atol=1e-5), updates, params, mean)


class Joint(Bilinear):
  """Both players at once, each on its own loss, by a rule."""

  dynamics: object = None

  @property
  def turns(self):
    own = {'x': 'x_loss', 'y': 'y_loss'}
    return (core.Turn(('x', 'y'), own, dynamics=self.dynamics),)

  def x_loss(self, batch):
    return self.x() * self.y()

  def y_loss(self, batch):
    return -self.x() * self.y()


@pytest.mark.parametrize(
  ('rule', 'factor'),
  [
    (None, np.sqrt(1 + 0.04)),
    (dynamics.rule(of='simultaneous'), np.sqrt(1 + 0.04)),
    (dynamics.rule(of='extragradient', rate=0.2), np.sqrt((1 - 0.04) ** 2 + 0.04)),
    (dynamics.rule(of='consensus', weight=0.5), np.sqrt(0.9**2 + 0.04)),
  ],
)
def test_dynamics_inside_a_turn(rule, factor):
  tx = {'x': optax.sgd(0.2), 'y': optax.sgd(0.2)}
  points = trajectory(Joint(Point(1.0), Point(1.0), dynamics=rule), tx, 10)
  radius = np.hypot(*points.T)
  np.testing.assert_allclose(radius[1:] / radius[:-1], factor, rtol=1e-5)


def test_losses_of_a_joint_turn_are_one_each():
  class Half(Joint):
    turns = (core.Turn(('x', 'y'), {'x': 'x_loss'}),)

  with pytest.raises(UserError, match=r"moves \['x', 'y'\] but gives losses to \['x'\]"):
    core.init(Half(Point(1.0), Point(1.0)), {'x': optax.sgd(0.1), 'y': optax.sgd(0.1)}, {}, KEY)


def test_lookahead_moves_on_where_every_was_larger_before():
  params, state = jnp.float32(0.0), minimax.lookahead(10).init(jnp.float32(0.0))
  for _ in range(7):
    _, state = minimax.lookahead(10).update(jnp.float32(1.0), state, params)
  updates, state = minimax.lookahead(5, 0.5).update(jnp.float32(1.0), state, params)
  assert int(state.since) == 0 and float(updates) == 0.5


def test_lookahead_as_the_last_link_equals_the_rule():
  tx = {name: optax.chain(optax.sgd(0.3), minimax.lookahead(5, 0.5)) for name in ('x', 'y')}
  params = {'x': jnp.float32(1.0), 'y': jnp.float32(1.0)}
  states = {name: tx[name].init(params[name]) for name in tx}
  slow = fast = params
  for step in range(1, 23):
    gradients, new = ROTATION(params), {}
    for name in tx:
      update, states[name] = tx[name].update(gradients[name], states[name], params[name])
      new[name] = params[name] + update
    params = new
    fast = jax.tree.map(lambda p, g: p - 0.3 * g, fast, ROTATION(fast))
    slow, fast = dynamics.lookahead(slow, fast, jnp.int32(step), every=5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), params, fast)


def test_what_optimizers_cannot_do_is_one_line():
  one = jnp.ones(())
  for tx in (minimax.clip_weights(0.1), minimax.max_column_norm(1.0), minimax.orthogonal(0.1),
             minimax.historical_averaging(0.1), minimax.lookahead(2)):  # fmt: skip
    with pytest.raises(UserError, match=r'call tx.update'):
      tx.update(one, tx.init(one))
  with pytest.raises(UserError, match='keep them in float32'):  # b2 would be 1
    minimax.adam(1e-3).init({'w': one.astype(jnp.bfloat16)})
  with pytest.raises(ValueError, match='whole number'):
    minimax.alternate(generator=optax.sgd(1.0), discriminator=optax.sgd(1.0), discriminator_steps=1.5)
  with pytest.raises(UserError, match='every=0'):
    dynamics.lookahead(one, one, jnp.int32(5), every=0)
