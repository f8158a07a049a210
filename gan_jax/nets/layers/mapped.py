"""What `jax.vmap` makes of a convolution whose kernel differs from member to member: no grouped convolution."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

#: `jax.vmap` over at most this many (members of a population) runs the convolutions one by one. A longer axis is one
#: of examples; one by one it would compile slowly.
MOST_ALONE = 32


def ungrouped(
  function: Callable[..., jax.Array], many: Callable[..., jax.Array] | None, *sizes: Any
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Wraps a function of two arrays, so that `jax.vmap` over both (as over a population) makes no grouped convolution.

  XLA's partitioner copies the whole batch of a grouped convolution to every device, its gradients are slow on GPUs
  (https://github.com/jax-ml/jax/issues/13800), and all of it on CPUs.

  Args:
    function: a, b, *sizes -> result.
    many: does the same, and is mapped over both in its place; None to call `function` once for each member.
    *sizes: their other arguments.
  """
  batched = jax.custom_batching.custom_vmap(lambda a, b: function(a, b, *sizes))

  @batched.def_vmap
  def rule(size: int, in_batched: Sequence[bool], a: jax.Array, b: jax.Array) -> tuple[jax.Array, bool]:
    if all(in_batched) and many is None and size <= MOST_ALONE:
      return jnp.stack([batched(a[i], b[i]) for i in range(size)]), True
    axes = [0 if is_batched else None for is_batched in in_batched]
    chosen = many if many and all(in_batched) else function
    return jax.vmap(lambda a, b: chosen(a, b, *sizes), axes)(a, b), True

  return batched
