"""3D-GAN's figures of a run: what its discriminator knows of classes, copies, pictures, interpolation, arithmetic.

    python -m benchmarks.volumes --workdir RUN [--steps 1200,3000] [--out RUN/volumes] [--count 200] [--data SET]

Wu et al. 2016, https://arxiv.org/abs/1610.07584, sections 4.1 to 4.4. The run's data need classes and a split `test`;
--data takes another set of the same columns, such as all classes for a run on chairs alone.

classes     a linear L2-SVM (the objective of LinearSVC, `gan_jax.metrics.probe`) on the discriminator's layers in eval
            mode, the last three, each max-pooled to 2 x 2 x 2 (at 64^3 that is pooling by 8, 4 and 2, as in the paper),
            concatenated, not scaled. C is chosen on a tenth of the training volumes drawn with seed 0; then it is
            trained on all of them and tested on the test split. Beside it raw voxels and random weights. Batch
            statistics are averaged over 50 batches of 64 training volumes, for trained and random weights alike.
copies      intersection over union of each sample, filled above the middle of the range, and the training volume
            nearest to it by this measure; beside it the same of the test volumes, which are no copies.
pictures    samples.png, 16 volumes from two sides; nearest.png, each beside its nearest training volume;
            interpolation.png, rows of 8 between two latents; arithmetic.png, rows of tall K, low K, low J and their sum
            tall K - low K + low J, each of the mean of 3 latents, K and J classes that the SVM sees.
"""

import argparse
import dataclasses
import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import gan_jax
from benchmarks import probe as pictures_probe
from gan_jax.base.errors import UserError
from gan_jax.data import sources
from gan_jax.latents import paths
from gan_jax.metrics import probe
from gan_jax.sampling import shapes
from gan_jax.sampling.run import Run
from gan_jax.sampling.standing import standing_statistics

CS = tuple(10.0**power for power in range(-6, 2))
BATCH, STATISTICS, LAYERS, GRID = 64, 50, 3, 2
SHOWN, WALKS, WALKED, OF_EACH = 16, 4, 8, 3

Volumes = np.ndarray


def nearest(volumes: Volumes, others: Volumes) -> tuple[np.ndarray, np.ndarray]:
  """(intersection over union with the nearest of the others, which one it is), (N,) each.

  Args:
    volumes: (N, ...) bool.
    others: (M, ...) bool.

  >>> nearest(np.array([[1, 1, 0, 0]], bool), np.array([[0, 0, 0, 1], [1, 0, 0, 0]], bool))
  (array([0.5], dtype=float32), array([1]))
  """
  a, b = (x.reshape(len(x), -1).astype(np.float32) for x in (volumes, others))
  common = a @ b.T
  union = a.sum(1)[:, None] + b.sum(1) - common
  shares = common / np.maximum(union, 1)
  return shares.max(1), shares.argmax(1)


def examples_of(run: Run, split: str, path: str = '') -> tuple[Volumes, np.ndarray]:
  """(volumes (N, n, n, n, 1) as losses see them, labels) of a split of the run's set, or of that at `path`."""
  (stream,) = run.stage.streams.values()
  stream = dataclasses.replace(stream, split=split, path=path or stream.path)
  if not stream.classes:
    raise UserError(
      f'{run.workdir}: its set has no classes, which the figures of volumes need: set config.data.classes'
    )
  stored = sources.into_memory(stream.open(), 1 << 32)
  if stored is None:
    raise UserError(f'{run.workdir}: split {split} needs more than 4 GiB')
  prepare = jax.jit(lambda x: stream.prepare({'image': x, 'label': jnp.zeros(len(x), jnp.int32)}, jax.random.key(0)))
  given = stored.arrays['image']
  parts = [np.asarray(prepare(given[i : i + BATCH])['image']) for i in range(0, len(given), BATCH)]
  return np.concatenate(parts), stored.arrays['label']


def features_of(module: Any, variables: Any, volumes: Volumes) -> Callable[[Volumes], jax.Array]:
  """Volumes to the pooled features of the last layers, with batch statistics of the first volumes."""
  if getattr(module, 'classes', 0):
    raise UserError('the discriminator is given classes, so its features cannot be probed for them')
  train = jax.jit(lambda v, x: module.apply(v, x, train=True, layers=True, mutable=['batch_stats']))
  batches = [volumes[i * BATCH :][:BATCH] for i in range(min(STATISTICS, len(volumes) // BATCH))]
  if batches:
    variables = standing_statistics(lambda v, x, mutable: train(v, x), variables, batches)
  return jax.jit(
    lambda x: probe.pooled_features(module.apply(variables, x, train=False, layers=True)[1][-LAYERS:], GRID)
  )


def judged(
  train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> tuple[Any, float, float]:
  """(the SVM, its accuracy on test, C)."""
  order = np.random.default_rng(0).permutation(len(train))
  held, kept = np.split(order, [len(train) // 10])
  c, _ = probe.choose_c([(train[kept], labels[kept])], (train[held], labels[held]), CS)
  svm = probe.fit_linear_svm(train, labels, c)
  return svm, probe.accuracy(svm, test, test_labels), c


def height_of(volumes: Volumes) -> np.ndarray:
  """(N,) levels from the lowest filled voxel to the highest, of volumes (N, X, Y, Z) bool."""
  filled = volumes.any((1, 2))
  return filled.any(1) * (filled.shape[1] - filled[:, ::-1].argmax(1) - filled.argmax(1))


def rows(volumes: Volumes, limits: tuple[float, float], across: int) -> Image.Image:
  """Pictures of volumes in rows of so many."""
  drawn = [shapes.voxels(volumes[i : i + 1], limits) for i in range(len(volumes))]
  width, height = drawn[0].width + 4, drawn[0].height + 4
  page = Image.new('L', (width * across, height * -(-len(drawn) // across)), 210)
  for i, picture in enumerate(drawn):
    page.paste(picture, (i % across * width + 2, i // across * height + 2))
  return page


def sums(latents: Any, seen: np.ndarray, height: np.ndarray) -> list[tuple[int, int, Any]]:
  """(K, J, {tall K, low K, low J, the sum}) of all pairs of classes that have enough samples of both heights."""
  chosen: dict[Any, Any] = {}
  for k in np.unique(seen):
    low, high = np.quantile(height[seen == k], (1 / 3, 2 / 3))
    masks = {'tall': (seen == k) & (height >= high), 'low': (seen == k) & (height <= low)}
    if low < high and all(mask.sum() >= OF_EACH for mask in masks.values()):
      chosen |= {(k, name): paths.chosen(latents, mask, OF_EACH) for name, mask in masks.items()}
  found = []
  for k, j in itertools.permutations(sorted({k for k, _ in chosen}), 2):
    parts = chosen[k, 'tall'], chosen[k, 'low'], chosen[j, 'low']
    found.append((int(k), int(j), [*map(paths.mean, parts), paths.arithmetic(*parts)]))
  return found


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True, help='the run')
  parser.add_argument(
    '--steps', default='', help='checkpoints for the table of classes, by commas; the latest by default'
  )
  parser.add_argument('--out', default='', help='folder of the pictures; RUN/volumes by default')
  parser.add_argument('--count', type=int, default=200, help='samples that are compared with the training set')
  parser.add_argument('--data', default='', help="path of the set in place of the run's, with {split} in it")
  values = parser.parse_args(arguments)
  steps = [int(step) for step in values.steps.split(',')] if values.steps else [None]
  runs = [gan_jax.load(values.workdir, step) for step in steps]
  run, out = runs[-1], pathlib.Path(values.out or pathlib.Path(values.workdir) / 'volumes')
  out.mkdir(parents=True, exist_ok=True)
  (train, labels), (test, test_labels) = (examples_of(run, split, values.data) for split in ('train', 'test'))
  printed = [f'{len(train)} training, {len(test)} test volumes of {train.shape[1]}^3; {values.workdir}', '']

  def say(*lines: str) -> None:
    print(*lines, sep='\n', flush=True)
    printed.extend(lines)

  say('| features | values | accuracy on test | C |', '|---|---|---|---|')
  module, _ = pictures_probe.trained(run)
  fresh = module.init(jax.random.key(int(run.config.seed)), train[:2], train=False)
  kinds = {
    'raw voxels': lambda x: x.reshape(len(x), -1),
    'random weights': features_of(module, fresh, train),
    **{f'step {r.step:,}': features_of(*pictures_probe.trained(r), train) for r in runs},
  }
  for name, extract in kinds.items():
    made = [pictures_probe.rows_of(extract, x) for x in (train, test)]
    svm, share, c = judged(made[0], labels, made[1], test_labels)
    say(f'| {name} | {made[0].shape[-1]:,} | {100 * share:.1f} % | {c:g} |')

  middle = sum(run.range) / 2
  full = lambda x: x[..., 0] > middle
  latents = run.latents(values.count)
  samples = run.generate(latents)
  found, which = nearest(full(samples), full(train))
  held_out = nearest(full(test), full(train))[0]
  told = lambda x: f'{x.mean():.3f} | {np.median(x):.3f} | {x.max():.3f} | {100 * (x > 0.95).mean():.1f} %'
  say('', '| IoU with the nearest training volume | mean | median | largest | above 0.95 |', '|---|---|---|---|---|')
  say(f'| {len(samples)} samples | {told(found)} |', f'| {len(test)} test volumes | {told(held_out)} |')

  say('', *_pictures(run, out, samples, train[which], latents))
  seen = probe.predict(svm, pictures_probe.rows_of(extract, samples))
  count = np.bincount(seen, minlength=int(labels.max()) + 1)
  say(f'classes that the SVM sees in the samples: {", ".join(map(str, count))}')
  say(*_arithmetic(run, out, latents, seen, height_of(full(samples)), lambda x: (
    probe.predict(svm, pictures_probe.rows_of(extract, x)), height_of(full(x)))))  # fmt: skip
  (out / 'figures.md').write_text('\n'.join(printed) + '\n')
  return '\n'.join(printed)


def _pictures(run: Run, out: pathlib.Path, samples: Volumes, near: Volumes, latents: Any) -> list[str]:
  shapes.voxels(samples[:SHOWN], run.range).save(out / 'samples.png')
  pairs = np.stack([samples[:SHOWN], near[:SHOWN]], 1).reshape(-1, *samples.shape[1:])
  rows(pairs, run.range, 4).save(out / 'nearest.png')
  starts, ends = (jax.tree.map(lambda x, i=i: x[i * WALKS : (i + 1) * WALKS], latents) for i in (0, 1))
  walked = run.generate(paths.walk(starts, ends, WALKED, kind='linear'))
  rows(walked, run.range, WALKED).save(out / 'interpolation.png')
  return [f'{out}: samples.png, nearest.png, interpolation.png']


def _arithmetic(
  run: Run, out: pathlib.Path, latents: Any, seen: np.ndarray, height: np.ndarray, look: Any
) -> list[str]:
  found = sums(latents, seen, height)
  if not found:
    return ['no two classes have enough samples of both heights for arithmetic']
  made = run.generate(jax.tree.map(lambda *x: np.concatenate(x), *(part for *_, parts in found for part in parts)))
  classes, heights = (x.reshape(len(found), 4) for x in look(made))
  wanted = np.array([j for _, j, _ in found])
  rows(made[: 4 * WALKED], run.range, 4).save(out / 'arithmetic.png')
  kept, taller = (classes[:, 3] == wanted).mean(), (heights[:, 3] > heights[:, 2]).mean()
  return [
    f'tall K - low K + low J, {len(found)} pairs: {100 * kept:.0f} % are J, {100 * taller:.0f} % taller than low J; '
    f'mean height {heights[:, 3].mean():.1f} after {heights[:, 2].mean():.1f}',
    f'{out}/arithmetic.png: rows of tall K, low K, low J, the sum; (K, J) {[(k, j) for k, j, _ in found[:WALKED]]}',
  ]


if __name__ == '__main__':
  main()
