"""Which system makes the best pictures of a folder in a given time: seven of them, for the same seconds of one machine.

    python -m benchmarks.contest --workdir runs/contest --data celeba_64 --seconds 5400 --width 0.25
      [--rows dcgan,r3gan] [--count 1000] [--together] [--judged_by Male,Smiling] [--table]

The folder holds `train` and `test` (or the names of --splits), each with pictures and metadata.csv. Every row is a run
of a shipped config at 64 pixels in WORKDIR/ROW, seed 0; --width multiplies the channels below, --count takes the
first training pictures. Each compiles until it has its first row of metrics, which does not count, and is then stopped
(SIGSTOP). In turns of --turn seconds one of them goes on while the others rest, until each has had --seconds; then it
saves and is evaluated. The same command goes on where it was. With --together, for a machine of many cores, all compile
at once and are evaluated at once.

Fréchet and kernel distance, precision and recall are of samples against all training pictures, in the features of a
classifier that is trained on them: of one class for each combination of the attributes of --judged_by that --least
pictures have, and one class for the others. The table says how many of those it did not see it tells right. Overfitting
is the share that the discriminator's logits of test pictures have gone from those of training pictures to those of
samples: 0 where it treats test pictures as training pictures, 1 where it treats them as samples.
"""

import argparse
import collections
import csv
import dataclasses
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

SIZE = 64
ATTRIBUTES = ('Male', 'Smiling', 'Young', 'Eyeglasses', 'Blond_Hair')
METRICS = ('fid', 'kid', 'prdc')
#: Options that all rows of a table share.
FIXED = ('data', 'splits', 'turn', 'width', 'count', 'samples', 'judged_by', 'least', 'steps_per_call', 'set')
HEADS = (
  'system', 'steps', 'steps/s', 'first row of metrics after', 'Fréchet distance', 'kernel distance',
  'precision, recall', 'overfitting',
)  # fmt: skip
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds in which a system that was asked to end must have saved.
SAVING = 120


class Row(NamedTuple):
  """A system: its title, its config, settings that --width multiplies, others, and what follows from the width."""

  title: str
  config: str
  widths: dict[str, tuple[int, ...] | int]
  settings: tuple[str, ...] = ()
  at_width: Callable[[float], tuple[str, ...]] = lambda share: ()


def channels(
  generator: tuple[int, ...] | int, discriminator: tuple[int, ...] | int
) -> dict[str, tuple[int, ...] | int]:
  """The settings of both networks' channels."""
  return {'game.generator.channels': generator, 'game.discriminator.channels': discriminator}


UP, DOWN = (512, 512, 256, 128, 64), (64, 128, 256, 512, 512)
UNCONDITIONAL = (
  "game.latents={'name': 'Normal', 'shape': (120,)}",
  'game.generator.classes=0',
  'game.discriminator.classes=0',
  # The config has it at 64x64, where 4,096 places see 1,024: 7 s a step of a CPU, though an eighth as wide.
  'game.generator.attention=(32,)',
  'game.discriminator.attention=(32,)',
  'batch_size=64',
  "ema.generator={'name': 'averages.starting_at', 'decay': 0.999, 'step': 500}",
)
FASTGAN = {**channels(64, 64), 'game.discriminator.hidden': 32}
R3GAN = channels((192, 192, 192, 192, 96), (96, 192, 192, 192, 192))


def grouped(share: float) -> tuple[str, ...]:
  """Groups of 16 channels, as the authors have, or of fewer if 16 do not divide what is left of the channels."""
  group = math.gcd(16, *(2 * int(width * share) for width in R3GAN['game.generator.channels']))
  return tuple(f'game.{network}.group={group}' for network in ('generator', 'discriminator'))


ROWS = {
  'dcgan': Row('DCGAN', 'dcgan.py:celeb_a', channels((1024, 512, 256, 128), (128, 256, 512, 1024)), ('batch_size=64',)),
  'sngan': Row('SNGAN', 'sngan.py:stl10', channels(UP, DOWN), ('game.generator.base=4',)),
  'biggan': Row('BigGAN without classes', 'biggan.py:imagenet64', channels(UP, DOWN), UNCONDITIONAL),
  'stylegan2': Row('StyleGAN 2', 'stylegan2.py:faces64', channels(UP, UP), ('game.augment=None',)),
  'stylegan2_ada': Row('StyleGAN 2, ADA', 'stylegan2.py:faces64', channels(UP, UP)),
  'fastgan': Row('FastGAN', 'fastgan.py:faces64', FASTGAN),
  'r3gan': Row('R3GAN', 'r3gan.py:faces64', R3GAN, at_width=grouped),
}


def narrowed(widths: tuple[int, ...] | int, share: float) -> Any:
  """Widths times a share."""
  return int(widths * share) if isinstance(widths, int) else tuple(int(width * share) for width in widths)


def checked(workdir: pathlib.Path, values: argparse.Namespace) -> None:
  """Ends the program if the workdir has a contest of other options; what only adds rows or time may differ."""
  workdir.mkdir(parents=True, exist_ok=True)
  own = {name: value for name, value in vars(values).items() if name in FIXED}
  file = workdir / 'options.json'
  if not file.exists():
    file.write_text(json.dumps(own))
  for name, value in json.loads(file.read_text()).items():
    if value != own[name]:
      raise SystemExit(f'--{name}={own[name]}: {workdir} has a contest with {value}: take another --workdir')


def pictures(data: pathlib.Path, out: pathlib.Path, values: argparse.Namespace) -> int:
  """Writes train, test and all (train, where --count does not cut it) as .npz files; returns the number of kinds."""
  names = values.judged_by.split(',')
  rows = {}
  for split, own in zip(('train', 'test'), values.splits.split(','), strict=True):
    with open(data / own / 'metadata.csv', newline='') as file:
      rows[split] = [
        (data / own / row['file_name'], tuple(row[name] for name in names)) for row in csv.DictReader(file)
      ]
  counts = collections.Counter(kind for _, kind in rows['train']).most_common()
  kinds = {kind: number for number, (kind, count) in enumerate(counts) if count >= values.least}
  rows = {'all': rows['train'], 'train': rows['train'][: values.count or None], 'test': rows['test']}
  out.mkdir(parents=True, exist_ok=True)
  for split, part in rows.items():
    if not (out / f'{split}.npz').exists():
      image = np.stack([np.asarray(ImageOps.fit(Image.open(path).convert('RGB'), (SIZE, SIZE))) for path, _ in part])
      label = np.array([kinds.get(kind, len(kinds)) for _, kind in part], np.int32)
      np.savez(out / 'partial.npz', image=image, label=label)
      os.replace(out / 'partial.npz', out / f'{split}.npz')
  return len(kinds) + int(len(kinds) < len(counts))


def data_of(values: argparse.Namespace) -> dict[str, Any]:
  """Settings of the stream of pictures."""
  path = pathlib.Path(values.workdir).resolve() / 'pictures' / '{split}.npz'
  return dict(name='npz', path=str(path), split='train', size=SIZE, channels=3)


class System:
  """A row of the contest: a process of `gan_jax.main` that is stopped or goes on."""

  def __init__(self, name: str, values: argparse.Namespace):
    self.name, self.row = name, ROWS[name]
    self.folder = pathlib.Path(values.workdir) / name
    self.folder.mkdir(parents=True, exist_ok=True)
    self.arguments = [
      *(f'data.{field}={value}' for field, value in data_of(values).items()),
      *('data.classes=0', 'data.flip=True', 'seed=0', 'devices=1', 'steps=10000000'),
      *('sample_every=0', 'checkpoint_every=0', 'log_every=20', f'steps_per_call={values.steps_per_call}'),
      *(f'{name}={narrowed(widths, values.width)}' for name, widths in self.row.widths.items()),
      *self.row.settings,
      *self.row.at_width(values.width),
      *values.set,
    ]  # fmt: skip
    self.spent = self.told.get('seconds', 0.0)
    self.process: subprocess.Popen[bytes] | None = None

  @property
  def told(self) -> dict[str, Any]:
    """What `note` wrote."""
    file = self.folder / 'time.json'
    return json.loads(file.read_text()) if file.exists() else {}

  @property
  def measured(self) -> int:
    """The step that was evaluated; 0 for none."""
    file = self.folder / 'row.json'
    return json.loads(file.read_text())['steps'] if file.exists() else 0

  @property
  def rows(self) -> list[str]:
    """The rows of metrics so far."""
    file = self.folder / 'metrics.jsonl'
    return file.read_text().split('\n')[:-1] if file.exists() else []

  def start(self) -> None:
    command = [sys.executable, '-m', 'gan_jax.main', '--config', f'configs/{self.row.config}']
    command += ['--workdir', str(self.folder), *(f'--config.{setting}' for setting in self.arguments)]
    self.forget()
    self.before, self.started, self.first_row = len(self.rows), time.perf_counter(), None
    with open(self.folder / 'output.txt', 'a') as log:
      self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment())

  def forget(self) -> None:
    """Removes rows behind the last checkpoint, of a training that was killed.

    A training that goes on writes them anew. Until they are as many, it would train in time that nobody counts.
    """
    steps = [int(entry.name) for entry in (self.folder / 'checkpoints').glob('*') if entry.name.isdigit()]
    kept = [row for row in self.rows if json.loads(row)['step'] <= max(steps, default=0)]
    if self.rows:
      (self.folder / 'metrics.jsonl').write_text(''.join(f'{row}\n' for row in kept))

  def age(self) -> float:
    return time.perf_counter() - self.started

  def alive(self) -> bool:
    return self.process is not None and self.process.poll() is None

  def ready(self) -> bool:
    """Whether it has had a row of metrics; then it is stopped."""
    if self.first_row is None and self.alive() and len(rows := self.rows) > self.before:
      self.first_row = self.age()
      self.begun = json.loads(rows[-1])['step']
      self.send(signal.SIGSTOP)
    return self.first_row is not None

  def send(self, what: signal.Signals) -> None:
    if self.alive():
      self.process.send_signal(what)

  def turn(self, seconds: float) -> None:
    self.send(signal.SIGCONT)
    since = time.perf_counter()
    while self.alive() and time.perf_counter() - since < seconds:
      time.sleep(0.05)
    self.send(signal.SIGSTOP)
    self.spent += time.perf_counter() - since

  def end(self) -> None:
    """Lets it save and end, which takes some seconds."""
    self.send(signal.SIGTERM)
    self.send(signal.SIGCONT)

  def note(self) -> None:
    """Waits for its end, and notes the time that it had."""
    if self.process is None:
      return
    try:
      self.process.wait(SAVING)
    except subprocess.TimeoutExpired:
      self.process.kill()
      print(f'{self.name}: did not save in {SAVING} seconds', flush=True)
      return
    steps = [int(entry.name) for entry in (self.folder / 'checkpoints').glob('*') if entry.name.isdigit()]
    if self.first_row is None:
      return
    if self.process.returncode != 128 + signal.SIGTERM or max(steps, default=0) < self.begun:
      print(
        f'{self.name}: ended with {self.process.returncode} and saved nothing, see {self.folder}/output.txt', flush=True
      )
    else:
      timed = self.told.get('timed_steps', 0) + max(steps) - self.begun
      told = {'first_row': self.first_row, **self.told, 'seconds': self.spent}
      (self.folder / 'time.json').write_text(json.dumps({**told, 'steps': max(steps), 'timed_steps': timed}))


def ended(number: int, frame: Any) -> None:
  """Ends the program; on the way `train` lets the systems save."""
  sys.exit(128 + number)


def environment() -> dict[str, str]:
  return {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}


def train(systems: list[System], values: argparse.Namespace, wait: Callable[[], object] = lambda: None) -> None:
  """Compiles all, waits for what else computes, then lets them train in turns, then saves them."""
  try:
    since = time.perf_counter()
    for system in systems:
      system.start()
      while not values.together and not system.ready() and system.alive() and system.age() < values.patience:
        time.sleep(0.1)
    while [s for s in systems if not s.ready() and s.alive()] and time.perf_counter() - since < values.patience:
      time.sleep(0.1)
    for system in systems:
      if not system.ready():
        print(f'{system.name}: not begun after {values.patience} seconds, see {system.folder}/output.txt', flush=True)
        if system.alive():
          system.process.kill()
    wait()
    begun = [system for system in systems if system.ready()]
    print(f'begun after {time.perf_counter() - since:.0f} s: {", ".join(s.name for s in begun)}', flush=True)
    while waiting := [s for s in begun if s.alive() and s.spent < values.seconds - 0.5]:
      for system in waiting:
        system.turn(min(values.turn, values.seconds - system.spent))
  finally:
    for number in SIGNALS:  # none of the systems may stay behind, stopped
      signal.signal(number, signal.SIG_IGN)
    for system in systems:
      system.end()
    for system in systems:
      system.note()
    for number in SIGNALS:
      signal.signal(number, ended)


def measure(name: str, values: argparse.Namespace) -> None:
  """Evaluates a row and draws 64 samples, in a process of its own."""
  import gan_jax
  from gan_jax.config.evaluation import Options
  from gan_jax.evaluate import evaluate
  from gan_jax.evaluation.evaluator import Evaluator
  from gan_jax.sampling import pictures as drawing

  folder = pathlib.Path(values.workdir) / name
  run = gan_jax.load(folder)
  told = json.loads((folder / 'time.json').read_text())
  limits = next(iter(run.stage.streams.values())).range
  drawn = drawing.picture_of(run.sample(64), limits)
  assert drawn is not None  # they are pictures
  drawing.write(drawn, folder / 'samples.png')
  judged = evaluate(run, metrics=('held_out',), samples=2000, features='raw')
  # The classifier and the reference are of all training pictures, of which the run may have seen the first ones only.
  streams = {key: dataclasses.replace(own, split='all') for key, own in run.stage.streams.items()}
  options = Options(metrics=METRICS, samples=values.samples, features='classifier')
  compared = Evaluator(run.stage._replace(streams=streams), options)(run.state, run.step)
  told |= {**compared.values, **judged.values, **compared.shared}
  (folder / 'row.json').write_text(json.dumps(told, indent=2) + '\n')


def judge(values: argparse.Namespace, kinds: int) -> None:
  """Trains the classifier of the kinds, in a process of its own."""
  from gan_jax.data.sets import reference_stream
  from gan_jax.data.streams import Stream
  from gan_jax.features import choose

  own = Stream(**{**data_of(values), 'split': 'all', 'classes': kinds})
  choose.choose('classifier', reference_stream(own), say=print)


def again(arguments: Sequence[str], do: str) -> subprocess.Popen[bytes]:
  """This program in a process of its own, for one part of its work."""
  command = [sys.executable, '-m', 'benchmarks.contest', *arguments, '--do', do]
  return subprocess.Popen(command, env=environment())


def table(values: argparse.Namespace) -> str:
  """The rows that are there, as a table in Markdown."""
  lines = ['| ' + ' | '.join(HEADS) + ' |', '|---' * len(HEADS) + '|']
  for name, row in ROWS.items():
    file = pathlib.Path(values.workdir) / name / 'row.json'
    if not file.exists():
      continue
    told = json.loads(file.read_text())
    cells = [
      row.title, f'{told["steps"]:,}', f'{told["timed_steps"] / told["seconds"]:.3g}', f'{told["first_row"]:.0f} s',
      f'{told["fid"]:.1f}', f'{told["kid"]:.3g}', f'{told["precision"]:.2f}, {told["recall"]:.2f}',
      f'{told["overfitting"]:.2f}',
    ]  # fmt: skip
    lines.append(f'| {" | ".join(cells)} |')
    features = told['features']
  return '\n'.join([*lines, '', features] if len(lines) > 2 else ['no row is measured'])


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--data', required=True, help='a folder with pictures and tables of attributes')
  parser.add_argument('--splits', default='train,test', help='folders of the training and of the test pictures')
  parser.add_argument('--rows', default=','.join(ROWS))
  parser.add_argument('--seconds', type=float, default=5400.0, help='of training, for each')
  parser.add_argument('--turn', type=float, default=60.0, help='seconds that a system trains before the next one does')
  parser.add_argument('--width', type=float, default=0.25)
  parser.add_argument('--count', type=int, default=0, help='of training pictures; 0 for all')
  parser.add_argument('--samples', type=int, default=5000)
  parser.add_argument('--judged_by', default=','.join(ATTRIBUTES), help='columns with 0 and 1')
  parser.add_argument('--least', type=int, default=40, help='pictures of a combination that is a class')
  parser.add_argument('--steps_per_call', type=int, default=1)
  parser.add_argument('--set', action='append', default=[], help='a setting for every row, such as batch_size=32')
  parser.add_argument('--together', action='store_true', help='compile, and evaluate, all at once')
  parser.add_argument('--patience', type=float, default=3600.0, help='seconds for the first row; then left out')
  parser.add_argument('--table', action='store_true', help='print the rows that are there')
  parser.add_argument('--do', default='', help=argparse.SUPPRESS)
  values = parser.parse_args(arguments)
  own = list(sys.argv[1:] if arguments is None else arguments)
  names = values.rows.split(',')
  if unknown := [name for name in names if name not in ROWS]:
    parser.error(f'--rows: {unknown[0]!r} is none of {", ".join(ROWS)}')
  if values.table:
    print(table(values))
    return
  if not values.do:
    checked(pathlib.Path(values.workdir), values)
  kinds = pictures(pathlib.Path(values.data), pathlib.Path(values.workdir) / 'pictures', values)
  if values.do:
    judge(values, kinds) if values.do == 'judge' else measure(values.do, values)
    return
  for number in SIGNALS:
    signal.signal(number, ended)  # `train` lets them save
  teacher = again(own, 'judge')

  def taught() -> None:
    if teacher.wait():
      sys.exit('the classifier that judges could not be trained: see above')

  if not values.together:
    taught()
  systems = [System(name, values) for name in names]
  train([system for system in systems if system.spent < values.seconds - 0.5], values, taught)
  processes = []
  for system in systems:
    if system.told and system.told['steps'] != system.measured:
      processes.append(again(own, system.name))
      if not values.together:
        processes[-1].wait()
  for process in processes:
    process.wait()
  print(table(values))


if __name__ == '__main__':
  main()
