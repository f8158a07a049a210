"""LAPGAN: a GAN for each level of a Laplacian pyramid. A level makes what an image has more than its coarser version.

Of an image x_k the level below has x_{k-1} = d(x_k), means of 2 x 2 pixels; its detail is h_k = x_k - u(x_{k-1}),
where u enlarges. At level k > 0, with l = u(x_{k-1}) of data and D(h, l) the probability that h is a detail of data:

  min_D  -1/2 E[log D_k(h_k, l)] - 1/2 E[log(1 - D_k(G_k(z_k, l), l))]
  min_G  -E[log D_k(G_k(z_k, l), l)]

At level 0 it is a GAN of small images. Samples begin there, and every level adds its detail to them, enlarged. With a
class (CC-LAPGAN) all networks of all levels know it too; details are then made for the classes of their coarse images.

Source: Denton et al. 2015, https://arxiv.org/abs/1506.05751, sections 2.2 and 2.3; the authors' code
(facebook/eyescream: `conditional_adversarial.lua`, `double_conditional_adversarial.lua`).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.games.parts.accuracies import accuracies
from gan_jax.games.parts.conditions import condition_kwargs
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.nets.layers.resample import downsample, enlarge


class LAPGAN(nn.Module):
  """Two players a level, `generators_k` and `discriminators_k`, from the coarsest, 0. No level's loss sees another.

  The data are images of the highest level that moves. Levels below that do not move are frozen; they are for sampling.

  Attributes:
    generators: of level 0: latents, train -> images; of the others: noise, coarse, train -> details.
    discriminators: of level 0: images, train -> logits; of the others: details, coarse, train -> logits.
    latents: 'z' of level 0, 'noise_1', ... of the others. With a 'label' too, all networks take it as `label`.
    halvings: of each level but 0: how often its images are halved to those of the level below.
    levels: those that move, together; one in each stage trains them apart.
  """

  generators: tuple[nn.Module, ...]
  discriminators: tuple[nn.Module, ...]
  latents: Mapping[str, Any]
  halvings: tuple[int, ...] = (1, 1)
  levels: tuple[int, ...] = (0, 1, 2)

  @property
  def turns(self) -> tuple[Turn, ...]:
    movers = lambda kind: tuple(f'{kind}_{k}' for k in self.levels)
    streams = () if self.levels == (0,) else None
    return (
      Turn(movers('discriminators'), 'discriminator_loss'),
      Turn(movers('generators'), 'generator_loss', streams=streams),
    )

  @property
  def frozen(self) -> tuple[str, ...]:
    return tuple(f'generators_{k}' for k in range(max(self.levels)) if k not in self.levels)

  def setup(self) -> None:
    counts = {len(self.generators), len(self.discriminators), len(self.halvings) + 1}
    if len(counts) > 1 or not set(self.levels) <= set(range(len(self.generators))):
      raise UserError(
        f'config.game has {len(self.generators)} generators, {len(self.discriminators)} discriminators, halvings='
        f'{self.halvings} (one fewer) and levels={self.levels} (from 0): make them fit'
      )

  def enlarged(self, image: jax.Array, level: int) -> jax.Array:
    """u: an image of the level below in the size of this one."""
    for _ in range(self.halvings[level - 1]):
      image = enlarge(image)
    return image

  def coarser(self, image: jax.Array) -> list[jax.Array]:
    """Images of the highest level that moves as every level from 0 has them."""
    images = [image]
    for level in range(max(self.levels), 0, -1):
      for _ in range(self.halvings[level - 1]):
        image = downsample(image)
      images.append(image)
    return images[::-1]

  def fakes(self, batch: Batch) -> dict[int, tuple[jax.Array, dict[str, jax.Array]]]:
    """{level: (what its generator makes, what of)}: above level 0 of coarse images of data and of their classes."""
    images = self.coarser(batch['images']['image']) if 'images' in batch else []
    made = {}
    for k in self.levels:
      given = condition_kwargs(self.latents, batch['images' if k else 'latents'])
      if k:
        given['coarse'] = self.enlarged(images[k - 1], k)
      made[k] = self.generators[k](self.noise(batch, k), train=True, **given), given
    return made

  def noise(self, batch: Batch, level: int) -> jax.Array:
    return batch['latents'][f'noise_{level}' if level else 'z']

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    images, loss = self.coarser(batch['images']['image']), jnp.zeros(())
    metrics: dict[str, jax.Array] = {}
    for k, (fake, given) in self.fakes(batch).items():
      check_same_shape(fake, images[k])
      real = images[k] - given['coarse'] if k else images[k]
      of_real = {**given, **condition_kwargs(self.latents, batch['images'])}
      logits = [self.discriminators[k](x, train=True, **of) for x, of in ((real, of_real), (fake, given))]
      check_head(losses.nonsaturating, '', logits[0])
      # Half: the authors' batches are half data.
      loss += losses.nonsaturating.discriminator(*logits) / 2
      metrics |= {f'{name}_{k}': value for name, value in accuracies(losses.nonsaturating, *logits).items()}
    return loss, metrics

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    each = {
      f'adversarial_{k}': losses.nonsaturating.generator(self.discriminators[k](fake, train=True, **given))
      for k, (fake, given) in self.fakes(batch).items()
    }
    return sum(each.values(), jnp.zeros(())), each

  def pyramid(self, batch: Batch, train: bool = False) -> list[jax.Array]:
    """A sample as every level leaves it, from the coarsest."""
    asked = condition_kwargs(self.latents, batch['latents'])
    images = [self.generators[0](self.noise(batch, 0), train=train, **asked)]
    for k in range(1, max(self.levels) + 1):
      coarse = self.enlarged(images[-1], k)
      images.append(coarse + self.generators[k](self.noise(batch, k), train=train, coarse=coarse, **asked))
    return images

  def sample(self, batch: Batch, train: bool = False) -> jax.Array:
    return self.pyramid(batch, train)[-1]
