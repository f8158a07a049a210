"""Stacked GAN: the phases, what each generator is made of and asked for, and its losses by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.base.errors import UserError
from gan_jax.games.stacked import StackedGAN
from gan_jax.nets import stacked

IMAGE = np.random.RandomState(0).uniform(0, 1, (4, 2, 2, 1)).astype(np.float32)
LABEL = np.array([0, 1, 2, 1])
LATENTS = {'label': LABEL, 'z': np.full((4, 3), 0.25, np.float32), 'noise_0': np.full((4, 2), 0.5, np.float32)}


class Means(nn.Module):
  """Images to 3 features: the mean plus 0, 1, 2."""

  def __call__(self, x, *, train):
    return x.mean((1, 2, 3)).reshape(-1, 1) + jnp.arange(3.0)[None]


class Twice(nn.Module):
  def __call__(self, x, *, train):
    return 2 * x


class Features(nn.Module):
  """3 features: z times a weight of 1, plus the class."""

  @nn.compact
  def __call__(self, noise, *, train, above):
    return noise * self.param('weight', nn.initializers.ones, ()) + above.reshape(-1, 1)


class Image(nn.Module):
  """Images of the mean of the features and of the noise."""

  @nn.compact
  def __call__(self, noise, *, train, above):
    value = (above.mean(1) + noise.mean(1)) * self.param('weight', nn.initializers.ones, ())
    return jnp.broadcast_to(value.reshape(-1, 1, 1, 1), (len(value), 2, 2, 1))


class Judge(nn.Module):
  """The logit is the mean; the noise is guessed to be 0."""

  codes: int
  classes: int = 0

  def __call__(self, h, *, train):
    mean = h.reshape(len(h), -1).mean(1)
    logits = mean if not self.classes else mean.reshape(-1, 1) + jnp.arange(float(self.classes))[None]
    return logits, jnp.zeros((len(h), self.codes))


PARAMS = {'generators_0': {'weight': jnp.ones(())}, 'generators_1': {'weight': jnp.ones(())}}


def game(phase, classes=0, **settings):
  judges = (Judge(2, classes), Judge(3, classes))
  return StackedGAN((Means(), Twice()), (Image(), Features()), judges, {}, phase=phase, **settings)


def apply(of, method, params=PARAMS):
  batch = {'images': {'image': IMAGE, 'label': LABEL}, 'latents': LATENTS}
  return of.apply({'params': params}, batch, method=method)


def softplus(x):
  return np.log1p(np.exp(x))


def cross_entropy(logits, label):
  return (np.log(np.exp(logits).sum(1)) - logits[np.arange(len(label)), label]).mean()


FEATURES = 0.25 + np.tile(LABEL[:, None], 3)
REAL = IMAGE.mean((1, 2, 3))[:, None] + np.arange(3.0)


@pytest.mark.parametrize('phase', ['apart', 'joint'])
def test_the_losses_of_a_phase(phase):
  above = FEATURES if phase == 'joint' else REAL
  made = above.mean(1) + 0.5  # what images are of
  entropy = 0.25**2 + 0.5**2
  real, fake = [IMAGE.mean((1, 2, 3)), REAL.mean(1)], [made, FEATURES.mean(1)]
  adversarial = sum(softplus(-r).mean() + softplus(f).mean() for r, f in zip(real, fake, strict=True)) / 2
  loss, _ = apply(game(phase, entropy=3.0), 'discriminator_loss')
  np.testing.assert_allclose(loss, adversarial + 3 * entropy, rtol=1e-5)
  loss, terms = apply(game(phase, entropy=3.0, conditional=2.0, adversarial=0.5), 'generator_loss')
  found = made[:, None] + np.arange(3.0)  # E of the images
  wanted = {
    'adversarial_0': 0.5 * softplus(-made).mean(),
    'conditional_0': 2 * ((found - above) ** 2).mean(),
    'conditional_1': 2 * cross_entropy(2 * FEATURES, LABEL),
    'entropy_0': 3 * 0.5**2,
    'entropy_1': 3 * 0.25**2,
  }
  for name, value in wanted.items():
    np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)
  np.testing.assert_allclose(loss, sum(terms.values()), rtol=1e-6)


def test_class_discriminators_also_classify_data_and_the_saturating_loss():
  plain, with_classes = (apply(game('apart', 3, label=weight), 'discriminator_loss')[0] for weight in (0.0, 2.0))
  logits = np.arange(3.0)[None] + np.zeros((4, 1))
  np.testing.assert_allclose(with_classes - plain, 2 * 2 * cross_entropy(logits, LABEL), rtol=1e-5)
  terms = apply(game('apart', 3, saturating=True), 'generator_loss')[1]
  logit = np.log(np.exp(FEATURES.mean(1)[:, None] + np.arange(3.0)).sum(1))
  np.testing.assert_allclose(terms['adversarial_1'], -softplus(logit).mean(), rtol=1e-5)


def test_upper_generators_feel_the_lower_losses_as_far_as_they_are_coupled():
  def gradient(**settings):
    loss = lambda params: apply(game(**settings), 'generator_loss', params)[0]
    return jax.grad(loss)(PARAMS)['generators_1']['weight']

  alone = gradient(phase='apart')
  np.testing.assert_allclose(gradient(phase='joint'), alone, rtol=1e-5)
  loss = lambda weight: apply(
    game('joint', coupling=1.0), 'generator_loss', {**PARAMS, 'generators_1': {'weight': weight}}
  )[0]
  slope = (loss(1.01) - loss(0.99)) / 0.02
  np.testing.assert_allclose(gradient(phase='joint', coupling=1.0), slope, rtol=1e-2)
  whole = gradient(phase='joint', coupling=1.0) - alone
  assert abs(whole) > 1e-3
  np.testing.assert_allclose(gradient(phase='joint', coupling=0.01) - alone, 0.01 * whole, rtol=1e-2)


def test_phases_move_and_freeze():
  assert game('encoder').frozen == ('generator', 'discriminator') and game('apart').frozen == ('encoder',)
  assert game('joint').turns[1].streams == () and game('apart').turns[1].streams is None
  with pytest.raises(UserError, match=r'config\.game\.phase'):
    apply(game('alone'), 'sample')


def test_samples_go_through_all_layers():
  made = apply(game('joint'), 'sample')
  np.testing.assert_allclose(made[:, 0, 0, 0], FEATURES.mean(1) + 0.5)


def test_the_generator_of_images_has_the_authors_sizes():
  above, noise = jnp.zeros((2, 256)), jnp.zeros((2, 50))
  for net, size in ((stacked.ImageGenerator(), 28), (stacked.ImageGenerator(base=5), 32)):
    made = lambda net=net: net.init_with_output(jax.random.key(0), noise, train=True, above=above)[0]
    assert jax.eval_shape(made).shape == (2, size, size, 1)


def test_a_stack_of_one_is_asked_for_classes():
  """The generator of images takes classes as it takes features that are one-hot; the encoder gives their logits."""
  small, noise, label = dict(channels=(4, 4), strides=(2, 1), base=2, widths=(3,)), jnp.ones((2, 5)), jnp.array([1, 0])
  asked, given = stacked.ImageGenerator(**small, classes=3), stacked.ImageGenerator(**small)
  variables = asked.init(jax.random.key(0), noise, train=False, above=label)
  made = asked.apply(variables, noise, train=False, above=label)
  np.testing.assert_array_equal(made, given.apply(variables, noise, train=False, above=jax.nn.one_hot(label, 3)))
  assert np.abs(made[0] - made[1]).max() > 0
  encoder = stacked.Encoder(channels=(4, 4), hidden=8, classes=3)
  logits, variables = encoder.init_with_output(jax.random.key(0), jnp.ones((2, 28, 28, 1)), train=False)
  features = stacked.Encoder(channels=(4, 4), hidden=8).apply(variables, jnp.ones((2, 28, 28, 1)), train=False)
  dense = variables['params']['Dense_1']
  np.testing.assert_allclose(logits, features @ dense['kernel'] + dense['bias'][None], rtol=1e-5)
