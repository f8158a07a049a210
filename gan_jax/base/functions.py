"""Functions as arguments of compiled ones."""

from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial


def as_partial(function: Callable[..., Any]) -> Partial:
  """The function as a pytree, an argument of `jax.jit`.

  A `jax.tree_util.Partial(apply, variables)` is compiled once for all variables. Any other function is traced anew by
  each call that makes a partial of it: what it has inside, such as the weights of a module that trains, may have
  changed, and jax would go on with what it was.

  >>> as_partial(len)([1, 2])
  2
  """
  return function if isinstance(function, Partial) else Partial(lambda *arguments: function(*arguments))
