"""Metrics of features and of the classes that a classifier tells."""

import math
from collections.abc import Iterable

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure
from gan_jax.metrics import diversity, frechet, inception_score, kernel_distance, manifolds

#: Examples that the four shares of `manifolds` are computed of, at most.
MANIFOLD = 10_000
NEIGHBOURS = 5


def fid(e: Evidence) -> Iterable[Figure]:
  counts = f'{e.fake.moments.examples} samples against all {e.real.moments.examples}'
  yield Figure('fid', frechet.frechet(e.real.moments, e.fake.moments), f'Frechet distance of features, {counts}')


def kid(e: Evidence) -> Iterable[Figure]:
  size = min(1000, len(e.real.features), len(e.fake.features))
  found = kernel_distance.kernel_distance(e.real.features, e.fake.features, subsets=100, size=size)
  yield Figure('kid', found.value, f'cubic kernel on features, unbiased, 100 subsets of {size}', found.standard_error)


def score(e: Evidence) -> Iterable[Figure]:
  if e.stream.name.startswith('stacked/'):
    raise UserError(
      f'{e.stream.name!r} has one classifier for each channel and no Inception score: use the metric modes'
    )
  count = len(e.fake.features)
  splits = min(10, max(1, count // 50))
  found = inception_score.inception_score(e.logits(e.fake), splits=splits)
  yield Figure(
    'inception_score', found.value, f"{count} samples in {splits} splits, the features' classes", found.standard_error
  )


def prdc(e: Evidence) -> Iterable[Figure]:
  count = min(MANIFOLD, len(e.real.features), len(e.fake.features))
  if count <= NEIGHBOURS:
    raise UserError(
      f'the metric prdc needs more than {NEIGHBOURS} of each, there are {len(e.real.features)} examples and '
      f'{len(e.fake.features)} samples: ask for more samples, or leave it out'
    )
  found = manifolds.manifolds(e.real.features[:count], e.fake.features[:count], k=NEIGHBOURS)
  for name, value in found._asdict().items():
    yield Figure(name, value, f'of features, k = {NEIGHBOURS}, {count} of each side')


def intra_fid(e: Evidence) -> Iterable[Figure]:
  if e.real.labels is None:
    raise UserError(f'{e.stream.name!r} has no labels for an intra-class distance: leave this metric out')
  each = []
  for label in range(e.stream.classes):
    real, fake = e.real.features[e.real.labels == label], e.fake.features[e.labels == label]
    enough = min(len(real), len(fake)) > 1
    each.append(frechet.frechet(frechet.moments(real), frechet.moments(fake)) if enough else math.nan)
  whose = 'asked for' if e.fake.labels is not None else 'that the classifier sees'
  # A class that is not made has no distance, and a generator that makes one class well no mean.
  yield Figure('intra_fid', float(np.mean(each)), f'mean over the classes {whose}', parts=each)


def class_figures(e: Evidence) -> Iterable[Figure]:
  judge = f'{len(e.fake.features)} samples as the classifier sees them'
  classes = e.stream.classes
  shares = None if e.real.labels is None else np.bincount(e.real.labels, minlength=classes)
  balance = diversity.class_balance(e.seen, classes, shares)
  yield Figure(
    'class_kl', balance.divergence, f"KL of class shares to the reference's, nats, {judge}",
    parts=balance.shares.tolist(),
  )  # fmt: skip
  yield Figure('rarest_class', float(balance.shares.min()), f'smallest class share, {judge}')
  logits = e.logits(e.fake).astype(np.float64)
  best = np.exp(logits.max(1) - np.logaddexp.reduce(logits, axis=1))
  yield Figure('confidence', float(np.median(best)), f'median probability of the class, {judge}')
  if e.fake.labels is not None:
    accuracy = diversity.conditional_accuracy(e.logits(e.fake), e.fake.labels)
    yield Figure('class_accuracy', accuracy.value, f'share of the class asked for, {judge}', accuracy.standard_error)
  if e.real.labels is not None:
    real = e.real_examples(len(e.fake.examples))
    labels, real_labels = e.labels[: len(e.fake.examples)], e.real.labels[: len(real)]
    real = real[: len(real_labels)]
    found = diversity.class_diversity(e.fake.examples[: len(labels)], labels, real, real_labels, classes)
    told = found.ratio[np.isfinite(found.ratio)]
    yield Figure(
      'class_diversity', float(np.mean(told)) if len(told) else math.nan,
      f"pixel distance between samples of a class over the reference's, mean over classes, {len(labels)} samples",
      parts=found.ratio.tolist(),
    )  # fmt: skip


def tag_figures(e: Evidence) -> Iterable[Figure]:
  table = np.array(e.stream.tags, bool)
  if e.fake.tags is None or not table.size:
    raise UserError(
      f'{type(e.game).__name__} is not asked for tags that {e.stream.name!r} has: leave the metric tags out'
    )
  wanted, found = e.fake.tags > 0.5, table[e.seen]
  each = [float(np.mean(found[wanted[:, tag], tag])) for tag in range(table.shape[1])]
  judge = f'{len(found)} samples, tags of the class that the classifier sees'
  yield Figure('tag_precision', float(np.mean(each)), f'share with a tag that was asked for, mean over tags, {judge}',
    parts=each)  # fmt: skip
  right = float(np.mean((found == wanted).all(1)))
  error = float(np.sqrt(right * (1 - right) / len(found)))
  yield Figure('all_tags_right', right, f'share with the tags asked for and no other, {judge}', error)
