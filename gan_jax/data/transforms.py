"""Turns images into the inputs of networks: resize and crop on the host, range and flip on the device."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gan_jax.base.errors import UserError
from gan_jax.data.pixels import over

#: How pictures are resized: Pillow's bilinear filter, which gets wider when it reduces a picture, so that there is no
#: aliasing; 'box', the mean of what a pixel covers; the nearest pixel.
FILTERS = ('bilinear', 'box', 'nearest')


def resize(
  image: np.ndarray,
  size: int,
  channels: int,
  crop: int = 0,
  background: tuple[int, int, int] = (0, 0, 0),
  method: str = 'bilinear',
) -> np.ndarray:
  """Removes transparency, converts between grey and colour, cuts the central square and resizes it.

  Pixels outside the square have no effect.

  Args:
    image: (H, W, C) uint8: grey, grey and opacity, colour, colour and opacity.
    size: height and width of the result.
    channels: 1 or 3.
    crop: side of the square, pixels; 0 for the largest.
    background: red, green and blue, 0 to 255.
    method: one of `FILTERS`.

  Returns:
    (size, size, channels) uint8.

  >>> resize(np.zeros((28, 20, 1), np.uint8), 32, 3).shape
  (32, 32, 3)
  """
  if image.shape == (size, size, channels) and crop in (0, size):
    return image
  picture = over(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), background)
  picture = picture.convert('L' if channels == 1 else 'RGB')
  width, height = picture.size
  side = min(width, height, crop or width)
  left, top = (width - side) // 2, (height - side) // 2
  if (width, height) != (side, side):
    # Crop first: `resize(box=...)` would mix in pixels outside the box.
    picture = picture.crop((left, top, left + side, top + side))
  if side != size:
    return _resized(picture, size, size, method).reshape(size, size, channels)
  return np.asarray(picture, np.uint8).reshape(size, size, channels)


def _resized(picture: Image.Image, height: int, width: int, method: str) -> np.ndarray:
  if method != 'box':
    return np.asarray(picture.resize((width, height), Image.Resampling[method.upper()]))
  # Pillow's own box weighs whole pixels, so that halves of what it makes are not what it makes of half the size.
  x = np.asarray(picture, np.float64).reshape(picture.height, picture.width, -1)
  opaque = x.shape[-1] in (1, 3)
  x = x if opaque else np.concatenate([x[..., :-1] * x[..., -1:] / 255, x[..., -1:]], -1)
  x = np.einsum('yh,xw,hwc->yxc', _covered(x.shape[0], height), _covered(x.shape[1], width), x, optimize=True)
  if not opaque:
    colours = np.divide(x[..., :-1] * 255, x[..., -1:], out=np.zeros_like(x[..., :-1]), where=x[..., -1:] > 0)
    x = np.concatenate([colours, x[..., -1:]], -1)
  return np.round(x).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _covered(before: int, after: int) -> np.ndarray:
  """The share that each of `before` pixels has in each of `after` pixels along one side, (after, before)."""
  edges = np.arange(after + 1) * (before / after)
  start, end = edges[:-1, None], edges[1:, None]
  pixel = np.arange(before)
  return np.clip(np.minimum(end, pixel + 1) - np.maximum(start, pixel), 0, None) / (before / after)


MODES = {1: 'L', 2: 'LA', 3: 'RGB', 4: 'RGBA'}


def fit(
  image: np.ndarray,
  size: tuple[int, int],
  channels: int,
  crop: tuple[int, int] | None = None,
  background: tuple[int, int, int] = (0, 0, 0),
  method: str = 'bilinear',
) -> np.ndarray:
  """`resize` for any shape: cuts the largest middle of the shape of `size`, and keeps opacity in 2 and 4 channels.

  Args:
    image: (H, W, 1 to 4) uint8.
    size: height and width of the result.
    channels: 1 to 4.
    crop: height and width of what is cut from the middle, of a smaller picture the largest of that shape; None for the
      largest.
    background: red, green and blue under what is transparent, for 1 and 3 channels.
    method: one of `FILTERS`.

  Returns:
    (*size, channels) uint8.

  >>> fit(np.zeros((28, 40, 3), np.uint8), (32, 16), 4).shape
  (32, 16, 4)
  """
  if image.shape == (*size, channels) and crop in (None, size):
    return image
  picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
  picture = (over(picture, background) if channels in (1, 3) else picture).convert(MODES[channels])
  width, height = picture.size
  if crop:
    share = min(1, height / crop[0], width / crop[1])  # of a smaller picture a smaller part, in the same shape
    tall, wide = max(round(crop[0] * share), 1), max(round(crop[1] * share), 1)
  else:
    tall, wide = min(height, width * size[0] // size[1]), min(width, height * size[1] // size[0])
    tall, wide = max(tall, 1), max(wide, 1)
  left, top = (width - wide) // 2, (height - tall) // 2
  if (width, height) != (wide, tall):
    picture = picture.crop((left, top, left + wide, top + tall))
  if (tall, wide) != size:
    return _resized(picture, *size, method).reshape(*size, channels)
  return np.asarray(picture, np.uint8).reshape(*size, channels)


def windows(images: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
  """A window of `size` of each picture, at a place that depends on the key and not on the number of pixels.

  So two pictures of one example are cut at one place, of two sizes to within a pixel of the larger.

  Args:
    images: (B, H, W, C), H and W at least `size`.
    size: height and width of the result.
    key: a PRNG key.

  Returns:
    (B, *size, C).

  >>> windows(jnp.zeros((2, 9, 9, 3)), (8, 4), jax.random.key(0)).shape
  (2, 8, 4, 3)
  """
  places = jnp.array([[side - least + 1 for side, least in zip(images.shape[1:3], size, strict=True)]], jnp.float32)
  shares = jax.random.uniform(key, (images.shape[0], 2), jnp.float32)
  corners = jnp.minimum(jnp.floor(shares * places), places - 1).astype(jnp.int32)
  cut = lambda image, corner: jax.lax.dynamic_slice(image, (*corner, jnp.int32(0)), (*size, image.shape[-1]))
  return jax.vmap(cut)(images, corners)


def random_window(images: jax.Array, size: int, key: jax.Array) -> jax.Array:
  """Cuts a square at a random position from each picture.

  Args:
    images: (B, H, W, C), H and W at least `size`.
    size: height and width of the result.
    key: a PRNG key.

  Returns:
    (B, size, size, C).

  >>> random_window(jnp.zeros((2, 9, 9, 3)), 8, jax.random.key(0)).shape
  (2, 8, 8, 3)
  """
  places = jnp.array([[side - size + 1 for side in images.shape[1:3]]], jnp.int32)
  corners = jax.random.randint(key, (images.shape[0], 2), 0, places, jnp.int32)
  cut = lambda image, corner: jax.lax.dynamic_slice(image, (*corner, jnp.int32(0)), (size, size, image.shape[-1]))
  return jax.vmap(cut)(images, corners)


def to_float(fields: dict[str, Any], limits: tuple[float, float], flip: bool, key: jax.Array) -> dict[str, Any]:
  """Converts uint8 images to float32 in [low, high], and mirrors half of them. Other fields do not change.

  Args:
    fields: with 'image', (B, H, W, C) uint8; float examples of any shape keep their values.
    limits: (low, high), the new values of 0 and 255.
    flip: whether to mirror images left to right, each with probability 1/2.
    key: the PRNG key of the flips.

  >>> x = to_float({'image': jnp.array([[[[0]]], [[[255]]]], jnp.uint8)}, (-1.0, 1.0), False, jax.random.key(0))
  >>> x['image'].ravel().tolist()
  [-1.0, 1.0]
  """
  image = fields['image']
  if flip:
    if image.ndim != 4:
      raise UserError(
        f'config.data.flip mirrors pictures, but the examples have shape {image.shape[1:]}: set it to False'
      )
    flipped = jax.random.bernoulli(key, jnp.float32(0.5), (image.shape[0], 1, 1, 1))
    image = jnp.where(flipped, image[:, :, ::-1], image)
  if image.dtype == jnp.uint8:
    low, high = limits
    image = image.astype(jnp.float32) * ((high - low) / 255.0) + low
  return {**fields, 'image': image}


def to_uint8(images: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
  """The inverse of `to_float`, on the host: float images in [low, high] to uint8, clipped.

  >>> to_uint8(np.array([-1.0, 0.0, 2.0]), (-1.0, 1.0)).tolist()
  [0, 128, 255]
  """
  low, high = limits
  return np.clip(np.round((np.asarray(images, np.float32) - low) * (255.0 / (high - low))), 0, 255).astype(np.uint8)
