"""The training loop and its hooks."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__, loop=['run'])
