"""Functions as arguments of compiled ones."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.tree_util import Partial


def known(*values: Any) -> bool:
  """Whether values can be looked at: while JAX traces them, as numbers in which members of a population differ, not.

  >>> known(1.0, jax.numpy.ones(2)), jax.jit(lambda x: known(x))(1.0).item()
  (True, False)
  """
  return not any(isinstance(value, jax.core.Tracer) for value in values)


class _Once:
  """A function that is no `Partial`, and the programs that were compiled for it: both are forgotten together."""

  def __init__(self, function: Callable[..., Any]):
    self.function = function
    self.programs: dict[Any, Callable[..., Any]] = {}

  def __call__(self, *arguments: Any) -> Any:
    return self.function(*arguments)


@dataclasses.dataclass(frozen=True)
class _Fixed:
  """A function with some of its keywords. Those of the same function and keywords are equal, for JAX's cache."""

  function: Callable[..., Any]
  keywords: tuple[tuple[str, Any], ...]

  def __call__(self, *arguments: Any, **settings: Any) -> Any:
    return self.function(*arguments, **dict(self.keywords), **settings)


def as_partial(function: Callable[..., Any]) -> Partial:
  """The function as a pytree, an argument of `jax.jit`.

  A `jax.tree_util.Partial(apply, variables)` is compiled once for all variables; its keywords may be words and truth
  values, such as train=False. Any other function is traced anew by
  each call that makes a partial of it: what it has inside, such as the weights of a module that trains, may have
  changed, and jax would go on with what it was.

  >>> as_partial(len)([1, 2])
  2
  """
  if not isinstance(function, Partial):
    return Partial(_Once(function))
  # Such as train=False: as arguments of a compiled function they would be no longer known.
  fixed = {name: value for name, value in function.keywords.items() if isinstance(value, bool | str)}
  if not fixed:
    return function
  others = {name: value for name, value in function.keywords.items() if name not in fixed}
  return Partial(_Fixed(function.func, tuple(sorted(fixed.items()))), *function.args, **others)


def compiled(function: Callable[..., Any], static: Sequence[str] = ()) -> Callable[..., Any]:
  """`jax.jit` of a function that takes other functions as partials of `as_partial`.

  A program for a function that is no `Partial` of the caller's own is kept as long as that partial, not for ever.

  Args:
    function: its partials are arguments without a name.
    static: the names of arguments that are no arrays.

  >>> compiled(lambda network, x: network(x) + 1)(as_partial(lambda x: 2 * x), 3.0).item()
  7.0
  """
  kept = jax.jit(function, static_argnames=tuple(static))

  @functools.wraps(function)
  def call(*arguments: Any, **settings: Any) -> Any:
    closed = [x if isinstance(x, Partial) and isinstance(x.func, _Once) else None for x in arguments]
    once: list[Any] = [x.func for x in closed if x is not None]
    if not once:
      return kept(*arguments, **settings)
    programs, key = once[0].programs, (function, *map(id, once))
    if key not in programs:

      def whole(*others: Any, **settings: Any) -> Any:
        return function(*(o if c is None else c for c, o in zip(closed, others, strict=True)), **settings)

      programs[key] = jax.jit(whole, static_argnames=tuple(static))
    return programs[key](*(x if c is None else None for c, x in zip(closed, arguments, strict=True)), **settings)

  return call


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
