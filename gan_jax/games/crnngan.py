r"""C-RNN-GAN: music as a sequence of tones, each four real numbers, by two recurrent networks.

  min_D  -E[log D(x)] - E[log(1 - D(G(z)))]
  min_G  -E[log D(G(z))],  or with feature matching  |E f(x) - E f(G(z))|^2,  f what D's LSTMs give

D rests while its loss is less than a share of G's. Before that G learns to tell the next tone (squared errors).

Source: Mogren 2016, https://arxiv.org/abs/1611.09904, sections 3 and 4; the authors' code (olofmogren/c-rnn-gan:
`rnn_gan.py`).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from PIL.Image import Image

from gan_jax import core, losses
from gan_jax.core.clock import Clock
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts import drawn
from gan_jax.games.parts.fit import check_same_shape
from gan_jax.latents.distributions import Distribution


class CRNNGAN(nn.Module):
  """Two players. The stream 'images' has the field 'tones', (B, T, 4).

  Attributes:
    generator: latents, train, given -> tones.
    discriminator: tones, train, features -> logits (B,), or (logits, features).
    latents: uniform on [0, 1), (T + 1, 4).
    pretraining: only G learns, by maximum likelihood. For a first stage.
    feature_matching: G's loss is that of D's features.
    rest: D moves if its loss is at least so much of G's; 0 for always.
    scale: what tones, from 0 to 1, are multiplied with for both networks; the authors' numbers go to hundreds, without
      which their weights and rates hardly move.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Distribution
  pretraining: bool = False
  feature_matching: bool = False
  rest: float = 0.7
  scale: float = 1.0

  outputs = {'tones': core.Output('images', 'tones')}

  @property
  def frozen(self) -> tuple[str, ...]:
    return ('discriminator',) if self.pretraining else ()

  @property
  def turns(self) -> tuple[Turn, ...]:
    if self.pretraining:
      return (Turn(('generator',), 'pretraining_loss'),)
    streams = None if self.feature_matching else ()
    return (
      # Always played, or nothing would wake D up again.
      Turn((), 'measure'),
      Turn(('discriminator',), 'discriminator_loss', share='batch', when=self.is_awake),
      Turn(('generator',), 'generator_loss', streams=streams),
    )

  def setup(self) -> None:
    self.ratio = self.variable('table', 'ratio', jnp.ones, (), jnp.float32)

  def is_awake(self, clock: Clock, variables: Mapping[str, Any]) -> jax.Array:
    """Whether D moves: by the ratio of its loss to G's as they were measured last."""
    return variables['table']['ratio'] >= self.rest

  def judge(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """D's logits of the data and of generated tones."""
    tones, fake = self.given(batch), self.generator(batch['latents'], train=True)
    check_same_shape(fake, tones)
    return self.discriminator(tones, train=True), self.discriminator(fake, train=True)

  def measure(self, batch: Batch) -> LossAndMetrics:
    real_logits, fake_logits = self.judge(batch)
    of_judge = losses.nonsaturating.discriminator(real_logits, fake_logits)
    of_generator = losses.nonsaturating.generator(fake_logits)
    self.ratio.value = of_judge / jnp.maximum(of_generator, 1e-12)
    return of_judge, {'loss_ratio': self.ratio.value, 'generator_fools': of_generator}

  def discriminator_loss(self, batch: Batch) -> jax.Array:
    return losses.nonsaturating.discriminator(*self.judge(batch))

  def generator_loss(self, batch: Batch) -> jax.Array:
    fake = self.generator(batch['latents'], train=True)
    logits, features = self.discriminator(fake, train=True, features=True)
    if not self.feature_matching:
      return losses.nonsaturating.generator(logits)
    _, real = self.discriminator(self.given(batch), train=True, features=True)
    # The sum over tones and units, as the authors': of their mean, steps of plain descent would be next to nothing.
    return features[0].size * losses.features.feature_matching(real, features)

  def pretraining_loss(self, batch: Batch) -> jax.Array:
    """Mean squared error of the next tone."""
    tones = self.given(batch)
    told = self.generator(batch['latents'], train=True, given=tones)
    check_same_shape(told, tones)
    return losses.reconstruction.squared_error(told, tones)

  def given(self, batch: Batch) -> jax.Array:
    """The data's tones as networks hear them."""
    tones: jax.Array = self.scale * batch['images']['tones']
    return tones

  def sample(self, batch: Batch) -> jax.Array:
    return self.generator(batch['latents'], train=False) / self.scale

  def pictures(self, samples: np.ndarray) -> dict[str, Image]:
    return {'': drawn.piano_rolls(samples)}

  @property
  def boundary(self) -> float | None:
    return 0.0

  def logits(self, tones: jax.Array) -> jax.Array:
    """D's logits (B,) of tones (B, T, 4)."""
    return self.discriminator(self.scale * tones, train=False)
