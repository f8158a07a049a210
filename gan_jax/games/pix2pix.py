r"""pix2pix: pictures into pictures, from pairs: maps into photographs, outlines into shoes, damaged into whole.

  min_G max_D  E[log D(a, b)] + E[log(1 - D(a, G(a)))] + lambda E|b - G(a)|

With a discriminator that sees b alone it is the unconditional form. A term of the discriminator's own features makes
the small large (pix2pixHD's, in the place of a network trained on photographs).

Source: Isola et al. 2016, https://arxiv.org/abs/1611.07004, eq. 1 to 4; the authors' PyTorch code
(junyanz/pytorch-CycleGAN-and-pix2pix: `pix2pix_model.py`); for `perceptual` Wang et al. 2017,
https://arxiv.org/abs/1711.11585, eq. 4.

differs: the authors halve the discriminator's loss, which Adam does not see.
differs: samples are made without dropout, the authors' keep it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.core.sampled import Output
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.pairs import pair_of
from gan_jax.games.parts.penalties import check_eager, penalty_of


class Pix2Pix(nn.Module):
  """Two players. The stream 'images' has both pictures of a pair.

  Attributes:
    generator: pictures, train -> pictures.
    discriminator: pictures of both, their channels side by side, train -> logits of any shape.
    loss: an `AdversarialLoss`, as in the standard game.
    adversarial: weight of it for the generator.
    l1: lambda, the weight of the distance from the target.
    perceptual: weight of the L1 distance of the discriminator's features, mean over its layers.
    conditional: whether the discriminator sees the input beside the output.
    penalty: None, or a penalty of the discriminator.
    source: the field that is given.
    target: the field that is made.
  """

  generator: nn.Module
  discriminator: nn.Module
  loss: str | losses.AdversarialLoss = 'nonsaturating'
  adversarial: float = 1.0
  l1: float = 100.0
  perceptual: float = 0.0
  conditional: bool = True
  penalty: Callable[..., Any] | None = None
  source: str = 'a'
  target: str = 'b'
  latents = None
  turns = (Turn(('discriminator',), 'discriminator_loss'), Turn(('generator',), 'generator_loss', share='batch'))

  def check_training(self, streams: Mapping[str, Any]) -> None:
    """Raises a UserError for a lazy penalty."""
    check_eager(self.penalty, self)

  @property
  def outputs(self) -> dict[str, Output]:
    return {'made': Output('images', self.target, of=f'images.{self.source}')}

  def seen(self, given: jax.Array, image: jax.Array) -> jax.Array:
    """What the discriminator sees: a picture with what it was made of, enlarged if that is smaller; or it alone."""
    if not self.conditional:
      return image
    for axis in (1, 2):
      if image.shape[axis] % given.shape[axis]:
        raise UserError(
          f'pictures of {self.target!r} are {image.shape[1]}x{image.shape[2]}, of {self.source!r} {given.shape[1]}x'
          f'{given.shape[2]}: make the first a whole multiple of the second, or set config.game.conditional=False'
        )
      given = given.repeat(image.shape[axis] // given.shape[axis], axis)
    return jnp.concatenate([given, image], -1)

  def pair(self, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(given, target, made)."""
    given, target = batch['images'][self.source], batch['images'][self.target]
    made = self.generator(given, train=True)
    check_same_shape(made, target)
    return given, target, made

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    given, target, made = self.pair(batch)
    real, fake = self.seen(given, target), self.seen(given, made)
    real_logits, fake_logits = self.discriminator(real, train=True), self.discriminator(fake, train=True)
    pair = pair_of(self.loss)
    check_head(pair, self.loss, real_logits)
    terms = {'judged': pair.discriminator(real_logits, fake_logits)}
    if self.penalty is not None:
      terms['penalty'] = penalty_of(self.penalty, pair, self.discriminator, self.make_rng('noise'), real, fake)
    return sum(terms.values(), jnp.zeros(())), terms

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    given, target, made = self.pair(batch)
    pair, more = pair_of(self.loss), {'features': True} if self.perceptual else {}
    judge = lambda image: self.discriminator(self.seen(given, image), train=True, **more)
    out: Any = judge(made)
    real_out: Any = judge(target) if self.perceptual or pair.relativistic else None
    logits, real_logits = (out[0], real_out[0]) if self.perceptual else (out, real_out)
    terms = {'fooled': pair.generator(logits, real_logits), 'l1': losses.reconstruction.absolute_error(made, target)}
    loss = self.adversarial * terms['fooled'] + self.l1 * terms['l1']
    if self.perceptual:
      distances = [losses.reconstruction.absolute_error(x, y) for x, y in zip(out[1], real_out[1], strict=True)]
      terms['perceptual'] = jnp.stack(distances).mean()
      loss += self.perceptual * terms['perceptual']
    return loss, terms

  def sample(self, batch: Batch) -> jax.Array:
    return self.generator(batch['images'][self.source], train=False)
