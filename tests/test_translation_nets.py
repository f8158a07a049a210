"""Networks that translate pictures, and those that judge them: sizes, weights, values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.base.errors import UserError
from gan_jax.nets import stargan, translation
from gan_jax.nets.layers.resample import pixel_shuffle

KEY = jax.random.key(0)


def test_networks_have_the_papers_parameters():
  def count(net, size, channels=3, **inputs):
    x = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    init = lambda x: net.init({'params': KEY, 'dropout': KEY}, x, **inputs, train=True)
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(init, x)['params']))

  # pytorch-CycleGAN-and-pix2pix prints 11.378 M, 54.414 M and 2.769 M; its first counts biases before instance norm.
  assert count(translation.ResnetGenerator(), 256) == 11_378_179 - (64 + 128 + 256 + 18 * 256 + 128 + 64)
  assert round(count(translation.UNet(), 256) / 1e6, 3) == 54.414
  assert round(count(translation.PatchGAN(norm='batch'), 256, 6) / 1e6, 3) == 2.769
  # StarGAN's paper: 53.2 M for both.
  label = jnp.zeros((1, 5))
  generator = translation.ResnetGenerator(blocks=6, border='SAME', kernel=4, gain=True)
  assert round((count(generator, 128, label=label) + count(stargan.Discriminator(), 128)) / 1e6, 1) == 53.2


@pytest.mark.slow
def test_patches_are_of_the_sizes_that_their_names_say():
  """A logit in the middle reads 1, 16, 34 or 70 pixels across, and no others."""
  for layers, wide in ((0, 1), (1, 16), (2, 34), (3, 70)):
    net = translation.PatchGAN(2, layers, norm='none')
    x = jnp.zeros((1, 96, 96, 1))
    variables = jax.tree.map(jnp.ones_like, net.init(KEY, x, train=True))

    def middle(x, net=net, variables=variables):
      logits = net.apply(variables, x, train=True)
      return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

    read = np.flatnonzero(np.abs(np.asarray(jax.grad(middle)(x))).sum((0, 2, 3)))
    assert read[-1] - read[0] + 1 == wide, layers


def test_pixel_shuffle_and_sizes_that_do_not_fit():
  assert pixel_shuffle(jnp.zeros((2, 3, 5, 8))).shape == (2, 6, 10, 2)
  x = jnp.zeros((1, 6, 6, 1))
  for net in (translation.ResnetGenerator(2, 0), translation.UNet((2, 2))):
    with pytest.raises(UserError, match='6x6: give multiples of 4'):
      net.init(KEY, x, train=True)


def test_shuffled_pixels_by_hand():
  """Windows that see their middle alone: every 3x3 convolution halves, so x (1 + (1 + 1/4) / 2) at the end."""
  net = translation.SubpixelGenerator(1, 1, 2, 1, 'none', kernel=1)
  x = jnp.array([[0.1, 0.2], [0.3, 0.4]]).reshape(1, 2, 2, 1)
  variables = net.init(KEY, x, train=True)

  def middle(path, leaf):
    if leaf.ndim != 4:
      return leaf
    height, width = leaf.shape[0] // 2, leaf.shape[1] // 2
    whole = height == 0 or 'up_0' in jax.tree_util.keystr(path)
    return jnp.zeros_like(leaf).at[height, width].set(1.0 if whole else 0.5)

  y = net.apply(jax.tree_util.tree_map_with_path(middle, variables), x, train=True)
  expected = np.tanh(1.625 * np.kron(x[0, :, :, 0], np.ones((2, 2))))
  np.testing.assert_allclose(y[0, :, :, 0], expected, rtol=1e-5)


@pytest.mark.slow
def test_options_of_networks():
  x = jax.random.normal(KEY, (2, 8, 8, 1))
  # A label is a plane for each entry.
  net, label = translation.ResnetGenerator(2, 0, 1, 'none'), jnp.array([[1.0, -2.0], [0.5, 3.0]])
  variables = net.init(KEY, x, label, train=True)
  planes = jnp.broadcast_to(label[:, None, None], (2, 8, 8, 2))
  beside = net.apply(variables, jnp.concatenate([x, planes], -1), train=True)
  np.testing.assert_allclose(net.apply(variables, x, label, train=True), beside, rtol=1e-6)
  # Dropout follows the second layer of the decoder, not its first.
  unet = translation.UNet((2, 2, 2), 1, dropout=1)
  called = unet.init({'params': KEY, 'dropout': KEY}, x, train=True, capture_intermediates=True)['intermediates']
  assert [name for name in called if name.startswith('Dropout')] == ['Dropout_0']
  # Features are those of all layers but the first.
  judge = translation.PatchGAN(2, 1, norm='none')
  _, maps = judge.apply(judge.init(KEY, x, train=True), x, train=True, features=True)
  assert [y.shape for y in maps] == [(2, 3, 3, 4)]
  # With weights that are all positive, a dark picture gives what a bright one gives, times the slope.
  judge = stargan.Discriminator((2,), 3)
  positive = jax.tree.map(jnp.abs, judge.init(KEY, x, train=True))
  bright, dark = (judge.apply(positive, sign * jnp.ones_like(x), train=True) for sign in (1, -1))
  for one, other in zip(bright, dark, strict=True):
    np.testing.assert_allclose(other, -0.01 * one, rtol=1e-5)
