"""Runs of first weights: folders as training leaves them, for tests of what reads them; no step is compiled."""

import jax.numpy as jnp
import pytest

from gan_jax import main
from gan_jax.training import loop


class _Idle:
  """In the place of `calls.Calls`: counts steps and moves nothing."""

  def __init__(self, session, stage, feed):
    pass

  def __call__(self, count, state):
    return state.replace(step=state.step + jnp.asarray(count, state.step.dtype)), {}

  def rates(self):
    return {}

  def restart(self):
    pass


def run(*arguments):
  """`gan_jax.main` with these arguments, whose steps change nothing."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, 'Calls', _Idle)
    main.main(list(arguments))
