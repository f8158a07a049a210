"""Devices, processes and signals: the mesh and its shardings, which process writes, how a run stops."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
