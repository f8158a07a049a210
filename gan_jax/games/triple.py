"""Triple-GAN: a classifier and a generator both make pairs of an example and a class, and a discriminator judges pairs.

  min_D  -E[log D(x, y)] - 1/2 E[log(1 - D(G(z, y), y))] - 1/2 E[log(1 - D(x, C(x)))]
  min_G  -1/2 E[log D(G(z, y), y)]
  min_C  -1/2 E[max_y p_C(y | x) log D(x, C(x))] - E[log p_C(y | x)] + alpha_P R_P + entropy and balance of C(x)

C(x) is the class that C finds likeliest, and R_P = -E[log p_C(y | G(z, y))], the pseudo-discriminative loss.

Source: Li et al. 2017, https://arxiv.org/abs/1703.02291, algorithm 1; the authors' code (zhenxuan00/triple-gan), where
most of the pairs that D takes for real are unlabelled examples and their C(x), and C has the last two terms.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.core.clock import read_clock
from gan_jax.core.game import Turn
from gan_jax.games.parts.conditions import generate
from gan_jax.games.parts.fit import check_same_shape


class TripleGAN(nn.Module):
  """Three players, and four streams, of which each player reads as many examples as it needs.

  Streams: 'labelled' and 'unlabelled' for the classifier, 'real_labelled' and 'real_unlabelled' for what the
  discriminator takes for real.

  Attributes:
    generator: latents, label, train -> examples.
    discriminator: examples, label, train -> logits (B,).
    classifier: examples, train -> logits (B, K).
    latents: 'z' and 'label'.
    entropy: weight of the entropy of C's predictions, in training and in pre-training.
    balance: weight of the cross-entropy of their mean with equal shares, in training and in pre-training.
    decay: weight of the sum of squares of C's kernels.
    pseudo: alpha_P, the weight of R_P.
    pseudo_start: the step of the stage from which R_P counts.
    pretraining: C learns alone, for a stage before the others move.
  """

  generator: nn.Module
  discriminator: nn.Module
  classifier: nn.Module
  latents: Mapping[str, Any]
  entropy: tuple[float, float] = (0.3, 0.3)
  balance: tuple[float, float] = (0.001, 0.3)
  decay: float = 1e-4
  pseudo: float = 0.1
  pseudo_start: int = 0
  pretraining: bool = False

  @property
  def frozen(self) -> tuple[str, ...]:
    return ('generator', 'discriminator') if self.pretraining else ()

  @property
  def turns(self) -> tuple[Turn, ...]:
    if self.pretraining:
      return (Turn(('classifier',), 'pretraining_loss', streams=('labelled', 'unlabelled')),)
    return (
      Turn(('discriminator',), 'discriminator_loss', streams=('real_labelled', 'real_unlabelled', 'unlabelled')),
      Turn(('generator',), 'generator_loss', streams=()),
      Turn(('classifier',), 'classifier_loss', streams=('labelled', 'unlabelled')),
    )

  def judged(self, image: jax.Array, label: jax.Array) -> jax.Array:
    """Logits (B,) of pairs."""
    return self.discriminator(image, train=True, label=label)

  def guessed(self, image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """C's logits (B, K), and logits (B,) of the pairs of examples with the class that C finds likeliest."""
    logits = self.classifier(image, train=True)
    return logits, self.judged(image, logits.argmax(-1))

  def discriminator_loss(self, batch):
    known, unknown = batch['real_labelled'], batch['real_unlabelled']
    fake = generate(self.generator, batch['latents'], train=True)
    check_same_shape(fake, known['image'])
    of_known, (_, of_unknown) = self.judged(known['image'], known['label']), self.guessed(unknown['image'])
    real = jnp.concatenate([of_known, of_unknown])
    made, (_, told) = self.judged(fake, batch['latents']['label']), self.guessed(batch['unlabelled']['image'])
    of_generator = losses.nonsaturating.discriminator(real, made)
    of_classifier = losses.nonsaturating.discriminator(real, told)
    shares = {'real': real > 0, 'generated': made < 0, 'classified': told < 0}
    accuracies = {f'{name}_accuracy': jnp.mean(right, dtype=jnp.float32) for name, right in shares.items()}
    return (of_generator + of_classifier) / 2, accuracies

  def generator_loss(self, batch):
    fake = generate(self.generator, batch['latents'], train=True)
    return losses.nonsaturating.generator(self.judged(fake, batch['latents']['label'])) / 2

  def supervised(self, labelled, logits: jax.Array, stage: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    """What C minimises without the other players; stage 1 is pre-training."""
    known = self.classifier(labelled['image'], train=True)
    self.check_classes(known)
    cross = losses.labels.cross_entropy(known, labelled['label'])
    shares = jax.nn.softmax(logits.astype(jnp.float32)).mean(0)
    balance = -jnp.log(jnp.maximum(shares, 1e-6)).mean()
    kernels = [w for path, w in flatten_dict(self.classifier.variables['params']).items() if path[-1] == 'kernel']
    decay = sum((jnp.sum(w**2) for w in kernels), jnp.zeros(()))
    loss = cross + self.entropy[stage] * losses.labels.entropy(logits) + self.balance[stage] * balance
    right = jnp.mean(known.argmax(-1) == labelled['label'], dtype=jnp.float32)
    return loss + self.decay * decay, {'supervised_loss': cross, 'labelled_accuracy': right}

  def check_classes(self, logits: jax.Array) -> None:
    """Raises a UserError unless all players and the latents have as many classes."""
    counts = {'classifier': logits.shape[1], 'latents.label': self.latents['label'].classes}
    for name in ('generator', 'discriminator'):
      counts[name] = getattr(getattr(self, name), 'classes', logits.shape[1])
    if len(set(counts.values())) > 1:
      told = ', '.join(f'config.game.{name}.classes={count}' for name, count in counts.items())
      raise UserError(f'{told}: make them equal')

  def pretraining_loss(self, batch):
    return self.supervised(batch['labelled'], self.classifier(batch['unlabelled']['image'], train=True), 1)

  def classifier_loss(self, batch):
    logits, told = self.guessed(batch['unlabelled']['image'])
    loss, metrics = self.supervised(batch['labelled'], logits, 0)
    surest = jax.nn.softmax(logits.astype(jnp.float32)).max(-1)
    adversarial = jnp.mean(surest * jax.nn.softplus(-told.astype(jnp.float32)))
    made = self.classifier(generate(self.generator, batch['latents'], train=True), train=True)
    pseudo = losses.labels.cross_entropy(made, batch['latents']['label'])
    weight = jnp.where(read_clock(self).stage_step >= self.pseudo_start, self.pseudo, 0.0)
    return loss + adversarial / 2 + weight * pseudo, {**metrics, 'adversarial': adversarial, 'pseudo': pseudo}

  def sample(self, batch):
    return generate(self.generator, batch['latents'], train=False)

  def classify(self, image: jax.Array) -> jax.Array:
    """C's logits (B, K), for the metric `classifier`."""
    return self.classifier(image, train=False)
