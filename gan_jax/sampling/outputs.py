"""The things that a game makes, by name."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from gan_jax.base.errors import UserError


def pick(made: Any, output: str) -> jax.Array:
  """The one of several things that a game makes.

  Raises:
    UserError: there is none of that name.
  """
  if not isinstance(made, Mapping):
    if output:
      raise UserError(f'--output={output!r}: this game makes one thing; leave it out')
    return made
  if output not in made:
    raise UserError(f'--output={output!r}: this game makes {", ".join(sorted(made))}; choose one')
  return made[output]


def named(samples: Any) -> dict[str, np.ndarray]:
  """Samples by name; those of a game that makes one thing are called ''."""
  return dict(samples) if isinstance(samples, Mapping) else {'': samples}
