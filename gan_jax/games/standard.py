"""The standard two-player game: one generator, one discriminator, a pair of losses on logits.

GAN 2014 in the -log D form, DCGAN, LSGAN and WGAN are configs of it; with a class or tags among the latents, CGAN.
"""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.augment.augmentations import Adaptive, overfitting
from gan_jax.base.calls import resolve
from gan_jax.base.errors import UserError
from gan_jax.core.clock import read_parts
from gan_jax.core.game import Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.conditions import asked, condition_of, generate
from gan_jax.games.parts.coupling import check_uncoupled
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.latents.distributions import Latents, Normal


class Standard(nn.Module):
  """k discriminator moves, then one or more of the generator, each on its own loss.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, algorithm 1; with a condition in both players, Mirza
  and Osindero 2014, https://arxiv.org/abs/1411.1784, eq. 2.

  Attributes:
    generator: latents, train -> examples; if the game is conditional z, train, label -> examples.
    discriminator: examples, train -> logits; if the game is conditional with label.
    latents: what the generator starts from; {'z', 'label'} or {'z', 'tags'} makes the game conditional.
    loss: a pair of `gan_jax.losses` by name, dotted for one of your own, or built: {'name': 'smoothed', 'real': 0.9}.
    penalty: None, or a penalty of the discriminator, such as {'name': 'GradientPenalty', 'weight': 10.0}.
    augment: None, or an augmentation of all that the discriminator sees: {'name': 'DiffAugment'}, {'name': 'Adaptive'}.
    feature_matching: weight of the generator's feature matching loss beside its own; a discriminator that is asked for
      it takes `features=True` and returns (logits, features).
    discriminator_steps: k.
    generator_steps: moves of the generator after them.
    share_latents: the generator moves on the latents of the discriminator's last move, whose fakes need not be computed
      again: PyTorch's DCGAN example does, algorithm 1 of GAN 2014 draws anew.
    one_pass: the discriminator sees real and generated examples as one batch of 2B, where its loss needs both; only
      for discriminators that judge each example by itself. Refused are those with batch statistics, and those whose
      logit of an example changes with its neighbour (tried on two examples, with random weights, when the game is
      made); not found out is what couples larger groups only. differs: spectral norm makes one power iteration in a
      move, not two, and dropout has other masks.
    dynamics: None to take turns; or a rule by which both move at once, such as {'name': 'rule', 'of': 'extragradient',
      'rate': 1e-3} (`gan_jax.optim.dynamics`).
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((100,))
  loss: str | losses.AdversarialLoss = 'nonsaturating'
  penalty: Callable[..., Any] | None = None
  augment: Callable[..., jax.Array] | None = None
  feature_matching: float = 0.0
  discriminator_steps: int = 1
  generator_steps: int = 1
  share_latents: bool = False
  one_pass: bool = False
  dynamics: Callable[..., Any] | None = None

  @property
  def turns(self) -> tuple[Turn, ...]:
    if self.dynamics is not None:
      if (self.discriminator_steps, self.generator_steps, getattr(self.penalty, 'every', 1)) != (1, 1, 1):
        raise UserError(
          'config.game.dynamics moves both players at once: set discriminator_steps, generator_steps and every to 1'
        )
      if self.share_latents:
        raise UserError('config.game.dynamics moves both players at once, on the same latents: leave share_latents out')
      own = {'discriminator': 'discriminator_loss', 'generator': 'generator_loss'}
      return (Turn(('discriminator', 'generator'), own, dynamics=self.dynamics),)
    every = getattr(self.penalty, 'every', 1)
    # On what the discriminator has just judged, augmented alike: the eager penalty's points, and no data of its own.
    lazy = Turn(
      ('discriminator',), 'penalty_loss', when=lambda clock, variables: clock.step % every == 0, share='batch'
    )
    # A relativistic generator compares with data.
    streams = None if self.pair.relativistic or self.feature_matching else ()
    return (
      Turn(('discriminator',), 'discriminator_loss', repeat=self.discriminator_steps),
      *((lazy,) if every > 1 else ()),
      Turn(('generator',), 'generator_loss', self.generator_steps, streams, share=self.share_latents),
    )

  @property
  def pair(self) -> losses.AdversarialLoss:
    pair = resolve(self.loss, 'gan_jax.losses') if isinstance(self.loss, str) else self.loss
    if inspect.isfunction(pair) and all(p.default is not p.empty for p in inspect.signature(pair).parameters.values()):
      pair = pair()  # smoothed, targets: with their defaults
    if not isinstance(pair, losses.AdversarialLoss):
      pairs = [name for name in losses.__all__ if isinstance(getattr(losses, name), losses.AdversarialLoss)]
      raise UserError(f'config.game.loss={self.loss!r} is not an AdversarialLoss: choose one of {", ".join(pairs)}')
    return pair

  def setup(self):
    if isinstance(self.augment, Adaptive):
      self.probability = self.variable('table', 'augment_probability', jnp.zeros, ())
      # Of the last move, the mean over its microbatches and devices: each of these would decide for itself.
      self.overfitting = self.variable('table', 'augment_overfitting', jnp.zeros, ())

  def augmented(self, images):
    if self.augment is None:
      return images
    probability = (self.probability.value,) if isinstance(self.augment, Adaptive) else ()
    return self.augment(self.make_rng('noise'), images, *probability).astype(images.dtype)

  def judged(self, first, second, of_first, of_second, **wanted):
    """What the discriminator gives for two batches, one of them real: in two passes, or in one.

    Args:
      first: (B, ...).
      second: (B, ...).
      of_first: {} or the condition of the first.
      of_second: the same of the second.
      **wanted: what else the discriminator is asked for.
    """
    if not self.one_pass:
      # Separate passes: batch norm must not mix the statistics of real and fake.
      judge = lambda x, condition: self.discriminator(x, train=True, **condition, **wanted)
      return judge(first, of_first), judge(second, of_second)
    if first.shape != second.shape:
      raise UserError(
        f'config.game.one_pass takes as many real as generated examples, not {first.shape[0]} and {second.shape[0]}: '
        'set config.data.batch_size to config.batch_size, or one_pass=False'
      )
    # Not concatenated: rows stay on the devices that have them.
    mixed = lambda a, b: jnp.stack([a, b], 1).reshape(-1, *a.shape[1:])
    both = self.discriminator(mixed(first, second), train=True, **jax.tree.map(mixed, of_first, of_second), **wanted)
    if self.is_initializing():
      check_uncoupled(self.discriminator, first, **of_first)
    row = lambda i: jax.tree.map(lambda x: x.reshape(-1, 2, *x.shape[1:])[:, i], both)
    return row(0), row(1)

  def drawn(self, batch):
    """The latents of a move; where real and generated examples meet in pairs, with the condition of the real ones."""
    name = condition_of(batch['latents'])
    if name is None or (self.penalty is None and not self.pair.relativistic):
      return batch['latents']
    # A point between two examples, or one example less another, is of one class.
    return {**batch['latents'], name: batch['images'][name]}

  def discriminator_loss(self, batch):
    image, latents = batch['images']['image'], self.drawn(batch)
    fake = generate(self.generator, latents, train=True)
    check_same_shape(fake, image)
    if isinstance(self.augment, Adaptive) and not self.is_initializing():
      images = image.shape[0] * read_parts(self)
      self.probability.value = self.augment.next(self.probability.value, self.overfitting.value, images)
    image, fake = self.augmented(image), self.augmented(fake)
    of_real, of_fake = asked(latents, batch['images']), asked(latents, latents)
    real_logits, fake_logits = self.judged(image, fake, of_real, of_fake)
    check_head(self.pair, self.loss, real_logits)
    loss = self.pair.discriminator(real_logits, fake_logits)
    metrics = {'real_logit': real_logits.mean(), 'fake_logit': fake_logits.mean()}
    metrics |= accuracies(self.pair, real_logits, fake_logits)
    if isinstance(self.augment, Adaptive):
      if not self.is_initializing():
        self.overfitting.value = overfitting(real_logits)
      metrics['augment_probability'] = self.probability.value
    if self.penalty is not None and getattr(self.penalty, 'every', 1) == 1:
      metrics['penalty'] = self.penalty(self.discriminator, self.make_rng('noise'), image, fake, **of_real)
      loss += metrics['penalty']
    return loss, metrics

  def penalty_loss(self, batch):
    assert self.penalty is not None  # or there is no such turn
    image, latents = batch['images']['image'], self.drawn(batch)
    fake = generate(self.generator, latents, train=True)
    # Drawn in the order of the discriminator's loss, whose noise this turn shares.
    image, fake = self.augmented(image), self.augmented(fake)
    return self.penalty(self.discriminator, self.make_rng('noise'), image, fake, **asked(latents, batch['images']))

  def generator_loss(self, batch):
    latents = self.drawn(batch) if 'images' in batch else batch['latents']
    fake, of_fake = self.augmented(generate(self.generator, latents, train=True)), asked(latents, latents)
    if not (self.pair.relativistic or self.feature_matching):
      return self.pair.generator(self.discriminator(fake, train=True, **of_fake))
    real, of_real = self.augmented(batch['images']['image']), asked(latents, batch['images'])
    if not self.feature_matching:
      return self.pair.generator(*self.judged(fake, real, of_fake, of_real))
    (fake_logits, fake_features), (real_logits, real_features) = self.judged(
      fake, real, of_fake, of_real, features=True
    )
    matching = losses.features.feature_matching(real_features, fake_features)
    loss = self.pair.generator(fake_logits, real_logits) + self.feature_matching * matching
    return loss, {'feature_matching': matching}

  @property
  def boundary(self) -> float | None:
    return self.pair.boundary

  def logits(self, image: jax.Array) -> jax.Array:
    """What the discriminator says of examples (B, ...), (B,): a mean over patches, the log-odds of two outputs."""
    logits = self.discriminator(image, train=False)
    if self.pair.outputs == 2:
      return logits[..., 1] - logits[..., 0]
    return logits.reshape(len(logits), -1).mean(1)

  def layers(self, image: jax.Array) -> list[jax.Array]:
    """What the discriminator's layers see in pictures (B, H, W, C)."""
    if 'layers' not in inspect.signature(type(self.discriminator).__call__).parameters:
      raise UserError(
        f'{type(self.discriminator).__name__} does not give its layers: leave the metric probe out, or give its call '
        'an argument `layers`, as nets.dcgan.Discriminator has'
      )
    return self.discriminator(image, train=False, layers=True)[1]

  def sample(self, batch, train=False):
    return generate(self.generator, batch['latents'], train=train)
