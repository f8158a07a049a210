"""DCGAN's guidelines, each changed alone: Fréchet distance on MNIST at 32x32, three seeds as a population.

    TFDS_DATA_DIR=<prepared data> python -m benchmarks.ablation [--steps 3000] [--only NAME]

Protocol: the networks of `benchmarks.ablation_networks` (widths 64, 32, 16 and 16, 32, 64), batch 64, Adam with b1 =
0.5, 100 uniform latents, one generator move per discriminator move. The distance is that of 5,000 samples of the
weights as they are to the 60,000 training digits, in the features of the classifier of `gan_jax.evaluate`, half-way and
at the end. Reference settings are the paper's; every other row changes one.
"""

import argparse
import tempfile
import time

import numpy as np

import gan_jax
from gan_jax import config as config_lib
from gan_jax import train
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.evaluation.options import Options

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


def settings(name: str, steps: int, data: str = 'mnist'):
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
    population=SEEDS,
    devices=1,
    keep=2,
    checkpoint_every=steps // 2,
    log_every=steps // 2,
    sample_every=0,
    steps_per_call=min(10, steps // 2),
  )


def measure(config) -> tuple[np.ndarray, float]:
  """((2, seeds) distances half-way and at the end, seconds of the training)."""
  with tempfile.TemporaryDirectory() as folder:
    since = time.perf_counter()
    train.run(config, folder, silent=True)
    seconds = time.perf_counter() - since
    places = [(step, member) for step in (config.steps // 2, config.steps) for member in range(SEEDS)]
    runs = [gan_jax.load(folder, step, member) for step, member in places]
  evaluator = Evaluator(runs[0].stage, Options(metrics=('fid',), samples=SAMPLES, weights='raw'))
  found = [evaluator(run.state, run.step).values['fid'] for run in runs]
  return np.array(found).reshape(2, SEEDS), seconds


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--steps', type=int, default=3000)
  parser.add_argument('--only', default='')
  values = parser.parse_args()
  print('| | half-way, seeds 0 to 2 | at the end | mean | seconds |\n|---|---|---|---|---|')
  for name in VARIANTS:
    if values.only in name:
      (half, end), seconds = measure(settings(name, values.steps))
      listed = lambda row: ', '.join(f'{value:.1f}' for value in row)
      print(f'| {name} | {listed(half)} | {listed(end)} | {end.mean():.1f} | {seconds:.0f} |', flush=True)


if __name__ == '__main__':
  main()
