"""Augmentation of the discriminator's inputs, real and generated."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  ada=['adaptive'],
  augmentations=['Adaptive', 'DiffAugment', 'adapted', 'color', 'cutout', 'top_k', 'translation'],
)
