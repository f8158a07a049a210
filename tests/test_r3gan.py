"""R3GAN's parts: convolutions of groups, resampling by its filter, schedules, both penalties; its networks' errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.augment.ada import adaptive
from gan_jax.augment.augmentations import Scheduled
from gan_jax.base.errors import UserError
from gan_jax.core.clock import Clock
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Normal
from gan_jax.nets import r3gan
from gan_jax.nets.layers import grouped
from gan_jax.nets.layers.conv import formulation
from gan_jax.nets.layers.grouped import grouped_conv
from gan_jax.optim import averages, minimax
from gan_jax.optim.schedules import cosine

RANDOM = np.random.RandomState(0)


def normal(*shape):
  return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize('apart', [0, 32], ids=['products', 'a convolution each'])
@pytest.mark.parametrize(('window', 'groups'), [((3, 3), 2), ((1, 5), 3), ((3, 3), 1), ((3, 1), 6)])
def test_grouped_convolutions_are_xlas_with_both_gradients(window, groups, apart, monkeypatch):
  monkeypatch.setattr(grouped, 'MOST_APART', apart)
  monkeypatch.setattr(grouped, 'FEWEST_APART', 1)
  x, kernel, weights = normal(2, 5, 4, 6), normal(*window, 6 // groups, 12), normal(2, 5, 4, 12)
  found = {}
  for name in ('matmul', 'xla'):
    with formulation(name):
      loss = lambda x, kernel: (grouped_conv(x, kernel, groups) * weights).sum()
      both = lambda x, kernel, loss=loss: (grouped_conv(x, kernel, groups), *jax.grad(loss, (0, 1))(x, kernel))
      found[name] = jax.jit(both)(x, kernel)
  for one, other in zip(found['matmul'], found['xla'], strict=True):
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_grouped_convolutions_that_do_not_fit_say_so():
  with pytest.raises(ValueError, match=r'grouped_conv: 4 groups of 6 channels do not fit a kernel'):
    grouped_conv(jnp.ones((1, 4, 4, 6)), jnp.ones((3, 3, 2, 8)), 4)
  with pytest.raises(ValueError, match=r'the window is \(2, 2\): make its sizes odd'):
    grouped_conv(jnp.ones((1, 4, 4, 6)), jnp.ones((2, 2, 3, 8)), 2)


def test_blocks_begin_as_identities_and_networks_keep_the_variance():
  net = r3gan.Block(group=4, blocks=8)
  x = normal(2, 4, 4, 8)
  variables = net.init(jax.random.key(0), x)
  np.testing.assert_array_equal(net.apply(variables, x), x)
  assert variables['params']['conv2']['kernel'].shape == (3, 3, 4, 16)
  generator = r3gan.Generator((64, 64), (1, 1))
  images = generator.init_with_output(jax.random.key(0), normal(64, 64), train=True)[0]
  assert 0.5 < images.std() < 2


def test_networks_that_do_not_fit_say_so():
  key = jax.random.key(0)
  with pytest.raises(UserError, match=r'channels=\(8, 8\) and blocks=\(1,\): give each one entry per resolution'):
    r3gan.Generator((8, 8), (1,)).init(key, normal(1, 4), train=True)
  with pytest.raises(UserError, match='group=5 does not divide 16'):
    r3gan.Generator((8,), (1,), group=5).init(key, normal(1, 4), train=True)
  with pytest.raises(UserError, match='2 resolutions judge 8x8 pixels, not 16x16'):
    r3gan.Discriminator((8, 8), (1, 1)).init(key, normal(1, 16, 16, 3), train=True)
  for network, x in ((r3gan.Generator((8,), (1,), classes=3), normal(1, 4)),
                     (r3gan.Discriminator((8,), (1,), classes=3), normal(1, 4, 4, 3))):  # fmt: skip
    with pytest.raises(UserError, match='classes=3 but gets no label'):
      network.init(key, x, train=True)


def test_adam_of_a_rising_b2_against_numpy():
  """PyTorch's rule: the b2 of the step in the mean and in its correction."""
  rate, b1, b2s, eps = 0.1, 0.0, (0.9, 0.95, 0.99), 1e-8
  optimizer = minimax.adam(rate, b1, lambda step: jnp.asarray(b2s)[jnp.minimum(step, 2)], eps)
  gradients, weight, second = normal(3, 2), np.zeros(2), np.zeros(2)
  params = jnp.zeros(2)
  state = optimizer.init(params)
  for step, (gradient, b2) in enumerate(zip(gradients, b2s, strict=True), 1):
    second = b2 * second + (1 - b2) * gradient**2
    weight = weight - rate * gradient / (np.sqrt(second / (1 - b2**step)) + eps)
    updates, state = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params, weight, rtol=1e-4)


def test_a_half_life_may_follow_a_schedule():
  clock = lambda step: Clock(jnp.int32(step), jnp.int32(step), jnp.int32(9), jnp.float32(64 * step))
  decay = averages.half_life(cosine(0.0, 640.0, 10), 64, ramp_up=None)
  assert [round(float(decay(clock(step))), 3) for step in (0, 5, 10)] == [0.0, round(0.5 ** (64 / 320), 3), 0.933]


def test_the_penalty_of_both_is_the_sum_and_follows_its_schedule():
  generator, discriminator = r3gan.Generator((8,), (1,)), r3gan.Discriminator((8,), (1,))
  image, z = normal(3, 4, 4, 3), normal(3, 5)
  batch = {'images': {'image': image}, 'latents': z}

  def metric(at, schedule=None, augment=None, name='penalty'):
    game = Standard(
      generator, discriminator, Normal((5,)), loss='relativistic', augment=augment, penalty_schedule=schedule,
      penalty=GradientPenalty(2.0, at=at, target=0.0),
    )  # fmt: skip
    keys = {'params': jax.random.key(0), 'noise': jax.random.key(1)}
    params = game.init(keys, batch, method='discriminator_loss')['params']
    clock = Clock(jnp.int32(5), jnp.int32(5), jnp.int32(9), jnp.float32(0))
    variables = {'params': params, 'clock': {'now': clock, 'parts': 1}}
    return game.apply(variables, batch, method='discriminator_loss', rngs={'noise': jax.random.key(2)})[1][name]

  both = metric('both')
  np.testing.assert_allclose(both, metric('real') + metric('fake'), rtol=1e-5)
  np.testing.assert_allclose(metric('both', cosine(1.0, 0.0, 10)), both / 2, rtol=1e-5)
  # Of probability 0 at step 5 the augmentation changes nothing, of 1 it does.
  logit = metric('both', name='real_logit')
  assert metric('both', augment=Scheduled(lambda step: 0.2 * (step - 5), ('blit',)), name='real_logit') == logit
  assert abs(metric('both', augment=Scheduled(lambda step: 0.2 * step, ('blit',)), name='real_logit') - logit) > 1e-3


def test_a_scheduled_augmentation_needs_a_schedule():
  with pytest.raises(UserError, match=r'probability=0.3 is no schedule'):
    Scheduled(0.3)
  x, key = normal(2, 4, 4, 3), jax.random.key(0)
  groups = ('blit', 'colour')
  scheduled = Scheduled(cosine(0.0, 1.0, 9), groups)
  np.testing.assert_array_equal(scheduled(key, x, 0.5), adaptive(key, x, 0.5, groups))
  with pytest.raises(UserError, match=r"group of adaptive augmentation 'flip'"):
    Scheduled(cosine(0.0, 1.0, 9), ('flip',))


def test_classes_by_number_and_by_shares():
  small = dict(channels=(8, 8), blocks=(1, 1), group=4)
  for network, x in (
    (r3gan.Generator(**small, classes=3, embedding=4, out_channels=1), jnp.ones((2, 5))),
    (r3gan.Discriminator(**small, classes=3, embedding=4), jnp.ones((2, 8, 8, 1))),
  ):
    variables = network.init(jax.random.key(0), x, train=True, label=jnp.array([0, 1]))
    number = network.apply(variables, x, train=False, label=jnp.array([2, 1]))
    shares = network.apply(variables, x, train=False, label=jnp.eye(3)[jnp.array([2, 1])])
    np.testing.assert_allclose(number, shares, atol=1e-6)
    with pytest.raises(UserError, match='classes=3 but gets no label'):
      network.apply(variables, x, train=False)
    with pytest.raises(UserError, match='classes=0'):
      network.clone(classes=0).init(jax.random.key(0), x, train=True, label=jnp.array([0, 1]))
