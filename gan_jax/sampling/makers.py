"""Pictures of games with several generators: each generator has its own colour or row."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.sampling import pictures
from gan_jax.sampling.outputs import pick
from gan_jax.sampling.shown import Options, start_of

if TYPE_CHECKING:
  from gan_jax.sampling.run import Run

#: One colour for each generator; the ninth generator gets the first colour again.
COLOURS = (
  (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (227, 119, 194),
  (23, 190, 207),
)  # fmt: skip


def makers(run: 'Run', count: int = 256, options: Options = Options(), *, side: int = 512) -> Image.Image:
  """Samples of each generator: points of the plane or of the line in its colour, images in its own row.

  Args:
    run: from `gan_jax.load`.
    count: samples of each generator; of images only the first ten are shown.
    options: a `gan_jax.sampling.shown.Options`: which samples.
    side: of the picture of points, pixels.

  Raises:
    UserError: the game has one generator.
  """
  latents, seed = run.stage.game.latents, options.seed
  if not isinstance(latents, Mapping) or 'maker' not in latents:
    raise UserError(f"--picture=makers of {type(run.stage.game).__name__}, which has no 'maker' among its latents")
  several, drawn = latents['maker'].classes, start_of(run, count, options)
  made, declared = [], core.outputs_of(run.stage.game, run.stage.streams)
  for maker in range(several):
    asked = {**drawn, 'maker': np.full(count, maker, np.int32)}
    examples = run.generate(asked, seed=seed, ema=options.ema)
    made.append(np.asarray(pick(examples, options.output, declared=declared)))
  if made[0].ndim == 4:
    columns = min(count, 10)
    rows = np.concatenate([examples[:columns] for examples in made])
    return pictures.grid(rows, run.range_of(options.output), columns=columns, names=[str(i) for i in range(several)])
  if made[0].ndim != 2 or made[0].shape[1] > 2:
    raise UserError(f'samples of shape {made[0].shape[1:]} are neither pictures nor points: use --picture=grid')
  if made[0].shape[1] == 1:  # on lines one above the other
    made = [np.concatenate([x, np.full_like(x, several - i)], 1) for i, x in enumerate(made)]
  whole = np.concatenate(made)
  low, high = whole.min(0), whole.max(0)
  room = 0.05 * np.maximum(high - low, 1e-6)
  picture = Image.new('RGB', (side, side), 'white')
  draw = ImageDraw.Draw(picture)
  for maker, points in enumerate(made):
    for x, y in (points - low + room) / (high - low + 2 * room) * (side - 1):
      draw.ellipse((x - 2, side - y - 3, x + 2, side - y + 1), fill=COLOURS[maker % len(COLOURS)])
  return picture
