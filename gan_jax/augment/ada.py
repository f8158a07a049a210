"""The pipeline of adaptive augmentation: six groups of transformations, each applied to each example by chance.

They are blitting (mirroring, turns by 90 degrees, shifts by whole pixels), geometry (scaling, rotation, shifts by parts
of a pixel), colour, filtering of bands of frequencies, noise and cutout. While the chance is below 1 a generator does
not learn to make augmented pictures (they do not "leak").

Source: Karras et al. 2020 (ADA), https://arxiv.org/abs/2006.06676, appendix B and figure 20; the authors' code
(NVlabs/stylegan2-ada-pytorch: `training/augment.py`).
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.axes import check_channels_last
from gan_jax.base.errors import UserError, one_of
from gan_jax.base.precision import full_precision
from gan_jax.nets.layers.filters import enlarged, filtered

GROUPS = ('blit', 'geometry', 'colour', 'filter', 'noise', 'cutout')
#: The authors' default, `bgc`.
USUAL = GROUPS[:3]

#: Low-pass filters of wavelets: sym6 around resampling, sym2 for the bands (Daubechies 1992).
SYM6 = (
  0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
  0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
  0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
#: How strong the four bands of frequencies usually are, the lowest first.
POWER = np.array([10, 1, 1, 1], np.float32) / 13
#: Pixels of the picture's mirror image around it, while it is resampled; those outside are found by turning back.
BORDER, KEPT = 6, 3


class _Chance(NamedTuple):
  """Draws for each example whether and how it is changed."""

  key: jax.Array
  batch: int
  probability: jax.Array

  def on(self, number: int) -> '_Chance':
    return self._replace(key=jax.random.fold_in(self.key, number))

  def uniform(self, width: int = 1) -> jax.Array:
    """(B, width), from -1 to 1."""
    return jax.random.uniform(jax.random.fold_in(self.key, 0), (self.batch, width), jnp.float32, -1.0, 1.0)

  def normal(self, width: int = 1) -> jax.Array:
    """(B, width)."""
    return jax.random.normal(jax.random.fold_in(self.key, 0), (self.batch, width), jnp.float32)

  def choice(self, count: int) -> jax.Array:
    """(B, 1), whole numbers below `count`, as floats."""
    return jax.random.randint(jax.random.fold_in(self.key, 0), (self.batch, 1), 0, count, jnp.int32).astype(jnp.float32)

  def maybe(self, changed: jax.Array, otherwise: float, probability: jax.Array | None = None) -> jax.Array:
    """`changed` (B, ...) where an example is changed, else the number that changes nothing."""
    chance = self.probability if probability is None else probability
    hit = jax.random.bernoulli(jax.random.fold_in(self.key, 1), jnp.clip(chance, 0.0, 1.0), (self.batch, 1))
    return jnp.where(hit, changed, jnp.float32(otherwise))


def check_groups(groups: Sequence[str]) -> None:
  """Raises a UserError if one of the groups of transformations is unknown."""
  for name in groups:
    if name not in GROUPS:
      raise one_of('group of adaptive augmentation', name, GROUPS)


def adaptive(
  key: jax.Array, images: jax.Array, probability: jax.Array | float, groups: Sequence[str] = USUAL
) -> jax.Array:
  """The augmentations of ADA.

  Args:
    key: a PRNG key.
    images: (B, H, W, C) in [-1, 1].
    probability: p, of each transformation, a scalar, such as `adapted` returns.
    groups: those of `GROUPS` that are applied, in their order there. The authors' names of choices are initials: 'bgc',
      their default and ours, is blit, geometry and colour.

  Raises:
    UserError: a group is unknown.

  >>> x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  >>> bool((adaptive(jax.random.key(1), x, 0.0, GROUPS) == x).all())
  True
  """
  check_groups(groups)
  check_images(images)
  batch, height, width, _ = images.shape
  chance = _Chance(key, batch, jnp.asarray(probability, jnp.float32))
  x = full_precision(images)
  inverse = jnp.broadcast_to(jnp.eye(3, dtype=jnp.float32)[None], (batch, 3, 3))
  if 'blit' in groups:
    inverse = _blit(chance.on(0), inverse, height, width)
  if 'geometry' in groups:
    inverse = _geometry(chance.on(1), inverse, height, width)
  if 'geometry' in groups:
    same = (inverse == jnp.eye(3, dtype=jnp.float32)[None]).all((1, 2))
    x = jnp.where(same[:, None, None, None], x, warped(x, inverse))
  elif 'blit' in groups:
    x = moved(x, inverse)  # whole pixels need no filter
  for number, (name, change) in enumerate(CHANGES.items(), 2):
    if name in groups:
      x = change(chance.on(number), x)
  return x.astype(images.dtype)


def check_images(images: jax.Array) -> None:
  """Raises a UserError if they are not pictures (B, H, W, C) of floats: bytes would wrap around or be cut off."""
  if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
    raise UserError(
      f'images of shape {images.shape} and dtype {images.dtype}: give floats (B, H, W, C), of bytes images / 127.5 - 1'
    )
  check_channels_last(images.shape)


def _matrix(*rows: Sequence[jax.Array | float]) -> jax.Array:
  """(B, 3, 3) of entries (B, 1) or numbers; the last row is 0, 0, 1."""
  some = next(entry for row in rows for entry in row if not isinstance(entry, float))
  whole = [[jnp.broadcast_to(jnp.asarray(e, jnp.float32), some.shape) for e in row] for row in (*rows, (0.0, 0.0, 1.0))]
  return jnp.stack([jnp.concatenate(row, -1) for row in whole], 1)


def _after(inverse: jax.Array, *rows: Sequence[jax.Array | float]) -> jax.Array:
  """The inverse of a transformation that follows: exact products, for they move pixels."""
  return jnp.matmul(inverse, _matrix(*rows), precision=jax.lax.Precision.HIGHEST)


def _rotation(angle: jax.Array) -> tuple[Sequence[jax.Array | float], ...]:
  """Rows of the inverse of a rotation."""
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  return (cos, -sin, 0.0), (sin, cos, 0.0)


def _blit(chance: _Chance, inverse: jax.Array, height: int, width: int) -> jax.Array:
  mirror = chance.on(0)
  inverse = _after(inverse, (1 - 2 * mirror.maybe(mirror.choice(2), 0), 0.0, 0.0), (0.0, 1.0, 0.0))
  if height == width:
    turn = chance.on(1)
    quarter = turn.maybe(turn.choice(4), 0)
    cos, sin = jnp.round(jnp.cos(quarter * (math.pi / 2))), jnp.round(jnp.sin(quarter * (math.pi / 2)))
    inverse = _after(inverse, (cos, -sin, 0.0), (sin, cos, 0.0))
  shift = chance.on(2)
  moved = shift.maybe(shift.uniform(2) / 8, 0) * jnp.array([[width, height]], jnp.float32)
  return _after(inverse, (1.0, 0.0, -jnp.round(moved[:, :1])), (0.0, 1.0, -jnp.round(moved[:, 1:])))


def _geometry(chance: _Chance, inverse: jax.Array, height: int, width: int) -> jax.Array:
  scale, first, stretch, second, shift = (chance.on(i) for i in range(5))
  factor = 1 / scale.maybe(jnp.exp2(0.2 * scale.normal()), 1)
  inverse = _after(inverse, (factor, 0.0, 0.0), (0.0, factor, 0.0))
  # A rotation before the stretching or one after it has the probability p.
  half = 1 - jnp.sqrt(jnp.clip(1 - chance.probability, 0.0, 1.0))
  inverse = _after(inverse, *_rotation(first.maybe(math.pi * first.uniform(), 0, half)))
  factor = stretch.maybe(jnp.exp2(0.2 * stretch.normal()), 1)
  inverse = _after(inverse, (1 / factor, 0.0, 0.0), (0.0, factor, 0.0))
  inverse = _after(inverse, *_rotation(second.maybe(math.pi * second.uniform(), 0, half)))
  moved = shift.maybe(shift.normal(2) / 8, 0) * jnp.array([[width, height]], jnp.float32)
  return _after(inverse, (1.0, 0.0, -moved[:, :1]), (0.0, 1.0, -moved[:, 1:]))


def _places(inverse: jax.Array, sides: Sequence[int], grids: Sequence[jax.Array]) -> list[jax.Array]:
  """Columns and rows (B, h, w) in a picture of these sides, width first, of places in pixels from the middle."""
  entry = lambda i, j: inverse[:, i, j][:, None, None]
  across, down = grids[0][None, None], grids[1][None, :, None]
  return [entry(i, 0) * across + entry(i, 1) * down + entry(i, 2) + (n - 1) / 2 for i, n in enumerate(sides)]


def moved(x: jax.Array, inverse: jax.Array) -> jax.Array:
  """`warped` by a map that brings pixels onto pixels, at most one side away: exact, and faster."""
  batch, height, width, channels = x.shape
  grid = lambda n: jnp.arange(n, dtype=jnp.float32) - (n - 1) / 2
  column, row = (
    (n - 1) - jnp.abs((n - 1) - jnp.abs(jnp.round(place).astype(jnp.int32)))
    for n, place in zip((width, height), _places(inverse, (width, height), (grid(width), grid(height))), strict=True)
  )
  index = (row * width + column).reshape(batch, -1, 1)
  return jnp.take_along_axis(x.reshape(batch, -1, channels), index, 1, mode='clip').reshape(x.shape)


def warped(x: jax.Array, inverse: jax.Array) -> jax.Array:
  """Pictures moved by an affine map, at twice their size between two filters, with their mirror image around them.

  Args:
    x: (B, H, W, C).
    inverse: (B, 3, 3), from a place (x, y, 1) in the result to one in x, in pixels from the middle.

  Returns:
    (B, H, W, C). What lies more than one picture away from x is 0.

  differs: the authors lay the mirror image around the pictures as far as the batch needs it, and filter it with them.
    Here it is filtered three pixels wide; further out the filtered picture is mirrored.
  """
  taps = tuple(tap / sum(SYM6) for tap in SYM6)
  height, width = x.shape[1:3]
  wide = enlarged(jnp.pad(x, ((0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0)), 'reflect'), taps)
  # Places of the result, at twice its size and a border of 6 of these around it, from the middle, in its pixels.
  grid = lambda n: (jnp.arange(2 * n + 12, dtype=jnp.float32) - (n + 5.5) + 0.5) / 2
  places = _places(inverse, (width, height), (grid(width), grid(height)))
  inside = jnp.ones(places[0].shape, jnp.float32)
  for i, n in enumerate((width, height)):
    place = places[i]
    inside *= (place > -n) & (place < 2 * n - 1)
    place = jnp.where(place < -KEPT, -place, jnp.where(place > n - 1 + KEPT, 2 * (n - 1) - place, place))
    places[i] = jnp.clip(2 * (place + BORDER), 0.0, 2.0 * (n + 2 * BORDER) - 1)
  y = _between(wide, *places) * inside[..., None]
  for axis in (1, 2):
    y = filtered(y, taps, axis, (-1, -1), stride=2)
  return y


def _between(x: jax.Array, across: jax.Array, down: jax.Array) -> jax.Array:
  """The bilinear values of x (B, H, W, C) at places (B, h, w) in it, counted in pixels."""
  batch, height, width, channels = x.shape
  flat = x.reshape(batch, height * width, channels)
  left, top = jnp.floor(across), jnp.floor(down)
  total = jnp.zeros((batch, *across.shape[1:], channels), x.dtype)
  for row, vertical in ((top, 1 - (down - top)), (top + 1, down - top)):
    for column, horizontal in ((left, 1 - (across - left)), (left + 1, across - left)):
      # A neighbour beyond the edge has a weight of 0.
      # As integers: float32 cannot count the pixels of a picture of more than 2^24.
      down_to, across_to = (
        jnp.minimum(place.astype(jnp.int32), size - 1) for place, size in ((row, height), (column, width))
      )
      index = (down_to * width + across_to).reshape(batch, -1, 1)
      total += (vertical * horizontal)[..., None] * jnp.take_along_axis(
        flat, index, 1, mode='promise_in_bounds'
      ).reshape(total.shape)
  return total


def _colour(chance: _Chance, x: jax.Array) -> jax.Array:
  """Brightness, contrast, reflection of luma; of colour pictures hue and saturation too."""
  brightness, contrast, flip, hue, saturation = (chance.on(i) for i in range(5))
  row = lambda v: v[:, :, None, None]
  grey = lambda x: x.mean(-1, keepdims=True)
  x = x + row(brightness.maybe(0.2 * brightness.normal(), 0))
  x = x * row(contrast.maybe(jnp.exp2(0.5 * contrast.normal()), 1))
  x = x - 2 * row(flip.maybe(flip.choice(2), 0)) * grey(x)
  if x.shape[-1] == 1:
    return x
  if x.shape[-1] == 3:  # a rotation around the axis of greys
    angle = row(hue.maybe(math.pi * hue.uniform(), 0))
    across = (jnp.roll(x, -2, -1) - jnp.roll(x, -1, -1)) / math.sqrt(3)
    x = x + jnp.sin(angle) * across + (1 - jnp.cos(angle)) * (grey(x) - x)
  return x + (row(saturation.maybe(jnp.exp2(saturation.normal()), 1)) - 1) * (x - grey(x))


@functools.cache
def bands() -> np.ndarray:
  """(4, taps) float32: filters of four bands of frequencies, the lowest first; their sum changes nothing."""
  low = np.array(SYM2)
  high = low * (-1.0) ** np.arange(len(low))
  low, high = (np.convolve(f, f[::-1]) / 2 for f in (low, high))
  bank = np.eye(4, 1)
  for i in range(1, 4):
    spread = np.zeros((4, 2 * bank.shape[1] - 1))
    spread[:, ::2] = bank
    bank = np.stack([np.convolve(f, low) for f in spread])
    middle = (bank.shape[1] - len(high)) // 2
    bank[i, middle : middle + len(high)] += high
  return bank.astype(np.float32)


def _filter(chance: _Chance, x: jax.Array) -> jax.Array:
  """Each band stronger or weaker, the whole as strong as before if the picture is a usual one."""
  gains, same = jnp.ones((x.shape[0], len(POWER)), jnp.float32), jnp.ones((x.shape[0], 1), bool)
  for i in range(len(POWER)):
    own = chance.on(i)
    gain = own.maybe(jnp.exp2(own.normal()), 1)
    same &= gain == 1
    gain = jnp.where(np.arange(len(POWER))[None] == i, gain, jnp.float32(1))
    gains *= gain / jnp.sqrt(jnp.sum(POWER[None] * gain**2, -1, keepdims=True))
  taps = jnp.matmul(gains, bands(), precision=jax.lax.Precision.HIGHEST)
  around = bands().shape[1] // 2
  y = x
  for axis in (1, 2):
    padding = [(0, 0)] * 4
    padding[axis] = (around, around)
    columns = [taps[:, k].reshape(-1, 1, 1, 1) for k in range(taps.shape[1])]
    y = filtered(jnp.pad(y, padding, 'reflect'), columns, axis)
  return jnp.where(same[:, :, None, None], x, y)


def _noise(chance: _Chance, x: jax.Array) -> jax.Array:
  strength = chance.maybe(0.1 * jnp.abs(chance.normal()), 0)[:, :, None, None]
  return x + strength * jax.random.normal(jax.random.fold_in(chance.key, 2), x.shape, jnp.float32)


def _cutout(chance: _Chance, x: jax.Array) -> jax.Array:
  """A rectangle of half the sides around a random place is 0."""
  size, places = chance.maybe(jnp.full((x.shape[0], 1), 0.5, jnp.float32), 0), (chance.uniform(2) + 1) / 2
  inside = lambda n, i: jnp.abs((jnp.arange(n, dtype=jnp.float32)[None] + 0.5) / n - places[:, i : i + 1]) < size / 2
  columns, rows = inside(x.shape[2], 0), inside(x.shape[1], 1)
  return jnp.where((rows[:, :, None] & columns[:, None])[..., None], jnp.float32(0), x)


CHANGES: dict[str, Callable[[_Chance, jax.Array], jax.Array]] = {
  'colour': _colour,
  'filter': _filter,
  'noise': _noise,
  'cutout': _cutout,
}
