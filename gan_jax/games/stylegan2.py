r"""StyleGAN 2: the standard game with path length regularisation, and a lazy penalty through the augmentation.

  min_D  E[-log D(x)] + E[-log(1 - D(G(z)))],   every 16th step gamma / 2 E[|grad_x D(T(x))|^2]
  min_G  E[-log D(G(z))],                       every 4th step E[(|J_w^T y| - a)^2]

T is the augmentation, y ~ N(0, 1) / sqrt(pixels), a the running mean of |J_w^T y|; its square is the mean over layers.

Source: Karras et al. 2019 (StyleGAN 2), https://arxiv.org/abs/1912.04958, section 3 and appendix B; Karras et al. 2020
(ADA), https://arxiv.org/abs/2006.06676; the authors' code (NVlabs/stylegan2-ada-pytorch: `training/loss.py`).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.core.gradients import gradients_of
from gan_jax.games.parts.conditions import condition_kwargs, condition_of
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.standard import Standard
from gan_jax.latents import distributions
from gan_jax.losses import penalties
from gan_jax.nets.stylegan2 import Generator


class StyleGAN2(Standard):
  """Two players, as in `Standard`, with the same settings and these:

  Attributes:
    path_weight: of the path length penalty; 0 leaves it out.
    path_every: steps between its moves; its weight is multiplied by them.
    path_share: it takes one of so many latents of a move.
    path_decay: share of the new lengths in their running mean.

  A penalty of every step (every=1) is taken in augmented pictures; a lazy one at data (at='real') in those before.

  differs: the running mean is held fixed when the penalty is differentiated; in the authors' code a hundredth of the
    gradient flows through it.
  """

  path_weight: float = 2.0
  path_every: int = 4
  path_share: int = 2
  path_decay: float = 0.01

  @property
  def turns(self) -> tuple[Turn, ...]:
    if not self.path_weight:
      return super().turns
    if min(self.path_every, self.path_share) < 1:
      raise UserError(
        f'path_every={self.path_every} and path_share={self.path_share} of StyleGAN2 must be at least 1: for no path '
        'length set path_weight=0'
      )
    if self.dynamics is not None:
      raise UserError('config.game.dynamics moves both players at once: set path_weight to 0.0')
    due = lambda clock, variables: clock.step % self.path_every == 0
    return (*super().turns, Turn(('generator',), 'path_loss', streams=None if self.condition else (), when=due))

  def setup(self) -> None:
    super().setup()
    if self.path_weight:
      if not isinstance(self.generator, Generator):
        raise UserError(
          f'path length needs stylegan2.Generator, not {type(self.generator).__name__}: set path_weight=0'
        )
      self.path_mean = self.variable('table', 'path_mean', jnp.zeros, (), jnp.float32)

  def truncated(self, truncation: float) -> 'StyleGAN2':
    """The game whose samples have styles nearer to the mean of w: psi, the share of their distance that is left."""
    distributions.check_truncation(truncation)
    if not isinstance(self.generator, Generator):
      return self.clone(latents=distributions.truncated(self.latents, truncation))
    game: StyleGAN2 = self.clone(generator=self.generator.clone(truncation=float(truncation)))
    return game

  def penalty_loss(self, batch: Batch) -> jax.Array:
    """The lazy penalty; at data its gradient is that of data before they are augmented."""
    if not (isinstance(self.penalty, GradientPenalty) and self.penalty.at == 'real' and self.augment is not None):
      return super().penalty_loss(batch)
    batch = self.conditioned(batch)
    image, key = batch['images']['image'], self.make_rng('noise')
    label, chance = condition_kwargs(batch['latents'], batch['images']), self.chance()

    def judge(discriminator: nn.Module, image: jax.Array) -> jax.Array:
      assert self.augment is not None
      seen = self.augment(key, image, *chance).astype(image.dtype)
      return self.pair.log_odds(discriminator(seen, train=True, **label))

    return self.discriminator_steps * self.scheduled(self.penalty.of(gradients_of(judge, self.discriminator, image)))

  def path_loss(self, batch: Batch) -> LossAndMetrics:
    latents = self.conditioned(batch)['latents']
    latents = jax.tree.map(lambda x: jax.lax.slice_in_dim(x, 0, None, self.path_share), latents)
    label = condition_kwargs(latents, latents)
    z = latents if condition_of(latents) is None else latents['z']
    styles = self.generator.styles(z, train=True, **label)

    def image_of(generator: nn.Module, styles: jax.Array) -> jax.Array:
      image: jax.Array = generator.synthesise(styles, train=True, dtype=z.dtype)
      return image.astype(jnp.float32)

    image, backward = nn.vjp(image_of, self.generator, styles)
    y = jax.random.normal(self.make_rng('noise'), image.shape, jnp.float32) / math.sqrt(math.prod(image.shape[1:3]))
    gradients = backward(y)[-1] / math.sqrt(styles.shape[1])
    penalty, mean = penalties.path_length(gradients, self.path_mean.value, decay=self.path_decay)
    if not self.is_initializing():
      self.path_mean.value = mean
    return self.path_weight * self.path_every * penalty, {'path_mean': mean, 'path_penalty': penalty}
