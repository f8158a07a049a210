"""Devices: a mesh over the data axis, and the step compiled for it (global view: batch norm sees the whole batch)."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gan_jax.errors import UserError


def make_mesh(devices: int | None = None) -> Mesh:
  """A mesh of one axis, 'data', over the first `devices` devices (all by default)."""
  count = devices or jax.device_count()
  if count > jax.device_count():
    raise UserError(f'config.devices={count} but there are {jax.device_count()}: set it to 0 for all of them')
  # The default of axis_types changed between versions of JAX.
  return jax.make_mesh((count,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """Split over the devices along one axis of the array."""
  return NamedSharding(mesh, PartitionSpec(*(None,) * axis, 'data'))


def check_batch(mesh: Mesh, what: str, size: int, accumulate: int = 1) -> None:
  """Raises a UserError unless a batch splits evenly over devices and microbatches."""
  if size % (mesh.size * accumulate):
    raise UserError(
      f'{what}={size} does not divide over {mesh.size} devices times {accumulate} microbatches: make it a multiple '
      f'of {mesh.size * accumulate}'
    )


def constrain(mesh: Mesh) -> Callable[[Any], Any]:
  """Splits what a step draws for itself over the devices.

  Without it, latents drawn inside a compiled step are replicated and every device runs the whole generator.
  """
  return lambda tree: jax.lax.with_sharding_constraint(tree, jax.tree.map(lambda _: sharded(mesh), tree))


def place(mesh: Mesh) -> Callable[..., Any]:
  """Puts this process's share of host arrays (moves, B, ...) on the devices, split over B, which is axis 1.

  Of the steps of one call, (steps, moves, B, ...), it is axis 2: `place(mesh)(tree, 2)`.
  """

  def put(tree: Any, axis: int = 1) -> Any:
    sharding = sharded(mesh, axis)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree)

  return put


def replicate(mesh: Mesh) -> Callable[[Any], Any]:
  """Puts arrays on the devices, whole on each."""
  return lambda tree: jax.tree.map(lambda x: jax.device_put(x, replicated(mesh)), tree)


def compile_step(step: Callable[..., Any], mesh: Mesh) -> Any:
  """The step under `jax.jit`: state donated, outputs placed as the inputs are, so that nothing compiles twice."""
  # keep_unused, or a state entry that the step only overwrites would not be donated.
  return jax.jit(step, donate_argnums=0, keep_unused=True, out_shardings=replicated(mesh))
