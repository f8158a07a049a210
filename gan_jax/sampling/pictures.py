"""Pictures of samples: a grid of images, a scatter of points."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image, ImageDraw, ImageFont

from gan_jax.data.transforms import to_uint8
from gan_jax.sampling import shapes

#: The grey under what is transparent.
UNDER = 191
#: Formats that keep opacity.
CLEAR = ('.png', '.webp', '.tif', '.tiff')
#: Formats that hold any picture of 8 bits in every Pillow; others it may only read.
WRITTEN = ('PNG', 'JPEG', 'WEBP', 'BMP', 'DIB', 'TIFF', 'GIF', 'PPM', 'TGA', 'JPEG2000', 'PCX', 'SGI', 'IM', 'AVIF')
#: Height of letters, pixels.
FONT = 12


def grid(
  images: np.ndarray,
  limits: tuple[float, float],
  *,
  columns: int | None = None,
  names: Sequence[str] = (),
  heads: Sequence[str] = (),
  least_side: int = 512,
) -> Image.Image:
  """A grid of images, row by row. It is enlarged by a whole number, so that small images are easy to see.

  Args:
    images: (N, H, W, C) float in [low, high], C 1 or 3.
    limits: (low, high).
    columns: images in a row; by default the grid is about square.
    names: names of the rows, written to their left.
    heads: names of the columns, written above them.
    least_side: enlarge until the picture, without names and heads, is about this wide, pixels.

  >>> grid(np.zeros((4, 8, 8, 1)), (-1.0, 1.0), least_side=1).size
  (19, 19)
  >>> grid(np.zeros((4, 8, 8, 1)), (-1.0, 1.0), columns=4, least_side=1).size
  (37, 10)
  """
  pixels = to_uint8(images, limits)
  count, height, width, channels = pixels.shape
  columns = columns or math.ceil(math.sqrt(count))
  rows = math.ceil(count / columns)
  sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 128, np.uint8)
  for i, image in enumerate(pixels):
    top, left = 1 + (i // columns) * (height + 1), 1 + (i % columns) * (width + 1)
    sheet[top : top + height, left : left + width] = image
  factor = max(1, round(least_side / sheet.shape[1]))
  sheet = sheet.repeat(factor, 0).repeat(factor, 1)
  picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
  return _labelled(picture, names, heads, factor * (width + 1), factor * (height + 1)) if names or heads else picture


def _labelled(picture: Image.Image, names: Sequence[str], heads: Sequence[str], width: int, height: int) -> Image.Image:
  """A grid of cells of a width and height, with the names of its rows on the left and of its columns above."""
  font = ImageFont.load_default(FONT)
  left = max([math.ceil(font.getlength(name)) + FONT for name in names], default=0)
  top = 2 * FONT if heads else 0
  page = Image.new(picture.mode, (left + picture.width, top + picture.height), 'white')
  page.paste(picture, (left, top))
  draw = ImageDraw.Draw(page)
  for i, name in enumerate(names):
    draw.text((left - FONT // 2, top + (i + 0.5) * height), name, fill='black', font=font, anchor='rm')
  for i, head in enumerate(heads):
    draw.text((left + (i + 0.5) * width, top // 2), head, fill='black', font=font, anchor='mm')
  return page


def beside(pictures: Sequence[Image.Image], *, gap: int = 16) -> Image.Image:
  """Pictures from left to right on white, their tops on one line.

  >>> beside([Image.new('L', (4, 6)), Image.new('L', (5, 3))], gap=2).size
  (11, 6)
  """
  width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
  page = Image.new(pictures[0].mode, (width, max(picture.height for picture in pictures)), 'white')
  left = 0
  for picture in pictures:
    page.paste(picture, (left, 0))
    left += picture.width + gap
  return page


def scatter(points: np.ndarray, real: np.ndarray | None = None, *, side: int = 512) -> Image.Image:
  """A scatter plot: real points in grey, generated points in blue above them. The real points set the range.

  Args:
    points: (N, 2).
    real: (M, 2) or None.
    side: width and height of the picture, pixels.

  >>> scatter(np.zeros((4, 2))).size
  (512, 512)
  """
  extent = 1.3 * max(float(np.abs(points if real is None else real).max()), 1e-6)
  picture = Image.new('RGB', (side, side), 'white')
  draw = ImageDraw.Draw(picture)
  layers = [(points, (31, 119, 180))] if real is None else [(real, (190, 190, 190)), (points, (31, 119, 180))]
  for layer, colour in layers:
    for x, y in (np.clip(np.asarray(layer, float) / extent, -1, 1) * [0.5, -0.5] + 0.5) * (side - 1):
      draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
  return picture


def histogram(points: np.ndarray, real: np.ndarray | None = None, *, side: int = 512, bins: int = 128) -> Image.Image:
  """A histogram: real numbers in grey, generated numbers in blue in front. The real numbers set the range.

  Args:
    points: (N, 1).
    real: (M, 1) or None.
    side: width and height of the picture, pixels.
    bins: number of bars.

  >>> histogram(np.array([[0.0], [1.0]])).size
  (512, 512)
  """
  shown = np.asarray(points if real is None else real, float)
  low, high = float(shown.min()), float(shown.max())
  margin = 0.1 * max(high - low, 1e-6)
  edges = np.linspace(low - margin, high + margin, bins + 1)
  layers = [(points, (31, 119, 180))] if real is None else [(real, (190, 190, 190)), (points, (31, 119, 180))]
  shares = [np.histogram(layer, edges)[0] / len(layer) for layer, _ in layers]
  top = 1.1 * max(float(np.max(share)) for share in shares)
  picture = Image.new('RGB', (side, side), 'white')
  draw = ImageDraw.Draw(picture)
  for i, (share, (_, colour)) in enumerate(zip(shares, layers, strict=True)):
    for j, value in enumerate(share):
      # Generated ones are half as wide, so that the real ones behind them are seen.
      left, right = (j + 0.25 * i) * side / bins, (j + 1 - 0.25 * i) * side / bins - 1
      if value > 0:
        draw.rectangle((left, side - 1 - value / max(top, 1e-9) * side, max(right, left), side - 1), fill=colour)
  return picture


def space(points: np.ndarray, real: np.ndarray | None = None, *, side: int = 256) -> Image.Image:
  """Points of space from three sides: the first two axes, the first and the last, the last two.

  Args:
    points: (N, 3).
    real: (M, 3) or None, drawn in grey below.
    side: width and height of each, pixels.

  >>> space(np.zeros((4, 3))).size
  (800, 256)
  """
  views = [(0, 1), (0, 2), (1, 2)]
  drawn = [scatter(points[:, v], None if real is None else real[:, v], side=side) for v in map(list, views)]
  return beside(drawn)


def marginals(
  columns: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray] | None = None, *, side: int = 192
) -> Image.Image:
  """The columns of a table, each as bars with its name, the data's in grey behind.

  Args:
    columns: {name: (N,)}.
    real: {name: (M,)} of some of them, or None.
    side: width and height of each, pixels.

  >>> marginals({'age': np.arange(9.0), 'job': np.array([0, 1, 1])}, side=64).size
  (144, 82)
  """
  drawn, font = [], ImageFont.load_default(FONT)
  for name, values in columns.items():
    behind = None if real is None or name not in real else np.reshape(real[name], (-1, 1))
    bars = histogram(np.reshape(values, (-1, 1)), behind, side=side, bins=48)
    page = Image.new('RGB', (side, side + FONT + 6), 'white')
    page.paste(bars, (0, FONT + 6))
    ImageDraw.Draw(page).text((side / 2, 2), name, fill='black', font=font, anchor='mt')
    drawn.append(page)
  across = int(np.ceil(np.sqrt(len(drawn))))
  rows = [beside(drawn[i : i + across]) for i in range(0, len(drawn), across)]
  page = Image.new('RGB', (max(r.width for r in rows), sum(r.height for r in rows)), 'white')
  for i, row in enumerate(rows):
    page.paste(row, (0, sum(r.height for r in rows[:i])))
  return page


def picture_of(samples: np.ndarray, limits: tuple[float, float], real: np.ndarray | None = None) -> Image.Image | None:
  """The picture of samples of a shape; None for other shapes.

  Pictures (N, H, W, 1 to 4) are a grid, with opacity over grey; voxels (N, X, Y, Z) or (N, X, Y, Z, 1) shaded solids;
  sequences (N, T, F) curves, or a piano roll of more than 4 features; points (N, 2) or (N, 3) scattered; single numbers
  bars.
  """
  if samples.ndim == 4 and samples.shape[-1] in (1, 3):
    return grid(samples, limits)
  if samples.ndim == 4 and samples.shape[-1] in (2, 4):
    return grid(_opaque(to_uint8(samples, limits)), (0.0, 255.0))
  if samples.ndim == 4 or (samples.ndim == 5 and samples.shape[-1] == 1):
    return shapes.voxels(samples, limits)
  if samples.ndim == 3:
    return shapes.sequences(samples, limits)
  if samples.ndim == 2 and samples.shape[-1] == 3:
    return space(samples, real)
  if samples.ndim == 2 and samples.shape[-1] == 2:
    return scatter(samples, real)
  if samples.ndim == 1 or (samples.ndim == 2 and samples.shape[-1] == 1):
    return histogram(samples.reshape(-1, 1), None if real is None else real.reshape(-1, 1))
  return None


def _opaque(pixels: np.ndarray) -> np.ndarray:
  """Pictures (N, H, W, 2 or 4) uint8 over grey: (N, H, W, 1 or 3)."""
  share = pixels[..., -1:] / 255.0
  laid: np.ndarray = np.round(pixels[..., :-1] * share + UNDER * (1 - share)).astype(np.uint8)
  return laid


def name_for(file: str) -> str:
  """The name under which `write_one` writes a picture that is made of a file: its own, or with .png behind it.

  >>> name_for('a.jpg'), name_for('a.psd')
  ('a.jpg', 'a.psd.png')
  """
  kind = Image.registered_extensions().get(epath.Path(file).suffix.lower())
  return file if kind in WRITTEN else f'{file}.png'


#: {format: settings of Pillow} where those by default lose what can be seen.
FINE: dict[str, dict[str, Any]] = {'JPEG': dict(quality=95, subsampling=0), 'WEBP': dict(lossless=True, exact=True)}


def write_one(image: np.ndarray, limits: tuple[float, float], path: epath.PathLike) -> None:
  """Writes one image (H, W, 1 to 4) in [low, high] to a file, in the format of its suffix."""
  pixels = to_uint8(image, limits)
  if pixels.shape[-1] in (2, 4) and epath.Path(path).suffix.lower() not in CLEAR:
    pixels = _opaque(pixels[None])[0]
  kind = Image.registered_extensions()[epath.Path(path).suffix.lower()]
  how = FINE.get(kind, {})
  with epath.Path(path).open('wb') as file:
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, kind, **how)


def write(picture: Image.Image, path: epath.PathLike) -> None:
  """Writes a picture as PNG."""
  with epath.Path(path).open('wb') as file:
    picture.save(file, 'PNG')
