"""The tables of translation: unpaired (CycleGAN, DualGAN, DiscoGAN), StarGAN's attributes, pix2pix's losses, restoring.

    TFDS_DATA_DIR=<prepared data> python -m benchmarks.translation --workdir runs/translation --tables unpaired
      [--rows cyclegan,no_cycle] [--steps 26680] [--faces celeba_64] [--pairs edges2shoes_128] [--table]
      [--set optimizers.generator.b1=0.9]

Every row is a run of a shipped config in WORKDIR/ROW, which the same command resumes; measured rows are not
run again, and --table prints those there are. Seeds are 0. All figures are of pictures held out of training. Judges
are classifiers trained here on real pictures; a table says how many held-out ones they tell right. Fréchet and kernel
distances are between translated and real held-out pictures, in the classifier's features; where there are no classes,
in those of a random network.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

import gan_jax
from benchmarks import rows as rows_lib
from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.base.seeds import key_of
from gan_jax.data import sets
from gan_jax.data.streams import Stream
from gan_jax.data.transforms import to_uint8
from gan_jax.features import choose
from gan_jax.metrics import frechet, kernel_distance, similarity
from gan_jax.nets.layers.resample import resize
from gan_jax.sampling.inputs import examples, input_stream
from gan_jax.training import loop as train

ATTRIBUTES = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Male', 'Young')
H2Z, PAIRS = 'configs/cyclegan.py:horse2zebra64', 'configs/pix2pix.py:edges2shoes64'
#: {table: {row: (title, config, settings)}}
ROWS: dict[str, dict[str, tuple[str, str, list[str]]]] = {
  'unpaired': {
    'cyclegan': ('CycleGAN', H2Z, []),
    'no_cycle': ('lambda = 0', H2Z, ['game.cycle=0.0']),
    'no_identity': ('identity off', H2Z, ['game.identity=0.0']),
    'no_pool': ('pool off', H2Z, ['game.pool=0']),
    'dualgan': ('DualGAN', 'configs/dualgan.py:horse2zebra64', []),
    'discogan': ('DiscoGAN', 'configs/discogan.py:horse2zebra64', []),
  },
  'stargan': {
    'stargan': ('one model of five attributes', 'configs/stargan.py:celeba64', []),
    **{
      f'stargan_{name}': (
        f'two domains: {name}',
        'configs/stargan.py:celeba64',
        [
          f'game.domains=({name!r},)',
          'game.exclusive=()',
          'game.discriminator.domains=1',
          f'data.columns.attributes.names=({name!r},)',
        ],
      )
      for name in ATTRIBUTES
    },
  },
  'losses': {
    'l1': ('L1', PAIRS, ['game.adversarial=0.0']),
    'gan': ('GAN', PAIRS, ['game.l1=0.0', 'game.conditional=False']),
    'cgan': ('cGAN', PAIRS, ['game.l1=0.0']),
    'l1_gan': ('L1 + GAN', PAIRS, ['game.conditional=False']),
    'l1_cgan': ('L1 + cGAN', PAIRS, []),
  },
  'restored': {
    f'{variant}{end}': (f'{variant}, {title}', f'configs/pix2pix.py:{variant}', settings)
    for variant in ('colour', 'holes', 'enlarge')
    for end, title, settings in (('', 'GAN', []), ('_l1', 'L1 alone', ['game.adversarial=0.0', 'game.perceptual=0.0']))
  },
}
#: Two domains get the time of one model's share.
SHARE = {name: len(ATTRIBUTES) for name in ROWS['stargan'] if name != 'stargan'}
#: Pictures of a pass.
PASS = 20


def settings(table: str, row: str, steps: int, data: str, more: Sequence[str] = ()) -> Any:
  """The config of a row; `more` are settings for every row."""
  _, config, changes = ROWS[table][row]
  arguments = [f'--config.{change}' for change in (*changes, *more)]
  if data and table in ('stargan', 'losses'):
    arguments.append(f'--config.data.path={data}')
  loaded = config_lib.load(config)
  steps, whole = (steps or loaded.steps) // SHARE.get(row, 1), loaded.steps
  config = config_lib.override(loaded, [*arguments, f'--config.steps={steps}', '--config.seed=0', '--config.devices=1'])
  shorten(config.optimizers, steps / whole)
  if config.game.get('rates'):  # the steps at which DiscoGAN's cycle weight changes
    config.game.rates = tuple((round(step * steps / whole), weight) for step, weight in config.game.rates)
  return config


def shorten(optimizers: Any, share: float) -> None:
  """Lets rates that fall to the end of a run fall in a share of its steps."""
  for entry in optimizers.values():
    if isinstance(entry, ml_collections.ConfigDict):
      shorten(entry, share)
      if entry.get('name') == 'optax.linear_schedule':
        for name in ('transition_begin', 'transition_steps'):
          entry[name] = round(entry[name] * share)


def measure(table: str, row: str, folder: pathlib.Path, steps: int, data: str, more: Sequence[str]) -> None:
  """Trains and measures a row, where that is not done."""
  options = dict(set=more, steps=steps, data=data if table in ('stargan', 'losses') else '')
  if rows_lib.measured(folder, **options):
    return
  config = settings(table, row, steps, data, more)
  for stream in runs.stages_of(config)[-1].streams.values():
    check_held_out(stream)
  train.run(config, folder)
  run = gan_jax.load(folder)
  found = {'unpaired': unpaired, 'stargan': starred}.get(table, paired)(run, folder.parent)
  rows_lib.write(folder, {'reached': run.step, **found}, **options)


def check_held_out(stream: Stream) -> Stream:
  """The set that is held out of the training on another."""
  other = input_stream(stream)
  if other.split == stream.split:
    raise UserError(f'{stream.path or stream.name} has no split but {stream.split!r}: its figures would be of training')
  return other


def held_out(run: Any, name: str) -> tuple[Stream, dict[str, np.ndarray]]:
  """(the set, all of its examples) of a stream that was held out of a run."""
  stream = check_held_out(run.stage.streams[name])
  return stream, examples(stream, np.arange(len(stream.open())))


def applied(run: Any, method: str, batch: dict[str, dict[str, np.ndarray]]) -> Any:
  """A method of the game on pictures that were held out, in passes of PASS."""
  count = min(len(x) for fields in batch.values() for x in fields.values())
  variables = run.variables()
  apply = jax.jit(lambda part: run.stage.game.apply(variables, part, method=method, rngs={'noise': key_of(0)}))
  parts = []
  for start in range(0, count, PASS):
    take = np.arange(start, start + PASS) % count
    parts.append(jax.device_get(apply(jax.tree.map(lambda x, take=take: x[take], batch))))
  return jax.tree.map(lambda *rows: np.concatenate(rows)[:count], *parts)


def described(extractor: Any, images: np.ndarray) -> dict[str, np.ndarray]:
  """Features and logits of uint8 pictures."""
  apply = jax.jit(lambda x: extractor.apply(extractor.variables, x))
  parts = [apply(images[start : start + 200]) for start in range(0, len(images), 200)]
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def distances(fake: np.ndarray, real: np.ndarray, paired: bool = False) -> dict[str, float]:
  """Fréchet and kernel distance of features; of pairs, whether picture i of both is of one scene."""
  return {
    'frechet': frechet.frechet(frechet.moments(real), frechet.moments(fake)),
    'kernel': kernel_distance.kernel_distance(real, fake, paired=paired).value,
  }


def judge(workdir: pathlib.Path, name: str, parts: dict[str, tuple[np.ndarray, np.ndarray]], classes: int = 2) -> Any:
  """A classifier of {split: (pictures, labels)}, as an extractor; its protocol says how right it is."""
  folder = workdir / 'judges' / name
  folder.mkdir(parents=True, exist_ok=True)
  for split, (images, labels) in parts.items():
    np.savez(folder / f'{split}.npz', image=images, label=labels.astype(np.int32))
  size, channels = parts['train'][0].shape[2:]
  stream = Stream(name='npz', path=str(folder / '{split}.npz'), size=size, channels=channels, classes=classes)
  return choose.choose('classifier', stream, say=print)


def stored(stream: Stream, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """(uint8 pictures, other fields) of a split of a stream's set."""
  plain = sets.reference_stream(stream, split)
  fields = examples(dataclasses.replace(plain, classes=stream.classes), np.arange(len(plain.open())))
  return to_uint8(fields['image'], stream.range), fields


def unpaired(run: Any, workdir: pathlib.Path) -> dict[str, Any]:
  """Horses to zebras: share that a classifier calls zebras, distances, the way back."""
  own = run.stage.streams
  split = lambda part, domain: stored(own[domain], f'{part}{domain.upper()}')[0]
  of = {domain: {part: split(part, domain) for part in ('train', 'test')} for domain in 'ab'}
  both = lambda part: np.concatenate([of['a'][part], of['b'][part]])
  labels = lambda part: np.repeat([0, 1], [len(of['a'][part]), len(of['b'][part])])
  extractor = judge(workdir, 'domains', {part: (both(part), labels(part)) for part in ('train', 'test')})
  given = {domain: held_out(run, domain)[1] for domain in 'ab'}
  made, again = applied(run, 'sample', given), applied(run, 'round_trip', given)
  found: dict[str, Any] = {'judge': extractor.protocol}
  for way, target in (('ab', 'b'), ('ba', 'a')):
    fake = described(extractor, to_uint8(made[way], own[target].range))
    real = described(extractor, of[target]['test'])
    called = fake['logits'].argmax(-1) == 'ab'.index(target)
    found |= {f'called_{way}': float(called.mean())}
    found |= {f'{name}_{way}': value for name, value in distances(fake['features'], real['features']).items()}
  for domain in 'ab':
    low, high = own[domain].range  # as a share of black to white
    difference = np.abs(again[domain] - given[domain]['image'][: len(again[domain])])
    found[f'cycle_{domain}'] = float(difference.mean() / (high - low))
  return found


def combinations(parts: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """(all different rows of {part: (N, attributes)}, {part: the number of each row among them})."""
  kinds, labels = np.unique(np.concatenate([*parts.values()]), axis=0, return_inverse=True)
  ends = np.cumsum([len(rows) for rows in parts.values()])[:-1]
  return kinds, dict(zip(parts, np.split(labels.reshape(-1), ends), strict=True))


def starred(run: Any, workdir: pathlib.Path) -> dict[str, Any]:
  """Faces that lack an attribute are asked for it: whether it is seen, what was kept, distances to those that have it.

  One classifier judges all: its classes are the combinations of the attributes that there are. Its error in the
  attribute is that of all real faces.
  """
  game, stream = run.stage.game, run.stage.streams['images']
  wide = dict(stream.columns)
  wide['attributes'] = {'name': 'Attributes', 'names': ATTRIBUTES}
  parts = {part: stored(dataclasses.replace(stream, columns=wide), part) for part in ('train', 'test')}
  _, given = held_out(run, 'images')
  made, again = applied(run, 'sample', {'images': given}), applied(run, 'round_trip', {'images': given})
  found: dict[str, Any] = {}
  kinds, labels = combinations({part: fields['attributes'] for part, (_, fields) in parts.items()})
  labelled = {part: (images, labels[part]) for part, (images, _) in parts.items()}
  extractor = judge(workdir, 'faces', labelled, len(kinds))
  for name in game.domains:
    seen = lambda judged, place=ATTRIBUTES.index(name): kinds[judged['logits'].argmax(-1), place]
    fake = described(extractor, to_uint8(made[name], stream.range))
    real = described(extractor, to_uint8(given['image'], stream.range))
    own = given['attributes'][:, game.domains.index(name)]
    ask = own == 0  # a game of two domains would take it from the others, one of five leaves those with this hair
    way = np.abs(again[name] - given['image'])[ask]
    found[name] = {
      'judge': extractor.protocol,
      'asked': int(ask.sum()),
      'error': float((seen(fake)[ask] != 1).mean()),
      'real_error': float((seen(real) != own).mean()),
      'cycle': float(way.mean() / (stream.range[1] - stream.range[0])),
      'moved': float(np.linalg.norm(fake['features'] - real['features'], axis=-1)[ask].mean()),
      **distances(fake['features'][ask], real['features'][own == 1]),
    }
  return found


def paired(run: Any, workdir: pathlib.Path) -> dict[str, Any]:
  """Pictures from pairs: L1, PSNR, SSIM and distances from the targets, and the same of the input as it is restored."""
  stream, given = held_out(run, 'images')
  given = {name: values[:1000] for name, values in given.items()}
  made = applied(run, 'sample', {'images': given})
  if run.stage.streams['images'].classes or stream.name == 'cifar10':
    split = 'train[:40000]' if stream.name == 'cifar10' else 'train'  # the classifier of other tables of CIFAR-10
    plain = Stream(name=stream.name, split=split, size=stream.size, channels=stream.channels, classes=10)
    extractor = choose.choose('classifier', plain, say=print)
  else:
    extractor = choose.choose('random', Stream(name='digits', size=stream.size, channels=stream.channels))
  target = to_uint8(given['b'], stream.range)
  real = described(extractor, target)['features']

  def compared(x: np.ndarray) -> dict[str, float]:
    x = to_uint8(x, stream.range)
    squares = np.square(x.astype(float) - target).mean((1, 2, 3))
    return {
      'l1': float(np.abs(x.astype(float) - target).mean() / 255),
      'psnr': float((10 * np.log10(255**2 / np.maximum(squares, 1e-2))).mean()),
      'ssim': float(np.mean(similarity.ssim(x, target))),
      **distances(described(extractor, x)['features'], real, paired=True),
    }

  return {'judge': extractor.protocol, **compared(made), 'simple': compared(simple(given['a'], given['b']))}


def simple(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """The simplest restoration: bicubic if the input is small, the picture's mean in a hole, else the input as it is."""
  if a.shape[1] != b.shape[1]:
    return np.asarray(resize(a, b.shape[1:3], method='cubic'))
  hole = np.isclose(a, 0.0, atol=1e-6).all(-1, keepdims=True)
  mean = (a * ~hole).sum((1, 2), keepdims=True) / np.maximum((~hole).sum((1, 2), keepdims=True), 1)
  return np.where(hole, mean, a)


def lines_of(table: str, rows: dict[str, dict[str, Any]]) -> list[str]:
  """A table in Markdown."""
  if table == 'unpaired':
    names = ('called_ab', 'frechet_ab', 'kernel_ab', 'cycle_a', 'called_ba', 'frechet_ba', 'kernel_ba', 'cycle_b')
  elif table == 'stargan':
    names = ('asked', 'error', 'real_error', 'cycle', 'moved', 'frechet')
    rows = {f'{title}: {name}': v[name] for title, v in rows.items() for name in ATTRIBUTES if name in v}
  else:
    names = ('l1', 'psnr', 'ssim', 'frechet', 'kernel')
    rows = {**rows, **{f'{title}, simplest': v['simple'] for title, v in rows.items() if table == 'restored'}}
  head = [f'| | {" | ".join(names)} |', '|---' * (len(names) + 1) + '|']
  body = [f'| {title} | {" | ".join(f"{values[name]:.4g}" for name in names)} |' for title, values in rows.items()]
  judges = sorted({values['judge'] for values in rows.values() if 'judge' in values})
  return [*head, *body, '', *judges, '']


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--tables', default=','.join(ROWS), help='by commas')
  parser.add_argument('--rows', default='', help='by commas; all of the tables by default')
  parser.add_argument('--steps', type=int, default=0, help="in place of a config's")
  parser.add_argument(
    '--set', action='append', default=[], help='optimizers.generator.b1=0.9: for every row of the tables'
  )
  parser.add_argument('--faces', default='celeba', help='folder of the faces')
  parser.add_argument('--pairs', default='edges2shoes', help='folder of the pairs')
  parser.add_argument('--table', action='store_true', help='train nothing')
  values = parser.parse_args(arguments)
  workdir, printed = pathlib.Path(values.workdir), []
  for table in values.tables.split(','):
    if table not in ROWS:
      parser.error(f'--tables: {table!r} is none of {", ".join(ROWS)}')
    chosen = [row for row in ROWS[table] if not values.rows or row in values.rows.split(',')]
    for row in [] if values.table else chosen:
      data = values.faces if table == 'stargan' else values.pairs
      measure(table, row, workdir / row, values.steps, data, values.set)
    files = {row: rows_lib.read(workdir / row) for row in ROWS[table]}
    found = {ROWS[table][row][0]: file for row, file in files.items() if file is not None}
    printed += [f'{table}:', '', *lines_of(table, found)]
  print('\n'.join(printed))
  return '\n'.join(printed)


if __name__ == '__main__':
  main()
