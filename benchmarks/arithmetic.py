"""How often latent arithmetic comes out, and how many examples a concept needs.

    TFDS_DATA_DIR=<prepared data> python -m benchmarks.arithmetic --workdir runs/mnist [--noema] [--samples 5000]

Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 6.3.2: single examples of a concept give unstable
results, the mean of three stable ones. Here for all pairs of classes K and J: bright K - dark K + dark J, which should
be a bright J. Counted is whether the classifier of `gan_jax.evaluate` sees J in the result, and whether its mean pixel
lies above the mean of all samples of J; beside it the same for dark J alone.
"""

import argparse
import itertools

import jax
import numpy as np

import gan_jax
from gan_jax.data.sets import reference_stream
from gan_jax.data.transforms import to_uint8
from gan_jax.features import choose
from gan_jax.latents import paths as latent_paths
from gan_jax.sampling import exploration

COUNTS = (1, 3, 10)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--noema', action='store_true')
  parser.add_argument('--samples', type=int, default=5000)
  values = parser.parse_args()
  run = gan_jax.load(values.workdir)
  stream = reference_stream(next(iter(run.stage.streams.values())))
  extractor = choose.choose('classifier', stream)
  judge = jax.jit(lambda x: extractor.apply(extractor.variables, x)['logits'].argmax(-1))

  def look(latents):
    """(classes seen, mean pixels) of latents."""
    images = run.generate(latents, ema=not values.noema)
    pixels = to_uint8(images, run.range)
    seen = [judge(pixels[i : i + 500]) for i in range(0, len(pixels), 500)]
    return np.concatenate(seen), images.mean((1, 2, 3))

  latents = run.latents(values.samples)
  seen, shade = look(latents)
  classes = range(stream.classes)
  middle = np.array([shade[seen == k].mean() for k in classes])
  third = {
    (k, name): (seen == k) & (low <= shade) & (shade <= high)
    for k in classes
    for name, shares in exploration.SHADES.items()
    for low, high in [np.quantile(shade[seen == k], shares)]
  }
  print(
    '| examples of a concept | bright K - dark K + dark J: is J | and is bright | dark J alone: is J | and is bright |'
  )
  print('|---|---|---|---|---|')
  for count in COUNTS:
    chosen = {key: latent_paths.chosen(latents, mask, count) for key, mask in third.items()}
    pairs = list(itertools.permutations(classes, 2))
    sums = [latent_paths.arithmetic(chosen[k, 'bright'], chosen[k, 'dark'], chosen[j, 'dark']) for k, j in pairs]
    alone = [latent_paths.mean(chosen[j, 'dark']) for _, j in pairs]
    shares = []
    for results in (sums, alone):
      found, bright = look(jax.tree.map(lambda *rows: np.concatenate(rows), *results))
      wanted = np.array([j for _, j in pairs])
      shares += [(found == wanted).mean(), ((found == wanted) & (bright > middle[wanted])).mean()]
    print(f'| {count} | ' + ' | '.join(f'{100 * share:.0f} %' for share in shares) + ' |', flush=True)


if __name__ == '__main__':
  main()
