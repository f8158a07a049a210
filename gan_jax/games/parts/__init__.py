"""Parts that several games use: conditions, checks, penalties."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
