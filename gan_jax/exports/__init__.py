"""A trained generator as a file that works without this library: StableHLO, ONNX, safetensors; and a card."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
