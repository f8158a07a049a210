"""Latents: what a generator starts from. Drawn in one place, one example from one key.

Example i of a draw depends on (key, i) alone, so it does not depend on the batch it is drawn in, on the number of
devices or on microbatches. Each draw here, and in the library, states its dtype, so that JAX_ENABLE_X64 changes none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError


@runtime_checkable
class Distribution(Protocol):
  """Anything with `sample(key) -> one example`."""

  def sample(self, key: jax.Array) -> Any: ...


#: What a game's `latents` may be: one distribution, or a dict of them.
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

  def sample(self, key: jax.Array) -> jax.Array:
    return jax.random.uniform(key, self.shape, jnp.float32, self.low, self.high)


@dataclass(frozen=True)
class Truncated:
  """N(0, 1) entries drawn anew until they lie in [-threshold, threshold]: the truncation trick at sampling time.

  Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, section 3.1.

  >>> bool((abs(draw(Truncated((100,), 0.5), jax.random.key(0), 4)) <= 0.5).all())
  True
  """

  shape: tuple[int, ...]
  threshold: float = 1.0

  def sample(self, key: jax.Array) -> jax.Array:
    return jax.random.truncated_normal(key, -self.threshold, self.threshold, self.shape, jnp.float32)


@dataclass(frozen=True)
class Label:
  """A class, uniform on 0 ... classes - 1, int32 scalar.

  >>> draw({'z': Normal((8,)), 'label': Label(10)}, jax.random.key(0), 4)['label'].shape
  (4,)
  """

  classes: int

  def sample(self, key: jax.Array) -> jax.Array:
    return jax.random.randint(key, (), 0, self.classes, jnp.int32)


@dataclass(frozen=True)
class Tags:
  """Several tags that hold at once: a row of a table, each row as likely, float32 (n,) of 0 and 1.

  >>> draw({'z': Normal((8,)), 'tags': Tags(((0, 1), (1, 1)))}, jax.random.key(0), 4)['tags'].shape
  (4, 2)
  """

  table: tuple[tuple[int, ...], ...]

  def sample(self, key: jax.Array) -> jax.Array:
    return jnp.asarray(self.table, jnp.float32)[jax.random.randint(key, (), 0, len(self.table), jnp.int32)]


def truncated(latents: Any, threshold: float) -> Any:
  """The latents of a game with `Truncated` for `Normal`; as they are if the threshold is 0.

  Raises:
    UserError: the threshold is no such number, or none of them is normal.

  >>> truncated({'z': Normal((8,)), 'label': Label(10)}, 0.5)['z']
  Truncated(shape=(8,), threshold=0.5)
  """
  if threshold == 0:
    return latents
  if not 0 < threshold < math.inf:
    raise UserError(f'truncation={threshold} must be a number above 0, or 0 for none')
  parts = latents if isinstance(latents, Mapping) else {'': latents}
  if not any(isinstance(part, Normal) for part in parts.values()):
    raise UserError(f'truncation={threshold} asked of latents of which none is Normal: leave it out')
  found = {name: Truncated(part.shape, threshold) if isinstance(part, Normal) else part for name, part in parts.items()}
  return found if isinstance(latents, Mapping) else found['']


def draw(distribution: Latents, key: jax.Array, count: int, *, start: int | jax.Array = 0) -> Any:
  """Examples start ... start + count - 1 of a distribution.

  Args:
    distribution: something with `sample(key) -> one example`, or a (nested) dict of such.
    key: a PRNG key.
    count: how many.
    start: number of the first example.

  Returns:
    (count, ...), or a dict of such.
  """
  if isinstance(distribution, Mapping):
    parts = sorted(distribution.items())
    return {name: draw(d, jax.random.fold_in(key, i), count, start=start) for i, (name, d) in enumerate(parts)}
  keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(start + jnp.arange(count, dtype=jnp.int32))
  return jax.vmap(distribution.sample)(keys)
