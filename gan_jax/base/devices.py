"""Arrays inside `jax.shard_map` with check_vma=True: over which axes of the mesh their values differ."""

import jax


def axes_of(x: jax.Array) -> frozenset[str]:
  """The axes of the mesh over which x differs from device to device; none outside `jax.shard_map`."""
  of = jax.typeof(x)
  known = getattr(of, 'manual_axis_type', None)
  return frozenset(getattr(of, 'vma', ()) if known is None else known.varying)  # vma: jax before 0.10


def varying_alike(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Both, so that they differ over the same axes of the mesh, as a `jax.custom_vjp` of them needs.

  The gradient of one that was the same on all devices is then summed over them, as that of jax's own functions is.

  >>> [x.shape for x in varying_alike(jax.numpy.ones(2), jax.numpy.ones(3))]
  [(2,), (3,)]
  """
  return _varying(a, axes_of(b)), _varying(b, axes_of(a))


def _varying(x: jax.Array, axes: frozenset[str]) -> jax.Array:
  more = tuple(axes - axes_of(x))
  if not more:
    return x
  pvary = getattr(jax.lax, 'pvary', None)  # early versions of jax have only it, later ones only pcast
  return pvary(x, more) if pvary else jax.lax.pcast(x, more, to='varying')
