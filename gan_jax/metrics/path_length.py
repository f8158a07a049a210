"""Paths between latents, and perceptual path length: how abruptly a generator's output changes along them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from gan_jax.errors import UserError, one_of
from gan_jax.metrics.checks import check_finite
from gan_jax.seeds import check_seed


def _column(t: np.ndarray | float, x: np.ndarray) -> np.ndarray:
  t = np.asarray(t, np.float64)
  return t.reshape(t.shape + (1,) * (x.ndim - t.ndim)) if t.ndim else t


def linear(a: np.ndarray, b: np.ndarray, t: np.ndarray | float) -> np.ndarray:
  """The point at share t of the straight line from a to b.

  Args:
    a: (B, ...).
    b: the same shape.
    t: 0 to 1, a scalar or (B,).

  Returns:
    (B, ...) float64.

  >>> linear(np.array([[0.0, 2.0]]), np.array([[4.0, 0.0]]), 0.25).tolist()
  [[1.0, 1.5]]
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  return a + _column(t, a) * (b - a)


def spherical(a: np.ndarray, b: np.ndarray, t: np.ndarray | float) -> np.ndarray:
  r"""The point at share t of the arc from a to b: normal latents on it keep their typical length.

  $\frac{\sin((1 - t)\omega)}{\sin\omega} a + \frac{\sin(t\omega)}{\sin\omega} b$, omega the angle between a and b.
  Source: Shoemake 1985, "Animating rotation with quaternion curves"; for latents White 2016, "Sampling generative
  networks", https://arxiv.org/abs/1609.04468.

  Args:
    a: (B, ...), each example a vector.
    b: the same shape.
    t: 0 to 1, a scalar or (B,).

  Returns:
    (B, ...) float64; a straight line where a and b are parallel, opposite or zero, as no one arc joins them.

  >>> np.round(spherical(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), 0.5), 4).tolist()
  [[0.7071, 0.7071]]
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  rows = [x.reshape(len(x), -1) for x in (a, b)]
  lengths = np.linalg.norm(rows[0], axis=1) * np.linalg.norm(rows[1], axis=1)
  cosine = np.sum(rows[0] * rows[1], 1) / np.where(lengths > 0, lengths, 1)
  arc = (lengths > 0) & (1 - np.abs(cosine) > 1e-12)
  angle = np.where(arc, np.arccos(np.clip(cosine, -1, 1)), 1)
  share = np.broadcast_to(t, angle.shape)
  first = np.where(arc, np.sin((1 - share) * angle) / np.sin(angle), 1 - share)
  second = np.where(arc, np.sin(share * angle) / np.sin(angle), share)
  return _column(first, a) * a + _column(second, b) * b


PATHS = {'linear': linear, 'spherical': spherical}


def interpolate(starts: Any, ends: Any, t: np.ndarray | float, kind: str = 'spherical') -> Any:
  """The latents at share t of the way from starts to ends.

  Args:
    starts: (B, ...), or a dict of such; labels and other integers stay those of the start.
    ends: the same.
    t: 0 to 1, a scalar or (B,).
    kind: 'spherical' for normal latents, 'linear' for uniform ones and for intermediate spaces.

  Returns:
    As starts, float32.

  Raises:
    UserError: there is no such path.

  >>> starts = {'z': np.zeros((1, 2)), 'label': np.array([3])}
  >>> path = interpolate(starts, {'z': np.ones((1, 2)), 'label': np.array([5])}, 0.5, 'linear')
  >>> path['z'].tolist(), path['label'].tolist()
  ([[0.5, 0.5]], [3])
  """
  if kind not in PATHS:
    raise one_of('path', kind, PATHS)

  def between(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return PATHS[kind](a, b, t).astype(np.float32) if np.issubdtype(a.dtype, np.floating) else a

  return jax.tree.map(between, starts, ends)


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


@jax.jit
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
  generate, features = (f if isinstance(f, Partial) else Partial(f) for f in (generate, features))
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
  error = float(kept.std() / np.sqrt(len(kept))) if len(kept) > 1 else float('nan')
  return PathLength(float(kept.mean()), error, float(np.median(lengths)))
