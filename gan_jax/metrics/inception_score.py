"""Inception score, of any classifier's logits."""

from typing import NamedTuple

import numpy as np
from scipy import special

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed
from gan_jax.metrics.checks import check_finite, mean_error


class InceptionScore(NamedTuple):
  """
  Attributes:
    value: mean over splits; between 1 and the number of classes.
    standard_error: of the mean; NaN for one split, which shows no spread.
    split_deviation: standard deviation over splits, what papers print after the sign +-.
  """

  value: float
  standard_error: float
  split_deviation: float


def inception_score(logits: np.ndarray, *, splits: int = 10, seed: int = 2020) -> InceptionScore:
  """exp E_x KL(p(y|x) || p(y)): samples whose class is clear, of every class.

  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 4. Shuffled before it is split, as
  torch-fidelity does; a score with another number of splits or samples is another score.

  Args:
    logits: (N, classes) of a classifier; log-probabilities serve as well.
    splits: parts that are scored on their own.
    seed: of the shuffle.

  Raises:
    UserError: a logit is not finite, or a split would be empty.

  >>> round(inception_score(40.0 * np.tile(np.eye(10), (50, 1)), splits=1).value, 6)
  10.0
  """
  if not 1 <= splits <= len(logits):
    raise UserError(f'splits={splits} of {len(logits)} samples: choose 1 to as many as there are samples')
  check_finite(logits=logits)
  logits = np.asarray(logits, np.float64)[np.random.RandomState(check_seed(seed)).permutation(len(logits))]
  probabilities = special.softmax(logits, axis=1)
  scores = []
  for i in range(splits):
    part = probabilities[i * len(logits) // splits : (i + 1) * len(logits) // splits]
    scores.append(np.exp(special.rel_entr(part, part.mean(0, keepdims=True)).sum(1).mean()))
  return InceptionScore(float(np.mean(scores)), mean_error(np.array(scores)), float(np.std(scores)))
