"""Metrics of sequences of symbols: what an oracle says of them, how likely data are, BLEU of texts."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from gan_jax.data.sets import title
from gan_jax.data.sources import oracle
from gan_jax.data.streams import Stream
from gan_jax.data.text import FILL, Text
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure, mean_figure
from gan_jax.metrics import bleu

#: Sentences that are compared, of each side, and the lengths of runs of words.
SENTENCES, ORDERS = 2000, (2, 3, 4, 5)
#: Sequences whose likelihood is computed, and at a time.
LIKELY, BATCH = 5000, 500


def is_text(stream: Stream) -> bool:
  """Whether the stream is about texts."""
  return isinstance(stream.kinds.get(stream.main), Text)


def oracle_figures(e: Evidence) -> Iterable[Figure]:
  vocabulary, _ = oracle.sizes(e.stream.name)
  of_made = oracle.negative_log_likelihood(e.fake.examples, vocabulary)
  what = 'nats a token, -log p by the oracle'
  yield mean_figure('oracle_nll', of_made, f'{what}, {len(of_made)} samples')
  real = e.once('oracle_nll', lambda: oracle.negative_log_likelihood(e.real_examples(len(of_made)), vocabulary))
  yield mean_figure('oracle_nll_real', real, f'{what} of {len(real)} of its own sequences')


def likelihood_figures(e: Evidence) -> Iterable[Figure]:
  held_out = e.held_out_examples(LIKELY)
  score = e.once('likelihood', lambda: jax.jit(_likelihood(e.game)))
  parts = [held_out[i : i + BATCH] for i in range(0, len(held_out), BATCH)]
  each = np.concatenate([np.asarray(score(e.variables, part)) for part in parts])
  counted = _counted(held_out) if is_text(e.stream) else np.ones(each.shape, bool)
  whose = f'{len(each)} of {title(e.held_out)}'  # type: ignore[arg-type]
  what = 'nats a token of all texts up to their end, which counts' if is_text(e.stream) else 'nats a token'
  found = _ratios(-(each * counted).sum(1, dtype=np.float64), counted.sum(1))
  yield mean_figure('likelihood', found, f'{what}, -log p by the generator of {whose}')


def _ratios(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """(N,) whose mean is the sum of all sums by that of all counts, and whose standard error is that of this ratio.

  The ratio is R; its delta method is the mean of (sum - R count) / mean count. Of equal counts it is sum / count.

  >>> _ratios(np.array([1.0, 9.0]), np.array([1, 3])).mean().item()
  2.5
  """
  ratio = sums.sum() / counts.sum()
  return ratio + (sums - ratio * counts) / counts.mean()


def _counted(tokens: np.ndarray) -> np.ndarray:
  """(N, T) of texts, whether a token is one of the text or its end; what fills the rest is no achievement."""
  return np.cumsum(tokens == FILL, axis=1) - (tokens == FILL) == 0


def _likelihood(game: Any) -> Callable[[Any, Any], jax.Array]:
  return lambda variables, tokens: game.apply(variables, tokens, method='log_likelihood')


def bleu_figures(e: Evidence) -> Iterable[Figure]:
  made, references = _words(e.fake.examples[:SENTENCES]), _words(e.held_out_examples(SENTENCES))
  whose = f'{len(references)} of {title(e.held_out)}'  # type: ignore[arg-type]
  for order in ORDERS:
    found = bleu.bleu(made, references, order)
    yield mean_figure(f'bleu_{order}', found, f'mean of {len(made)} samples against {whose}')


def self_bleu_figures(e: Evidence) -> Iterable[Figure]:
  # As many of each side: every further sentence is one more to be like. (Texygen takes 500, which are less alike.)
  made = _words(e.fake.examples[:SENTENCES])
  real = _words(e.real_examples(len(made)))
  of_real = lambda order: e.once(f'self_bleu_{order} {len(real)}', lambda: bleu.self_bleu(real, order))
  for order in ORDERS:
    yield mean_figure(f'self_bleu_{order}', bleu.self_bleu(made, order), f'of {len(made)} samples among each other')
    yield mean_figure(f'self_bleu_{order}_real', of_real(order), f'the same of {len(real)} of {e.stream.split}')


def _words(tokens: np.ndarray) -> list[list[int]]:
  """The tokens of texts (N, T) up to the first that stands behind an end."""
  rows = [[int(token) for token in row] for row in tokens]
  return [row[: row.index(FILL)] if FILL in row else row for row in rows]
