"""LSTMs over whole sequences that are given: what needs no state is one matrix product over all steps."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision

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

  >>> LSTM(8).init_with_output(jax.random.key(0), jnp.zeros((2, 5, 3)))[0].shape
  (2, 5, 8)
  """

  hidden: int
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  recurrent_kernel_init: nn.initializers.Initializer = nn.initializers.orthogonal()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (x.shape[-1], self.hidden)
    inputs = [_Gate(shape, self.kernel_init, False, name=f'i{gate}')() for gate in GATES]
    states = [_Gate((self.hidden,) * 2, self.recurrent_kernel_init, True, name=f'h{gate}')() for gate in GATES]
    join = lambda arrays: jnp.concatenate(arrays, -1).astype(x.dtype)
    kernel, recurrent = join([k for k, _ in inputs]), join([k for k, _ in states])
    # The gradient of the bias is a sum over all steps of all examples: not of bfloat16.
    bias = jnp.concatenate([b for _, b in states]).reshape(1, 1, -1)
    projected = (full_precision(x @ kernel) + bias).astype(x.dtype)
    return jnp.swapaxes(_through(jnp.swapaxes(projected, 0, 1), recurrent), 0, 1)


class _Gate(nn.Module):
  """The parameters of a gate, named as the cell names them: (kernel, bias or None)."""

  shape: tuple[int, int]
  start: nn.initializers.Initializer
  biased: bool

  @nn.compact
  def __call__(self) -> tuple[jax.Array, Any]:
    kernel = self.param('kernel', self.start, self.shape, jnp.float32)
    if not self.biased:
      return kernel, None
    return kernel, self.param('bias', nn.initializers.zeros_init(), self.shape[1:], jnp.float32)


def _gates(before: jax.Array) -> tuple[jax.Array, ...]:
  i, f, g, o = jnp.split(before, 4, -1)
  return nn.sigmoid(i), nn.sigmoid(f), jnp.tanh(g), nn.sigmoid(o)


@jax.custom_vjp
def _through(projected: jax.Array, recurrent: jax.Array) -> jax.Array:
  """The outputs (T, B, H) for projected inputs (T, B, 4 H) and the recurrent kernels (H, 4 H)."""
  return _forward(projected, recurrent)[0]


def _forward(projected: jax.Array, recurrent: jax.Array) -> tuple[jax.Array, Any]:
  zeros = jnp.zeros((projected.shape[1], recurrent.shape[0]), projected.dtype)

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
  return on_gates, jnp.einsum('tbh,tbg->hg', delayed(hidden), on_gates)


_through.defvjp(_forward, _backward)
