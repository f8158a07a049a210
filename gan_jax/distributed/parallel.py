"""Devices: the mesh, the shardings of arrays on it, and the compilation of the step.

There are two ways to use several devices.

`jit`: one program works on the global batch, and the compiler divides it over the devices. Batch norm sees the whole
batch, and the result does not depend on the number of devices.

`pmap`: every device runs the same program on its share of the batch, and gradients are averaged. Each device has its
own batch statistics. It uses `jax.shard_map`, as `jax.pmap` does in newer versions of JAX: so the state has no axis of
devices, and both ways share data, checkpoints and sampling.
"""

import math
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gan_jax.base.errors import UserError

#: The values of config.parallel.
WAYS = ('jit', 'pmap')
#: The axis of the mesh over which a batch is split.
AXIS = 'data'


def make_mesh(devices: int | None = None) -> Mesh:
  """A mesh with one axis, 'data', of the first `devices` devices (all by default)."""
  count = devices or jax.device_count()
  if count > jax.device_count():
    raise UserError(f'config.devices={count} but there are {jax.device_count()} devices: set it to 0 for all of them')
  if jax.process_count() > 1 and count != jax.device_count():
    raise UserError(
      f'config.devices={count} but {jax.process_count()} processes must use all of their {jax.device_count()} devices: '
      'set it to 0'
    )
  # The default of axis_types changed between versions of JAX.
  return jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


def one_device() -> Mesh:
  """A mesh of this process's first device, for what is only looked at, or is no business of the others."""
  return jax.make_mesh((1,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:1])


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of an array that every device has in full."""
  return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """The sharding of an array that is split over the devices along one axis."""
  return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def check_batch(mesh: Mesh, what: str, size: int, accumulate: int = 1) -> None:
  """Raises a UserError unless a batch splits evenly over devices and microbatches."""
  if size % (mesh.size * accumulate):
    raise UserError(
      f'{what}={size} does not divide over {mesh.size} devices times {accumulate} microbatches: make it a multiple '
      f'of {mesh.size * accumulate}'
    )


def per_device(step: Callable[..., Any], mesh: Mesh, steps_axis: bool) -> Callable[..., Any]:
  """Turns a step of one device into a step of all devices; both are (state, feed, key) -> (state, metrics). For 'pmap'.

  Args:
    step: gets the share of one device. It must average over the axis 'data', so that all devices have the same state.
    mesh: the devices.
    steps_axis: whether the first axis of the feed's moves is the step of a call.
  """
  moves = PartitionSpec(*(None,) * (1 + steps_axis), AXIS)
  whole = PartitionSpec()
  feed = {'moves': moves, 'store': whole}
  return jax.shard_map(step, mesh=mesh, in_specs=(whole, feed, whole), out_specs=(whole, whole), check_vma=False)


def with_whole_gradients(optimizer: optax.GradientTransformation, mesh: Mesh) -> optax.GradientTransformation:
  """The optimizer for an optimizer state that is divided over the devices.

  Without this, the compiler would divide the backward pass in the same way and send activations between devices.
  """
  whole = lambda tree: jax.lax.with_sharding_constraint(tree, replicated(mesh))

  def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
    updates, state = optimizer.update(whole(gradients), state, whole(params))
    return whole(updates), state

  return optax.GradientTransformation(optimizer.init, update)


def divided(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
  """The sharding along the largest axis that the number of devices divides; if there is none, replicated."""
  axes = [axis for axis, size in enumerate(shape) if size and size % mesh.size == 0]
  return sharded(mesh, max(axes, key=lambda axis: shape[axis])) if axes else replicated(mesh)


def constrain(mesh: Mesh) -> Callable[[Any], Any]:
  """A function that splits the latents, which a compiled step draws, over the devices.

  Without it the latents are replicated, and every device runs the generator on the whole batch.
  """
  return lambda tree: jax.lax.with_sharding_constraint(tree, jax.tree.map(lambda _: sharded(mesh), tree))


def place(mesh: Mesh) -> Callable[..., Any]:
  """A function that puts this process's share of host arrays on the devices, split over the batch B.

  B is axis 1 of (moves, B, ...). For the steps of one call it is axis 2 of (steps, moves, B, ...): call
  `place(mesh)(tree, 2)`.
  """

  def put(tree: Any, axis: int = 1) -> Any:
    sharding = sharded(mesh, axis)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree)

  return put


def replicate(mesh: Mesh) -> Callable[[Any], Any]:
  """A function that puts host arrays on the devices, in full on each. Every process must have the arrays."""
  whole = replicated(mesh)

  def put(x: Any) -> jax.Array:
    if jax.process_count() == 1:
      return jax.device_put(x, whole)
    if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      return jax.random.wrap_key_data(put(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    local = np.asarray(x)
    return jax.make_array_from_callback(local.shape, whole, lambda index: local[index])

  return lambda tree: jax.tree.map(put, tree)


def gather(mesh: Mesh) -> Callable[[Any], Any]:
  """A function that gathers divided arrays, so that every device of every process has them in full."""
  return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


class Collective(NamedTuple):
  """One exchange between devices in a compiled program.

  Attributes:
    kind: 'all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all' or 'collective-permute'.
    shapes: the shapes of the arrays that each device gets, such as 'f32[64]'.
    size: the bytes of these arrays.
  """

  kind: str
  shapes: tuple[str, ...]
  size: int


def collectives(compiled: Any) -> list[Collective]:
  """The exchanges between devices in a compiled step. An exchange inside a loop counts once."""
  exchanges = []
  for shapes, kind, start in _COLLECTIVE.findall(compiled.as_text()):
    parts = _SHAPE.findall(shapes)
    if start and kind in ('all-gather', 'collective-permute'):  # (what is sent, what is got, counters of some devices)
      parts = [part for part in parts if part != ('u32', '')]
      parts = parts[len(parts) // 2 :]
    sizes = [_bytes(dtype, dimensions) for dtype, dimensions in parts]
    exchanges.append(Collective(kind, tuple(f'{dtype}[{dimensions}]' for dtype, dimensions in parts), sum(sizes)))
  return exchanges


_COLLECTIVE = re.compile(
  r'= (\S+|\(.*?\)) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\('
)
_SHAPE = re.compile(r'(pred|[a-z]+\d+\w*)\[([\d,]*)\]')


def _bytes(dtype: str, dimensions: str) -> int:
  bits = 8 if dtype == 'pred' else int(re.sub(r'\D.*', '', dtype.lstrip('abcdefghijklmnopqrstuvwxyz')))
  return math.prod(int(n) for n in dimensions.split(',') if n) * bits // 8


def compile_once(function: Callable[..., Any], out_shardings: Any = None) -> Any:
  """`jax.jit` for a function that runs once, such as the initialisation of weights: it saves compile time.

  On a CPU it compiles at a lower LLVM optimization level. For the DCGAN of 8x8 digits, initialisation compiled three
  times faster, with the same bits. A level in XLA_FLAGS is left as it is.

  Args:
    function: a function of arrays.
    out_shardings: the shardings of its results; by default they follow from its arguments.
  """
  chosen = 'xla_backend_optimization_level' in os.environ.get('XLA_FLAGS', '')
  quick = {'xla_backend_optimization_level': 1} if jax.default_backend() == 'cpu' and not chosen else None
  return jax.jit(function, out_shardings=out_shardings, compiler_options=quick)


def compile_step(step: Callable[..., Any], mesh: Mesh, state: Any = None) -> Any:
  """The step under `jax.jit`. It donates the state; outputs get the shardings of the inputs, so it compiles only once.

  Args:
    step: (state, feed, key) -> (state, metrics).
    mesh: the devices.
    state: the shardings of the state; by default it is whole on every device.
  """
  whole = replicated(mesh)
  # Without keep_unused, an entry of the state that the step only overwrites would not be donated.
  return jax.jit(step, donate_argnums=0, keep_unused=True, out_shardings=(whole if state is None else state, whole))
