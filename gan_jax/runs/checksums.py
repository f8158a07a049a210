"""Checksums of arrays, the same on every backend and on any number of devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

#: Entries of a state below which checksums are computed by numpy.
SMALL = 1 << 22


def of(leaves: dict[str, jax.Array]) -> tuple[dict[str, Any], dict[str, Any]]:
  """({path: checksum}, {path: number of entries that are not finite}), computed where the state is.

  The bits of each entry are read as an integer and multiplied by an odd number that depends on the entry's position;
  the checksum is the sum of these products modulo 2^32. It does not depend on the order of summation, so it is the same
  on any number of devices. A change of one entry always changes it.
  """
  # A program for each kind of state would take longer to compile on a CPU than numpy takes for a small one.
  if jax.default_backend() == 'cpu' and jax.process_count() == 1 and sum(leaf.size for leaf in leaves.values()) < SMALL:
    return by_numpy(leaves)
  sums, bad = jax.device_get(by_devices(leaves))
  return sums, bad


def are_finite(tree: Any) -> bool:
  """Whether all entries of all arrays are finite."""
  _, bad = of({jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)})
  return not any(bad.values())


def by_numpy(leaves: dict[str, jax.Array]) -> tuple[dict[str, Any], dict[str, Any]]:
  sums, bad = {}, {}
  for name, leaf in leaves.items():
    key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    array = np.ascontiguousarray(jax.device_get(jax.random.key_data(leaf) if key else leaf))
    words = array.reshape(-1).view(f'uint{min(32, 8 * array.dtype.itemsize)}').astype(np.uint32)
    places = np.arange(words.size, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    sums[name] = (words * places).sum(dtype=np.uint32)
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
      bad[name] = np.sum(~np.isfinite(array))
  return sums, bad


@jax.jit
def by_devices(leaves: dict[str, jax.Array]) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  sums, bad = {}, {}
  for name, leaf in leaves.items():
    words = _words(leaf)
    places = jax.lax.iota(jnp.uint32, words.size).reshape(words.shape) * jnp.uint32(2) + jnp.uint32(1)
    sums[name] = jnp.sum(words * places, dtype=jnp.uint32)
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
      bad[name] = jnp.sum(~jnp.isfinite(leaf))
  return sums, bad


def _words(leaf: jax.Array) -> jax.Array:
  """The bits of an array as uint32, wider types as several words."""
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.random.key_data(leaf)
  if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
    leaf = jnp.stack([leaf.real, leaf.imag], -1)
  if leaf.dtype == jnp.bool_:
    return leaf.astype(jnp.uint32)
  width = leaf.dtype.itemsize
  if width in (1, 2):
    return jax.lax.bitcast_convert_type(leaf, {1: jnp.uint8, 2: jnp.uint16}[width]).astype(jnp.uint32)
  return jax.lax.bitcast_convert_type(leaf, jnp.uint32)
