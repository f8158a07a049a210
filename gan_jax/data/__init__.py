"""Data: sources of examples, streams of batches, the order of the examples."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__, feed=['Feed'], streams=['Stream'])
