"""The time, for everything that changes with it: fade-in, ramps, noise schedules."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct


class Clock(struct.PyTreeNode):
  """The time of a game.

  Attributes:
    step: steps finished since the start, int32 scalar.
    stage_step: steps finished in this stage.
    stage_length: steps of this stage.
    images: real examples drawn since the start (of the widest stream), float32 scalar.
  """

  step: jax.Array
  stage_step: jax.Array
  stage_length: jax.Array
  images: jax.Array


def read_clock(module: nn.Module) -> Clock:
  """The `Clock`, read inside a method of a game (zeros while the game is being initialised)."""
  if module.is_initializing():
    return Clock(*(jnp.zeros((), jnp.int32),) * 2, jnp.ones((), jnp.int32), jnp.zeros((), jnp.float32))
  clock: Clock | None = module.get_variable('clock', 'now')
  if clock is None:
    raise ValueError('read_clock works in the methods of the game itself: pass what a network needs as an argument')
  return clock


def read_parts(module: nn.Module) -> int:
  """How many equal parts of a move's batch losses see one by one: microbatches times devices that play apart (pmap).

  Read inside a method of a game. A table entry is the mean over the parts, so what counts examples multiplies by it.
  """
  if module.is_initializing():
    return 1
  parts: int = module.get_variable('clock', 'parts')
  return parts
