"""The error of an unsupervised code as a classifier of the data."""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import share_error


class CodeError(NamedTuple):
  """How well values of a code serve as classes.

  Attributes:
    value: share of test examples whose code is matched with another class than theirs.
    standard_error: of it, `checks.share_error`.
    matching: (values,) the class that each value of the code is matched with.
  """

  value: float
  standard_error: float
  matching: np.ndarray


def code_error(codes: np.ndarray, labels: np.ndarray, test_codes: np.ndarray, test_labels: np.ndarray) -> CodeError:
  """The error of a code as a classifier. Training examples match each value of the code with one class.

  Source: Chen et al. 2016 (InfoGAN), https://arxiv.org/abs/1606.03657, section 7.2.

  Args:
    codes: (N,) values that a network reads off training examples, 0 ... n - 1.
    labels: (N,) their classes, 0 ... n - 1.
    test_codes: (T,) values read off other examples.
    test_labels: (T,) their classes.

  Raises:
    UserError: codes and labels differ in number, or there are fewer than two classes.

  >>> result = code_error(np.array([1, 1, 0, 2]), np.array([0, 0, 1, 2]), np.array([1, 0]), np.array([0, 2]))
  >>> result.value, result.matching.tolist()
  (0.5, [1, 0, 2])
  """
  for values, known in ((codes, labels), (test_codes, test_labels)):
    if np.shape(values) != np.shape(known) or np.ndim(values) != 1 or not len(values):
      raise UserError(f'codes {np.shape(values)} and labels {np.shape(known)}: give one of each an example')
  if len(np.unique(labels)) < 2 or len(np.unique(test_labels)) < 2:
    raise UserError('the examples have only one class, so any code has no error: give examples of two classes or more')
  size = int(max(np.max(x) for x in (codes, labels, test_codes, test_labels))) + 1
  together = np.zeros((size, size), np.int64)
  np.add.at(together, (codes, labels), 1)
  matching = optimize.linear_sum_assignment(together, maximize=True)[1]
  wrong = float(np.mean(matching[test_codes] != test_labels))
  return CodeError(wrong, share_error(wrong, len(test_labels)), matching)
