"""Seeds: whole numbers of 32 bits, so that each is another one and means the same wherever it is given."""

import operator

import jax

from gan_jax.base.errors import UserError


def check_seed(seed: int) -> int:
  """The seed, a whole number from 0 to 2**32 - 1.

  JAX would take a larger one for that of its last 32 bits, with JAX_ENABLE_X64 for another; NumPy takes none.

  Raises:
    UserError: it is none.

  >>> check_seed(2**32)
  Traceback (most recent call last):
  gan_jax.base.errors.UserError: seed=4294967296 must be a whole number from 0 to 4294967295
  """
  try:
    whole = operator.index(seed)
  except TypeError:
    whole = -1
  if not 0 <= whole < 2**32:
    raise UserError(f'seed={seed} must be a whole number from 0 to {2**32 - 1}')
  return whole


def key_of(seed: int) -> jax.Array:
  """The PRNG key of a seed.

  Raises:
    UserError: it is no seed.
  """
  return jax.random.key(check_seed(seed))
