"""Functions as arguments of compiled ones."""

from collections.abc import Callable
from typing import Any

import jax
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


def read(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
  """Which leaves of its arguments a function reads: (arguments with True or False for each leaf, shapes of the result).

  Args:
    function: of pytrees of arrays.
    *arguments: arrays, or their shapes; the function is traced, not called.

  >>> import jax.numpy as jnp
  >>> read(lambda x: 2 * x['a'], {'a': jnp.ones(3), 'b': jnp.ones(3)})[0]
  ({'a': True, 'b': False},)
  """
  closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
  known = {id(value) for equation in closed.jaxpr.eqns for value in equation.invars}
  known |= {id(value) for value in closed.jaxpr.outvars}
  leaves = [id(value) in known for value in closed.jaxpr.invars]
  return jax.tree.unflatten(jax.tree.structure(arguments), leaves), shapes
