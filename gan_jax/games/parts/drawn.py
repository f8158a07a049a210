"""Pictures of what is no picture: sequences of symbols as rows of coloured squares."""

import colorsys

import numpy as np
from PIL import Image

#: Sides of a square of a symbol, pixels; sequences that are drawn at most.
SIDE, MOST = 12, 64


def symbols(tokens: np.ndarray) -> Image.Image:
  """A row for each sequence (N, T) of whole numbers, a colour for each number; 0 is black.

  >>> symbols(np.array([[0, 1, 2], [3, 3, 0]])).size
  (36, 24)
  """
  numbers, places = np.unique(np.asarray(tokens)[:MOST], return_inverse=True)
  # Steps of the golden ratio around the circle of colours: neighbours differ.
  colours = np.array([colorsys.hsv_to_rgb(n * 0.618034 % 1, 0.6, 0.95 if n else 0.0) for n in map(int, numbers)])
  squares = np.round(255 * colours[places.reshape(np.shape(tokens[:MOST]))]).astype(np.uint8)
  return Image.fromarray(squares.repeat(SIDE, 0).repeat(SIDE, 1))
