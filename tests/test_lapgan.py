"""LAPGAN: the pyramid, what each level is trained on, and samples from coarse to fine."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.games.lapgan import LAPGAN
from gan_jax.nets.layers.resample import downsample, enlarge

IMAGE = np.random.RandomState(0).uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
LATENTS = {'z': np.full((3, 2), 0.5), 'noise_1': np.full((3, 4, 4, 1), 0.25), 'noise_2': np.full((3, 8, 8, 1), -0.25)}


class Coarse(nn.Module):
  """An image of the mean of z in every pixel."""

  size: int = 2

  def __call__(self, z, *, train):
    return jnp.broadcast_to(z.mean(1).reshape(-1, 1, 1, 1), (len(z), self.size, self.size, 1))


class Fine(nn.Module):
  """Details that are the noise."""

  def __call__(self, noise, *, train, coarse):
    assert noise.shape[:3] == coarse.shape[:3]
    return noise


class Judge(nn.Module):
  """The mean of what an image has on its left half."""

  def __call__(self, x, *, train, coarse=None):
    x = x if coarse is None else x + coarse
    return x[:, :, : x.shape[2] // 2].mean((1, 2, 3))


def game(levels, **settings):
  fine = dict(generators=(Coarse(), Fine(), Fine()), discriminators=(Judge(), Judge(), Judge()))
  return LAPGAN(**{**fine, **settings}, latents={}, levels=levels)


def apply(of, method, **batch):
  return of.apply({}, {'latents': LATENTS, **batch}, method=method)


def test_samples_pass_all_levels_up_to_the_one_that_moves():
  for levels, wanted in (((0,), (2, 0.5)), ((1,), (4, 0.75)), ((2,), (8, 0.5)), ((0, 1, 2), (8, 0.5))):
    size, value = wanted
    np.testing.assert_allclose(apply(game(levels), 'sample'), np.full((3, size, size, 1), value))
  assert [image.shape[1] for image in apply(game((2,)), 'pyramid')] == [2, 4, 8]


def test_the_levels_below_are_frozen_and_only_their_generators():
  assert game((0,)).frozen == () and game((2,)).frozen == ('generators_0', 'generators_1')
  assert [turn.movers for turn in game((2,)).turns] == [('discriminators_2',), ('generators_2',)]
  assert game((0, 1, 2)).frozen == () and game((1, 2)).frozen == ('generators_0',)
  assert game((0,)).turns[1].streams == ()


def test_the_losses_are_of_data_and_of_details_on_their_enlarged_coarse_versions():
  real = downsample(IMAGE)  # 4x4, level 1 of two halvings
  coarse = enlarge(downsample(real))
  judge = lambda x: Judge().apply({}, x, train=True)
  wanted = losses.nonsaturating.discriminator(judge(IMAGE), judge(enlarge(real) + LATENTS['noise_2'])) / 2
  batch = {'images': {'image': IMAGE}}
  loss, metrics = apply(game((2,)), 'discriminator_loss', **batch)
  np.testing.assert_allclose(loss, wanted, rtol=1e-6)
  assert set(metrics) == {'real_accuracy_2', 'fake_accuracy_2'}
  loss, each = apply(game((1, 2)), 'generator_loss', **batch)
  level_1 = losses.nonsaturating.generator(judge(coarse + LATENTS['noise_1']))
  np.testing.assert_allclose(each['adversarial_1'], level_1, rtol=1e-6)
  np.testing.assert_allclose(loss, sum(each.values()), rtol=1e-6)
  together, _ = apply(game((0, 1, 2)), 'discriminator_loss', **batch)
  apart = [
    apply(game((2,)), 'discriminator_loss', **batch),
    apply(game((1,)), 'discriminator_loss', images={'image': real}),
  ]
  apart.append(apply(game((0,)), 'discriminator_loss', images={'image': downsample(real)}))
  np.testing.assert_allclose(together, sum(loss for loss, _ in apart), rtol=1e-6)


def test_one_level_may_halve_twice():
  two = game((1,), generators=(Coarse(), Fine()), discriminators=(Judge(), Judge()), halvings=(2,))
  made = two.apply({}, {'latents': {**LATENTS, 'noise_1': LATENTS['noise_2']}}, method='sample')
  np.testing.assert_allclose(made, np.full((3, 8, 8, 1), 0.25))


class Known(nn.Module):
  """What another network says, and ten times the class."""

  of: nn.Module

  def __call__(self, *inputs, label, **options):
    said = self.of(*inputs, **options)
    return said + 10.0 * label.astype(np.float32).reshape(-1, *[1] * (said.ndim - 1))


def test_with_classes_every_network_knows_that_of_what_it_is_shown():
  """Fakes of level 0 have the class asked for, details that of the data whose coarse image they belong to."""
  asked, own = np.array([0, 1, 2]), np.array([2, 2, 0])
  latents = {**LATENTS, 'label': asked}
  networks = dict(generators=(Known(Coarse()), Known(Fine())), discriminators=(Known(Judge()), Known(Judge())))
  of = lambda levels: LAPGAN(**networks, latents={'label': None}, halvings=(1,), levels=levels)
  said = lambda method, levels, image: of(levels).apply(
    {}, {'latents': latents, 'images': {'image': image, 'label': own}}, method=method
  )[0]
  real, small = downsample(IMAGE), downsample(downsample(IMAGE))
  judge = lambda x: Judge().apply({}, x, train=True)
  pair = losses.nonsaturating
  fake = judge(np.broadcast_to(0.5, small.shape)) + 20 * asked
  np.testing.assert_allclose(
    said('discriminator_loss', (0,), small), pair.discriminator(judge(small) + 10 * own, fake) / 2, rtol=1e-6
  )
  np.testing.assert_allclose(said('generator_loss', (0,), small), pair.generator(fake), rtol=1e-6)
  detailed = judge(enlarge(small) + LATENTS['noise_1']) + 20 * own
  np.testing.assert_allclose(
    said('discriminator_loss', (1,), real), pair.discriminator(judge(real) + 10 * own, detailed) / 2, rtol=1e-6
  )
  np.testing.assert_allclose(said('generator_loss', (1,), real), pair.generator(detailed), rtol=1e-6)
  images = of((1,)).apply({}, {'latents': latents}, method='pyramid')
  np.testing.assert_allclose(images[0][:, 0, 0, 0], 0.5 + 10 * asked)
  np.testing.assert_allclose(images[1][:, 0, 0, 0], 0.75 + 20 * asked, rtol=1e-6)


@pytest.mark.parametrize('settings', [{'levels': (3,)}, {'levels': (0,), 'halvings': (1,)}])
def test_levels_that_do_not_fit_are_one_line(settings):
  with pytest.raises(UserError, match='3 generators, 3 discriminators'):
    apply(game(**settings), 'sample')


def test_enlarging_keeps_planes_and_the_edge():
  ramp = jnp.arange(4.0).reshape(1, 1, 4, 1).repeat(4, 1)
  np.testing.assert_allclose(enlarge(ramp)[0, 3, :, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
  np.testing.assert_allclose(enlarge(ramp.swapaxes(1, 2))[0, :, 3, 0], enlarge(ramp)[0, 3, :, 0])
  jax.eval_shape(enlarge, jax.ShapeDtypeStruct((1, 1, 1, 3), jnp.float32))
