"""Metrics of features and of the classes that a classifier tells."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure
from gan_jax.metrics import diversity, frechet, inception_score, kernel_distance, manifolds
from gan_jax.metrics.checks import share_error

#: Examples that the four shares of `manifolds` are computed of, at most.
MANIFOLD = 10_000
NEIGHBOURS = 5
#: Classes that a note lists at most.
NAMED = 5


def _few(*counts: int, features: int) -> str:
  """A note where a covariance has less than full rank."""
  if min(counts) > features:
    return ''
  return f'; NOTE: no more examples than the {features} features, which makes the distance larger: take more'


def fid(e: Evidence) -> Iterable[Figure]:
  sizes = e.fake.moments.examples, e.real.moments.examples
  counts = f'{sizes[0]} samples against all {sizes[1]}{_few(*sizes, features=len(e.real.moments.mean))}'
  yield Figure('fid', frechet.frechet(e.real.moments, e.fake.moments), f'Frechet distance of features, {counts}')


def kid(e: Evidence) -> Iterable[Figure]:
  real, fake = e.real.features, e.fake.features
  least = min(len(real), len(fake))
  size = min(1000, least)
  if e.paired:
    real, fake = real[:least], fake[:least]
  result = kernel_distance.kernel_distance(real, fake, subsets=100, size=size, paired=e.paired)
  own = ', none compared with the one that it is made of' if e.paired else ''
  yield Figure(
    'kid', result.value, f'cubic kernel on features, unbiased, 100 subsets of {size}{own}',
    result.standard_error,
  )  # fmt: skip


def score(e: Evidence) -> Iterable[Figure]:
  if e.stream.name.startswith('stacked/'):
    raise UserError(
      f'{e.stream.name!r} has one classifier for each channel and no Inception score: use the metric modes'
    )
  count = len(e.fake.features)
  splits = min(10, max(1, count // 50))
  logits = e.logits(e.fake)
  result = inception_score.inception_score(logits, splits=splits)
  few = count // splits < logits.shape[1]
  note = (
    f'; NOTE: fewer in a split than the {logits.shape[1]} classes, which keeps the score down: take more' if few else ''
  )
  yield Figure(
    'inception_score', result.value, f"{count} samples in {splits} splits, the features' classes{note}",
    result.standard_error,
  )  # fmt: skip


def prdc(e: Evidence) -> Iterable[Figure]:
  count = min(MANIFOLD, len(e.real.features), len(e.fake.features))
  if count <= NEIGHBOURS:
    raise UserError(
      f'the metric prdc needs more than {NEIGHBOURS} of each, there are {len(e.real.features)} examples and '
      f'{len(e.fake.features)} samples: ask for more samples, or leave it out'
    )
  result = manifolds.manifolds(e.real.features[:count], e.fake.features[:count], k=NEIGHBOURS)
  notes = [
    f'; NOTE: {100 * share:.1f} % of the {side} have {NEIGHBOURS} equal ones or more, around which nothing can lie'
    for side, x in (('reference', e.real.features), ('samples', e.fake.features))
    if (share := manifolds.crowded(x[:count], NEIGHBOURS))
  ]
  for name, value in result._asdict().items():
    yield Figure(name, value, f'of features, k = {NEIGHBOURS}, {count} of each side{"".join(notes)}')


def intra_fid(e: Evidence) -> Iterable[Figure]:
  if e.real.labels is None:
    raise UserError(f'{e.stream.name!r} has no labels for an intra-class distance: leave this metric out')
  each, sizes, lacking = [], [], []
  for label in range(e.stream.classes):
    real, fake = e.real.features[e.real.labels == label], e.fake.features[e.labels == label]
    enough = min(len(real), len(fake)) > 1
    sizes += [len(real), len(fake)] if enough else []
    lacking += [] if enough else [label]
    each.append(frechet.frechet(frechet.moments(real), frechet.moments(fake)) if enough else math.nan)
  whose = 'asked for' if e.fake.labels is not None else 'that the classifier sees'
  note = _few(*sizes, features=e.real.features.shape[1]) if sizes else ''
  note += _of_classes('no mean, for there is no distance with fewer than 2 examples or samples', lacking)
  # A class that is not made has no distance, and a generator that makes one class well no mean.
  yield Figure('intra_fid', float(np.mean(each)), f'mean over the classes {whose}{note}', parts=each)


def _of_classes(reason: str, classes: Sequence[int]) -> str:
  """A note with the first few of the classes that a reason holds for; '' without any."""
  more = f' and {len(classes) - NAMED} more' if len(classes) > NAMED else ''
  return f'; NOTE: {reason}: of class {", ".join(map(str, classes[:NAMED]))}{more}' if classes else ''


def class_figures(e: Evidence) -> Iterable[Figure]:
  classes = e.stream.classes
  judge = f'{len(e.fake.features)} samples as the classifier sees them'
  if len(e.fake.features) < 10 * classes:
    judge += f'; NOTE: fewer than 10 a class, of which shares are uncertain: {10 * classes} would do'
  shares = None if e.real.labels is None else np.bincount(e.real.labels, minlength=classes)
  balance = diversity.class_balance(e.predicted_classes, classes, shares)
  unknown = [] if shares is None else np.flatnonzero((balance.shares > 0) & (shares == 0)).tolist()
  note = _of_classes('infinite, for the reference has none of what samples have', unknown)
  yield Figure(
    'class_kl', balance.divergence, f"KL of class shares to the reference's, nats, {judge}{note}",
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
    result = diversity.class_diversity(e.fake.examples[: len(labels)], labels, real, real_labels, classes)
    finite = result.ratio[np.isfinite(result.ratio)]
    yield Figure(
      'class_diversity', float(np.mean(finite)) if len(finite) else math.nan,
      f"pixel distance between samples of a class over the reference's, mean over classes, {len(labels)} samples",
      parts=result.ratio.tolist(),
    )  # fmt: skip


def tag_figures(e: Evidence) -> Iterable[Figure]:
  table = np.array(e.stream.tags, bool)
  if e.fake.tags is None:
    raise UserError(f'{type(e.game).__name__} is not asked for tags, but for classes: leave the metric tags out')
  wanted, predicted = e.fake.tags > 0.5, table[e.predicted_classes]
  # A tag that was never asked for has no precision.
  each = [float(np.mean(predicted[wanted[:, t], t])) if wanted[:, t].any() else math.nan for t in range(table.shape[1])]
  finite = [share for share in each if not math.isnan(share)]
  judge = f'{len(predicted)} samples, tags of the class that the classifier sees'
  mean = float(np.mean(finite)) if finite else math.nan
  yield Figure('tag_precision', mean, f'share with a tag that was asked for, mean over tags, {judge}', parts=each)
  right = float(np.mean((predicted == wanted).all(1)))
  error = share_error(right, len(predicted))
  yield Figure('all_tags_right', right, f'share with the tags asked for and no other, {judge}', error)
