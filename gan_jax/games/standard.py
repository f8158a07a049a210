"""The standard two-player game: one generator, one discriminator, a pair of losses on logits.

GAN 2014 in the -log D form, DCGAN, LSGAN and WGAN are configs of it. With a class or tags in the latents it is CGAN;
with a text of the data it paints what is told.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.augment.augmentations import Adaptive, Scheduled, overfitting
from gan_jax.base.errors import Absent, UserError, one_of
from gan_jax.core.clock import read_clock, read_parts
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.accuracies import accuracies, certainty
from gan_jax.games.parts.conditions import check_one_condition, condition_kwargs, condition_of, generate
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.pairs import pair_of
from gan_jax.games.parts.passes import one_each, passes
from gan_jax.games.parts.penalties import penalty_of
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.optim.schedules import Schedule


class Standard(nn.Module):
  """k moves of the discriminator, then one or more moves of the generator. Each player has its own loss.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, algorithm 1; with a condition in both players, Mirza
  and Osindero 2014, https://arxiv.org/abs/1411.1784, eq. 2.

  Attributes:
    generator: latents, train -> examples; in a conditional game z, train, label -> examples.
    discriminator: examples, train -> logits; in a conditional game examples, train, label -> logits.
    latents: distribution of the generator's input; {'z', 'label'} or {'z', 'tags'} makes the game conditional.
    loss: an `AdversarialLoss`: a name in `gan_jax.losses`, the dotted name of your own, or a function with its
      arguments, {'name': 'smoothed', 'real': 0.9}.
    penalty: None, or a penalty of the discriminator, such as {'name': 'GradientPenalty', 'weight': 10.0}.
    penalty_schedule: None, or a factor of the penalty by the step, such as {'name': 'optim.schedules.cosine', ...}.
    augment: None, or an augmentation of the discriminator's inputs: {'name': 'DiffAugment'}, {'name': 'Adaptive'}.
    feature_matching: weight of a feature matching loss that is added to the generator's loss. The discriminator must
      then take `features=True` and return (logits, features).
    discriminator_steps: k, the number of discriminator moves in a step.
    generator_steps: the number of generator moves in a step.
    share_latents: the generator reuses the latents of the discriminator's last move, so its fakes are not computed
      twice. PyTorch's DCGAN example does this; algorithm 1 of GAN 2014 draws new latents.
    one_pass: the discriminator gets real and generated examples in one batch of 2B instead of two batches of B. Use it
      only if the discriminator computes each logit from one example alone. The game checks this when it is made: it
      rejects batch statistics, and it rejects a network whose logit for one example changes when the other example of
      a batch of two changes. It cannot detect a network that mixes only groups of three or more examples.
      differs: spectral norm makes one power iteration per move instead of two, and dropout uses other masks.
    dynamics: None: the players take turns. Or a rule with which both move at once, such as {'name': 'rule', 'of':
      'extragradient', 'rate': 1e-3} (`gan_jax.optim.dynamics`).
    most_accuracy: the discriminator moves only if its accuracy on the last batch, after its turn, was at most this
      (3D-GAN's 0.8). 1.0 for always.
    condition: a column of the data, such as a text, that both networks take as `label`: generated examples have those
      of the batch's real ones, and when it samples those of the data. '' for none.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((100,))
  loss: str | losses.AdversarialLoss = 'nonsaturating'
  penalty: Callable[..., Any] | None = None
  penalty_schedule: Schedule | None = None
  augment: Callable[..., jax.Array] | None = None
  feature_matching: float = 0.0
  discriminator_steps: int = 1
  generator_steps: int = 1
  share_latents: bool = False
  one_pass: bool = False
  dynamics: Callable[..., Any] | None = None
  most_accuracy: float = 1.0
  condition: str = ''

  @property
  def inputs(self) -> tuple[str, ...] | None:
    """With a condition of the data it samples from data too."""
    return ('images',) if self.condition else None

  def check_training(self, streams: Mapping[str, Any]) -> None:
    """Raises a UserError for two conditions, a schedule of no penalty, and logits that cannot adapt an augmentation."""
    check_one_condition(self.latents)
    self._check_adaptive()
    if self.penalty_schedule is not None and self.penalty is None:
      raise UserError(
        'config.game.penalty_schedule is the factor of a penalty, and config.game.penalty is None: set a penalty, or '
        'penalty_schedule=None (with --config.resume=force, where a run goes on)'
      )

  def _check_adaptive(self) -> None:
    if isinstance(self.augment, Adaptive) and self.pair.boundary is None:
      raise UserError(
        f'config.game.augment: Adaptive asks how much of the data is judged real, which logits of {self.loss!r} do not '
        "say: choose another loss, or {'name': 'Scheduled', ...}"
      )

  @property
  def turns(self) -> tuple[Turn, ...]:
    if not 0 < self.most_accuracy <= 1:
      raise UserError(f'config.game.most_accuracy={self.most_accuracy} must be above 0 and at most 1, such as 0.8')
    if self.dynamics is not None:
      if (self.discriminator_steps, self.generator_steps, getattr(self.penalty, 'every', 1)) != (1, 1, 1):
        raise UserError(
          'config.game.dynamics moves both players at once: set discriminator_steps, generator_steps and every to 1'
        )
      if self.share_latents:
        raise UserError('config.game.dynamics moves both players at once, on the same latents: leave share_latents out')
      if self.most_accuracy < 1:
        raise UserError('config.game.dynamics moves both players at once: leave most_accuracy at 1.0')
      loss_of = {'discriminator': 'discriminator_loss', 'generator': 'generator_loss'}
      return (Turn(('discriminator', 'generator'), loss_of, dynamics=self.dynamics),)
    if self.most_accuracy < 1 and self.pair.boundary is None:
      raise UserError(
        f'config.game.most_accuracy={self.most_accuracy} needs a loss whose logits say real or not, which '
        f'{self.loss!r} does not: choose another loss, or leave most_accuracy at 1.0'
      )
    every = getattr(self.penalty, 'every', 1)
    # A relativistic generator compares with data, and a condition comes from them.
    streams = None if self.pair.relativistic or self.feature_matching or self.condition else ()
    rule = None
    if self.most_accuracy < 1:
      rule = lambda clock, variables: variables['table']['accuracy'] <= self.most_accuracy

    def due(clock: Any, variables: Any) -> Any:
      now = clock.step % every == 0
      return now if rule is None else now & rule(clock, variables)  # where the discriminator rests, so does its penalty

    # On what the discriminator has just judged, augmented alike: the eager penalty's points, and no data of its own.
    lazy = Turn(('discriminator',), 'penalty_loss', when=due, share='batch')
    return (
      Turn(('discriminator',), 'discriminator_loss', repeat=self.discriminator_steps, when=rule),
      *((lazy,) if every > 1 else ()),
      *((Turn((), 'accuracy', share='batch'),) if rule else ()),
      Turn(('generator',), 'generator_loss', self.generator_steps, streams, share=self.share_latents),
    )

  @property
  def pair(self) -> losses.AdversarialLoss:
    """The loss as an `AdversarialLoss`."""
    return pair_of(self.loss)

  def setup(self) -> None:
    if self.most_accuracy < 1:
      self.last_accuracy = self.variable('table', 'accuracy', jnp.zeros, (), jnp.float32)
    if isinstance(self.augment, Adaptive):
      self.probability = self.variable('table', 'augment_probability', jnp.zeros, (), jnp.float32)
      # The mean overfitting of the last `every` moves, and over microbatches and devices, so that all use one number.
      self.overfitting = self.variable('table', 'augment_overfitting', jnp.zeros, (), jnp.float32)
      if self.augment.every > 1:
        self.judged = self.variable('table', 'augment_moves', jnp.zeros, (), jnp.float32)

  def augmented(self, images: jax.Array) -> jax.Array:
    """The images after `augment`."""
    if self.augment is None:
      return images
    return self.augment(self.make_rng('noise'), images, *self.chance()).astype(images.dtype)

  def chance(self) -> tuple[jax.Array, ...]:
    """The last argument of `augment`, if it takes one: the probability of each transformation now."""
    if isinstance(self.augment, Scheduled):
      return (self.augment.probability(read_clock(self).step),)
    return (self.probability.value,) if isinstance(self.augment, Adaptive) else ()

  def _adapt(self, augment: Adaptive, images: int) -> None:
    """Before a move on `images` images: changes the probability of augmentation, if that is due."""
    changed = augment.next(self.probability.value, self.overfitting.value, images * augment.every)
    due: Any = True
    if augment.every > 1:
      due = self.judged.value >= augment.every
      self.judged.value = jnp.where(due, 0.0, self.judged.value) + 1
    self.probability.value = jnp.where(due, changed, self.probability.value)
    self.overfitting.value = jnp.where(due, 0.0, self.overfitting.value)

  def discriminate(
    self,
    first: jax.Array,
    second: jax.Array,
    first_condition: Mapping[str, jax.Array],
    second_condition: Mapping[str, jax.Array],
    **options: Any,
  ) -> tuple[Any, Any]:
    """Applies the discriminator to two batches, one real and one generated, in two passes or in one.

    Args:
      first: (B, ...).
      second: (B, ...).
      first_condition: {'label': condition of the first batch}, or {}.
      second_condition: the same for the second batch.
      **options: further arguments of the discriminator, such as features=True.

    Returns:
      (outputs for the first batch, outputs for the second batch).
    """
    conditions = (first_condition, second_condition)
    one, other = passes(self.discriminator, first, second, one=self.one_pass, conditions=conditions, **options)
    return one, other

  def conditioned(self, batch: Batch) -> Batch:
    """The batch with the column `condition` as the label of the data and of the latents."""
    if not self.condition:
      return batch
    fields, latents = batch['images'], batch['latents']
    if self.condition not in fields:
      if not self.is_initializing():
        raise Absent(self.condition)  # of samples whose data are not there, or that start from pictures alone
      raise one_of('column in config.game.condition', self.condition, fields)
    if isinstance(latents, Mapping):
      raise UserError(
        f'config.game.condition={self.condition!r} comes from the data: make config.game.latents one distribution'
      )
    value = fields[self.condition]
    # Not `len`, which no exported game of any number of examples has; `Scales` are a tuple.
    if value.shape[0] != (count := jax.tree.leaves(latents)[0].shape[0]):
      raise UserError(
        f'config.game.condition={self.condition!r} needs as many examples as latents, not {value.shape[0]} and '
        f'{count}: leave config.data.batch_size out'
      )
    return {**batch, 'images': {**fields, 'label': value}, 'latents': {'z': latents, 'label': value}}

  def paired_latents(self, batch: Batch) -> Any:
    """The latents of a move. If the loss or the penalty compares examples in pairs, they get the data's condition."""
    name = condition_of(batch['latents'])
    if name is None or (self.penalty is None and not self.pair.relativistic):
      return batch['latents']
    # Points between a real and a generated example, and differences of their logits, make sense only within one class.
    return {**batch['latents'], name: batch['images'][name]}

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    batch = self.conditioned(batch)
    image, latents = batch['images']['image'], self.paired_latents(batch)
    fake = generate(self.generator, latents, train=True)
    check_same_shape(fake, image)
    if isinstance(self.augment, Adaptive) and not self.is_initializing():
      self._adapt(self.augment, image.shape[0] * read_parts(self))
    image, fake = self.augmented(image), self.augmented(fake)
    real_condition, fake_condition = condition_kwargs(latents, batch['images']), condition_kwargs(latents, latents)
    real_logits, fake_logits = self.discriminate(image, fake, real_condition, fake_condition)
    check_head(self.pair, self.loss, real_logits)
    loss = self.pair.discriminator(real_logits, fake_logits)
    metrics = {
      'real_logit': self.pair.log_odds(real_logits).mean(),
      'fake_logit': self.pair.log_odds(fake_logits).mean(),
    }
    metrics |= accuracies(self.pair, real_logits, fake_logits)
    if isinstance(self.augment, Adaptive):
      if not self.is_initializing():
        self._check_adaptive()
        self.overfitting.value += overfitting(certainty(self.pair, real_logits)) / self.augment.every
      metrics['augment_probability'] = self.probability.value
    if self.penalty is not None and getattr(self.penalty, 'every', 1) == 1:
      metrics['penalty'] = self.penalized(image, fake, real_condition)
      loss += metrics['penalty']
    return loss, metrics

  def accuracy(self, batch: Batch) -> jax.Array:
    """The share of the discriminator's last batch that it judges rightly now, kept for its next turn."""
    batch = self.conditioned(batch)
    image, latents = batch['images']['image'], self.paired_latents(batch)
    # In the same order as in the discriminator's loss, because this turn shares its noise.
    image, fake = self.augmented(image), self.augmented(generate(self.generator, latents, train=True))
    conditions = condition_kwargs(latents, batch['images']), condition_kwargs(latents, latents)
    shares = accuracies(self.pair, *self.discriminate(image, fake, *conditions))
    accuracy = (shares['real_accuracy'] + shares['fake_accuracy']) / 2
    if not self.is_initializing():
      self.last_accuracy.value = accuracy
    return accuracy

  def penalty_loss(self, batch: Batch) -> jax.Array:
    """The lazy penalty, for all moves of the discriminator in a step."""
    batch = self.conditioned(batch)
    image, latents = batch['images']['image'], self.paired_latents(batch)
    fake = generate(self.generator, latents, train=True)
    # In the same order as in the discriminator's loss, because this turn shares its noise.
    image, fake = self.augmented(image), self.augmented(fake)
    return self.discriminator_steps * self.penalized(image, fake, condition_kwargs(latents, batch['images']))

  def penalized(self, image: jax.Array, fake: jax.Array, condition: Mapping[str, jax.Array]) -> jax.Array:
    """The penalty of real and generated images, as they are augmented, times its schedule."""
    assert self.penalty is not None
    key = self.make_rng('noise')
    return self.scheduled(penalty_of(self.penalty, self.pair, self.discriminator, key, image, fake, **condition))

  def scheduled(self, penalty: jax.Array) -> jax.Array:
    """The penalty times `penalty_schedule`."""
    return penalty if self.penalty_schedule is None else penalty * self.penalty_schedule(read_clock(self).step)

  def generator_loss(self, batch: Batch) -> jax.Array | LossAndMetrics:
    batch = self.conditioned(batch)
    latents = self.paired_latents(batch) if 'images' in batch else batch['latents']
    fake, fake_condition = (
      self.augmented(generate(self.generator, latents, train=True)),
      condition_kwargs(latents, latents),
    )
    if not (self.pair.relativistic or self.feature_matching):
      return self.pair.generator(self.discriminator(fake, train=True, **fake_condition))
    real, real_condition = self.augmented(batch['images']['image']), condition_kwargs(latents, batch['images'])
    if not self.feature_matching:
      return self.pair.generator(*self.discriminate(fake, real, fake_condition, real_condition))
    (fake_logits, fake_features), (real_logits, real_features) = self.discriminate(
      fake, real, fake_condition, real_condition, features=True
    )
    matching = losses.features.feature_matching(real_features, fake_features)
    loss = self.pair.generator(fake_logits, real_logits) + self.feature_matching * matching
    return loss, {'feature_matching': matching}

  @property
  def boundary(self) -> float | None:
    return self.pair.boundary

  def logits(self, image: jax.Array) -> jax.Array:
    """Logits (B,) of examples (B, ...): the mean over patches, or the difference of two outputs of a softmax head."""
    return one_each(self.pair.log_odds(self.discriminator(image, train=False)))

  def layers(self, image: jax.Array) -> list[jax.Array]:
    """The feature maps of the discriminator's layers for images (B, H, W, C)."""
    if 'layers' not in inspect.signature(type(self.discriminator).__call__).parameters:
      raise UserError(
        f'{type(self.discriminator).__name__} does not return its layers: leave the metric probe out, or add an '
        'argument `layers` to its call, as nets.dcgan.Discriminator has'
      )
    return self.discriminator(image, train=False, layers=True)[1]

  def sample(self, batch: Batch, train: bool = False) -> jax.Array:
    return generate(self.generator, self.conditioned(batch)['latents'], train=train)
