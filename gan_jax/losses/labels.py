r"""Losses on labels: classes, real or fake as a class, and the generator that made an example."""

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.precision import full_precision


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  r"""$-E[\log p(y | x)]$: the loss of an auxiliary classifier, for data and for generated examples.

  Source: Odena et al. 2016, https://arxiv.org/abs/1610.09585, eq. 3.

  Args:
    logits: (B, classes).
    labels: (B,) integers; one that is no class makes the loss NaN.

  >>> round(float(cross_entropy(jnp.zeros((1, 10)), jnp.array([3]))), 4)  # log 10
  2.3026
  """
  chex.assert_rank([logits, labels], [2, 1])
  chex.assert_equal_shape_prefix([logits, labels], 1)
  chex.assert_type(labels, int)
  logs, labels = jax.nn.log_softmax(full_precision(logits)), labels.astype(jnp.int32)  # in bytes 256 classes are 0
  known = (labels >= 0) & (labels < logits.shape[1])  # JAX would count -1 from the end
  return -jnp.mean(jnp.where(known, jnp.take_along_axis(logs, jnp.where(known, labels, 0)[:, None], -1)[:, 0], jnp.nan))


def entropy(logits: jax.Array) -> jax.Array:
  r"""The mean entropy of predictions, $E[H(p(y | x))]$: low where the classifier is sure (CatGAN, Triple-GAN's and
  semi-supervised confidence terms).

  Source: Springenberg 2015, https://arxiv.org/abs/1511.06390, eq. 2.

  Args:
    logits: (B, classes).

  >>> round(float(entropy(jnp.zeros((1, 4)))), 4)  # log 4
  1.3863
  """
  chex.assert_rank(logits, 2)
  return jnp.mean(_entropy(jax.nn.log_softmax(full_precision(logits))))


def marginal_entropy(logits: jax.Array) -> jax.Array:
  r"""The entropy of the mean prediction, $H(E[p(y | x)])$: high where all classes are used.

  Source: Springenberg 2015, https://arxiv.org/abs/1511.06390, eq. 3.

  >>> round(float(marginal_entropy(jnp.array([[50.0, -50.0], [-50.0, 50.0]]))), 4)  # log 2
  0.6931
  """
  chex.assert_rank(logits, 2)
  # By logarithms, for a share that rounds to 0 has no gradient.
  each = jax.nn.log_softmax(full_precision(logits))
  ruled_out = jnp.isneginf(each).all(0)  # logsumexp of -inf alone has no gradient
  logs = jax.nn.logsumexp(jnp.where(ruled_out, 0.0, each), 0) - jnp.log(logits.shape[0])
  return _entropy(jnp.where(ruled_out, -jnp.inf, logs))


def _entropy(logs: jax.Array) -> jax.Array:
  """-sum p log p over the last axis; a class that a logit of -inf rules out adds 0."""
  known = jnp.where(jnp.isneginf(logs), 0.0, logs)
  return -jnp.sum(jnp.where(jnp.isneginf(logs), 0.0, jnp.exp(known) * known), -1)


def projection_logit(logit: jax.Array, features: jax.Array, embedded: jax.Array) -> jax.Array:
  r"""The logit of a projection discriminator: the example's own logit plus the inner product of class and features.

  Source: Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637, eq. 3.

  Args:
    logit: (B,), the logit of the example without its class.
    features: (B, n), features of the example.
    embedded: (B, n), the embedding of each example's class.

  Returns:
    (B,).

  >>> projection_logit(jnp.array([1.0]), jnp.array([[2.0, 3.0]]), jnp.array([[1.0, 0.5]])).tolist()
  [4.5]
  """
  chex.assert_rank([logit, features, embedded], [1, 2, 2])
  chex.assert_equal_shape([features, embedded])
  chex.assert_equal_shape_prefix([logit, features], 1)
  return full_precision(logit) + jnp.sum(full_precision(features) * full_precision(embedded), -1)


def real_logit(class_logits: jax.Array) -> jax.Array:
  r"""The logit of "real" from K class logits; the logit of the class "fake" is fixed at 0: $\log \sum_k \exp l_k$.

  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5: D(x) = Z / (Z + 1).

  Args:
    class_logits: (B, K).

  Returns:
    (B,) logits, which any adversarial loss takes.

  >>> [round(float(x), 4) for x in real_logit(jnp.zeros((1, 4)))]
  [1.3863]
  """
  chex.assert_rank(class_logits, 2)
  return jax.nn.logsumexp(full_precision(class_logits), -1)


def semi_supervised(
  labelled_logits: jax.Array, labels: jax.Array, unlabelled_logits: jax.Array, fake_logits: jax.Array
) -> jax.Array:
  r"""The discriminator's loss with K logits: $L_{supervised} + L_{unsupervised}$.

  $-E[\log p(y | x, y \le K)] - E[\log D(x)] - E[\log(1 - D(G(z)))]$ with $D = Z / (Z + 1)$, $Z = \sum_k e^{l_k}$.
  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5. The authors' code halves the last two.

  Args:
    labelled_logits: (B, K).
    labels: (B,) integers.
    unlabelled_logits: (B', K).
    fake_logits: (B'', K).

  >>> zeros = jnp.zeros((2, 4))  # log 4 + log(5 / 4) + log 5
  >>> round(float(semi_supervised(zeros, jnp.array([0, 1]), zeros, zeros)), 4)
  3.2189
  """
  unlabelled, fake = real_logit(unlabelled_logits), real_logit(fake_logits)
  unsupervised = jnp.mean(jax.nn.softplus(-unlabelled)) + jnp.mean(jax.nn.softplus(fake))
  return cross_entropy(labelled_logits, labels) + unsupervised


def fake_class(real_logits: jax.Array, labels: jax.Array, fake_logits: jax.Array) -> jax.Array:
  r"""The discriminator's loss with K + 1 logits, the last for "fake": cross-entropy on labelled data and on fakes.

  Source: Odena 2016, https://arxiv.org/abs/1606.01583, algorithm 1.

  Args:
    real_logits: (B, K + 1), logits of labelled data.
    labels: (B,) integers, 0 ... K - 1; any other makes the loss NaN, K as well, which would call data fake.
    fake_logits: (B', K + 1).

  >>> zeros = jnp.zeros((2, 5))
  >>> round(float(fake_class(zeros, jnp.array([0, 1]), zeros)), 4)  # 2 log 5
  3.2189
  """
  chex.assert_equal_shape_suffix([real_logits, fake_logits], 1)
  last = jnp.full((fake_logits.shape[0],), fake_logits.shape[-1] - 1, jnp.int32)
  return cross_entropy(real_logits, _but_last(real_logits, labels)) + cross_entropy(fake_logits, last)


def _but_last(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Labels (B,) in which the last class of the logits (B, classes) is none."""
  chex.assert_type(labels, int)
  last = logits.shape[1] - 1
  # In bytes 300 classes would be 44, and no number of theirs is one of them.
  return jnp.where(labels.astype(jnp.int32) == last, -1, labels.astype(jnp.int32))


def generator_identification(real_logits: jax.Array, fake_logits: jax.Array, maker: jax.Array) -> jax.Array:
  r"""The discriminator's loss with k generators: it classifies an example as data or as the work of one generator.

  $-E[\log D_{k+1}(x)] - \sum_{i=1}^k E[\log D_i(G_i(z))]$ over k + 1 classes, the last for data. All generators make
  the same number of examples. A generator minimises `cross_entropy` with the last class as the label. At the optimum
  the generators share no examples, their mixture is the data, and the loss is $(k + 1) \log(k + 1) - k \log k$.
  Source: Ghosh et al. 2017 (MAD-GAN), https://arxiv.org/abs/1704.02906, section 3.2 and proposition 2.

  Args:
    real_logits: (B, k + 1).
    fake_logits: (B', k + 1).
    maker: (B',) integers 0 ... k - 1, the generator that made each example; any other makes the loss NaN.

  >>> round(float(generator_identification(jnp.zeros((2, 4)), jnp.zeros((3, 4)), jnp.array([0, 1, 2]))), 4)  # 4 log 4
  5.5452
  """
  chex.assert_equal_shape_suffix([real_logits, fake_logits], 1)
  last = jnp.full((real_logits.shape[0],), real_logits.shape[-1] - 1, jnp.int32)
  of_makers = cross_entropy(fake_logits, _but_last(fake_logits, maker))
  return cross_entropy(real_logits, last) + (fake_logits.shape[1] - 1) * of_makers
