r"""Penalties that keep a critic smooth, consistent or near zero.

The pure functions take gradients of the critic's output with respect to its input, or logits. `input_gradients`
computes these gradients for any function of a batch; `wgan_gp` and `dragan` do both in one call. Inside a game the
critic is a Linen module: use `gan_jax.core.input_gradients` there.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gan_jax.base.precision import as_float, full_precision

Critic = Callable[[jax.Array], jax.Array]


def input_gradients(critic: Critic, x: jax.Array) -> jax.Array:
  """The gradient of each example's summed output with respect to that example.

  Args:
    critic: (B, ...) -> logits (B, ...). Each logit must depend only on its own example, so use no batch norm.
    x: (B, ...); whole numbers are taken as float32.

  Returns:
    Gradients of the shape of x.

  Raises:
    TypeError: the critic returns more than its logits.

  >>> input_gradients(lambda x: x[:, 0] ** 2, jnp.array([[3.0, 1.0]])).tolist()
  [[6.0, 0.0]]
  """

  def total(x: jax.Array) -> jax.Array:
    logits = critic(x)
    if isinstance(logits, tuple | list):
      raise TypeError('input_gradients: the critic must return logits alone, as lambda x: critic(x)[0] does')
    return jnp.sum(full_precision(logits))

  return jax.grad(total)(as_float(x))


def norms(gradients: jax.Array) -> jax.Array:
  """The Euclidean norm of each example, (B,). Where the norm is 0, its own gradient is 0 too, not NaN.

  >>> norms(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
  [5.0, 0.0]
  """
  squares = jnp.sum(full_precision(gradients).reshape(gradients.shape[0], -1) ** 2, -1)
  positive = squares > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


def gradient_penalty(gradients: jax.Array, *, target: float = 1.0, one_sided: bool = False) -> jax.Array:
  r"""$E[(\|\nabla_x D(x)\| - t)^2]$; the one-sided form counts only norms above the target t.

  Source: Gulrajani et al. 2017 (WGAN-GP), https://arxiv.org/abs/1704.00028, eq. 3 (t = 1, two-sided); the one-sided
  form is their section 4 and WGAN-LP, https://arxiv.org/abs/1709.08894, eq. 8; t = 0 is a zero-centred penalty.

  Args:
    gradients: (B, ...), the critic's input gradients, in WGAN-GP at points between data and fakes.
    target: t, the norm to reach.
    one_sided: penalise only norms above the target.

  >>> float(gradient_penalty(jnp.array([[3.0, 4.0], [0.0, 0.5]])))
  8.125
  >>> float(gradient_penalty(jnp.array([[3.0, 4.0], [0.0, 0.5]]), one_sided=True))
  8.0
  """
  excess = norms(gradients) - target
  return jnp.mean((jax.nn.relu(excess) if one_sided else excess) ** 2)


def r1(gradients: jax.Array) -> jax.Array:
  r"""$\frac12 E[\|\nabla_x D(x)\|^2]$, for gradients at data (R1) or at generated examples (R2). Multiply it by gamma.

  Source: Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, eq. 9 and 10.

  Args:
    gradients: (B, ...), the critic's input gradients.

  >>> float(r1(jnp.array([[3.0, 4.0], [0.0, 1.0]])))
  6.5
  """
  return 0.5 * jnp.mean(jnp.sum(full_precision(gradients).reshape(gradients.shape[0], -1) ** 2, -1))


def between(key: jax.Array, real: jax.Array, fake: jax.Array) -> jax.Array:
  """Random points on the lines between real and generated examples, where WGAN-GP takes its gradients.

  Source: Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, algorithm 1, lines 4-6.

  Args:
    key: a PRNG key.
    real: (B, ...).
    fake: the same shape.

  >>> between(jax.random.key(0), jnp.ones((2, 3)), jnp.ones((2, 3))).tolist()
  [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
  """
  chex.assert_equal_shape([real, fake])
  real, fake = as_float(real), as_float(fake)
  mix = jax.random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
  return mix * real + (1 - mix) * fake


def around(key: jax.Array, real: jax.Array, *, scale: float = 0.5) -> jax.Array:
  """Random points near real examples, where DRAGAN takes its gradients: data plus uniform noise.

  Source: Kodali et al. 2017, https://arxiv.org/abs/1705.07215, algorithm 1; the noise is that of the authors' code,
  x + alpha * 0.5 * std(x) * u with u uniform on [0, 1) and alpha uniform on [0, 1) per example.

  Args:
    key: a PRNG key.
    real: (B, ...).
    scale: size of the noise, as a multiple of the batch's standard deviation.

  >>> around(jax.random.key(0), jnp.ones((2, 3))).tolist()
  [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
  """
  real, (mix_key, noise_key) = as_float(real), jax.random.split(key)
  mix = jax.random.uniform(mix_key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
  return real + mix * scale * jnp.std(real) * jax.random.uniform(noise_key, real.shape, real.dtype)


def wgan_gp(
  critic: Critic, key: jax.Array, real: jax.Array, fake: jax.Array, *, target: float = 1.0, one_sided: bool = False
) -> jax.Array:
  """The `gradient_penalty` of a critic at points `between` data and fakes. Multiply it by lambda (10 in the paper).

  >>> critic = lambda x: 3.0 * x[:, 0]
  >>> float(wgan_gp(critic, jax.random.key(0), jnp.zeros((4, 2)), jnp.ones((4, 2))))
  4.0
  """
  points = between(key, real, fake)
  return gradient_penalty(input_gradients(critic, points), target=target, one_sided=one_sided)


def dragan(critic: Critic, key: jax.Array, real: jax.Array, *, target: float = 1.0) -> jax.Array:
  """The `gradient_penalty` of a critic at points `around` data. Multiply it by lambda (10 in the paper).

  >>> float(dragan(lambda x: 3.0 * x[:, 0], jax.random.key(0), jnp.zeros((4, 2))))
  4.0
  """
  return gradient_penalty(input_gradients(critic, around(key, real)), target=target)


def consistency(logits: jax.Array, augmented_logits: jax.Array) -> jax.Array:
  r"""$E[(D(x) - D(T(x)))^2]$: the critic should give an example and its augmentation the same logit.

  Used on data it is CR; on data and on fakes it is bCR; with moved latents in place of moved images it is the
  discriminator's term of zCR.
  Source: Zhang et al. 2019 (CR), https://arxiv.org/abs/1910.12027, eq. 3; Zhao et al. 2020 (bCR, zCR),
  https://arxiv.org/abs/2002.04724, algorithms 1 and 2.

  Args:
    logits: any shape.
    augmented_logits: the same shape.

  >>> float(consistency(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0])))
  2.0
  """
  chex.assert_equal_shape([logits, augmented_logits])
  return jnp.mean((full_precision(logits) - full_precision(augmented_logits)) ** 2)


def latent_diversity(fake: jax.Array, fake_of_moved: jax.Array) -> jax.Array:
  r"""$-E[(G(z) - G(T(z)))^2]$: zCR's term of the generator. A small move of the latents should change the picture.

  Source: Zhao et al. 2020, https://arxiv.org/abs/2002.04724, algorithm 2.

  >>> float(latent_diversity(jnp.zeros((1, 2)), jnp.full((1, 2), 2.0)))
  -4.0
  """
  chex.assert_equal_shape([fake, fake_of_moved])
  return -jnp.mean((full_precision(fake) - full_precision(fake_of_moved)) ** 2)


def lecam(
  real_logits: jax.Array, fake_logits: jax.Array, real_average: jax.Array, fake_average: jax.Array
) -> jax.Array:
  r"""$E[(D(x) - \alpha_F)^2] + E[(D(G(z)) - \alpha_R)^2]$ with running averages alpha of the logits.

  Source: Tseng et al. 2021, https://arxiv.org/abs/2104.03310, eq. 4-5. differs: both sides are penalised in full, as in
  the equation; the authors' code keeps only relu(D(x) - alpha_F) and relu(alpha_R - D(G(z))).

  Args:
    real_logits: (B, ...).
    fake_logits: (B, ...).
    real_average: alpha_R, the running average of the real logits, a scalar.
    fake_average: alpha_F, the running average of the fake logits, a scalar.

  >>> float(lecam(jnp.array([1.0]), jnp.array([-1.0]), jnp.float32(1.0), jnp.float32(-1.0)))
  8.0
  """
  chex.assert_equal_rank([real_logits, fake_logits])
  chex.assert_rank([real_average, fake_average], 0)
  # Anchors: no gradient flows through them, also where they were just updated with these logits.
  square = lambda logits, average: jnp.mean((full_precision(logits) - jax.lax.stop_gradient(average)) ** 2)
  return square(real_logits, fake_average) + square(fake_logits, real_average)


def drift(real_logits: jax.Array) -> jax.Array:
  r"""$E[D(x)^2]$, which keeps a critic's output near zero. Multiply it by 0.001.

  Source: Karras et al. 2017 (Progressive GAN), https://arxiv.org/abs/1710.10196, appendix A.1.

  >>> float(drift(jnp.array([1.0, 3.0])))
  5.0
  """
  return jnp.mean(full_precision(real_logits) ** 2)


def path_length(
  gradients: jax.Array, average: jax.Array | float, *, decay: float = 0.01
) -> tuple[jax.Array, jax.Array]:
  r"""$E[(\|J_w^T y\| - a)^2]$ with a running average a of the norm: the path length penalty of StyleGAN 2.

  Source: Karras et al. 2019, https://arxiv.org/abs/1912.04958, eq. 4.

  Args:
    gradients: (B, ...) of sum(G(w) * y) with respect to w, y ~ N(0, 1) / sqrt(pixels).
    average: a, the running average so far, a scalar.
    decay: share of the new norms in the average.

  Returns:
    (penalty, the new average).

  >>> penalty, average = path_length(jnp.array([[3.0, 4.0]]), 0.0, decay=0.5)
  >>> float(penalty), float(average)
  (6.25, 2.5)
  """
  lengths = norms(gradients)
  average = jax.lax.stop_gradient(average + decay * (jnp.mean(lengths) - average))
  return jnp.mean((lengths - average) ** 2), average
