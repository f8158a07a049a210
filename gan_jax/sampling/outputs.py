"""The outputs of a game, by name."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from gan_jax.base.errors import UserError


def pick(outputs: Any, output: str) -> jax.Array:
  """One output of a game.

  Args:
    outputs: the result of the game's `sample`: an array, or a dict of arrays.
    output: name of the output; '' for a game with one output.

  Raises:
    UserError: there is no output of that name.
  """
  if not isinstance(outputs, Mapping):
    if output:
      raise UserError(f'--output={output!r}: this game has one output without a name; leave --output out')
    return outputs
  if output not in outputs:
    raise UserError(f'--output={output!r}: the outputs of this game are {", ".join(sorted(outputs))}; choose one')
  return outputs[output]


def named(samples: Any) -> dict[str, np.ndarray]:
  """The samples as a dict {name of the output: samples}; the name is '' for a game with one output."""
  return dict(samples) if isinstance(samples, Mapping) else {'': samples}
