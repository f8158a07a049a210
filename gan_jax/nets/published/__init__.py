"""Weights that other code wrote, as variables of networks here: one file for each layout of names.

Each has `variables_of(tensors, like)`, from {name there: array} to variables of the shapes of `like`.
"""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
