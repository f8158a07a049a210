"""How a move is computed: one value, passed whole from the config to the move."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Compute(NamedTuple):
  """How a move is computed. It changes speed, memory and rounding, not what is computed; exceptions are named.

  Attributes:
    accumulate: microbatches that a batch is split into. Gradients are averaged before the one update; batch statistics
      pass from one microbatch to the next; losses that couple examples see one microbatch.
    remat: what the backward pass keeps, a policy of `jax.checkpoint_policies`; None keeps everything.
    dtype: of the examples and latents that a game is given. Networks compute in the dtype of what they are given;
      parameters, normalisations and losses stay float32.
    axis_name: of the devices that play the same move on their own examples each (`jax.pmap`, `jax.shard_map`).
      Gradients, table, running statistics and metrics are averaged over them; batch statistics and losses that couple
      examples are each device's own. Noise differs between them.
  """

  accumulate: int = 1
  remat: Callable[..., bool] | None = None
  dtype: Any = jnp.float32
  axis_name: str | None = None

  def averaged(self, tree: Any) -> Any:
    """The mean over devices of the real numbers of a tree; all else, and without an axis everything, as it is."""
    if self.axis_name is None:
      return tree
    mean = lambda x: jax.lax.pmean(x, self.axis_name) if jnp.issubdtype(x.dtype, jnp.inexact) else x
    return jax.tree.map(mean, tree)

  @property
  def parts(self) -> Any:
    """How many equal parts of a move's batch losses see one by one: microbatches times devices with an axis."""
    return self.accumulate if self.axis_name is None else self.accumulate * jax.lax.psum(1, self.axis_name)

  @property
  def device(self) -> Any:
    """The number of this device on the axis; 0 without one."""
    return 0 if self.axis_name is None else jax.lax.axis_index(self.axis_name)

  def own_key(self, key: jax.Array) -> jax.Array:
    """A key of this device's own."""
    return key if self.axis_name is None else jax.random.fold_in(key, self.device)

  def cast(self, tree: Any) -> Any:
    """The real numbers of a tree in `dtype`; what are not, such as labels, as they were."""
    return jax.tree.map(lambda x: x.astype(self.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def unrolling(jaxpr: Any, length: int) -> int:
  """How far to unroll a scan of some length over a traced body.

  XLA:CPU computes its convolutions inside loops on a path 60 times slower, so there a body that holds any is written
  out in full, which takes as many times longer to compile. The layers of `nets` need it on several CPU devices only,
  but the networks of others may have convolutions from elsewhere: what counts is what was traced.
  """
  return length if jax.default_backend() == 'cpu' and _convolves(jaxpr) else 1


def _convolves(jaxpr: Any) -> bool:
  """Whether a traced program holds convolutions of XLA's own, at any depth."""
  inner = (
    item for e in jaxpr.eqns for value in e.params.values() for item in (value if type(value) is tuple else [value])
  )
  return any(e.primitive.name == 'conv_general_dilated' for e in jaxpr.eqns) or any(
    _convolves(item) for item in inner if hasattr(item, 'eqns')
  )
