"""The things that a game makes, by name, and what each imitates."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.runs.stages import Stage


def pick(made: Any, output: str, where: str = '--output', declared: Iterable[str] = ()) -> Any:
  """The one of several things that a game makes.

  Args:
    made: by the game.
    output: its name; '' for the main output, or for games that make one thing.
    where: the setting that names it.
    declared: the game's `outputs`, the main one first; a game that makes one thing may give it a name there.

  Raises:
    UserError: there is no output of that name.
  """
  if not isinstance(made, Mapping):
    if output and output not in declared:
      raise UserError(f'{where}={output!r}: this game makes one thing; leave it out')
    return made
  output = output or next(iter(declared), '')
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
  """What an output of a stage's game imitates: as the game declares it, else the first stream's main field."""
  declared = core.outputs_of(stage.game, stage.streams)
  only = next(iter(declared.values())) if len(declared) == 1 and not name else None
  first = next(iter(stage.streams))
  return declared.get(name) or only or core.Output(first, stage.streams[first].main)
