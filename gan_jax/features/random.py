"""Features that need no labels: a network with random weights, or the raw values.

No paper defines them: compare figures only with figures of the same features. They match human judgement less well than
learned features.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed
from gan_jax.features.base import Extractor

VERSION = 1
WIDTHS = (16, 32, 64, 128)
#: Convolutions halve an axis while it is longer than this.
LEAST = 4
#: A last axis of at most this many entries is read as colours, a longer one as space.
COLOURS = 4


def random_features(shape: tuple[int, ...], seed: int = 0, *, spatial: int | None = None) -> Extractor:
  """Means and deviations over space, at four depths, of a convolutional network with random weights.

  Args:
    shape: of one example: points (n,), sequences (T, C), pictures (H, W, C), voxels (D, H, W, C) or (D, H, W).
    seed: of the weights.
    spatial: axes of space, from the first, 0 to 3; None to decide by the shape: three axes of which the last has more
      than 4 entries are voxels without channels.

  Returns:
    The extractor, with 'features' (B, 480), or (B, 240) where there is no space and so no deviation.

  Raises:
    UserError: the shape has more axes than that.

  >>> extractor = random_features((8, 8, 1))
  >>> extractor.name, extractor.apply(extractor.variables, jnp.zeros((2, 8, 8, 1), jnp.uint8))['features'].shape
  ('random-8x8x1-2d-seed0-v1', (2, 480))
  """
  shape = tuple(shape)
  if spatial is None:
    spatial = 3 if len(shape) == 3 and shape[-1] > COLOURS else len(shape) - 1
  if not 0 <= spatial <= 3 or len(shape) not in (spatial, spatial + 1):
    raise UserError(f'random features take points, sequences, pictures or voxels, not examples {shape}: choose raw')
  channels = shape[-1] if len(shape) > spatial else 1
  # numpy's generator gives the same numbers in every version and on every device.
  draw, variables, fan_in = np.random.RandomState(check_seed(seed)), [], channels
  for width in WIDTHS:
    kernel = draw.randn(*(3,) * spatial, fan_in, width) * np.sqrt(2 / (3**spatial * fan_in))
    # Without biases the features of a picture twice as bright would be twice as large, and no more.
    variables.append({'kernel': kernel.astype(np.float32), 'bias': (0.5 * draw.randn(width)).astype(np.float32)})
    fan_in = width

  def apply(variables: Any, examples: jax.Array) -> dict[str, jax.Array]:
    if examples.shape[1:] != shape:
      raise UserError(f'random features of examples {shape} are asked for examples {examples.shape[1:]}: make new ones')
    x = _unit(examples).reshape(-1, *shape[:spatial], channels)
    features = []
    for layer in variables:
      x = jax.nn.relu(_conv(x, layer['kernel']) + layer['bias'].reshape((1,) * (spatial + 1) + (-1,)))
      rows = x.reshape(x.shape[0], -1, x.shape[-1])
      features += [rows.mean(1), rows.std(1)] if spatial else [rows[:, 0]]
    return {'features': jnp.concatenate(features, -1)}

  size = 'x'.join(map(str, shape))
  protocol = f'random features of a network of {spatial} axes of space (seed {seed}): compare with no others'
  return Extractor(f'random-{size}-{spatial}d-seed{seed}-v{VERSION}', protocol, tuple(variables), apply, white=1.0)


def raw(shape: tuple[int, ...]) -> Extractor:
  """The numbers of an example in a row, uint8 brought to [0, 1].

  Args:
    shape: of one example.

  >>> raw((2,)).apply((), jnp.array([[0.5, 2.0]]))['features'].tolist()
  [[0.5, 2.0]]
  """
  apply = lambda variables, examples: {'features': _unit(examples).reshape(len(examples), -1)}
  return Extractor(f'raw-{"x".join(map(str, shape))}', 'raw values', (), apply, white=1.0)


def _unit(examples: jax.Array) -> jax.Array:
  return examples.astype(jnp.float32) / (255.0 if examples.dtype == jnp.uint8 else 1.0)


def _conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """'SAME' convolution over all axes between the first and the last; a matrix product where there are none."""
  space = x.shape[1:-1]
  strides = tuple(2 if side > LEAST else 1 for side in space)
  if not space:
    return x @ kernel
  if len(space) < 3:
    letters = 'HW'[: len(space)]
    numbers = (f'N{letters}C', f'{letters}IO', f'N{letters}C')
    return jax.lax.conv_general_dilated(x, kernel, strides, 'SAME', dimension_numbers=numbers)
  # XLA:CPU is slow in three dimensions: a window's planes become channels of a convolution in two.
  depth, stride, window = space[0], strides[0], kernel.shape[0]
  count = -(-depth // stride)
  missing = max((count - 1) * stride + window - depth, 0)
  x = jnp.pad(x, ((0, 0), (missing // 2, missing - missing // 2), (0, 0), (0, 0), (0, 0)))
  planes = jnp.concatenate([x[:, i : i + (count - 1) * stride + 1 : stride] for i in range(window)], -1)
  kernel = jnp.moveaxis(kernel, 0, 2).reshape(window, window, -1, kernel.shape[-1])
  y = _conv(planes.reshape(-1, *planes.shape[2:]), kernel)
  return y.reshape(x.shape[0], count, *y.shape[1:])
