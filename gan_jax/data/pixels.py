"""Converts pictures of any type to 8 bits: bit depths, types without a fixed scale, transparency."""

import re

import numpy as np
from PIL import Image, ImageOps

from gan_jax.base.errors import UserError

#: {type: (black, white)}, for the types with a fixed scale.
NATURAL = {'bool': (0, 1), 'uint8': (0, 255), 'uint16': (0, 65535)}


def to_bytes(pixels: np.ndarray, values: tuple[float, float] | None = None, what: str = 'a picture') -> np.ndarray:
  """Converts pixels to uint8. The dtype decides what black and white are, never the least and the largest pixel.

  Args:
    pixels: (..., C) of any real dtype. If C is 2 or 4, the last channel is opacity, and `values` do not change it
      where the dtype has a scale.
    values: (black, white); None for the scale of the dtype (bool, uint8 or uint16). Pixels outside are clipped.
    what: the name of the pixels in messages.

  Returns:
    uint8 of the same shape.

  Raises:
    UserError: the dtype has no fixed scale and there are no `values`, or pixels are not finite.

  >>> to_bytes(np.array([[0, 257, 65535]], np.uint16)).tolist()
  [[0, 1, 255]]
  >>> to_bytes(np.array([[-1000.0, 0.0, 1000.0]]), (-1000, 1000)).tolist()
  [[0, 128, 255]]
  """
  kind = pixels.dtype.name
  if values is None and kind not in NATURAL:
    raise UserError(
      f'{what} has pixels of type {kind}, which does not say what black and white are: set config.data.values to the '
      f'two numbers, such as (0.0, 1.0); the pixels run from {pixels.min():g} to {pixels.max():g}'
    )
  black, white = NATURAL[kind] if values is None else values
  if kind == 'uint8' and (black, white) == (0, 255):
    return pixels
  if not np.isfinite(pixels).all():
    raise UserError(f'{what} has pixels that are not finite: remove them')
  scaled = np.clip(np.round((pixels.astype(np.float32) - black) * (255.0 / (white - black))), 0, 255).astype(np.uint8)
  if values is not None and pixels.shape[-1] in (2, 4):
    scaled[..., -1] = to_bytes(pixels[..., -1:], None if kind in NATURAL else values, what)[..., 0]
  return scaled


def over(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
  """A picture of 8 bits without transparency: its transparent parts get the colour of the background."""
  if not picture.has_transparency_data:
    return picture
  picture = picture.convert('RGBA')
  return Image.alpha_composite(Image.new('RGBA', picture.size, (*background, 255)), picture).convert('RGB')


def decode(picture: Image.Image, values: tuple[float, float] | None, what: str) -> np.ndarray:
  """(H, W, C) uint8 of an open picture, rotated by its EXIF tag. C is 1 for grey, 3 for colour, 4 with transparency.

  An animation gives its first frame.

  Args:
    picture: from `Image.open`.
    values: (black, white), as in `to_bytes`.
    what: the name of the picture in messages.

  Raises:
    UserError: as `to_bytes`.
  """
  clear, sixteen = picture.info.get('transparency'), _sixteen_bits(picture)
  if values is not None and not sixteen and _upper_eight(picture):
    # Of a colour picture of 16 bits Pillow gives the upper 8.
    values = values[0] / 257, values[1] / 257
  picture = ImageOps.exif_transpose(picture)
  if picture.mode.startswith('I') or picture.mode == 'F':
    pixels = np.asarray(picture)[..., None]
    grey = to_bytes(pixels.astype(np.uint16) if sixteen else pixels, values, what)
    if not isinstance(clear, int):
      return grey
    return np.concatenate([*[grey] * 3, np.where(pixels == clear, 0, 255).astype(np.uint8)], -1)
  if picture.has_transparency_data:
    pixels = np.asarray(picture.convert('RGBA'))
  elif picture.mode in ('L', '1'):
    pixels = np.asarray(picture.convert('L'))[..., None]
  else:
    pixels = np.asarray(picture.convert('RGB'))
  return to_bytes(pixels, values, what)


def _upper_eight(picture: Image.Image) -> bool:
  """Whether Pillow will give 8 bits of 16 of each channel, by the names of raw modes such as 'RGB;16B'."""
  given = [part[3] for part in getattr(picture, 'tile', ())]
  modes = [args if isinstance(args, str) else args[0] for args in given if args]
  return picture.mode in ('RGB', 'RGBA', 'LA') and any(re.search(r';16[BLN]$', str(mode)) for mode in modes)


def _sixteen_bits(picture: Image.Image) -> bool:
  # Pillow opens some grey pictures of 16 bits as 32 bits: PNG in older versions, and PGM, which it scales to 65535.
  return picture.mode.startswith('I;16') or (picture.mode == 'I' and picture.format in ('PNG', 'PPM'))
