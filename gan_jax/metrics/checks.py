"""Checks on the inputs of a figure: the numbers are finite, and there are enough of them; and standard errors."""

import math
from typing import Any

import numpy as np

from gan_jax.base.errors import UserError


def check_finite(**sides: np.ndarray) -> None:
  """Raises a UserError if a number is NaN or infinite. (Comparisons with NaN are false, so a figure would be wrong.)

  Args:
    **sides: {description: numbers of any shape and dtype}.

  >>> check_finite(real=np.zeros(3), generated=np.array([1.0, np.nan]))
  Traceback (most recent call last):
  gan_jax.base.errors.UserError: generated: 1 of 2 are not finite: what made them has diverged, or the data hold NaN
  """
  for name, values in sides.items():
    values = np.asarray(values)
    # The least and the largest need no second array of the size of the first; both are NaN if any number is.
    if values.dtype.kind in 'biu' or not values.size or np.isfinite([values.min(), values.max()]).all():
      continue
    wrong = ~np.isfinite(values.reshape(len(values) if values.ndim else 1, -1)).all(1)
    raise UserError(
      f'{name}: {wrong.sum()} of {wrong.size} are not finite: what made them has diverged, or the data hold NaN'
    )


def check_count(least: int, **sides: np.ndarray) -> None:
  """Raises a UserError if a side has fewer than `least` examples.

  >>> check_count(2, real=np.zeros((1, 3)))
  Traceback (most recent call last):
  gan_jax.base.errors.UserError: real: 1 examples, this figure needs 2 or more
  """
  for name, values in sides.items():
    if len(values) < least:
      raise UserError(f'{name}: {len(values)} examples, this figure needs {least} or more')


def one_kind(**sides: Any) -> None:
  """Raises a UserError if one side is of integers and another of floats: bytes and [0, 1] are two scales.

  >>> one_kind(samples=np.zeros(3), train=np.zeros(3, np.uint8))
  Traceback (most recent call last):
  gan_jax.base.errors.UserError: samples are float64, train are uint8: give both one scale and type, such as x / 255
  """
  types = {name: np.asarray(values).dtype for name, values in sides.items()}
  if len({dtype.kind in 'biu' for dtype in types.values()}) > 1:
    told = ', '.join(f'{name} are {dtype}' for name, dtype in types.items())
    raise UserError(f'{told}: give both one scale and type, such as x / 255')


def one_label_each(labels: Any, examples: Any) -> np.ndarray:
  """Labels as an array (N,). Raises a UserError if they are not one for each example.

  >>> one_label_each([0, 1], np.zeros((2, 5))).tolist()
  [0, 1]
  """
  found = np.asarray(labels)
  if found.shape != (len(examples),):
    raise UserError(f'labels of shape {found.shape} for {len(examples)} examples: give one class for each, (N,)')
  return found


def mean_error(values: np.ndarray) -> float:
  """The standard error of the mean of independent values (N,); NaN for fewer than two.

  >>> mean_error(np.array([1.0, 3.0]))
  1.0
  """
  return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def share_error(share: float, count: int) -> float:
  r"""The standard error of a share of independent examples: $\sqrt{p (1 - p) / n}$.

  For a share of 0 or 1 this formula gives 0, as if the share were certain. There the function returns the deviation of
  the share under a uniform prior, about 1 / n. Source: Bayes 1763; Gelman et al., Bayesian Data Analysis, section 2.4.

  Args:
    share: 0 to 1.
    count: examples.

  Returns:
    NaN for no examples.

  >>> share_error(0.5, 4), round(share_error(1.0, 5), 4)
  (0.25, 0.1237)
  """
  if not count:
    return math.nan
  if 0 < share < 1:
    return math.sqrt(share * (1 - share) / count)
  return math.sqrt((count + 1) / (count + 3)) / (count + 2)
