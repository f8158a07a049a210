"""StyleGAN 2: the authors' sizes, styles, modulation, lazy penalties, truncation."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import config as config_lib
from gan_jax import core
from gan_jax.augment.augmentations import Adaptive
from gan_jax.base.errors import UserError
from gan_jax.config.build import build
from gan_jax.core.sampled import truncated
from gan_jax.core.state import GameState
from gan_jax.core.step import _play_if
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.standard import Standard
from gan_jax.games.stylegan2 import StyleGAN2
from gan_jax.latents.distributions import Normal
from gan_jax.nets import mlp, stylegan2
from gan_jax.nets.layers import filters, modulated
from gan_jax.nets.layers.conv import conv, formulation

KEY = jax.random.key(0)
KEYS = {'params': KEY, 'noise': KEY}
RANDOM = np.random.RandomState(0)


def arrays(*shape):
  return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
  ('variant', 'counts'), [('paper1024', (30_370_060, 29_012_513)), ('cifar', (19_947_539, 20_720_641))]
)
def test_networks_are_as_large_as_the_authors(variant, counts):
  """As counted in their PyTorch networks."""
  game = config_lib.load(f'configs/stylegan2.py:{variant}').game.to_dict()
  size, found = game['generator']['resolution'], []
  for name, given in (('generator', jnp.ones((1, 512))), ('discriminator', jnp.ones((1, size, size, 3)))):
    network = build(game[name], home='gan_jax.nets')
    variables = jax.eval_shape(lambda network=network, given=given: network.init(KEYS, given, train=True))
    found.append(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params'])))
  assert tuple(found) == counts


def test_filters_are_those_between_zeros():
  x, taps = arrays(6, 8), np.array([1.0, 2, 4, 1]) / 8
  spread = np.zeros((12, 16))
  spread[::2, ::2] = x
  each = lambda x, pads: np.apply_along_axis(lambda row: np.convolve(np.pad(row, pads), taps, 'valid'), 1, x)
  both = lambda x, pads: each(each(x, pads).T, pads).T
  np.testing.assert_allclose(
    filters.enlarged(jnp.asarray(x[None, ..., None]), taps)[0, ..., 0], 4 * both(spread, (2, 1)), atol=1e-5
  )
  np.testing.assert_allclose(
    filters.reduced(jnp.asarray(x[None, ..., None]), taps)[0, ..., 0], both(x, (1, 1))[::2, ::2], atol=1e-5
  )
  with pytest.raises(UserError, match='a filter of 4 taps does not fit into 3 pixels'):
    filters.filtered(jnp.ones((1, 3, 3, 1)), taps, 1)


@pytest.mark.parametrize('window', [1, 5])
def test_only_a_window_of_three_doubles_the_size(window):
  layer = modulated.ModulatedConv(4, window=window, up=True)
  with pytest.raises(UserError, match=f'window={window} of ModulatedConv with up=True'):
    layer.init(KEY, jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 6)))


@pytest.mark.parametrize('up', [False, True])
def test_modulation_is_of_each_examples_weights(up):
  """As the paper has it: weights of each example's own, brought to a norm of 1."""
  layer, x, w = modulated.ModulatedConv(5, up=up), arrays(2, 4, 4, 3), arrays(2, 6)
  variables = layer.init(KEY, x, w)
  params = variables['params']
  style = w @ (np.asarray(params['affine']['kernel']) / 6**0.5) + np.asarray(params['affine']['bias'])
  for i in range(2):
    kernel = np.asarray(params['kernel']) * style[i][None, None, :, None]
    kernel = kernel / np.sqrt((kernel**2).sum((0, 1, 2), keepdims=True))
    one = filters.enlarged(jnp.asarray(x[i : i + 1])) if up else x[i : i + 1]
    # Filter and convolution change places but at the edge.
    expected = jax.lax.conv_general_dilated(
      one, kernel[::-1, ::-1] if up else kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    inner = np.s_[2:-2, 2:-2] if up else np.s_[:, :]
    np.testing.assert_allclose(layer.apply(variables, x, w)[i][inner], expected[0][inner], atol=1e-4)


GENERATOR = stylegan2.Generator(8, (8, 8), 1, units=6, layers=1, mixing=1.0)


@pytest.fixture(scope='module')
def made():
  z = arrays(64, 6)
  return z, jax.jit(lambda: GENERATOR.init(KEYS, z, train=True))()


def styles(network, variables, z, train, **options):
  return network.apply(variables, z, train=train, method='styles', rngs=KEYS, **options)


def test_styles_are_mixed_from_one_layer_on(made):
  z, variables = made
  pure = styles(GENERATOR, variables, z, False)
  mixed, written = styles(GENERATOR, variables, z, True, mutable=['averages'])
  same = np.asarray((pure == mixed).all(-1))
  assert pure.shape == (64, 4, 6) and same[:, 0].all() and not same[:, -1].any()
  firsts = same.sum(1)
  assert set(firsts) == {1, 2, 3} and all(
    (row == (np.arange(4) < n)).all() for row, n in zip(same, firsts, strict=True)
  )
  never = GENERATOR.clone(mixing=0.0)
  np.testing.assert_array_equal(styles(never, variables, z, True), pure)
  often = GENERATOR.clone(mixing=0.5)
  share = (np.asarray(styles(often, variables, z, True)) == pure).all((1, 2)).mean()
  assert 0.25 < share < 0.75
  np.testing.assert_allclose(written['averages']['w'], 0.005 * pure[:, 0].mean(0), rtol=1e-4, atol=1e-7)


def test_truncation_pulls_styles_to_their_mean(made):
  z, variables = made
  variables = {**variables, 'averages': {'w': jnp.arange(6.0)}}
  pure = np.asarray(styles(GENERATOR, variables, z, False))
  near = np.arange(6.0) + 0.3 * (pure - np.arange(6.0))
  np.testing.assert_allclose(styles(GENERATOR.clone(truncation=0.3), variables, z, False), near, rtol=1e-5, atol=1e-6)
  cut = np.where(np.arange(4)[None, :, None] < 2, near, pure)
  np.testing.assert_allclose(
    styles(GENERATOR.clone(truncation=0.3, cutoff=2), variables, z, False), cut, rtol=1e-5, atol=1e-6
  )


def test_a_run_s_truncation_is_that_of_styles():
  game = StyleGAN2(GENERATOR, stylegan2.Discriminator(8, (8, 8)), Normal((6,)))
  found, latents = truncated(game, 0.7)
  assert found.generator.truncation == 0.7 and latents == Normal((6,))
  assert truncated(game, 0.0)[0].generator.truncation == 1
  with pytest.raises(UserError, match='must be a finite number above 0'):
    truncated(game, -1.0)


def test_the_penalty_is_of_data_before_they_are_augmented():
  """A discriminator 3 x of pictures three times as bright: the gradient is 9, not 3."""

  class Judge(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      return self.param('w', nn.initializers.constant(3.0), ()) * x.sum((1, 2, 3))

  class Bright(Adaptive):
    def __call__(self, key, images, probability):
      return 3 * images

  settings = dict(penalty=GradientPenalty(0.5, 'real', 0.0, every=2), augment=Bright(), path_weight=0.0)
  game = StyleGAN2(mlp.Generator((2,), (1, 1, 1), 'tanh'), Judge(), Normal((3,)), **settings)
  batch = {'images': {'image': jnp.ones((2, 1, 1, 1))}, 'latents': jnp.ones((2, 3))}
  tables = {'table': {'augment_probability': jnp.zeros(()), 'augment_overfitting': jnp.zeros(())}}
  variables = {'params': {'discriminator': {'w': jnp.float32(3.0)}}, **tables}
  of_data = game.apply(variables, batch, method='penalty_loss', rngs=KEYS, mutable=['table'])[0]
  assert float(of_data) == 0.5 * 2 * 81
  with pytest.raises(UserError, match=r'path length needs stylegan2\.Generator, not Generator: set path_weight=0'):
    core.init(game.clone(path_weight=1.0), {n: optax.sgd(0.1) for n in ('generator', 'discriminator')}, batch, KEY)


@pytest.mark.parametrize(('kind', 'branches'), [('matmul', 1), ('xla', 0)])
def test_lazy_moves_are_branches_where_convolutions_are_products(kind, branches):
  """So that a step without them costs less on one CPU device; elsewhere a CPU always plays them."""

  def move(state):
    total = lambda kernel: conv(jnp.ones((1, 4, 4, 1)), kernel).sum()
    return state.replace(step=state.step + jax.grad(total)(jnp.ones((3, 3, 1, 1))).sum().astype(jnp.int32)), {}

  lazy = lambda due, step: _play_if(due, move, GameState(step, {}, {}, {}))[0].step
  with formulation(kind):
    jaxpr = jax.make_jaxpr(lazy)(True, jnp.int32(0))
    assert sum(e.primitive.name == 'cond' for e in jaxpr.eqns) == branches
    assert [int(jax.jit(lazy)(due, jnp.int32(1))) for due in (True, False)] == [101, 1]


def test_the_probability_moves_by_the_signs_of_several_moves():
  """The authors' rule: every 4 moves, by the sign of (mean sign - target) times the pictures of these moves."""

  class Judge(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      return x.sum((1, 2, 3)) + 0.0 * self.param('w', nn.initializers.zeros, ())

  class Still(Adaptive):
    def __call__(self, key, images, probability):
      return images

  game = Standard(
    mlp.Generator((2,), (1, 1, 1), 'tanh'), Judge(), Normal((3,)), augment=Still(speed=100, every=4, target=0.2)
  )
  tables = {f'augment_{name}': jnp.zeros(()) for name in ('probability', 'overfitting', 'moves')}
  state = {'table': tables | {'augment_probability': jnp.float32(0.5)}}
  z = jnp.ones((2, 3))
  params = jax.jit(
    lambda: game.init(KEYS, {'images': {'image': jnp.ones((2, 1, 1, 1))}, 'latents': z}, method='sample')
  )()
  params = {'params': {**params['params'], 'discriminator': {'w': jnp.zeros(())}}}
  clock = {'clock': {'now': None, 'parts': 1}}

  @jax.jit
  def move(state, image):
    batch = {'images': {'image': image}, 'latents': z}
    return game.apply({**params, **state, **clock}, batch, method='discriminator_loss', rngs=KEYS, mutable=['table'])[1]

  signs = [(1, 1), (1, -1), (-1, -1), (1, 1)] + [(1, -1)] * 4 + [(1, 1)] * 5  # means 0.25, 0 and 1
  found = []
  for pair in signs:
    state = move(state, jnp.array(pair, jnp.float32).reshape(2, 1, 1, 1))
    found.append(float(state['table']['augment_probability']))
  assert found == pytest.approx([0.5] * 4 + [0.58] * 4 + [0.5] * 4 + [0.58], abs=1e-6)
  with pytest.raises(UserError, match='every=0'):
    Adaptive(every=0)
  with pytest.raises(UserError, match="unknown group of adaptive augmentation 'color'"):
    Adaptive(groups=('color',))
