"""Layers and initializers that several families of networks share."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError, one_of
from gan_jax.base.functions import known
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.conv import kept


def uniform_init(limit: float) -> nn.initializers.Initializer:
  """Uniform on (-limit, limit): pylearn2's `irange`.

  >>> w = uniform_init(0.05)(jax.random.key(0), (100, 10))
  >>> bool((abs(w) <= 0.05).all()), bool(w.min() < 0)
  (True, True)
  """
  return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -limit, limit)


#: Torch's and PyTorch's own: uniform within 1 / sqrt(inputs of a unit).
TORCH = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def gain_init(stddev: float) -> nn.initializers.Initializer:
  """N(1, stddev), for the gain of a normalisation layer."""
  return lambda key, shape, dtype=jnp.float32: 1.0 + stddev * jax.random.normal(key, shape, dtype)


def activation(x: jax.Array, name: str) -> jax.Array:
  """The output activation of a generator: 'tanh', 'sigmoid' or 'identity'."""
  functions = {'tanh': jnp.tanh, 'sigmoid': jax.nn.sigmoid, 'identity': lambda x: x}
  if name not in functions:
    raise one_of('output activation', name, functions)
  return functions[name](x)


def head(logits: jax.Array) -> jax.Array:
  """(B, 1) -> (B,) and (B, H, W, 1) -> (B, H, W), the shapes that losses take; wider heads stay as they are."""
  return logits[..., 0] if logits.shape[-1] == 1 else logits


def condition(label: jax.Array, classes: int, dtype: Any = jnp.float32) -> jax.Array:
  """The input of a conditional network: classes (B,) become one-hot (B, classes), tags (B, n) stay as they are.

  Real numbers (B,) become (B, 1). A class below 0, by which some sets say that there is none, or beyond the classes
  gives NaN, as in `weights.rows_of`.

  Raises:
    UserError: classes are real numbers, or in a column (B, 1).

  >>> condition(jnp.array([1]), 3).tolist(), condition(jnp.array([[1.0, 1.0]]), 3).tolist()
  ([[0.0, 1.0, 0.0]], [[1.0, 1.0]])
  """
  whole = jnp.issubdtype(label.dtype, jnp.integer)
  if classes > 1 and label.shape[1:] == ((1,) if whole else ()):
    raise UserError(
      f'a condition {label.dtype} {label.shape} with classes={classes}: give whole numbers (B,), or (B, n)'
    )
  if label.ndim == 2 or not whole:
    return label.reshape(len(label), -1).astype(dtype)
  inside = (label >= 0) & (label < classes)
  return jnp.where(inside[:, None], jax.nn.one_hot(label, classes, dtype=dtype), jnp.nan)


def checked_label(label: jax.Array | None, classes: int, of: str) -> Any:
  """Returns the label if it fits the number of classes.

  Args:
    label: the label that the game passes to the network, or None.
    classes: the network's number of classes; 0 for an unconditional network.
    of: name of the network, for the message.

  Raises:
    UserError: a network with classes gets no label, or a network without classes gets one.
  """
  if classes and label is None:
    raise UserError(
      f'the {of} has classes={classes} but gets no label: pass one (of a game, set config.game.latents to '
      "{'z', 'label'}), or set classes=0"
    )
  if label is not None and not classes:
    raise UserError(
      f'the {of} gets labels but has classes=0: set classes, or remove the label from config.game.latents'
    )
  return label


def beside(*rows: jax.Array) -> jax.Array:
  """Concatenates (B, m), (B, n), ... to (B, m + n + ...)."""
  return jnp.concatenate(rows, -1)


def beside_pixels(maps: jax.Array, vector: jax.Array) -> jax.Array:
  """Maps (B, H, W, C) with a plane for each entry of a vector (B, n): (B, H, W, C + n), the dtype of the maps.

  >>> beside_pixels(jnp.zeros((1, 1, 2, 1)), jnp.array([[3.0]]))[0, 0].tolist()
  [[0.0, 3.0], [0.0, 3.0]]
  """
  if vector.ndim != 2 or len(vector) != len(maps):
    raise UserError(f'{len(maps)} pictures and a condition of shape {vector.shape}: give a row (B, n) for each picture')
  planes = vector.astype(maps.dtype)[:, None, None]
  return jnp.concatenate([maps, jnp.broadcast_to(planes, (*maps.shape[:3], vector.shape[-1]))], -1)


def dense(
  x: jax.Array,
  features: int,
  *,
  use_bias: bool = True,
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal(),
  bias_init: nn.initializers.Initializer = nn.initializers.zeros,
  name: str | None = None,
) -> jax.Array:
  """`nn.Dense`, (..., n) to (..., features), inside a compact method; computes in the dtype of x."""
  layer = nn.Dense(features, use_bias=use_bias, dtype=x.dtype, kernel_init=kernel_init, bias_init=bias_init, name=name)
  return kept(layer(x))


class BatchNorm(nn.Module):
  """Batch normalisation over all axes but the last, with the exact two-pass variance.

  Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1. Under jit over a mesh the
  statistics are those of the global batch.

  Attributes:
    momentum: decay of the running statistics.
    epsilon: added to the variance.
    gain_stddev: the gain starts at N(1, gain_stddev).
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  gain_stddev: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    return Standardised(self.momentum, self.epsilon, gain_init(self.gain_stddev), name='norm')(x, train=train)


def check_several(count: int) -> None:
  """Raises a UserError if a batch norm would normalise a single value: the result would always be 0."""
  if count == 1:
    raise UserError(
      'batch norm has only one value per channel, so its result is 0 for any input and all gradients before it are 0: '
      'give 2 examples or more (config.batch_size, over accumulate, for pmap over devices too), or choose another norm'
    )


class Standardised(nn.Module):
  """`nn.BatchNorm` over all axes but the last: the same variables, the variance in two passes, in float32.

  flax's default, E[x^2] - E[x]^2, loses all precision when the mean is much larger than the deviation.

  Attributes:
    momentum: decay of the running statistics.
    epsilon: added to the variance.
    gain: initializer of the gain; None for neither gain nor bias.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  gain: nn.initializers.Initializer | None = nn.initializers.ones

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    channels, axes = x.shape[-1], tuple(range(x.ndim - 1))
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,), jnp.float32)
    running_variance = self.variable('batch_stats', 'var', jnp.ones, (channels,), jnp.float32)
    row = lambda v: v.reshape((1,) * len(axes) + (channels,))
    exact = full_precision(x)
    if train:
      if not self.is_initializing():
        check_several(x.size // channels)
      mean = exact.mean(axes)
      variance = jnp.square(exact - row(mean)).mean(axes)
      if not self.is_initializing() and self.is_mutable_collection('batch_stats'):
        running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
        running_variance.value = self.momentum * running_variance.value + (1 - self.momentum) * variance
    else:
      mean, variance = running_mean.value, running_variance.value
    # The root of the vector (C,), not of its reshape: with a reshape XLA:CPU does not merge two equal passes.
    scale = jax.lax.rsqrt(variance + self.epsilon)
    if self.gain is not None:
      scale = scale * self.param('scale', self.gain, (channels,), jnp.float32)
    y = (exact - row(mean)) * row(scale)
    if self.gain is not None:
      y = y + row(self.param('bias', nn.initializers.zeros, (channels,), jnp.float32))
    return y.astype(x.dtype)


class Maxout(nn.Module):
  """Maxout: each unit is the maximum of several affine maps.

  Source: Goodfellow et al. 2013, https://arxiv.org/abs/1302.4389, eq. 1.

  Attributes:
    units: outputs.
    pieces: affine maps per output.
    kernel_init: initializer of the kernel (in, units * pieces).
  """

  units: int
  pieces: int
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = dense(x, self.units * self.pieces, kernel_init=self.kernel_init)
    return x.reshape(*x.shape[:-1], self.units, self.pieces).max(-1)  # (B, units)


class GaussianNoise(nn.Module):
  """Adds noise in training: instance noise on a discriminator's input, or noise between layers.

  Source: Sonderby et al. 2016, https://arxiv.org/abs/1610.04490, section 3.4 (instance noise). For a deviation that
  falls with time, pass `stddev` to the call, from the game's clock.

  Attributes:
    stddev: of the noise.
  """

  stddev: float = 0.1

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, stddev: jax.Array | float | None = None) -> jax.Array:
    if not train:
      return x
    scale = self.stddev if stddev is None else stddev
    return x + jnp.asarray(scale, x.dtype) * jax.random.normal(self.make_rng('noise'), x.shape, x.dtype)


class Dropout(nn.Module):
  """Dropout: sets entries to 0 with probability `rate` and divides the others by 1 - rate.

  Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html; the masks are those of
  `flax.linen.Dropout`. (With JAX_ENABLE_X64 flax draws other masks, because it does not fix the dtype.)

  Attributes:
    rate: the probability.
    deterministic: if True, return the input.
  """

  rate: float
  deterministic: bool

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    if known(self.rate) and not 0 <= self.rate <= 1:
      raise UserError(f'a rate of dropout of {self.rate} must be from 0 to 1')
    if self.deterministic or self.rate == 0.0:
      return x
    kept = jax.random.bernoulli(self.make_rng('dropout'), jnp.float32(1.0 - self.rate), x.shape)
    return jnp.where(kept, x / max(1.0 - self.rate, 1e-9), jnp.zeros((), x.dtype))
