"""DCGAN's guidelines, each changed alone: Fréchet distance on MNIST at 32x32, three seeds.

    TFDS_DATA_DIR=<prepared data> python -m benchmarks.ablation [--steps 1200] [--only NAME]

Protocol: the networks of `benchmarks.ablation_networks` (widths 64, 32, 16 and 16, 32, 64), batch 64, Adam with b1 =
0.5, 100 uniform latents, one generator move per discriminator move. The distance is that of 5,000 samples of the
weights as they are to the 60,000 training digits, in the features of the classifier of `gan_jax.evaluate`. The first
row is as the paper says; every other changes one thing. Seeds run one after the other, for on a CPU a population of
three was slower.
"""

import argparse
import tempfile
import time

import numpy as np

import gan_jax
from gan_jax import config as config_lib
from gan_jax.config.evaluation import Options
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.training import loop as train

SEEDS = 3
SAMPLES = 5000
#: {row: (of the generator, of the discriminator, learning rate)}
VARIANTS = {
  'as the paper says': ({}, {}, 2e-4),
  'pooling and upsampling': ({'pooling': True}, {'pooling': True}, 2e-4),
  'no batch norm': ({'norm': 'none'}, {'norm': 'none'}, 2e-4),
  'batch norm everywhere': ({'norm': 'everywhere'}, {'norm': 'everywhere'}, 2e-4),
  'ReLU in the discriminator': ({}, {'slope': 0.0}, 2e-4),
  'hidden dense layers of 256': ({'hidden': 256}, {'hidden': 256}, 2e-4),
  'learning rate 5e-5': ({}, {}, 5e-5),
  'learning rate 5e-4': ({}, {}, 5e-4),
  'learning rate 1e-3': ({}, {}, 1e-3),
}


def settings(name: str, steps: int, seed: int, data: str = 'mnist'):
  """The config of a row."""
  generator, discriminator, rate = VARIANTS[name]
  adam = dict(name='optax.adam', learning_rate=rate, b1=0.5)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='nonsaturating',
      latents=dict(name='Uniform', shape=(100,), low=-1.0, high=1.0),
      generator=dict(name='benchmarks.ablation_networks.Generator', **generator),
      discriminator=dict(name='benchmarks.ablation_networks.Discriminator', **discriminator),
    ),
    optimizers=dict(generator=dict(adam), discriminator=dict(adam)),
    data=config_lib.stream(name=data, size=32, channels=1),
    batch_size=64,
    steps=steps,
    seed=seed,
    devices=1,
    checkpoint_every=0,
    log_every=100,
    sample_every=0,
  )


def measure(name: str, steps: int) -> tuple[list[float], float]:
  """(the distance of each seed, seconds of the trainings)."""
  found, seconds = [], 0.0
  for seed in range(SEEDS):
    with tempfile.TemporaryDirectory() as folder:
      since = time.perf_counter()
      train.run(settings(name, steps, seed), folder, silent=True)
      seconds += time.perf_counter() - since
      run = gan_jax.load(folder)
    options = Options(metrics=('fid',), samples=SAMPLES, weights='raw')
    found.append(Evaluator(run.stage, options)(run.state, run.step).values['fid'])
  return found, seconds


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--steps', type=int, default=1200)
  parser.add_argument('--only', default='')
  values = parser.parse_args()
  print('| | distance, seeds 0 to 2 | mean | seconds |\n|---|---|---|---|')
  for name in VARIANTS:
    if values.only in name:
      found, seconds = measure(name, values.steps)
      listed = ', '.join(f'{value:.1f}' for value in found)
      print(f'| {name} | {listed} | {np.mean(found):.1f} | {seconds:.0f} |', flush=True)


if __name__ == '__main__':
  main()
