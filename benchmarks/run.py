"""gan_jax against PyTorch on the same networks, in turn, in one run.

    python -m benchmarks.run --work dcgan64 [--work gan2014 ...] [--input loader] [--rounds 5] [--variants eager]
    python -m benchmarks.run --all [--out results.json]
    python -m benchmarks.run --work dcgan64 --against ../before   (another checkout of gan_jax in PyTorch's place)
    python -m benchmarks.run --work biggan128 --device gpu --batch 256 --apart [--accumulate 8] [--remat]

It needs PyTorch: pip install '.[bench]'. Two processes, one a side, work in turn, so that noise of the machine meets
both. First both compute the losses of the same weights on the same inputs, which must agree. Then each of PyTorch's
variants (eager, channels_last, torch.compile; under AMP in bfloat16 on a GPU) takes a few steps and the best one
is measured against gan_jax, `--rounds` times. Printed: the median ratio of PyTorch's time to gan_jax's with its spread,
images/s, GFLOP/s (of PyTorch's count of the plain networks, so of both the same), the share of a measured matrix
product, and the peak memory of each process. With `--apart` the processes work one after the other, for works of which
two do not fit on a device.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks.works import SEQUENCES, WORKS, Work

TOLERANCE = {'cpu': 1e-4, 'gpu': 3e-2}
VARIANTS = ('eager', 'channels_last', 'compile')
#: Works without convolutions, which have no channels to be last.
DENSE = ('gan2014', *SEQUENCES)


class Side:
  """One process of `benchmarks.worker`."""

  def __init__(self, side: str, work: str, variant: str, settings: dict[str, Any], checkout: str | None = None):
    environment = {
      **os.environ,
      'OMP_NUM_THREADS': str(settings['threads']),
      'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
      'TF_CPP_MIN_LOG_LEVEL': '3',
    }
    if settings['device'] == 'cpu':
      environment |= {'JAX_PLATFORMS': 'cpu', 'CUDA_VISIBLE_DEVICES': ''}
    if checkout:
      environment['PYTHONPATH'] = checkout
    self.name = f'{side} {variant}'.strip()
    self.process = subprocess.Popen(
      [sys.executable, '-m', 'benchmarks.worker', side, work, variant, json.dumps(settings)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env=environment,
      cwd=checkout,
    )

  def ask(self, *words: Any) -> Any:
    assert self.process.stdin is not None and self.process.stdout is not None
    self.process.stdin.write(' '.join(str(word) for word in words) + '\n')
    self.process.stdin.flush()
    for line in self.process.stdout:
      if line.startswith('@'):
        return json.loads(line[1:])
    raise RuntimeError(f'{self.name} ended with code {self.process.wait()} at {words[0]!r}')

  def close(self) -> None:
    assert self.process.stdin is not None
    self.process.stdin.close()
    self.process.wait()


def examples(name: str, folder: pathlib.Path, count: int) -> str:
  """Synthetic examples as a .npz file; returns its path."""
  work, random = WORKS[name], np.random.RandomState(0)
  shape = work.shape
  arrays = {
    'image': random.rand(count, *shape) if name in SEQUENCES else random.randint(0, 256, (count, *shape), np.uint8)
  }
  if work.classes:
    arrays['label'] = random.randint(0, work.classes, count)
  path = folder / 'examples.npz'
  np.savez(path, **arrays)
  return str(path)


def agree(sides: list[Side], path: str, device: str) -> float:
  """The largest relative difference of the losses; ends the program if they differ."""
  one, other = (side.ask('check', path) for side in sides)
  return difference(one, other, device)


def difference(one: dict[str, float], other: dict[str, float], device: str) -> float:
  """The largest relative difference of the losses of two sides; ends the program if they differ."""
  differences = [abs(one[k] - other[k]) / max(abs(one[k]), 1e-3) for k in one]
  worst = max(differences)
  if not all(value <= TOLERANCE[device] for value in differences):  # NaN is none
    sys.exit(f'the losses from the same weights differ by {worst:.1e}: {one} and {other}')
  return worst


def measure(name: str, values: argparse.Namespace) -> dict[str, Any]:
  """One row."""
  work = WORKS[name]
  gpu = values.device == 'gpu'
  batch = values.batch or (work.gpu_batch if gpu and work.gpu_batch else work.batch)
  steps = values.steps or work.steps[gpu]
  count = max(batch * work.moves, 64) if values.small else max(work.examples, 2 * batch)
  with tempfile.TemporaryDirectory() as folder:
    settings = dict(
      path=examples(name, pathlib.Path(folder), count),
      batch=batch,
      small=values.small,
      input=values.input,
      device=values.device,
      threads=os.cpu_count(),
      per_call=values.per_call or (1 if values.small else work.per_call),
      accumulate=values.accumulate,
      remat=values.remat,
    )
    weights = str(pathlib.Path(folder) / 'weights.npz')
    row: dict[str, Any] = dict(work=name, title=work.title, input=values.input, batch=batch, steps=steps)
    row |= dict(accumulate=values.accumulate, remat=values.remat)
    if values.apart:
      return row | one_by_one(name, values, settings, weights, steps)
    ours = Side('gan_jax', name, '', settings)
    row['matrix'] = ours.ask('matrix')
    others = {}
    if values.against:
      side = Side('gan_jax', name, '', settings, str(pathlib.Path(values.against).resolve()))
      row['matrix'] = max(row['matrix'], side.ask('matrix'))
      side.ask('time', 1)
      others['before'] = (side.ask('time', steps) / steps, side)
    for variant in [] if values.against else variants_of(name, values):
      side = Side('torch', name, variant, settings)
      row['difference'] = max(agree([ours, side], weights, values.device), row.get('difference', 0.0))
      if 'flops' not in row and variant != 'compile':
        row['flops'] = side.ask('flops')
      row['matrix'] = max(row['matrix'], side.ask('matrix'))
      if first_time(side, variant, max(steps // 4, 1)) is None:
        continue
      seconds = min(side.ask('time', max(steps // 4, 1)) for _ in range(2)) / max(steps // 4, 1)
      others[variant] = (seconds, side)
      print(f'  PyTorch {variant:<14} {seconds * 1e3:9.1f} ms a step', flush=True)
    best = min(others, key=lambda variant: others[variant][0]) if others else None
    for variant, (_, side) in others.items():
      if variant != best:
        side.close()
    other = others[best][1] if best else None
    first = ours.ask('time', 1)
    ours.ask('time', steps)
    for side in filter(None, (ours, other)):
      side.ask('reset')
    pairs = []
    for number in range(values.rounds):
      order = [ours, other] if number % 2 else [other, ours]
      pairs.append({side: side.ask('time', steps) for side in order if side})
    row |= dict(first_step=first, variant=best, memory=ours.ask('memory'))
    row['seconds'] = statistics.median(pair[ours] for pair in pairs) / steps
    if other:
      ratios = sorted(pair[other] / pair[ours] for pair in pairs)
      row |= dict(ratio=statistics.median(ratios), spread=(ratios[0], ratios[-1]), other_memory=other.ask('memory'))
      row['other_seconds'] = statistics.median(pair[other] for pair in pairs) / steps
      other.close()
    ours.close()
  return row


def variants_of(name: str, values: argparse.Namespace) -> list[str]:
  """PyTorch's variants that differ for a work."""
  asked = filter(None, values.variants.split(','))
  return [variant for variant in asked if not (variant == 'channels_last' and name in DENSE)]


def first_time(side: Side, variant: str, steps: int) -> float | None:
  """Seconds of the first steps of a side; None where `torch.compile` cannot compute them."""
  try:
    return side.ask('time', steps)
  except RuntimeError:  # a gradient of a gradient, say
    if variant != 'compile':
      raise
    print('  PyTorch compile cannot compute this work (above): left out', flush=True)
    return None


def one_by_one(
  name: str, values: argparse.Namespace, settings: dict[str, Any], weights: str, steps: int
) -> dict[str, Any]:
  """A row of which each process ends before the next one begins."""
  row: dict[str, Any] = {'matrix': 0.0}
  losses, times, memory = {}, {}, {}
  for variant in ('', *variants_of(name, values)):
    side = Side('torch' if variant else 'gan_jax', name, variant, settings)
    row['matrix'] = max(row['matrix'], side.ask('matrix'))
    if values.variants:
      losses[variant] = side.ask('check', weights)
    if variant:
      row['difference'] = max(difference(losses[''], losses[variant], values.device), row.get('difference', 0.0))
    if variant not in ('', 'compile') and 'flops' not in row:
      row['flops'] = side.ask('flops')
    first = first_time(side, variant, 1)
    if first is None:
      continue
    side.ask('time', steps)
    side.ask('reset')
    times[variant] = sorted(side.ask('time', steps) / steps for _ in range(values.rounds))
    memory[variant] = side.ask('memory')
    side.close()
    if not variant:
      row['first_step'] = first
    print(f'  {variant or "gan_jax":<14} {times[variant][0] * 1e3:9.1f} ms a step', flush=True)
  row |= dict(variant=None, memory=memory[''], seconds=statistics.median(times['']))
  others = [variant for variant in times if variant]
  if others:
    best = min(others, key=lambda variant: statistics.median(times[variant]))
    row |= dict(variant=best, other_memory=memory[best], other_seconds=statistics.median(times[best]))
    row['ratio'] = row['other_seconds'] / row['seconds']
    row['spread'] = (times[best][0] / times[''][-1], times[best][-1] / times[''][0])
  return row


def told(row: dict[str, Any], work: Work) -> str:
  """A row in words."""
  images = row['batch'] * work.moves / row['seconds']
  parts = f' in {row["accumulate"]} parts' if row.get('accumulate') else ''
  kept = ', remat' if row.get('remat') else ''
  lines = [f'{row["title"]}, batch {row["batch"]}{parts}{kept}, {row["input"]} data']
  if 'ratio' in row:
    low, high = row['spread']
    other = 'the other checkout' if row['variant'] == 'before' else f'PyTorch {row["variant"]}'
    lines.append(f'  ratio {row["ratio"]:.3f} ({low:.3f} to {high:.3f}) to {other}')
    if 'difference' in row:
      lines.append(f'  losses from the same weights differ by {row["difference"]:.0e}')
  times = f'  {row["seconds"] * 1e3:.1f} ms a step'
  if 'ratio' in row:
    times += f' against {row["other_seconds"] * 1e3:.1f}'
  lines.append(f'{times}, {images:,.0f} images/s, first step after {row["first_step"]:.1f} s')
  if 'flops' in row:
    rate = row['flops'] / row['seconds'] / 1e9
    lines.append(f'  {rate:,.0f} GFLOP/s of the plain networks, {rate / row["matrix"]:.0%} of a matrix product')
  memory = f'  peak memory {row["memory"] / 2**20:,.0f} MiB'
  if 'ratio' in row:
    memory += f' against {row["other_memory"] / 2**20:,.0f}'
  lines.append(memory)
  return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--work', action='append', choices=[*WORKS], help='a row; may be given several times')
  parser.add_argument('--all', action='store_true', help='every row')
  parser.add_argument('--input', choices=('resident', 'loader', 'stream'), default='resident', help='where data are')
  parser.add_argument('--device', choices=('cpu', 'gpu'), default='cpu')
  parser.add_argument('--batch', type=int, default=0, help="examples per move; 0 for the work's")
  parser.add_argument('--steps', type=int, default=0, help="steps in one timed run; 0 for the work's")
  parser.add_argument('--per_call', type=int, default=0, help="gan_jax's steps in one compiled call; 0 for the work's")
  parser.add_argument('--rounds', type=int, default=5, help='pairs of timed runs')
  parser.add_argument('--variants', default=','.join(VARIANTS), help="PyTorch's; empty to measure gan_jax alone")
  parser.add_argument('--against', default='', help="another checkout of gan_jax, measured in PyTorch's place")
  parser.add_argument('--apart', action='store_true', help='one process after the other')
  parser.add_argument('--accumulate', type=int, default=0, help="gan_jax's microbatches of a move")
  parser.add_argument('--remat', action='store_true', help='gan_jax keeps less for the backward pass')
  parser.add_argument('--small', action='store_true', help='narrow networks, for a test of the program')
  parser.add_argument('--out', default='', help='a file for the rows as JSON')
  values = parser.parse_args(arguments)
  if values.apart and values.against:
    parser.error('--apart and --against: choose one')
  names = [*WORKS] if values.all else values.work or ['dcgan64']
  rows = []
  print(f'{platform.machine()}, {os.cpu_count()} cores, {values.device}', flush=True)
  for name in names:
    if not (values.steps or WORKS[name].steps[values.device == 'gpu']):
      continue  # too large for a CPU
    rows.append(measure(name, values))
    print(told(rows[-1], WORKS[name]), flush=True)
    if values.out:
      pathlib.Path(values.out).write_text(json.dumps(rows, indent=2))
  return rows


if __name__ == '__main__':
  main()
