"""Pictures made worse: what a network learns to undo. Any set of pictures becomes pairs by a column of these.

    a=dict(name='data.degradations.Degraded', column='image', by=('grey',))
    b=dict(name='Picture', column='image')

Windows and flips are those of the other columns of the example; holes and noise are drawn anew each time.
"""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError, one_of
from gan_jax.data.picture import Picture
from gan_jax.nets.layers.resample import resize

#: Red, green and blue of a grey, ITU-R BT.601, as Pillow's mode L.
LUMA = (0.299, 0.587, 0.114)
#: How much darker a line is than the step of grey that it marks.
CONTRAST = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Degraded(Picture):
  """A `Picture` made worse in one way or several, one after the other.

  Attributes:
    by: of 'grey' (all channels the same), 'edges' (dark lines where grey changes), 'holes' (a square of middle grey at
      a random place), 'blur', 'noise', and 'small' (fewer pixels).
    hole: side of the square, as a share of the picture's.
    sigma: of the blur, pixels.
    noise: standard deviation of the noise, where white less black is 1.
    factor: by which 'small' divides height and width.
  """

  by: tuple[str, ...]
  hole: float = 0.5
  sigma: float = 1.5
  noise: float = 0.1
  factor: int = 4

  title = 'a degraded picture'

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in self.by:
      if name not in WAYS:
        raise one_of('entry in by', name, WAYS)
    if not self.by:
      raise UserError(f'by={self.by} is empty: name what makes the picture worse, of {", ".join(WAYS)}')
    for name, good, words in (
      ('hole', 0 < self.hole < 1, 'between 0 and 1'),
      ('sigma', self.sigma > 0, 'above 0'),
      ('noise', self.noise >= 0, '0 or more'),
    ):
      if not good:
        raise UserError(f'{name}={getattr(self, name)} must be {words}')
    sides = (self.size, self.size) if isinstance(self.size, int) else self.size
    if 'small' in self.by and (self.factor < 1 or any(side % self.factor for side in sides)):
      raise UserError(f'factor={self.factor} must divide size={self.size}')

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """(B, H, W, C) uint8 to (B, h, w, C) float32 in the range, or (B, h / factor, w / factor, C)."""
    low, high = self.range
    x = (super().prepare(batch, key) - low) / (high - low)
    for i, name in enumerate(self.by):
      x = WAYS[name](self, x, jax.random.fold_in(key, 2 + i))
    return x * (high - low) + low


def grey(x: jax.Array) -> jax.Array:
  """(B, H, W, C) to its grey in every channel; opacity stays.

  >>> [round(v, 3) for v in grey(jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3)).ravel().tolist()]
  [0.299, 0.299, 0.299]
  """
  if x.shape[-1] < 3:
    return x
  red, green, blue = (share * x[..., i : i + 1] for i, share in enumerate(LUMA))
  level = red + green + blue
  return jnp.concatenate([level, level, level, x[..., 3:]], -1)


def edges(x: jax.Array) -> jax.Array:
  """(B, H, W, C) to dark lines on white: 1 less twice the largest of each 3x3 window of grey less its middle.

  Opacity stays.

  Source: the outlines of CoGAN's code, as in `data.sources.transformed`, turned over as in pix2pix's sets.
  """
  colours = 1 if x.shape[-1] == 2 else min(x.shape[-1], 3)
  level = grey(x[..., :colours])
  lines = 1.0 - jnp.minimum(CONTRAST * (nn.max_pool(level, (3, 3), padding='SAME') - level), 1.0)
  return jnp.concatenate([lines, x[..., colours:]], -1)


def holes(x: jax.Array, key: jax.Array, share: float) -> jax.Array:
  """(B, H, W, C) with a square of middle grey, of `share` of the smaller side, at a random place of each picture."""
  height, width = x.shape[1:3]
  side = max(1, round(share * min(height, width)))
  corners = jnp.floor(jax.random.uniform(key, (x.shape[0], 2)) * jnp.array([[height - side + 1, width - side + 1]]))
  inside = lambda count, start: (jnp.arange(count)[None] >= start) & (jnp.arange(count)[None] < start + side)
  mask = inside(height, corners[:, :1])[:, :, None, None] & inside(width, corners[:, 1:])[:, None, :, None]
  return jnp.where(mask, 0.5, x)


def blur(x: jax.Array, sigma: float) -> jax.Array:
  """(B, H, W, C) through a Gaussian of `sigma` pixels, the edge pixel repeated beyond the border."""
  radius = max(1, round(3 * sigma))
  taps = jnp.exp(-0.5 * (jnp.arange(-radius, radius + 1) / sigma) ** 2)
  taps = taps / taps.sum()
  for axis in (1, 2):
    pads = [(0, 0)] * 4
    pads[axis] = (radius, radius)
    padded, size = jnp.pad(x, pads, mode='edge'), x.shape[axis]
    x = sum(
      (taps[i] * jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(2 * radius + 1)),
      jnp.zeros((), x.dtype),
    )
  return x


def noisy(x: jax.Array, key: jax.Array, deviation: float) -> jax.Array:
  """(B, H, W, C) plus Gaussian noise, kept within [0, 1]."""
  return jnp.clip(x + deviation * jax.random.normal(key, x.shape, x.dtype), 0.0, 1.0)


def small(x: jax.Array, factor: int) -> jax.Array:
  """(B, H, W, C) to (B, H / factor, W / factor, C) by a bicubic filter that does not alias, kept within [0, 1]."""
  return jnp.clip(resize(x, (x.shape[1] // factor, x.shape[2] // factor), method='cubic'), 0.0, 1.0)


WAYS: Mapping[str, Callable[[Degraded, jax.Array, jax.Array], jax.Array]] = {
  'grey': lambda kind, x, key: grey(x),
  'edges': lambda kind, x, key: edges(x),
  'holes': lambda kind, x, key: holes(x, key, kind.hole),
  'blur': lambda kind, x, key: blur(x, kind.sigma),
  'noise': lambda kind, x, key: noisy(x, key, kind.noise),
  'small': lambda kind, x, key: small(x, kind.factor),
}
