"""Pictures of what is no picture: symbols as rows of coloured squares, tones as piano rolls."""

import colorsys

import numpy as np
from PIL import Image

from gan_jax.data.tones import LENGTH, heard, unscaled

#: Sides of a square of a symbol, pixels; sequences that are drawn at most.
SIDE, MOST = 16, 64
#: Piano rolls that are drawn at most, and their width.
ROLLS, WIDTH = 8, 512
#: Where a picture keeps how many samples it shows, if that may be fewer than there are.
SHOWN = 'shown'


def with_count(picture: Image.Image, count: int) -> Image.Image:
  """The picture, which knows how many samples it shows."""
  picture.info[SHOWN] = count
  return picture


def symbols(tokens: np.ndarray) -> Image.Image:
  """A row for each sequence (N, T) of whole numbers, a colour for each number; 0 is black.

  >>> symbols(np.array([[0, 1, 2], [3, 3, 0]])).size
  (48, 32)
  """
  numbers, places = np.unique(np.asarray(tokens)[:MOST], return_inverse=True)
  # Steps of the golden ratio around the circle of colours: neighbours differ.
  colours = np.array([colorsys.hsv_to_rgb(n * 0.618034 % 1, 0.6, 0.95 if n else 0.0) for n in map(int, numbers)])
  squares = np.round(255 * colours[places.reshape(np.shape(tokens[:MOST]))]).astype(np.uint8)
  return with_count(Image.fromarray(squares.repeat(SIDE, 0).repeat(SIDE, 1)), len(squares))


def piano_rolls(tones: np.ndarray) -> Image.Image:
  """Sequences of tones (N, T, 4) from 0 to 1 below each other: time to the right, pitch up, the loud ones dark.

  >>> piano_rolls(np.full((2, 3, 4), 0.5)).size
  (512, 262)
  """
  rolls = [_roll(*heard(sequence)) for sequence in unscaled(tones[:ROLLS])]
  line = np.full((6, WIDTH), 128, np.uint8)
  return with_count(Image.fromarray(np.concatenate([part for roll in rolls for part in (line, roll)][1:])), len(rolls))


def _roll(tones: np.ndarray, times: np.ndarray) -> np.ndarray:
  page = np.full((128, WIDTH), 255, np.uint8)
  end = max(float((times + tones[:, LENGTH]).max(initial=0)), 1.0)
  for (_, length, pitch, intensity), time in zip(tones, times, strict=True):
    left, right = (int(x / end * (WIDTH - 1)) for x in (time, time + length))
    page[127 - int(pitch), left : max(right, left + 1)] = 200 - int(200 * intensity / 127)
  return page
