"""Reconstruction by latent search, and a comparison of training with held-out examples."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.base.errors import UserError
from gan_jax.base.functions import as_partial, compiled
from gan_jax.metrics.checks import check_count, check_finite


class Inversion(NamedTuple):
  """The best reconstruction of each target.

  Attributes:
    errors: (N,) float32, mean squared error per entry.
    latents: (N, ...), or a dict of such, that give it.
  """

  errors: np.ndarray
  latents: Any


def _is_float(x) -> bool:
  return jnp.issubdtype(jnp.result_type(x), jnp.floating)


def _pixels(x: jax.Array) -> jax.Array:
  return x


@compiled
def _step(generate, features, targets, fixed, state, learning_rate):
  """One step of Adam on all searches at once; each keeps the best latents it has met."""
  free, best, lowest, moments = state

  def errors(free):
    latents = jax.tree.map(lambda x, kept: kept if x is None else x, free, fixed, is_leaf=lambda x: x is None)
    made = features(generate(latents))
    each = jnp.mean((made.astype(jnp.float32) - targets).reshape(len(targets), -1) ** 2, -1)
    return jnp.sum(each), each  # the searches are independent, so the gradient of the sum holds that of each

  gradients, each = jax.grad(errors, has_aux=True)(free)
  better = each < lowest
  column = lambda x: better.reshape(better.shape + (1,) * (x.ndim - 1))
  best = jax.tree.map(lambda new, old: jnp.where(column(new), new, old), free, best)
  updates, moments = optax.adam(learning_rate).update(gradients, moments)
  return optax.apply_updates(free, updates), best, jnp.where(better, each, lowest), moments


def invert(
  generate: Callable[[Any], jax.Array],
  targets: np.ndarray,
  latents: Any,
  *,
  steps: int = 200,
  learning_rate: float = 0.05,
  features: Callable[[jax.Array], jax.Array] = _pixels,
  batch: int = 64,
) -> Inversion:
  r"""Searches the latents that reconstruct each target, with Adam from several starts. The best step of all counts.

  $\min_z \frac1n \|\phi(G(z)) - \phi(x)\|^2$ for each target x.
  Source: Lipton & Tripathi 2017, https://arxiv.org/abs/1702.04782, without their clipping; Metz et al. 2017 (unrolled
  GAN), https://arxiv.org/abs/1611.02163, inference via optimisation. differs: Adam, where they use gradient descent and
  L-BFGS; latents are free to leave the prior's typical set.

  Args:
    generate: latents (B, ...) -> examples (B, ...) float, differentiable, each from its own latents (eval mode). As a
      `jax.tree_util.Partial(apply, variables)` it is compiled once for all variables.
    targets: (N, ...) in the generator's range.
    latents: starts, (restarts, N, ...), or a dict of such, in which integers (labels) stay as they are.
    steps: of Adam.
    learning_rate: of Adam.
    features: examples -> (B, ...), the space of the error; by default the examples themselves.
    batch: searches at a time, restarts included.

  Returns:
    Errors and latents of the best reconstructions.

  Raises:
    UserError: the number of starts is not the number of targets.

  >>> found = invert(lambda z: 2 * z, np.array([[1.0], [3.0]]), np.zeros((1, 2, 1)), steps=400)
  >>> np.round(found.latents, 2).tolist()
  [[0.5], [1.5]]
  """
  restarts, count = jax.tree.leaves(latents)[0].shape[:2]
  if count != len(targets):
    raise UserError(f'{len(targets)} targets, but starts for {count}: give latents of shape (restarts, targets, ...)')
  latents = jax.tree.map(lambda x: np.asarray(x, np.float32) if _is_float(x) else np.asarray(x), latents)
  generate, features = as_partial(generate), as_partial(features)
  size = max(1, batch // restarts)
  results = []
  for start in range(0, count, size):
    rows = np.arange(start, start + size) % count  # a last batch of another size would compile once more
    flat = jax.tree.map(lambda x: jnp.asarray(x[:, rows].reshape(-1, *x.shape[2:])), latents)  # noqa: B023
    free = jax.tree.map(lambda x: x if _is_float(x) else None, flat)
    goal = features(jnp.asarray(targets[rows], jnp.float32)).astype(jnp.float32)
    goal = jnp.tile(goal, (restarts,) + (1,) * (goal.ndim - 1))
    state = (free, free, jnp.full(restarts * size, jnp.inf, jnp.float32), optax.adam(learning_rate).init(free))
    # In Python: a convolution inside a compiled loop is tens of times slower on a CPU. One more pass judges the last.
    for _ in range(steps + 1):
      state = _step(generate, features, goal, flat, state, learning_rate)
    lowest = np.asarray(state[2]).reshape(restarts, size)
    winner = lowest.argmin(0)
    best = jax.tree.map(lambda x, kept: kept if x is None else x, state[1], flat, is_leaf=lambda x: x is None)
    pick = lambda x: np.asarray(x).reshape(restarts, size, *x.shape[1:])[winner, np.arange(size)]  # noqa: B023
    results.append(Inversion(pick(state[2]), jax.tree.map(pick, best)))
  return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)


class Recovery(NamedTuple):
  """Errors of reconstruction of training examples against held-out ones.

  Attributes:
    train: median error of training examples.
    held_out: of held-out ones.
    gap: (held_out - train) / held_out: about 0 without memorisation, towards 1 with it.
    p_value: of a Kolmogorov-Smirnov test that both kinds of error have one distribution.
  """

  train: float
  held_out: float
  gap: float
  p_value: float


def recovery(train_errors: np.ndarray, held_out_errors: np.ndarray) -> Recovery:
  """Compares the reconstruction errors of training and of held-out examples: a test of memorisation.

  Source: Webster et al. 2019, https://arxiv.org/abs/1901.03396, the MRE-gap and KS p-value of their tables.
  differs: the gap keeps its sign.

  Args:
    train_errors: (N,) of `invert` on examples trained on.
    held_out_errors: (M,) on others of the same distribution.

  Raises:
    UserError: a side is empty, or an error is not finite.

  >>> recovery(np.array([1.0, 2.0, 3.0]), np.array([4.0, 4.0, 4.0])).gap
  0.5
  """
  from scipy import stats

  check_count(1, training=train_errors, held_out=held_out_errors)
  check_finite(training=train_errors, held_out=held_out_errors)
  train, held_out = float(np.median(train_errors)), float(np.median(held_out_errors))
  gap = (held_out - train) / held_out if held_out else float('nan')
  return Recovery(train, held_out, gap, float(stats.ks_2samp(train_errors, held_out_errors).pvalue))
