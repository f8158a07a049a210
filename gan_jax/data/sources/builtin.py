"""Sets that need no download: scikit-learn's handwritten digits, points of the plane and the line, solids."""

from typing import TYPE_CHECKING

import numpy as np

from gan_jax.base.errors import one_of
from gan_jax.data.sources.base import ArraySource
from gan_jax.data.sources.solids import solids
from gan_jax.data.transforms import resize

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream


def digits(stream: 'Stream') -> ArraySource:
  """scikit-learn's 1,797 handwritten digits, 8x8 (UCI optical recognition), resized to the stream's size.

  Splits: 'train' (1,433), 'test' (364), 'all'. Every fifth example of each class is held out.
  """
  from sklearn.datasets import load_digits

  data = load_digits()
  held_out = np.zeros(len(data.target), bool)
  for label in range(10):
    held_out[np.flatnonzero(data.target == label)[::5]] = True
  chosen = {'train': ~held_out, 'test': held_out, 'all': np.ones_like(held_out)}
  if stream.split not in chosen:
    raise one_of('split of digits in config.data.split', stream.split, chosen)
  images = np.round(data.images[chosen[stream.split]] * (255 / 16)).astype(np.uint8)[..., None]
  size = stream.stored_size, stream.channels, stream.crop
  arrays = {'image': np.stack([resize(image, *size, method=stream.filter) for image in images])}
  if stream.classes:
    arrays['label'] = data.target[chosen[stream.split]].astype(np.int32)
  return ArraySource(arrays)


RING_MODES, RING_RADIUS, RING_STDDEV = 8, 1.0, 0.02
GRID_SIDE, GRID_SPACING, GRID_STDDEV = 5, 0.5, 0.02


def ring_centers() -> np.ndarray:
  """The 8 modes of the ring, (8, 2)."""
  angles = 2 * np.pi * np.arange(RING_MODES) / RING_MODES
  return RING_RADIUS * np.stack([np.cos(angles), np.sin(angles)], -1)


def grid_centers() -> np.ndarray:
  """The 25 modes of the grid, (25, 2), in [-1, 1]."""
  line = GRID_SPACING * (np.arange(GRID_SIDE) - (GRID_SIDE - 1) / 2)
  return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def _points(stream: 'Stream', make) -> ArraySource:
  seeds = {'train': 0, 'test': 1}
  if stream.split not in seeds:
    raise one_of('split of points in config.data.split', stream.split, seeds)
  points, label = make(np.random.RandomState(seeds[stream.split]), {'train': 50_000, 'test': 10_000}[stream.split])
  arrays = {'image': points.astype(np.float32)}
  if stream.classes:
    arrays['label'] = label.astype(np.int32)
  return ArraySource(arrays)


def _mixture(centers: np.ndarray, stddev: float):
  def make(random, count):
    label = random.randint(len(centers), size=count)
    return centers[label] + stddev * random.randn(count, 2), label

  return make


def ring(stream: 'Stream') -> ArraySource:
  """A mixture of 8 Gaussians of deviation 0.02 on the unit circle, points (2,)."""
  return _points(stream, _mixture(ring_centers(), RING_STDDEV))


def grid(stream: 'Stream') -> ArraySource:
  """A mixture of 25 Gaussians of deviation 0.02 on a 5x5 grid in [-1, 1]^2, points (2,)."""
  return _points(stream, _mixture(grid_centers(), GRID_STDDEV))


#: The mixture on the line of Ghosh et al. 2017, https://arxiv.org/abs/1704.02906, section 5.1.
LINE_CENTERS, LINE_STDDEVS = (10.0, 20.0, 60.0, 80.0, 110.0), (3.0, 3.0, 2.0, 2.0, 1.0)


def line_centers() -> np.ndarray:
  """The 5 modes of the line, (5, 1)."""
  return np.array(LINE_CENTERS)[:, None]


def line_points(random: np.random.RandomState, count: int) -> tuple[np.ndarray, np.ndarray]:
  """Points (count, 1) of the mixture on the line, and the mode of each."""
  label = random.randint(len(LINE_CENTERS), size=count)
  return line_centers()[label] + np.array(LINE_STDDEVS)[label, None] * random.randn(count, 1), label


def line(stream: 'Stream') -> ArraySource:
  """A mixture of 5 Gaussians of unequal deviations on the line, points (1,)."""
  return _points(stream, line_points)


def spirals(stream: 'Stream') -> ArraySource:
  """Two interleaved spirals in the unit disk with noise of deviation 0.02, points (2,); the label is the arm."""

  def make(random, count):
    arm, turn = random.randint(2, size=count), np.sqrt(random.rand(count))
    angle = 3 * np.pi * turn + np.pi * arm
    return np.stack([turn * np.cos(angle), turn * np.sin(angle)], -1) + 0.02 * random.randn(count, 2), arm

  return _points(stream, make)


BUILT_IN = {'digits': digits, 'ring': ring, 'grid': grid, 'line': line, 'spirals': spirals, 'solids': solids}
#: {set of points: coordinates of one}.
POINTS = {'ring': 2, 'grid': 2, 'line': 1, 'spirals': 2}
