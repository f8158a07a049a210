"""Structural similarity of pictures, and as a measure of diversity: how alike random pairs of samples are."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.axes import check_channels_last
from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed
from gan_jax.metrics.checks import check_finite, one_label_each
from gan_jax.metrics.filters import smooth

#: Exponents of the five scales, finest first: Wang et al. 2003, section 3.2.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: Taps of the Gaussian window, of deviation 1.5.
WINDOW = 11


def _terms(x: jax.Array, y: jax.Array, data_range: float) -> tuple[jax.Array, jax.Array]:
  """Means over a picture of similarity and of its contrast-structure factor, (B,) each; x, y around zero."""
  size = min(WINDOW, *x.shape[1:3])
  taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (1.5 * size / WINDOW)) ** 2)
  taps /= taps.sum()
  mean_x, mean_y = smooth(x, taps), smooth(y, taps)
  variances = smooth(x * x + y * y, taps) - mean_x**2 - mean_y**2
  covariance = smooth(x * y, taps) - mean_x * mean_y
  bright_x, bright_y = mean_x + data_range / 2, mean_y + data_range / 2
  c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
  structure = (2 * covariance + c2) / (variances + c2)
  luminance = (2 * bright_x * bright_y + c1) / (bright_x**2 + bright_y**2 + c1)
  return jnp.mean(luminance * structure, (1, 2, 3)), jnp.mean(structure, (1, 2, 3))


def _halved(x: jax.Array) -> jax.Array:
  batch, height, width, channels = x.shape
  x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode='edge')
  return x.reshape(batch, (height + 1) // 2, 2, (width + 1) // 2, 2, channels).mean((2, 4))


@functools.partial(jax.jit, static_argnames=('weights', 'data_range', 'clip'))
def _similarity(x: jax.Array, y: jax.Array, weights: tuple[float, ...], data_range: float, *, clip: bool) -> jax.Array:
  # Around the middle of the range squares are smaller, and float32 keeps more of the small variances between them.
  x, y = (v.astype(jnp.float32) - data_range / 2 for v in (x, y))
  product = jnp.ones(len(x), jnp.float32)
  for scale, weight in enumerate(weights):
    x, y = (x, y) if scale == 0 else (_halved(x), _halved(y))
    similarity, structure = _terms(x, y, data_range)
    last = scale == len(weights) - 1
    # Anticorrelated pictures have negative terms, of which no real power exists: they count as 0, as in Karras' code.
    term = similarity if last else structure
    # The power of a constant where there is none, so that the gradient there is 0 and not NaN; NaN stays NaN.
    product *= jnp.where(term <= 0, 0.0, jnp.where(term <= 0, 1.0, term) ** weight) if clip else term**weight
  return product


def _check(x: np.ndarray | jax.Array, y: np.ndarray | jax.Array, data_range: float):
  if x.ndim != 4 or x.shape != y.shape:
    raise UserError(f'pictures of shapes {x.shape} and {y.shape}: give two (B, H, W, C) of one shape')
  check_channels_last(x.shape)
  check_range(data_range, x, y)


def check_range(data_range: float, *pictures: np.ndarray | jax.Array) -> None:
  """Raises a UserError for floats that are not in [0, data_range], as far as their values are known."""
  for x in pictures:
    if isinstance(x, jax.core.Tracer) or not jnp.issubdtype(x.dtype, jnp.floating) or not x.size:
      continue
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > data_range * (1 + 1e-6):
      raise UserError(
        f'pictures have values from {low:g} to {high:g}, but data_range={data_range:g} says 0 to {data_range:g}: bring '
        'those of [-1, 1] to [0, 1] first, (x + 1) / 2, and give data_range=1'
      )
    if high <= 1 and data_range == 255 and bool((x != x.round()).any()):
      raise UserError('pictures have values of 0 to 1, but data_range is 255: give data_range=1')


def ssim(x: np.ndarray | jax.Array, y: np.ndarray | jax.Array, *, data_range: float = 255.0) -> jax.Array:
  """Structural similarity of pairs of pictures: 1 for equal ones, about 0 for unrelated ones, at least -1.

  Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", eq. 13: Gaussian
  window of 11 taps and deviation 1.5 where it fits, K1 = 0.01, K2 = 0.03; the mean over positions and channels. Sides
  of less than 11 pixels take a window of that size and of a deviation in proportion.

  Args:
    x: (B, H, W, C) uint8 or float in [0, data_range].
    y: the same shape.
    data_range: the largest value a pixel can have.

  Returns:
    (B,) float32.

  Raises:
    UserError: the shapes differ.

  >>> black, white = np.zeros((1, 16, 16, 1)), np.full((1, 16, 16, 1), 255.0)
  >>> round(float(ssim(black, black)[0]), 6), round(float(ssim(black, white)[0]), 6)
  (1.0, 0.0001)
  """
  _check(x, y, data_range)
  return _similarity(x, y, (1.0,), data_range, clip=False)


def scales_of(height: int, width: int) -> int:
  """Scales of `ms_ssim` on pictures of this size: at most 5, each at least as large as the window of 11 pixels.

  >>> [scales_of(side, side) for side in (8, 28, 32, 64, 128, 256)]
  [1, 2, 2, 3, 4, 5]
  """
  sides = [-(-min(height, width) // 2**scale) for scale in range(5)]
  return max(1, sum(side >= WINDOW for side in sides))


def ms_ssim(
  x: np.ndarray | jax.Array, y: np.ndarray | jax.Array, *, scales: int | None = None, data_range: float = 255.0
) -> jax.Array:
  """Multi-scale structural similarity of pairs of pictures: structure at several scales, brightness at the coarsest.

  Source: Wang et al. 2003, "Multi-scale structural similarity for image quality assessment", eq. 7 and section 3.2.
  differs: pictures too small for five scales have fewer by default (`scales_of`), their weights divided by their sum;
  the code used for ACGAN and Progressive GAN always takes five and shrinks the window to the picture where it does not
  fit, which `scales=5` gives.

  Args:
    x: (B, H, W, C) uint8 or float in [0, data_range].
    y: the same shape.
    scales: 1 to 5; None for as many as the pictures' size allows.
    data_range: the largest value a pixel can have.

  Returns:
    (B,) float32, 0 to 1.

  Raises:
    UserError: the shapes differ or `scales` is out of range.

  >>> x = np.random.RandomState(0).randint(0, 256, (1, 64, 64, 3))
  >>> round(float(ms_ssim(x, x)[0]), 5), bool(ms_ssim(x, 255 - x)[0] < 0.1)
  (1.0, True)
  """
  _check(x, y, data_range)
  return _multiscale(x, y, scales, data_range)


def _multiscale(
  x: np.ndarray | jax.Array, y: np.ndarray | jax.Array, scales: int | None, data_range: float
) -> jax.Array:
  scales = scales_of(*x.shape[1:3]) if scales is None else scales
  if not 1 <= scales <= 5:
    raise UserError(f'scales={scales}: choose 1 to 5')
  weights = WEIGHTS if scales == 5 else tuple(w / sum(WEIGHTS[:scales]) for w in WEIGHTS[:scales])
  return _similarity(x, y, weights, data_range, clip=True)


class Similarity(NamedTuple):
  """Mean MS-SSIM of random pairs.

  Attributes:
    mean: over pairs; a high value tells of little diversity.
    standard_error: of the mean; pairs that share pictures count for as many as there are without: half the
      pictures. NaN for two pictures, which are one pair.
  """

  mean: float
  standard_error: float


class ClassSimilarity(NamedTuple):
  """The same for each class: (classes,) float64, NaN for a class with fewer than two pictures.

  Attributes:
    mean: over pairs.
    standard_error: of the mean.
  """

  mean: np.ndarray
  standard_error: np.ndarray


def pair_similarity(
  images: np.ndarray, *, pairs: int = 1000, seed: int = 0, scales: int | None = None, data_range: float = 255.0
) -> Similarity:
  """Mean MS-SSIM of random pairs of different pictures.

  Source: Karras et al. 2017, https://arxiv.org/abs/1710.10196, section 5, after Odena et al. 2017.

  Args:
    images: (N, H, W, C) uint8 or float in [0, data_range], N >= 2.
    pairs: how many.
    seed: of the pairs.
    scales: as `ms_ssim`.
    data_range: the largest value a pixel can have.

  Raises:
    UserError: fewer than two pictures, fewer than one pair, or a pixel that is not finite.

  >>> round(pair_similarity(np.ones((3, 16, 16, 1)), pairs=4).mean, 6)
  1.0
  """
  if len(images) < 2:
    raise UserError(f'pairs of {len(images)} pictures: give two or more')
  if pairs < 1:
    raise UserError(f'pairs={pairs} must be at least 1')
  check_finite(pictures=images)
  _check(images, images, data_range)
  random = np.random.RandomState(check_seed(seed))
  first = random.randint(0, len(images), pairs)
  second = (first + random.randint(1, len(images), pairs)) % len(images)  # never the picture itself
  batch = max(1, min(128, 2**24 // images[0].size))
  parts = [slice(start, start + batch) for start in range(0, pairs, batch)]
  compare = lambda part: _multiscale(images[first[part]], images[second[part]], scales, data_range)
  values = np.concatenate([compare(part) for part in parts]).astype(np.float64)
  independent = min(pairs, len(images) / 2)
  error = float(values.std(ddof=1) / np.sqrt(independent)) if independent > 1 else float('nan')
  return Similarity(float(values.mean()), error)


def class_similarity(
  images: np.ndarray,
  labels: np.ndarray,
  classes: int,
  *,
  pairs: int = 100,
  seed: int = 0,
  scales: int | None = None,
  data_range: float = 255.0,
) -> ClassSimilarity:
  """Mean MS-SSIM of random pairs of different pictures of each class; compare it with that of real pictures.

  Source: Odena et al. 2017 (ACGAN), https://arxiv.org/abs/1610.09585, section 4.2: 100 pairs a class, at 128x128.

  Args:
    images: (N, H, W, C) uint8 or float in [0, data_range].
    labels: (N,) 0 ... classes - 1.
    classes: how many.
    pairs: per class.
    seed: of the pairs.
    scales: as `ms_ssim`.
    data_range: the largest value a pixel can have.

  >>> class_similarity(np.ones((4, 16, 16, 1)), np.array([0, 0, 0, 1]), 2, pairs=4).mean.round(6).tolist()
  [1.0, nan]
  """
  mean, error = np.full((2, classes), np.nan)
  labels = one_label_each(labels, images)
  for label in range(classes):
    members = np.flatnonzero(labels == label)
    if len(members) >= 2:
      mean[label], error[label] = pair_similarity(
        images[members], pairs=pairs, seed=seed, scales=scales, data_range=data_range
      )
  return ClassSimilarity(mean, error)
