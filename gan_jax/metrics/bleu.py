"""BLEU: how much of sentences is found, in runs of n symbols, in other sentences; self-BLEU, in each other."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from gan_jax.base.errors import UserError

Sentence = Sequence[Hashable]
#: Matches that n-grams without any count as: method 1 of Chen and Cherry 2014, https://aclanthology.org/W14-3346.
FEW = 0.1


def bleu(sentences: Sequence[Sentence], references: Sequence[Sentence], order: int) -> np.ndarray:
  """BLEU of each sentence, every reference a reference of all: (N,), 0 to 1.

  The geometric mean of the shares of its n-grams, n from 1 to `order`, that a reference has as often, times
  exp(1 - r / c) if the sentence (c) is shorter than the reference of the nearest length (r).
  Source: Papineni et al. 2002, https://aclanthology.org/P02-1040; per sentence and smoothed, as Texygen does it (Zhu et
  al. 2018, https://arxiv.org/abs/1802.01886).
  differs: a sentence that shares not one symbol has a little more than 0, by the same smoothing; NLTK returns 0.

  Args:
    sentences: of symbols: words, or tokens.
    references: the same, one at least.
    order: the longest n-grams.

  Raises:
    UserError: no sentence, no reference, or an order below 1.

  >>> bleu([['a', 'b', 'c']], [['a', 'b', 'd']], 2).tolist()  # sqrt(2/3 * 1/2)
  [0.5773502691896257]
  """
  sentences, references = _plain(sentences), _plain(references)
  _check(sentences, references, order)
  known = _Known(references, order)
  return np.array([known.score(sentence) for sentence in sentences])


def self_bleu(sentences: Sequence[Sentence], order: int) -> np.ndarray:
  """BLEU of each sentence against all others, (N,): 1 if all are alike, low if they have little in common.

  Source: Zhu et al. 2018, https://arxiv.org/abs/1802.01886, section 3.3.

  >>> self_bleu([['a', 'b'], ['a', 'b'], ['c', 'd']], 1).round(2).tolist()
  [1.0, 1.0, 0.05]
  """
  sentences = _plain(sentences)
  _check(sentences, sentences[1:], order)
  known = _Known(sentences, order)
  return np.array([known.score(sentence, i) for i, sentence in enumerate(sentences)])


class _Known:
  """The most often that one reference has each n-gram; which, and the most of the others, for references themselves."""

  def __init__(self, references: Sequence[Sentence], order: int):
    self._order = order
    self._best: dict[Sentence, tuple[int, int, int]] = {}
    for i, reference in enumerate(references):
      for gram, count in _grams(reference, order).items():
        most, owner, second = self._best.get(gram, (0, -1, 0))
        self._best[gram] = (count, i, most) if count > most else (most, owner, max(second, count))
    self._lengths = Counter(map(len, references))

  def score(self, sentence: Sentence, own: int = -1) -> float:
    """BLEU of a sentence; `own` is its number among the references, which is left out."""
    if not len(sentence):
      return 0.0
    right = [0.0] * (self._order + 1)
    for gram, count in _grams(sentence, self._order).items():
      most, owner, second = self._best.get(gram, (0, -1, 0))
      right[len(gram)] += min(count, second if owner == own >= 0 else most)
    shares = [(right[n] or FEW) / max(len(sentence) - n + 1, 1) for n in range(1, self._order + 1)]
    mean = math.exp(sum(map(math.log, shares)) / self._order)
    lengths = [n for n, count in self._lengths.items() if count > (own >= 0 and n == len(sentence))]
    nearest = min(lengths, key=lambda n: (abs(n - len(sentence)), n))
    return mean * math.exp(min(1 - nearest / len(sentence), 0.0))


def _grams(sentence: Sentence, order: int) -> Counter[tuple[Hashable, ...]]:
  return Counter(tuple(sentence[i : i + n]) for n in range(1, order + 1) for i in range(len(sentence) - n + 1))


def _plain(sentences: Sequence[Sentence]) -> Sequence[Sentence]:
  """Arrays as lists: the entries of PyTorch's and JAX's are arrays, none of which equals another."""
  listed = lambda value: np.asarray(value).tolist() if hasattr(value, '__array__') else value
  return [[listed(word) for word in listed(sentence)] for sentence in listed(sentences)]


def _check(sentences: Sequence[Sentence], references: Sequence[Sentence], order: int) -> None:
  if order < 1:
    raise UserError(f'order={order} of BLEU must be at least 1')
  if not len(sentences) or not len(references):
    raise UserError(
      f'BLEU of {len(sentences)} sentences against {len(references)} references: give one of each at least'
    )
