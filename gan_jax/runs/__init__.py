"""From a config to a run on disk: stages, checkpoints, resuming, populations."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
