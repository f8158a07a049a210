"""The condition of a game: a class, tags, attributes or a vector; generated examples have it in the latents.

Data have it in a field of their stream.

A game is conditional if its latents are a dict with 'z' and a 'label' (one class), 'tags' or 'attributes' (several can
hold at once), or a 'vector'. Its networks take the condition as the keyword `label`: (B,) integers, or (B, n) numbers.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError

CONDITIONS = ('label', 'tags', 'attributes', 'vector')


def condition_of(latents: Any) -> str | None:
  """The name of the condition in latents, or in their distributions; None if they have none.

  >>> condition_of({'z': 0, 'tags': 0}), condition_of({'z': 0, 'code': 0})
  ('tags', None)
  """
  return next(iter(_conditions(latents)), None)


def _conditions(latents: Any) -> list[str]:
  return [name for name in CONDITIONS if isinstance(latents, Mapping) and name in latents]


def condition_kwargs(latents: Any, fields: Mapping[str, Any]) -> dict[str, jax.Array]:
  """The condition as keyword arguments of a network, {'label': ...}; {} if the game is not conditional.

  Args:
    latents: the latents of the game, or their distributions; they give the name of the condition.
    fields: where its value is: the latents for generated examples, or the fields of a stream for data.

  >>> condition_kwargs({'z': 0, 'tags': 0}, {'image': 1, 'tags': 2}), condition_kwargs(0, {'image': 1})
  ({'label': 2}, {})
  """
  name = condition_of(latents)
  return {} if name is None else {'label': fields[name]}


def check_one_condition(latents: Any) -> None:
  """Raises a UserError if latents have more than one condition, of which networks would be given the first alone."""
  names = _conditions(latents)
  if len(names) > 1:
    raise UserError(f'config.game.latents has {" and ".join(names)}, but networks take one condition: keep one of them')


def generate(generator: nn.Module, latents: Any, *, train: bool) -> jax.Array:
  """Applies a generator: to 'z' and the condition in a conditional game, else to the latents as they are."""
  if condition_of(latents) is None:
    return generator(latents, train=train)
  return generator(latents['z'], train=train, **condition_kwargs(latents, latents))
