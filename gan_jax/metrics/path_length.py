"""Perceptual path length: how fast a generator's output changes along paths of latents."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.functions import as_partial, compiled
from gan_jax.base.seeds import check_seed
from gan_jax.latents.interpolation import interpolate
from gan_jax.metrics.checks import check_finite, mean_error


class PathLength(NamedTuple):
  """Perceptual path length.

  Attributes:
    mean: over the paths that were kept.
    standard_error: of it; NaN for one path.
    median: over all paths.
  """

  mean: float
  standard_error: float
  median: float


@compiled
def _squared_distances(generate: Callable, features: Callable, near: Any, far: Any) -> jax.Array:
  ends = [generate(latents) for latents in (near, far)]
  if not jnp.issubdtype(ends[0].dtype, jnp.floating):
    raise UserError(f'path length of {ends[0].dtype} examples: let `generate` return floats as the network makes them')
  x, y = (features(end).astype(jnp.float32) for end in ends)
  return jnp.sum((x - y).reshape(len(x), -1) ** 2, -1)


def path_length(
  generate: Callable[[Any], jax.Array],
  features: Callable[[jax.Array], jax.Array],
  starts: Any,
  ends: Any,
  *,
  epsilon: float = 1e-4,
  kind: str = 'spherical',
  trim: float = 0.01,
  seed: int = 0,
  batch: int = 64,
) -> PathLength:
  r"""How fast a generator's output moves, in features, along a path of latents, squared: a smooth one moves little.

  $E[d(G(z(t)), G(z(t + \epsilon)))^2 / \epsilon^2]$ with t uniform on [0, 1) and z(t) the path from a start to an end.
  The output must be float as the generator makes it: rounded to uint8, steps this small are 0 or 1 grey level, and the
  figure is noise of rounding.

  Source: Karras et al. 2019 (StyleGAN), https://arxiv.org/abs/1812.04948, section 4.1, and their code, which drops the
  paths below the 1st and above the 99th percentile. differs: d is the Euclidean distance of any features, not LPIPS
  (whose value, a square, stands for d^2); `spherical` keeps the latents' length, which StyleGAN normalises away; no
  picture is cropped.

  Args:
    generate: latents (B, ...) -> examples (B, ...) float; networks in eval mode, noise of its own held fixed. As a
      `jax.tree_util.Partial(apply, variables)` it is compiled once for all variables.
    features: examples -> (B, ...), which takes floats; `lambda x: x` for pixels. It may be a Partial as well.
    starts: (N, ...) latents or a dict of such.
    ends: the same, of other examples.
    epsilon: the step, as a share of the path.
    kind: as `interpolate`.
    trim: share of paths dropped at each end; 0 keeps all.
    seed: of t.
    batch: paths at a time.

  Returns:
    The mean, its standard error and the median, in squared units of the features.

  Raises:
    UserError: there is no such path, the generator rounds, or a distance is not finite.

  >>> z = np.eye(4, dtype=np.float32)
  >>> figure = path_length(lambda z: 3 * z, lambda x: x, z, np.roll(z, 1, 0), kind='linear', trim=0.0)
  >>> round(figure.mean, 1)  # 9 |z1 - z0|^2
  18.0
  """
  count = len(jax.tree.leaves(starts)[0])
  t = np.random.RandomState(check_seed(seed)).rand(count)
  generate, features = as_partial(generate), as_partial(features)
  values = []
  # Steps of 1e-4 vanish in the 10 bits of a fast matrix product.
  with jax.default_matmul_precision('highest'):
    for start in range(0, count, batch):
      # A last batch of another size would compile once more: it is filled up with the first paths.
      rows = np.arange(start, start + batch) % count
      a, b = (jax.tree.map(lambda x: np.asarray(x)[rows], tree) for tree in (starts, ends))  # noqa: B023
      near, far = (interpolate(a, b, t[rows] + step, kind) for step in (0.0, epsilon))
      distances = _squared_distances(generate, features, near, far)
      values.append(np.asarray(distances, np.float64)[: count - start])
  lengths = np.concatenate(values) / epsilon**2
  check_finite(**{'lengths of paths': lengths})
  low = np.percentile(lengths, 100 * trim, method='lower')
  high = np.percentile(lengths, 100 * (1 - trim), method='higher')
  kept = lengths[(lengths >= low) & (lengths <= high)]
  return PathLength(float(kept.mean()), mean_error(kept), float(np.median(lengths)))
