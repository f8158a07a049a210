"""Interpolation between two latents, along straight lines or arcs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError, one_of


def _column(t: np.ndarray | float, x: np.ndarray) -> np.ndarray:
  t = np.asarray(t, np.float64)
  return t.reshape(t.shape + (1,) * (x.ndim - t.ndim)) if t.ndim else t


def linear(a: np.ndarray, b: np.ndarray, t: np.ndarray | float) -> np.ndarray:
  """Linear interpolation: the point (1 - t) a + t b.

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
  r"""Spherical interpolation from a to b, along an arc. Normal latents keep their typical length on it.

  $\frac{\sin((1 - t)\omega)}{\sin\omega} a + \frac{\sin(t\omega)}{\sin\omega} b$, omega the angle between a and b.
  Source: Shoemake 1985, "Animating rotation with quaternion curves"; for latents White 2016, "Sampling generative
  networks", https://arxiv.org/abs/1609.04468.

  Args:
    a: (B, ...); each example is read as one vector.
    b: the same shape.
    t: 0 to 1, a scalar or (B,).

  Returns:
    (B, ...) float64. Where a and b are parallel, opposite or zero there is no unique arc: the path is a straight line.

  >>> np.round(spherical(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), 0.5), 4).tolist()
  [[0.7071, 0.7071]]
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.ndim < 2 or a.shape != b.shape:
    raise UserError(f'spherical interpolation of shapes {a.shape} and {b.shape}: give batches (B, ...) of one shape')
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
  """Interpolates between two batches of latents.

  Args:
    starts: (B, ...), or a dict of such arrays. Labels and other integers keep the values of the start.
    ends: the same form.
    t: 0 to 1, a scalar or (B,).
    kind: 'spherical' for normal latents, 'linear' for uniform ones and for intermediate spaces.

  Returns:
    The latents, float32, in the form of starts.

  Raises:
    UserError: there is no path of that kind.

  >>> starts = {'z': np.zeros((1, 2)), 'label': np.array([3])}
  >>> path = interpolate(starts, {'z': np.ones((1, 2)), 'label': np.array([5])}, 0.5, 'linear')
  >>> path['z'].tolist(), path['label'].tolist()
  ([[0.5, 0.5]], [3])
  """
  if kind not in PATHS:
    raise one_of('path', kind, PATHS)

  def between(a: Any, b: Any) -> np.ndarray:
    a, b = np.asarray(a), np.asarray(b)
    return PATHS[kind](a, b, t).astype(np.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a

  return jax.tree.map(between, starts, ends)
