"""Pictures of voxels and of sequences."""

import numpy as np
from PIL import Image, ImageDraw

from gan_jax.games.parts.drawn import with_count

#: Samples of voxels and sequences that are drawn at most: each takes as much room as several pictures.
MOST = 16
#: Turn about the vertical and tilt of the two views of voxels, degrees.
VIEWS = ((30.0, 25.0), (120.0, 25.0))
#: A last axis of at most so many entries is drawn as curves, a longer one as a piano roll.
CURVES = 4
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14))


def voxels(samples: np.ndarray, limits: tuple[float, float], *, side: int = 96) -> Image.Image:
  """Shaded solids: two views of each sample, side by side. A voxel is filled above the middle of the range.

  Args:
    samples: (N, X, Y, Z) or (N, X, Y, Z, 1); Z points up.
    limits: (low, high) of the values.
    side: width and height of a view, pixels.

  >>> voxels(np.ones((1, 4, 4, 4)), (0.0, 1.0), side=20).size
  (40, 20)
  """
  solids = np.asarray(samples).reshape(samples.shape[:4])[:MOST] > sum(limits) / 2
  pairs = [np.concatenate([_view(solid, *view, side) for view in VIEWS], 1) for solid in solids]
  return _sheet(pairs)


def _view(solid: np.ndarray, turn: float, tilt: float, side: int) -> np.ndarray:
  """(side, side) uint8: the filled voxels seen from a turn and a tilt, bright where they face the light."""
  page = np.full((side, side), 255, np.uint8)
  solid = solid.transpose(0, 2, 1)[:, :, ::-1]  # across, up, towards the eye
  places = np.argwhere(solid)
  if not len(places):
    return page
  a, b = np.radians((turn, tilt))
  around = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
  over = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
  rotation = over @ around  # of (across, up, towards the eye)
  inside = np.pad(solid.astype(np.float32), 1)
  outwards = -np.stack([*np.gradient(inside)], -1)[1:-1, 1:-1, 1:-1][solid]
  normals = outwards @ rotation.T
  light = np.array([-0.4, 0.6, 0.7])
  length = np.maximum(np.linalg.norm(normals, axis=1), 1e-6)
  shades = 60 + 175 * np.clip(normals @ light / length, 0, 1)
  seen = (places - (np.array(solid.shape) - 1) / 2) @ rotation.T
  scale = side / (1.6 * max(solid.shape))
  size = int(np.ceil(1.5 * scale))
  for i in np.argsort(seen[:, 2]):  # the nearest last
    x, y = side / 2 + scale * seen[i, 0], side / 2 - scale * seen[i, 1]
    left, top = int(x - size / 2), int(y - size / 2)
    page[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = shades[i]
  return page


def sequences(samples: np.ndarray, limits: tuple[float, float], *, side: int = 128) -> Image.Image:
  """Sequences, time to the right: curves of few features, a piano roll of many, the last feature on top.

  Args:
    samples: (N, T, F).
    limits: (low, high) of the values.
    side: height of a sample, pixels.

  >>> sequences(np.zeros((1, 8, 2)), (-1.0, 1.0)).size
  (256, 128)
  >>> sequences(np.zeros((1, 16, 32)), (-1.0, 1.0)).size
  (64, 128)
  """
  samples = np.asarray(samples, float)[:MOST]
  low, high = limits
  if samples.shape[-1] > CURVES:
    factor = max(1, side // samples.shape[-1])
    bright = np.clip((samples - low) / (high - low), 0, 1)
    rolls = np.round(255 * (1 - bright)).astype(np.uint8).transpose(0, 2, 1)[:, ::-1]
    return _sheet(list(rolls.repeat(factor, 1).repeat(factor, 2)))
  # What leaves the range is drawn too.
  low, high = min(low, float(samples.min())), max(high, float(samples.max()))
  return _sheet([_curves(sample, low, high, side) for sample in samples])


def _curves(sample: np.ndarray, low: float, high: float, side: int) -> np.ndarray:
  picture = Image.new('RGB', (2 * side, side), 'white')
  draw = ImageDraw.Draw(picture)
  across = np.linspace(2, 2 * side - 3, len(sample))
  for feature, colour in zip(sample.T, COLOURS, strict=False):
    up = (side - 5) * (1 - (feature - low) / max(high - low, 1e-9)) + 2
    points = [*zip(across.tolist(), up.tolist(), strict=True)]
    if len(points) > 1:
      draw.line(points, fill=colour, width=2)
    else:
      draw.point(points, fill=colour)
  return np.asarray(picture)


def _sheet(cells: list[np.ndarray]) -> Image.Image:
  """Cells of one size in an about square grid on white, with thin lines between."""
  height, width = cells[0].shape[0] + 1, cells[0].shape[1] + 1
  columns = max(1, round(np.sqrt(len(cells) * height / width))) if len(cells) > 1 else 1
  rows = -(-len(cells) // columns)
  page = np.full((rows * height - 1, columns * width - 1, *cells[0].shape[2:]), 210, np.uint8)
  for i, cell in enumerate(cells):
    top, left = (i // columns) * height, (i % columns) * width
    page[top : top + height - 1, left : left + width - 1] = cell
  return with_count(Image.fromarray(page), len(cells))
