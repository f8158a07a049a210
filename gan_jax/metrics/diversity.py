"""Classes of samples: the diversity within each class, the share of each class, and the accuracy of the condition."""

from typing import NamedTuple

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import check_count, check_finite, one_kind, one_label_each, share_error

#: Examples taken to float64 at a time.
CHUNK = 4096


def pairwise_distance(examples: np.ndarray) -> float:
  r"""The root mean square distance per entry between two different examples, over all pairs.

  From sums alone: $\frac{1}{N(N-1)} \sum_{i \ne j} \|x_i - x_j\|^2 = \frac{2}{N-1} \sum_i \|x_i - \bar x\|^2$, which is
  twice the unbiased variance, so N^2 distances are never held.

  Source: pairwise distances of samples, as a sign of collapse: Metz et al. 2017 (unrolled GAN),
  https://arxiv.org/abs/1611.02163. differs: the root of the mean square, not the mean of the roots.

  Args:
    examples: (N, ...), N >= 2.

  Returns:
    The distance in the examples' units; NaN for fewer than two.

  >>> round(pairwise_distance(np.array([[0.0, 0.0], [6.0, 8.0]])) ** 2, 6)
  50.0
  """
  count = len(examples)
  if count < 2:
    return float('nan')
  chunks = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
  flat = lambda chunk: np.asarray(examples[chunk], np.float64).reshape(len(examples[chunk]), -1)
  mean = (sum(flat(chunk).sum(0) for chunk in chunks) / count).reshape(1, -1)
  scatter = sum(np.sum((flat(chunk) - mean) ** 2) for chunk in chunks)
  return float(np.sqrt(2 * scatter / ((count - 1) * mean.size)))


class ClassDiversity(NamedTuple):
  """Root mean square distance between different examples of one class, per entry; (classes,) each.

  Attributes:
    samples: of samples.
    real: of real examples.
    ratio: samples / real: about 1 is as varied as data, 0 one example over and over.
  """

  samples: np.ndarray
  real: np.ndarray
  ratio: np.ndarray


def class_diversity(
  samples: np.ndarray, labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray, classes: int
) -> ClassDiversity:
  """Compares the diversity of the samples of each class with that of its real examples.

  Source: distances between samples that share a condition are the diversity score of Zhu et al. 2017 (BicycleGAN),
  https://arxiv.org/abs/1711.11586. differs: theirs are LPIPS; these are `pairwise_distance` of pixels or any features.

  Args:
    samples: (S, ...) pictures or features.
    labels: (S,) 0 ... classes - 1, the classes asked for or a classifier's.
    real: (N, ...) of the same range.
    real_labels: (N,).
    classes: how many.

  Returns:
    NaN for a class with fewer than two examples or, in the ratio, with equal real ones.

  >>> x = np.array([[0.0], [2.0], [0.0], [0.0]])
  >>> class_diversity(x / 2, np.array([0, 0, 1, 1]), x, np.array([0, 0, 0, 0]), 2).samples.tolist()
  [1.0, 0.0]
  """
  samples, real = np.asarray(samples), np.asarray(real)
  one_kind(samples=samples, real=real)
  each = lambda x, y: np.array([pairwise_distance(x[np.flatnonzero(y == label)]) for label in range(classes)])
  labels, real_labels = one_label_each(labels, samples), one_label_each(real_labels, real)
  of_samples, of_real = each(samples, labels), each(real, real_labels)
  ratio = np.divide(of_samples, of_real, out=np.full(classes, np.nan), where=of_real > 0)
  return ClassDiversity(of_samples, of_real, ratio)


class ClassBalance(NamedTuple):
  """How often each class comes.

  Attributes:
    shares: (classes,) of samples.
    divergence: KL(shares || reference) in nats: 0 if they agree, log(2) if half of equal classes never come.
    rarest: the smallest share relative to its reference share: 1 if they agree, 0 if a class never comes.
  """

  shares: np.ndarray
  divergence: float
  rarest: float


def class_balance(labels: np.ndarray, classes: int, reference: np.ndarray | None = None) -> ClassBalance:
  r"""Shares of the classes among samples, against those of data: a generator that ignores classes is exposed.

  Source: $KL(\hat p \| p)$ over modes is that of stacked MNIST in Metz et al. 2017 (unrolled GAN),
  https://arxiv.org/abs/1611.02163, section 3.3.1.

  Args:
    labels: (N,) 0 ... classes - 1, or a classifier's logits (N, classes), of which the largest counts.
    classes: how many.
    reference: (classes,) shares or counts of data; None for equal shares.

  Raises:
    UserError: a label is out of range, a logit is not finite, or the reference is empty or of other classes.

  >>> balance = class_balance(np.array([0, 0, 1, 1]), 4)
  >>> balance.shares.tolist(), round(balance.divergence, 4), balance.rarest  # log(2)
  ([0.5, 0.5, 0.0, 0.0], 0.6931, 0.0)
  """
  labels = np.asarray(labels)
  if labels.ndim == 2:
    if labels.shape[1] != classes:
      raise UserError(f'logits of {labels.shape[1]} classes, but classes={classes}: give one number')
    check_finite(logits=labels)
    labels = labels.argmax(1)
  if labels.size == 0 or labels.min() < 0 or labels.max() >= classes:
    raise UserError(f'classes={classes} with labels that are none or out of range: they must be 0 to {classes - 1}')
  reference = np.ones(classes) if reference is None else np.asarray(reference, np.float64)
  if reference.shape != (classes,):
    raise UserError(f'reference shares of shape {reference.shape}: give {classes}, one a class')
  if not (np.isfinite(reference).all() and reference.min() >= 0 and reference.sum() > 0):
    raise UserError('reference shares must be 0 or more, and not all 0')
  reference = reference / reference.sum()
  shares = np.bincount(labels, minlength=classes) / labels.size
  present = shares > 0
  with np.errstate(divide='ignore'):  # a class that the data do not have gives an infinite divergence
    divergence = np.sum(shares[present] * np.log(shares[present] / reference[present]))
  expected = reference > 0
  return ClassBalance(shares, float(divergence), float(np.min(shares[expected] / reference[expected])))


class Accuracy(NamedTuple):
  """A share of right answers.

  Attributes:
    value: the share.
    standard_error: of it, `checks.share_error`.
  """

  value: float
  standard_error: float


def conditional_accuracy(logits: np.ndarray, asked: np.ndarray) -> Accuracy:
  """The share of samples that a classifier assigns to the class that they were generated for.

  Source: Odena et al. 2017 (ACGAN), https://arxiv.org/abs/1610.09585, section 4.1 (discriminability), there with an
  Inception network as the judge.

  Args:
    logits: (N, classes) of a classifier trained on real examples.
    asked: (N,) the classes asked of the generator.

  Raises:
    UserError: the numbers of examples differ or are 0, or a logit is not finite.

  >>> conditional_accuracy(np.eye(4), np.array([0, 1, 2, 0]))
  Accuracy(value=0.75, standard_error=0.21650635094610965)
  """
  logits, asked = np.asarray(logits), np.asarray(asked)
  if asked.shape != logits.shape[:1]:
    raise UserError(f'logits of {len(logits)} samples, asked of shape {asked.shape}: give one class a sample')
  check_count(1, samples=asked)
  check_finite(logits=logits)
  share = float(np.mean(logits.argmax(1) == asked))
  return Accuracy(share, share_error(share, len(asked)))
