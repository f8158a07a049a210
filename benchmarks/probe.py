"""The linear probe of DCGAN: an L2-SVM on features of a discriminator, and on what it must beat.

    python -m benchmarks.probe --set cifar10 --workdir RUN [--steps 400,800] [--published FOLDER]
    python -m benchmarks.probe --set mnist --workdir RUN --per_class 100 --draws 5

Protocol (Radford et al. 2015, sections 5.1 and 5.2, and svhn/svhn_semisup_analysis.py of the authors' code): features
of every convolution of the discriminator in eval mode, max-pooled to 4x4, flattened, concatenated, not scaled;
batch statistics averaged over 50 batches of 128 training pictures, for trained and random weights alike; C
chosen on the last --held_out examples of the training split; then trained on all the labels there are (with --per_class
on each draw, none of which has a held-out example) and tested on the test split.

differs: the authors average batch statistics over all of the training split.

Rows: raw pixels in [-1, 1]; the run's discriminator with first weights of its seed (not those that the run began
with); its checkpoints; Coates' k-means features, standardised as he does; with --published, the authors' own weights,
of their models/imagenet_gan_pretrain_..._256z.
"""

import argparse
import pathlib
import sys
from collections.abc import Callable

import flax.linen as nn
import jax
import numpy as np

import gan_jax
from gan_jax.base.errors import UserError
from gan_jax.data import sources, transforms
from gan_jax.data.streams import Stream
from gan_jax.metrics import patches, probe
from gan_jax.nets import dcgan
from gan_jax.sampling.run import Run
from gan_jax.sampling.standing import standing_statistics

CLASSES = 10
CS = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
BATCH, STATISTICS = 128, 50

Extract = Callable[[np.ndarray], jax.Array]


def rows_of(extract: Extract, images: np.ndarray) -> np.ndarray:
  """Features (N, n) float32 of images, made in batches of one size; the last is filled up."""
  made = None
  for first in range(0, len(images), BATCH):
    part = images[first : first + BATCH]
    block = np.asarray(extract(part[np.arange(BATCH) % len(part)]))[: len(part)]
    made = np.empty((len(images), block.shape[-1]), np.float32) if made is None else made
    made[first : first + BATCH] = block
  return made


def network(module: nn.Module, variables, images: np.ndarray, turned: bool = False) -> Extract:
  """Pooled features of every layer of a discriminator, with batch statistics of the first images."""
  window = lambda x: x[:, ::-1, ::-1] if turned else x
  prepared = lambda x: transforms.to_float({'image': window(x)}, (-1.0, 1.0), False, jax.random.key(0))['image']

  @jax.jit
  def train(variables, x):
    return module.apply(variables, prepared(x), train=True, layers=True, mutable=['batch_stats'])

  if 'batch_stats' in variables:
    batches = [images[i * BATCH : (i + 1) * BATCH] for i in range(min(STATISTICS, len(images) // BATCH))]
    variables = standing_statistics(lambda v, x, mutable: train(v, x), variables, batches)

  @jax.jit
  def features(x):
    return probe.pooled_features(module.apply(variables, prepared(x), train=False, layers=True)[1])

  return features


def trained(run: Run) -> tuple[nn.Module, dict]:
  """The discriminator of a run and its variables."""
  player = run.state.players['discriminator']
  return run.stage.game.discriminator, {
    'params': player.params['discriminator'],
    **{name: tree['discriminator'] for name, tree in player.variables.items()},
  }


def published(folder: str) -> tuple[nn.Module, dict, int]:
  """The authors' discriminator of 32x32 ImageNet, as far as the folder has its layers, and how many those are.

  Their convolutions pad (1, 1) and turn the kernel round; with strides of 2 ours pad (0, 1). On pictures turned round,
  ours with their kernels as stored see the same windows.
  """
  files = [pathlib.Path(folder) / f'30_discrim_params.jl_{i:02d}.npy' for i in range(1, 17)]
  layers = [files[:1], *(files[i : i + 3] for i in range(1, 16, 3))]
  layers = [[np.load(file) for file in layer] for layer in layers if all(file.exists() for file in layer)]
  if not layers:
    raise UserError(f"--published={folder} has no {files[0].name}: name a model folder of the authors' code")
  kernels = [np.transpose(layer[0], (2, 3, 1, 0)) for layer in layers]
  strides = (1, 2, 1, 2, 1, 2)[: len(layers)]
  module = dcgan.Discriminator(tuple(kernel.shape[-1] for kernel in kernels), 3, strides=strides)
  variables = module.init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
  params = dict(variables['params'])
  for i, (kernel, layer) in enumerate(zip(kernels, layers, strict=True)):
    params[f'Conv_{i}'] = {**params[f'Conv_{i}'], 'kernel': kernel}
    if i:
      params[f'BatchNorm_{i - 1}'] = {'norm': {'scale': layer[1], 'bias': layer[2]}}
  return module, {**variables, 'params': params}, len(layers)


def standardise(train: np.ndarray, test: np.ndarray) -> None:
  """Both, in place, by the mean and deviation of train."""
  mean, deviation = train.mean(0), np.sqrt(train.var(0) + 0.01)
  for x in (train, test):
    x -= mean
    x /= deviation


def judge(train, labels, test, test_labels, values) -> tuple[str, float]:
  """(accuracies of the test split in words, the C chosen)."""
  kept = len(train) - values.held_out
  held_out = (train[kept:], labels[kept:])
  if values.per_class:
    draws = [probe.draw_per_class(labels[:kept], values.per_class, seed) for seed in range(values.draws)]
    c, tried = probe.choose_c([(train[draw], labels[draw]) for draw in draws], held_out, CS)
    svms = [probe.fit_linear_svm(train[draw], labels[draw], c, classes=CLASSES) for draw in draws]
  else:
    c, tried = probe.choose_c([(train[:kept], labels[:kept])], held_out, CS)
    svms = [probe.fit_linear_svm(train, labels, c, classes=CLASSES)]
  lines = ', '.join(f'C={c:g} {100 * value:.2f} %' for c, value in tried.items())
  print(f'held out: {lines}', file=sys.stderr, flush=True)
  figures = [100 * probe.accuracy(svm, test, test_labels) for svm in svms]
  spread = f' ± {np.std(figures, ddof=1):.2f}' if len(figures) > 1 else ''
  return f'{np.mean(figures):.2f} %{spread}', c


def main(arguments: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--set', required=True, help='a labelled set of 10 classes')
  parser.add_argument('--workdir', required=True, help='the run whose discriminator is probed')
  parser.add_argument('--steps', default='', help='checkpoints, by commas; the latest by default')
  parser.add_argument('--rows', default='pixels,random,trained,kmeans', help='which rows to make')
  parser.add_argument('--published', default='', help="the folder of the authors' weights")
  parser.add_argument('--per_class', type=int, default=0, help='labels of each class; 0 for all')
  parser.add_argument('--draws', type=int, default=5, help='of so many labels')
  parser.add_argument('--held_out', type=int, default=10_000, help='training examples that C is chosen on')
  parser.add_argument('--centroids', type=int, default=1200, help='of k-means')
  values = parser.parse_args(arguments)
  rows = values.rows.split(',') if values.rows else []
  steps = [int(step) for step in values.steps.split(',')] if values.steps else [None]
  runs = {step: gan_jax.load(values.workdir, step) for step in steps}
  run = next(iter(runs.values()))
  (stream,) = run.stage.streams.values()
  shape = dict(size=stream.size, channels=stream.channels, classes=CLASSES)
  arrays = {
    split: sources.into_memory(Stream(name=values.set, split=split, **shape).open(), 1 << 32).arrays
    for split in ('train', 'test')
  }
  (train, labels), (test, test_labels) = ((part['image'], part['label']) for part in arrays.values())
  print(f'{len(train)} training, {len(test)} test examples of {values.set}, {values.workdir}')
  print('| features | values | accuracy on test | C |\n|---|---|---|---|', flush=True)

  def row(name: str, extract: Extract, scaled: bool = False) -> None:
    made = [rows_of(extract, images) for images in (train, test)]
    if scaled:
      standardise(*made)
    figure, c = judge(made[0], labels, made[1], test_labels, values)
    print(f'| {name} | {made[0].shape[-1]:,} | {figure} | {c:g} |', flush=True)

  module, variables = trained(run)
  if 'pixels' in rows:
    row('raw pixels', lambda x: x.reshape(len(x), -1) / 127.5 - 1)
  if 'random' in rows:
    fresh = module.init(jax.random.key(int(run.config.seed)), np.zeros((1, *train.shape[1:]), np.float32), train=False)
    row('random weights', network(module, fresh, train))
  if 'trained' in rows:
    for each in runs.values():
      row(f'step {each.step:,}', network(*trained(each), train))
  if 'kmeans' in rows:
    model = patches.fit_kmeans_features(train, centroids=values.centroids)
    row('k-means on patches', jax.jit(lambda x: patches.kmeans_features(model, x)), scaled=True)
  if values.published:
    module, variables, count = published(values.published)
    row(f"the authors' weights, {count} of 6 layers", network(module, variables, train, turned=True))


if __name__ == '__main__':
  main()
