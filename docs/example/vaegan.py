"""VAE-GAN: an autoencoder whose error is measured in the features of a discriminator, which also judges its samples.

Paper: Larsen et al. 2016, https://arxiv.org/abs/1512.09300, algorithm 1; settings of the authors' code
(andersbll/autoencoding_beyond_pixels). Of an example x, z = m(x) + s(x) n with n ~ N(0, I), and D_l the discriminator's
layer l:

  encoder        min  KL(N(m(x), s(x)) || N(0, I)) + e          e = |D_l(x) - D_l(G(z))|^2 / 2
  generator      min  gamma e - log D(G(n)) - log D(G(z))
  discriminator  min  -log D(x) - log(1 - D(G(n))) / 2 - log(1 - D(G(z))) / 2

Command, in this folder: python -m gan_jax.main --config vaegan_digits.py --workdir runs/vaegan

differs: the generator minimises -log D of its samples, the paper's -log(1 - D) with the sign turned.
differs: the authors' rule that a player rests where the others fall behind is left out.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import core, losses
from gan_jax.latents.distributions import Latents, Normal


class VAEGAN(nn.Module):
  """Three players, which move at once from the same point.

  Attributes:
    encoder: examples, train -> (B, 2 n), means and logarithms of deviations.
    generator: latents (B, n), train -> examples.
    discriminator: examples, train, layers=True -> (logits (B,), its layers).
    latents: N(0, 1), the prior and the noise of the encoder.
    layer: of the discriminator, in which reconstructions are compared.
    gamma: weight of that error for the generator.
  """

  encoder: nn.Module
  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((16,))
  layer: int = -1
  gamma: float = 0.01

  turns = (
    core.Turn(
      ('encoder', 'generator', 'discriminator'),
      {'encoder': 'encoder_loss', 'generator': 'generator_loss', 'discriminator': 'discriminator_loss'},
    ),
  )
  inputs = ('images',)  # what `sample` reads beside the latents
  outputs = {
    'made': core.Output('images'),
    'reconstructed': core.Output('images', of='images', again=True),
  }

  def encode(self, image, *, train=False):
    """(means, logarithms of deviations), each (B, n)."""
    return jnp.split(self.encoder(image, train=train), 2, -1)

  def passed(self, batch):
    """All that the three losses share: XLA computes it once. The noise is the same in all, as of losses in a dict."""
    image = batch['images']['image']
    mean, log_deviation = self.encode(image, train=True)
    noise = jax.random.normal(self.make_rng('noise'), mean.shape)
    again = self.generator(mean + jnp.exp(log_deviation) * noise, train=True)
    judged = [self.discriminator(x, train=True, layers=True) for x in (image, again)]
    logits, features = zip(*((logits, layers[self.layer]) for logits, layers in judged), strict=True)
    error = 0.5 * jnp.square(features[0] - features[1]).reshape(len(image), -1).sum(-1).mean()
    made = self.generator(batch['latents'], train=True)
    return (mean, log_deviation), error, (*logits, self.discriminator(made, train=True))

  def encoder_loss(self, batch):
    (mean, log_deviation), error, _ = self.passed(batch)
    divergence = 0.5 * (jnp.square(mean) + jnp.exp(2 * log_deviation) - 1 - 2 * log_deviation).sum(-1).mean()
    return divergence + error, {'divergence': divergence, 'feature_error': error}

  def generator_loss(self, batch):
    _, error, (_, again_logits, made_logits) = self.passed(batch)
    fool = losses.nonsaturating.generator
    return self.gamma * error + fool(again_logits) + fool(made_logits)

  def discriminator_loss(self, batch):
    _, _, (real_logits, again_logits, made_logits) = self.passed(batch)
    judge = losses.nonsaturating.discriminator
    return 0.5 * (judge(real_logits, again_logits) + judge(real_logits, made_logits))

  def sample(self, batch):
    """Of each latent a sample, and of each example a reconstruction, with that latent as its noise."""
    mean, log_deviation = self.encode(batch['images']['image'])
    z = mean + jnp.exp(log_deviation) * batch['latents']
    return {'made': self.generator(batch['latents'], train=False), 'reconstructed': self.generator(z, train=False)}
