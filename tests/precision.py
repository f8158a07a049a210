"""Arithmetic in float64, said in the way that every supported jax knows: jax.enable_x64 came with 0.8."""

import contextlib

import jax


@contextlib.contextmanager
def float64():
  jax.config.update('jax_enable_x64', True)
  try:
    yield
  finally:
    jax.config.update('jax_enable_x64', False)
