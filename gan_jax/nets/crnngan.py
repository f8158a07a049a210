"""C-RNN-GAN's networks: a generator that hears its own last tone, and a discriminator that hears both ways.

Source: Mogren 2016, https://arxiv.org/abs/1611.09904, section 3; the authors' code (olofmogren/c-rnn-gan:
`rnn_gan.py`).

Weights begin as in that code: those of LSTMs uniform by Glorot, of one kernel for all gates and both inputs, as
TensorFlow's cells have it (its `init_scale` of 0.05 is read nowhere); others N(0, 1); forget gates have a bias of 1.

differs: that 1 is where a bias begins, and not added to it, so that weight decay moves it.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.basic import dense, uniform_init
from gan_jax.nets.layers.recurrent import LSTM, LSTMCell

PLAIN = nn.initializers.normal(1.0)


def _cells(inputs: int, hidden: int) -> dict[str, Any]:
  """Settings of an LSTM."""
  init = uniform_init(math.sqrt(6 / (inputs + 5 * hidden)))
  return dict(kernel_init=init, recurrent_kernel_init=init, forget_bias=1.0)


class Stack(nn.Module):
  """LSTMs above each other: (states, x (B, n)) to (states, (B, hidden)).

  Attributes:
    hidden: of each.
    layers: how many.
    dropout: the share of each one's output that a training pass leaves out.
  """

  hidden: int
  layers: int
  dropout: float

  @nn.compact
  def __call__(self, states: Any, x: jax.Array, train: bool) -> tuple[Any, jax.Array]:
    after = []
    for i, state in enumerate(states):
      state, x = LSTMCell(self.hidden, **_cells(x.shape[-1], self.hidden), name=f'lstm_{i}')(state, x)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
      after.append(state)
    return tuple(after), x

  def rest(self, rows: int, dtype: Any) -> Any:
    """The states before the first step."""
    zeros = jnp.zeros((rows, self.hidden), dtype)
    return ((zeros, zeros),) * self.layers


class Whole(nn.Module):
  """A `Stack` over sequences that are known from the start: (B, T, n) to (B, T, hidden)."""

  hidden: int
  layers: int
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    for i in range(self.layers):
      x = LSTM(self.hidden, **_cells(x.shape[-1], self.hidden), name=f'lstm_{i}')(x)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return x


def _scan(body: Any) -> Any:
  return nn.scan(
    body, variable_broadcast='params', split_rngs={'params': False, 'dropout': True}, in_axes=1, out_axes=1
  )


class Generator(nn.Module):
  """Latents (B, T + 1, n) to T tones (B, T, n): row 0 is what it hears before the first.

  Attributes:
    hidden: width of the layer in front, and of the LSTMs.
    layers: number of LSTMs.
    dropout: of their outputs, in training.
  """

  hidden: int = 350
  layers: int = 2
  dropout: float = 0.5

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, given: jax.Array | None = None) -> jax.Array:
    """With `given` tones (B, T, n) it hears those before each, as in pre-training."""
    size = z.shape[-1]
    front = nn.Dense(self.hidden, kernel_init=PLAIN, dtype=z.dtype, name='front')
    stack = Stack(self.hidden, self.layers, self.dropout, name='stack')
    out = nn.Dense(size, kernel_init=PLAIN, dtype=z.dtype, name='out')
    first, noise = z[:, 0], z[:, 1:]
    heard = noise if given is None else jnp.concatenate([first[:, None], given[:, :-1]], 1)

    def step(module: Any, carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
      states, before = carry
      noise, heard = inputs
      x = nn.relu(front(jnp.concatenate([noise, before if given is None else heard], -1)))
      states, x = stack(states, x, train)
      tone = out(x)
      return (states, tone), tone

    start = (stack.rest(z.shape[0], z.dtype), first)
    tones: jax.Array = _scan(step)(self, start, (noise, heard))[1]
    return tones


class Discriminator(nn.Module):
  """Tones (B, T, n) to logits (B,): of the mean over time of what each step says of the sequence, heard both ways.

  Attributes:
    hidden: of the LSTMs of each direction.
    layers: LSTMs of each direction.
    dropout: of the tones and of the LSTMs' outputs, in training.
  """

  hidden: int = 350
  layers: int = 2
  dropout: float = 0.5

  @nn.compact
  def __call__(self, tones: jax.Array, *, train: bool, features: bool = False) -> Any:
    """logits; with features=True (logits, the LSTMs' outputs (B, T, 2 hidden))."""
    x = nn.Dropout(self.dropout, deterministic=not train)(tones)
    heard = jnp.concatenate(
      [
        Whole(self.hidden, self.layers, self.dropout, name='forward')(x, train),
        Whole(self.hidden, self.layers, self.dropout, name='backward')(x[:, ::-1], train)[:, ::-1],
      ],
      -1,
    )
    logits = log_odds_of_mean(dense(heard, 1, kernel_init=PLAIN, name='decision')[..., 0])
    return (logits, heard) if features else logits


def log_odds_of_mean(logits: jax.Array) -> jax.Array:
  """The logit of the mean of probabilities whose logits are (B, T): (B,).

  >>> mean = jax.nn.sigmoid(log_odds_of_mean(jnp.array([[0.0, 100.0]])))
  >>> round(float(mean[0]), 4)
  0.75
  """
  logits = full_precision(logits)
  log_mean = lambda x: jax.nn.logsumexp(jax.nn.log_sigmoid(x), -1) - math.log(x.shape[-1])
  return log_mean(logits) - log_mean(-logits)
