"""Balls around examples: steps of a given length, projection, random points."""

import jax
import jax.numpy as jnp

NORMS = ('linf', 'l2')
#: Below this, a gradient is taken for none.
TINY = 1e-12


def column(values: jax.Array, x: jax.Array) -> jax.Array:
  """(B,) to (B, 1, ...), of the rank of x."""
  return values.reshape(values.shape + (1,) * (x.ndim - 1))


def lengths(delta: jax.Array, norm: str) -> jax.Array:
  """The norm of each example's change: (B, ...) to (B,), in units of pixels.

  >>> lengths(jnp.array([[3.0, -4.0]]), 'l2').tolist(), lengths(jnp.array([[3.0, -4.0]]), 'linf').tolist()
  ([5.0], [4.0])
  """
  flat = delta.reshape(len(delta), -1)
  return jnp.abs(flat).max(-1) if norm == 'linf' else jnp.sqrt(jnp.square(flat).sum(-1))


def steepest(gradient: jax.Array, norm: str) -> jax.Array:
  """The change of length 1 along which a linear function of each example grows most: (B, ...) to (B, ...)."""
  if norm == 'linf':
    return jnp.sign(gradient)
  return gradient / jnp.maximum(column(lengths(gradient, norm), gradient), TINY)


def within(x: jax.Array, origin: jax.Array, eps: jax.Array | float, norm: str) -> jax.Array:
  """The nearest points to x at most eps away from the origin: (B, ...)."""
  delta = x - origin
  if norm == 'linf':
    return origin + jnp.clip(delta, -eps, eps)
  return origin + delta * jnp.minimum(1.0, eps / jnp.maximum(column(lengths(delta, norm), delta), TINY))


def random_change(key: jax.Array, x: jax.Array, eps: jax.Array | float, norm: str) -> jax.Array:
  """Uniform in the ball of radius eps: (B, ...) of the shape of x."""
  if norm == 'linf':
    return eps * jax.random.uniform(key, x.shape, x.dtype, -1.0, 1.0)
  normal, radius = jax.random.split(key)
  direction = steepest(jax.random.normal(normal, x.shape, x.dtype), 'l2')
  share = jax.random.uniform(radius, (len(x),), x.dtype) ** (1 / direction[0].size)
  return eps * direction * column(share, x)
