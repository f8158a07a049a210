"""SeqGAN's synthetic data: what an LSTM with random weights says, so that the probability of any sequence is known."""

import functools
import re
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError, one_of
from gan_jax.nets.seqgan import Generator

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: Sequences of each split, those that are drawn at a time, and the entries of the LSTM's state and of its vectors.
COUNT, BLOCK, HIDDEN = 10_000, 1000, 32
SEEDS = {'train': 1, 'test': 2}
NAME = re.compile(r'oracle/(\d+)x(\d+)')


def sizes(name: str) -> tuple[int, int]:
  """(vocabulary, length) of 'oracle/5000x20'.

  Raises:
    UserError: it is none.

  >>> sizes('oracle/5000x20')
  (5000, 20)
  """
  found = NAME.fullmatch(name)
  vocabulary, length = (int(found[1]), int(found[2])) if found else (0, 0)
  if vocabulary < 2 or length < 2:
    raise UserError(f"config.data.name={name!r} must be 'oracle/VOCABULARYxLENGTH', both 2 or more: oracle/5000x20")
  return vocabulary, length


@functools.lru_cache(maxsize=4)
def network(vocabulary: int, seed: int = 0) -> tuple[Generator, Any]:
  """The LSTM and its weights, all of N(0, 1).

  Source: Yu et al. 2017, https://arxiv.org/abs/1609.05473, section 4.1.
  """
  lstm = Generator(vocabulary, units=HIDDEN, hidden=HIDDEN)
  shapes = jax.eval_shape(lstm.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 2), jnp.int32))
  random = np.random.RandomState(seed)
  return lstm, jax.tree.map(lambda s: random.standard_normal(s.shape).astype(np.float32), shapes)


def negative_log_likelihood(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
  """-log p of sequences (N, T) by the oracle, the mean over their tokens: (N,), nats."""
  score = _score(vocabulary)
  padded = np.resize(tokens, (-(-len(tokens) // BLOCK) * BLOCK, tokens.shape[1])).astype(np.int32)
  return np.concatenate([score(part) for part in padded.reshape(-1, BLOCK, tokens.shape[1])])[: len(tokens)]


class Oracle:
  """10,000 sequences of a split, 'train' or 'test'; they are drawn when the first of a block is read.

  Attributes:
    columns: 'tokens' alone.
  """

  columns = {'tokens': 'integers (length,)'}

  def __init__(self, stream: 'Stream'):
    self._sizes = sizes(stream.name)
    if stream.split not in SEEDS:
      raise one_of(f'split of {stream.name} in config.data.split', stream.split, SEEDS)
    self._split = stream.split

  def __len__(self) -> int:
    return COUNT

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    if not 0 <= index < COUNT:
      raise IndexError(index)
    return {'tokens': _block(*self._sizes, self._split, index // BLOCK)[index % BLOCK]}

  def column(self, name: str) -> np.ndarray:
    return np.concatenate([_block(*self._sizes, self._split, i) for i in range(COUNT // BLOCK)])


@functools.lru_cache(maxsize=2 * 2 * COUNT // BLOCK)
def _block(vocabulary: int, length: int, split: str, number: int) -> np.ndarray:
  shares = np.random.RandomState([SEEDS[split], number]).random_sample((BLOCK, length)).astype(np.float32)
  return np.asarray(_draw(vocabulary, length)(shares))


@functools.lru_cache(maxsize=2)
def _score(vocabulary: int) -> Any:
  lstm, weights = network(vocabulary)
  return jax.jit(lambda tokens: -lstm.apply(weights, tokens, method='log_likelihood').mean(1))  # type: ignore[union-attr]


@functools.lru_cache(maxsize=2)
def _draw(vocabulary: int, length: int) -> Any:
  lstm, weights = network(vocabulary)
  drawn = jax.jit(lambda shares: lstm.apply(weights, shares, method='generate'))
  # Compiled, because the source may be opened while a step is traced.
  return drawn.lower(jax.ShapeDtypeStruct((BLOCK, length), jnp.float32)).compile()
