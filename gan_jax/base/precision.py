"""The precision that losses and normalisations compute in, whatever the networks' dtype."""

import jax
import jax.numpy as jnp


def full_precision(x: jax.Array) -> jax.Array:
  """x in float32, or in float64 if x is float64. A sum in bfloat16 would lose small terms.

  >>> full_precision(jnp.ones(2, jnp.bfloat16)).dtype
  dtype('float32')
  """
  x = jnp.asarray(x)
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def as_float(x: jax.Array) -> jax.Array:
  """Whole numbers, such as one-hot classes, as float32: in their own dtype weights would be 0."""
  return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)
