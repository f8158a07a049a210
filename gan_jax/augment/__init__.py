"""Augmentation of the discriminator's inputs, real and generated."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  augmentations=['Adaptive', 'DiffAugment', 'adapted', 'adaptive', 'color', 'cutout', 'top_k', 'translation'],
)
