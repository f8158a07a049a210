r"""InfoGAN's lower bound of the mutual information between codes and the examples generated from them.

Source: Chen et al. 2016, https://arxiv.org/abs/1606.03657, eq. 5: $I(c; G(z, c)) \ge E[\log Q(c | G(z, c))] + H(c)$.
The functions compute the first term with a minus sign; both the generator and Q minimise it. The second term, the
entropy of the prior, is constant.
"""

import math

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision
from gan_jax.losses.labels import cross_entropy


def categorical_information(logits: jax.Array, code: jax.Array) -> jax.Array:
  r"""$-E[\log Q(c | x)]$ for a categorical code: the cross-entropy.

  Args:
    logits: (B, n), the outputs of Q.
    code: (B,) integers 0 ... n - 1, the codes that were drawn.

  >>> round(float(categorical_information(jnp.zeros((2, 4)), jnp.array([0, 3]))), 4)  # log 4
  1.3863
  """
  return cross_entropy(logits, code)


def gaussian_information(
  code_mean: jax.Array, code: jax.Array, *, code_log_stddev: jax.Array | float = 0.0
) -> jax.Array:
  r"""$-E[\log Q(c | x)]$ for real-valued codes and a diagonal Gaussian Q, summed over the codes of an example.

  With a fixed deviation of 1 it is half the squared error plus a constant. Use it for Gaussian and for uniform codes:
  Q is a Gaussian in both cases.
  Source: Chen et al. 2016, https://arxiv.org/abs/1606.03657, section 6 and appendix C.

  Args:
    code_mean: (B, n), the means of Q.
    code: (B, n), the codes that were drawn.
    code_log_stddev: (B, n) or a number, the logarithms of Q's standard deviations.

  >>> x = jnp.zeros((1, 2))
  >>> round(float(gaussian_information(x, x)), 4)  # log 2 pi
  1.8379
  """
  chex.assert_rank([code_mean, code], 2)
  chex.assert_equal_shape([code_mean, code])
  log_stddev = jnp.broadcast_to(full_precision(jnp.asarray(code_log_stddev)), code.shape)
  scaled = (full_precision(code) - full_precision(code_mean)) * jnp.exp(-log_stddev)
  return jnp.mean(jnp.sum(0.5 * scaled**2 + log_stddev + 0.5 * math.log(2 * math.pi), -1))
