"""What is measured of adversarial examples, and attacks on sets larger than a batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.attacks.checks import LogitsFn, check_count, is_elsewhere, shape_of_logits
from gan_jax.attacks.norms import lengths
from gan_jax.base.errors import UserError
from gan_jax.base.functions import as_partial, compiled

#: Examples at a time: their arrays stay in a processor's cache.
BATCH = 250


class Report(NamedTuple):
  """
  Attributes:
    accuracy: share of examples that keep their class.
    confidence: mean probability of the class that is seen, on the examples that are taken for another; nan if none is.
    linf: mean over all examples of the greatest change of a pixel.
    l2: mean over all examples of the Euclidean length of the change.
  """

  accuracy: float
  confidence: float
  linf: float
  l2: float


@compiled
def _apply(network, x):
  return network(x)


def logits_of(network: LogitsFn, x: Any, size: int = BATCH) -> np.ndarray:
  """Logits (N, classes) of examples (N, ...), in batches of one size."""
  x = _here(x, 'examples')
  if not len(x):
    raise UserError('there are no examples: give at least one')
  network, size = as_partial(network), min(size, len(x))
  shape = getattr(shape_of_logits(network, x[:size]), 'shape', None)
  if shape is None or len(shape) != 2:
    what = f'logits of shape {shape}' if shape else 'several arrays'
    raise UserError(f'the network gives {what}: what it errs on is asked of one that gives logits (B, classes)')
  parts = [np.asarray(_apply(network, x[_rows(start, size, len(x))])) for start in range(0, len(x), size)]
  logits = np.concatenate(parts)[: len(x)]
  wrong = np.isnan(np.asarray(logits, np.float32)).any(1)
  if wrong.any():  # their greatest would be the first class
    raise UserError(f'logits of {wrong.sum()} of {len(x)} examples are NaN: the network or its examples are no numbers')
  return logits


def _rows(start: int, size: int, count: int) -> np.ndarray:
  """A last batch is filled up from the start: another size would compile once more."""
  return np.arange(start, start + size) % count


def error_rate(network: LogitsFn, x: Any, labels: Any) -> float:
  """The share of examples (N, ...) that a network takes for another class than their labels (N,)."""
  true = _labels_of(labels, len(x))
  logits = logits_of(network, x)
  _check_classes(true, logits)
  return float((logits.argmax(-1) != true).mean())


def _here(values: Any, what: str) -> np.ndarray:
  if is_elsewhere(values):
    raise UserError(f'{what} are divided over several processes: give each process its own')
  return np.asarray(values)


def _labels_of(labels: Any, count: int) -> np.ndarray:
  labels = _here(labels, 'labels')
  if labels.shape != (count,) or not count or not np.issubdtype(labels.dtype, np.integer):
    raise UserError(
      f'labels are {labels.dtype} of shape {labels.shape}: give {count or "some"} integers, one per example'
    )
  return labels


def _check_classes(labels: np.ndarray, logits: np.ndarray) -> None:
  wrong = labels[(labels < 0) | (labels >= logits.shape[1])]
  if len(wrong):
    raise UserError(f'label {wrong[0]} is out of range: the network has the classes 0 to {logits.shape[1] - 1}')


def report(network: LogitsFn, x: Any, adversarial: Any, labels: Any) -> Report:
  """What a network makes of adversarial examples, and how far these are from what they were made of.

  Args:
    network: examples (B, ...) -> logits (B, classes).
    x: (N, ...) the examples themselves.
    adversarial: (N, ...) the changed ones.
    labels: (N,).

  Returns:
    The `Report`; distances in units of pixels.

  Raises:
    UserError: the two are not of one shape, or there is no label per example.

  >>> found = report(lambda x: x, np.eye(2), np.eye(2)[::-1], np.arange(2))
  >>> found.accuracy, round(found.confidence, 3), found.linf
  (0.0, 0.731, 1.0)
  """
  if np.shape(x) != np.shape(adversarial):
    raise UserError(f'examples {np.shape(x)} and adversarial ones {np.shape(adversarial)} are not of one shape')
  true = _labels_of(labels, len(x))
  logits = logits_of(network, adversarial)
  _check_classes(true, logits)
  wrong = logits.argmax(-1) != true
  # In float32: of half precision NumPy adds up the mean in half precision.
  confidence = np.asarray(jax.nn.softmax(jnp.asarray(logits, jnp.float32), -1)).max(-1)
  change = jnp.asarray(adversarial, jnp.float32) - jnp.asarray(x, jnp.float32)  # of bytes it would wrap around
  return Report(
    float(1 - wrong.mean()),
    float(confidence[wrong].mean()) if wrong.any() else float('nan'),
    float(lengths(change, 'linf').mean()),
    float(lengths(change, 'l2').mean()),
  )


def in_batches(
  attack: Callable[..., jax.Array],
  key: jax.Array,
  network: LogitsFn,
  x: Any,
  labels: Any,
  *,
  size: int = BATCH,
  **settings: Any,
) -> np.ndarray:
  """An attack on a set, so many examples at a time.

  Args:
    attack: of `gan_jax.attacks`.
    key: each batch folds in its number.
    network: examples (B, ...) -> logits (B, classes).
    x: (N, ...).
    labels: (N,).
    size: of a batch.
    **settings: of the attack.

  Returns:
    (N, ...) numpy.

  Raises:
    UserError: what the attack refuses; there is no label per example.
  """
  check_count(size=size)
  network = as_partial(network)
  size, x, labels = min(size, len(x)), _here(x, 'examples'), _labels_of(labels, len(x))
  parts = []
  for number, start in enumerate(range(0, len(x), size)):
    rows = _rows(start, size, len(x))
    parts.append(attack(jax.random.fold_in(key, number), network, x[rows], labels[rows], **settings))
  return np.concatenate([np.asarray(part) for part in parts])[: len(x)]
