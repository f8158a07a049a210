r"""Adversarial losses: pairs of pure functions on logits.

Every loss is an `AdversarialLoss(discriminator, generator)`; both are minimised. Logits are what the discriminator
returns before any sigmoid, real and fake from separate passes, of any shape (one per example, or one per patch);
`two_way_softmax` takes pairs of logits on the last axis. With $D = \sigma(\text{logit})$,
$\log D = -\text{softplus}(-\text{logit})$ and $\log(1 - D) = -\text{softplus}(\text{logit})$, which stay finite where
`log(sigmoid(x))` does not.

All functions take `real_weights` and `fake_weights` (of the shape of the logits, or one per example); with them each
mean becomes a weighted mean. They return a scalar, float32 or wider. They raise `AssertionError` if the ranks of real
and fake logits differ: (B,) against (B, 1) would broadcast without an error, a common bug in GAN code.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.functions import known
from gan_jax.base.precision import full_precision

Weights = jax.Array | None


class AdversarialLoss(NamedTuple):
  """What the discriminator and the generator minimise.

  Attributes:
    discriminator: (real_logits, fake_logits, *, real_weights=None, fake_weights=None) -> scalar.
    generator: (fake_logits, real_logits=None, *, real_weights=None, fake_weights=None) -> scalar.
    relativistic: whether the generator's loss needs the real logits.
    boundary: the logit that separates real (above) from fake (below); None if only differences of logits have a
      meaning.
    outputs: number of logits per example: 1, or 2 for a softmax over (fake, real); None for any number.

  >>> loss = hinge.discriminator(jnp.array([2.0, 0.0]), jnp.array([-1.0, 1.0]))
  >>> float(loss)  # (0 + 1) / 2 + (0 + 2) / 2
  1.5
  """

  discriminator: Callable[..., jax.Array]
  generator: Callable[..., jax.Array]
  relativistic: bool = False
  boundary: float | None = 0.0
  outputs: int | None = 1

  def log_odds(self, logits: jax.Array) -> jax.Array:
    """One number of each judgement, high for data: the logits as they are; of 2 outputs (..., 2) real minus fake (...).

    >>> two_way_softmax.log_odds(jnp.array([[1.0, 4.0]])).tolist(), hinge.log_odds(jnp.array([2.0])).tolist()
    ([3.0], [2.0])
    """
    return _log_odds(logits) if self.outputs == 2 else logits


def mean(values: jax.Array, weights: Weights = None) -> jax.Array:
  """The mean of values, or their weighted mean, sum(w v) / sum(w).

  Args:
    values: any shape.
    weights: None, of the shape of the values, or (B,) for values (B, ...). Where all are 0 the mean is 0.

  >>> float(mean(jnp.array([1.0, 3.0]), jnp.array([3.0, 1.0])))
  1.5
  """
  values = full_precision(values)
  if weights is None:
    return jnp.mean(values)
  weights = _of_each(weights, values.shape)
  return jnp.sum(weights * values) / jnp.where(jnp.all(weights == 0), 1.0, jnp.sum(weights))


def _of_each(weights: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Weights of a shape (B, ...), or (B,) of its rows, as float32 of that shape."""
  weights = full_precision(weights)
  if weights.shape != shape:
    chex.assert_shape(weights, shape[:1])
    weights = jnp.broadcast_to(weights.reshape((-1,) + (1,) * (len(shape) - 1)), shape)
  return weights


def _pair(real_logits: jax.Array, fake_logits: jax.Array) -> tuple[jax.Array, jax.Array]:
  chex.assert_equal_rank([real_logits, fake_logits])
  return full_precision(real_logits), full_precision(fake_logits)


def _separable(
  real: Callable[[jax.Array], jax.Array],
  fake: Callable[[jax.Array], jax.Array],
  fooled: Callable[[jax.Array], jax.Array],
  boundary: float | None = 0.0,
) -> AdversarialLoss:
  """E[real(D(x))] + E[fake(D(G(z)))] for the discriminator, E[fooled(D(G(z)))] for the generator."""

  def discriminator(
    real_logits: jax.Array, fake_logits: jax.Array, *, real_weights: Weights = None, fake_weights: Weights = None
  ) -> jax.Array:
    real_logits, fake_logits = _pair(real_logits, fake_logits)
    return mean(real(real_logits), real_weights) + mean(fake(fake_logits), fake_weights)

  def generator(
    fake_logits: jax.Array,
    real_logits: jax.Array | None = None,
    *,
    real_weights: Weights = None,
    fake_weights: Weights = None,
  ) -> jax.Array:
    return mean(fooled(full_precision(fake_logits)), fake_weights)

  return AdversarialLoss(discriminator, generator, boundary=boundary)


def value(
  real_logits: jax.Array, fake_logits: jax.Array, *, real_weights: Weights = None, fake_weights: Weights = None
) -> jax.Array:
  r"""The value of the two-player game, $E[\log D(x)] + E[\log(1 - D(G(z)))]$.

  The discriminator maximises it, the generator minimises it. At $D = 1/2$ it is $-\log 4$.
  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, eq. 1.

  Args:
    real_logits: the discriminator's logits on data, any shape.
    fake_logits: its logits on generated examples, of the same rank.
    real_weights: weights of the real logits.
    fake_weights: weights of the fake logits.

  Returns:
    A scalar.

  >>> round(float(value(jnp.zeros(4), jnp.zeros(4))), 4)
  -1.3863
  """
  return -minimax.discriminator(real_logits, fake_logits, real_weights=real_weights, fake_weights=fake_weights)


def generator_value(fake_logits: jax.Array, *, fake_weights: Weights = None) -> jax.Array:
  r"""The part of `value` that depends on the generator, $E[\log(1 - D(G(z)))]$.

  >>> round(float(generator_value(jnp.zeros(4))), 4)
  -0.6931
  """
  return minimax.generator(fake_logits, fake_weights=fake_weights)


def _low(x: jax.Array) -> jax.Array:  # -log D
  return jax.nn.softplus(-x)


def _high(x: jax.Array) -> jax.Array:  # -log(1 - D)
  return jax.nn.softplus(x)


def smoothed(real: float = 0.9, fake: float = 0.0) -> AdversarialLoss:
  r"""`nonsaturating` with other targets than 1 and 0 for the discriminator: one-sided label smoothing.

  The discriminator minimises $E[H(t_{real}, D(x))] + E[H(t_{fake}, D(G(z)))]$ with the cross-entropy H. Leave `fake`
  at 0: a larger target would reward the generator for mistakes that it already makes.
  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.4.

  Args:
    real: the target on data, in (0, 1].
    fake: the target on generated examples, in [0, 1).

  Raises:
    ValueError: a target is out of range.

  >>> loss = smoothed(0.9)  # on data the minimum is at D = 0.9, a logit of log 9
  >>> bool(abs(jax.grad(loss.discriminator)(jnp.log(jnp.array([9.0])), jnp.array([-99.0]))[0]) < 1e-6)
  True
  """
  if not 0 <= fake < real <= 1:
    raise ValueError(f'smoothed(real={real}, fake={fake}): targets must be 0 <= fake < real <= 1')
  entropy = lambda target: lambda x: target * _low(x) + (1 - target) * _high(x)
  middle = (real + fake) / 2  # of D where data and generated examples are as frequent
  return _separable(entropy(real), entropy(fake), _low, boundary=math.log(middle / (1 - middle)))


def targets(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> AdversarialLoss:
  r"""The least-squares loss with any targets a, b and c.

  $\frac12 E[(D(x) - b)^2] + \frac12 E[(D(G(z)) - a)^2]$ for the discriminator, $\frac12 E[(D(G(z)) - c)^2]$ for the
  generator.

  With b - c = 1 and b - a = 2 (a = -1, b = 1, c = 0) the generator minimises a Pearson chi-square divergence.
  Source: Mao et al. 2017, https://arxiv.org/abs/1611.04076, eq. 2, 8 and 9.

  Args:
    a: the discriminator's target on generated examples.
    b: its target on data.
    c: the generator's target.

  Raises:
    ValueError: b is not above a: logits would be low for data, and all that asks what is judged real would be wrong.

  >>> float(targets(-1.0, 1.0, 0.0).generator(jnp.array([2.0])))
  2.0
  """
  if known(a, b) and not a < b:
    raise ValueError(f'targets(a={a}, b={b}): the target of data, b, must be above that of generated examples, a')
  half_square = lambda target: lambda x: 0.5 * (x - target) ** 2
  return _separable(half_square(b), half_square(a), half_square(c), boundary=(a + b) / 2)


def flip(
  key: jax.Array, probability: float, real_logits: jax.Array, fake_logits: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Label flipping: swaps the real and the fake logits of some random examples before the discriminator's loss.

  Source: Chintala et al. 2016, https://github.com/soumith/ganhacks, item 6.

  Args:
    key: a PRNG key.
    probability: probability that an example is swapped.
    real_logits: (B, ...).
    fake_logits: the same shape.

  Returns:
    (real logits, fake logits) after the swaps.

  >>> real, fake = flip(jax.random.key(0), 1.0, jnp.ones(3), jnp.zeros(3))
  >>> real.tolist(), fake.tolist()
  ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
  """
  chex.assert_equal_shape([real_logits, fake_logits])
  shape = (real_logits.shape[0],) + (1,) * (real_logits.ndim - 1)
  flipped = jax.random.bernoulli(key, jnp.float32(probability), shape)
  return jnp.where(flipped, fake_logits, real_logits), jnp.where(flipped, real_logits, fake_logits)


def _relativistic(real: Callable[[jax.Array], jax.Array]) -> AdversarialLoss:
  """Compares each real logit with the fake logit of the same row; the generator's loss swaps the two."""

  def one_sided(higher: jax.Array, lower: jax.Array, weights: tuple[Weights, Weights]) -> jax.Array:
    chex.assert_equal_shape([higher, lower])
    product = None
    for each in weights:
      if each is not None:
        product = _of_each(each, higher.shape) * (1.0 if product is None else product)
    return mean(real(full_precision(higher) - full_precision(lower)), product)

  def discriminator(real_logits, fake_logits, *, real_weights=None, fake_weights=None):
    return one_sided(real_logits, fake_logits, (real_weights, fake_weights))

  def generator(fake_logits, real_logits=None, *, real_weights=None, fake_weights=None):
    return one_sided(fake_logits, _required(real_logits), (real_weights, fake_weights))

  return AdversarialLoss(discriminator, generator, relativistic=True, boundary=None)


def _relativistic_average(
  real: Callable[[jax.Array], jax.Array], fake: Callable[[jax.Array], jax.Array]
) -> AdversarialLoss:
  """Compares each logit with the mean logit of the other side; the generator's loss swaps the sides."""

  def both(higher: jax.Array, lower: jax.Array, higher_weights: Weights, lower_weights: Weights) -> jax.Array:
    higher, lower = _pair(higher, lower)
    above = real(higher - mean(lower, lower_weights))
    below = fake(lower - mean(higher, higher_weights))
    return mean(above, higher_weights) + mean(below, lower_weights)

  def discriminator(real_logits, fake_logits, *, real_weights=None, fake_weights=None):
    return both(real_logits, fake_logits, real_weights, fake_weights)

  def generator(fake_logits, real_logits=None, *, real_weights=None, fake_weights=None):
    return both(fake_logits, _required(real_logits), fake_weights, real_weights)

  return AdversarialLoss(discriminator, generator, relativistic=True, boundary=None)


def _required(real_logits: jax.Array | None) -> jax.Array:
  if real_logits is None:
    raise TypeError('a relativistic loss compares fakes with data: pass real_logits to the generator loss too')
  return real_logits


def _log_odds(logits: jax.Array) -> jax.Array:
  chex.assert_axis_dimension(logits, -1, 2)
  logits = full_precision(logits)
  return logits[..., 1] - logits[..., 0]


def _two_way_discriminator(real_logits, fake_logits, *, real_weights=None, fake_weights=None):
  chex.assert_equal_rank([real_logits, fake_logits])
  weights = dict(real_weights=real_weights, fake_weights=fake_weights)
  return nonsaturating.discriminator(_log_odds(real_logits), _log_odds(fake_logits), **weights)


def _two_way_generator(fake_logits, real_logits=None, *, real_weights=None, fake_weights=None):
  return nonsaturating.generator(_log_odds(fake_logits), fake_weights=fake_weights)


_one_minus = lambda x: jax.nn.relu(1.0 - x)
_one_plus = lambda x: jax.nn.relu(1.0 + x)
_below_one = lambda x: (x - 1.0) ** 2
_above_minus_one = lambda x: (x + 1.0) ** 2

#: The saturating loss: the discriminator maximises `value`, the generator minimises it. (The game of this name is
#: `gan_jax.games.minimax.Minimax`.) Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, eq. 1.
minimax = _separable(_low, _high, lambda x: -_high(x))

#: The generator minimises -E[log D(G(z))]. It has the same fixed point as `minimax`, and its gradient does not vanish
#: where D is sure that an example is fake. Goodfellow et al. 2014, section 3.
nonsaturating = _separable(_low, _high, _low)

#: 1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2] and 1/2 E[(D(G(z)) - 1)^2] on raw logits: targets a = 0, b = c = 1.
#: Mao et al. 2017, https://arxiv.org/abs/1611.04076, eq. 9.
least_squares = targets()

#: The difference of the critic's means on data and on fakes. Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875,
#: eq. 2-3. A penalty, spectral norm or `gan_jax.optim.weights.clip_weights` must keep the critic Lipschitz.
wasserstein = _separable(lambda x: -x, lambda x: x, lambda x: -x, boundary=None)

#: E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] and -E[D(G(z))]. Lim and Ye 2017,
#: https://arxiv.org/abs/1705.02894; Miyato et al. 2018, https://arxiv.org/abs/1802.05957, eq. 16-17.
hinge = _separable(_one_minus, _one_plus, lambda x: -x)

#: Cross-entropy of a softmax over (fake, real), logits of shape (..., 2), class 1 = real. It equals
#: `nonsaturating` on the difference of the two logits.
two_way_softmax = AdversarialLoss(_two_way_discriminator, _two_way_generator, outputs=2)

#: -E[log sigma(D(x) - D(G(z)))] over pairs; the generator's loss swaps real and fake. Jolicoeur-Martineau 2018,
#: https://arxiv.org/abs/1807.00734, eq. 5-6.
relativistic = _relativistic(_low)

#: E[(D(x) - D(G(z)) - 1)^2] over pairs; the generator's loss swaps real and fake. The same source, eq. 3-4 with
#: f = square.
relativistic_least_squares = _relativistic(_below_one)

#: E[max(0, 1 - (D(x) - D(G(z))))] over pairs; the generator's loss swaps real and fake. The same source, eq. 3-4 with
#: f = hinge.
relativistic_hinge = _relativistic(_one_minus)

#: Compares each logit with the mean logit of the other side. The same source, eq. 7-8 (RaSGAN).
relativistic_average = _relativistic_average(_low, _high)

#: E[(D(x) - E D(G(z)) - 1)^2] + E[(D(G(z)) - E D(x) + 1)^2]; the generator's loss swaps real and fake. Appendix D
#: (RaLSGAN).
relativistic_average_least_squares = _relativistic_average(_below_one, _above_minus_one)

#: E[max(0, 1 - (D(x) - E D(G(z))))] + E[max(0, 1 + (D(G(z)) - E D(x)))]; the generator's loss swaps real and fake.
#: Appendix D (RaHingeGAN).
relativistic_average_hinge = _relativistic_average(_one_minus, _one_plus)
