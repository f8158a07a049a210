"""Normalisation of activations, plain and conditional."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.basic import Standardised, check_several, gain_init
from gan_jax.nets.layers.weights import Dense, Embed


def pixel_norm(x: jax.Array, *, epsilon: float = 1e-8) -> jax.Array:
  r"""Divides the vector of every pixel by its root mean square.

  Source: Karras et al. 2017, https://arxiv.org/abs/1710.10196, section 4.2.

  Args:
    x: (..., C).
    epsilon: added to the mean square.

  >>> [round(v, 3) for v in pixel_norm(jnp.array([3.0, 4.0])).tolist()]
  [0.849, 1.131]
  """
  exact = full_precision(x)
  return (exact * jax.lax.rsqrt(jnp.mean(exact**2, -1, keepdims=True) + epsilon)).astype(x.dtype)


class InstanceNorm(nn.Module):
  """Instance norm: each channel of each example is brought to mean 0 and variance 1 over its own pixels.

  Source: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022, eq. 2; the variance divides by the number of pixels, as
  in PyTorch's `InstanceNorm2d`, whose default has no gain and bias.

  Attributes:
    affine: adds a gain that starts at 1 and a bias that starts at 0, per channel.
    epsilon: added to the variance.
    gain_stddev: the gain starts at N(1, gain_stddev).
  """

  affine: bool = False
  epsilon: float = 1e-5
  gain_stddev: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
    """(B, *spatial, C), the same shape. `train` changes nothing: the layer stands wherever batch norm does."""
    axes, row = tuple(range(1, x.ndim - 1)), lambda v: v.reshape((1,) * (x.ndim - 1) + (-1,))
    if math.prod(x.shape[1:-1]) == 1:
      raise UserError(
        f'instance norm of {x.shape}: an example has only one value per channel, so its result is 0 for any input: '
        'take larger pictures, or no norm in this layer'
      )
    exact = full_precision(x)
    centred = exact - exact.mean(axes, keepdims=True)
    y = centred * jax.lax.rsqrt(jnp.square(centred).mean(axes, keepdims=True) + self.epsilon)
    if self.affine:
      y = y * row(self.param('scale', gain_init(self.gain_stddev), (x.shape[-1],), jnp.float32))
      y = y + row(self.param('bias', nn.initializers.zeros, (x.shape[-1],), jnp.float32))
    return y.astype(x.dtype)


class PlainBatchNorm(nn.Module):
  """Batch norm without gain and bias, with the exact (two-pass) variance.

  Attributes:
    momentum: decay of the running statistics.
    epsilon: added to the variance.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    return Standardised(self.momentum, self.epsilon, None, name='norm')(x, train=train)


class ClassBatchNorm(nn.Module):
  """Batch norm with a gain and a bias per class, from a table.

  Source: Dumoulin et al. 2016, https://arxiv.org/abs/1610.07629; as Miyato and Koyama 2018 use it.

  Attributes:
    classes: number of classes.
    momentum: decay of the running statistics.
    epsilon: added to the variance.
  """

  classes: int
  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, label: jax.Array, *, train: bool) -> jax.Array:
    normal = PlainBatchNorm(self.momentum, self.epsilon)(full_precision(x), train=train)
    table = lambda init, name: Embed(self.classes, x.shape[-1], kernel_init=init, name=name)(label, train=train)
    return _modulated(normal, table(nn.initializers.ones, 'gain'), table(nn.initializers.zeros, 'bias')).astype(x.dtype)


class VectorBatchNorm(nn.Module):
  """Batch norm with a gain and a bias that are linear functions of one vector per example.

  With a shared class embedding and a chunk of the latents it is BigGAN's (Brock et al. 2018,
  https://arxiv.org/abs/1809.11096, appendix B.1); with the latents through a hidden layer it is self-modulation (Chen
  et al. 2018, https://arxiv.org/abs/1810.01365, eq. 2).

  Attributes:
    kind: kind of the weights of the linear maps; BigGAN uses 'spectral'.
    hidden: width of a ReLU layer before the linear maps; None for no such layer.
    momentum: decay of the running statistics.
    epsilon: added to the variance.
  """

  kind: str = 'plain'
  hidden: int | None = None
  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, vector: jax.Array, *, train: bool) -> jax.Array:
    normal = PlainBatchNorm(self.momentum, self.epsilon)(full_precision(x), train=train)
    if self.hidden is not None:
      vector = nn.relu(Dense(self.hidden, self.kind, name='hidden')(vector, train=train))
    gain = 1.0 + full_precision(Dense(x.shape[-1], self.kind, use_bias=False, name='gain')(vector, train=train))
    bias = Dense(x.shape[-1], self.kind, use_bias=False, name='bias')(vector, train=train)
    return _modulated(normal, gain, full_precision(bias)).astype(x.dtype)


def _modulated(x: jax.Array, gain: jax.Array, bias: jax.Array) -> jax.Array:
  shape = (x.shape[0],) + (1,) * (x.ndim - 2) + (x.shape[-1],)
  return x * gain.reshape(shape) + bias.reshape(shape)


class GhostBatchNorm(nn.Module):
  """Ghost batch norm: in training, each small group of the batch has its own statistics.

  Source: Hoffer et al. 2017, https://arxiv.org/abs/1705.08741, algorithm 1.

  Attributes:
    group: examples per group; it divides the batch.
    momentum: decay of the running statistics, which follow the means over groups.
    epsilon: added to the variance.
  """

  group: int
  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    channels, dtype, x = x.shape[-1], x.dtype, full_precision(x)
    scale = self.param('scale', nn.initializers.ones, (channels,), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
    mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,), jnp.float32)
    variance = self.variable('batch_stats', 'var', jnp.ones, (channels,), jnp.float32)
    row = lambda v: v.reshape((1,) * x.ndim + (-1,))
    if not train:
      groups, m, v = x[None], row(mean.value), row(variance.value)
    else:
      if x.shape[0] % self.group:
        raise ValueError(f'GhostBatchNorm: group={self.group} does not divide the batch of {x.shape[0]}')
      groups = x.reshape(-1, self.group, *x.shape[1:])  # (B / group, group, ..., C)
      axes = tuple(range(1, x.ndim))
      if not self.is_initializing():
        check_several(math.prod(groups.shape[1:-1]))
      m, v = groups.mean(axes, keepdims=True), groups.var(axes, keepdims=True)
      if self.is_mutable_collection('batch_stats') and not self.is_initializing():
        follow = lambda old, new: self.momentum * old + (1 - self.momentum) * new.reshape(-1, channels).mean(0)
        mean.value, variance.value = follow(mean.value, m), follow(variance.value, v)
    normal = (groups - m) * jax.lax.rsqrt(v + self.epsilon)
    return (normal * row(scale) + row(bias)).reshape(x.shape).astype(dtype)


class VirtualBatchNorm(nn.Module):
  """Virtual batch norm: it uses the statistics of a fixed reference batch and of the example itself.

  The reference batch must go through the network too: call each layer on both batches.
  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.5; the weights of the authors' code,
  1 / (n + 1) for the example and n / (n + 1) for the n reference examples.

  Attributes:
    epsilon: added to the variance.
  """

  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, reference: jax.Array) -> tuple[jax.Array, jax.Array]:
    scale = self.param('scale', nn.initializers.ones, (x.shape[-1],), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],), jnp.float32)
    n, spatial, dtype = reference.shape[0], tuple(range(1, x.ndim - 1)), x.dtype
    x, reference = full_precision(x), full_precision(reference)
    of_each = lambda v: v.mean(spatial, keepdims=True)  # (B, 1, ..., C)
    mean, square = (of_each(v).mean(0, keepdims=True) for v in (reference, reference**2))
    share = 1.0 / (n + 1)
    mixed_mean, mixed_square = (share * of_each(v) + (1 - share) * ref for v, ref in ((x, mean), (x**2, square)))
    shape = (1,) * (x.ndim - 1) + (-1,)

    def normal(v: jax.Array, mean: jax.Array, square: jax.Array) -> jax.Array:
      variance = jnp.maximum(square - mean**2, 0.0)
      normal = (v - mean) * jax.lax.rsqrt(variance + self.epsilon)
      return (normal * scale.reshape(shape) + bias.reshape(shape)).astype(dtype)

    return normal(x, mixed_mean, mixed_square), normal(reference, mean, square)
