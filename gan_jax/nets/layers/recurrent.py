"""LSTMs: over whole sequences, where what needs no state is one matrix product over all steps, and a step at a time."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.devices import varying_alike
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.conv import product
from gan_jax.nets.layers.geometry import as_rows

GATES = ('i', 'f', 'g', 'o')


class LSTM(nn.Module):
  """`nn.RNN(nn.OptimizedLSTMCell(hidden))` with the same parameters: (B, T, n) to (B, T, hidden); it begins at zeros.

  The inputs of all steps are projected by one product, and the gradients of all weights are one product each; in a scan
  over cells both are as many small ones as there are steps. It has reverse-mode derivatives of any order, but no
  forward mode (`jax.jvp`).

  Attributes:
    hidden: entries of the state.
    kernel_init: initializer of the input kernels (n, hidden).
    recurrent_kernel_init: initializer of the recurrent kernels (hidden, hidden).
    forget_bias: where the forget gate's bias begins; with 1, as TensorFlow has it, an LSTM remembers longer at first.

  >>> LSTM(8).init_with_output(jax.random.key(0), jnp.zeros((2, 5, 3)))[0].shape
  (2, 5, 8)
  """

  hidden: int
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  recurrent_kernel_init: nn.initializers.Initializer = nn.initializers.orthogonal()
  forget_bias: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel, recurrent, bias = _weights(self, x)
    # The gradient of the bias is a sum over all steps of all examples: not of bfloat16.
    projected = (full_precision(product(x, kernel)) + bias[None, None]).astype(x.dtype)
    return jnp.swapaxes(_through(*varying_alike(jnp.swapaxes(projected, 0, 1), recurrent)), 0, 1)


class LSTMCell(nn.Module):
  """A step of `LSTM`, with the same parameters: ((cell, hidden), (B, n)) to ((cell, hidden), (B, hidden)).

  flax's cells begin the biases of all gates alike, so that they have no `forget_bias`.

  Attributes:
    hidden: entries of the state.
    kernel_init: initializer of the input kernels (n, hidden).
    recurrent_kernel_init: initializer of the recurrent kernels (hidden, hidden).
    forget_bias: where the forget gate's bias begins.

  >>> state = (jnp.zeros((2, 8)),) * 2
  >>> LSTMCell(8).init_with_output(jax.random.key(0), state, jnp.zeros((2, 3)))[0][1].shape
  (2, 8)
  """

  hidden: int
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  recurrent_kernel_init: nn.initializers.Initializer = nn.initializers.orthogonal()
  forget_bias: float = 0.0

  @nn.compact
  def __call__(self, state: Any, x: jax.Array) -> tuple[Any, jax.Array]:
    cell, hidden = state
    kernel, recurrent, bias = _weights(self, x)
    before = jnp.concatenate([x, hidden], -1) @ jnp.concatenate([kernel, recurrent])
    before = (full_precision(before) + bias[None]).astype(x.dtype)
    i, f, g, o = _gates(before)
    cell = f * cell + i * g
    hidden = o * jnp.tanh(cell)
    return (cell, hidden), hidden


def _weights(lstm: LSTM | LSTMCell, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Kernels of the inputs (n, 4 H) and of the state (H, 4 H) in the dtype of x, the bias (4 H,) in float32."""
  shapes = {'i': (x.shape[-1], lstm.hidden), 'h': (lstm.hidden, lstm.hidden)}
  starts = {'i': lstm.kernel_init, 'h': lstm.recurrent_kernel_init}
  given = {
    side: [
      _Gate(shapes[side], starts[side], None if side == 'i' else lstm.forget_bias * (gate == 'f'), name=side + gate)()
      for gate in GATES
    ]
    for side in ('i', 'h')
  }
  kernel, recurrent = (jnp.concatenate([k for k, _ in given[side]], -1).astype(x.dtype) for side in ('i', 'h'))
  return kernel, recurrent, jnp.concatenate([b for _, b in given['h']])


class _Gate(nn.Module):
  """The parameters of a gate, named as flax's cell names them: (kernel, bias or None)."""

  shape: tuple[int, int]
  start: nn.initializers.Initializer
  bias: float | None

  @nn.compact
  def __call__(self) -> tuple[jax.Array, Any]:
    kernel = self.param('kernel', self.start, self.shape, jnp.float32)
    if self.bias is None:
      return kernel, None
    return kernel, self.param('bias', nn.initializers.constant(self.bias), self.shape[1:], jnp.float32)


def _gates(before: jax.Array) -> tuple[jax.Array, ...]:
  i, f, g, o = jnp.split(before, 4, -1)
  return nn.sigmoid(i), nn.sigmoid(f), jnp.tanh(g), nn.sigmoid(o)


@jax.custom_vjp
def _through(projected: jax.Array, recurrent: jax.Array) -> jax.Array:
  """The outputs (T, B, H) for projected inputs (T, B, 4 H) and the recurrent kernels (H, 4 H)."""
  return _forward(projected, recurrent)[0]


def _forward(projected: jax.Array, recurrent: jax.Array) -> tuple[jax.Array, Any]:
  zeros = jnp.zeros_like(projected[0, :, : recurrent.shape[0]])

  def step(state: Any, projected: jax.Array) -> Any:
    hidden, cell = state
    before = projected + hidden @ recurrent
    i, f, g, o = _gates(before)
    cell = f * cell + i * g
    hidden = o * jnp.tanh(cell)
    return (hidden, cell), (hidden, cell, before)

  hidden, cells, before = jax.lax.scan(step, (zeros, zeros), projected)[1]
  return hidden, (hidden, cells, before, recurrent)


def _backward(residuals: Any, outer: jax.Array) -> tuple[jax.Array, jax.Array]:
  hidden, cells, before, recurrent = residuals
  delayed = lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])

  def step(carry: Any, given: Any) -> Any:
    on_hidden, on_cell = carry
    outer, before, cell, cell_before = given
    i, f, g, o = _gates(before)
    squashed, on_hidden = jnp.tanh(cell), on_hidden + outer
    on_cell = on_cell + on_hidden * o * (1 - squashed**2)
    parts = (
      on_cell * g * i * (1 - i),
      on_cell * cell_before * f * (1 - f),
      on_cell * i * (1 - g**2),
      on_hidden * squashed * o * (1 - o),
    )
    on_gates = jnp.concatenate(parts, -1)
    return (on_gates @ recurrent.T, on_cell * f), on_gates

  zeros = jnp.zeros_like(cells[0])
  on_gates = jax.lax.scan(step, (zeros, zeros), (outer, before, cells, delayed(cells)), reverse=True)[1]
  return on_gates, as_rows(delayed(hidden)).T @ as_rows(on_gates)


_through.defvjp(_forward, _backward)
