"""Latents that stay as they were drawn first: SinGAN's z* of the reconstruction, the grid that a loss looks at."""

from typing import Any

import flax.linen as nn

from gan_jax.latents.distributions import Latents, draw


def fixed_latents(game: nn.Module, name: str, distribution: Latents, count: int = 1) -> Any:
  """Latents that are drawn when the run begins and kept in the game's `table`; call it in `setup`.

  Source: Shaham et al. 2019 (SinGAN), https://arxiv.org/abs/1905.01164, section 2.2.

  Args:
    game: the game, in its `setup`.
    name: of the variable.
    distribution: of the latents.
    count: how many.

  Returns:
    The variable; its `value` is (count, ...), or a tree of such. It depends on the run's seed.
  """
  return game.variable('table', name, lambda: draw(distribution, game.make_rng('params'), count))
