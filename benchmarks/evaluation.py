"""What the figures of an evaluation say, on a run on labelled pictures: rows of a table.

  TFDS_DATA_DIR=<prepared data> python -m benchmarks.evaluation --workdir runs/mnist [--samples 10000]

floor        real training data against real held-out data: what a perfect generator would get
step N       checkpoints that the run kept (train with --config.keep=20)
half         samples of the last one of which a classifier sees the first half of the classes: a generator that ignores
             the others
full         the last one with 50,000 samples, timed, with the most memory that the process held
"""

import argparse
import resource
import time

import numpy as np

import gan_jax
from gan_jax.config.evaluation import Options
from gan_jax.data import sets
from gan_jax.evaluate import evaluate
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.evaluation.scores import Scores, real_batches
from gan_jax.metrics import diversity, frechet, kernel_distance, manifolds
from gan_jax.runs.checkpoint import Checkpoints

COLUMNS = ('FID', 'KID x 1000', 'precision', 'recall', 'density', 'coverage', 'rarest class', 'class KL')


def row(name: str, real: Scores, fake: Scores) -> str:
  kid = kernel_distance.kernel_distance(real.features, fake.features, size=min(1000, len(fake.features)))
  count = min(10_000, len(real.features), len(fake.features))
  shares = manifolds.manifolds(real.features[:count], fake.features[:count])
  balance = diversity.class_balance(fake.logits, fake.logits.shape[1], np.bincount(real.labels))
  figures = [
    f'{frechet.frechet(real.moments, fake.moments):.2f}',
    f'{1e3 * kid.value:.3f} +- {1e3 * kid.standard_error:.3f}',
    *(f'{share:.3f}' for share in shares),
    f'{100 * balance.shares.min():.1f} %',
    f'{balance.divergence:.4f}',
  ]
  return f'| {name} | ' + ' | '.join(figures) + ' |'


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--samples', type=int, default=10_000)
  parser.add_argument('--full', type=int, default=50_000)
  parser.add_argument('--features', default='auto')
  parser.add_argument('--weights', default='ema', choices=('ema', 'raw'))
  parser.add_argument('--steps', default='', help='checkpoints, by commas; all that are kept by default')
  arguments = parser.parse_args()
  say = lambda line: print(line, flush=True)
  run = gan_jax.load(arguments.workdir)
  options = Options(samples=arguments.samples, features=arguments.features, weights=arguments.weights)
  evaluator = Evaluator(run.stage, options, say=say)
  evidence = evaluator.evidence(run.state, run.step)
  real = evidence.real
  say(f'features {evidence.extractor.name}: {evidence.extractor.protocol}')
  say(f'reference {sets.title(evidence.stream)}, {arguments.samples} samples, weights: {arguments.weights}\n')
  say('| | ' + ' | '.join(COLUMNS) + ' |\n|' + '---|' * (1 + len(COLUMNS)))
  if evidence.held_out is not None:
    chosen = sets.order(evidence.held_out)
    held_out = evaluator.scorer(real_batches(evidence.held_out, chosen, evidence.mesh))
    say(row(f'floor: {sets.title(evidence.held_out)}', real, held_out))
  steps = [int(step) for step in arguments.steps.split(',') if step] or Checkpoints(arguments.workdir).steps()
  for step in steps:
    state = gan_jax.load(arguments.workdir, step).state
    fake = evaluator.evidence(state, step).fake
    say(row(f'step {step}', real, fake))
  chosen = np.flatnonzero(fake.logits.argmax(1) < evidence.stream.classes // 2)
  half = fake._replace(
    features=fake.features[chosen],
    logits=fake.logits[chosen],
    moments=frechet.moments(fake.features[chosen]),
  )
  say(row(f'half: {len(chosen)} of them', real, half))
  if arguments.full:
    since = time.perf_counter()
    whole = dict(samples=arguments.full, features=arguments.features, weights=arguments.weights)
    found = evaluate(run, metrics=('fid', 'kid', 'prdc'), **whole)
    took = time.perf_counter() - since
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(f'\n{arguments.full} samples generated and scored in {took:.0f} s, at most {memory:.2f} GiB held')
    say(found.table())


if __name__ == '__main__':
  main()
