"""Salimans' tricks on the built-in digits, each with and without: modes, KL, the discriminator's confidence on data.

    python -m benchmarks.tricks [--seeds 3] [--steps 1000]

Protocol: the networks of configs/quickstart.py, 2,000 samples of the weights as they are. Modes are classes with at
least 1 % of the samples by the classifier of `gan_jax.evaluate`; KL is that of the classes' shares from those of the
training digits, in nats; confidence is the mean of sigmoid(logit) on held-out digits.
"""

import argparse
import tempfile

import jax
import numpy as np
from scipy import special

import gan_jax
from gan_jax import config as config_lib
from gan_jax.data.streams import Stream
from gan_jax.evaluate import evaluate
from gan_jax.sampling.run import Run
from gan_jax.training import loop as train

VARIANTS = {
  'none': [],
  'feature matching, weight 1': ['--config.game.feature_matching=1.0'],
  'minibatch discrimination, 50 kernels': ['--config.game.discriminator.minibatch_kernels=50'],
  'one-sided smoothing, 0.9': ['--config.game.loss=smoothed'],
}


def measure(settings: list[str], seed: int, steps: int) -> tuple[int, float, float]:
  """(modes, KL, confidence)."""
  common = [f'--config.seed={seed}', f'--config.steps={steps}', '--config.devices=1', '--config.sample_every=0']
  with tempfile.TemporaryDirectory() as folder:
    config = config_lib.override(config_lib.load('configs/quickstart.py'), [*common, *settings])
    train.run(config, folder, silent=True)
    run = gan_jax.load(folder)
    found = evaluate(run, samples=2000, weights='raw', metrics=('classes',))
    source = Stream(name='digits', split='test', size=8, channels=1).open()
    real = np.stack([source[i]['image'] for i in range(len(source))]).astype(np.float32) / 127.5 - 1
    logits = judged(run, real)
  shares = next(figure.parts for figure in found.figures if figure.name == 'class_kl')
  confidence = float(special.expit(logits).mean())
  return sum(share >= 0.01 for share in shares), found.values['class_kl'], confidence


def judged(run: Run, images: np.ndarray) -> np.ndarray:
  """Logits (N,) in training mode, in batches of the size that the discriminator was trained with.

  Batch norm and minibatch discrimination look at the whole batch. The last one is filled up from the first images.
  """
  game, variables, size = run.stage.game, run.variables(ema=False), run.stage.batch_size

  @jax.jit
  def judge(images: jax.Array) -> jax.Array:
    play = lambda game, image: game.discriminator(image, train=True)
    return game.apply(
      variables, images, method=play, mutable=['batch_stats'], rngs={'noise': jax.random.key(0)}
    )[0]  # fmt: skip

  parts = [judge(images[np.arange(i, i + size) % len(images)]) for i in range(0, len(images), size)]
  return np.concatenate(parts)[: len(images)]


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
