"""Nearest training neighbours: what a sample most resembles, and whether samples are copies."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import check_count, check_finite, one_kind

#: Samples and training examples compared at a time.
ROWS, COLUMNS = 1024, 8192
#: Candidates beyond the k that are asked for, judged anew in float64.
SPARE = 16


class Neighbours(NamedTuple):
  """The k nearest training examples of each sample, nearest first.

  Attributes:
    indices: (S, k) int64 into the training set.
    distances: (S, k) float64, root mean square per entry, in the examples' units.
  """

  indices: np.ndarray
  distances: np.ndarray


def _flat(x: np.ndarray) -> np.ndarray:
  return np.asarray(x, np.float64).reshape(len(x), -1)


@functools.partial(jax.jit, static_argnames='count')
def _merge(nearest, samples, block, squares, start, count):
  """The nearest so far and a block of the training set -> the nearest of both; |y|^2 - 2 x.y stands for |x - y|^2."""
  scores, indices = nearest
  found = squares.reshape(1, -1) - 2 * jnp.matmul(samples, block.T, precision=jax.lax.Precision.HIGHEST)
  lowest, columns = jax.lax.top_k(-found, min(count, len(block)))
  scores = jnp.concatenate([-scores, lowest], 1)
  indices = jnp.concatenate([indices, start + columns], 1)
  best, order = jax.lax.top_k(scores, min(count, scores.shape[1]))
  return -best, jnp.take_along_axis(indices, order, 1)


def _squared(sample: np.ndarray, others: np.ndarray) -> np.ndarray:
  return np.sum((others - sample.reshape(1, -1)) ** 2, 1)


def nearest(samples: np.ndarray, train: np.ndarray, *, k: int = 1) -> Neighbours:
  """Finds the training examples nearest to each sample, as exactly as float64 arithmetic tells them apart.

  float32 products on the accelerator give candidates; their distances are computed anew from differences in float64.
  Where rounding of float32 could have hidden a nearer one, the sample is compared with the whole set in float64.

  Source: the comparison of samples with nearest training examples is that of Goodfellow et al. 2014,
  https://arxiv.org/abs/1406.2661, figure 2.

  Args:
    samples: (S, ...) pictures or features.
    train: (N, ...) of the same range.
    k: neighbours per sample.

  Raises:
    UserError: the shapes differ, k is not 1 to N, or a number is not finite.

  >>> nearest(np.array([[2.0, 2.0]]), np.array([[0.0, 0.0], [3.0, 3.0]]))
  Neighbours(indices=array([[1]]), distances=array([[1.]]))
  """
  if np.shape(samples)[1:] != np.shape(train)[1:]:
    raise UserError(
      f'samples of shape {np.shape(samples)[1:]} against examples of {np.shape(train)[1:]}: give one shape'
    )
  if not 1 <= k <= len(train):
    raise UserError(f'k={k} neighbours among {len(train)} examples: choose 1 to {len(train)}')
  samples, train = np.asarray(samples), np.asarray(train)
  one_kind(samples=samples, train=train)
  check_finite(samples=samples, train=train)
  wanted = min(len(train), k + SPARE)
  blocks = [slice(start, start + COLUMNS) for start in range(0, len(train), COLUMNS)]
  rows = [slice(start, start + ROWS) for start in range(0, len(samples), ROWS)]
  # Around the mean products are small, and so is what cancels between them.
  centre = (sum(_flat(train[block]).sum(0) for block in blocks) / len(train)).reshape(1, -1)
  chunks = [jnp.asarray(_flat(samples[row]) - centre, jnp.float32) for row in rows]
  found = [(jnp.zeros((len(chunk), 0), jnp.float32), jnp.zeros((len(chunk), 0), jnp.int32)) for chunk in chunks]
  for block in blocks:
    centred = _flat(train[block]) - centre
    squares = np.sum(centred**2, 1).astype(np.float32)
    centred = jnp.asarray(centred, jnp.float32)
    for i, chunk in enumerate(chunks):
      found[i] = _merge(found[i], chunk, centred, squares, block.start, wanted)
  indices = np.zeros((len(samples), k), np.int64)
  distances = np.zeros((len(samples), k))
  scores, candidates = (np.concatenate([np.asarray(pair[j]) for pair in found]) for j in (0, 1))
  dimension = centre.size
  # Rounding errors of a product of n terms add up like a random walk: 8 deviations of it, per unit of |x| |y|.
  unit = 8 * np.sqrt(dimension) * 2.0**-24
  for i in range(len(samples)):
    sample = _flat(samples[i : i + 1])[0]
    places, squared = candidates[i], _squared(sample, _flat(train[candidates[i]]))
    length = np.linalg.norm(sample - centre[0])
    farthest = np.partition(squared, k - 1)[k - 1]
    # Anything outside the candidates but nearer than the k-th is at most this far in float32.
    reach = farthest + unit * (2 * length + np.sqrt(farthest)) ** 2
    if wanted < len(train) and scores[i].max() + length**2 <= reach:
      places, squared = np.arange(len(train)), np.concatenate([_squared(sample, _flat(train[b])) for b in blocks])
    order = np.lexsort((places, squared))[:k]
    indices[i], distances[i] = places[order], np.sqrt(squared[order] / dimension)
  return Neighbours(indices, distances)


class Copying(NamedTuple):
  """Distances to the nearest training example, root mean square per entry.

  Attributes:
    samples: median over samples.
    held_out: median over held-out real examples.
    ratio: samples / held_out: near 0, samples are copies; near 1 or above, they are not.
  """

  samples: float
  held_out: float
  ratio: float


def copying(train: np.ndarray, held_out: np.ndarray, samples: np.ndarray) -> Copying:
  """Compares samples' distances to the training set with those of held-out real examples.

  Blurred samples lie close to everything: a low ratio is a reason to look at the neighbours, not a proof.
  Source: the three-sample comparison of Meehan et al. 2020, https://arxiv.org/abs/2004.05675, section 3, of which this
  takes the medians only.

  Args:
    train: (N, ...) the examples trained on, pixels or features.
    held_out: (M, ...) real examples not trained on.
    samples: (S, ...).

  Raises:
    UserError: a set is empty or not finite, or the shapes differ.

  >>> copying(np.zeros((3, 4)), np.ones((2, 4)), np.full((5, 4), 0.5))
  Copying(samples=0.5, held_out=1.0, ratio=0.5)
  """
  check_count(1, train=train, held_out=held_out, samples=samples)
  of_samples, of_held_out = (float(np.median(nearest(x, train).distances)) for x in (samples, held_out))
  return Copying(of_samples, of_held_out, of_samples / of_held_out if of_held_out else float('nan'))
