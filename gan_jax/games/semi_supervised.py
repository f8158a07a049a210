"""Semi-supervised GAN: the discriminator is a classifier that also learns from unlabelled examples and from fakes.

  real(x) = log sum_{k <= K} exp l_k - l_{K+1}            how real an example is, from its class logits
  min_D  -E[log p(y | x)] - w (E[log D(x)] + E[log(1 - D(G(z)))]),   D = sigmoid(real)
  min_G  |E f(x) - E f(G(z))|                             Salimans: features of D's last hidden layer
  min_G  -E[log D(G(z))]                                  Odena

Sources: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5: K logits, l_{K+1} = 0, and w = 1/2 in the
authors' code (openai/improved-gan). Odena 2016, https://arxiv.org/abs/1606.01583: K + 1 logits, the last for
fakes; the classifier's loss on a labelled example includes that class.

differs: Odena's form also learns from unlabelled examples: they belong to one of the K classes.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Latents, Uniform

FORMS = ('salimans', 'odena')


class SemiSupervised(nn.Module):
  """Two players. The discriminator also predicts classes. The data streams are 'labelled' and 'unlabelled'.

  Attributes:
    generator: latents, train -> examples.
    discriminator: examples, train -> logits (B, K), of Odena's form (B, K + 1), the last for fakes; with
      `features=True` (logits, features (B, n)).
    latents: what the generator starts from.
    classes: K.
    form: 'salimans' or 'odena'.
    weight: w, the weight of the unsupervised loss.
    norm: norm of Salimans' feature matching, 'l2' or 'l1'.
    supervised: train only the classifier, on the labelled stream, as a baseline.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Uniform((100,), 0.0, 1.0)
  classes: int = 10
  form: Literal['salimans', 'odena'] = 'salimans'
  weight: float = 0.5
  norm: Literal['l2', 'l1'] = 'l2'
  supervised: bool = False

  @property
  def frozen(self) -> tuple[str, ...]:
    return ('generator',) if self.supervised else ()

  @property
  def turns(self) -> tuple[Turn, ...]:
    if self.supervised:
      return (Turn(('discriminator',), 'classifier_loss', streams=('labelled',)),)
    return (
      Turn(('discriminator',), 'discriminator_loss', streams=('labelled', 'unlabelled')),
      Turn(('generator',), 'generator_loss', streams=('unlabelled',)),
    )

  def setup(self) -> None:
    if self.form not in FORMS:
      raise one_of('config.game.form', self.form, FORMS)

  def real_logit(self, logits: jax.Array) -> jax.Array:
    """The logit of "real", (B,), from class logits (B, K) or (B, K + 1)."""
    if self.form == 'salimans':
      return losses.labels.real_logit(logits)
    return losses.labels.real_logit(logits[:, :-1]) - logits[:, -1].astype(jnp.float32)

  def classifier_loss(self, batch: Batch) -> LossAndMetrics:
    labelled = batch['labelled']
    logits = self.discriminator(labelled['image'], train=True)
    outputs = self.classes + (self.form == 'odena')
    if logits.shape[1:] != (outputs,):
      raise UserError(
        f'form={self.form!r} of {self.classes} classes takes {outputs} logits, the discriminator gives '
        f'{logits.shape[1:]}: set config.game.discriminator.classes={outputs}'
      )
    right = jnp.mean(logits.argmax(-1) == labelled['label'], dtype=jnp.float32)
    return losses.labels.cross_entropy(logits, labelled['label']), {'labelled_accuracy': right}

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image, fake = batch['unlabelled']['image'], self.generator(batch['latents'], train=True)
    check_same_shape(fake, image)
    supervised, metrics = self.classifier_loss(batch)
    real_logits = self.real_logit(self.discriminator(image, train=True))
    fake_logits = self.real_logit(self.discriminator(fake, train=True))
    unsupervised = losses.nonsaturating.discriminator(real_logits, fake_logits)
    metrics |= {'supervised_loss': supervised, 'unsupervised_loss': unsupervised}
    return supervised + self.weight * unsupervised, metrics

  def generator_loss(self, batch: Batch) -> jax.Array:
    fake = self.generator(batch['latents'], train=True)
    if self.form == 'odena':
      return losses.nonsaturating.generator(self.real_logit(self.discriminator(fake, train=True)))
    _, fake_features = self.discriminator(fake, train=True, features=True)
    _, real_features = self.discriminator(batch['unlabelled']['image'], train=True, features=True)
    return losses.features.feature_matching(real_features, fake_features, norm=self.norm)

  def sample(self, batch: Batch) -> jax.Array:
    return self.generator(batch['latents'], train=False)

  def classify(self, image: jax.Array) -> jax.Array:
    """Class logits (B, K) of examples (B, ...). For the metric `classifier`."""
    logits = self.discriminator(image, train=False)
    return logits[:, :-1] if self.form == 'odena' else logits
