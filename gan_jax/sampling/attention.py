"""Pictures of a generator's attention: where each layer looks from a point of a sample."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL.Image import Image

from gan_jax.base.errors import UserError
from gan_jax.data.transforms import to_uint8
from gan_jax.sampling import pictures
from gan_jax.sampling.shown import Options, images_of, start_of

if TYPE_CHECKING:
  from gan_jax.sampling.run import Run

#: Of points that attention is shown for.
COLORS = ((255, 64, 64), (64, 200, 64), (80, 120, 255), (255, 200, 0), (220, 80, 220))


def attention(run: 'Run', count: int = 6, options: Options = Options(), *, points: int = 5) -> dict[str, Image]:
  """A generator's attention: a row has a sample with marked points, then the attention map of each point.

  Source: Zhang et al. 2018 (SAGAN), https://arxiv.org/abs/1805.08318, figure 5. differs: the points
  are chosen so that their attention maps differ most; the paper does not say how it chooses them.

  Args:
    run: from `gan_jax.load`.
    count: rows, each another sample.
    options: which samples.
    points: number of points in each sample.

  Returns:
    {layer: picture}.
  """
  latents = start_of(run, count, options)
  images = to_uint8(images_of(run, latents, options), run.range_of(options.output))
  layers = run.attention(latents, seed=options.seed, ema=options.ema)
  if not layers:
    raise UserError(f'--picture=attention: the generator of {type(run.stage.game).__name__} has no attention; use grid')
  return with_attention(images, layers, points)


def with_attention(images: np.ndarray, layers: Mapping[str, np.ndarray], points: int = 5) -> dict[str, Image]:
  """{layer: picture}: a row for each image (N, H, W, C) uint8, of its layers' weights {layer: (N, queries, keys)}."""
  heads = ['sample', *[f'from {i + 1}' for i in range(points)]]
  drawn = {}
  for layer, weights in layers.items():
    cells = [_attention_maps(image, maps, points) for image, maps in zip(images, weights, strict=True)]
    drawn[layer] = pictures.grid(np.concatenate(cells), (0, 255), columns=1 + points, heads=heads)
  return drawn


def _attention_maps(image: np.ndarray, maps: np.ndarray, points: int) -> np.ndarray:
  """(1 + points, H, W, 3): the sample with marked points, then the sample, bright where each point attends to.

  Args:
    image: (H, W, C), 8 bits.
    maps: (queries, keys), the attention weights; both are square grids.
    points: number of queries to show.
  """
  size, side, of_keys = len(image), int(len(maps) ** 0.5), int(maps.shape[1] ** 0.5)
  middle = (side // 2) * side + side // 2
  chosen = [middle]
  while len(chosen) < points:
    distance = np.abs(maps[:, None] - maps[chosen][None]).sum(-1).min(1)
    chosen.append(int(distance.argmax()))
  color = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
  marked, dot = color.copy(), max(size // 32, 1)
  for i, place in enumerate(chosen):
    y, x = (int((c + 0.5) * size / side) for c in divmod(place, side))
    marked[max(y - dot, 0) : y + dot, max(x - dot, 0) : x + dot] = COLORS[i % len(COLORS)]
  cells = [marked]
  for place in chosen:
    share = maps[place].reshape(of_keys, of_keys)
    lit = share.repeat(size // of_keys, 0).repeat(size // of_keys, 1)[..., None] / share.max()
    cells.append((color * (0.25 + 0.75 * lit)).astype(np.uint8))
  return np.stack(cells)
