"""CoGAN: two GANs for two domains share layers. They learn to make pairs, although the data have no pairs.

  V = sum over domains d of E[log D_d(x_d)] + E[log(1 - D_d(G_d(z)))]     one z for both generators

Unsupervised domain adaptation: a classifier on the discriminators' shared layers learns from the labels of domain a. A
term pulls the features of each generated pair together. The classifier is then used in domain b.

Source: Liu and Tuzel 2016, https://arxiv.org/abs/1606.07536, sections 3 and 5; the authors' PyTorch code
(mingyuliutw/CoGAN: `trainer_cogan_mnistedge.py`, `trainer_cogan_mnist2usps.py`).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.core.sampled import Output
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.nets.cogan import DOMAINS


class CoGAN(nn.Module):
  """Two players, each with a pair of networks. The data streams are 'a' and 'b'.

  Attributes:
    generator: latents, train -> {'a': examples, 'b': examples}.
    discriminator: examples, 'a' or 'b', train -> {'logits': (B, 2), 'features': (B, n), 'classes': (B, K)}.
    latents: distribution of the generators' input.
    classifier: weight of the classifier's loss on stream 'a', which then needs labels; 0 for no classifier.
    matching: weight of the squared distance between the features of the two images of a generated pair.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((100,))
  classifier: float = 0.0
  matching: float = 0.0

  outputs = {domain: Output(domain) for domain in DOMAINS}
  turns = (
    Turn(('discriminator',), 'discriminator_loss', streams=DOMAINS),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  @property
  def classified(self) -> tuple[str, ...]:
    return ('b',) if self.classifier else ()

  def discriminate(self, examples: Mapping[str, jax.Array]) -> dict[str, dict[str, jax.Array]]:
    """{domain: outputs of the discriminator} for {domain: examples}."""
    return {d: self.discriminator(examples[d], d, train=True) for d in DOMAINS}

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    images, fakes = {d: batch[d]['image'] for d in DOMAINS}, self.generator(batch['latents'], train=True)
    for d in DOMAINS:
      check_same_shape(fakes[d], images[d])
    real, fake = self.discriminate(images), self.discriminate(fakes)
    pair = losses.two_way_softmax
    per_domain = [pair.discriminator(real[d]['logits'], fake[d]['logits']) for d in DOMAINS]
    loss: Any = sum(per_domain) / len(per_domain)
    metrics = {f'adversarial_{d}': value for d, value in zip(DOMAINS, per_domain, strict=True)}
    if self.matching:
      difference = fake['a']['features'].astype(jnp.float32) - fake['b']['features'].astype(jnp.float32)
      metrics['matching'] = jnp.mean(jnp.sum(difference**2, -1))
      loss += self.matching * metrics['matching']
    if self.classifier:
      logits, label = real['a']['classes'], batch['a']['label']
      metrics['classifier_loss'] = losses.labels.cross_entropy(logits, label)
      metrics['classifier_accuracy'] = jnp.mean(logits.argmax(-1) == label, dtype=jnp.float32)
      loss += self.classifier * metrics['classifier_loss']
    return loss, metrics

  def generator_loss(self, batch: Batch) -> jax.Array:
    fake = self.discriminate(self.generator(batch['latents'], train=True))
    total: Any = sum(losses.two_way_softmax.generator(fake[d]['logits']) for d in DOMAINS)
    return total / len(DOMAINS)

  def sample(self, batch: Batch) -> dict[str, jax.Array]:
    return self.generator(batch['latents'], train=False)

  def classify(self, image: jax.Array) -> jax.Array:
    """Class logits (B, K) of examples of domain b, whose labels training never used. For the metric `classifier`."""
    return self.discriminator(image, 'b', train=False)['classes']
