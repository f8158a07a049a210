"""Metrics of the players' networks: of the discriminator, and of the generator."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import key_of
from gan_jax.data import sets
from gan_jax.data.sets import title
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure
from gan_jax.latents import distributions as latents_lib
from gan_jax.metrics import codes, held_out, inversion, path_length, probe
from gan_jax.metrics.checks import share_error

CODED = 10_000
PROBED, GRID = 10_000, 4
PATHS = 1000
INVERTED, RESTARTS = 64, 2


def in_batches(e: Evidence, network: Callable[..., Any], pictures: np.ndarray) -> Any:
  """What a jitted network (variables, pictures) gives of pictures (N, ...), compiled for one size of batch."""
  size = e.batch_size
  whole = e.in_range(pictures[np.arange(-(-len(pictures) // size) * size) % len(pictures)])
  # Each to the host at once: all features of all pictures need not fit on the device.
  parts = [jax.device_get(network(e.variables, whole[i : i + size])) for i in range(0, len(whole), size)]
  return jax.tree.map(lambda *rows: np.concatenate(rows)[: len(pictures)], *parts)


def code_figures(e: Evidence) -> Iterable[Figure]:
  game = e.game
  assert e.labelled_held_out is not None  # by the needs of the metric
  read = e.once('codes', lambda: jax.jit(lambda variables, x: game.apply(variables, x, method='codes')))
  sides = []
  for stream in (e.stream, e.labelled_held_out):
    pictures, labels = sets.examples(stream, CODED)
    assert labels is not None  # the stream has classes
    sides.append((in_batches(e, read, pictures), labels))
  (train, train_labels), (test, test_labels) = sides
  for name in sorted(train):
    if isinstance(game.latents[name], latents_lib.Label) and train[name].shape[1] == e.stream.classes:
      train_codes, test_codes = train[name].argmax(1), test[name].argmax(1)
      error = codes.code_error(train_codes, train_labels, test_codes, test_labels)
      yield Figure(
        f'code_error_{name}', error.value, f'of the code {name!r} as a classifier of {len(test_labels)} examples of '
        f'{title(e.labelled_held_out)}, its values matched with classes on {len(train_labels)} of {e.stream.split}',
        error.standard_error,
      )  # fmt: skip
      yield Figure(
        f'code_error_{name}_training', codes.code_error(train_codes, train_labels, train_codes, train_labels).value,
        f'of the {len(train_labels)} examples that were matched: by it a seed may be chosen',
      )  # fmt: skip


def held_out_figures(e: Evidence) -> Iterable[Figure]:
  game = e.game
  judged = lambda variables, examples: game.apply(variables, examples, method='logits')
  judge = e.once('judge', lambda: jax.jit(judged))
  sets = (e.trained_examples(2000), e.held_out_examples(2000), e.fake.examples[:2000])
  # Where only differences of logits mean something, no share does.
  boundary = game.boundary
  result = held_out.held_out_report(
    lambda examples: judge(e.variables, e.in_range(examples)), *sets, threshold=boundary or 0.0, batch_size=e.batch_size
  )
  protocol = 'the discriminator in eval mode, up to 2000 examples, the training ones of those that it learnt from'
  for name, side in (('training', result.train), ('held_out', result.held_out), ('generated', result.generated)):
    if boundary is not None:
      yield Figure(f'judged_real_{name}', side.real, f'share with a logit above {boundary:g}, {protocol}')
  yield Figure('overfitting', result.overfitting, f'(training - held-out) / (training - generated) logits, {protocol}')


def probe_figure(e: Evidence) -> Iterable[Figure]:
  game = e.game

  def pooled(variables, pictures):
    layers = game.apply(variables, pictures, method='layers')
    # The paper's 4x4, or the next size to which all maps can be pooled.
    common = math.gcd(*(side for layer in layers for side in layer.shape[1:3]))
    grid = min((size for size in range(GRID, common + 1) if common % size == 0), default=common)
    return probe.pooled_features(layers, grid).astype(jnp.float16)

  features = e.once('probe', lambda: jax.jit(pooled))

  pictures, labels = sets.examples(e.stream, PROBED)
  held_out = e.labelled_held_out
  assert held_out is not None  # by the needs of the metric
  unseen, unseen_labels = sets.examples(held_out, PROBED)
  assert labels is not None and unseen_labels is not None  # the stream has classes
  train, test = (in_batches(e, features, side) for side in (pictures, unseen))
  kept = len(train) * 4 // 5
  if len(np.unique(labels[:kept])) < 2 or kept == len(train):
    raise UserError(
      f'the metric probe needs examples of two classes or more to train on and some to choose C by, {len(train)} of '
      f'{e.stream.split} are too few: leave it out'
    )
  tried = np.logspace(-6, 0, 7).tolist()
  c, _ = probe.choose_c([(train[:kept], labels[:kept])], (train[kept:], labels[kept:]), tried)
  note = '; NOTE: the best C is at an end of those tried' if c in (tried[0], tried[-1]) else ''
  share = probe.accuracy(probe.fit_linear_svm(train, labels, c, classes=e.stream.classes), test, unseen_labels)
  yield Figure(
    'probe', share, f'accuracy on {len(test)} examples of {title(held_out)} of a linear L2-SVM (C = {c:g}, chosen on '
    f'training data) on {train.shape[1]} max-pooled features of every discriminator layer (running statistics), '
    f'{len(train)} labels{note}',
    share_error(share, len(test)),
  )  # fmt: skip


def _generator(e: Evidence) -> Callable[[jax.Array], jax.Array]:
  # Only what stays the same: the function outlives this state's evidence.
  game, seed, picked = e.sampler.game, e.seed, e.picked

  def generate(variables, z):
    made = game.apply(variables, {'latents': z}, method='sample', rngs={'noise': key_of(seed)})
    return picked(made).astype(jnp.float32)

  # One function for all evaluations, or the search would be compiled for each.
  return jax.tree_util.Partial(e.once('generate', lambda: jax.jit(generate)), e.variables)


def _latents(e: Evidence, count: int, salt: int) -> np.ndarray:
  return np.asarray(latents_lib.draw(e.sampler.distribution, jax.random.fold_in(key_of(e.seed), salt), count))


def ppl(e: Evidence) -> Iterable[Figure]:
  generate = _generator(e)
  low, high = e.stream.range
  extractor, factor = e.extractor, e.extractor.white / (high - low) if e.pictures else 0.0

  def features_of(variables, x):
    return extractor.apply(variables, (x - low) * factor if factor else x)['features']

  features = jax.tree_util.Partial(e.once('features', lambda: jax.jit(features_of)), extractor.variables)
  kind = 'spherical' if isinstance(e.game.latents, latents_lib.Normal) else 'linear'  # truncated or not
  epsilon = 1e-2  # the paper's 1e-4 moves the features of a small network by less than float32 can tell
  starts, ends = _latents(e, PATHS, 1), _latents(e, PATHS, 2)
  result = path_length.path_length(generate, features, starts, ends, kind=kind, epsilon=epsilon)
  yield Figure(
    'ppl', result.mean, f'{PATHS} {kind} paths, epsilon {epsilon}, 1 % trimmed at each end, squared distance of '
    'features', result.standard_error,
  )  # fmt: skip


def inversion_figures(e: Evidence) -> Iterable[Figure]:
  generate = _generator(e)
  low, high = e.stream.range
  train, unseen = e.in_range(e.trained_examples(INVERTED)), e.in_range(e.held_out_examples(INVERTED))
  errors = []
  for targets in (train, unseen):
    starts = _latents(e, RESTARTS * len(targets), 3)
    result = inversion.invert(generate, targets, starts.reshape(RESTARTS, len(targets), *starts.shape[1:]))
    errors.append(np.sqrt(result.errors) / (high - low if e.pictures else 1.0))
  recovered = inversion.recovery(*errors)
  protocol = f'median root mean square per entry, {{}} examples, best of {RESTARTS} searches of 200 Adam steps'
  yield Figure('inversion_training', recovered.train, protocol.format(len(train)))
  yield Figure(
    'inversion_held_out',
    recovered.held_out,
    f'{protocol.format(len(unseen))}; same distribution: p = {recovered.p_value:.2g}',
  )
