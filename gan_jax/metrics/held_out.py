"""The logits of a discriminator on held-out data: they show whether it has memorised its training set."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gan_jax.metrics.checks import check_count, check_finite


class Judgement(NamedTuple):
  """A discriminator's result on one set.

  Attributes:
    logit: mean logit.
    real: share of examples judged real.
  """

  logit: float
  real: float


class HeldOutReport(NamedTuple):
  """A discriminator's results on training data, on held-out data and on generated examples.

  Attributes:
    train: of training data.
    held_out: of real examples that it never saw.
    generated: of generated ones.
    overfitting: `overfitting` of the three.
  """

  train: Judgement
  held_out: Judgement
  generated: Judgement
  overfitting: float


def overfitting(train: np.ndarray, held_out: np.ndarray, generated: np.ndarray) -> float:
  r"""$r_v = (E[D_{train}] - E[D_{held\,out}]) / (E[D_{train}] - E[D_{generated}])$.

  0 if held-out data look as real as training data, 1 if they look as false as generated examples. Not a number if
  training and generated examples get the same logit.
  Source: Karras et al. 2020 (ADA), https://arxiv.org/abs/2006.06676, eq. 1.

  Args:
    train: logits of any shape, of training data.
    held_out: of held-out real examples.
    generated: of generated ones.

  >>> overfitting(np.array([3.0, 1.0]), np.array([1.0]), np.array([-1.0, -3.0]))
  0.25
  """
  real, unseen, fake = (float(np.mean(x, dtype=np.float64)) for x in (train, held_out, generated))
  return (real - unseen) / (real - fake) if real != fake else float('nan')


def held_out_report(
  logits: Callable[[np.ndarray], np.ndarray],
  train: np.ndarray,
  held_out: np.ndarray,
  generated: np.ndarray,
  *,
  threshold: float = 0.0,
  batch_size: int = 256,
) -> HeldOutReport:
  """Applies a discriminator to three sets.

  Args:
    logits: examples (B, ...) -> (B, ...), larger for what looks more real. With batch norm, batches must be of one set
      and of the size of training to be judged as in training.
    train: (N, ...) examples that it was trained on.
    held_out: (M, ...) real examples that it was not.
    generated: (S, ...).
    threshold: the logit above which an example is judged real: 0.5 for least squares with targets 0 and 1. A
      Wasserstein critic has none; only its means and `overfitting` say something.
    batch_size: examples at a time.

  Raises:
    UserError: a set is empty, or a logit is not finite.

  >>> held_out_report(lambda x: x, np.array([2.0, 4.0]), np.array([1.0]), np.array([-1.0, 3.0])).generated
  Judgement(logit=1.0, real=0.5)
  """

  check_count(1, train=train, held_out=held_out, generated=generated)

  def apply(images: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(images), batch_size):
      # The last batch goes on with the first examples, for layers that compare groups of a batch; these do not count.
      found = np.asarray(logits(images[np.arange(start, start + batch_size) % len(images)]))
      examples = batch_size // len(found)  # that have one logit together, in packs
      parts.append(found[: -(-(len(images) - start) // examples)])
    return np.concatenate(parts).astype(np.float64)

  sets = apply(train), apply(held_out), apply(generated)
  check_finite(**dict(zip(('logits of training data', 'of held-out data', 'of generated examples'), sets, strict=True)))
  real, unseen, fake = (Judgement(float(x.mean()), float((x > threshold).mean())) for x in sets)
  return HeldOutReport(real, unseen, fake, overfitting(*sets))
