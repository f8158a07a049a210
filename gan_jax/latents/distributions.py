"""Latents, the inputs of a generator: their distributions, and `draw`, which draws them.

Example i of a draw depends only on (key, i). It does not depend on the batch that it is drawn in, on the number of
devices or on microbatches. Each draw gives its dtype, so JAX_ENABLE_X64 changes nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.functions import known


@runtime_checkable
class Distribution(Protocol):
  """Any object with `sample(key) -> one example`."""

  def sample(self, key: jax.Array) -> Any: ...


#: The type of a game's `latents`: one distribution, or a dict of them.
Latents = Distribution | Mapping[str, Distribution]


@dataclass(frozen=True)
class Normal:
  """Independent N(0, 1) entries, float32.

  >>> draw(Normal((100,)), jax.random.key(0), 4).shape
  (4, 100)
  """

  shape: tuple[int, ...]

  def sample(self, key: jax.Array) -> jax.Array:
    return jax.random.normal(key, self.shape, jnp.float32)


@dataclass(frozen=True)
class Uniform:
  """Independent entries, uniform on [low, high), float32.

  >>> z = draw(Uniform((100,), -1.0, 1.0), jax.random.key(0), 4)
  >>> bool((abs(z) <= 1).all())
  True
  """

  shape: tuple[int, ...]
  low: float = -1.0
  high: float = 1.0

  def __post_init__(self) -> None:
    if known(self.low, self.high) and not self.low < self.high:
      raise UserError(f'Uniform: low={self.low} and high={self.high} must be low < high')

  def sample(self, key: jax.Array) -> jax.Array:
    return jax.random.uniform(key, self.shape, jnp.float32, self.low, self.high)


@dataclass(frozen=True)
class Truncated:
  """N(0, 1) entries, truncated to [-threshold, threshold]: the truncation trick, for sampling.

  Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, section 3.1.

  >>> bool((abs(draw(Truncated((100,), 0.5), jax.random.key(0), 4)) <= 0.5).all())
  True
  """

  shape: tuple[int, ...]
  threshold: float = 1.0

  def __post_init__(self) -> None:
    if known(self.threshold) and not self.threshold > 0:
      raise UserError(f'Truncated: threshold={self.threshold} must be above 0')

  def sample(self, key: jax.Array) -> jax.Array:
    return jax.random.truncated_normal(key, -self.threshold, self.threshold, self.shape, jnp.float32)


@dataclass(frozen=True)
class Label:
  """A class label, 0 ... classes - 1, an int32 scalar.

  Attributes:
    classes: how many there are.
    shares: one number for each class, in proportion to how often it is drawn; empty for uniform. CTGAN's are the
      logarithms of the counts in the data (Xu et al. 2019, https://arxiv.org/abs/1907.00503, section 4.3).

  >>> draw({'z': Normal((8,)), 'label': Label(10)}, jax.random.key(0), 4)['label'].shape
  (4,)
  >>> draw(Label(3, (0, 1, 0)), jax.random.key(0), 4).tolist()
  [1, 1, 1, 1]
  """

  classes: int
  shares: tuple[float, ...] = ()

  def __post_init__(self) -> None:
    if isinstance(self.classes, bool) or int(self.classes) != self.classes or self.classes < 1:
      raise UserError(f'Label: classes={self.classes} must be a whole number of at least 1')
    object.__setattr__(self, 'shares', tuple(self.shares))
    if self.shares and len(self.shares) != self.classes:
      raise UserError(f'Label(classes={self.classes}) has {len(self.shares)} shares: give one for each class')
    if self.shares and not (all(0 <= share < math.inf for share in self.shares) and any(self.shares)):
      raise UserError(f'Label: shares={self.shares} must be finite numbers, at least 0, and not all 0')

  def sample(self, key: jax.Array) -> jax.Array:
    if not self.shares:
      return jax.random.randint(key, (), 0, self.classes, jnp.int32)
    return jax.random.categorical(key, jnp.log(jnp.asarray(self.shares, jnp.float32))).astype(jnp.int32)


@dataclass(frozen=True)
class Attributes:
  """Properties that an example has or has not, each drawn by itself: float32 (n,) of 0 and 1.

  Attributes:
    names: of the properties, in the order of the data's column.
    share: how often they hold, one number for all or one for each.

  >>> draw(Attributes(('Male', 'Smiling'), (0.0, 1.0)), jax.random.key(0), 1).tolist()
  [[0.0, 1.0]]
  """

  names: tuple[str, ...]
  share: float | tuple[float, ...] = 0.5

  def __post_init__(self) -> None:
    if isinstance(self.share, list) or np.ndim(self.share):
      object.__setattr__(self, 'share', tuple(np.asarray(self.share).tolist()))
    shares = self.share if isinstance(self.share, tuple) else (self.share,) * len(self.names)
    if len(shares) != len(self.names) or not all(0 <= share <= 1 for share in shares):
      raise UserError(f'Attributes: share={self.share} must be 0 to 1, one number or one for each of {self.names}')

  def sample(self, key: jax.Array) -> jax.Array:
    shares = jnp.broadcast_to(jnp.asarray(self.share, jnp.float32), (len(self.names),))
    return jax.random.bernoulli(key, shares).astype(jnp.float32)


@dataclass(frozen=True)
class Tags:
  """A tag vector, float32 (n,) of 0 and 1: a random row of a table, all rows equally likely.

  >>> draw({'z': Normal((8,)), 'tags': Tags(((0, 1), (1, 1)))}, jax.random.key(0), 4)['tags'].shape
  (4, 2)
  """

  table: tuple[tuple[int, ...], ...]

  def __post_init__(self) -> None:
    if not len(self.table):
      raise UserError('Tags: the table has no rows')

  def sample(self, key: jax.Array) -> jax.Array:
    return jnp.asarray(self.table, jnp.float32)[jax.random.randint(key, (), 0, len(self.table), jnp.int32)]


@dataclass(frozen=True)
class Scales:
  """Noise of several scales: a tuple of independent N(0, 1) maps, float32.

  Attributes:
    shapes: of the maps, in order, such as ((4, 4, 1), (8, 8, 1)).

  >>> [z.shape for z in draw(Scales(((4, 4, 1), (8, 8, 1))), jax.random.key(0), 2)]
  [(2, 4, 4, 1), (2, 8, 8, 1)]
  """

  shapes: tuple[tuple[int, ...], ...]

  def sample(self, key: jax.Array) -> tuple[jax.Array, ...]:
    keys = [jax.random.fold_in(key, i) for i in range(len(self.shapes))]
    return tuple(jax.random.normal(k, shape, jnp.float32) for k, shape in zip(keys, self.shapes, strict=True))


def check_truncation(value: float) -> None:
  """Raises a UserError if a truncation other than 0 is negative or not finite."""
  if not 0 < value < math.inf:
    raise UserError(f'truncation={value} must be a finite number above 0, or 0 for no truncation')


def truncated(latents: Any, threshold: float) -> Any:
  """The latents of a game with each `Normal` replaced by `Truncated`. A threshold of 0 changes nothing.

  Args:
    latents: one distribution, or a dict of them.
    threshold: entries lie in [-threshold, threshold].

  Raises:
    UserError: the threshold is negative or not finite, or no distribution is `Normal`.

  >>> truncated({'z': Normal((8,)), 'label': Label(10)}, 0.5)['z']
  Truncated(shape=(8,), threshold=0.5)
  """
  if threshold == 0:
    return latents
  check_truncation(threshold)
  found = []

  def of(part: Any) -> Any:
    if isinstance(part, Mapping):
      return {name: of(inner) for name, inner in part.items()}
    found.append(isinstance(part, Normal))
    return Truncated(part.shape, threshold) if found[-1] else part

  replaced = of(latents)
  if not any(found):
    raise UserError(f'truncation={threshold} works only on Normal latents, and this game has none: leave it out')
  return replaced


def draw(distribution: Latents, key: jax.Array, count: int, *, start: int | jax.Array = 0) -> Any:
  """Draws examples number start ... start + count - 1 of a distribution.

  Args:
    distribution: an object with `sample(key) -> one example`, or a (nested) dict of such objects.
    key: a PRNG key.
    count: number of examples.
    start: number of the first example.

  Returns:
    (count, ...), or a dict of such arrays.
  """
  if isinstance(distribution, Mapping):
    parts = sorted(distribution.items())
    return {name: draw(d, jax.random.fold_in(key, i), count, start=start) for i, (name, d) in enumerate(parts)}
  keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(start + jnp.arange(count, dtype=jnp.int32))
  return jax.vmap(distribution.sample)(keys)
