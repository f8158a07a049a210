"""Paths through latent space as pure functions on arrays: walks, the 2-D manifold, one code at a time, arithmetic.

Latents are (count, ...) arrays, or dicts of such with one part that moves, 'z'; the other parts are kept. What comes
back is what `Run.generate` takes, several rows of a picture one after the other.

    latents = latent_paths.walk(run.latents(8, seed=0), run.latents(8, seed=1), 9)
    pictures.grid(run.generate(latents), run.range, columns=9)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from scipy import special

from gan_jax.base.errors import UserError, one_of
from gan_jax.base.seeds import check_seed
from gan_jax.latents.distributions import Distribution, Normal, Truncated, Uniform
from gan_jax.latents.interpolation import interpolate


def part_of(latents: Any, part: str = 'z') -> Any:
  """The part of latents, or of their distribution, that moves.

  Raises:
    UserError: there is no such part.

  >>> part_of({'z': np.zeros((2, 3)), 'label': np.array([1, 2])}).shape, part_of(np.zeros((2, 3))).shape
  ((2, 3), (2, 3))
  """
  if not isinstance(latents, Mapping):
    return latents
  if part not in latents:
    raise one_of('part of the latents', part, latents)
  return latents[part]


def with_part(latents: Any, value: np.ndarray, part: str = 'z') -> Any:
  """The latents with another value of the part that moves.

  >>> with_part({'z': np.zeros(2), 'label': np.array([1, 2])}, np.ones(2))['z'].tolist()
  [1.0, 1.0]
  """
  return {**latents, part: value} if isinstance(latents, Mapping) else value


def repeated(latents: Any, times: int) -> Any:
  """Each example so many times in a row.

  >>> repeated(np.array([[1], [2]]), 2).ravel().tolist()
  [1, 1, 2, 2]
  """
  return jax.tree.map(lambda x: np.repeat(np.asarray(x), times, 0), latents)


def walk(starts: Any, ends: Any, steps: int, *, kind: str = 'spherical', part: str = 'z') -> Any:
  """Points at equal shares of the ways from starts to ends, both included: one row of `steps` points per pair.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, figure 4 (straight lines); White 2016,
  https://arxiv.org/abs/1609.04468 (arcs).

  Args:
    starts: (B, ...), or a dict of such.
    ends: the same.
    steps: points of each way, at least 2.
    kind: 'spherical' for normal latents, 'linear' for uniform ones.
    part: of dicts, the one that moves; the others stay those of the start.

  Returns:
    (B * steps, ...), or a dict of such; what moves is float32.

  Raises:
    UserError: there is no such path or part, or fewer than 2 steps.

  >>> walk(np.array([[0.0]]), np.array([[1.0]]), 3, kind='linear').ravel().tolist()
  [0.0, 0.5, 1.0]
  """
  if steps < 2:
    raise UserError(f'a walk of {steps} steps: it has a start and an end, ask for at least 2')
  first, last = part_of(starts, part), part_of(ends, part)
  points = np.stack([interpolate(first, last, share, kind) for share in np.linspace(0, 1, steps)], 1)
  return with_part(repeated(starts, steps), points.reshape(-1, *points.shape[2:]), part)


def quantiles(distribution: Distribution, shares: np.ndarray) -> np.ndarray:
  """The values below which such shares of each entry of a distribution lie.

  Args:
    distribution: `Normal`, `Uniform` or `Truncated`.
    shares: any shape, in (0, 1).

  Raises:
    UserError: another distribution.

  >>> quantiles(Uniform((2,), -1.0, 3.0), np.array([0.25, 0.5])).tolist()
  [0.0, 1.0]
  """
  shares = np.asarray(shares, np.float64)
  if isinstance(distribution, Normal):
    return special.ndtri(shares)
  if isinstance(distribution, Uniform):
    return distribution.low + shares * (distribution.high - distribution.low)
  if isinstance(distribution, Truncated):
    below = special.ndtr(-distribution.threshold)
    return special.ndtri(below + shares * (1 - 2 * below))
  raise UserError(
    f'quantiles of {type(distribution).__name__} are not known: take Normal, Uniform or Truncated latents'
  )


def manifold(
  distribution: Distribution, side: int, base: Any, *, axes: tuple[int, int] = (0, 1), part: str = 'z'
) -> Any:
  """A square of two latent dimensions, at the middles of `side` equally likely intervals of each.

  The first axis rises to the right, the second downwards. Source: Kingma and Welling 2013,
  https://arxiv.org/abs/1312.6114, figure 4: equal steps on the unit square, through the inverse distribution function.

  Args:
    distribution: of the part that moves, with entries (n,), n at least 2.
    side: points on each side.
    base: one example (1, n), or a dict of such, whose other entries and parts are kept.
    axes: the two dimensions.
    part: of dicts, the one that moves.

  Returns:
    (side * side, n), or a dict of such, row by row.

  Raises:
    UserError: there are no such dimensions, or the distribution's quantiles are not known.

  >>> np.round(manifold(Normal((2,)), 3, np.zeros((1, 2)))[:3], 2).tolist()
  [[-0.9700000286102295, -0.9700000286102295], [0.0, -0.9700000286102295], [0.9700000286102295, -0.9700000286102295]]
  """
  center = np.asarray(part_of(base, part))
  if center.ndim != 2 or len(center) != 1:
    raise UserError(f'the manifold turns around one vector of latents (1, n), not {center.shape}')
  if len({*axes} & {*range(center.shape[1])}) != 2:
    raise UserError(f'axes={axes} of {center.shape[1]} latent dimensions: name two of 0 to {center.shape[1] - 1}')
  values = quantiles(distribution, (np.arange(side) + 0.5) / side)
  points = np.repeat(center.astype(np.float32), side * side, 0)
  points[:, axes[0]] = np.tile(values, side)
  points[:, axes[1]] = np.repeat(values, side)
  return with_part(repeated(base, side * side), points, part)


def varied(latents: Any, part: str, values: Sequence[float] | np.ndarray, index: int | None = None) -> Any:
  """One code at a time: each example with one part, or one entry of it, set to each value in turn.

  Source: Chen et al. 2016 (InfoGAN), https://arxiv.org/abs/1606.03657, figure 2.

  Args:
    latents: a dict of (B, ...).
    part: what varies.
    values: (n,).
    index: the entry of a part (B, m); None for a part (B,), such as a label.

  Returns:
    A dict of (B * n, ...): a row per example, a column per value.

  Raises:
    UserError: there is no such part or entry.

  >>> varied({'z': np.zeros((1, 2)), 'label': np.array([5])}, 'label', [0, 1, 2])['label'].tolist()
  [0, 1, 2]
  """
  if not isinstance(latents, Mapping):
    raise UserError(f'the latents have no parts: {part!r} cannot vary by itself')
  rows = repeated(latents, len(values))
  value = part_of(rows, part)
  if value.ndim != (1 if index is None else 2) or (index is not None and not 0 <= index < value.shape[1]):
    raise UserError(f'part {part!r} of shape {value.shape[1:]} has no entry {index} to vary')
  value[..., slice(None) if index is None else index] = np.tile(np.asarray(values), len(value) // len(values))
  return rows


def between_classes(latents: Any, ends: Sequence[int] | np.ndarray, classes: int, steps: int) -> Any:
  """Each example with its label moving to another in equal shares, which conditional networks take for a label.

  Args:
    latents: a dict with 'label' (B,).
    ends: (B,) the classes to go to.
    classes: how many there are.
    steps: points of each way, both ends included.

  Returns:
    A dict of (B * steps, ...) with 'label' (B * steps, classes), rows that sum to 1.

  >>> path = between_classes({'z': np.zeros((1, 2)), 'label': np.array([0])}, [1], 2, 3)
  >>> path['label'].tolist()
  [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
  """
  table = np.eye(classes, dtype=np.float32)
  return {
    **repeated(latents, steps),
    'label': walk(table[np.asarray(latents['label'])], table[np.asarray(ends)], steps, kind='linear'),
  }


def chosen(latents: Any, having: np.ndarray, count: int = 3) -> Any:
  """The latents of the first examples that have a concept, such as those in which a classifier sees a class.

  Args:
    latents: (N, ...), or a dict of such.
    having: (N,) boolean.
    count: how many.

  Raises:
    UserError: fewer have it.

  >>> chosen(np.array([[0.0], [1.0], [2.0]]), np.array([False, True, True]), 2).ravel().tolist()
  [1.0, 2.0]
  """
  places = np.flatnonzero(having)[:count]
  if len(places) < count:
    raise UserError(
      f'{len(places)} of {len(having)} samples have the concept, {count} are wanted: look at more samples'
    )
  return jax.tree.map(lambda x: np.asarray(x)[places], latents)


def mean(latents: Any, part: str = 'z') -> Any:
  """One example, (1, ...): the mean of what moves; the other parts are the first example's.

  >>> middle = mean({'z': np.array([[0.0], [1.0]]), 'label': np.array([7, 8])})
  >>> middle['z'].tolist(), middle['label'].tolist()
  ([[0.5]], [7])
  """
  first = jax.tree.map(lambda x: np.asarray(x)[:1], latents)
  middle = np.asarray(part_of(latents, part), np.float64).mean(0).astype(np.float32)
  return with_part(first, middle[None], part)


def arithmetic(a: Any, b: Any, c: Any, *, part: str = 'z') -> Any:
  """mean(a) - mean(b) + mean(c): what tells a from b, put into c, whose other parts are kept.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 6.3.2 and figure 7: of single samples the
  result is unstable, of the mean of three it is not.

  Args:
    a: (n, ...) examples of a concept, or a dict of such.
    b: the same of another.
    c: the same of a third.
    part: of dicts, the one that moves.

  Returns:
    (1, ...), or a dict of such.

  >>> arithmetic(np.array([[1.0], [3.0]]), np.array([[1.0]]), np.array([[5.0], [6.0]])).tolist()
  [[6.5]]
  """
  of_a, of_b, of_c = (part_of(mean(x, part), part) for x in (a, b, c))
  return with_part(mean(c, part), of_a - of_b + of_c, part)


def around(latents: Any, count: int = 9, *, scale: float = 0.25, seed: int = 0, part: str = 'z') -> Any:
  """One example in the middle of others that differ from it by noise, uniform on [-scale, scale] in each entry.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, figure 7.

  Args:
    latents: (1, ...), or a dict of such.
    count: how many in all; number count // 2 is the example itself.
    scale: of the noise.
    seed: of the noise.
    part: of dicts, the one that moves.

  >>> around(np.ones((1, 4)), 9)[4].tolist()
  [1.0, 1.0, 1.0, 1.0]
  """
  rows = repeated(latents, count)
  value = part_of(rows, part)
  noise = np.random.RandomState(check_seed(seed)).uniform(-scale, scale, value.shape)
  noise[count // 2] = 0
  return with_part(rows, (value + noise).astype(np.float32), part)
