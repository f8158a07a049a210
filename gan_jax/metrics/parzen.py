"""Parzen-window log-likelihood: the measurement of the first GAN papers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import check_count, check_finite, mean_error

#: The deviations among which GAN 2014's code chooses.
SIGMAS = tuple(np.logspace(-1.0, 0.0, 10).tolist())
#: Rows of a block of distances.
BLOCK = 256


class ParzenLikelihood(NamedTuple):
  """
  Attributes:
    value: mean log-likelihood of the test examples, nats.
    standard_error: of the mean; NaN for one example.
    sigma: the deviation that was chosen.
    validation: the mean log-likelihood of the examples that chose it, nats: what to stop a training by.
  """

  value: float
  standard_error: float
  sigma: float
  validation: float


def log_likelihoods(samples: np.ndarray, examples: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
  """Log-densities of examples under equal Gaussians around samples.

  Source: Breuleux et al. 2011; Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 5.

  Args:
    samples: (S, ...) generated, pixels in [0, 1]: the scale of the pixels is part of the figure.
    examples: (N, ...) in the same range.
    sigmas: deviations of the Gaussians.

  Returns:
    (len(sigmas), N), nats.

  >>> log_likelihoods(np.zeros((3, 1)), np.zeros((1, 1)), [1.0]).round(4).tolist()
  [[-0.9189]]
  """
  samples = np.asarray(samples, np.float64).reshape(len(samples), -1)
  examples = np.asarray(examples, np.float64).reshape(len(examples), -1)
  squares, size = np.einsum('ij,ij->i', samples, samples), samples.shape[1]
  out = np.empty((len(sigmas), len(examples)))
  for start in range(0, len(examples), BLOCK):
    part = examples[start : start + BLOCK]
    distances = np.einsum('ij,ij->i', part, part)[:, None] + squares[None] - 2 * (part @ samples.T)
    distances = np.maximum(distances, 0.0)
    for row, sigma in enumerate(sigmas):
      out[row, start : start + BLOCK] = special.logsumexp(distances * (-0.5 / sigma**2), axis=1)
  normaliser = np.log(len(samples)) + 0.5 * size * np.log(2 * np.pi * np.square(sigmas))
  return out - np.asarray(normaliser)[:, None]


def parzen_likelihood(
  samples: np.ndarray, validation: np.ndarray, test: np.ndarray, *, sigmas: Sequence[float] | None = None
) -> ParzenLikelihood:
  """The mean log-likelihood of test examples, with the deviation that suits validation examples best.

  Source: the code of Goodfellow et al. 2014: 10,000 samples; 10 deviations from 0.1 to 1 in equal ratios, of which
  1,000 validation examples choose one.

  Args:
    samples: (S, ...) generated, pixels in [0, 1]; in other units with `sigmas`.
    validation: (V, ...) real, not tested on.
    test: (N, ...) real, not trained on.
    sigmas: deviations to choose from; None for SIGMAS, which are for pixels in [0, 1].

  Raises:
    UserError: a set is empty or not finite, or without `sigmas` a value is not in [0, 1].

  >>> x = np.random.RandomState(0).rand(300, 2)
  >>> parzen_likelihood(x[:100], x[100:200], x[200:]).sigma <= 0.2
  True
  """
  check_count(1, samples=samples, validation=validation, test=test)
  check_finite(samples=samples, validation=validation, test=test)
  for side, values in {'samples': samples, 'validation': validation, 'test': test}.items():
    low, high = float(np.min(values)), float(np.max(values))
    if sigmas is None and (low < -1e-6 or high > 1 + 1e-6):
      raise UserError(
        f'{side} has values from {low:g} to {high:g}, not in [0, 1]: scale it, or give sigmas in its units'
      )
  sigmas = SIGMAS if sigmas is None else sigmas
  means = log_likelihoods(samples, validation, sigmas).mean(1)
  chosen = int(np.argmax(means))
  likelihoods = log_likelihoods(samples, test, [sigmas[chosen]])[0]
  return ParzenLikelihood(
    float(likelihoods.mean()), mean_error(likelihoods), float(sigmas[chosen]), float(means[chosen])
  )
