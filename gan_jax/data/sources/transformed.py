"""The edges or the negatives of another set's pictures, as the second domain of a pair (CoGAN)."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.data.sources.base import ArraySource, into_memory

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream


def edges(images: np.ndarray) -> np.ndarray:
  """(N, H, W, C) pictures to their outlines: the largest of each 3x3 window less the pixel in its middle.

  Source: Liu and Tuzel 2016, https://arxiv.org/abs/1606.07536; the authors' code (`dataset_mnistedge.py`).

  >>> edges(np.array([0, 0, 200, 255, 0], np.uint8).reshape(1, 1, 5, 1)).ravel().tolist()
  [0, 200, 55, 0, 255]
  """
  height, width = images.shape[1:3]
  padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='edge')
  windows = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
  return np.max(windows, 0) - images


def negatives(images: np.ndarray) -> np.ndarray:
  """Pictures of 8 bits with black and white exchanged.

  >>> negatives(np.array([0, 255], np.uint8)).tolist()
  [255, 0]
  """
  return 255 - images


TRANSFORMS = {'edges': edges, 'negatives': negatives}


def transform_of(name: str) -> tuple[str, str]:
  """(transform, set) of a name such as 'edges/mnist'; ('', name) where there is none.

  >>> transform_of('edges/mnist'), transform_of('mnist')
  (('edges', 'mnist'), ('', 'mnist'))
  """
  transform, _, inner = name.partition('/')
  return (transform, inner) if transform in TRANSFORMS and inner else ('', name)


def transformed(stream: 'Stream') -> ArraySource:
  """The set that 'edges/NAME' or 'negatives/NAME' names: the pictures of NAME at the stream's size, transformed.

  Raises:
    UserError: the set has no pictures of 8 bits, or what the set itself raises.
  """
  from gan_jax.data.sources import open_source

  transform, inner = transform_of(stream.name)
  whole = into_memory(open_source(dataclasses.replace(stream, name=inner, per_class=0)), 1 << 62)
  assert whole is not None  # the limit is larger than any set
  images = whole.arrays['image']
  if images.dtype != np.uint8 or images.ndim != 4:
    raise UserError(f'config.data.name={stream.name!r}: {inner!r} has no pictures of 8 bits; name another set')
  return ArraySource({**whole.arrays, 'image': TRANSFORMS[transform](images)})
