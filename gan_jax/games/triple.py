"""Triple-GAN: a generator and a classifier both make pairs (example, class); a discriminator judges the pairs.

  min_D  -E[log D(x, y)] - 1/2 E[log(1 - D(G(z, y), y))] - 1/2 E[log(1 - D(x, C(x)))]
  min_G  -1/2 E[log D(G(z, y), y)]
  min_C  -1/2 E[max_y p_C(y | x) log D(x, C(x))] - E[log p_C(y | x)] + alpha_P R_P + entropy and balance of C(x)

C(x) is the class that C predicts, and R_P = -E[log p_C(y | G(z, y))], the pseudo-discriminative loss.

Source: Li et al. 2017, https://arxiv.org/abs/1703.02291, algorithm 1; the authors' code (zhenxuan00/triple-gan), in
which most of D's real pairs are unlabelled examples with their prediction C(x), and C's loss has the last two terms.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.conditions import generate
from gan_jax.games.parts.fit import check_head, check_same_shape


class TripleGAN(nn.Module):
  """Three players and four data streams.

  The classifier reads 'labelled' and 'unlabelled'. The discriminator's real pairs come from 'real_labelled' and
  'real_unlabelled'. Each stream has its own batch size.

  Attributes:
    generator: latents, label, train -> examples.
    discriminator: examples, label, train -> logits (B,).
    classifier: examples, train -> logits (B, K).
    latents: 'z' and 'label'.
    entropy: weights of the entropy of C's predictions, (in training, in pre-training).
    balance: weights of the cross-entropy between equal shares and C's mean prediction, (in training, in pre-training).
    decay: weight of the sum of squares of C's kernels (weight decay).
    decayed: the layer of C whose kernels these are, by its name among C's parameters; '' for all layers.
    pseudo: alpha_P, the weight of R_P.
    fakes: C learns of generated pairs too. Without, as in the authors' first epochs, there is no R_P, and C's batch
      statistics are those of data alone.
    pretraining: only C learns. For a first stage, before the other players move.
  """

  generator: nn.Module
  discriminator: nn.Module
  classifier: nn.Module
  latents: Mapping[str, Any]
  entropy: tuple[float, float] = (0.3, 0.3)
  balance: tuple[float, float] = (0.001, 0.3)
  decay: float = 1e-4
  decayed: str = ''
  pseudo: float = 0.1
  fakes: bool = True
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

  def pair_logits(self, image: jax.Array, label: jax.Array) -> jax.Array:
    """The discriminator's logits (B,) of pairs."""
    return self.discriminator(image, train=True, label=label)

  def predicted_pairs(self, image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(C's class logits (B, K), the discriminator's logits (B,) of the pairs of an example and C's prediction)."""
    logits = self.classifier(image, train=True)
    return logits, self.pair_logits(image, logits.argmax(-1))

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    labelled, unlabelled = batch['real_labelled'], batch['real_unlabelled']
    fake = generate(self.generator, batch['latents'], train=True)
    check_same_shape(fake, labelled['image'])
    labelled_logits = self.pair_logits(labelled['image'], labelled['label'])
    check_head(losses.nonsaturating, '', labelled_logits)
    _, unlabelled_logits = self.predicted_pairs(unlabelled['image'])
    real = jnp.concatenate([labelled_logits, unlabelled_logits])
    generated = self.pair_logits(fake, batch['latents']['label'])
    _, classified = self.predicted_pairs(batch['unlabelled']['image'])
    against_generator = losses.nonsaturating.discriminator(real, generated)
    against_classifier = losses.nonsaturating.discriminator(real, classified)
    shares = {'real': real > 0, 'generated': generated < 0, 'classified': classified < 0}
    accuracies = {f'{name}_accuracy': jnp.mean(right, dtype=jnp.float32) for name, right in shares.items()}
    return (against_generator + against_classifier) / 2, accuracies

  def generator_loss(self, batch: Batch) -> jax.Array:
    fake = generate(self.generator, batch['latents'], train=True)
    return losses.nonsaturating.generator(self.pair_logits(fake, batch['latents']['label'])) / 2

  def supervised(self, labelled, logits: jax.Array, stage: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    """What C minimises without the other players; stage 1 is pre-training."""
    known = self.classifier(labelled['image'], train=True)
    self.check_classes(known)
    cross = losses.labels.cross_entropy(known, labelled['label'])
    shares = jax.nn.softmax(logits.astype(jnp.float32)).mean(0)
    balance = -jnp.log(jnp.maximum(shares, 1e-6)).mean()
    params = self.classifier.variables['params']
    if self.decayed and self.decayed not in params:
      raise UserError(f'decayed is {self.decayed!r}, but the layers of the classifier are {", ".join(sorted(params))}')
    chosen = {self.decayed: params[self.decayed]} if self.decayed else params
    kernels = [w for path, w in flatten_dict(chosen).items() if path[-1] == 'kernel']
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

  def classifier_loss(self, batch: Batch) -> LossAndMetrics:
    logits, pair_logits = self.predicted_pairs(batch['unlabelled']['image'])
    loss, metrics = self.supervised(batch['labelled'], logits, 0)
    confidence = jax.nn.softmax(logits.astype(jnp.float32)).max(-1)
    adversarial = jnp.mean(confidence * jax.nn.softplus(-pair_logits.astype(jnp.float32)))
    loss, metrics = loss + adversarial / 2, {**metrics, 'adversarial': adversarial}
    if not self.fakes:
      return loss, metrics
    fake_logits = self.classifier(generate(self.generator, batch['latents'], train=True), train=True)
    pseudo = losses.labels.cross_entropy(fake_logits, batch['latents']['label'])
    return loss + self.pseudo * pseudo, {**metrics, 'pseudo': pseudo}

  def sample(self, batch: Batch) -> jax.Array:
    return generate(self.generator, batch['latents'], train=False)

  def classify(self, image: jax.Array) -> jax.Array:
    """C's class logits (B, K). For the metric `classifier`."""
    return self.classifier(image, train=False)
