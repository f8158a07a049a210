"""Devices and processes: the mesh, what lies where on it, who writes, and how a run is interrupted."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
