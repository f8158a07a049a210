"""Salimans' tricks on the built-in digits, each with and without: modes, KL, the discriminator's confidence on data.

    python -m benchmarks.tricks [--seeds 3] [--steps 1000]

Protocol: the networks of configs/quickstart.py, 2,000 samples of the weights as they are. Modes are classes with at
least 1 % of the samples by scikit-learn's MLP on the digits; KL is that of the classes' shares from those of the
training digits, in nats; confidence is the mean of sigmoid(logit) on held-out digits.
"""

import argparse
import tempfile

import jax
import numpy as np
from scipy import special, stats

import gan_jax
from gan_jax import config as config_lib
from gan_jax import train
from gan_jax.data.streams import Stream
from gan_jax.metrics.classes import class_report

VARIANTS = {
  'none': [],
  'feature matching, weight 1': ['--config.game.feature_matching=1.0'],
  'minibatch discrimination, 50 kernels': ['--config.game.discriminator.minibatch_kernels=50'],
  'one-sided smoothing, 0.9': ['--config.game.loss=smoothed'],
}


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
  source = Stream(name='digits', split=split, size=8, channels=1, classes=10).open()
  rows = [source[i] for i in range(len(source))]
  return np.stack([row['image'] for row in rows]) / 255.0, np.array([row['label'] for row in rows])


def measure(settings: list[str], seed: int, steps: int) -> tuple[int, float, float]:
  """(modes, KL, confidence)."""
  common = [f'--config.seed={seed}', f'--config.steps={steps}', '--config.devices=1', '--config.sample_every=0']
  (x, y), (held_out, labels) = digits('train'), digits('test')
  with tempfile.TemporaryDirectory() as folder:
    config = config_lib.override(config_lib.load('configs/quickstart.py'), [*common, *settings])
    train.run(config, folder, silent=True)
    run = gan_jax.load(folder)
    made = (run.sample(2000, seed=1, ema=False) + 1) / 2
    report = class_report(x, y, held_out, labels, made)
    real = (2 * held_out - 1).astype(np.float32)
    # In training mode, as the discriminator judges: batch norm by the batch.
    judge = lambda game, image: game.discriminator(image, train=True)
    variables = run.variables(ema=False)
    logits, _ = run.stage.game.apply(
      variables, real, method=judge, mutable=['batch_stats'], rngs={'noise': jax.random.key(0)}
    )
  shares = np.bincount(y, minlength=10) / len(y)
  kl = stats.entropy(np.maximum(report.shares, 1e-9), shares)
  return int((report.shares >= 0.01).sum()), float(kl), float(special.expit(np.asarray(logits)).mean())


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--steps', type=int, default=1000)
  values = parser.parse_args()
  print(f'| trick | modes of 10, seeds 0 to {values.seeds - 1} | KL | confidence on held-out data |\n|---|---|---|---|')
  for name, settings in VARIANTS.items():
    modes, kls, sure = zip(*(measure(settings, seed, values.steps) for seed in range(values.seeds)), strict=True)
    listed = lambda row, form: ', '.join(form.format(value) for value in row)
    print(f'| {name} | {listed(modes, "{}")} | {listed(kls, "{:.3f}")} | {listed(sure, "{:.2f}")} |', flush=True)


if __name__ == '__main__':
  main()
