"""Networks and layers against independent answers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.nets import dcgan, mlp
from gan_jax.nets.layers import basic as layers

KEY = jax.random.key(0)


def test_batch_norm_against_numpy_and_far_from_zero():
  x = 1e4 + np.random.RandomState(0).randn(64, 3).astype(np.float32)
  layer = layers.BatchNorm()
  variables = layer.init(KEY, x, train=True)
  y, written = layer.apply(variables, x, train=True, mutable=['batch_stats'])
  wide = x.astype(np.float64)
  np.testing.assert_allclose(y, (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5), atol=5e-3)
  stats = jax.tree.map(np.asarray, written['batch_stats']['norm'])
  np.testing.assert_allclose(stats['mean'], 0.1 * wide.mean(0), rtol=1e-5)
  np.testing.assert_allclose(stats['var'], 0.9 + 0.1 * wide.var(0), rtol=1e-2)
  np.testing.assert_allclose(
    layer.apply({**variables, **written}, x, train=False),
    (wide - stats['mean']) / np.sqrt(stats['var'] + 1e-5),
    rtol=1e-3,
  )


def test_standardised_is_flax_batch_norm_gain_bias_epsilon_and_gradients():
  ours, theirs = layers.Standardised(0.8, 1e-2, nn.initializers.normal()), nn.BatchNorm(momentum=0.8, epsilon=1e-2)
  x = 0.1 * jax.random.normal(KEY, (6, 5, 5, 3))
  variables = ours.init(KEY, x, train=True)
  assert jax.tree.structure(variables) == jax.tree.structure(theirs.init(KEY, x, use_running_average=False))

  def value(apply, params, x, **mode):
    y, written = apply({**variables, 'params': params}, x, **mode, mutable=['batch_stats'])
    return jnp.sum(y**3), (y, written)

  for train in (True, False):
    a = lambda p, x, train=train: value(ours.apply, p, x, train=train)
    b = lambda p, x, train=train: value(theirs.apply, p, x, use_running_average=not train)
    found, wanted = (jax.value_and_grad(f, (0, 1), has_aux=True)(variables['params'], x) for f in (a, b))
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=1e-4, atol=1e-6), found, wanted)


def test_maxout_is_the_largest_piece():
  layer = layers.Maxout(2, 3)
  x = jax.random.normal(KEY, (5, 4))
  params = layer.init(KEY, x)
  dense = params['params']['Dense_0']
  pieces = np.asarray(x) @ np.asarray(dense['kernel']) + np.asarray(dense['bias'])
  expected = np.stack([pieces[:, :3].max(-1), pieces[:, 3:].max(-1)], -1)
  np.testing.assert_allclose(layer.apply(params, x), expected, rtol=1e-5)


def count(config, player):
  (stage,) = runs.stages_of(config_lib.load(config))
  state = jax.eval_shape(lambda key: runs.new_state(stage, key), KEY)
  return sum(leaf.size for leaf in jax.tree.leaves(state.players[player].params))


def test_dcgan_has_the_papers_parameters():
  # Figure 1: 100 -> 4x4x1024 -> 8x8x512 -> 16x16x256 -> 32x32x128 -> 64x64x3, windows 5x5, no biases before batch norm.
  widths = [1024, 512, 256, 128]
  norms = 2 * sum(widths)
  convolutions = sum(25 * a * b for a, b in zip(widths, [*widths[1:], 3], strict=True)) + 3
  assert count('configs/dcgan.py', 'generator') == 100 * 16 * 1024 + norms + convolutions
  # Its mirror: no batch norm in the first layer, which has a bias, then one logit from 4x4x1024.
  convolutions = sum(25 * a * b for a, b in zip([3, 128, 256, 512], widths[::-1], strict=True)) + 128
  assert count('configs/dcgan.py', 'discriminator') == convolutions + 2 * (1024 + 512 + 256) + 16 * 1024 + 1


def test_gan_2014_has_the_papers_networks():
  # generator 100-1200-1200-784; discriminator 240 maxout units of 5 pieces, twice, then one logit.
  assert count('configs/gan.py', 'generator') == 101 * 1200 + 1201 * 1200 + 1201 * 784
  assert count('configs/gan.py', 'discriminator') == 785 * 1200 + 241 * 1200 + 241


def test_gan_2014_has_the_authors_networks_for_cifar_10():
  fc, conv = 'configs/gan.py:cifar10_fc', 'configs/gan.py:cifar10_conv'
  assert count(fc, 'generator') == 101 * 8000 + 8001 * 8000 + 8001 * 3072
  assert count(fc, 'discriminator') == 3073 * 8000 + 1601 * 8000 + 1601
  # A bias for every pixel of the picture; maxout convolutions of 2 pieces, a dense layer of 500 units of 5.
  assert count(conv, 'generator') == 101 * 8000 + 8001 * 8000 + 25 * 80 * 3 + 3072
  convolutions = (64 * 3 + 1) * 64 + (64 * 32 + 1) * 64 + (25 * 32 + 1) * 384
  assert count(conv, 'discriminator') == convolutions + (4 * 4 * 192 + 1) * 2500 + 501


def test_the_networks_of_conditional_systems():
  # CGAN, section 4.1: 100 -> 200 and 10 -> 1000 into 1200; 784 -> 240 x 5 and 10 -> 50 x 5 into 240 x 4.
  assert count('configs/cgan.py', 'generator') == 101 * 200 + 11 * 1000 + 1201 * 1200 + 1201 * 784
  assert count('configs/cgan.py', 'discriminator') == 785 * 1200 + 11 * 250 + 291 * 960 + 241
  # InfoGAN, appendix C.1: 74 -> 1024 -> 7x7x128 -> 14x14x64 -> 28x28, gain and bias for each normed width or unit.
  generator = 74 * 1024 + 1024 * 6272 + 16 * 128 * 64 + 16 * 64 + 1 + 2 * (1024 + 6272 + 64)
  assert count('configs/infogan.py', 'generator') == generator
  trunk = 16 * 64 + 64 + 16 * 64 * 128 + 6272 * 1024 + 1025 + 2 * (128 + 1024)
  assert count('configs/infogan.py', 'discriminator') == trunk + 1024 * 128 + 2 * 128 + 129 * 12


def test_dcgan_shapes_and_ranges():
  generator = dcgan.Generator((16, 8), 1, kernel=4, base=3, output='sigmoid')
  images, _ = generator.init_with_output(KEY, jnp.ones((2, 5)), train=True)
  assert images.shape == (2, 12, 12, 1) and images.min() >= 0 and images.max() <= 1
  for outputs, shape in ((1, (2,)), (2, (2, 2))):
    logits, _ = dcgan.Discriminator((8, 16), outputs=outputs).init_with_output(KEY, images, train=True)
    assert logits.shape == shape


def test_dcgan_norms_the_projection_by_channel_or_by_unit():
  z = np.random.RandomState(0).randn(6, 5).astype(np.float32)
  for norm, axes in (('channel', (0, 1, 2)), ('unit', 0)):
    generator = dcgan.Generator((2,), 1, base=3, project_norm=norm)
    variables = generator.init(KEY, z, train=True)
    of = variables['params']
    places = (z @ np.asarray(of['project']['kernel'])).reshape(6, 3, 3, 2)
    scale, bias = (
      np.asarray(of['BatchNorm_0']['norm'][key]).reshape((3, 3, 2) if axes == 0 else 2) for key in ('scale', 'bias')
    )
    expected = (places - places.mean(axes)) / np.sqrt(places.var(axes) + 1e-5) * scale + bias
    _, seen = generator.apply(
      variables, z, train=True, capture_intermediates=True, mutable=['intermediates', 'batch_stats']
    )
    found = seen['intermediates']['BatchNorm_0']['__call__'][0].reshape(6, 3, 3, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
  with pytest.raises(UserError, match='project_norm'):
    dcgan.Generator((2,), project_norm='units').init(KEY, z, train=True)
  with pytest.raises(UserError, match=r'initializer of the generator.*normal'):
    dcgan.Generator((2,), initializer='xavier').init(KEY, z, train=True)


def test_dropout_only_in_training():
  net = mlp.MaxoutDiscriminator((8,), 2, (0.5, 0.5))
  x = jnp.ones((4, 3))
  variables = net.init({'params': KEY, 'dropout': KEY}, x, train=True)
  a, b = (net.apply(variables, x, train=True, rngs={'dropout': jax.random.key(i)}) for i in (1, 2))
  assert not np.array_equal(a, b)
  np.testing.assert_array_equal(net.apply(variables, x, train=False), net.apply(variables, x, train=False))
  with pytest.raises(UserError, match='one more'):
    mlp.MaxoutDiscriminator((8,), 2, (0.5,)).init({'params': KEY, 'dropout': KEY}, x, train=True)
