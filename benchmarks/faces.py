"""How often latent arithmetic with attributes of faces comes out, and how many faces of a concept it needs.

    python -m benchmarks.faces --workdir runs/faces [--samples 10000] [--attributes Smiling,Male,Eyeglasses]
      [--sums 50]

The run is of a folder of faces with metadata.csv, where each attribute is a column of 0 and 1, and splits `train` and
`test`. A classifier is trained on the real faces; its classes are the combinations of the attributes, and an attribute
is there where its combinations have more than half of the probability. The first table says in how many test faces it
is right.

Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 6.3.2: smiling woman - neutral woman + neutral man is a
smiling man. Here for each pair of attributes, A of --attributes the first, and each of their four combinations (a, b):
(a, not b) - (not a, not b) + (not a, b), which should be (a, b), for --sums random choices of faces each. Counted is
whether the classifier sees both in the sum; beside it the same for the mean of the third term alone. arithmetic.png
shows one sum of the first pair: three faces of each concept and their means, and the result with noise around it.
"""

import argparse
import dataclasses
import itertools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import gan_jax
from benchmarks.translation import combinations, described, distances, judge, stored
from gan_jax.base.errors import UserError
from gan_jax.data.transforms import to_uint8
from gan_jax.latents import paths
from gan_jax.sampling import exploration

COUNTS = (1, 3, 10)
#: Fewest samples of a concept among which the faces are chosen.
LEAST = 20


class Judge(NamedTuple):
  """A classifier of faces: its extractor, and the attributes (K, n) 0 or 1 of each of its classes."""

  extractor: Any
  kinds: np.ndarray

  def look(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(features (N, f), attributes that it sees (N, n) bool) of uint8 pictures."""
    of = described(self.extractor, images)
    return of['features'], np.asarray(jax.nn.softmax(of['logits'], -1)) @ self.kinds > 0.5


def faces_of(run: Any, names: tuple[str, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """{split: (uint8 pictures, attributes (N, n) of 0 and 1)} of the run's set."""
  (stream,) = run.stage.streams.values()
  columns = {'image': {'name': 'Picture'}, 'attributes': {'name': 'Attributes', 'names': names}}
  wide = dataclasses.replace(stream, columns=columns)
  read = {split: stored(wide, split) for split in ('train', 'test')}
  return {split: (images, fields['attributes'].astype(np.int32)) for split, (images, fields) in read.items()}


def trained(workdir: pathlib.Path, faces: dict[str, tuple[np.ndarray, np.ndarray]]) -> Judge:
  """The classifier of the combinations of attributes."""
  kinds, labels = combinations({split: attributes for split, (_, attributes) in faces.items()})
  parts = {split: (images, labels[split]) for split, (images, _) in faces.items()}
  return Judge(judge(workdir, 'faces', parts, len(kinds)), kinds)


def concepts(seen: np.ndarray, first: int, second: int) -> dict[tuple[int, int], np.ndarray]:
  """{(a, b): places of the samples in which attribute `first` is a and attribute `second` is b}."""
  return {
    (a, b): np.flatnonzero((seen[:, first] == a) & (seen[:, second] == b))
    for a, b in itertools.product((0, 1), repeat=2)
  }


def drawn(
  places: dict[tuple[int, int], np.ndarray], wanted: tuple[int, int], count: int, random: np.random.Generator
) -> list[np.ndarray]:
  """Places of so many samples of each term of a sum that should be `wanted`."""
  a, b = wanted
  return [random.choice(places[key], count, replace=False) for key in ((a, 1 - b), (1 - a, 1 - b), (1 - a, b))]


def sums(
  latents: np.ndarray,
  places: dict[tuple[int, int], np.ndarray],
  right: Callable[[np.ndarray, np.ndarray], np.ndarray],
  count: int,
  number: int,
) -> tuple[float, float]:
  """Shares in which the sum, and the mean of its third term alone, have both attributes as wanted.

  Args:
    latents: (N, z) of all samples.
    places: from `concepts`.
    right: (latents (M, z), wanted (M, 2)) -> (M,) bool.
    count: samples of each term.
    number: sums for each of the four combinations.
  """
  random = np.random.default_rng(0)
  wanted = np.repeat(np.array([*places]), number, 0)
  terms = [[latents[rows] for rows in drawn(places, tuple(pair), count, random)] for pair in wanted.tolist()]
  results = np.concatenate([paths.arithmetic(*of) for of in terms])
  alone = np.concatenate([paths.mean(of[2]) for of in terms])
  return float(right(results, wanted).mean()), float(right(alone, wanted).mean())


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True, help='the run')
  parser.add_argument('--samples', type=int, default=10_000, help='among which the faces of a concept are chosen')
  parser.add_argument('--attributes', default='Smiling,Male,Eyeglasses,Young,Blond_Hair', help='columns of 0 and 1')
  parser.add_argument('--sums', type=int, default=50, help='for each of the four combinations of two attributes')
  values = parser.parse_args(arguments)
  names = tuple(values.attributes.split(','))
  run, workdir = gan_jax.load(values.workdir), pathlib.Path(values.workdir)
  if isinstance(run.stage.game.latents, dict) or len(run.stage.streams) != 1 or len(names) < 2:
    raise UserError(f'{workdir}: name two attributes, and a run of one stream whose latents are one array')
  faces = faces_of(run, names)
  own = trained(workdir, faces)
  printed = []

  def say(*lines: str) -> None:
    print(*lines, sep='\n', flush=True)
    printed.extend(lines)

  given, attributes = faces['test']
  real, seen = own.look(given)
  correct = (seen == attributes).mean(0)
  say('right in the test faces: ' + ', '.join(f'{n} {100 * c:.1f} %' for n, c in zip(names, correct, strict=True)))
  latents = run.latents(values.samples)
  pixels = to_uint8(run.generate(latents), run.range)
  made, shown = own.look(pixels)
  of_train = own.look(faces['train'][0])[0]
  for title, features in (('samples', made), ('test faces', real)):
    far = distances(features, of_train)
    say(f'{len(features):,} {title}: Fréchet distance {far["frechet"]:.1f}, kernel distance {far["kernel"]:.3f}')
  say('share of samples, of training faces: ' + ', '.join(
    f'{n} {100 * a:.1f}, {100 * b:.1f} %'
    for n, a, b in zip(names, shown.mean(0), faces['train'][1].mean(0), strict=True)))  # fmt: skip

  say(
    '', '| attributes | faces of a concept | both as wanted in the sum | in the third term alone |', '|---|---|---|---|'
  )
  for second in range(1, len(names)):
    places = concepts(shown, 0, second)
    title = f'{names[0]}, {names[second]}'
    if (fewest := min(map(len, places.values()))) < LEAST:
      say(f'| {title} | | a combination has {fewest} samples: too few | |')
      continue

    def right(z: np.ndarray, wanted: np.ndarray, second: int = second) -> np.ndarray:
      found = own.look(to_uint8(run.generate(z), run.range))[1]
      return (found[:, [0, second]] == wanted).all(1)

    for count in COUNTS:
      both, alone = sums(latents, places, right, count, values.sums)
      say(f'| {title} | {count} | {100 * both:.0f} % | {100 * alone:.0f} % |')
  looked = lambda a, b: lambda x: (own.look(to_uint8(x, run.range))[1][:, :2] == (a, b)).all(1)
  if min(map(len, concepts(shown, 0, 1).values())) >= LEAST:
    picture = exploration.arithmetic(run, values.samples, concepts=(looked(1, 0), looked(0, 0), looked(0, 1)))
    picture.save(workdir / 'arithmetic.png')
  (workdir / 'faces.md').write_text('\n'.join(printed) + '\n')
  return '\n'.join(printed)


if __name__ == '__main__':
  main()
