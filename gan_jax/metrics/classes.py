"""Which classes a generator makes, by a classifier trained on the real ones, and whether it copies.

For sets small enough for scikit-learn: the built-in digits.
"""

from typing import NamedTuple

import numpy as np


class ClassReport(NamedTuple):
  """What a classifier sees in samples.

  Attributes:
    accuracy: of the classifier on held-out real examples.
    shares: (classes,) share of samples put in each class.
    confidence: median over samples of the largest class probability.
  """

  accuracy: float
  shares: np.ndarray
  confidence: float


class CopyReport(NamedTuple):
  """Distances to the nearest training example, root mean square per pixel.

  Attributes:
    samples: median over samples.
    held_out: median over held-out real examples: samples that are much closer are copies.
  """

  samples: float
  held_out: float


def _rows(images: np.ndarray) -> np.ndarray:
  return np.asarray(images, np.float64).reshape(len(images), -1)


def class_report(
  train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, samples: np.ndarray
) -> ClassReport:
  """Trains a small neural classifier on real examples and applies it to samples.

  Args:
    train: (N, ...) real examples, any range, the same for all three.
    train_labels: (N,) 0 ... classes - 1.
    test: (M, ...) held-out real examples.
    test_labels: (M,).
    samples: (S, ...).

  >>> x = np.repeat(np.eye(2), 20, 0)
  >>> class_report(x, x[:, 1].astype(int), x, x[:, 1].astype(int), x[:10]).shares.tolist()
  [1.0, 0.0]
  """
  from sklearn.neural_network import MLPClassifier
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  classifier = make_pipeline(StandardScaler(), MLPClassifier((256,), alpha=0.1, max_iter=200, random_state=0))
  classifier.fit(_rows(train), train_labels)
  accuracy = float((classifier.predict(_rows(test)) == test_labels).mean())
  probabilities = classifier.predict_proba(_rows(samples))
  counts = np.bincount(probabilities.argmax(-1), minlength=probabilities.shape[-1])
  return ClassReport(accuracy, counts / len(samples), float(np.median(probabilities.max(-1))))


def copy_report(train: np.ndarray, test: np.ndarray, samples: np.ndarray) -> CopyReport:
  """Compares samples' distances to the training set with those of held-out examples.

  Args:
    train: (N, ...) the examples trained on.
    test: (M, ...) held-out real examples.
    samples: (S, ...).

  >>> copy_report(np.zeros((3, 4)), np.ones((2, 4)), np.full((5, 4), 0.5))
  CopyReport(samples=0.5, held_out=1.0)
  """
  from sklearn.neighbors import NearestNeighbors

  neighbours = NearestNeighbors(n_neighbors=1).fit(_rows(train))

  def median(images):
    distances, _ = neighbours.kneighbors(_rows(images))
    return float(np.median(distances) / np.sqrt(_rows(images).shape[-1]))

  return CopyReport(median(samples), median(test))
