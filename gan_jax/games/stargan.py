r"""StarGAN: one generator for many domains: a picture and the wanted attributes to the picture with those.

  min_D  -L_adv + lambda_cls E[-log D_cls(c | x)]
  min_G   L_adv + lambda_cls E[-log D_cls(c' | G(x, c'))] + lambda_rec E|x - G(G(x, c'), c)|

c are the attributes of x, c' those of another example; L_adv is Wasserstein's with a penalty.

Source: Choi et al. 2017, https://arxiv.org/abs/1711.09020, eq. 1 to 8; the authors' PyTorch code (yunjey/stargan).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gan_jax import losses
from gan_jax.base.errors import UserError, one_of
from gan_jax.base.precision import full_precision
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.core.sampled import Output
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.pairs import pair_of
from gan_jax.games.parts.penalties import check_eager, penalty_of
from gan_jax.nets.layers.basic import condition


class StarGAN(nn.Module):
  """Two players. The stream 'images' has pictures with attributes, or with a label.

  Attributes:
    generator: pictures, attributes (B, n), train -> pictures.
    discriminator: pictures, train -> (logits, logits of the attributes (B, n)); with classify=False the first alone.
    domains: names of the attributes, or of the classes: `field` is 'attributes' (0 or 1 each) or 'label'.
    exclusive: attributes of which a picture has one, such as the colours of hair; others are turned over in samples.
    loss: an `AdversarialLoss`, as in the standard game.
    penalty: None, or a penalty of the discriminator.
    classifier: lambda_cls.
    cycle: lambda_rec.
    discriminator_steps: moves of the discriminator in a step; the generator takes the batch of the last.
  """

  generator: nn.Module
  discriminator: nn.Module
  domains: tuple[str, ...]
  field: Literal['attributes', 'label'] = 'attributes'
  exclusive: tuple[str, ...] = ()
  loss: str | losses.AdversarialLoss = 'wasserstein'
  penalty: Callable[..., Any] | None = None
  classifier: float = 1.0
  cycle: float = 10.0
  discriminator_steps: int = 5
  latents = None
  #: Each picture is asked for what another of its batch is.
  fewest = 2

  def check_training(self, streams: Mapping[str, Any]) -> None:
    """Raises a UserError for a lazy penalty, and for classes or attributes that `domains` does not name."""
    check_eager(self.penalty, self)
    names = getattr(streams['images'].kinds.get('attributes'), 'names', ())
    # Domains may be titles of one's own, for all columns.
    if self.field == 'attributes' and set(names) & set(self.domains) and tuple(names) != tuple(self.domains):
      raise UserError(
        f'config.game.domains={tuple(self.domains)} but the column of attributes has names={tuple(names)}: give both '
        'the same names in the same order'
      )
    classes = streams['images'].classes
    if self.field == 'label' and classes != len(self.domains):
      raise UserError(
        f'config.game.domains names {len(self.domains)} classes, the data have {classes}: name each, or set '
        f'config.data.classes={len(self.domains)}'
      )

  @property
  def turns(self) -> tuple[Turn, ...]:
    return (
      Turn(('discriminator',), 'discriminator_loss', self.discriminator_steps),
      Turn(('generator',), 'generator_loss', share='batch'),
    )

  @property
  def asked_as(self) -> dict[str, str]:
    """A condition says what a sample should have; `field` is what its input has."""
    return {self.field: 'wanted'}

  @property
  def outputs(self) -> dict[str, Output]:
    return {name: Output('images', of='images') for name in self.domains}

  def setup(self) -> None:
    for name in self.exclusive:
      if name not in self.domains:
        raise one_of('config.game.exclusive', name, self.domains)

  def attributes(self, fields: Any) -> jax.Array:
    """(B, n) attributes of examples: 0 and 1, of classes one 1; NaN of a class that there is not."""
    known = fields[self.field]
    found = condition(known, len(self.domains)) if self.field == 'label' else known
    if found.shape[-1] != len(self.domains):
      raise UserError(
        f'the data have {found.shape[-1]} attributes but config.game.domains names {len(self.domains)}: name each once'
      )
    return found

  def classified(self, logits: jax.Array, wanted: jax.Array) -> jax.Array:
    """The classifier's loss, summed over attributes."""
    told, wanted_count = logits.shape[-1], len(self.domains)
    wrong = told < wanted_count if self.field == 'label' else told != wanted_count
    # One logit would be compared with every attribute, or one attribute with every logit. Such runs are still loaded.
    loaded = self.is_initializing() and (self.field == 'label' or 1 in (told, wanted_count))
    if wrong and not loaded:
      raise UserError(
        f'the discriminator tells {told} attributes but config.game.domains names {wanted_count}: set '
        f'config.game.discriminator.domains={wanted_count}'
      )
    if self.field == 'label':
      # NaN of a class that there is not, which has no largest entry.
      return losses.labels.cross_entropy(logits, wanted.argmax(-1)) + 0.0 * wanted.sum()
    each = optax.sigmoid_binary_cross_entropy(full_precision(logits), full_precision(wanted))
    return each.sum(-1).mean()

  def moved(self, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """(pictures, their attributes, those of others, the pictures with these)."""
    image, own = batch['images']['image'], self.attributes(batch['images'])
    wanted = jax.random.permutation(self.make_rng('noise'), own)
    fake = self.generator(image, wanted, train=True)
    check_same_shape(fake, image)
    return image, own, wanted, fake

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    image, own, _, fake = self.moved(batch)
    real_logits, of_real = self.discriminator(image, train=True)
    fake_logits = self.discriminator(fake, train=True, classify=False)
    pair = pair_of(self.loss)
    check_head(pair, self.loss, real_logits)
    terms = {
      'judged': pair.discriminator(real_logits, fake_logits),
      'classified': self.classifier * self.classified(of_real, own),
    }
    if self.penalty is not None:
      key = self.make_rng('noise')
      terms['penalty'] = penalty_of(self.penalty, pair, self.discriminator, key, image, fake, classify=False)
    return sum(terms.values(), jnp.zeros(())), terms

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    image, own, wanted, fake = self.moved(batch)
    logits, of_fake = self.discriminator(fake, train=True)
    again = self.generator(fake, own, train=True)
    pair = pair_of(self.loss)
    real_logits = self.discriminator(image, train=True, classify=False) if pair.relativistic else None
    terms = {
      'fooled': pair.generator(logits, real_logits),
      'obeyed': self.classifier * self.classified(of_fake, wanted),
      'cycle': self.cycle * losses.reconstruction.absolute_error(again, image),
    }
    return sum(terms.values(), jnp.zeros(())), terms

  def wanted(self, own: jax.Array, name: str) -> jax.Array:
    """The attributes (B, n) with one of them changed: a class or an exclusive one set, another turned over."""
    place = self.domains.index(name)
    exclusive = self.domains if self.field == 'label' else self.exclusive
    if name not in exclusive:
      return own.at[:, place].set(1.0 - own[:, place])
    others = jnp.array([self.domains.index(other) for other in exclusive])
    return own.at[:, others].set(0.0).at[:, place].set(1.0)

  def obeyed(self, wanted: jax.Array, fields: Mapping[str, Any]) -> jax.Array:
    """The attributes (B, n) with those of a condition, which clears the others of an exclusive one that it sets."""
    if 'wanted' not in fields:
      return wanted
    asked = fields['wanted']
    if self.field == 'label':  # of a way between two classes their shares
      return condition(asked, len(self.domains))
    said = ~jnp.isnan(asked)
    places = jnp.array([self.domains.index(name) for name in self.exclusive], jnp.int32)
    set_one = (said & (asked > 0))[:, places].any(-1, keepdims=True)
    cleared = wanted.at[:, places].multiply(jnp.where(set_one, 0.0, 1.0))
    return jnp.where(said, jnp.nan_to_num(asked), cleared)

  def known(self, batch: Batch) -> jax.Array:
    """The attributes of examples; without any, what the discriminator takes them for."""
    if self.field in batch['images']:
      return self.attributes(batch['images'])
    logits = self.discriminator(batch['images']['image'], train=False)[1]
    guessed = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1]) if self.field == 'label' else logits > 0
    return guessed.astype(batch['images']['image'].dtype)

  def sample(self, batch: Batch) -> dict[str, jax.Array]:
    """{name: the pictures with that attribute or class, and with what a condition says}, from one pass."""
    image, own, count = batch['images']['image'], self.known(batch), len(self.domains)
    each = [self.obeyed(self.wanted(own, name), batch['images']) for name in self.domains]
    wanted = jnp.stack(each, 1)  # (B, domains, n)
    made = self.generator(image.repeat(count, 0), wanted.reshape(-1, wanted.shape[-1]), train=False)
    return {name: made.reshape(-1, count, *made.shape[1:])[:, i] for i, name in enumerate(self.domains)}

  def round_trip(self, batch: Batch) -> dict[str, jax.Array]:
    """{name: the pictures after the way to that domain and back}, in eval mode."""
    own = self.known(batch)
    return {name: self.generator(made, own, train=False) for name, made in self.sample(batch).items()}
