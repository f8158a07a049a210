"""The tables of systems that go from coarse to fine: StackGAN on titles, Progressive GAN grown or whole, LAPGAN.

    TFDS_DATA_DIR=<prepared data> python -m benchmarks.coarse_to_fine --workdir runs/coarse --tables titles
      [--rows both,no_kl] [--data fashion_128] [--share 1.0] [--table]

Every row is a run of a shipped config in WORKDIR/ROW, which the same command resumes; measured rows are not run again,
and --table prints those there are. All are cut so that two CPU cores train them; --share multiplies the steps.

titles   StackGAN on a folder of products with titles, types (27) and colours (42), its config half as wide at 32 and 64
         pixels: whole; without pairs of wrong titles; without the KL; asked by the type alone. Figures are of samples
         for held-out titles, in the features of classifiers of the types and of the colours that are trained on the
         training pictures; the table says how many held-out ones they tell right. `at 64 pixels` are distances in the
         features of a random network, which needs no training: of stage II, and of stage I's samples, enlarged (cubic).
grown    Progressive GAN on MNIST and on CIFAR-10, a quarter as wide, two seeds each: grown, and the same network at 32
         pixels from the first step on, at steps of about equal time.
pyramid  LAPGAN on CIFAR-10, half as wide; in one step of x4; GAN 2014 and DCGAN of the same set.
"""

import argparse
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

import gan_jax
from gan_jax import config as config_lib
from gan_jax.data import sets
from gan_jax.data.transforms import to_uint8
from gan_jax.evaluate import evaluate
from gan_jax.features import choose
from gan_jax.metrics import frechet
from gan_jax.nets.layers.resample import resize
from gan_jax.training import loop as train


class Row(NamedTuple):
  """A run.

  Attributes:
    title: in the table.
    config: a shipped one.
    changes: of its settings.
    points: steps after which it is measured.
  """

  title: str
  config: str
  changes: tuple[str, ...]
  points: tuple[int, ...]


SEEDS, LARGE = (0, 1), 'at 64 pixels'


def titles(steps: Any, data: str) -> dict[str, Row]:
  first, second = steps(2040), steps(1020)
  one = f'stages=({{"steps": {first}}},)'
  common = (
    f'data.path={data or "fashion"}',
    'data.size=32',
    "data.columns.type={'name': 'Label', 'classes': 27}",
    "data.columns.colour={'name': 'Label', 'classes': 42}",
    'game.generator_1.base=2',
    'game.generator_1.channels=(256, 128, 64, 32)',
    'game.discriminator_1.channels=(32, 64, 128)',
    'game.generator_2.channels=(32, 64, 128)',
    'game.generator_2.widths=(64, 32, 16)',
    'game.generator_2.blocks=2',
    'game.discriminator_2.channels=(32, 64, 128, 256)',
    'game.discriminator_2.hidden=(128,)',
    f'checkpoint_every={second}',
    f'sample_every={second}',
    'keep=9',
  )
  networks = [f'{kind}_{k}' for kind in ('generator', 'discriminator') for k in (1, 2)]
  words = [f'game.{network}.words=27' for network in networks]
  rows = {
    'both': ('StackGAN', [f'stages=({{"steps": {first}}}, {_second(second)})']),
    'no_wrong': ('without wrong titles', [one, 'game.wrong=False']),
    'no_kl': ('KL off', [one, 'game.kl=0.0']),
    'classes': ('asked by the type', [one, 'game.condition=type', *words]),
  }
  return {
    name: Row(
      title, 'configs/stackgan.py:fashion_128', (*common, *changes), (first, first + second)[: 1 + (name == 'both')]
    )
    for name, (title, changes) in rows.items()
  }


def _second(steps: int) -> str:
  return f'{{"steps": {steps}, "game": {{"stage": 2}}, "data": {{"size": 64}}}}'


def grown(steps: Any, data: str) -> dict[str, Row]:
  del data
  rows = {}
  for name in ('mnist', 'cifar10'):
    fade, narrow = steps(1000), f'channels={(32,) * 4}'

    def stage(size: int, count: int, fade: int = fade) -> dict[str, Any]:
      game = {'fade': fade, 'generator': {'resolution': size}, 'discriminator': {'resolution': size}}
      return {'steps': steps(count), 'game': game, 'data': {'size': size}}

    anew = {'reset': {'optimizer': ('generator', 'discriminator')}}
    larger = [stage(8, 2000) | anew, stage(16, 2000) | anew, stage(32, 3000) | anew]
    stages, whole = ({'steps': steps(1000)}, *larger), (stage(32, 4000, 0),)
    common = (f'game.generator.{narrow}', f'game.discriminator.{narrow}', 'game.latents.shape=(64,)', 'keep=20')
    common = (*common, f'checkpoint_every={steps(500)}', 'steps_per_call=5')
    for seed in SEEDS:
      for kind, changes, points in (
        ('grown', f'stages={stages}', (6000, 7000, 8000)),
        ('whole', f'stages={whole}', (1000, 2000, 3000, 4000)),
      ):
        rows[f'{name}_{kind}_{seed}'] = Row(
          f'{name}, {kind}, seed {seed}',
          f'configs/progressive.py:{name}',
          (*common, changes, f'seed={seed}'),
          tuple(map(steps, points)),
        )
  return rows


def pyramid(steps: Any, data: str) -> dict[str, Row]:
  del data
  lengths = lambda *counts: tuple(f'stages[{i}].steps={steps(count)}' for i, count in enumerate(counts))
  narrow = lambda levels, width: tuple(
    f'game.{kind}[{k}].channels={(width, width)}' for kind in ('generators', 'discriminators') for k in range(1, levels)
  )
  ends = lambda *counts: (sum(map(steps, counts)),)
  return {
    'lapgan': Row(
      'LAPGAN', 'configs/lapgan.py:cifar10', (*lengths(8000, 1500, 600), *narrow(3, 32)), ends(8000, 1500, 600)
    ),
    'x4': Row('one step of x4', 'configs/lapgan.py:cifar10_x4', (*lengths(8000, 800), *narrow(2, 46)), ends(8000, 800)),
    'gan': Row(
      'GAN 2014',
      'configs/gan.py:cifar10_fc',
      ('game.generator.hidden=(2000, 2000)', f'steps={steps(2500)}', 'eval.every=0', 'keep_best='),
      ends(2500),
    ),
    'dcgan': Row(
      'DCGAN',
      'configs/dcgan.py:cifar10',
      ('game.generator.channels=(128, 64, 32)', 'game.discriminator.channels=(32, 64, 128)', f'steps={steps(3000)}'),
      ends(3000),
    ),
  }


TABLES = {'titles': titles, 'grown': grown, 'pyramid': pyramid}
#: Of each table: (options of the evaluation, {figure: its title in the table}), one after the other.
FIGURES: dict[str, list[tuple[dict[str, Any], dict[str, str]]]] = {
  'titles': [
    (
      dict(metrics=('fid', 'is', 'classes'), classes_of='type'),
      {'fid': 'distance', 'inception_score': 'score', 'class_accuracy': 'type asked for'},
    ),
    (dict(metrics=('classes',), classes_of='colour'), {'class_accuracy': 'colour asked for'}),
  ],
  'grown': [(dict(metrics=('fid', 'swd')), {'fid': 'distance', 'swd': 'sliced Wasserstein'})],
  'pyramid': [(dict(metrics=('fid', 'parzen')), {'fid': 'distance', 'parzen': 'Parzen, nats'})],
}


def measure(table: str, name: str, row: Row, folder: pathlib.Path, samples: int) -> None:
  """Trains and measures a row, where that is not done."""
  if (folder / 'row.json').exists():
    return
  common = ('devices=1', 'log_every=20' if table != 'titles' else 'log_every=85')
  config = config_lib.override(config_lib.load(row.config), [f'--config.{x}' for x in (*common, *row.changes)])
  train.run(config, folder)
  points = []
  for step in row.points:
    run, figures, protocols = gan_jax.load(folder, step), {}, []
    first = step == row.points[0]
    for options, wanted in FIGURES[table] if first or table != 'titles' else ():
      if name == 'classes' and options.get('classes_of') == 'colour':
        continue  # nobody asked for a colour
      found = evaluate(run, samples=samples, **options)
      figures |= {title: found.values[figure] for figure, title in wanted.items() if figure in found.values}
      protocols.append(found.shared['features'])
    if name == 'both':
      figures[LARGE] = enlarged(run, gan_jax.load(folder).stage.streams['images'], samples)
    points.append({'step': step, 'minutes': minutes(folder, step), 'figures': figures, 'protocols': protocols})
  (folder / 'row.json').write_text(json.dumps(points, indent=2) + '\n')


def minutes(folder: pathlib.Path, step: int) -> float:
  """Of training alone, by the speeds of its lines of metrics."""
  last, seconds = 0, 0.0
  for line in (folder / 'metrics.jsonl').read_text().splitlines():
    row = json.loads(line)
    if last < row['step'] <= step and row.get('steps_per_second'):
      seconds, last = seconds + (row['step'] - last) / row['steps_per_second'], row['step']
  return seconds / 60


def enlarged(run: Any, large: Any, samples: int) -> float:
  """The Fréchet distance of samples, enlarged if they are smaller, to the pictures of a stream, by a random network."""
  stream = sets.reference_stream(large)
  extractor = choose.choose('random', stream)
  features = jax.jit(lambda x: extractor.apply(extractor.variables, x)['features'])
  enlarge = jax.jit(lambda x: resize(x, (large.size, large.size), method='cubic'))
  made = run.sample(samples, seed=1)
  parts = [to_uint8(np.asarray(enlarge(made[i : i + 256])), large.range) for i in range(0, samples, 256)]
  real = sets.examples(stream, len(stream.open()))[0]
  of = lambda rows: np.concatenate([features(rows[i : i + 256]) for i in range(0, len(rows), 256)])
  return frechet.frechet(frechet.moments(of(real)), frechet.moments(of(np.concatenate(parts))))


def lines_of(table: str, rows: dict[str, list[dict[str, Any]]]) -> list[str]:
  """A table in Markdown."""
  names = [title for _, wanted in FIGURES[table] for title in wanted.values()]
  names += [LARGE] * (table == 'titles')
  head = [f'| | steps | minutes | {" | ".join(names)} |', '|---' * (len(names) + 3) + '|']
  shown = lambda figures, name: f'{figures[name]:.4g}' if name in figures else ''
  body = [
    f'| {title} | {p["step"]:,} | {p["minutes"]:.0f} | {" | ".join(shown(p["figures"], name) for name in names)} |'
    for title, points in rows.items()
    for p in points
  ]
  protocols = sorted({protocol for points in rows.values() for p in points for protocol in p['protocols']})
  return [*head, *body, '', *protocols, '']


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--tables', default=','.join(TABLES), help='by commas')
  parser.add_argument('--rows', default='', help='by commas; all of the tables by default')
  parser.add_argument('--data', default='', help='the folder of products with titles')
  parser.add_argument('--share', type=float, default=1.0, help='of the steps')
  parser.add_argument('--samples', type=int, default=4096)
  parser.add_argument('--table', action='store_true', help='train nothing')
  values = parser.parse_args(arguments)
  workdir, printed = pathlib.Path(values.workdir), []
  steps = lambda count: max(round(count * values.share), 1)
  for table in values.tables.split(','):
    if table not in TABLES:
      parser.error(f'--tables: {table!r} is none of {", ".join(TABLES)}')
    rows = TABLES[table](steps, values.data)
    unknown = set(filter(None, values.rows.split(','))) - set(rows)
    if unknown:
      parser.error(f'--rows: {min(unknown)!r} is none of {", ".join(rows)}')
    for name, row in rows.items():
      if not values.table and (not values.rows or name in values.rows.split(',')):
        measure(table, name, row, workdir / name, values.samples)
    found = {row.title: workdir / name / 'row.json' for name, row in rows.items()}
    done = {title: json.loads(file.read_text()) for title, file in found.items() if file.exists()}
    printed += [f'{table}:', '', *lines_of(table, done)]
  print('\n'.join(printed))
  return '\n'.join(printed)


if __name__ == '__main__':
  main()
