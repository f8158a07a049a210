"""CoGAN: two GANs of two domains, whose networks share layers, make pairs though no pair is ever seen.

  V = sum over domains d of E[log D_d(x_d)] + E[log(1 - D_d(G_d(z)))]     one z for both generators

Unsupervised adaptation: a classifier on the discriminators' shared layers learns from the labels of domain a, a term
draws the features of each generated pair together, and the classifier is used in domain b.

Source: Liu and Tuzel 2016, https://arxiv.org/abs/1606.07536, sections 3 and 5; the authors' PyTorch code
(mingyuliutw/CoGAN: `trainer_cogan_mnistedge.py`, `trainer_cogan_mnist2usps.py`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.core.game import Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.nets.cogan import DOMAINS


class CoGAN(nn.Module):
  """Two players, each a pair of networks; streams 'a' and 'b'.

  Attributes:
    generator: latents, train -> {'a': examples, 'b': examples}.
    discriminator: examples, 'a' or 'b', train -> {'logits': (B, 2), 'features': (B, n), 'classes': (B, K)}.
    latents: what the generators start from.
    classifier: weight of the classifier's loss on stream 'a', which then has labels; 0 for none.
    matching: weight of the squared distance between the features of the two of a generated pair.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((100,))
  classifier: float = 0.0
  matching: float = 0.0

  turns = (
    Turn(('discriminator',), 'discriminator_loss', streams=DOMAINS),
    Turn(('generator',), 'generator_loss', streams=()),
  )

  def judged(self, examples):
    """{domain: what the discriminator says}, of {domain: examples}."""
    return {d: self.discriminator(examples[d], d, train=True) for d in DOMAINS}

  def discriminator_loss(self, batch):
    images, fakes = {d: batch[d]['image'] for d in DOMAINS}, self.generator(batch['latents'], train=True)
    for d in DOMAINS:
      check_same_shape(fakes[d], images[d])
    real, fake = self.judged(images), self.judged(fakes)
    pair = losses.two_way_softmax
    each = [pair.discriminator(real[d]['logits'], fake[d]['logits']) for d in DOMAINS]
    loss = sum(each) / len(each)
    metrics = {f'adversarial_{d}': value for d, value in zip(DOMAINS, each, strict=True)}
    if self.matching:
      apart = fake['a']['features'].astype(jnp.float32) - fake['b']['features'].astype(jnp.float32)
      metrics['matching'] = jnp.mean(jnp.sum(apart**2, -1))
      loss += self.matching * metrics['matching']
    if self.classifier:
      logits, label = real['a']['classes'], batch['a']['label']
      metrics['classifier_loss'] = losses.labels.cross_entropy(logits, label)
      metrics['classifier_accuracy'] = jnp.mean(logits.argmax(-1) == label, dtype=jnp.float32)
      loss += self.classifier * metrics['classifier_loss']
    return loss, metrics

  def generator_loss(self, batch):
    judged = self.judged(self.generator(batch['latents'], train=True))
    return sum(losses.two_way_softmax.generator(judged[d]['logits']) for d in DOMAINS) / len(DOMAINS)

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)

  def classify(self, image: jax.Array) -> jax.Array:
    """Logits (B, K) of the classes of examples of domain b, of which no label was seen: for the metric `classifier`."""
    return self.discriminator(image, 'b', train=False)['classes']
