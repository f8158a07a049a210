r"""Losses that compare features of generated examples with features of data."""

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision


def feature_matching(real_features: jax.Array, fake_features: jax.Array, *, norm: str = 'l2') -> jax.Array:
  r"""The distance between mean features: $\|E f(x) - E f(G(z))\|_2^2$, or its L1 form.

  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.1. DiscoGAN's feature loss is the L2 form
  summed over layers: its `HingeEmbeddingLoss` with targets 1 is a mean (https://github.com/SKTBrain/DiscoGAN).
  differs: the mean over features instead of the sum, so that the weight of the loss does not depend on the width.

  Args:
    real_features: (B, ...), features of data.
    fake_features: (B', ...), the same features of generated examples.
    norm: 'l2' for squares, 'l1' for absolute values.

  Raises:
    AssertionError: the features have different shapes.
    ValueError: the norm is neither 'l2' nor 'l1'.

  >>> float(feature_matching(jnp.array([[0.0, 2.0], [2.0, 2.0]]), jnp.array([[3.0, 2.0]])))
  2.0
  """
  chex.assert_equal_rank([real_features, fake_features])
  chex.assert_equal_shape_suffix([real_features, fake_features], real_features.ndim - 1)
  difference = jnp.mean(full_precision(real_features), 0) - jnp.mean(full_precision(fake_features), 0)
  if norm == 'l2':
    return jnp.mean(difference**2)
  if norm == 'l1':
    return jnp.mean(jnp.abs(difference))
  raise ValueError(f'feature_matching: norm is {norm!r}, must be l2 or l1')


def hinge_embedding(distances: jax.Array, targets: jax.Array, *, margin: float = 1.0) -> jax.Array:
  r"""Pulls similar pairs (target 1) together and pushes dissimilar pairs (target -1) apart, up to a margin.

  $E[d]$ over targets 1 and $E[\max(0, m - d)]$ over targets -1, averaged together.
  Source: the authors' code of DiscoGAN (SKTBrain/DiscoGAN), on squared feature distances; their paper has no such term.

  Args:
    distances: any shape, not negative.
    targets: 1 or -1, the same shape.
    margin: m.

  >>> float(hinge_embedding(jnp.array([2.0, 0.5]), jnp.array([1, -1])))
  1.25
  """
  chex.assert_equal_shape([distances, targets])
  distances = full_precision(distances)
  return jnp.mean(jnp.where(targets > 0, distances, jax.nn.relu(margin - distances)))
