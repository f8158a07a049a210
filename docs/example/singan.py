"""SinGAN: pictures like one picture, by a pyramid of small networks; each level adds details to what is below it.

Paper: Shaham et al. 2019, https://arxiv.org/abs/1905.01164, eq. 1 to 5; settings of the authors' code
(tamarott/SinGAN). At level n, with up the enlarged picture of level n - 1 and z noise of the size of the level:

  G_n(z) = up + f_n(s_n z + up)              s_n = 0.1 rmse(up of the reconstruction, x_n), s_0 = 1
  min_G max_D  WGAN-GP of patches + 10 |R_n - x_n|^2     R_n: the picture of z* at level 0, and of no noise above

Command, in this folder: python -m gan_jax.main --config singan_photo.py --workdir runs/singan

differs: square pictures; bilinear resizing; z* is drawn once, the authors' code draws it anew in each step.
differs: 32 channels at all levels, which the authors double every four; noise of three channels at level 0 too.
differs: the generator's move sees fresh noise, the authors' that of the last move of the discriminator.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from gan_jax import core, losses
from gan_jax.games.parts.fixed import fixed_latents
from gan_jax.latents.distributions import Normal, Scales
from gan_jax.losses import penalties
from gan_jax.nets.layers.basic import BatchNorm
from gan_jax.nets.layers.conv import Conv
from gan_jax.nets.layers.resample import resize

BORDER = 5  # pixels that five 3x3 convolutions take from each side
INIT = nn.initializers.normal(0.02)


class Patches(nn.Module):
  """Five 3x3 convolutions without borders, of pictures: the generator's details, or a logit for each patch of 11x11."""

  channels: int = 32
  outputs: int = 3

  @nn.compact
  def __call__(self, x, *, train):
    for _ in range(4):
      x = Conv(self.channels, (3, 3), padding='VALID', kernel_init=INIT)(x)
      x = nn.leaky_relu(BatchNorm(gain_stddev=0.02)(x, train=train), 0.2)
    return Conv(self.outputs, (3, 3), padding='VALID', kernel_init=INIT)(x)


class SinGAN(nn.Module):
  """The levels up to one, whose generator moves against a discriminator; those below are frozen.

  Attributes:
    generators: of the levels, from the coarsest: pictures with a border, train -> details.
    discriminator: pictures, train -> logits of patches.
    sizes: height and width of each level.
    moves: of each player in a step.
    reconstruction: weight of the reconstruction.
    penalty: weight of the gradient penalty.
  """

  generators: tuple[nn.Module, ...]
  discriminator: nn.Module
  sizes: tuple[int, ...]
  moves: int = 3
  reconstruction: float = 10.0
  penalty: float = 0.1

  latents = property(lambda self: Scales(tuple((size, size, 3) for size in self.sizes)))
  frozen = property(lambda self: tuple(f'generators_{i}' for i in range(len(self.sizes) - 1)))
  unaveraged = frozen  # the generator above learns from what their weights as they are make

  @property
  def turns(self):
    mover = f'generators_{len(self.sizes) - 1}'
    return (
      core.Turn(('discriminator',), 'discriminator_loss', repeat=self.moves),
      core.Turn((mover,), 'generator_loss', repeat=self.moves),
    )

  def setup(self):
    self.fixed = fixed_latents(self, 'reconstruction', Normal((self.sizes[0], self.sizes[0], 3)))
    self.amounts = [self.variable('table', f'noise_{i}', jnp.ones, ()) for i in range(len(self.sizes))]

  def pyramid(self, noises, *, train):
    """(the picture that the top level makes, what it makes it of); a noise of None is none."""
    image = jnp.zeros_like(noises[0])
    for level, noise in enumerate(noises):
      size, top = self.sizes[level], level == len(self.sizes) - 1
      below = resize(image, (size, size))
      given = below if noise is None else below + self.amounts[level].value * noise
      given = jnp.pad(given, ((0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0)))
      image = below + jnp.tanh(self.generators[level](given, train=train and top))
    return image, below

  def reconstruct(self, *, train=False):
    """As `pyramid`, of z* and no other noise."""
    return self.pyramid((self.fixed.value, *[None] * (len(self.sizes) - 1)), train=train)

  def discriminator_loss(self, batch):
    image = batch['images']['image']
    if len(self.sizes) > 1:  # the same in all steps of a stage, and cheap beside the critic's move
      self.amounts[-1].value = 0.1 * jnp.sqrt(jnp.square(self.reconstruct()[1] - image).mean())
    fake, _ = self.pyramid(batch['latents'], train=True)
    judge = lambda x: self.discriminator(x, train=True)
    loss = losses.wasserstein.discriminator(judge(image), judge(fake))
    gradients = core.input_gradients(self.discriminator, penalties.between(self.make_rng('noise'), image, fake))
    norms = jnp.sqrt(
      jnp.square(gradients).sum(-1) + 1e-12
    )  # of the channels of each pixel, as the authors' code has it
    return loss + self.penalty * jnp.square(norms - 1).mean(), {'distance': -loss, 'noise': self.amounts[-1].value}

  def generator_loss(self, batch):
    fake, _ = self.pyramid(batch['latents'], train=True)
    error = jnp.square(self.reconstruct(train=True)[0] - batch['images']['image']).mean()
    loss = losses.wasserstein.generator(self.discriminator(fake, train=True))
    return loss + self.reconstruction * error, {'reconstruction': error}

  def sample(self, batch):
    return self.pyramid(batch['latents'], train=False)[0]


def diversity(e):
  """Deviation of each pixel over the samples, mean over pixels, relative to the picture's own (section 4.1)."""
  grey = lambda x: e.unit(x).mean(-1)
  return float(grey(e.fake.examples).std(0).mean() / np.std(grey(e.real_examples(1))))
