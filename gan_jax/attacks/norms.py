"""Balls around examples: steps of a given length, projection, random points."""

from typing import Any

import jax
import jax.numpy as jnp

NORMS = ('linf', 'l2')
#: Below this, a change is taken for none.
TINY = 1e-12


def widened(x: jax.Array) -> jax.Array:
  """In float32, or in float64 if it is that: searches add up many small steps, whatever the examples are."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def numbers(x: jax.Array, *values: Any) -> tuple[jax.Array, ...]:
  """Settings in the dtype of x: beside a float64 of NumPy the steps of a search would change their type."""
  return tuple(jnp.asarray(value, x.dtype) for value in values)


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


def scaled(gradient: jax.Array) -> jax.Array:
  """Each example's gradient over its largest entry: of a confident network its squares would be 0 in float32."""
  largest = column(lengths(gradient, 'linf'), gradient)
  return gradient / jnp.where(largest > 0, largest, 1.0)


def steepest(gradient: jax.Array, norm: str) -> jax.Array:
  """The change of length 1 along which a linear function of each example grows most: (B, ...) to (B, ...)."""
  if norm == 'linf':
    return jnp.sign(gradient)
  gradient = scaled(gradient)
  length = column(lengths(gradient, norm), gradient)
  return gradient / jnp.where(length > 0, length, 1.0)


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
