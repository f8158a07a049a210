"""Every adversarial loss on the built-in digits: the Fréchet distance of samples to data before and after 500 steps.

    python -m benchmarks.losses [--seeds 3] [--steps 500]

Protocol: raw pixels in [0, 1] (64 dimensions), 1,433 training digits against 2,000 samples of the weights as they are
(no running average), Gaussian fits in float64. The networks are those of configs/quickstart.py; the Wasserstein critic
has WGAN-GP's penalty.
"""

import argparse
import tempfile

import numpy as np

import gan_jax
from gan_jax import config as config_lib
from gan_jax import losses
from gan_jax.data.streams import Stream
from gan_jax.training import loop as train

PENALTY = "--config.game.penalty={'name': 'GradientPenalty', 'weight': 10.0}"


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
  """|mean difference|^2 + trace(A + B - 2 (A B)^(1/2)) of rows."""
  (m, s), (n, t) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (a.astype(np.float64), b.astype(np.float64)))
  # The border of the digits is constant, so that covariances are singular: a root by eigenvalues stands that.
  values, vectors = np.linalg.eigh(s)
  root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
  cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ t @ root), 0)).sum()
  return float(((m - n) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * cross)


def distances(loss: str, seed: int, steps: int) -> tuple[float, float]:
  """(before, after) training."""
  settings = [f'--config.game.loss={loss}', f'--config.seed={seed}', f'--config.steps={steps}', '--config.devices=1']
  settings += ['--config.sample_every=0', '--config.checkpoint_every=1', '--config.keep=1', '--config.log_every=100']
  settings += [PENALTY] if loss == 'wasserstein' else []
  real = Stream(name='digits', size=8, channels=1).open()
  data = np.stack([real[i]['image'] for i in range(len(real))]).reshape(len(real), -1) / 255
  out = []
  with tempfile.TemporaryDirectory() as folder:
    for last in (1, steps):
      every = f'--config.checkpoint_every={last}'
      config = config_lib.override(
        config_lib.load('configs/quickstart.py'), [*settings, every, f'--config.steps={last}']
      )
      train.run(config, folder, silent=True)
      made = gan_jax.load(folder).sample(2000, seed=1, ema=False)
      out.append(frechet_distance(data, (made.reshape(2000, -1) + 1) / 2))
  return out[0], out[1]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--steps', type=int, default=500)
  values = parser.parse_args()
  names = [name for name in losses.__all__ if isinstance(getattr(losses, name), losses.AdversarialLoss)]
  print(f'| loss | step 1 | step {values.steps}, seeds 0 to {values.seeds - 1} | worst ratio |\n|---|---|---|---|')
  for name in [name for name in names if name != 'two_way_softmax'] + ['smoothed']:
    rows = [distances(name, seed, values.steps) for seed in range(values.seeds)]
    after = ', '.join(f'{b:.2f}' for _, b in rows)
    print(
      f'| `{name}` | {np.mean([a for a, _ in rows]):.2f} | {after} | {max(b / a for a, b in rows):.2f} |', flush=True
    )


if __name__ == '__main__':
  main()
