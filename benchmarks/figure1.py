"""GAN 2014's figure 1, trained: densities of data and samples, D(x), and the arrows from z to x = G(z).

    python -m benchmarks.figure1 --out docs/images/figure1.png --animation docs/images/figure1.gif

Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, figure 1. Panels as there: (a) near convergence, (b)
after the discriminator alone was trained on, (c) after the generator followed its gradient, (d) after all steps, where
D should be 1/2. Data are N(1, 0.5), z is uniform on [-1, 1]; both networks have two hidden layers of 64. The density
of samples is that of 4,000 evenly spaced z, smoothed by a Gaussian kernel of deviation 0.06.
"""

import argparse
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image, ImageDraw, ImageFont

from gan_jax import core
from gan_jax.games.standard import Standard
from gan_jax.latents import distributions as latents
from gan_jax.nets import mlp

MEAN, STDDEV = 1.0, 0.5
BATCH = 256
#: Moves of the discriminator for one of the generator: with 1 it lags, and the generator crowds together.
K = 5
KERNEL = 0.06
#: The part of the line that is drawn, and its points.
LINE = np.linspace(-1.0, 3.0, 241)
#: Of a panel, pixels; drawn so many times as large and scaled down, for smooth lines.
WIDTH, HEIGHT, SMOOTH = 320, 240, 3
BLACK, GREEN, BLUE, GREY = (0, 0, 0), (20, 140, 40), (40, 70, 200), (150, 150, 150)


class Panel(NamedTuple):
  """What one panel shows.

  Attributes:
    title: written above.
    samples: (N,) G(z) of evenly spaced z, in their order.
    judged: (len(LINE),) D(x) along the line.
  """

  title: str
  samples: np.ndarray
  judged: np.ndarray


def gaussian(x: np.ndarray, mean: float, stddev: float) -> np.ndarray:
  return np.exp(-0.5 * ((x - mean) / stddev) ** 2) / (stddev * np.sqrt(2 * np.pi))


def density(samples: np.ndarray) -> np.ndarray:
  """(len(LINE),) density of samples, smoothed."""
  return gaussian(LINE[:, None], samples[None], KERNEL).mean(1)


def make_game(steps: int) -> tuple[Standard, dict[str, optax.GradientTransformation]]:
  networks = mlp.Generator((64, 64), (1,), 'identity'), mlp.Discriminator((64, 64))
  game = Standard(*networks, latents.Uniform((1,), -1.0, 1.0), discriminator_steps=K)
  adam = lambda rate, moves: optax.adam(optax.cosine_decay_schedule(rate, moves), b1=0.0)
  return game, {'generator': adam(3e-4, steps), 'discriminator': adam(3e-3, K * steps)}


def train(steps: int, near: int, alone: int, follow: int, frames: int, seed: int = 0, say=print):
  """Plays the game and stops where the paper does.

  Args:
    steps: of the whole.
    near: steps before panel (a).
    alone: moves of the discriminator alone before (b).
    follow: moves of the generator alone before (c).
    frames: of the animation.
    seed: of the networks, the data and the latents.
    say: told what is measured at each panel.

  Returns:
    (the four panels, the panels of the animation).
  """
  game, optimizers = make_game(steps)
  prepare = lambda feed, stream, move, key: {'image': MEAN + STDDEV * jax.random.normal(key, (BATCH, 1))}
  step = core.make_step(game, optimizers, streams=('images',), latents_batch=BATCH, prepare=prepare)

  def alternate(state, key):
    return step(state, None, key)[0]

  def only(turn):
    def move(state, key):
      data, drawn, own = jax.random.split(key, 3)
      batch = {'images': prepare(None, 'images', 0, data), 'latents': latents.draw(game.latents, drawn, BATCH)}
      return core.play(game, optimizers, turn, state, batch, own)[0]

    return move

  def times(move):
    """(state, key, count) -> state after so many moves, in one compiled loop."""
    body = lambda i, carry: (move(carry[0], jax.random.fold_in(carry[1], i)), carry[1])
    return jax.jit(lambda state, key, count: jax.lax.fori_loop(0, count, body, (state, key))[0])

  key = jax.random.key(seed)
  batch = {'images': {'image': jnp.zeros((BATCH, 1))}, 'latents': jnp.zeros((BATCH, 1))}
  state = core.init(game, optimizers, batch, key)
  z = jnp.linspace(-1, 1, 4001)[:-1, None] + 1 / 4000

  @jax.jit
  def look(state):
    variables = core.game_variables(game, state)
    apply = lambda x, player: game.apply(variables, x, method=lambda game, x: getattr(game, player)(x, train=False))
    return apply(z, 'generator')[:, 0], jax.nn.sigmoid(apply(jnp.asarray(LINE, jnp.float32)[:, None], 'discriminator'))

  panels, film = [], []

  def play(move, count, shots, title):
    nonlocal state, key
    run = times(move)
    edges = np.unique(np.linspace(0, count, shots + 1).astype(int))
    for first, last in itertools.pairwise(edges):
      key = jax.random.fold_in(key, int(last))
      state = run(state, key, last - first)
      film.append(Panel(title, *map(np.asarray, look(state))))

  def keep(title):
    panels.append(Panel(title, *map(np.asarray, look(state))))
    say(f'{title:<40} {described(panels[-1])}')

  film.append(Panel('start', *map(np.asarray, look(state))))
  play(alternate, near, frames // 3, 'both')
  keep('(a) near convergence')
  play(only(game.turns[0]), alone, frames // 8, 'D alone')
  keep('(b) after the discriminator alone')
  play(only(game.turns[1]), follow, frames // 8, 'G alone')
  keep('(c) after the generator alone')
  play(alternate, steps - near, frames - frames // 3 - 2 * (frames // 8), 'both')
  keep('(d) at the end')
  return panels, film


def described(panel: Panel) -> str:
  """How far D is from 1/2 and from the best there is, over the data and over the line between 2 deviations."""
  weights = gaussian(LINE, MEAN, STDDEV)
  weights, made = weights / weights.sum(), density(panel.samples)
  best = gaussian(LINE, MEAN, STDDEV) / (gaussian(LINE, MEAN, STDDEV) + made)
  inside = np.abs(LINE - MEAN) <= 2 * STDDEV
  return (
    f'|D - 1/2| {np.sum(weights * np.abs(panel.judged - 0.5)):.3f} on data, at most '
    f'{np.abs(panel.judged - 0.5)[inside].max():.3f} within 2 deviations; |D - p/(p + q)| '
    f'{np.sum(weights * np.abs(panel.judged - best)):.3f}; samples {panel.samples.mean():.3f} +- '
    f'{panel.samples.std():.3f}'
  )


def draw(panel: Panel, arrows: int = 17) -> Image.Image:
  """One panel: curves above, and below them the arrows from the line of z to the line of x."""
  scale = SMOOTH
  image = Image.new('RGB', (WIDTH * scale, HEIGHT * scale), 'white')
  pen = ImageDraw.Draw(image)
  across = lambda x: (10 + (np.asarray(x) - LINE[0]) / (LINE[-1] - LINE[0]) * (WIDTH - 20)) * scale
  base, top = 0.68 * HEIGHT, 0.1 * HEIGHT
  x_line, z_line = 0.76 * HEIGHT, 0.93 * HEIGHT
  up = lambda share: (base - np.clip(share, 0, 1.1) * (base - top)) * scale

  def curve(values, colour, on, off):
    points = list(zip(across(LINE), up(values), strict=True))
    for i in range(0, len(points) - 1, on + off):
      pen.line(points[i : i + on + 1], fill=colour, width=2 * scale, joint='curve')

  def flat(y, colour):
    pen.line([(across(LINE[0]), y * scale), (across(LINE[-1]), y * scale)], fill=colour, width=scale)

  flat(float(up(0.5)) / scale, (220, 220, 220))
  flat(base, GREY)
  # Both densities in units of the highest of the data, which is drawn at 0.9.
  unit = 0.9 / gaussian(np.array(MEAN), MEAN, STDDEV)
  curve(unit * gaussian(LINE, MEAN, STDDEV), BLACK, 1, 2)
  curve(unit * density(panel.samples), GREEN, len(LINE), 0)
  curve(panel.judged, BLUE, 5, 3)
  flat(x_line, BLACK)
  flat(z_line, BLACK)
  places = np.linspace(0, len(panel.samples) - 1, arrows).astype(int)
  for share, x in zip(np.linspace(0, 1, arrows), panel.samples[places], strict=True):
    start = np.array([float(across(LINE[0] + share * (LINE[-1] - LINE[0]))), z_line * scale])
    end = np.array([float(np.clip(across(x), 0, WIDTH * scale)), x_line * scale])
    pen.line([tuple(start), tuple(end)], fill=GREY, width=scale)
    back = (start - end) / np.linalg.norm(start - end) * 5 * scale
    side = 0.4 * np.array([-back[1], back[0]])
    pen.polygon([tuple(end), tuple(end + back + side), tuple(end + back - side)], fill=BLACK)
  font = ImageFont.load_default(12 * scale)
  pen.text((10 * scale, 4 * scale), panel.title, fill='black', font=font)
  pen.text((3 * scale, x_line * scale), 'x', fill='black', font=font, anchor='lm')
  pen.text((3 * scale, z_line * scale), 'z', fill='black', font=font, anchor='lm')
  return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def palette() -> Image.Image:
  """The colours of a panel and what lies between them and white: the same ones in every frame."""
  shades = [
    tuple(round(255 + share * (part - 255)) for part in colour)
    for colour in (BLACK, GREEN, BLUE, GREY)
    for share in (0.25, 0.5, 0.75, 1.0)
  ]
  image = Image.new('P', (1, 1))
  image.putpalette([part for colour in [(255, 255, 255), *shades] for part in colour])
  return image


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--out', default='figure1.png')
  parser.add_argument('--animation', default='figure1.gif')
  parser.add_argument('--steps', type=int, default=10_000)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--frames', type=int, default=30)
  values = parser.parse_args()
  panels, film = train(values.steps, near=200, alone=1000, follow=60, frames=values.frames, seed=values.seed)
  sheet = Image.new('RGB', (2 * WIDTH, 2 * HEIGHT), 'white')
  for i, panel in enumerate(panels):
    sheet.paste(draw(panel), (i % 2 * WIDTH, i // 2 * HEIGHT))
  sheet.save(values.out, optimize=True)
  small = (3 * WIDTH // 4, 3 * HEIGHT // 4)
  frames = [
    draw(panel).resize(small, Image.Resampling.LANCZOS).quantize(palette=palette(), dither=Image.Dither.NONE)
    for panel in film
  ]
  frames[0].save(values.animation, save_all=True, append_images=frames[1:], duration=150, loop=0, optimize=True)


if __name__ == '__main__':
  main()
