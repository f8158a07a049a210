"""The defence by a GAN: what the generator can make that is nearest to an example takes the example's place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.attacks.checks import check_count
from gan_jax.base.errors import UserError
from gan_jax.metrics import inversion


def project(
  generate: Callable[[Any], jax.Array],
  x: np.ndarray,
  latents: np.ndarray,
  *,
  steps: int = 200,
  learning_rate: float = 0.05,
  batch: int = 500,
) -> np.ndarray:
  r"""Projects examples onto the range of a generator: $G(z^*)$, $z^* = \arg\min_z \|G(z) - x\|_2^2$.

  Source: Samangouei et al. 2018 (Defense-GAN), https://arxiv.org/abs/1805.06605, section 3.1, with their 200 steps;
  they take 10 restarts. differs: Adam, where they descend with momentum (`metrics.inversion.invert`).

  Args:
    generate: latents (B, ...) -> examples (B, ...) in the range of x, in eval mode, differentiable; as a
      `jax.tree_util.Partial(apply, variables)` it is compiled once for all variables.
    x: (N, ...), clean or adversarial.
    latents: starts, (restarts, N, ...), drawn from the generator's distribution.
    steps: of Adam from each start.
    learning_rate: of Adam.
    batch: searches at a time, restarts included.

  Returns:
    (N, ...) numpy: what a classifier is shown in place of x. To attack both at once needs other ways than its
    gradient: Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 5.4.

  Raises:
    UserError: there is not a start per example, the generator makes another shape, or examples are no finite floats.

  >>> line = lambda z: jnp.concatenate([z, z], -1)
  >>> project(line, np.array([[0.0, 1.0]]), np.zeros((1, 1, 1)), steps=300).round(2).tolist()
  [[0.5, 0.5]]
  """
  check_count(steps=steps, batch=batch)
  x = np.asarray(x)
  if not jnp.issubdtype(x.dtype, jnp.floating) or not np.isfinite(np.asarray(x, np.float32)).all():
    raise UserError(
      f'examples are {x.dtype}, or not all are finite: scale them to floats in the range of the generator'
    )
  if np.ndim(latents) < 3:
    raise UserError(f'latents have the shape {np.shape(latents)}: give (restarts, {len(x)}, ...)')
  one = jnp.zeros((len(x), *np.shape(latents)[2:]))
  made = jax.eval_shape(generate, one).shape
  if made[1:] != np.shape(x)[1:]:
    raise UserError(
      f'the generator makes examples of shape {made[1:]}, to project are {np.shape(x)[1:]}: make them equal'
    )
  found = inversion.invert(generate, x, latents, steps=steps, learning_rate=learning_rate, batch=batch)
  size = max(1, batch)
  parts = [np.asarray(generate(jnp.asarray(found.latents[i : i + size]))) for i in range(0, len(x), size)]
  return np.concatenate(parts)
