"""Optimizers of games: links of optax, dynamics of the joint gradient, running averages."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
