"""Stacked MNIST: three grey pictures as the channels of one, and their classes as the digits of one label."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.data.sources.base import ArraySource, into_memory

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

CLASSES = 1000
#: The papers train on so many examples, and generate as many as HELD_OUT to count modes.
EXAMPLES, HELD_OUT = 128_000, 26_000
SEED = 0


def stack(images: np.ndarray, count: int, seed: int = SEED, labels: np.ndarray | None = None) -> ArraySource:
  """Triples of grey pictures, drawn with replacement.

  Example i is a pure function of i, the seed and the pictures: fewer examples are the first of more.
  Source: Metz et al. 2016, https://arxiv.org/abs/1611.02163, section 3.3.1.

  Args:
    images: (N, H, W, 1) uint8.
    count: the number of triples.
    seed: the seed of their choice.
    labels: (N,) classes 0 ... 9, or None.

  Returns:
    'image' (count, H, W, 3) uint8 and, with labels, 'label' (count,) int32, 100 a + 10 b + c.

  Raises:
    UserError: not grey pictures.

  >>> source = stack(np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), 3, labels=np.arange(10))
  >>> [(example['image'].ravel().tolist(), int(example['label'])) for example in source]
  [([5, 0, 3], 503), ([3, 7, 9], 379), ([3, 5, 2], 352)]
  """
  if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 1:
    raise UserError(f'pictures of {images.dtype} {images.shape[1:]} cannot be stacked, must be uint8 (H, W, 1)')
  triples = np.random.RandomState(seed).randint(len(images), size=(count, 3))
  arrays = {'image': np.concatenate([images[triples[:, channel]] for channel in range(3)], -1)}
  if labels is not None:
    arrays['label'] = (labels[triples] @ np.array([100, 10, 1])).astype(np.int32)
  return ArraySource(arrays)


def stacked(stream: 'Stream') -> ArraySource:
  """The set that 'stacked/NAME' names: `stack` of the grey pictures of the set NAME, which has ten classes.

  128,000 examples, as PacGAN trains on (https://arxiv.org/abs/1712.04086, section 4.2); 26,000 in the split 'test'.

  Raises:
    UserError: settings that do not fit, or what the set itself raises.
  """
  from gan_jax.data.sources import open_source

  if stream.channels != 3:
    raise UserError(f'config.data.channels={stream.channels} but {stream.name!r} stacks three: set it to 3')
  if stream.classes not in (0, CLASSES):
    raise UserError(f'config.data.classes={stream.classes} but {stream.name!r} has {CLASSES}: set it to that, or 0')
  grey = dataclasses.replace(
    stream, name=stream.name.removeprefix('stacked/'), channels=1, classes=10 if stream.classes else 0, per_class=0
  )
  whole = into_memory(open_source(grey), 1 << 62)
  assert whole is not None  # the limit is larger than any set
  count = HELD_OUT if stream.split == 'test' else EXAMPLES
  return stack(whole.arrays['image'], count, labels=whole.arrays.get('label'))
