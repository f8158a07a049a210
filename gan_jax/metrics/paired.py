"""How near examples come to targets of their own: pairs of pictures, of volumes, of features."""

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import check_finite, one_kind


def _rows(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  if np.shape(x) != np.shape(y) or not len(x):
    raise UserError(f'pairs of shapes {np.shape(x)} and {np.shape(y)}: give one or more, of one shape')
  one_kind(examples=x, targets=y)
  x, y = (np.asarray(side, np.float64).reshape(len(side), -1) for side in (x, y))
  check_finite(examples=x, targets=y)
  return x, y


def absolute_errors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """The mean absolute difference of each pair: (B, ...) twice to (B,).

  >>> absolute_errors(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])).tolist()
  [0.5]
  """
  x, y = _rows(x, y)
  errors: np.ndarray = np.abs(x - y).mean(1)
  return errors


def psnr(x: np.ndarray, y: np.ndarray, *, data_range: float = 255.0) -> np.ndarray:
  """Peak signal-to-noise ratio of each pair, decibels: 10 log10(range^2 / mean squared error); infinite for equal ones.

  Args:
    x: (B, ...) in [0, data_range].
    y: the same shape.
    data_range: the largest value a pixel can have.

  Returns:
    (B,).

  >>> psnr(np.array([[0.0, 255.0]]), np.array([[255.0, 255.0]])).round(2).tolist()
  [3.01]
  """
  bytes_given = all(np.asarray(side).dtype.kind in 'iu' for side in (x, y))
  x, y = _rows(x, y)
  if bytes_given and max(np.abs(x).max(), np.abs(y).max()) > data_range:
    raise UserError(f'psnr: integers above data_range={data_range:g}: give data_range=255 for bytes')
  if data_range == 255 and x.size and max(np.abs(x).max(), np.abs(y).max()) <= 1 and (x != x.round()).any():
    raise UserError('psnr: pictures have values of at most 1, but data_range is 255: give 1, or 2 for those of [-1, 1]')
  with np.errstate(divide='ignore'):
    ratios: np.ndarray = 10 * np.log10(data_range**2 / np.square(x - y).mean(1))
  return ratios


def feature_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """The squared distance of each pair of features brought to length 1: (B, n) twice to (B,), 0 to 4.

  As LPIPS compares features (Zhang et al. 2018, https://arxiv.org/abs/1801.03924, eq. 1), but without learned weights
  and of the whole picture, so compare with figures of the same features only.

  >>> feature_distances(np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]])).tolist()
  [2.0]
  """
  x, y = (side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in _rows(x, y))
  distances: np.ndarray = np.square(x - y).sum(1)
  return distances
