"""SeqGAN's networks: an LSTM that draws symbol after symbol, and convolutions over texts with a highway layer.

Source: Yu et al. 2017, https://arxiv.org/abs/1609.05473, sections 3 and 4; the sizes and first weights of the authors'
code (LantaoYu/SeqGAN: `generator.py`, `discriminator.py`).

differs: the discriminator has one logit, the authors' two.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.basic import head, uniform_init
from gan_jax.nets.layers.geometry import as_rows

#: The token before the first one.
START = 0


def drawn(logits: jax.Array, share: jax.Array) -> jax.Array:
  """The token whose part of [0, 1) holds the share, if each token has a part as long as it is probable.

  Sums are taken of blocks first, then inside of one, which is faster than a running sum of all.

  Args:
    logits: (B, V).
    share: (B,), uniform on [0, 1).

  Returns:
    (B,) int32.

  >>> probable = jnp.log(jnp.array([0.25, 0.5, 0.25]))
  >>> drawn(jnp.tile(probable, (4, 1)), jnp.array([0.0, 0.26, 0.74, 0.76])).tolist()
  [0, 1, 1, 2]
  """
  count, tokens = logits.shape
  side = math.ceil(math.sqrt(tokens))
  logits = full_precision(logits)
  weights = jnp.exp(logits - logits.max(-1, keepdims=True))
  blocks = jnp.pad(weights, ((0, 0), (0, side * side - tokens))).reshape(count, side, side)
  sums = blocks.sum(-1)
  wanted = share.astype(jnp.float32) * sums.sum(-1)
  block, before = _place(sums, wanted)
  place, _ = _place(jnp.take_along_axis(blocks, block[:, None, None], 1)[:, 0], wanted - before)
  return jnp.minimum(block * side + place, tokens - 1)


def _place(weights: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(the entry (B,) of (B, n) weights at which their running sum passes a number, the sum before it)."""
  size = weights.shape[1]
  sums = jnp.matmul(weights, jnp.triu(jnp.ones((size, size), weights.dtype)), precision='highest')
  place = jnp.minimum((sums <= wanted[:, None]).sum(-1, dtype=jnp.int32), size - 1)
  at = lambda x: jnp.take_along_axis(x, place[:, None], 1)[:, 0]
  return place, at(sums) - at(weights)


class Generator(nn.Module):
  """An LSTM over tokens, whose state gives the probability of the next one.

  Attributes:
    vocabulary: V, the number of different tokens, 0 ... V - 1; 0 also stands before the first.
    units: entries of a token's vector.
    hidden: of the LSTM.
    stddev: of all first weights.
  """

  vocabulary: int
  units: int = 32
  hidden: int = 32
  stddev: float = 0.1

  def setup(self) -> None:
    init = nn.initializers.normal(self.stddev)
    self.words = nn.Embed(self.vocabulary, self.units, embedding_init=init)
    self.cell = nn.OptimizedLSTMCell(self.hidden, kernel_init=init, recurrent_kernel_init=init, bias_init=init)
    self.out = nn.Dense(self.vocabulary, kernel_init=init, bias_init=init)

  def _scan(self, body: Any, carry: Any, inputs: Any) -> Any:
    over_time = nn.scan(
      body, variable_broadcast='params', split_rngs={'params': False, 'noise': False}, in_axes=1, out_axes=1
    )
    return over_time(self, carry, inputs)

  def _rest(self, rows: int) -> tuple[jax.Array, jax.Array]:
    return (jnp.zeros((rows, self.hidden)), jnp.zeros((rows, self.hidden)))

  def __call__(self, tokens: jax.Array) -> jax.Array:
    """The logits (B, T, V) of each of the tokens (B, T), given those before it."""
    before = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START)
    step = lambda module, state, word: module.cell(state, word)
    _, hidden = self._scan(step, self._rest(tokens.shape[0]), self.words(before))
    # As rows: of two axes of them XLA would write the transpose of the gradient to memory.
    return self.out(as_rows(hidden)).reshape(*hidden.shape[:2], -1)

  def log_likelihood(self, tokens: jax.Array) -> jax.Array:
    """log p of each of the tokens (B, T), given those before it: (B, T) float32."""
    logits = full_precision(self(tokens))
    return jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0] - jax.nn.logsumexp(logits, -1)

  def complete(self, tokens: jax.Array, kept: jax.Array, shares: jax.Array) -> jax.Array:
    """Sequences whose first tokens are given, the others drawn.

    Args:
      tokens: (B, T).
      kept: (B,), how many of the first are kept.
      shares: (B, T), uniform on [0, 1): where in its distribution each other token is (`drawn`).

    Returns:
      (B, T) int32.
    """

    def step(module: Any, carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
      state, before, place = carry
      given, share = inputs
      state, hidden = module.cell(state, module.words(before))
      token = jnp.where(place < kept, given, drawn(module.out(hidden), share))
      return (state, token, place + 1), token

    start = (self._rest(tokens.shape[0]), jnp.full(tokens.shape[:1], START, jnp.int32), jnp.zeros((), jnp.int32))
    made: jax.Array = self._scan(step, start, (tokens, shares))[1]
    return made

  def generate(self, shares: jax.Array) -> jax.Array:
    """Sequences (B, T) int32 of shares (B, T), uniform on [0, 1)."""
    return self.complete(jnp.zeros(shares.shape, jnp.int32), jnp.zeros(shares.shape[:1], jnp.int32), shares)


class Discriminator(nn.Module):
  """Tokens (B, T) to logits (B,): the largest answer of filters over 1, 2, ... neighbours, then a highway layer.

  Attributes:
    vocabulary: number of different tokens.
    units: entries of a token's vector.
    windows: of the filters, tokens.
    channels: number of filters of each window.
    dropout: the share of the highway layer's entries that a training pass leaves out.
  """

  vocabulary: int
  windows: tuple[int, ...]
  channels: tuple[int, ...]
  units: int = 64
  dropout: float = 0.25

  @nn.compact
  def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
    length = tokens.shape[1]
    if len(self.windows) != len(self.channels) or not all(1 <= window <= length for window in self.windows):
      raise UserError(
        f'discriminator: windows={self.windows} and channels={self.channels} for sequences of {length}: give each '
        f'window from 1 to {length} a number of channels'
      )
    normal, bias = nn.initializers.truncated_normal(0.1), nn.initializers.constant(0.1)
    x = nn.Embed(self.vocabulary, self.units, embedding_init=uniform_init(1.0), name='words')(tokens)
    found = []
    for window, width in zip(self.windows, self.channels, strict=True):
      seen = jnp.concatenate([x[:, i : length - window + 1 + i] for i in range(window)], -1)
      filters = nn.Dense(width, kernel_init=normal, bias_init=bias, name=f'filters_{window}')
      found.append(nn.relu(filters(seen)).max(1))
    x = jnp.concatenate(found, -1)
    wide = lambda name: nn.Dense(x.shape[-1], kernel_init=nn.initializers.glorot_uniform(), name=name)(x)
    gate = nn.sigmoid(wide('gate'))
    x = gate * nn.relu(wide('changed')) + (1 - gate) * x
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return head(nn.Dense(1, kernel_init=normal, bias_init=bias, name='out')(x))
