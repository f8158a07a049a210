"""Borders of convolutions: what stands beyond the edge of the input.

'SAME'      zeros, so many that the output is the input's size over the stride
'VALID'     nothing: windows stay inside the input
'REFLECT'   the input mirrored at its edge, the edge pixel once; the output has the size of 'SAME'
'EDGE'      the edge pixel repeated
'CIRCULAR'  the input goes on at its other end
pairs       zeros, (before, after) for each spatial axis; a single number stands for a pair
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax.base.errors import one_of

#: The modes of `jnp.pad`.
MODES = {'REFLECT': 'reflect', 'EDGE': 'edge', 'CIRCULAR': 'wrap'}
NAMES = ('SAME', 'VALID', *MODES)
Pads = tuple[tuple[int, int], ...]
Padding = str | Sequence[int | Sequence[int]]


def pads(padding: Padding, axes: int) -> Pads | None:
  """The zeros (before, after) of each axis; None for 'SAME', whose zeros depend on the sizes.

  >>> pads('VALID', 2), pads([1, (0, 2)], 2), pads('SAME', 2)
  (((0, 0), (0, 0)), ((1, 1), (0, 2)), None)
  """
  if isinstance(padding, str):
    if padding not in NAMES:
      raise one_of('padding of a convolution', padding, (*NAMES, 'pairs of numbers'))
    return None if padding == 'SAME' else ((0, 0),) * axes
  pairs = [(entry, entry) if isinstance(entry, int) else tuple(int(n) for n in entry) for entry in padding]
  if len(pairs) != axes or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
    raise ValueError(f'padding={padding} of a convolution over {axes} axes: give (before, after) for each, at least 0')
  return tuple((before, after) for before, after in pairs)


def padded(x: jax.Array, window: Sequence[int], padding: Padding) -> jax.Array:
  """x (B, *spatial, C) with the borders that are no zeros: of (k - 1) // 2 pixels before and k // 2 after for window k.

  >>> padded(jnp.arange(3.0).reshape(1, 3, 1), (3,), 'REFLECT').ravel().tolist()
  [1.0, 0.0, 1.0, 2.0, 1.0]
  """
  if not isinstance(padding, str) or padding not in MODES:
    return x
  borders = [*(((k - 1) // 2, k // 2) for k in window), (0, 0)]
  # Example by example: jax 0.7 pads no batch of an unknown size, which exports have.
  return jax.vmap(lambda one: jnp.pad(one, borders, MODES[padding]))(x)
