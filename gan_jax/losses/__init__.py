"""Losses: pure functions on arrays, which know neither networks nor training.

>>> import jax.numpy as jnp
>>> from gan_jax import losses
>>> float(losses.wasserstein.discriminator(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])))
-1.5
"""

from gan_jax.losses.adversarial import (
  AdversarialLoss,
  generator_value,
  hinge,
  least_squares,
  minimax,
  nonsaturating,
  two_way_softmax,
  value,
  wasserstein,
)

__all__ = [
  'AdversarialLoss',
  'generator_value',
  'hinge',
  'least_squares',
  'minimax',
  'nonsaturating',
  'two_way_softmax',
  'value',
  'wasserstein',
]
