"""Inception-v3 as FID knows it: the TensorFlow graph `classify_image_graph_def` of December 2015, in eval mode.

It differs from the network of the paper and of other libraries: 1008 outputs, average pools that leave the padding out
of the mean, and a max pool in the last block where the paper averages. FID, KID and the Inception score are defined by
this graph, its weights and TensorFlow 1's resize; another Inception gives other figures.

Source: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, table 1; the differences as torch-fidelity 0.4
(`feature_extractor_inceptionv3.py`) lists them, against which tests/parity compares.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

SIZE = 299
FEATURES = 2048
CLASSES = 1008
# Accelerators would round the factors of a float32 product to 8 or 11 bits, which moves an FID in its third digit.
PRECISION = jax.lax.Precision.HIGHEST


def resize_weights(size: int, new_size: int) -> np.ndarray:
  """The matrix (new_size, size), float32, of TensorFlow 1's bilinear resize along one axis.

  Output i lies at i * size / new_size, not half a pixel further, and mixes its two neighbours; nothing is smoothed
  when a picture shrinks, and the last pixel is repeated beyond the edge.

  Source: `tf.image.resize_bilinear(align_corners=False)`, positions in float32 as in its `image_resizer_state.h`.

  >>> resize_weights(2, 4).tolist()
  [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0]]
  """
  positions = np.arange(new_size, dtype=np.float32) * (np.float32(size) / np.float32(new_size))
  low = positions.astype(np.int64)
  share = positions - low.astype(np.float32)
  weights = np.zeros((new_size, size), np.float32)
  rows = np.arange(new_size)
  weights[rows, low] = 1 - share
  weights[rows, np.minimum(low + 1, size - 1)] += share
  return weights


def resize(pictures: jax.Array, size: int = SIZE) -> jax.Array:
  """Pictures (B, H, W, C) to (B, size, size, C) as TensorFlow 1 resizes them, enlarged or shrunk.

  >>> resize(jnp.ones((1, 3, 5, 1)), 2).shape
  (1, 2, 2, 1)
  """
  rows, columns = (jnp.asarray(resize_weights(n, size)) for n in pictures.shape[1:3])
  pictures = jnp.einsum('ih,bhwc->biwc', rows, pictures, precision=PRECISION)
  return jnp.einsum('jw,biwc->bijc', columns, pictures, precision=PRECISION)


class Unit(nn.Module):
  """Convolution without bias, batch norm by the running statistics, ReLU.

  Attributes:
    features: output channels.
    window: height and width.
    strides: 1 or 2.
    padding: 'SAME' or 'VALID'.
  """

  features: int
  window: tuple[int, int]
  strides: int = 1
  padding: str = 'SAME'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    strides = (self.strides, self.strides)
    x = nn.Conv(self.features, self.window, strides, self.padding, use_bias=False, precision=PRECISION, name='conv')(x)
    return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3, name='bn')(x))


def _unit(name: str, features: int, height: int = 1, width: int = 1) -> Unit:
  return Unit(features, (height, width), name=name)


def _halving(name: str, features: int) -> Unit:
  return Unit(features, (3, 3), 2, 'VALID', name=name)


def _average(x: jax.Array) -> jax.Array:
  return nn.avg_pool(x, (3, 3), (1, 1), 'SAME', count_include_pad=False)


def _side_by_side(*branches: jax.Array) -> jax.Array:
  return jnp.concatenate(branches, -1)


class BlockA(nn.Module):
  """Windows up to 5x5: (B, 35, 35, n) to (B, 35, 35, 224 + pool_features)."""

  pool_features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    one = _unit('branch1x1', 64)(x)
    five = _unit('branch5x5_2', 64, 5, 5)(_unit('branch5x5_1', 48)(x))
    three = _unit('branch3x3dbl_2', 96, 3, 3)(_unit('branch3x3dbl_1', 64)(x))
    three = _unit('branch3x3dbl_3', 96, 3, 3)(three)
    return _side_by_side(one, five, three, _unit('branch_pool', self.pool_features)(_average(x)))


class BlockB(nn.Module):
  """(B, 35, 35, 288) to (B, 17, 17, 768)."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    three = _halving('branch3x3', 384)(x)
    double = _unit('branch3x3dbl_2', 96, 3, 3)(_unit('branch3x3dbl_1', 64)(x))
    double = _halving('branch3x3dbl_3', 96)(double)
    return _side_by_side(three, double, nn.max_pool(x, (3, 3), (2, 2)))


class BlockC(nn.Module):
  """7x7 windows, each as 1x7 and 7x1: (B, 17, 17, 768) to the same shape."""

  width: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    one = _unit('branch1x1', 192)(x)
    seven = _unit('branch7x7_2', self.width, 1, 7)(_unit('branch7x7_1', self.width)(x))
    seven = _unit('branch7x7_3', 192, 7, 1)(seven)
    double = _unit('branch7x7dbl_2', self.width, 7, 1)(_unit('branch7x7dbl_1', self.width)(x))
    double = _unit('branch7x7dbl_4', self.width, 7, 1)(_unit('branch7x7dbl_3', self.width, 1, 7)(double))
    double = _unit('branch7x7dbl_5', 192, 1, 7)(double)
    return _side_by_side(one, seven, double, _unit('branch_pool', 192)(_average(x)))


class BlockD(nn.Module):
  """(B, 17, 17, 768) to (B, 8, 8, 1280)."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    three = _halving('branch3x3_2', 320)(_unit('branch3x3_1', 192)(x))
    seven = _unit('branch7x7x3_2', 192, 1, 7)(_unit('branch7x7x3_1', 192)(x))
    seven = _halving('branch7x7x3_4', 192)(_unit('branch7x7x3_3', 192, 7, 1)(seven))
    return _side_by_side(three, seven, nn.max_pool(x, (3, 3), (2, 2)))


class BlockE(nn.Module):
  """Branches that fork into 1x3 and 3x1: (B, 8, 8, n) to (B, 8, 8, 2048).

  Attributes:
    pool: 'average', or 'max' as the graph has it in its last block.
  """

  pool: str

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    one = _unit('branch1x1', 320)(x)
    three = _unit('branch3x3_1', 384)(x)
    double = _unit('branch3x3dbl_2', 384, 3, 3)(_unit('branch3x3dbl_1', 448)(x))
    forks = [
      _unit(f'{name}{fork}', 384, *window)(branch)
      for name, branch in (('branch3x3_2', three), ('branch3x3dbl_3', double))
      for fork, window in (('a', (1, 3)), ('b', (3, 1)))
    ]
    pooled = _average(x) if self.pool == 'average' else nn.max_pool(x, (3, 3), (1, 1), 'SAME')
    return _side_by_side(one, *forks, _unit('branch_pool', 192)(pooled))


class Inception(nn.Module):
  """Pictures (B, H, W, 3) with values 0 ... 255 to features and class scores.

  Modules bear the names of the published PyTorch weights. differs: the bias of the last layer is left out, as the
  Inception score's original code leaves it out; nothing else reads the scores.
  """

  @nn.compact
  def __call__(self, pictures: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(features (B, 2048), logits without bias (B, 1008)), float32."""
    x = (resize(pictures.astype(jnp.float32)) - 128) / 128  # (B, 299, 299, 3)
    x = Unit(32, (3, 3), 2, 'VALID', name='Conv2d_1a_3x3')(x)  # (B, 149, 149, 32)
    x = Unit(32, (3, 3), 1, 'VALID', name='Conv2d_2a_3x3')(x)  # (B, 147, 147, 32)
    x = Unit(64, (3, 3), name='Conv2d_2b_3x3')(x)  # (B, 147, 147, 64)
    x = nn.max_pool(x, (3, 3), (2, 2))  # (B, 73, 73, 64)
    x = Unit(80, (1, 1), name='Conv2d_3b_1x1')(x)  # (B, 73, 73, 80)
    x = Unit(192, (3, 3), 1, 'VALID', name='Conv2d_4a_3x3')(x)  # (B, 71, 71, 192)
    x = nn.max_pool(x, (3, 3), (2, 2))  # (B, 35, 35, 192)
    for name, pool_features in (('Mixed_5b', 32), ('Mixed_5c', 64), ('Mixed_5d', 64)):
      x = BlockA(pool_features, name=name)(x)  # (B, 35, 35, 256), then 288
    x = BlockB(name='Mixed_6a')(x)  # (B, 17, 17, 768)
    for name, width in (('Mixed_6b', 128), ('Mixed_6c', 160), ('Mixed_6d', 160), ('Mixed_6e', 192)):
      x = BlockC(width, name=name)(x)  # (B, 17, 17, 768)
    x = BlockD(name='Mixed_7a')(x)  # (B, 8, 8, 1280)
    x = BlockE('average', name='Mixed_7b')(x)  # (B, 8, 8, 2048)
    x = BlockE('max', name='Mixed_7c')(x)
    features = jnp.mean(x, (1, 2))
    return features, nn.Dense(CLASSES, use_bias=False, precision=PRECISION, name='fc')(features)
