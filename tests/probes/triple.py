"""Probe: three players, three batch sizes, the classifier first, a frozen encoder (as Triple-GAN)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gan_jax import config as config_lib
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Latents
from gan_jax.losses import nonsaturating

VARIANTS = ('default',)


class Triple(nn.Module):
  generator: nn.Module
  discriminator: nn.Module
  classifier: nn.Module
  encoder: nn.Module
  latents: Latents = None
  pretraining: bool = False

  @property
  def frozen(self):
    return ('encoder', 'generator', 'discriminator') if self.pretraining else ('encoder',)

  @property
  def turns(self):
    classify = Turn(('classifier',), 'classifier_loss', streams=('labelled',))
    if self.pretraining:
      return (classify,)
    return (
      Turn(('discriminator',), 'discriminator_loss', repeat=2),
      Turn(('generator',), 'generator_loss', streams=()),
      classify,
    )

  def judge(self, image, label):
    return self.discriminator(jnp.concatenate([image.reshape(len(image), -1), label], -1), train=True)

  def make(self, batch):
    label = jax.nn.one_hot(batch['latents']['label'], 10)
    return self.generator(jnp.concatenate([batch['latents']['z'], label], -1), train=True), label

  def discriminator_loss(self, batch):
    labelled, image = batch['labelled'], batch['unlabelled']['image']
    guessed = jax.nn.softmax(self.classifier(image, train=True))
    real = self.judge(labelled['image'], jax.nn.one_hot(labelled['label'], 10))
    fake = jnp.concatenate([self.judge(image, guessed), self.judge(*self.make(batch))])
    return nonsaturating.discriminator(real, fake)

  def generator_loss(self, batch):
    image, label = self.make(batch)
    code = self.encoder(image, train=False)
    return nonsaturating.generator(self.judge(image, label)) + 0.01 * (code**2).mean()

  def classifier_loss(self, batch):
    logits = self.classifier(batch['labelled']['image'], train=True)
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch['labelled']['label']).mean()

  def sample(self, batch):
    label = jax.nn.one_hot(batch['latents']['label'], 10)
    return self.generator(jnp.concatenate([batch['latents']['z'], label], -1), train=False)


def get_config(variant):
  adam = dict(name='optax.adam', learning_rate=1e-3, b1=0.5)
  return config_lib.base(
    game=dict(
      name='probes.triple.Triple',
      generator=dict(name='probes.nets.Net', shape=(8, 8, 1), norm=True),
      discriminator=dict(name='probes.nets.Net'),
      classifier=dict(name='probes.nets.Net', shape=(10,)),
      encoder=dict(name='probes.nets.Net', shape=(4,), norm=True),
      latents=dict(z=dict(name='Normal', shape=(4,)), label=dict(name='Label', classes=10)),
      pretraining=False,
    ),
    optimizers=dict(generator=adam, discriminator=adam, classifier=adam),
    data=dict(
      labelled=config_lib.stream(name='digits', size=8, channels=1, classes=10, batch_size=4),
      unlabelled=config_lib.stream(name='digits', size=8, channels=1, batch_size=12, seed=1),
    ),
    batch_size=8,
    stages=(dict(steps=3, game=dict(pretraining=True)), dict(steps=3)),
  )
