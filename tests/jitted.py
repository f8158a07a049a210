"""`core.init` and `core.play` as one program each: called as they are, each of their operations is compiled alone."""

import jax

from gan_jax import core


def init(game, optimizers, batch, key, **options):
  return jax.jit(lambda batch, key: core.init(game, optimizers, batch, key, **options))(batch, key)


def play(game, optimizers, turn, state, batch, key, **options):
  move = lambda state, batch, key: core.play(game, optimizers, turn, state, batch, key, **options)
  return jax.jit(move)(state, batch, key)
