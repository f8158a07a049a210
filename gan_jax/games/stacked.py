"""Stacked GAN: a generator for each layer of a trained encoder, which it turns round, the highest first.

With h_0 the image, h_{i+1} = E_i(h_i), and h_N the class, generator i makes h_i of noise z_i and of h_{i+1}:

  min_D  -1/2 E[log D_i(h_i)] - 1/2 E[log(1 - D_i(G_i(z_i, h_{i+1})))] + beta E|Q_i(G_i) - z_i|^2
  min_G  -E[log D_i(G_i)] + alpha E d(E_i(G_i), h_{i+1}) + beta E|Q_i(G_i) - z_i|^2

d is the squared error, or the cross-entropy for classes: the conditional loss. Q_i, a second head of D_i, must find the
noise: the entropy loss. Generators train apart, on the features of data, or jointly, on those that are generated.

Source: Huang et al. 2016, https://arxiv.org/abs/1612.04357, section 3; the authors' code (xunhuang1995/SGAN).
"""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.fit import check_same_shape

PHASES = ('encoder', 'apart', 'joint')


class StackedGAN(nn.Module):
  """Three players, each a network for every layer, the image's first: encoder, generator, discriminator.

  Attributes:
    encoders: h_i, train -> h_{i+1}; the last gives class logits.
    generators: noise, above, train -> h_i; above is h_{i+1}, for the last one the class (B,).
    discriminators: h_i, train -> (logits (B,), noise); or class logits (B, K), the real ones to be classified.
    latents: 'label', 'z' of the last generator, 'noise_i' of the others.
    phase: 'encoder': it alone learns, to classify; 'apart', 'joint': the others.
    adversarial: weight of the adversarial loss.
    conditional: alpha.
    entropy: beta.
    label: weight of the cross-entropy of class logits of data.
    coupling: weight of a generator's loss in the generators above, in the joint phase.
    saturating: generators minimise E[log(1 - D)], as in the authors' code for CIFAR-10.
  """

  encoders: tuple[nn.Module, ...]
  generators: tuple[nn.Module, ...]
  discriminators: tuple[nn.Module, ...]
  latents: Mapping[str, Any]
  phase: Literal['encoder', 'apart', 'joint'] = 'joint'
  adversarial: float = 1.0
  conditional: float = 1.0
  entropy: float = 10.0
  label: float = 1.0
  coupling: float = 0.0
  saturating: bool = False

  @property
  def frozen(self) -> tuple[str, ...]:
    return ('generator', 'discriminator') if self.phase == 'encoder' else ('encoder',)

  @property
  def turns(self) -> tuple[Turn, ...]:
    if self.phase == 'encoder':
      return (Turn(('encoder',), 'encoder_loss'),)
    streams = () if self.phase == 'joint' else None
    return (
      Turn(('discriminator',), 'discriminator_loss'),
      Turn(('generator',), 'generator_loss', streams=streams),
    )

  def setup(self) -> None:
    if self.phase not in PHASES:
      raise one_of('config.game.phase', self.phase, PHASES)
    counts = [len(self.encoders), len(self.generators), len(self.discriminators)]
    if len(set(counts)) > 1:
      raise UserError(f'config.game has {counts} encoders, generators and discriminators: give as many of each')

  def features(self, image: jax.Array, *, train: bool = False) -> list[jax.Array]:
    """[h_0, h_1, ..., class logits] of images."""
    levels = [image]
    for encoder in self.encoders:
      levels.append(encoder(levels[-1], train=train))
    return levels

  def made(
    self, batch: Batch, given: list[jax.Array] | None, *, train: bool
  ) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    """[(G_i's h_i, its noise, what it was made of)] from h_0 on; of the features `given`, or of generated ones."""
    latents, found = batch['latents'], []
    above = latents['label']
    for i in reversed(range(len(self.generators))):
      noise = latents['z' if i == len(self.generators) - 1 else f'noise_{i}']
      fake = self.generators[i](noise, train=train, above=above)
      found.append((fake, noise, above))
      fixed = jax.lax.stop_gradient(fake)
      above = fixed + self.coupling * (fake - fixed) if given is None else given[i]
    return found[::-1]

  def encoder_loss(self, batch: Batch) -> LossAndMetrics:
    logits, label = self.features(batch['images']['image'], train=True)[-1], batch['images']['label']
    right = jnp.mean(logits.argmax(-1) == label, dtype=jnp.float32)
    return losses.labels.cross_entropy(logits, label), {'encoder_accuracy': right}

  def judged(self, i: int, h: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(logits (B,) of being real, those of the classes or the same, the noise found) of h_i."""
    logits, noise = self.discriminators[i](h, train=True)
    return (logits if logits.ndim == 1 else losses.labels.real_logit(logits)), logits, noise

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    real, loss = self.features(batch['images']['image']), jnp.zeros(())
    metrics: dict[str, jax.Array] = {}
    made = self.made(batch, None if self.phase == 'joint' else real, train=True)
    for i, (fake, noise, _) in enumerate(made):
      check_same_shape(fake, real[i])
      real_logit, classes, _ = self.judged(i, real[i])
      fake_logit, _, found = self.judged(i, fake)
      loss += self.adversarial * losses.nonsaturating.discriminator(real_logit, fake_logit) / 2
      loss += self.entropy * losses.reconstruction.squared_error(found, noise)
      if classes.ndim == 2:
        loss += self.label * losses.labels.cross_entropy(classes, batch['images']['label'])
      shares = accuracies(losses.nonsaturating, real_logit, fake_logit)
      metrics |= {f'{name}_{i}': share for name, share in shares.items()}
    return loss, metrics

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    given = None if self.phase == 'joint' else self.features(batch['images']['image'])
    adversarial = losses.adversarial.generator_value if self.saturating else losses.nonsaturating.generator
    terms: dict[str, jax.Array] = {}
    for i, (fake, noise, above) in enumerate(self.made(batch, given, train=True)):
      logit, _, found = self.judged(i, fake)
      again, last = self.encoders[i](fake, train=False), i == len(self.encoders) - 1
      error = losses.labels.cross_entropy if last else losses.reconstruction.squared_error
      terms[f'adversarial_{i}'] = self.adversarial * adversarial(logit)
      terms[f'conditional_{i}'] = self.conditional * error(again, above)
      terms[f'entropy_{i}'] = self.entropy * losses.reconstruction.squared_error(found, noise)
    return sum(terms.values(), jnp.zeros(())), terms

  def sample(self, batch: Batch) -> jax.Array:
    return self.made(batch, None, train=False)[0][0]

  def classify(self, image: jax.Array) -> jax.Array:
    """The encoder's class logits (B, K). For the metric `classifier`."""
    return self.features(image)[-1]
