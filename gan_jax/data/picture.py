"""Pictures as a column: how they are cut and resized on the host, and what the step makes of them."""

import dataclasses
from typing import Any

import jax
import numpy as np
from PIL import Image

from gan_jax.base.errors import UserError
from gan_jax.data import pixels, transforms
from gan_jax.data.kind import NOT_NUMBERS, Kind, form_of

PARTS = ('', 'left', 'right')


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
  return (size, size) if isinstance(size, int) else size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture(Kind):
  """Pictures and masks of 1 to 4 channels, stored as bytes; the settings left out are the stream's.

  Attributes:
    size: height and width, or one number for both.
    channels: 1 grey, 2 grey and opacity, 3 colour, 4 colour and opacity.
    crop: height and width of what is cut from the middle first; 0 for the largest of the shape of `size`.
    random_crop: resize to this instead, and cut `size` at random in every draw; 0 for none.
    range: where black and white go.
    flip: whether to mirror half of the draws.
    part: 'left' or 'right' half of a wide picture; '' for the whole.
    values: stored values that are black and white, where their type does not say it.
    background: the colour under what is transparent, for 1 and 3 channels.
    filter: 'bilinear'; 'box' for the mean of what a pixel covers, so that pictures of half the size are means of 2 x 2
      pixels; or 'nearest' for masks, which makes no new values.
  """

  size: int | tuple[int, int] = 32
  channels: int = 3
  crop: int | tuple[int, int] = 0
  random_crop: int | tuple[int, int] = 0
  range: tuple[float, float] = (-1.0, 1.0)
  flip: bool = False
  part: str = ''
  values: tuple[float, float] | None = None
  background: tuple[int, int, int] = (0, 0, 0)
  filter: str = 'bilinear'

  title = 'a picture'

  def __post_init__(self) -> None:
    if min(_pair(self.size)) < 1:
      raise UserError(f'size={self.size} must be at least 1')
    if self.channels not in (1, 2, 3, 4):
      raise UserError(f'channels={self.channels} must be 1 (grey), 2 (with opacity), 3 (colour) or 4 (with opacity)')
    if self.part not in PARTS:
      raise UserError(f"part={self.part!r} must be 'left', 'right' or '' for the whole")
    if self.filter not in transforms.FILTERS:
      raise UserError(f'filter={self.filter!r} must be one of {", ".join(transforms.FILTERS)}')
    if not self.range[0] < self.range[1]:
      raise UserError(f'range={self.range} must rise, such as (-1.0, 1.0)')
    if self.crop and min(_pair(self.crop)) < 1:
      raise UserError(f'crop={self.crop} must be at least 1, or 0 for the largest')
    if self.random_crop and any(a < b for a, b in zip(_pair(self.random_crop), _pair(self.size), strict=True)):
      raise UserError(f'random_crop={self.random_crop} is less than size={self.size}: make it larger, or 0')

  @property
  def stored_size(self) -> tuple[int, int]:
    """Height and width as stored."""
    return _pair(self.random_crop or self.size)

  @property
  def form(self) -> jax.ShapeDtypeStruct | None:
    return jax.ShapeDtypeStruct((*self.stored_size, self.channels), np.uint8)

  def stored(self, value: Any) -> np.ndarray:
    """A PIL picture, or (H, W) or (H, W, 1 to 4) of any type that `pixels.to_bytes` takes, to (h, w, channels) uint8.

    Raises:
      UserError: no picture, or a half of a picture of odd width.
    """
    if isinstance(value, Image.Image):
      image = pixels.decode(value, self.values, getattr(value, 'filename', '') or 'a picture')
    else:
      image = np.asarray(value)
      image = image[..., None] if image.ndim == 2 else image
      if image.ndim != 3 or image.shape[-1] not in (1, 2, 3, 4) or image.dtype.kind in NOT_NUMBERS:
        raise UserError(f'is {form_of(value)}, no picture: pictures are (H, W) or (H, W, 1 to 4)')
      image = pixels.to_bytes(image, self.values, 'a picture')
    if self.part:
      width = image.shape[1]
      if width % 2:
        raise UserError(f'is {width} pixels wide, which has no halves: give two pictures of one size side by side')
      image = image[:, : width // 2] if self.part == 'left' else image[:, width // 2 :]
    crop = _pair(self.crop) if self.crop else None
    return transforms.fit(image, self.stored_size, self.channels, crop, self.background, self.filter)

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """(B, H, W, C) uint8 to (B, h, w, C) float32 in the range; one key gives one window and one flip for all."""
    if self.random_crop:
      batch = transforms.windows(batch, _pair(self.size), jax.random.fold_in(key, 1))
    return transforms.to_float({'image': batch}, self.range, self.flip, key)['image']
