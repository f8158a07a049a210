"""The tables of systems that go from coarse to fine: LAPGAN, StackGAN, Progressive GAN, Stacked GAN.

    TFDS_DATA_DIR=<prepared data> python -m benchmarks.coarse_to_fine --workdir runs/coarse --tables titles
      [--rows both,no_kl] [--data fashion_128] [--share 1.0] [--table]

Every row is a run of a shipped config in WORKDIR/ROW, which the same command resumes; measured rows are not run again,
and --table prints those there are. All are cut so that two CPU cores train them; --share multiplies the steps.

pyramid LAPGAN on CIFAR-10, all levels but the first a quarter as wide as their config; with one step of x4 in place of
        two of x2; and beside them GAN 2014's fully connected networks and DCGAN, a quarter as wide. LAPGAN's levels
        learn by Adam at 2e-4, and level 0 has no layer of sigmoids and a discriminator that begins at 0.05: by the
        authors' descent 4,000 steps at 8 pixels move next to nothing.
titles  StackGAN on a folder of products with titles, types (27) and colours (42), narrower than its config, of 32 and
        64 pixels: whole; without pairs of wrong titles; without the KL; asked by the type alone. Figures are of samples
        for held-out titles, in the features of classifiers of the types and of the colours that are trained on the
        training pictures; the table says how many held-out ones they tell right. `at 64 pixels` are distances in the
        features of a random network, which needs no training: of stage II, and of stage I's samples, enlarged (cubic).
grown   Progressive GAN on MNIST and on CIFAR-10, 32 channels, two seeds each: grown, and the same network at 32 pixels
        from the first step on, in about the time of the grown one by the milliseconds in benchmarks/README.md.
stacked Stacked GAN on MNIST, half as wide and 3,000 steps a phase (the config has 60,000): its generators apart, then
        jointly; jointly from the start; and a single generator with as many parameters, which makes pictures of noise
        and class and has the same losses. With --data digits the networks of that variant, and 15,000 steps a phase.
        In all rows noise passes a layer before it meets features or class, and the discriminators are those of the
        authors' joint training. With --data cifar10 a quarter as wide (the encoder half), with the discriminators of
        that variant and 1,800 steps of the encoder.
"""

import argparse
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import gan_jax
from benchmarks import rows as rows_lib
from benchmarks.translation import described, distances
from gan_jax import config as config_lib
from gan_jax.data import sets
from gan_jax.data.streams import Stream
from gan_jax.data.transforms import to_uint8
from gan_jax.evaluate import evaluate
from gan_jax.features import choose
from gan_jax.nets.layers.resample import resize
from gan_jax.training import loop as train

#: An evaluation: (its options, {figure: its title in the table}).
Evaluation = tuple[dict[str, Any], dict[str, str]]


class Row(NamedTuple):
  """A run.

  Attributes:
    title: in the table.
    config: a shipped one.
    changes: of its settings.
    points: {step: evaluations after it}.
    large: at each point also the distance to the pictures of the last stage.
  """

  title: str
  config: str
  changes: tuple[str, ...]
  points: dict[int, tuple[Evaluation, ...]]
  large: bool = False


SEEDS, LARGE = (0, 1), 'at 64 pixels'
TYPE: Evaluation = (
  dict(metrics=('fid', 'is', 'classes'), classes_of='type'),
  {'fid': 'distance', 'inception_score': 'score', 'class_accuracy': 'type asked for'},
)
COLOUR: Evaluation = (dict(metrics=('classes',), classes_of='colour'), {'class_accuracy': 'colour asked for'})
DENSITY: Evaluation = (
  dict(metrics=('fid', 'parzen'), features='random'),
  {'fid': 'distance', 'parzen': 'Parzen, test', 'parzen_validation': 'Parzen, validation'},
)
SPREAD: Evaluation = (dict(metrics=('fid', 'swd')), {'fid': 'distance', 'swd': 'sliced Wasserstein'})


def pyramid(steps: Any, data: str) -> dict[str, Row]:
  del data

  def row(title: str, config: str, *changes: str, counts: tuple[int, ...]) -> Row:
    counts = tuple(steps(count) for count in counts)
    many = [f'stages[{k}].steps={count}' for k, count in enumerate(counts)] if len(counts) > 1 else []
    ends = [f'steps={sum(counts)}', 'data.split=train[:40000]', 'sample_every=0', 'checkpoint_every=0', 'log_every=50']
    return Row(title, config, (*changes, *many, *ends, 'steps_per_call=5'), {sum(counts): (DENSITY,)})

  def narrow(channels: int, levels: int) -> list[str]:
    kinds, adam = ('generators', 'discriminators'), {'name': 'optax.adam', 'learning_rate': 2e-4, 'b1': 0.5}
    return [
      'game.generators[0].sigmoid=False',
      'game.discriminators[0].stddev=0.05',
      *(f'game.{kind}[{k}].channels={(channels,) * 2}' for kind in kinds for k in range(1, levels)),
      *(f'optimizers.{kind}_{k}={adam}' for kind in kinds for k in range(levels)),
    ]

  return {
    'lapgan': row('LAPGAN, two steps of x2', 'configs/lapgan.py:cifar10', *narrow(16, 3), counts=(8000, 3000, 3000)),
    'lapgan_x4': row('LAPGAN, one step of x4', 'configs/lapgan.py:cifar10_x4', *narrow(23, 2), counts=(8000, 3000)),
    'gan': row(
      'GAN 2014',
      'configs/gan.py:cifar10_fc',
      'game.generator.hidden=(2000, 2000)',
      'game.discriminator.units=(400, 400)',
      counts=(8000,),
    ),
    'dcgan': row(
      'DCGAN',
      'configs/dcgan.py:cifar10',
      'game.generator.channels=(64, 32, 16)',
      'game.discriminator.channels=(16, 32, 64)',
      'batch_size=64',
      counts=(8000,),
    ),
  }


def titles(steps: Any, data: str) -> dict[str, Row]:
  first, second = steps(2040), steps(1020)
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
    'log_every=85',
  )
  networks = [f'{kind}_{k}' for kind in ('generator', 'discriminator') for k in (1, 2)]
  words = [f'game.{network}.words=27' for network in networks]
  one = {'steps': first}
  two = {'steps': second, 'game': {'stage': 2}, 'data': {'size': 64}}

  def row(
    title: str, *changes: str, stages: tuple[Any, ...] = (one,), figures: Any = (TYPE, COLOUR), **more: Any
  ) -> Row:
    points = {first: figures} | ({first + second: ()} if len(stages) > 1 else {})
    changes = (*common, f'stages={stages}', *changes)
    return Row(title, 'configs/stackgan.py:fashion_128', changes, points, **more)

  return {
    'both': row('StackGAN', stages=(one, two), large=True),
    'no_wrong': row('without wrong titles', 'game.wrong=False'),
    'no_kl': row('KL off', 'game.kl=0.0'),
    'classes': row('asked by the type', 'game.condition=type', *words, figures=(TYPE,)),  # nobody asked for a colour
  }


def grown(steps: Any, data: str) -> dict[str, Row]:
  del data  # the sets have names
  fade = steps(1000)

  def stage(size: int, count: int, **settings: Any) -> dict[str, Any]:
    game = {'generator': {'resolution': size}, 'discriminator': {'resolution': size}, **settings}
    return {'steps': steps(count), 'game': game, 'data': {'size': size}}

  anew = {'reset': {'optimizer': ('generator', 'discriminator')}}
  larger = [stage(size, count, fade=fade) | anew for size, count in ((8, 2000), (16, 2000), (32, 3000))]
  kinds = {
    'grown': (({'steps': steps(1000)}, *larger), (6000, 7000, 8000)),
    'whole': ((stage(32, 4000),), (1000, 2000, 3000, 4000)),
  }
  common = [f'game.{network}.channels={(32,) * 4}' for network in ('generator', 'discriminator')]
  common += [
    'game.latents.shape=(64,)',
    f'checkpoint_every={steps(500)}',
    'keep=20',
    'steps_per_call=5',
    'log_every=20',
  ]
  return {
    f'{name}_{kind}_{seed}': Row(
      f'{name}, {kind}, seed {seed}',
      f'configs/progressive.py:{name}',
      (*common, f'stages={stages}', f'seed={seed}'),
      {steps(point): (SPREAD,) for point in points},
    )
    for name in ('mnist', 'cifar10')
    for seed in SEEDS
    for kind, (stages, points) in kinds.items()
  }


def _narrow_stack(data: str) -> tuple[str, ...]:
  if data == 'cifar10':
    return (
      'game.encoders[0].channels=(32, 64)',
      'game.generators[0].channels=(64, 64, 32, 32)',
      'game.discriminators[0].channels=(24, 48)',
    )
  judges = tuple(f'game.discriminators[{k}].glorot=True' for k in (0, 1))
  half = ('game.generators[0].channels=(64, 64, 32, 32)', 'game.discriminators[0].channels=(16, 32, 64)')
  return judges if data == 'digits' else (*half, *judges)


def stacked(steps: Any, data: str) -> dict[str, Row]:
  figures: Evaluation = (
    dict(metrics=('fid', 'is', 'classes')),
    {'fid': 'distance', 'inception_score': 'score', 'class_accuracy': 'class asked for'},
  )
  count, config = steps(15_000 if data == 'digits' else 3000), f'configs/stacked.py:{data or "mnist"}'
  narrow = _narrow_stack(data)
  game = config_lib.override(config_lib.load(config), [f'--config.{x}' for x in narrow]).game
  # Of its noise: as many parameters as the generators of the stack.
  widths = {'digits': (222,), 'cifar10': (512, 662)}.get(data, (512, 512))
  # One encoder, one generator and one discriminator: the lowest of each. Above them is the class.
  alone = {
    'encoders': ({**game.encoders[0], 'classes': 10},),
    'generators': ({**game.generators[0], 'widths': widths, 'classes': 10},),
    'discriminators': ({**game.discriminators[0], 'codes': game.latents.z.shape[0]},),
    'latents': {part: dict(game.latents[part]) for part in ('z', 'label')},
  }
  first = 1800 if data == 'cifar10' else min(count, 900)  # the encoder needs no more
  stage = lambda phase: {'steps': count, 'game': {'phase': phase}}
  rows = {
    'stack': ('apart, then jointly', (stage('apart'), stage('joint')), narrow),
    'joint': ('jointly from the start', (stage('joint'), stage('joint')), narrow),
    'single': (
      'a single generator',
      (stage('joint'), stage('joint')),
      tuple(f'game.{field}={value}' for field, value in alone.items()),
    ),
  }
  common = (f'log_every={max(count // 9, 1)}', f'checkpoint_every={count}', f'sample_every={count}', 'keep=9')
  return {
    name: Row(
      title,
      config,
      (f'stages={({**stage("encoder"), "steps": first}, *stages)}', *changes, *common),
      {first + times * count: (figures,) for times in (1, 2)},
    )
    for name, (title, stages, changes) in rows.items()
  }


#: {table: (its rows, the titles of its figures)}
TABLES: dict[str, tuple[Callable[[Any, str], dict[str, Row]], tuple[str, ...]]] = {
  'pyramid': (pyramid, tuple(DENSITY[1].values())),
  'titles': (titles, (*TYPE[1].values(), *COLOUR[1].values(), LARGE)),
  'grown': (grown, tuple(SPREAD[1].values())),
  'stacked': (stacked, ('distance', 'score', 'class asked for')),
}


def config_of(row: Row) -> Any:
  return config_lib.override(config_lib.load(row.config), [f'--config.{x}' for x in (*row.changes, 'devices=1')])


def measure(row: Row, folder: pathlib.Path, samples: int) -> None:
  """Trains and measures a row, where that is not done."""
  options = dict(config=row.config, changes=row.changes, samples=samples)
  if rows_lib.measured(folder, **options):
    return
  train.run(config_of(row), folder)
  points, last = [], gan_jax.load(folder).stage.streams['images']
  for step, evaluations in row.points.items():
    run, figures, protocols = gan_jax.load(folder, step), {}, []
    for options, wanted in evaluations:
      found = evaluate(run, samples=samples, **options)
      figures |= {title: found.values[figure] for figure, title in wanted.items()}
      protocols.append(found.shared['features'])
    if row.large:
      figures[LARGE] = distance_at(last, run, samples)
    points.append({'step': step, 'minutes': minutes(folder, step), 'figures': figures, 'protocols': protocols})
  rows_lib.write(folder, {'points': points}, **options)


def minutes(folder: pathlib.Path, step: int) -> float:
  """Of training alone, by the speeds of its lines of metrics."""
  last, seconds = 0, 0.0
  for line in (folder / 'metrics.jsonl').read_text().splitlines():
    row = json.loads(line)
    if last < row['step'] <= step and row.get('steps_per_second'):
      seconds, last = seconds + (row['step'] - last) / row['steps_per_second'], row['step']
  return seconds / 60


def distance_at(large: Stream, run: Any, samples: int) -> float:
  """The Fréchet distance of samples, enlarged to the size of a stream, to its pictures, by a random network."""
  stream = sets.reference_stream(large)
  extractor = choose.choose('random', stream)
  enlarge = jax.jit(lambda x: resize(x, (large.size, large.size), method='cubic'))
  made = run.sample(samples, seed=1)
  parts = [to_uint8(np.asarray(enlarge(made[i : i + 256])), large.range) for i in range(0, samples, 256)]
  real = sets.examples(stream, len(stream.open()))[0]
  of = lambda pictures: described(extractor, pictures)['features']
  return distances(of(np.concatenate(parts)), of(real))['frechet']


def lines_of(table: str, rows: dict[str, list[dict[str, Any]]]) -> list[str]:
  """A table in Markdown."""
  names = TABLES[table][1]
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
    rows = TABLES[table][0](steps, values.data)
    unknown = set(filter(None, values.rows.split(','))) - set(rows)
    if unknown:
      parser.error(f'--rows: {min(unknown)!r} is none of {", ".join(rows)}')
    for name, row in rows.items():
      if not values.table and (not values.rows or name in values.rows.split(',')):
        measure(row, workdir / name, values.samples)
    found = {row.title: rows_lib.read(workdir / name) for name, row in rows.items()}
    done = {title: row['points'] for title, row in found.items() if row is not None}
    printed += [f'{table}:', '', *lines_of(table, done)]
  print('\n'.join(printed))
  return '\n'.join(printed)


if __name__ == '__main__':
  main()
