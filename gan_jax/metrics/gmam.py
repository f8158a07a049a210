"""GMAM: two trained games judge each other's generators."""

import math

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.metrics.checks import check_finite


def gmam(own: float, rival_here: float, rival_own: float, own_there: float) -> float:
  r"""The generative multi-adversarial metric: positive if the first game's generator is better than the second's.

  $\log \frac{F^b_{G_a} / F^b_{G_b}}{F^a_{G_b} / F^a_{G_a}}$, where F is the objective of a game's discriminators. F is
  negative; a better generator makes it more negative.
  Source: Durugkar et al. 2016, https://arxiv.org/abs/1611.01673, section 5.1, with the sign changed: there it is
  positive where the second is the better.
  differs: games judge in evaluation, without dropout; the authors' networks have only their form for training.

  Args:
    own: $F^a_{G_a}$, of the first game's discriminators on its own generator.
    rival_here: $F^a_{G_b}$, of them on the second game's generator.
    rival_own: $F^b_{G_b}$.
    own_there: $F^b_{G_a}$.

  Raises:
    UserError: one is not finite, or not below 0.

  >>> round(gmam(-1.0, -0.5, -1.0, -2.0), 4)  # both find the first better, each by a factor of 2: log 4
  1.3863
  """
  objectives = [own, rival_here, rival_own, own_there]
  check_finite(objectives=np.array(objectives))
  if max(objectives) >= 0:
    raise UserError(
      f'gmam of the objectives {objectives}: all must be below 0; at 0 discriminators tell real from generated without '
      'a doubt, and no generator is the better to them: compare other checkpoints'
    )
  return math.log(own_there / rival_own) - math.log(rival_here / own)
