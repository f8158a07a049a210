"""CTGAN: rows of a table with numbers and classes; numbers by the modes of their column, rare classes drawn more often.

Paper: Xu et al. 2019, https://arxiv.org/abs/1907.00503, section 4; settings of the authors' code (sdv-dev/CTGAN).
A number is a mode of its column's mixture of Gaussians and its place in it, (x - mean) / (4 deviations); a class is one
hot. Training draws a column of classes, a class of it in proportion to log(1 + count), and a row of that class: the
condition c. D judges ten rows at a time (PacGAN):

  min_D  E[D(G(z, c), c)] - E[D(x, c)] + 10 E[(|grad D| - 1)^2]       min_G  -E[D(G(z, c), c)] + cross-entropy(c, G)

Command, in this folder: python -m gan_jax.main --config ctgan_people.py --workdir runs/ctgan

differs: a row is drawn with the probability that the paper's order of draws gives it, then its column given the row.
differs: the authors' decay of weights, 1e-6, is left out.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import core, losses
from gan_jax.latents.distributions import Latents
from gan_jax.losses import penalties


def log_frequency(counts):
  """How often each class is drawn."""
  return np.log1p(counts) / np.log1p(counts).sum()


class Generator(nn.Module):
  """Latents and conditions (B, n) to what the columns are made of, (B, features); each layer sees all before it."""

  features: int
  hidden: tuple[int, ...] = (256, 256)

  @nn.compact
  def __call__(self, x, *, train):
    for width in self.hidden:
      y = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(width)(x))
      x = jnp.concatenate([nn.relu(y), x], -1)
    return nn.Dense(self.features)(x)


class Critic(nn.Module):
  hidden: tuple[int, ...] = (256, 256)

  @nn.compact
  def __call__(self, x, *, train):
    for width in self.hidden:
      x = nn.Dropout(0.5, deterministic=not train)(nn.leaky_relu(nn.Dense(width)(x), 0.2))
    return nn.Dense(1)(x)[:, 0]


class CTGAN(nn.Module):
  """Two players.

  Attributes:
    generator: latents beside conditions (B, n), train -> (B, features).
    discriminator: `pack` rows side by side with their conditions (B, n), train -> logits (B,).
    latents: a dict of z, of the column that the condition is of, and of a class for each column of classes.
    modes: {column of numbers: (mean, deviation, weight) of each of its modes}.
    counts: {column of classes: how many rows of the data each has}.
    pack: rows that are judged together.
    temperature: of Gumbel softmax.
  """

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents
  modes: dict
  counts: dict
  pack: int = 10
  temperature: float = 0.2

  turns = (core.Turn(('discriminator',), 'discriminator_loss'), core.Turn(('generator',), 'generator_loss'))
  outputs = property(lambda self: {name: core.Output('images', name) for name in (*self.modes, *self.counts)})

  def encoded(self, fields, key):
    """Rows as the critic sees them, (B, features)."""
    parts = []
    for i, (name, modes) in enumerate(self.modes.items()):
      mean, deviation, weight = jnp.asarray(modes).T[:, None]  # (1, modes)
      places = (fields[name][:, None] - mean) / deviation
      mode = jax.random.categorical(jax.random.fold_in(key, i), jnp.log(weight / deviation) - 0.5 * jnp.square(places))
      chosen = jax.nn.one_hot(mode, mean.size)
      parts += [(chosen * places).sum(-1, keepdims=True).clip(-4, 4) / 4, chosen]
    return jnp.concatenate([*parts, *self.hot(fields)], -1)

  def hot(self, fields):
    return [jax.nn.one_hot(fields[name], len(counts)) for name, counts in self.counts.items()]

  def condition(self, fields, column):
    """(B, classes of all columns): the class in the chosen column, zeros in the others."""
    return jnp.concatenate([x * (column == i)[:, None] for i, x in enumerate(self.hot(fields))], -1)

  def drawn(self, fields):
    """The column of each row's condition, (B,), by how likely it led to the row."""
    shares = [jnp.asarray(log_frequency(np.array(c)) / np.array(c))[fields[name]] for name, c in self.counts.items()]
    return jax.random.categorical(self.make_rng('noise'), jnp.log(jnp.stack(shares, -1)))

  def made(self, z, condition, *, train):
    """(the generator's logits, rows of them by Gumbel softmax), in pieces: place and mode of each number, classes."""
    sizes = [n for modes in self.modes.values() for n in (1, len(modes))] + [len(c) for c in self.counts.values()]
    out = self.generator(jnp.concatenate([z, condition], -1), train=train)
    logits = jnp.split(out, np.cumsum(sizes)[:-1], -1)
    noisy = lambda x: (x + jax.random.gumbel(self.make_rng('noise'), x.shape)) / self.temperature
    places = range(0, 2 * len(self.modes), 2)
    return logits, [jnp.tanh(x) if i in places else jax.nn.softmax(noisy(x)) for i, x in enumerate(logits)]

  def packed(self, rows, condition):
    return jnp.concatenate([rows, condition], -1).reshape(len(rows) // self.pack, -1)

  def discriminator_loss(self, batch):
    fields = batch['images']
    condition = self.condition(fields, self.drawn(fields))
    _, made = self.made(batch['latents']['z'], condition, train=True)
    fake = self.packed(jnp.concatenate(made, -1), condition)
    real = self.packed(self.encoded(fields, self.make_rng('noise')), condition)
    judge = lambda x: self.discriminator(x, train=True)
    loss = losses.wasserstein.discriminator(judge(real), judge(fake))
    gradients = core.input_gradients(self.discriminator, penalties.between(self.make_rng('noise'), real, fake))
    return loss + 10 * penalties.gradient_penalty(gradients), {'distance': -loss}

  def generator_loss(self, batch):
    fields = batch['images']
    column = self.drawn(fields)
    condition = self.condition(fields, column)
    logits, made = self.made(batch['latents']['z'], condition, train=True)
    scores = jax.nn.log_softmax
    log_likelihood = jnp.concatenate([scores(x) for x in logits[-len(self.counts) :]], -1)
    loss = losses.wasserstein.generator(
      self.discriminator(self.packed(jnp.concatenate(made, -1), condition), train=True)
    )
    asked = -(condition * log_likelihood).sum(-1).mean()
    return loss + asked, {'asked': asked}

  def sample(self, batch):
    """Columns. Conditions are drawn as the data have them: of a column, a class by its count."""
    latents = batch['latents']
    _, made = self.made(latents['z'], self.condition(latents, latents['column']), train=False)
    rows = {}
    for i, (name, modes) in enumerate(self.modes.items()):
      mean, deviation, _ = jnp.asarray(modes).T
      mode = made[2 * i + 1].argmax(-1)
      rows[name] = made[2 * i][:, 0] * 4 * deviation[mode] + mean[mode]
    return rows | {name: made[i - len(self.counts)].argmax(-1) for i, name in enumerate(self.counts)}
