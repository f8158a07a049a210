"""What batch, width and attention are worth: distances of a small BigGAN on the built-in digits after so many steps.

    python -m benchmarks.scale [--steps 1000] [--seeds 0,1,2] [--rows 'batch,width 8,attention']

Source: the questions are those of Brock et al. 2018, https://arxiv.org/abs/1809.11096, table 1, and Zhang et al. 2018,
https://arxiv.org/abs/1805.08318, table 1. Protocol: configs/biggan.py:digits with 16 channels, batch 64 and attention;
one of them is changed in a row. Frechet distance of the classifier's features, 5,000 samples of running averages of
0.99 against the training digits; the share of samples in which the classifier sees the class asked for.
"""

import argparse
import tempfile

import numpy as np

from gan_jax import config as config_lib
from gan_jax import evaluate, load
from gan_jax.training import loop as train

ROWS: dict[str, dict[str, tuple[str, ...]]] = {
  'batch': {f'batch {batch}': (f'--config.batch_size={batch}',) for batch in (64, 128, 256, 512, 1024, 2048)},
  'width': {
    f'width {ch}': tuple(f'--config.game.{player}.channels=({ch},{ch})' for player in ('generator', 'discriminator'))
    for ch in (8, 32, 64)
  },
  'attention': {
    'no attention': tuple(f'--config.game.{player}.attention=()' for player in ('generator', 'discriminator'))
  },
}
BASE = (
  '--config.game.generator.channels=(16,16)',
  '--config.game.discriminator.channels=(16,16)',
  '--config.ema.generator.decay=0.99',
  '--config.ema.generator.step=0',
  '--config.sample_every=0',
  '--config.checkpoint_every=0',
)


def row(settings: tuple[str, ...], steps: int, seed: int) -> tuple[float, float]:
  """(Frechet distance, share of the class asked for) of one run."""
  arguments = [*BASE, *settings, f'--config.steps={steps}', f'--config.seed={seed}']
  config = config_lib.override(config_lib.load('configs/biggan.py:digits'), arguments)
  with tempfile.TemporaryDirectory() as workdir:
    train.run(config, workdir, silent=True)
    result = evaluate.evaluate(load(workdir), metrics=('fid', 'classes'), samples=5000)
  found = {figure.name: figure.value for figure in result.figures}
  return found['fid'], found['class_accuracy']


def main(arguments: list[str] | None = None) -> dict[str, list[tuple[float, float]]]:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--steps', type=int, default=1000)
  parser.add_argument('--seeds', default='0,1,2')
  parser.add_argument('--rows', default=','.join(ROWS), help='kinds of rows, or single ones by their names')
  values = parser.parse_args(arguments)
  out = {}
  by_name = {name: {name: settings} for rows in ROWS.values() for name, settings in rows.items()}
  for asked in values.rows.split(','):
    if asked not in {**ROWS, **by_name}:
      parser.error(f'--rows={asked}: there are {", ".join([*ROWS, *by_name])}')
    for name, settings in (ROWS.get(asked) or by_name[asked]).items():
      out[name] = [row(settings, values.steps, int(seed)) for seed in values.seeds.split(',')]
      distances, shares = np.array(out[name]).T
      listed = ', '.join(f'{distance:.1f}' for distance in distances)
      print(f'{name:<14} distance {listed}   class asked for {", ".join(f"{s:.1%}" for s in shares)}', flush=True)
  return out


if __name__ == '__main__':
  main()
