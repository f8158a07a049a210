"""Cures for the optimizer: which of them make a DCGAN of the digits better than plain Adam, and what a step costs.

    python -m benchmarks.optimizers --workdir runs/optimizers [--rows adam,lookahead] [--seeds 3] [--table]

Every row is configs/quickstart.py with one change. The figure is the Fréchet distance of --samples samples from the
training digits in the features of the classifier, of the weights as they are and of the generator's running average.
The cost is the number of operations of a compiled step, against that of plain Adam. Every run is in WORKDIR/ROW-SEED,
which the same command resumes; --table prints those there are.
"""

import argparse
import pathlib
import statistics

import gan_jax
from benchmarks import rows as rows_lib
from benchmarks.growth import cost
from gan_jax import config as config_lib
from gan_jax.evaluate import evaluate
from gan_jax.training import loop as train

BOTH = ('generator', 'discriminator')


def _dynamics(of, **settings):
  return [f'--config.game.dynamics={dict(name="rule", of=of, **settings)!r}']


#: {row: (what it is, how it differs from configs/quickstart.py)}
ROWS = {
  'adam': ('Adam, in turns', []),
  'two_rates': (
    'two time scales: the discriminator 4 times as fast as the generator',
    ['--config.optimizers.generator.learning_rate=2.5e-4', '--config.optimizers.discriminator.learning_rate=1e-3'],
  ),
  'optimistic': ('optimistic Adam', [f'--config.optimizers.{name}.name=optax.optimistic_adam_v2' for name in BOTH]),
  'negative_momentum': ('Adam with beta1 of -0.5', [f'--config.optimizers.{name}.b1=-0.5' for name in BOTH]),
  'lookahead': (
    'lookahead: every 5 steps half-way back',
    [
      f"--config.optimizers.{name}={{'name': 'chain', 'links': ({{'name': 'optax.adam', 'learning_rate': 5e-4, "
      "'b1': 0.5}, {'name': 'minimax.lookahead', 'every': 5, 'share': 0.5})}"
      for name in BOTH
    ],
  ),
  'simultaneous': ('Adam, both at once', _dynamics('simultaneous')),
  'extragradient': ('extragradient, looking 0.1 ahead, then Adam', _dynamics('extragradient', rate=0.1)),
  'consensus': ('consensus of weight 0.1, then Adam', _dynamics('consensus', weight=0.1)),
  'symplectic': ('symplectic adjustment of weight 1, then Adam', _dynamics('symplectic', weight=1.0)),
}


def settings(row: str, steps: int, seed: int):
  """The config of a row."""
  common = dict(steps=steps, seed=seed, devices=1, log_every=max(1, steps // 10), sample_every=0, checkpoint_every=0)
  arguments = [f'--config.{name}={value}' for name, value in common.items()]
  return config_lib.override(config_lib.load('configs/quickstart.py'), [*ROWS[row][1], *arguments])


def measure(row: str, seed: int, folder: pathlib.Path, steps: int, samples: int) -> None:
  """Trains and evaluates a row, where that is not done."""
  if rows_lib.measured(folder, steps=steps, samples=samples):
    return
  train.run(settings(row, steps, seed), folder)
  content: dict[str, object] = {}
  for weights in ('raw', 'ema'):
    found = evaluate(gan_jax.load(folder), samples=samples, weights=weights, metrics=('fid',))
    content |= {weights: found.values['fid'], 'features': found.shared['features']}
  rows_lib.write(folder, content, steps=steps, samples=samples)


def table(workdir: pathlib.Path) -> str:
  """The rows there are, in Markdown: means and spread over their seeds."""
  base = cost(settings('adam', 1, 0), 1)['flops']
  lines = ['| change | operations of a step | weights as they are | running average | seeds |', '|---' * 5 + '|']
  told = set()
  for row, (title, _) in ROWS.items():
    found = [rows_lib.read(file.parent) or {} for file in sorted(workdir.glob(f'{row}-*/{rows_lib.FILE}'))]
    if not found:
      continue
    told |= {'{steps:,} steps, {samples:,} samples; '.format(**each['options']) + each['features'] for each in found}
    cells = [f'{cost(settings(row, 1, 0), 1)["flops"] / base:.2f}']
    for weights in ('raw', 'ema'):
      values = [each[weights] for each in found]
      spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
      cells.append(f'{statistics.mean(values):.1f}{spread}')
    lines.append(f'| {title} | ' + ' | '.join([*cells, str(len(found))]) + ' |')
  return '\n'.join([*lines, '', *sorted(told)])


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--rows', default=','.join(ROWS), help='by commas')
  parser.add_argument('--steps', type=int, default=2_500)
  parser.add_argument('--seeds', type=int, default=3, help='how many, from 0 on')
  parser.add_argument('--samples', type=int, default=5_000)
  parser.add_argument('--table', action='store_true', help='train nothing')
  values = parser.parse_args(arguments)
  workdir = pathlib.Path(values.workdir)
  for seed in range(0 if values.table else values.seeds):
    for row in values.rows.split(','):
      measure(row, seed, workdir / f'{row}-{seed}', values.steps, values.samples)
  printed = table(workdir)
  print(printed)
  return printed


if __name__ == '__main__':
  main()
