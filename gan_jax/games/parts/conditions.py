"""What a conditional game asks for: of generated examples in the latents, of data in their fields.

A game is conditional if its latents are a dict with a 'label' (a class) or 'tags' (several of them that hold at once)
beside 'z'. Its networks take the condition as the keyword `label`: (B,) integers, or (B, n) with 1 for each tag.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

CONDITIONS = ('label', 'tags')


def condition_of(latents: Any) -> str | None:
  """The name of the condition among latents, or their distributions; None if there is none.

  >>> condition_of({'z': 0, 'tags': 0}), condition_of({'z': 0, 'code': 0})
  ('tags', None)
  """
  return next((name for name in CONDITIONS if isinstance(latents, Mapping) and name in latents), None)


def asked(latents: Any, fields: Mapping[str, Any]) -> dict[str, jax.Array]:
  """The condition in `fields` as the keywords of a network; {} if the latents have none.

  Args:
    latents: of the game.
    fields: the latents themselves for what was asked of the generator, or a stream's fields for what data are.

  >>> asked({'z': 0, 'tags': 0}, {'image': 1, 'tags': 2}), asked(0, {'image': 1})
  ({'label': 2}, {})
  """
  name = condition_of(latents)
  return {} if name is None else {'label': fields[name]}


def generate(generator: nn.Module, latents: Any, *, train: bool) -> jax.Array:
  """What a generator makes of latents: of 'z' and the condition if there is one, else of the latents as they are."""
  if condition_of(latents) is None:
    return generator(latents, train=train)
  return generator(latents['z'], train=train, **asked(latents, latents))
