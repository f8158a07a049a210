"""Networks, a file for each family; their layers are in `layers`."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
