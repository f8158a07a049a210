"""Layers of networks: convolutions, norms, weights, attention, resampling, minibatch layers."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  basic=[
    'BatchNorm',
    'GaussianNoise',
    'Maxout',
    'Standardised',
    'activation',
    'beside',
    'beside_pixels',
    'checked_label',
    'condition',
    'dense',
    'gain_init',
    'head',
    'uniform_init',
  ],
)
