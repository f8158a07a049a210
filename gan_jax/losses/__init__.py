"""Losses: pure functions on arrays. They do not depend on networks or on training.

The adversarial losses on logits are names of this package. The other losses are in modules: `energy`, `ensembles`,
`features`, `information`, `labels`, `penalties`, `policy`, `reconstruction`.

`losses.minimax` is the saturating loss of GAN 2014, an `AdversarialLoss`. The game is `gan_jax.games.minimax.Minimax`;
the optax links are in `gan_jax.optim.minimax`.

>>> import jax.numpy as jnp
>>> from gan_jax import losses
>>> float(losses.wasserstein.discriminator(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])))
-1.5
>>> float(losses.penalties.drift(jnp.array([1.0, 3.0])))
5.0
"""

from gan_jax.losses import energy, ensembles, features, information, labels, penalties, policy, reconstruction
from gan_jax.losses.adversarial import (
  AdversarialLoss,
  flip,
  generator_value,
  hinge,
  least_squares,
  minimax,
  nonsaturating,
  relativistic,
  relativistic_average,
  relativistic_average_hinge,
  relativistic_average_least_squares,
  relativistic_hinge,
  relativistic_least_squares,
  smoothed,
  targets,
  two_way_softmax,
  value,
  wasserstein,
)

__all__ = [
  'AdversarialLoss',
  'energy',
  'ensembles',
  'features',
  'flip',
  'generator_value',
  'hinge',
  'information',
  'labels',
  'least_squares',
  'minimax',
  'nonsaturating',
  'penalties',
  'policy',
  'reconstruction',
  'relativistic',
  'relativistic_average',
  'relativistic_average_hinge',
  'relativistic_average_least_squares',
  'relativistic_hinge',
  'relativistic_least_squares',
  'smoothed',
  'targets',
  'two_way_softmax',
  'value',
  'wasserstein',
]
