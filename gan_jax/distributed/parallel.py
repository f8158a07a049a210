"""Devices: a mesh over the data axis, what lies where on it, and the step compiled for it.

Two ways to be parallel. `jit`: one program of the global batch, which the compiler divides; batch norm sees the whole
batch, and the result does not depend on the number of devices. `pmap`: every device runs the same program on its share
of the batch and averages gradients; batch statistics are each device's own. It is built of `jax.shard_map`, as
`jax.pmap` itself is in newer versions of JAX, so that the state has no axis of devices and both ways share everything
else: data, checkpoints, sampling.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gan_jax.base.errors import UserError

#: What config.parallel may be.
WAYS = ('jit', 'pmap')
#: The axis of the mesh over which a batch is split.
AXIS = 'data'


def make_mesh(devices: int | None = None) -> Mesh:
  """A mesh of one axis, 'data', over the first `devices` devices (all by default)."""
  count = devices or jax.device_count()
  if count > jax.device_count():
    raise UserError(f'config.devices={count} but there are {jax.device_count()}: set it to 0 for all of them')
  if jax.process_count() > 1 and count != jax.device_count():
    raise UserError(
      f'config.devices={count} of the {jax.device_count()} of {jax.process_count()} processes: set it to 0 for all'
    )
  # The default of axis_types changed between versions of JAX.
  return jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """Split over the devices along one axis of the array."""
  return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def check_batch(mesh: Mesh, what: str, size: int, accumulate: int = 1) -> None:
  """Raises a UserError unless a batch splits evenly over devices and microbatches."""
  if size % (mesh.size * accumulate):
    raise UserError(
      f'{what}={size} does not divide over {mesh.size} devices times {accumulate} microbatches: make it a multiple '
      f'of {mesh.size * accumulate}'
    )


def per_device(step: Callable[..., Any], mesh: Mesh, steps_axis: bool) -> Callable[..., Any]:
  """A step of one device's share, (state, feed, key) -> (state, metrics), as one of the whole: 'pmap'.

  Args:
    step: averages over the axis 'data' what it changes, so that the state stays the same on every device.
    mesh: the devices.
    steps_axis: whether the steps of one call are in front of the feed's moves.
  """
  moves = PartitionSpec(*(None,) * (1 + steps_axis), AXIS)
  whole = PartitionSpec()
  feed = {'moves': moves, 'store': whole}
  return jax.shard_map(step, mesh=mesh, in_specs=(whole, feed, whole), out_specs=(whole, whole), check_vma=False)


def with_whole_gradients(optimizer: optax.GradientTransformation, mesh: Mesh) -> optax.GradientTransformation:
  """The same optimizer for a state of it that is divided over the devices.

  Without it the compiler divides the backward pass as the state is, and sends activations about.
  """
  whole = lambda tree: jax.lax.with_sharding_constraint(tree, replicated(mesh))

  def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
    updates, state = optimizer.update(whole(gradients), state, whole(params))
    return whole(updates), state

  return optax.GradientTransformation(optimizer.init, update)


def divided(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
  """An array split over the devices along its largest axis that divides; whole on each if none does."""
  axes = [axis for axis, size in enumerate(shape) if size and size % mesh.size == 0]
  return sharded(mesh, max(axes, key=lambda axis: shape[axis])) if axes else replicated(mesh)


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
  """Puts arrays, which every process has, on the devices, whole on each."""
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
  """Puts arrays that are on the devices whole on each, those of several processes too: then every process has them."""
  return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


class Collective(NamedTuple):
  """One exchange between devices in a compiled program.

  Attributes:
    kind: 'all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all' or 'collective-permute'.
    shapes: of what each device gets, such as 'f32[64]'.
    size: bytes of that.
  """

  kind: str
  shapes: tuple[str, ...]
  size: int


def collectives(compiled: Any) -> list[Collective]:
  """The exchanges between devices in a compiled step, those in a loop once."""
  found = []
  for shapes, kind in _COLLECTIVE.findall(compiled.as_text()):
    parts = _SHAPE.findall(shapes)
    sizes = [_bytes(dtype, dimensions) for dtype, dimensions in parts]
    found.append(Collective(kind, tuple(f'{dtype}[{dimensions}]' for dtype, dimensions in parts), sum(sizes)))
  return found


_COLLECTIVE = re.compile(
  r'= (\S+|\(.*?\)) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\('
)
_SHAPE = re.compile(r'(pred|[a-z]+\d+\w*)\[([\d,]*)\]')


def _bytes(dtype: str, dimensions: str) -> int:
  bits = 8 if dtype == 'pred' else int(re.sub(r'\D.*', '', dtype.lstrip('abcdefghijklmnopqrstuvwxyz')))
  return math.prod(int(n) for n in dimensions.split(',') if n) * bits // 8


def compile_once(function: Callable[..., Any], out_shardings: Any = None) -> Any:
  """`jax.jit` for what runs once, such as the making of weights: soon compiled rather than fast.

  On a CPU the drawing of weights is slow to compile at LLVM's usual level: for the DCGAN of 8x8 digits three times as
  slow as at this one, which gave the same bits.

  Args:
    function: of arrays.
    out_shardings: of its results; by default those of its arguments decide.
  """
  quick = {'xla_backend_optimization_level': 1} if jax.default_backend() == 'cpu' else None
  return jax.jit(function, out_shardings=out_shardings, compiler_options=quick)


def compile_step(step: Callable[..., Any], mesh: Mesh, state: Any = None) -> Any:
  """The step under `jax.jit`: state donated, outputs placed as the inputs are, so that nothing compiles twice.

  Args:
    step: (state, feed, key) -> (state, metrics).
    mesh: the devices.
    state: the shardings of the state; by default it is whole on every device.
  """
  whole = replicated(mesh)
  # keep_unused, or a state entry that the step only overwrites would not be donated.
  return jax.jit(step, donate_argnums=0, keep_unused=True, out_shardings=(whole if state is None else state, whole))
