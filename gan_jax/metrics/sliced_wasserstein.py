"""Sliced Wasserstein distances: of point sets, and of patches of pictures level by level of a Laplacian pyramid.

The distance of each level tells structure of one size: the coarsest of composition, the finest of pixel detail.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed
from gan_jax.metrics.checks import check_count, check_finite
from gan_jax.metrics.filters import smooth

#: Side of a patch.
PATCH = 7
#: Binomial window of the pyramid.
TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
#: Pictures taken through the pyramid at a time.
CHUNK = 256
#: Bytes of projections of one set held at a time.
PROJECTIONS = 1 << 25


@jax.jit
def _project(points: jax.Array, directions: jax.Array) -> jax.Array:
  return jnp.matmul(directions.T, points.T, precision=jax.lax.Precision.HIGHEST)


def _ordered(chunks: Sequence[jax.Array], directions: np.ndarray) -> np.ndarray | jax.Array:
  projected = [_project(chunk, directions) for chunk in chunks]
  if jax.default_backend() == 'cpu':
    # numpy's vectorised sort takes a 70th of the time of XLA's on a CPU.
    rows = np.concatenate([np.asarray(part) for part in projected], 1)
    rows.sort(1)
    return rows
  return jnp.sort(jnp.concatenate(projected, 1), 1)


def _distance(x: Sequence[jax.Array], y: Sequence[jax.Array], projections: int, seed: int) -> float:
  count, dimension = sum(map(len, x)), x[0].shape[-1]
  directions = np.random.RandomState(check_seed(seed)).randn(projections, dimension)
  directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
  block = max(1, min(128, PROJECTIONS // (4 * count)))
  total = 0.0
  for start in range(0, projections, block):
    some = directions[start : start + block].T
    total += float(abs(_ordered(x, some) - _ordered(y, some)).mean(1).sum())
  return total / projections


def sliced_wasserstein(x: np.ndarray, y: np.ndarray, *, projections: int = 512, seed: int = 0) -> float:
  r"""The mean over random directions of the 1-Wasserstein distance between two sets' projections.

  $\frac1K \sum_k \frac1N \sum_i |(\theta_k^T x)_{(i)} - (\theta_k^T y)_{(i)}|$ with $\theta_k$ uniform on the sphere.
  Source: Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing", there with squares; with
  absolute values in the code of Karras et al. 2017, https://arxiv.org/abs/1710.10196, section 5.

  Args:
    x: (N, n) points.
    y: (N, n).
    projections: K.
    seed: of the directions.

  Returns:
    The distance, in the units of the points.

  Raises:
    UserError: the sets differ in shape or are empty, or a number is not finite.

  >>> x = np.zeros((5, 1), np.float32)
  >>> sliced_wasserstein(x, x + 3)
  3.0
  """
  if np.ndim(x) != 2 or np.shape(x) != np.shape(y):
    raise UserError(f'sets of shapes {np.shape(x)} and {np.shape(y)}: give two (N, n) sets of one size')
  check_count(1, x=x, y=y)
  check_finite(x=x, y=y)
  return _distance([jnp.asarray(x, jnp.float32)], [jnp.asarray(y, jnp.float32)], projections, seed)


def _mirrored(x: jax.Array) -> jax.Array:
  return jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode='reflect')


def laplacian_pyramid(images: jax.Array, levels: int) -> list[jax.Array]:
  """Splits pictures into bands of detail, each at half the size of the one before; the last is the smoothed picture.

  Source: Burt & Adelson 1983, "The Laplacian pyramid as a compact image code", with the 5-tap binomial window and
  mirrored borders of Karras et al.'s code.

  Args:
    images: (B, H, W, C), H and W multiples of 2 ** (levels - 1).
    levels: how many.

  Returns:
    float32 (B, H / 2 ** i, W / 2 ** i, C) for i in 0 ... levels - 1.

  >>> [x.shape for x in laplacian_pyramid(jnp.ones((1, 32, 32, 3)), 2)]
  [(1, 32, 32, 3), (1, 16, 16, 3)]
  """
  bands, x = [], images.astype(jnp.float32)
  for _ in range(levels - 1):
    smaller = smooth(_mirrored(x), TAPS)[:, ::2, ::2]
    batch, height, width, channels = smaller.shape
    spread = (
      jnp.zeros((batch, height, 2, width, 2, channels), jnp.float32).at[:, :, 0, :, 0].set(smaller).reshape(x.shape)
    )
    bands.append(x - smooth(_mirrored(spread), [2 * tap for tap in TAPS]))
    x = smaller
  return [*bands, x]


@functools.partial(jax.jit, static_argnames=('padding', 'levels', 'level'))
def _patches(images: jax.Array, corners: jax.Array, padding: tuple, levels: int, level: int) -> jax.Array:
  """(B, P, 7, 7, C) patches of one level at corners (B, P, 2)."""
  x = laplacian_pyramid(jnp.pad(images, padding, mode='reflect'), levels)[level]
  offsets = jnp.arange(PATCH, dtype=jnp.int32)
  rows = corners[:, :, 0, None, None] + offsets.reshape(1, 1, -1, 1)
  columns = corners[:, :, 1, None, None] + offsets.reshape(1, 1, 1, -1)
  return x[jnp.arange(len(images)).reshape(-1, 1, 1, 1), rows, columns]


@jax.jit
def _moments(patches: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
  centred = patches - shift.reshape(1, 1, 1, 1, -1)
  # Sums of one picture at a time stay small enough for float32; the host adds them up in float64.
  return jnp.sum(centred, (1, 2, 3)), jnp.sum(centred**2, (1, 2, 3))


@jax.jit
def _normalised(patches: jax.Array, mean: jax.Array, deviation: jax.Array) -> jax.Array:
  centred = (patches - mean.reshape(1, 1, 1, 1, -1)) / deviation.reshape(1, 1, 1, 1, -1)
  return centred.reshape(patches.shape[0] * patches.shape[1], -1)


def _descriptors(images: np.ndarray, corners: np.ndarray, **kwargs) -> list[jax.Array]:
  """Normalised patches of one level in chunks (., 49 C), on the device."""
  chunks = []
  for start in range(0, len(images), CHUNK):
    chunks.append(_patches(images[start : start + CHUNK], corners[start : start + CHUNK], **kwargs))
  shift = jnp.mean(chunks[0], (0, 1, 2, 3))
  sums = [np.concatenate(parts).astype(np.float64) for parts in zip(*(_moments(c, shift) for c in chunks), strict=True)]
  count = corners.shape[0] * corners.shape[1] * PATCH**2
  mean = sums[0].sum(0) / count
  deviation = np.sqrt(np.maximum(sums[1].sum(0) / count - mean**2, 0))
  # A channel that is the same everywhere has no deviation to divide by: it stays zero.
  deviation = np.where(deviation > 0, deviation, 1).astype(np.float32)
  for i, chunk in enumerate(chunks):
    chunks[i] = _normalised(chunk, (mean + np.asarray(shift)).astype(np.float32), deviation)
  return chunks


class PyramidDistance(NamedTuple):
  """Sliced Wasserstein distances by level, times 1,000 as published.

  Attributes:
    levels: {height of the level in pixels: distance}, finest first.
    average: over levels.
    pictures: how many of each set were compared.
  """

  levels: dict[int, float]
  average: float
  pictures: int


def pyramid_distance(
  real: np.ndarray,
  fake: np.ndarray,
  *,
  seed: int = 0,
  pictures: int = 8192,
  patches: int = 128,
  projections: int = 512,
) -> PyramidDistance:
  """Sliced Wasserstein distances between patches of real and generated pictures, level by level of a pyramid.

  The patches of both sets lie in the same places, so that a set has distance 0 from itself; each set is normalised to
  mean 0 and deviation 1 per channel and level, so a uniform change of brightness or contrast costs nothing.

  Source: Karras et al. 2017 (Progressive GAN), https://arxiv.org/abs/1710.10196, section 5, and their code: 128 patches
  of 7x7 a picture, 4 x 128 directions, levels down to 16 pixels.
  differs: at most 8,192 pictures, theirs are 16,384; a level may be as small as 14 pixels, so that 28x28 pictures have
  two levels (28 and 14) as 32x32 ones do; sides that do not halve evenly are first mirrored at the border by a few
  pixels. Powers of two are as published.

  Args:
    real: (N, H, W, C) uint8 or float.
    fake: (M, H, W, C), the same range.
    seed: of places and directions.
    pictures: the most that are compared, the first of each set; as many of both as the smaller set has.
    patches: per picture and level.
    projections: random directions.

  Returns:
    The distances. Memory: pictures * patches * 392 * C bytes of patches and about as much again in work (8,192 grey
    pictures of 28x28: 0.9 GB in all).

  Raises:
    UserError: the pictures differ in shape or are smaller than 14 pixels, a side is empty, a number is not finite.

  >>> x = np.random.RandomState(0).randint(0, 256, (8, 32, 32, 1)).astype(np.uint8)
  >>> pyramid_distance(x, x)
  PyramidDistance(levels={32: 0.0, 16: 0.0}, average=0.0, pictures=8)
  """
  shape = tuple(real.shape[1:])
  if len(shape) != 3 or shape != tuple(fake.shape[1:]):
    raise UserError(f'pictures of shapes {shape} and {tuple(fake.shape[1:])}: give (N, H, W, C) of one size')
  if min(shape[:2]) < 14:
    raise UserError(f'sliced Wasserstein distance of {shape[0]}x{shape[1]} pictures: they need 14 pixels a side')
  check_count(1, real=real, generated=fake)
  check_finite(real=real, generated=fake)
  levels = 1 + int(math.log2(min(shape[:2]) / 14))
  extra = [-side % 2 ** (levels - 1) for side in shape[:2]]
  padding = ((0, 0), *((e // 2, e - e // 2) for e in extra), (0, 0))
  count = min(len(real), len(fake), pictures)
  distances = {}
  for level in range(levels):
    height, width = ((side + e) >> level for side, e in zip(shape[:2], extra, strict=True))
    places = np.random.RandomState([check_seed(seed), level])
    corners = places.randint(0, (height - PATCH + 1, width - PATCH + 1), (count, patches, 2)).astype(np.int32)
    # Descriptors get no name here, so that those of one level are freed before the next level's are made.
    describe = lambda x: _descriptors(x[:count], corners, padding=padding, levels=levels, level=level)  # noqa: B023
    distances[height] = 1e3 * _distance(describe(real), describe(fake), projections, seed)
  return PyramidDistance(distances, float(np.mean(list(distances.values()))), count)
