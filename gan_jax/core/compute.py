"""How a move is computed: microbatches, memory, dtype, devices. One value that goes from the config to the move."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Compute(NamedTuple):
  """How a move is computed. These settings change speed, memory and rounding; other effects are named below.

  Attributes:
    accumulate: the number of microbatches of a batch. Their gradients are averaged, and one update follows. Running
      batch statistics pass from one microbatch to the next. A loss that couples examples sees one microbatch.
    remat: a policy of `jax.checkpoint_policies`, which says what the backward pass keeps; None keeps everything.
    dtype: the dtype of the examples and latents that the game gets. Networks compute in the dtype of their inputs;
      parameters, normalisations and losses stay float32.
    axis_name: the axis of the devices (`jax.pmap`, `jax.shard_map`); None for one program of all devices. On an axis,
      each device plays the same move on its own examples. Gradients, table, running statistics and metrics are
      averaged over the devices. Each device has its own batch statistics and its own noise, and a loss that couples
      examples sees the examples of one device.
  """

  accumulate: int = 1
  remat: Callable[..., bool] | None = None
  dtype: Any = jnp.float32
  axis_name: str | None = None

  def averaged(self, tree: Any) -> Any:
    """The tree with its floats averaged over the devices. Other leaves stay; without an axis all leaves stay."""
    if self.axis_name is None:
      return tree
    mean = lambda x: jax.lax.pmean(x, self.axis_name) if jnp.issubdtype(x.dtype, jnp.inexact) else x
    return jax.tree.map(mean, tree)

  @property
  def parts(self) -> Any:
    """The number of equal parts in which losses see the batch of a move: microbatches, times devices on an axis."""
    return self.accumulate if self.axis_name is None else self.accumulate * jax.lax.psum(1, self.axis_name)

  @property
  def device(self) -> Any:
    """The number of this device on the axis; 0 without one."""
    return 0 if self.axis_name is None else jax.lax.axis_index(self.axis_name)

  def own_key(self, key: jax.Array) -> jax.Array:
    """The PRNG key of this device: on an axis every device gets another one."""
    return key if self.axis_name is None else jax.random.fold_in(key, self.device)

  def cast(self, tree: Any) -> Any:
    """The tree with its floats in `dtype`. Other leaves, such as labels, stay as they are."""
    return jax.tree.map(lambda x: x.astype(self.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def unrolling(jaxpr: Any, length: int) -> int:
  """The `unroll` argument of a `jax.lax.scan` of some length over a traced body: the length, or 1.

  Inside a loop, XLA:CPU computes convolutions whose axes are not in its order, as JAX's adjoints, 60 times slower. So
  on a CPU, a body with such convolutions is unrolled in full, which makes compiling `length` times longer. The layers
  of `gan_jax.nets` have them on a CPU only with several devices, but a network of your own may have them always: so
  this function looks at the traced program.
  """
  return length if jax.default_backend() == 'cpu' and _convolves(jaxpr) else 1


def _convolves(jaxpr: Any) -> bool:
  """Whether a traced program contains convolutions that are slow in loops, at any depth."""
  inner = (
    item for e in jaxpr.eqns for value in e.params.values() for item in (value if type(value) is tuple else [value])
  )
  slow = (e.primitive.name == 'conv_general_dilated' and not _in_order(e.params) for e in jaxpr.eqns)
  return any(slow) or any(_convolves(item) for item in inner if hasattr(item, 'eqns'))


def _in_order(params: dict[str, Any]) -> bool:
  """Whether a convolution is NHWC by HWIO, of all channels, with no zeros between pixels: as in `direct_conv`."""
  left, right, out = params['dimension_numbers']
  axes = len(left) - 2
  ordered = (0, axes + 1, *range(1, axes + 1))
  plain = {*params['lhs_dilation'], params['feature_group_count'], params['batch_group_count']} == {1}
  return plain and tuple(left) == tuple(out) == ordered and tuple(right) == (axes + 1, axes, *range(axes))
