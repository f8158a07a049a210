"""Tokens of texts as vectors: the shares of their words, and a small encoder, trained with its network."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.conv import Conv
from gan_jax.nets.layers.weights import Dense, Embed

#: Tokens of `data.columns.Text`: 0 stands behind the end of a text, 1 for what is not in the vocabulary.
FILL, UNKNOWN = 0, 1


def word_shares(tokens: jax.Array, count: int) -> jax.Array:
  """How often a text has each token, as shares: (B, length) int32 to (B, count) float32; all 0 for an empty text.

  A dense layer of these is the mean of a learned vector for each word.

  >>> word_shares(jnp.array([[2, 1, 2, 2], [1, 0, 0, 0]]), 3).tolist()
  [[0.0, 0.25, 0.75], [0.0, 1.0, 0.0]]
  """
  counts = jax.nn.one_hot(tokens, count).sum(1).at[:, FILL].set(0.0)
  return counts / jnp.maximum(counts.sum(1, keepdims=True), 1.0)


class TextEncoder(nn.Module):
  """Tokens to one vector for each text: learned vectors of words, a convolution over neighbours, the mean of the text.

  It is our own smallest form, trained with the GAN. For one that was trained before, as papers use, take a column of
  embeddings.

  Attributes:
    vocabulary: number of words, or of characters, of the column.
    features: entries of the vector.
    width: entries of a word's vector.
    window: neighbours that the convolution sees.
    kind: kind of the weights.
  """

  vocabulary: int
  features: int = 64
  width: int = 64
  window: int = 3
  kind: str = 'plain'

  @nn.compact
  def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
    """(B, length) int32 to (B, features) float32. How much is filled behind the end makes no difference."""
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
      raise UserError('TextEncoder reads words in their order, not shares of words: there is nothing between two texts')
    known = jnp.where((tokens >= 0) & (tokens < self.vocabulary + 2), tokens, UNKNOWN)
    said = (tokens != FILL).astype(jnp.float32)[..., None]  # (B, length, 1)
    table = Embed(self.vocabulary + 2, self.width, self.kind, nn.initializers.normal(0.1), name='words')
    words = table(known.reshape(-1), train=train).reshape(*tokens.shape, self.width) * said
    x = nn.relu(Conv(self.width, (self.window,), name='neighbours')(words)) * said  # (B, length, width)
    mean = full_precision(x).sum(1) / jnp.maximum(said.sum(1), 1)
    return Dense(self.features, self.kind, name='out')(mean, train=train)
