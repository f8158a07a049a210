"""Paths through latent space as pure functions on arrays: walks, 2-D manifolds, one code at a time, arithmetic.

Latents are (count, ...) arrays, or dicts of such arrays. In a dict the functions change one part, 'z', and keep the
others. They return latents for `Run.generate`, with the rows of a picture one after the other.

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
  """One part of a dict of latents or of distributions; latents that are no dict are returned as they are.

  Raises:
    UserError: there is no part of that name.

  >>> part_of({'z': np.zeros((2, 3)), 'label': np.array([1, 2])}).shape, part_of(np.zeros((2, 3))).shape
  ((2, 3), (2, 3))
  """
  if not isinstance(latents, Mapping):
    return latents
  if part not in latents:
    raise one_of('part of the latents', part, latents)
  return latents[part]


def with_part(latents: Any, value: np.ndarray, part: str = 'z') -> Any:
  """The latents with one part replaced.

  >>> with_part({'z': np.zeros(2), 'label': np.array([1, 2])}, np.ones(2))['z'].tolist()
  [1.0, 1.0]
  """
  return {**latents, part: value} if isinstance(latents, Mapping) else value


def repeated(latents: Any, times: int) -> Any:
  """Repeats each example `times` times, copies next to each other.

  >>> repeated(np.array([[1], [2]]), 2).ravel().tolist()
  [1, 1, 2, 2]
  """
  return jax.tree.map(lambda x: np.repeat(np.asarray(x), times, 0), latents)


def walk(starts: Any, ends: Any, steps: int, *, kind: str = 'spherical', part: str = 'z') -> Any:
  """Interpolates from starts to ends in equal steps, both included: one row of `steps` points for each pair.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, figure 4 (straight lines); White 2016,
  https://arxiv.org/abs/1609.04468 (arcs).

  Args:
    starts: (B, ...), or a dict of such arrays.
    ends: the same form, or one end for all.
    steps: points on each path, at least 2.
    kind: 'spherical' for normal latents, 'linear' for uniform ones.
    part: the part of a dict that changes; the others keep the values of the start.

  Returns:
    (B * steps, ...), or a dict of such arrays; the part that changes is float32.

  Raises:
    UserError: the kind or the part does not exist, or has several arrays or whole numbers; there are fewer than 2
      steps, or other numbers of starts and ends.

  >>> walk(np.array([[0.0]]), np.array([[1.0]]), 3, kind='linear').ravel().tolist()
  [0.0, 0.5, 1.0]
  """
  if steps < 2:
    raise UserError(f'steps={steps}: a walk has a start and an end, so give at least 2 steps')
  first, last = np.asarray(_one(starts, part)), np.asarray(_one(ends, part))
  if len(last) not in (1, len(first)):
    raise UserError(f'{len(first)} starts and {len(last)} ends: give an end for each start, or one for all')
  if isinstance(starts, Mapping) and not all(jax.dtypes.issubdtype(x.dtype, np.floating) for x in (first, last)):
    raise UserError(f'part {part!r} has whole numbers, between which is nothing: walk with between_classes')
  points = np.stack([interpolate(first, last, share, kind) for share in np.linspace(0, 1, steps)], 1)
  return with_part(repeated(starts, steps), points.reshape(-1, *points.shape[2:]), part)


def _one(latents: Any, part: str) -> Any:
  """The array of a part."""
  found = part_of(latents, part)
  if isinstance(found, tuple | Mapping):
    raise UserError(f'{part!r} has several arrays, such as those of `Scales`: this works on one, take each for itself')
  return found


def quantiles(distribution: Distribution, shares: np.ndarray) -> np.ndarray:
  """Quantiles of one entry of a distribution (its inverse distribution function).

  Args:
    distribution: `Normal`, `Uniform` or `Truncated`.
    shares: probabilities in (0, 1), any shape.

  Raises:
    UserError: it is another distribution.

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
    f'the quantiles of {type(distribution).__name__} are not known: use Normal, Uniform or Truncated latents'
  )


def manifold(
  distribution: Distribution, side: int, base: Any, *, axes: tuple[int, int] = (0, 1), part: str = 'z'
) -> Any:
  """A square grid over two latent dimensions. Each has `side` values, the middles of equally likely intervals.

  The first dimension rises to the right, the second downwards. Source: Kingma and Welling 2013,
  https://arxiv.org/abs/1312.6114, figure 4: equal steps on the unit square, through the inverse distribution function.

  Args:
    distribution: distribution of the part that changes, of shape (n,), n at least 2.
    side: points on each side.
    base: one example (1, n), or a dict of such arrays; its other entries and parts are kept.
    axes: the two dimensions.
    part: the part of a dict that changes.

  Returns:
    (side * side, n), or a dict of such arrays, row by row.

  Raises:
    UserError: the dimensions do not exist, or the distribution's quantiles are not known.

  >>> np.round(manifold(Normal((2,)), 3, np.zeros((1, 2)))[:3], 2).tolist()
  [[-0.9700000286102295, -0.9700000286102295], [0.0, -0.9700000286102295], [0.9700000286102295, -0.9700000286102295]]
  """
  center = np.asarray(_one(base, part))
  if center.ndim != 2 or len(center) != 1:
    raise UserError(f'the manifold needs one latent vector (1, n) as its base, not {center.shape}')
  if len({*axes} & {*range(center.shape[1])}) != 2:
    raise UserError(
      f'axes={axes}: the latents have {center.shape[1]} dimensions, choose two of 0 to {center.shape[1] - 1}'
    )
  values = quantiles(distribution, (np.arange(side) + 0.5) / side)
  points = np.repeat(center.astype(np.float32), side * side, 0)
  points[:, axes[0]] = np.tile(values, side)
  points[:, axes[1]] = np.repeat(values, side)
  return with_part(repeated(base, side * side), points, part)


def varied(latents: Any, part: str, values: Sequence[float] | np.ndarray, index: int | None = None) -> Any:
  """Changes one code at a time: repeats each example, with one part or one entry of it set to each value in turn.

  Source: Chen et al. 2016 (InfoGAN), https://arxiv.org/abs/1606.03657, figure 2.

  Args:
    latents: a dict of (B, ...) arrays.
    part: the part to change.
    values: (n,) values for it.
    index: the entry to change in a part (B, m); None for a part (B,), such as a label.

  Returns:
    A dict of (B * n, ...) arrays: a row for each example, a column for each value.

  Raises:
    UserError: the part or the entry does not exist.

  >>> varied({'z': np.zeros((1, 2)), 'label': np.array([5])}, 'label', [0, 1, 2])['label'].tolist()
  [0, 1, 2]
  """
  if not isinstance(latents, Mapping):
    raise UserError(f'the latents are one array without named parts: {part!r} cannot be changed on its own')
  if not len(values):
    raise UserError(f'no values for part {part!r}: give at least one')
  rows = repeated(latents, len(values))
  value = part_of(rows, part)
  if value.ndim != (1 if index is None else 2) or (index is not None and not 0 <= index < value.shape[1]):
    raise UserError(f'part {part!r} of shape {value.shape[1:]} has no entry {index}')
  if np.issubdtype(value.dtype, np.integer) and (np.asarray(values) != np.asarray(values, value.dtype)).any():
    raise UserError(f'part {part!r} has whole numbers, not {list(values)}: give such, or walk with between_classes')
  value[..., slice(None) if index is None else index] = np.tile(np.asarray(values), len(value) // len(values))
  return rows


def between_classes(latents: Any, ends: Sequence[int] | np.ndarray, classes: int, steps: int) -> Any:
  """Moves the label of each example to another class, in equal steps of class weights.

  Args:
    latents: a dict with 'label' (B,).
    ends: (B,) the classes at the end.
    classes: number of classes.
    steps: points on each path, both ends included.

  Returns:
    A dict of (B * steps, ...) arrays with 'label' (B * steps, classes). Its rows sum to 1; conditional networks take
    them in place of integer labels.

  >>> path = between_classes({'z': np.zeros((1, 2)), 'label': np.array([0])}, [1], 2, 3)
  >>> path['label'].tolist()
  [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
  """
  table, starts, ends = np.eye(classes, dtype=np.float32), np.asarray(latents['label']), np.asarray(ends)
  for label in (*starts, *ends):
    if not 0 <= label < classes:
      raise UserError(f'class {label} is none of 0 to {classes - 1}')
  return {**repeated(latents, steps), 'label': walk(table[starts], table[ends], steps, kind='linear')}


def chosen(latents: Any, having: np.ndarray, count: int = 3, *, concept: str = 'the concept') -> Any:
  """The latents of the first `count` examples that show a concept, such as a class that a classifier predicts.

  Args:
    latents: (N, ...), or a dict of such arrays.
    having: (N,) boolean, whether an example shows the concept.
    count: number of examples.
    concept: what messages call it.

  Raises:
    UserError: fewer examples show the concept.

  >>> chosen(np.array([[0.0], [1.0], [2.0]]), np.array([False, True, True]), 2).ravel().tolist()
  [1.0, 2.0]
  """
  places = np.flatnonzero(having)[:count]
  if len(places) < count:
    raise UserError(
      f'{len(places)} of {len(having)} samples show {concept}, but {count} are needed: draw more samples, with --count'
    )
  return jax.tree.map(lambda x: np.asarray(x)[places], latents)


def mean(latents: Any, part: str = 'z') -> Any:
  """One example, (1, ...): the mean of one part, and the other parts of the first example.

  >>> middle = mean({'z': np.array([[0.0], [1.0]]), 'label': np.array([7, 8])})
  >>> middle['z'].tolist(), middle['label'].tolist()
  ([[0.5]], [7])
  """
  first = jax.tree.map(lambda x: np.asarray(x)[:1], latents)
  middle = np.asarray(_one(latents, part), np.float64).mean(0).astype(np.float32)
  return with_part(first, middle[None], part)


def arithmetic(a: Any, b: Any, c: Any, *, part: str = 'z') -> Any:
  """Latent arithmetic: mean(a) - mean(b) + mean(c). The other parts are those of c.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 6.3.2 and figure 7: with
  single samples the result is unstable, with means of three it is stable.

  Args:
    a: (n, ...), examples of one concept, or a dict of such arrays.
    b: examples of a second concept.
    c: examples of a third concept.
    part: the part of a dict that changes.

  Returns:
    (1, ...), or a dict of such arrays.

  >>> arithmetic(np.array([[1.0], [3.0]]), np.array([[1.0]]), np.array([[5.0], [6.0]])).tolist()
  [[6.5]]
  """
  of_a, of_b, of_c = (part_of(mean(x, part), part) for x in (a, b, c))
  return with_part(mean(c, part), of_a - of_b + of_c, part)


def around(latents: Any, count: int = 9, *, scale: float = 0.25, seed: int = 0, part: str = 'z') -> Any:
  """Variants of one example: uniform noise on [-scale, scale] is added to each entry. The middle one has no noise.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, figure 7.

  Args:
    latents: (1, ...), or a dict of such arrays.
    count: number of variants; number count // 2 is the example itself.
    scale: size of the noise.
    seed: seed of the noise.
    part: the part of a dict that changes.

  >>> around(np.ones((1, 4)), 9)[4].tolist()
  [1.0, 1.0, 1.0, 1.0]
  """
  rows = repeated(latents, count)
  value = _one(rows, part)
  noise = np.random.RandomState(check_seed(seed)).uniform(-scale, scale, value.shape)
  noise[count // 2] = 0
  return with_part(rows, (value + noise).astype(np.float32), part)
