"""Texts as tokens: characters or words, cut and filled up to one length; one of several captions in every draw."""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.data.kind import Kind
from gan_jax.nets.layers.text import FILL, UNKNOWN

#: The first token of a character or word that is known.
FIRST = 2
#: The characters that are known where none are given: those of ASCII that can be printed, in small letters.
CHARACTERS = tuple(chr(i) for i in range(32, 127) if not 'A' <= chr(i) <= 'Z')
WORDS = 5000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Kind):
  """A text, or several captions of which each draw takes one: tokens, 0 behind the end, 1 for what is not known.

  Attributes:
    length: tokens of an example; longer texts are cut.
    level: 'characters' or 'words' (of letters and digits; scikit-learn's CountVectorizer finds them). Capitals become
      small letters.
    vocabulary: the characters or words in order, or how many: the most frequent of the split 'train'. 0: the characters
      of ASCII, or the 5000 most frequent words.
    captions: kept of each example; 0 for all. 1 refuses several.
  """

  length: int
  level: str = 'characters'
  vocabulary: int | tuple[str, ...] = 0
  captions: int = 0

  title = 'a text'

  def __post_init__(self) -> None:
    if self.length < 1:
      raise UserError(f'length={self.length} must be at least 1')
    if self.level not in ('characters', 'words'):
      raise UserError(f"level={self.level!r} must be 'characters' or 'words'")
    if self.captions < 0 or (isinstance(self.vocabulary, int) and self.vocabulary < 0):
      raise UserError(f'captions={self.captions} and vocabulary={self.vocabulary} must be at least 0')
    if self.vocabulary == 0:
      object.__setattr__(self, 'vocabulary', CHARACTERS if self.level == 'characters' else WORDS)

  @property
  def tokens(self) -> int:
    """How many different tokens there are, at most: the rows of an embedding."""
    return FIRST + (self.vocabulary if isinstance(self.vocabulary, int) else len(self.vocabulary))

  @property
  def unfitted(self) -> bool:  # type: ignore[override]
    return isinstance(self.vocabulary, int) or not self.captions

  @property
  def form(self) -> jax.ShapeDtypeStruct | None:
    """Shape and type of one stored text; None where the number of captions is not known."""
    several = (self.captions,) if self.captions > 1 else ()
    return jax.ShapeDtypeStruct((*several, self.length), np.int32) if self.captions else None

  def check_vocabulary(self, where: str) -> None:
    """Raises a UserError for an entry of the vocabulary that no text can have, or that it has twice."""
    entries = () if isinstance(self.vocabulary, int) else self.vocabulary
    for entry in entries:
      if (parts := _split(self.level)(entry)) != [entry]:
        small = ' (capitals of texts become small letters)' if entry != entry.lower() else ''
        raise UserError(
          f'{where}.vocabulary has {entry!r}, which texts at level={self.level!r} never have{small}: it would be '
          f'{parts}'
        )
    if len(set(entries)) < len(entries):
      twice = next(entry for entry in entries if entries.count(entry) > 1)
      raise UserError(f'{where}.vocabulary has {twice!r} twice: give each once')

  def fit(self, values: Iterable[Any]) -> 'Text':
    """With the vocabulary and the number of captions of these texts.

    >>> Text(length=3, level='words', vocabulary=2).fit(['a red shoe', 'Red Shoe', 'red']).vocabulary
    ('red', 'shoe')
    """
    texts = [captions_of(value) for value in values]
    vocabulary = self.vocabulary
    if isinstance(vocabulary, int):
      from sklearn.feature_extraction.text import CountVectorizer

      counter = CountVectorizer(analyzer=_split(self.level))
      try:
        counts = np.asarray(counter.fit_transform(itertools.chain(*texts)).sum(0)).ravel()
      except ValueError as error:
        raise UserError(f'has no {self.level} in any text: give texts that have') from error
      found = counter.get_feature_names_out()
      vocabulary = tuple(map(str, found[np.lexsort((found, -counts))][:vocabulary]))
    most = max((len(each) for each in texts), default=1)
    return dataclasses.replace(self, vocabulary=vocabulary, captions=self.captions or most)

  def stored(self, value: Any) -> np.ndarray:
    """A text to (length,) int32; with several captions (captions, length), rows of 0 where there are fewer.

    Raises:
      UserError: no text, an empty one, or several where `captions` is 1.
    """
    captions = captions_of(value)
    if self.captions == 1:
      if len(captions) > 1:
        raise UserError(f'has {len(captions)} texts, one is needed: give one, or set captions')
      return self.encode(captions[0])
    rows = np.zeros((self.captions or len(captions), self.length), np.int32)
    for row, caption in zip(rows, captions, strict=False):
      row[:] = self.encode(caption)
    return rows

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """(B, length) int32; of several captions one at random, each as likely."""
    return batch if batch.ndim == 2 else chosen(batch, captions_in(batch), key)

  def encode(self, text: str) -> np.ndarray:
    """(length,) int32 tokens of a text.

    >>> Text(length=4, level='words', vocabulary=('red', 'shoe')).encode('Red, blue shoe').tolist()
    [2, 1, 3, 0]
    """
    tokens = np.zeros((self.length,), np.int32)
    numbers = _numbers_of(self.vocabulary)  # fitted
    found = [numbers.get(part, UNKNOWN) for part in _split(self.level)(text)][: self.length]
    tokens[: len(found)] = found
    if not found:
      raise UserError(f'is {text!r}, which has no {self.level}: give a text')
    return tokens

  def decode(self, tokens: Sequence[int]) -> str:
    """The text of (length,) tokens, up to the first that stands behind an end; '?' for what was not known.

    A network may have more rows than a small set has words: a token beyond the vocabulary is '?', too.

    >>> Text(length=4).decode(Text(length=4).encode('Ox'))
    'ox'
    """
    known = self.vocabulary if isinstance(self.vocabulary, tuple) else ()
    told = itertools.takewhile(lambda t: t != FILL, map(int, tokens))
    parts = [known[t - FIRST] if 0 <= t - FIRST < len(known) else '?' for t in told]
    return (' ' if self.level == 'words' else '').join(parts)


def captions_of(value: Any) -> list[str]:
  """The texts of a value: a text, bytes, or a list of them.

  Raises:
    UserError: none, or something else.
  """
  if isinstance(value, np.ndarray):
    value = value.tolist()
  values = list(value) if isinstance(value, list | tuple) else [value]
  values = [each.decode('utf-8', 'replace') if isinstance(each, bytes) else each for each in values]
  for each in values:
    if not isinstance(each, str):
      raise UserError(f'is {each!r}, must be a text or a list of texts')
  if not values or not all(each.strip() for each in values):
    raise UserError('has an empty text: give one, or remove the example')
  return values


def captions_in(batch: jax.Array) -> jax.Array:
  """(B,) how many captions each example of (B, captions, length) has; the rest are rows of 0."""
  return (batch[..., 0] != FILL).sum(-1)


def chosen(batch: jax.Array, counts: jax.Array, key: jax.Array) -> jax.Array:
  """(B, N, ...) to (B, ...): of each example one of the first `counts` (B,); one key takes the same place of all."""
  share = jax.random.uniform(jax.random.fold_in(key, 2), batch.shape[:1], jnp.float32)
  place = jnp.minimum((share * counts).astype(jnp.int32), counts.astype(jnp.int32) - 1)
  return jax.vmap(lambda rows, i: rows[i])(batch, place)


@functools.cache
def _split(level: str):
  if level == 'characters':
    return lambda text: list(text.lower())
  from sklearn.feature_extraction.text import CountVectorizer

  return CountVectorizer(token_pattern=r'(?u)\b\w+\b').build_analyzer()


@functools.lru_cache(maxsize=16)
def _numbers_of(vocabulary: tuple[str, ...]) -> dict[str, int]:
  return {part: FIRST + i for i, part in enumerate(vocabulary)}
