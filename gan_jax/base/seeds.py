"""Seeds are whole numbers of 32 bits: then different seeds always give different random numbers."""

import operator

import jax

from gan_jax.base.errors import UserError


def check_seed(seed: int) -> int:
  """Returns the seed if it is a whole number from 0 to 2**32 - 1.

  From a larger seed JAX would use only the last 32 bits, or with JAX_ENABLE_X64 all of them; NumPy raises an error.

  Raises:
    UserError: it is not such a number.

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
    UserError: it is not a whole number from 0 to 2**32 - 1.
  """
  return jax.random.key(check_seed(seed))
