"""FastGAN: shapes at every size, what the parts of a loss are, skip-layer excitation, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import few

from gan_jax.augment.augmentations import Adaptive, DiffAugment, Scheduled
from gan_jax.base.errors import UserError
from gan_jax.games.fastgan import FastGAN
from gan_jax.latents.distributions import Normal
from gan_jax.nets import fastgan

KEYS = {'params': jax.random.key(0), 'noise': jax.random.key(1)}
RANDOM = np.random.RandomState(0)


def normal(*shape):
  return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize('size', few([32, 64, 128, 256, 512, 1024], lambda size: size in (32, 256, 1024)))
def test_shapes_at_every_size(size):
  side = min(128, size // 2)
  z, images = jnp.zeros((2, 5)), {'image': jnp.zeros((2, size, size, 3)), 'small': jnp.zeros((2, side, side, 3))}
  made = jax.eval_shape(lambda: fastgan.Generator(size, 8).init_with_output(KEYS, z, train=True)[0])
  assert {name: x.shape for name, x in made.items()} == {name: x.shape for name, x in images.items()}
  judge = lambda part: fastgan.Discriminator(size, 8, 8).init_with_output(KEYS, images, train=True, part=part)[0]
  logits, decoded = jax.eval_shape(judge, jnp.int32(0))
  assert [x.shape for x in logits] == [(2, 5, 5)] * 2
  assert {name: x.shape for name, x in decoded.items()} == dict.fromkeys(('image', 'small', 'part'), (2, side, side, 3))


def test_excitation_scales_the_channels_of_the_large_map():
  small, large = normal(2, 8, 8, 3), normal(2, 4, 4, 6)
  made, _ = fastgan.Excitation().init_with_output(KEYS, small, large, train=False)
  scale = np.asarray(made) / large
  np.testing.assert_allclose(scale, np.broadcast_to(scale[:, :1, :1], scale.shape), rtol=1e-4)
  assert (scale > 0).all() and (scale < 1).all()


def test_quarters_and_nearest_pixels():
  x = np.arange(16.0).reshape(1, 4, 4, 1)
  shown = [fastgan.quarter(x, part)[0, :, :, 0].tolist() for part in range(4)]
  assert shown == [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[8, 9], [12, 13]], [[10, 11], [14, 15]]]
  assert fastgan.nearest(x, 2)[0, :, :, 0].tolist() == [[0, 2], [8, 10]]


class Constant(fastgan.nn.Module):
  """Stands for a network whose outputs are known."""

  generates: bool = False

  @fastgan.nn.compact
  def __call__(self, x, *, train, part=None):
    weight = self.param('weight', lambda key: jnp.float32(0.25))
    if self.generates:
      return {'image': jnp.full((2, 8, 8, 1), weight), 'small': jnp.full((2, 4, 4, 1), weight)}
    mean = x['image'].mean((1, 2, 3)) * weight * 4  # the mean of the image
    logits = mean[:, None, None], 3 * mean[:, None, None]
    decoded = jnp.zeros((2, 4, 4, 1)) + weight * 2
    return logits if part is None else (logits, dict.fromkeys(('image', 'small', 'part'), decoded))


def test_the_losses_are_those_of_the_paper():
  """Real images of 1, generated of 1/4, decoded of 1/2; the smoothed margins lie between 0.8 and 1."""
  game = FastGAN(Constant(generates=True), Constant(), Normal((3,)), reconstruction=10.0)
  batch = {'images': {'image': jnp.ones((2, 8, 8, 1))}, 'latents': normal(2, 3)}
  (loss, metrics), variables = game.init_with_output(KEYS, batch, method='discriminator_loss')
  assert metrics['real_logit'] == 2 and metrics['fake_logit'] == 0.5  # of 1 and 3, of 1/4 and 3/4
  assert {metrics[f'reconstruction_{name}'].item() for name in ('image', 'small', 'part')} == {0.5}
  # Real logits are above every margin. Fake ones of n + 0.5 in the mean, n from 0.8 to 1; three differences of 1/2.
  assert 0.8 + 0.5 < loss - 10 * 1.5 < 1.0 + 0.5
  found = game.apply(variables, batch, method='generator_loss', rngs={'noise': KEYS['noise']})
  assert found == -0.5
  assert game.apply(variables, jnp.ones((2, 8, 8, 1)), method='logits').tolist() == [2, 2]


class Telling(Constant):
  """Keeps what it was given, and decodes nothing."""

  @fastgan.nn.compact
  def __call__(self, x, *, train, part=None):
    weight = self.param('weight', lambda key: jnp.float32(0.0))
    self.sow('intermediates', 'given', {**x, 'part': jnp.int32(-1) if part is None else part})
    logits = (0.25 * x['image'].mean((1, 2, 3)) + weight)[:, None, None]
    return (logits, logits) if part is None else ((logits, logits), dict.fromkeys(('image', 'small', 'part'), 0.0))


def test_what_is_decoded_is_the_image_its_small_copy_and_the_quarter_that_was_drawn():
  game = FastGAN(Constant(generates=True), Telling(), Normal((3,)), reconstruction=1.0)
  ramp = jnp.arange(128.0).reshape(2, 8, 8, 1) / 128  # all quarters and pixels differ
  batch = {'images': {'image': ramp}, 'latents': normal(2, 3)}
  variables = game.init(KEYS, batch, method='discriminator_loss')
  variables = {'params': variables['params']}
  parts = set()
  for seed in range(6):
    rngs = {'noise': jax.random.key(seed)}
    (loss, metrics), sown = game.apply(
      variables, batch, method='discriminator_loss', rngs=rngs, mutable=['intermediates']
    )
    real, fake = sown['intermediates']['discriminator']['given']
    parts.add(part := int(real['part']))
    np.testing.assert_array_equal(real['small'], ramp[:, ::2, ::2])
    np.testing.assert_array_equal(fake['small'], np.full((2, 4, 4, 1), 0.25))
    quarter = ramp[:, 4 * (part // 2) :, 4 * (part % 2) :][:, :4, :4]
    for name, target in (('image', ramp[:, ::2, ::2]), ('small', ramp[:, ::2, ::2]), ('part', quarter)):
      np.testing.assert_allclose(metrics[f'reconstruction_{name}'], np.abs(target).mean(), rtol=1e-5)
    # Both hinges: real logits are below every margin, fake ones above every negative one.
    hinges = loss - sum(metrics[f'reconstruction_{name}'] for name in ('image', 'small', 'part'))
    gap = metrics['fake_logit'] - metrics['real_logit']
    assert 1.6 < hinges - gap < 2.0
  assert len(parts) > 1


def test_generated_images_are_augmented_in_both_turns():
  game = FastGAN(Constant(generates=True), Telling(), Normal((3,)), augment=lambda key, x: 0 * x + 7)
  batch = {'images': {'image': jnp.ones((2, 8, 8, 1))}, 'latents': normal(2, 3)}
  variables = {'params': game.init(KEYS, batch, method='discriminator_loss')['params']}
  for method in ('discriminator_loss', 'generator_loss'):
    _, sown = game.apply(variables, batch, method=method, rngs={'noise': KEYS['noise']}, mutable=['intermediates'])
    for given in sown['intermediates']['discriminator']['given']:
      assert jnp.all(given['image'] == 7) and jnp.all(given['small'] == 7)


@pytest.mark.parametrize('augment', [Adaptive(), Scheduled(lambda step: 0.5)])
def test_augmentations_whose_probability_it_does_not_keep_are_refused(augment):
  game = FastGAN(Constant(generates=True), Constant(), Normal((3,)), augment=augment)
  with pytest.raises(UserError, match=rf"config\.game\.augment=.*'{type(augment).__name__}'.*'DiffAugment'"):
    game.check_training({})
  game.clone(augment=DiffAugment()).check_training({})
  game.clone(augment=None).check_training({})


def test_sizes_that_do_not_fit_say_so():
  with pytest.raises(UserError, match='FastGAN makes images of 32, 64, 128, 256, 512, 1024 pixels, not 96'):
    fastgan.Generator(96).init(KEYS, normal(2, 4), train=True)
  with pytest.raises(UserError, match=r'the discriminator has size=32, the images \(64, 64\)'):
    images = {'image': jnp.zeros((2, 64, 64, 3)), 'small': jnp.zeros((2, 32, 32, 3))}
    fastgan.Discriminator(32).init(KEYS, images, train=True)
