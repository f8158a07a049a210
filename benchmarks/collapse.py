"""The collapse sweep: how many modes of the ring a GAN reaches, by moves of the generator for one of the discriminator.

    python -m benchmarks.collapse [--moves 3000] [--out docs/images/collapse.png]

Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 6: "G must not be trained too much without updating D",
or it maps too many z to one x. Settings of configs/gan.py:ring, a population of three seeds for each ratio. Whoever
moves less makes MOVES moves, so that neither is left behind. A mode counts with 20 of 2,500 samples within 3 standard
deviations, at each quarter of the training and at its end.
"""

import argparse
import tempfile
import time
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import gan_jax
from gan_jax import config as config_lib
from gan_jax.data.sources.builtin import RING_STDDEV, ring_centers
from gan_jax.metrics.modes import mixture_coverage
from gan_jax.training import loop as train

#: Moves of the generator, of the discriminator, in one step.
RATIOS = ((1, 5), (1, 2), (1, 1), (2, 1), (5, 1), (10, 1), (20, 1))
SEEDS = 3
SAMPLES = 2500


class Row(NamedTuple):
  """What one ratio reached.

  Attributes:
    ratio: moves of the generator, of the discriminator.
    modes: (SEEDS, 4) at each quarter.
    quality: (SEEDS,) share of samples within 3 standard deviations of a mode, at the end.
    seconds: of the training.
  """

  ratio: tuple[int, int]
  modes: np.ndarray
  quality: np.ndarray
  seconds: float

  @property
  def title(self) -> str:
    return f'{self.ratio[0]}:{self.ratio[1]}'


def settings(ratio: tuple[int, int], moves: int, b1: float):
  """The config of a ratio: that of configs/gan.py:ring otherwise."""
  config = config_lib.load('configs/gan.py:ring').to_dict()
  for optimizer in config['optimizers'].values():
    optimizer['b1'] = b1
  config |= {
    'game': {**config['game'], 'generator_steps': ratio[0], 'discriminator_steps': ratio[1]},
    'steps': moves,
    'population': SEEDS,
    'devices': 1,
    'keep': 4,
    'checkpoint_every': moves // 4,
    'log_every': moves // 4,
    'sample_every': 0,
    'steps_per_call': min(50, moves // 4),
  }
  return config_lib.base(**config)


def measure(ratio: tuple[int, int], moves: int, b1: float) -> Row:
  with tempfile.TemporaryDirectory() as folder:
    since = time.perf_counter()
    train.run(settings(ratio, moves, b1), folder, silent=True)
    seconds = time.perf_counter() - since
    found = [
      [
        mixture_coverage(
          gan_jax.load(folder, quarter * moves // 4, member).sample(SAMPLES), ring_centers(), RING_STDDEV
        )
        for quarter in (1, 2, 3, 4)
      ]
      for member in range(SEEDS)
    ]
  modes = np.array([[coverage.modes for coverage in member] for member in found])
  return Row(ratio, modes, np.array([member[-1].quality for member in found]), seconds)


def plot(rows: list[Row], width: int = 560, height: int = 300, smooth: int = 3) -> Image.Image:
  """Modes at the end against the ratio: a dot per seed, a line through the means; crosses are earlier quarters."""
  image = Image.new('RGB', (width * smooth, height * smooth), 'white')
  pen, font = ImageDraw.Draw(image), ImageFont.load_default(12 * smooth)
  left, right, top, bottom = (n * smooth for n in (50, width - 20, 20, height - 55))
  x = lambda i: left + (i + 0.5) / len(rows) * (right - left)
  y = lambda modes: bottom - modes / 8 * (bottom - top)
  for modes in range(9):
    pen.line([(left, y(modes)), (right, y(modes))], fill=(225, 225, 225), width=smooth)
    pen.text((left - 8 * smooth, y(modes)), str(modes), fill='black', font=font, anchor='rm')
  means = [(x(i), y(row.modes[:, -1].mean())) for i, row in enumerate(rows)]
  pen.line(means, fill=(31, 119, 180), width=2 * smooth)
  for i, row in enumerate(rows):
    pen.text((x(i), bottom + 10 * smooth), row.title, fill='black', font=font, anchor='mt')
    for seed, quarters in enumerate(row.modes):
      at, r = x(i) + (seed - (SEEDS - 1) / 2) * 10 * smooth, 3 * smooth
      for modes in quarters[:-1]:
        pen.line([(at - r, y(modes)), (at + r, y(modes))], fill=(150, 150, 150), width=smooth)
      pen.ellipse([at - r, y(quarters[-1]) - r, at + r, y(quarters[-1]) + r], fill=(31, 119, 180))
  words = 'moves of the generator : of the discriminator; dots at the end, dashes at earlier quarters'
  pen.text(((left + right) / 2, bottom + 34 * smooth), words, fill='black', font=font, anchor='mt')
  return image.resize((width, height), Image.Resampling.LANCZOS)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--moves', type=int, default=3000)
  parser.add_argument('--b1', type=float, default=0.0, help="Adam's momentum, 0 in configs/gan.py:ring")
  parser.add_argument('--out', default='collapse.png')
  values = parser.parse_args()
  print('| generator : discriminator | modes of 8 at the end | at each quarter | within 3 deviations | seconds |')
  print('|---|---|---|---|---|')
  rows = []
  for ratio in RATIOS:
    row = measure(ratio, values.moves, values.b1)
    rows.append(row)
    ends = ', '.join(map(str, row.modes[:, -1]))
    quarters = '; '.join(' '.join(map(str, member)) for member in row.modes)
    quality = ', '.join(f'{100 * share:.0f} %' for share in row.quality)
    print(f'| {row.title} | {ends} | {quarters} | {quality} | {row.seconds:.0f} |', flush=True)
  plot(rows).save(values.out, optimize=True)


if __name__ == '__main__':
  main()
