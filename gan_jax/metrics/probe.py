r"""The linear probe: the accuracy of a linear L2-SVM on the features of a network that was trained without labels.

Source: Radford et al. 2015 (DCGAN), https://arxiv.org/abs/1511.06434, sections 5.1 and 5.2: the features of every
convolutional layer of the discriminator, max-pooled to 4x4, flattened, concatenated, into a regularised linear L2-SVM.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed
from gan_jax.metrics.checks import check_count, check_finite, one_label_each

#: Rows of the features that are multiplied at a time, and rows that the preconditioner looks at.
BLOCK, SAMPLE = 2048, 512


class LinearSVM(NamedTuple):
  """One-vs-rest linear classifiers.

  Attributes:
    weights: (features, classes) float32.
    bias: (classes,) float32.
  """

  weights: np.ndarray
  bias: np.ndarray


def pooled_features(layers: Sequence[jax.Array], grid: int = 4) -> jax.Array:
  """Feature maps max-pooled to a grid, flattened and concatenated.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 5.1.

  Args:
    layers: maps (B, H, W, C) or (B, D, H, W, C), each size a multiple of the grid.
    grid: size of each axis that they are pooled to.

  Returns:
    (B, the sum of grid * grid * C), or of grid^3 * C.

  Raises:
    UserError: a map is smaller than the grid, or no multiple of it.

  >>> pooled_features([jnp.zeros((2, 8, 8, 3)), jnp.zeros((2, 4, 4, 5))]).shape
  (2, 128)
  """
  parts = []
  for x in layers:
    batch, *sizes, channels = x.shape
    if any(size % grid for size in sizes):
      shown = 'x'.join(map(str, sizes))
      raise UserError(f'grid={grid} does not divide a feature map of {shown}: take a divisor of every size')
    windows = x.reshape(batch, *(n for size in sizes for n in (grid, size // grid)), channels)
    parts.append(windows.max(tuple(range(2, windows.ndim - 1, 2))).reshape(batch, -1))
  return jnp.concatenate(parts, -1)


def fit_linear_svm(
  features: np.ndarray,
  labels: np.ndarray,
  c: float,
  *,
  classes: int | None = None,
  start: LinearSVM | None = None,
  steps: int = 1000,
  tolerance: float = 1e-3,
) -> LinearSVM:
  r"""One-vs-rest L2-regularised L2-SVM in its primal form, by L-BFGS.

  Minimises $\frac12 (\|w\|^2 + b^2) + C \sum_i \max(0, 1 - y_i (w^T x_i + b))^2$ for each class, with $y_i = 1$ for its
  examples and -1 for the rest: the objective of scikit-learn's `LinearSVC(loss='squared_hinge', dual=False)`, in which
  the bias is the weight of a constant feature of 1 and is regularised with the others. scikit-learn turns float32 into
  16 bytes per value; here the features stay as they are and are read in blocks of rows, by numpy: the host's BLAS takes
  half the time of XLA:CPU for products this thin, and features of 50,000 examples lie on the host.

  Source: Fan et al. 2008 (LIBLINEAR), https://www.jmlr.org/papers/v9/fan08a.html, eq. 1 and 3.

  Args:
    features: (N, n) float32 or float16, on the host.
    labels: (N,) 0 ... classes - 1.
    c: C, the weight of the data.
    classes: how many; None for the largest label plus 1.
    start: where to begin, such as the answer for a smaller C; None for 0.
    steps: iterations of L-BFGS at most.
    tolerance: it ends when no entry of the gradient is larger than so much of the largest at 0.

  Returns:
    The classifiers.

  Raises:
    UserError: C is not positive, there are no two classes, or a feature is not finite.

  >>> svm = fit_linear_svm(np.float32([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]), 10.0)
  >>> predict(svm, np.float32([[-3.0], [3.0]])).tolist()
  [0, 1]
  """
  from scipy import optimize
  from threadpoolctl import threadpool_limits

  if not c > 0:
    raise UserError(f'c={c} of the linear SVM must be positive')
  check_finite(features=features)
  count, size = features.shape
  classes = int(labels.max()) + 1 if classes is None else classes
  if classes < 2:
    raise UserError('a linear SVM needs two classes or more, and the labels have one')
  signs = np.where(labels[:, None] == np.arange(classes), 1, -1).astype(np.float32)
  shaped = lambda flat: flat.astype(np.float32).reshape(size + 1, classes)

  def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
    svm = directions(shaped(flat))  # (features and the bias, classes)
    loss, gradient = 0.0, svm.astype(np.float64)
    for first in range(0, count, BLOCK):
      x, y = features[first : first + BLOCK].astype(np.float32, copy=False), signs[first : first + BLOCK]
      margins = np.maximum(1 - y * (x @ svm[:-1] + svm[-1]), 0)
      slopes = -2 * c * y * margins
      loss += c * float(np.sum(margins**2, dtype=np.float64))
      gradient[:-1] += x.T @ slopes
      gradient[-1] += slopes.sum(0)
    value = loss + 0.5 * float(np.sum(svm**2, dtype=np.float64))
    return value, directions(gradient.astype(np.float32)).ravel().astype(np.float64)

  # The threads of BLAS wait busily between the short vectors of L-BFGS: beside other work that is ten times slower.
  with threadpool_limits(1, 'blas'):
    directions, back = _preconditioner(features, c)
    flat = np.zeros((size + 1) * classes)
    largest = np.abs(objective(flat)[1]).max()
    if start is not None:
      flat = back(np.concatenate([start.weights, start.bias[None]])).ravel().astype(np.float64)
    options = dict(maxiter=steps, maxfun=2 * steps, gtol=tolerance * largest, ftol=1e-10, maxcor=20)
    answer = optimize.minimize(objective, flat, jac=True, method='L-BFGS-B', options=options)
    svm = directions(shaped(answer.x))
  return LinearSVM(svm[:-1], svm[-1])


def _preconditioner(features: np.ndarray, c: float):
  r"""$v \mapsto (I + 2 C r X^T X)^{-1/2} v$ and its inverse, for v (n + 1, classes), X^T X estimated from some rows.

  In these directions the Hessian of the squared hinge is near the identity, which saves four of five iterations;
  r, the share of rows within the margin, need not be right.
  """
  count = len(features)
  rows = features[:: max(count // SAMPLE, 1)][:SAMPLE].astype(np.float32)
  rows = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], 1)  # of the bias
  values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
  kept = values > 1e-6 * values[-1]
  basis = (rows.T @ vectors[:, kept].astype(np.float32)) / np.sqrt(values[kept]).astype(np.float32)
  scale = np.sqrt(1 + 2 * c * 0.3 * count / len(rows) * values[kept])
  along = lambda factors: lambda v: v + basis @ ((factors - 1).astype(np.float32)[:, None] * (basis.T @ v))
  return along(1 / scale), along(scale)


def predict(svm: LinearSVM, features: np.ndarray) -> np.ndarray:
  """The class of the largest score, (N,).

  Args:
    svm: from `fit_linear_svm`.
    features: (N, n).
  """
  blocks = (features[i : i + BLOCK].astype(np.float32, copy=False) for i in range(0, len(features), BLOCK))
  return np.concatenate([(x @ svm.weights + svm.bias).argmax(-1) for x in blocks])


def accuracy(svm: LinearSVM, features: np.ndarray, labels: np.ndarray) -> float:
  """The share of examples put in their class.

  >>> svm = LinearSVM(np.float32([[-1.0, 1.0]]), np.zeros(2, np.float32))
  >>> accuracy(svm, np.float32([[-1.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 1, 0]))
  0.75
  """
  return float((predict(svm, features) == one_label_each(labels, features)).mean())


def choose_c(
  draws: Sequence[tuple[np.ndarray, np.ndarray]],
  held_out: tuple[np.ndarray, np.ndarray],
  cs: Sequence[float],
) -> tuple[float, Mapping[float, float]]:
  """The C of the highest accuracy on held-out training data, never on test data.

  Goes upwards, each fit starting where the last one ended, and stops when two in a row are worse.

  Args:
    draws: (features, labels) of one or several training sets, over which the accuracy is averaged.
    held_out: (features, labels) of examples of the training split that are in none of them.
    cs: to choose from.

  Returns:
    (C, {C tried: accuracy}).

  Raises:
    UserError: no examples to train on, or none held out.
  """
  features, labels = held_out
  check_count(1, held_out=labels)
  for _, of_draw in draws:
    check_count(1, training=of_draw)
  classes = int(max(labels.max(), *(y.max() for _, y in draws))) + 1
  tried: dict[float, float] = {}
  starts: Sequence[LinearSVM | None] = [None] * len(draws)
  for c in sorted(cs):
    svms = [fit_linear_svm(x, y, c, classes=classes, start=start) for (x, y), start in zip(draws, starts, strict=True)]
    tried[c], starts = float(np.mean([accuracy(svm, features, labels) for svm in svms])), svms
    # Where C is too small for its size to matter, accuracies are equal: only a fall ends the search.
    if max(tried.values()) > max(list(tried.values())[-2:]):
      break
  return max(tried, key=lambda c: tried[c]), tried


def draw_per_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
  """The positions of `count` random examples of each class, as the paper draws its 1,000 labels.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 5.2.

  Raises:
    UserError: a class has fewer.

  >>> draw_per_class(np.array([0, 1, 0, 1]), 2, seed=0).shape
  (4,)
  """
  generator = np.random.default_rng(check_seed(seed))
  chosen = []
  for label in np.unique(labels):
    positions = np.flatnonzero(labels == label)
    if len(positions) < count:
      raise UserError(f'class {label} has {len(positions)} examples, fewer than count={count}: choose a smaller count')
    chosen.append(generator.choice(positions, count, replace=False))
  return np.sort(np.concatenate(chosen))
