"""The time of a game. Fade-in, ramps and noise schedules depend on it."""

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
    images: real examples drawn since the start, float32 scalar. With several streams: of the one that gives most.
  """

  step: jax.Array
  stage_step: jax.Array
  stage_length: jax.Array
  images: jax.Array


def read_clock(module: nn.Module) -> Clock:
  """The `Clock`. Call it inside a method of a game. While the game is initialised, the times are 0."""
  if module.is_initializing():
    return Clock(*(jnp.zeros((), jnp.int32),) * 2, jnp.ones((), jnp.int32), jnp.zeros((), jnp.float32))
  clock: Clock | None = module.get_variable('clock', 'now')
  if clock is None:
    raise ValueError('read_clock works only in methods of the game: pass the time to a network as an argument')
  return clock


def read_parts(module: nn.Module) -> int:
  """The number of equal parts in which losses see the batch of a move: microbatches, times devices under pmap.

  Call it inside a method of a game. An entry of the table becomes the mean over the parts, so a loss that counts
  examples must multiply its count by this number.
  """
  if module.is_initializing():
    return 1
  parts: int = module.get_variable('clock', 'parts')
  return parts
