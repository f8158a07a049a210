"""Solids of random sizes as voxels: a set of volumes that needs no download."""

from typing import TYPE_CHECKING

import numpy as np

from gan_jax.base.errors import one_of
from gan_jax.data.sources.base import ArraySource

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: The classes, by label.
SOLIDS = ('box', 'ball', 'cylinder', 'cone', 'table', 'chair')
COUNTS = {'train': 1_800, 'test': 600}


def solids(stream: 'Stream') -> ArraySource:
  """Volumes (size, size, size, 1) uint8, 0 and 255: boxes, balls, cylinders, cones, tables, chairs, the last axis up.

  Splits: 'train' (1,800), 'test' (600), as many of each class.
  """
  if stream.split not in COUNTS:
    raise one_of('split of solids in config.data.split', stream.split, COUNTS)
  random = np.random.RandomState([*COUNTS].index(stream.split))
  line = (np.arange(stream.size) + 0.5) * (2 / stream.size) - 1
  x, y, z = np.meshgrid(line, line, line, indexing='ij', sparse=True)
  label = np.arange(COUNTS[stream.split]) % len(SOLIDS)
  volumes = np.stack([_solid(SOLIDS[k], random, x, y, z) for k in label])
  arrays = {'image': (255 * volumes[..., None]).astype(np.uint8)}
  return ArraySource({**arrays, 'label': label.astype(np.int32)} if stream.classes else arrays)


def _solid(kind: str, random: np.random.RandomState, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
  """(n, n, n) bool: one solid around the middle of [-1, 1] per axis."""
  a, b, c = random.uniform(0.45, 0.9, 3)  # half of the width, depth and height
  if kind == 'box':
    return (abs(x) < a) & (abs(y) < b) & (abs(z) < c)
  if kind == 'ball':
    return x**2 + y**2 + z**2 < a**2
  if kind == 'cylinder':
    return (x**2 + y**2 < a**2) & (abs(z) < c)
  if kind == 'cone':
    return (x**2 + y**2 < (a * (c - z) / (2 * c)) ** 2) & (abs(z) < c)
  board, leg = random.uniform(0.2, 0.3), random.uniform(0.2, 0.35)
  corner = (abs(x) < a) & (abs(y) < b) & (abs(x) > a - leg) & (abs(y) > b - leg)
  top = c if kind == 'table' else 0.0
  plate = (abs(x) < a) & (abs(y) < b) & (z < top) & (z > top - board)
  legs = corner & (z < top) & (z > -c)
  if kind == 'table':
    return plate | legs
  return plate | legs | ((abs(x) < a) & (y > b - leg) & (y < b) & (z < c) & (z > -board))
