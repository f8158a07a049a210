"""A batch in microbatches: what each passes to the next, and the means over microbatches and devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.core.compute import unrolling


class Variables(NamedTuple):
  """The variables that the losses of a move may write. Each loss passes them to the next.

  Attributes:
    owned: {collection: {child: ...}} of the movers.
    table: the game's collection that is averaged over microbatches.
    memory: the game's collection that each microbatch passes to the next.
    scratch: the game's collection of this step.
  """

  owned: dict[str, Any]
  table: Any
  memory: Any
  scratch: Any


#: (variables after the loss, gradients of the movers, metrics).
LossResult = tuple[Variables, Any, dict[str, jax.Array]]


def over_microbatches(
  gradients: Callable[[Variables, Any, jax.Array], LossResult],
  before: Variables,
  batch: dict[str, Any],
  key: jax.Array,
  count: int,
) -> LossResult:
  """(variables, gradients, metrics) of a batch. It is split into `count` microbatches, computed one after the other.

  Gradients, metrics and the table are means over the microbatches. Each microbatch passes the movers' variables and the
  memory to the next. The scratch has the microbatches on its first axis, as an earlier turn of this step wrote it.
  """
  if count == 1:
    return gradients(before, batch, jax.random.fold_in(key, 0))

  def microbatch(owned: Any, memory: Any, index: Any, scratch: Any, batch: Any) -> Any:
    variables = Variables(owned, before.table, memory, scratch)
    after, grads, metrics = gradients(variables, batch, jax.random.fold_in(key, index))
    changed = jax.tree.map(lambda new, old: (new != old).astype(jnp.int32), after.table, before.table)
    return (
      after.owned,
      after.memory,
      after.scratch,
      (grads, metrics, jax.tree.map(_gain, after.table, before.table), changed),
    )

  def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
    owned, memory, sums = carry
    owned, memory, scratch, new = microbatch(owned, memory, *inputs)
    return (owned, memory, jax.tree.map(jnp.add, sums, new)), scratch

  def dealt(x: jax.Array) -> jax.Array:
    # Microbatch i takes examples i, i + n, i + 2n, ...: so the scan does not run over the sharded axis.
    return jnp.swapaxes(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 0, 1)

  inputs = (jnp.arange(count, dtype=jnp.int32), before.scratch, jax.tree.map(dealt, batch))
  traced = jax.make_jaxpr(microbatch, return_shape=True)
  jaxpr, shapes = traced(before.owned, before.memory, *jax.tree.map(lambda x: x[0], inputs))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[-1])
  carry = (before.owned, before.memory, zeros)
  (owned, memory, sums), scratch = jax.lax.scan(body, carry, inputs, unroll=unrolling(jaxpr, count))
  grads, metrics = jax.tree.map(lambda x: (x / count).astype(x.dtype), sums[:2])
  mean = lambda total, old: _added(total, old, count) if _whole(old) else (total / count).astype(old.dtype)
  table = jax.tree.map(mean, sums[2], before.table)
  # A mean of equal numbers can differ from them in the last digit: what nobody changed stays as it is.
  table = jax.tree.map(lambda mean, old, times: jnp.where(times > 0, mean, old), table, before.table, sums[3])
  return Variables(owned, table, memory, scratch), grads, metrics


def over_devices(table: Any, before: Any, axis_name: str | None) -> Any:
  """A table whose whole numbers are means over the devices of an axis, rounded; its floats are such means already."""
  if axis_name is None:
    return table
  count = jax.lax.psum(1, axis_name)
  mean = lambda x, old: _added(jax.lax.psum(_gain(x, old), axis_name), old, count) if _whole(old) else x
  return jax.tree.map(mean, table, before)


def _whole(x: jax.Array) -> bool:
  return bool(jnp.issubdtype(x.dtype, jnp.integer))


def _gain(x: jax.Array, old: jax.Array) -> jax.Array:
  """What is summed up for a mean: of whole numbers, which may be large, what was added."""
  return (x - old).astype(jnp.int32) if _whole(old) else x


def _added(total: jax.Array, old: jax.Array, count: Any) -> Any:
  """A whole number and the mean of what it gained `count` times, rounded."""
  return old + ((total + count // 2) // count).astype(old.dtype)
