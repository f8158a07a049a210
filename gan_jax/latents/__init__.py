"""Distributions of latents, and paths between latents."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  distributions=['Distribution', 'Label', 'Latents', 'Normal', 'Tags', 'Truncated', 'Uniform', 'draw', 'truncated'],
)
