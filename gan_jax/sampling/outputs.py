"""The things that a game makes, by name, and what each imitates."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.runs.stages import Stage


def pick(made: Any, output: str, where: str = '--output') -> jax.Array:
  """The one of several things that a game makes.

  Args:
    made: by the game.
    output: its name; '' for games that make one thing.
    where: the setting that names it.

  Raises:
    UserError: there is none of that name.
  """
  if not isinstance(made, Mapping):
    if output:
      raise UserError(f'{where}={output!r}: this game makes one thing; leave it out')
    return made
  if output not in made:
    raise UserError(f'{where}={output!r}: this game makes {", ".join(sorted(made))}; choose one')
  return made[output]


def named(samples: Any, first: Iterable[str] = ()) -> dict[str, np.ndarray]:
  """Samples by name; those of a game that makes one thing are called ''.

  Args:
    samples: that a game made.
    first: names in the order in which they come, before those that are not named; `core.outputs_of` gives them.
  """
  if not isinstance(samples, Mapping):
    return {'': samples}
  return {name: samples[name] for name in dict.fromkeys((*first, *samples)) if name in samples}


def imitated(stage: Stage, name: str) -> core.Output:
  """What an output of a stage's game imitates: as the game declares it, else the first stream's image."""
  declared = core.outputs_of(stage.game, stage.streams)
  only = next(iter(declared.values())) if len(declared) == 1 and not name else None
  return declared.get(name) or only or core.Output(next(iter(stage.streams)))
