"""Optimizers of games: optax transformations (`minimax`, `weights`), rules for moves at once (`dynamics`), averages."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
