"""The metrics that an evaluation can be asked for: each takes the evidence and gives figures with their protocols."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import latents as latents_lib
from gan_jax.data.sources import builtin
from gan_jax.data.streams import Stream
from gan_jax.errors import UserError, one_of
from gan_jax.evaluation import reference
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.reference import title
from gan_jax.evaluation.scores import pick
from gan_jax.features.choose import channel_labels
from gan_jax.games.conditions import condition_of
from gan_jax.metrics import (
  codes,
  diversity,
  frechet,
  held_out,
  inception_score,
  inversion,
  kernel_distance,
  manifolds,
  modes,
  neighbours,
  parzen,
  path_length,
  probe,
  similarity,
  sliced_wasserstein,
  two_sample,
)


class Figure(NamedTuple):
  """One figure.

  Attributes:
    name: as in evaluation.json and in rows of metrics.
    value: of it.
    protocol: what it was computed of, beyond the samples, reference and features that all figures share.
    standard_error: of the value, or None.
    parts: figures of its parts, such as one a class; None if it has none.
  """

  name: str
  value: float
  protocol: str
  standard_error: float | None = None
  parts: list[float] | None = None


Measure = Callable[[Evidence], Iterable[Figure]]

#: Examples that the four shares of `manifolds` are computed of, at most.
MANIFOLD = 10_000
NEIGHBOURS = 5
PARZEN_SAMPLES, PARZEN_VALIDATION = 10_000, 1000
COPY_SAMPLES = 1000
SIMILAR_PAIRS = 2000
TWO_SAMPLE = 5000
PATHS = 1000
PROBED, PROBE_BATCH = 10_000, 128
CODED = 10_000
INVERTED, RESTARTS = 64, 2


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


def code_figures(e: Evidence) -> Iterable[Figure]:
  if not hasattr(type(e.game), 'codes') or e.real.labels is None or e.held_out is None:
    raise UserError(
      f'{type(e.game).__name__} reads no codes, or {e.stream.name!r} has no labels or no held-out split: leave the '
      'metric codes out'
    )
  game = e.game
  read = e.once('codes', lambda: jax.jit(lambda variables, x: game.apply(variables, x, method='codes')))
  sides = []
  for stream in (e.stream, e.held_out):
    pictures, labels = reference.examples(stream, CODED)
    whole = e.in_range(pictures[np.arange(-(-len(pictures) // PROBE_BATCH) * PROBE_BATCH) % len(pictures)])
    rows = [read(e.variables, whole[i : i + PROBE_BATCH]) for i in range(0, len(whole), PROBE_BATCH)]
    assert labels is not None  # the stream has classes
    told = {name: np.concatenate([np.asarray(row[name]) for row in rows])[: len(pictures)] for name in rows[0]}
    sides.append((told, labels))
  (train, train_labels), (test, test_labels) = sides
  for name in sorted(train):
    if isinstance(game.latents[name], latents_lib.Label) and train[name].shape[1] == e.stream.classes:
      error = codes.code_error(train[name].argmax(1), train_labels, test[name].argmax(1), test_labels)
      yield Figure(
        f'code_error_{name}', error.value, f'of the code {name!r} as a classifier of {len(test_labels)} examples of '
        f'{title(e.held_out)}, its values matched with classes on {len(train_labels)} of {e.stream.split}',
        error.standard_error,
      )  # fmt: skip


def parzen_figure(e: Evidence) -> Iterable[Figure]:
  test = e.unit(e.held_out_examples(10_000))
  chosen_on = reference.validation_stream(e.stream)
  validation = e.unit(reference.examples(chosen_on, PARZEN_VALIDATION)[0])
  samples = e.unit(e.fake.examples[:PARZEN_SAMPLES])
  found = parzen.parzen_likelihood(samples, validation, test)
  yield Figure(
    'parzen', found.value,
    f'nats, {len(samples)} samples, {e.values}, sigma {found.sigma:.3g} chosen on {len(validation)} examples of '
    f'{chosen_on.split}, {len(test)} examples of {title(e.held_out)}', found.standard_error,  # type: ignore[arg-type]
  )  # fmt: skip
  yield Figure(
    'parzen_validation', found.validation,
    f'nats, the same for the {len(validation)} examples that chose sigma: by it a checkpoint may be chosen',
  )  # fmt: skip


MIXTURES = {
  'ring': (builtin.ring_centers, builtin.RING_STDDEV),
  'grid': (builtin.grid_centers, builtin.GRID_STDDEV),
}


def mode_figures(e: Evidence) -> Iterable[Figure]:
  if e.stream.name in MIXTURES:
    centers, stddev = MIXTURES[e.stream.name]
    samples = e.fake.examples[:2500]
    found = modes.mixture_coverage(samples, centers(), stddev, minimum=20)
    told = f'{len(samples)} samples; a mode counts with 20 within 3 standard deviations'
    yield Figure('modes', found.modes, f'of {found.total}, {told}', parts=found.counts.tolist())
    yield Figure('high_quality', found.quality, f'share within 3 standard deviations of a mode, {len(samples)} samples')
    yield Figure('mode_kl', found.kl, f'KL of the shares of modes to equal ones, nats, {len(samples)} samples')
  elif e.stream.name.startswith('stacked/'):
    labels = channel_labels(e.logits(e.fake))[:26_000]
    stacked = modes.stacked_coverage(labels)
    told = f'{len(labels)} samples (papers: 26,000), each channel judged by the classifier'
    yield Figure('modes', stacked.modes, f'of {stacked.total}, {told}')
    yield Figure('mode_kl', stacked.kl, f'KL of the shares of modes to equal ones, nats, {told}')
  else:
    known = [*MIXTURES, 'stacked/NAME']
    raise one_of('set with known modes (metric modes)', e.stream.name, known)


def swd(e: Evidence) -> Iterable[Figure]:
  e.need_pictures('swd')
  found = sliced_wasserstein.pyramid_distance(e.real_examples(8192), e.fake.examples)
  levels = ', '.join(f'{size} px: {value:.2f}' for size, value in found.levels.items())
  yield Figure(
    'swd', found.average, f'pixels, times 1000, mean over levels ({levels}), {found.pictures} of each side',
    parts=list(found.levels.values()),
  )  # fmt: skip


def ms_ssim(e: Evidence) -> Iterable[Figure]:
  e.need_pictures('ms_ssim')
  scales = similarity.scales_of(*e.fake.examples.shape[1:3])
  told = f'{SIMILAR_PAIRS} pairs, {scales} scales'
  for name, pictures in (('ms_ssim', e.fake.examples), ('ms_ssim_real', e.real_examples(len(e.fake.examples)))):
    found = similarity.pair_similarity(pictures, pairs=SIMILAR_PAIRS)
    yield Figure(name, found.mean, told, found.standard_error)


def copies(e: Evidence) -> Iterable[Figure]:
  train = e.unit(e.real_examples(len(e.stream.open())))
  samples, unseen = e.unit(e.fake.examples[:COPY_SAMPLES]), e.unit(e.held_out_examples(COPY_SAMPLES))
  found = neighbours.copying(train, unseen, samples)
  told = f'median distance (rms of {e.values}) to the nearest of {len(train)} of {e.stream.split}'
  yield Figure('nearest_training', found.samples, f'{told}, {len(samples)} samples; copies are near 0')
  yield Figure('nearest_of_held_out', found.held_out, f'the same of {len(unseen)} held-out real examples')


def two_sample_figure(e: Evidence) -> Iterable[Figure]:
  fair = e.held_out is not None
  real = e.held_out_examples(TWO_SAMPLE) if fair else e.real_examples(TWO_SAMPLE)
  found = two_sample.two_sample_test(real, e.fake.examples[:TWO_SAMPLE])
  whose = 'held-out' if fair else e.stream.split
  yield Figure(
    'two_sample', found.accuracy, f'accuracy of a fresh {found.network} on {found.examples} examples it did not see, '
    f'half of them {whose} real ones; goal 0.5, p = {found.p_value:.2g}', found.standard_error,
  )  # fmt: skip


def held_out_figures(e: Evidence) -> Iterable[Figure]:
  network = getattr(type(e.game), '__dataclass_fields__', {})
  if 'discriminator' not in network or condition_of(e.game.latents):
    raise UserError(f'{type(e.game).__name__} has no unconditional discriminator to ask: leave the metric held_out out')
  game = e.game

  def judged(variables, examples):
    out = game.apply(variables, examples, method=lambda game, x: game.discriminator(x, train=False))
    logits = out[0] if isinstance(out, tuple) else out
    return logits[:, -1] - logits[:, 0] if logits.ndim == 2 else logits.reshape(len(logits), -1).mean(1)

  judge = e.once('judge', lambda: jax.jit(judged))
  sets = (e.real_examples(2000), e.held_out_examples(2000), e.fake.examples[:2000])
  # Where only differences of logits mean something, no share does.
  boundary = getattr(getattr(game, 'pair', None), 'boundary', 0.0)
  found = held_out.held_out_report(
    lambda examples: judge(e.variables, e.in_range(examples)), *sets, threshold=boundary or 0.0
  )
  told = 'the discriminator in eval mode, up to 2000 examples'
  for name, side in (('training', found.train), ('held_out', found.held_out), ('generated', found.generated)):
    if boundary is not None:
      yield Figure(f'judged_real_{name}', side.real, f'share with a logit above {boundary:g}, {told}')
  yield Figure('overfitting', found.overfitting, f'(training - held-out) / (training - generated) logits, {told}')


def probe_figure(e: Evidence) -> Iterable[Figure]:
  network = getattr(e.game, 'discriminator', None)
  if network is None or 'layers' not in inspect.signature(type(network).__call__).parameters:
    raise UserError(f'{type(e.game).__name__} has no discriminator that gives its layers: leave the metric probe out')
  if e.real.labels is None or e.held_out is None:
    raise UserError(f'{e.stream.name!r} has no labels or no held-out split to probe: leave the metric probe out')
  e.need_pictures('probe')
  game = e.game

  def pooled(variables, pictures):
    judge = lambda game, x: game.discriminator(x, train=False, layers=True)
    layers = game.apply(variables, pictures, method=judge)[1]
    grid = min(4, *(layer.shape[1] for layer in layers))
    return probe.pooled_features(layers, grid)

  features = e.once('probe', lambda: jax.jit(pooled))

  def rows(pictures):
    full = e.in_range(pictures[np.arange(-(-len(pictures) // PROBE_BATCH) * PROBE_BATCH) % len(pictures)])
    parts = [features(e.variables, full[i : i + PROBE_BATCH]) for i in range(0, len(full), PROBE_BATCH)]
    return np.concatenate([np.asarray(part, np.float16) for part in parts])[: len(pictures)]

  pictures, labels = reference.examples(e.stream, PROBED)
  unseen, unseen_labels = reference.examples(e.held_out, PROBED)
  assert labels is not None and unseen_labels is not None  # the stream has classes
  train, test = rows(pictures), rows(unseen)
  kept = len(train) * 4 // 5
  c, _ = probe.choose_c([(train[:kept], labels[:kept])], (train[kept:], labels[kept:]), np.logspace(-6, 0, 7).tolist())
  share = probe.accuracy(probe.fit_linear_svm(train, labels, c, classes=e.stream.classes), test, unseen_labels)
  yield Figure(
    'probe', share, f'accuracy on {len(test)} examples of {title(e.held_out)} of a linear L2-SVM (C = {c:g}, chosen on '
    f'training data) on {train.shape[1]} max-pooled features of every discriminator layer, {len(train)} labels',
    float(np.sqrt(share * (1 - share) / len(test))),
  )  # fmt: skip


def _generator(e: Evidence) -> Callable[[jax.Array], jax.Array]:
  if not isinstance(e.game.latents, latents_lib.Distribution):
    raise UserError(
      f'{type(e.game).__name__} has other latents than one vector: leave the metrics ppl and inversion out'
    )
  # Only what stays the same: the function outlives this state's evidence.
  game, seed, output = e.game, e.seed, e.output

  def generate(variables, z):
    made = game.apply(variables, {'latents': z}, method='sample', rngs={'noise': jax.random.key(seed)})
    return pick(made, output).astype(jnp.float32)

  # One function for all evaluations, or the search would be compiled for each.
  return jax.tree_util.Partial(e.once('generate', lambda: jax.jit(generate)), e.variables)


def _latents(e: Evidence, count: int, salt: int) -> np.ndarray:
  return np.asarray(latents_lib.draw(e.game.latents, jax.random.fold_in(jax.random.key(e.seed), salt), count))


def ppl(e: Evidence) -> Iterable[Figure]:
  low, high = e.stream.range
  extractor, factor = e.extractor, e.extractor.white / (high - low) if e.pictures else 0.0

  def features_of(variables, x):
    return extractor.apply(variables, (x - low) * factor if factor else x)['features']

  features = jax.tree_util.Partial(e.once('features', lambda: jax.jit(features_of)), extractor.variables)
  kind = 'spherical' if isinstance(e.game.latents, latents_lib.Normal) else 'linear'
  epsilon = 1e-2  # the paper's 1e-4 moves the features of a small network by less than float32 can tell
  starts, ends = _latents(e, PATHS, 1), _latents(e, PATHS, 2)
  found = path_length.path_length(_generator(e), features, starts, ends, kind=kind, epsilon=epsilon)
  yield Figure(
    'ppl', found.mean, f'{PATHS} {kind} paths, epsilon {epsilon}, 1 % trimmed at each end, squared distance of '
    'features', found.standard_error,
  )  # fmt: skip


def inversion_figures(e: Evidence) -> Iterable[Figure]:
  low, high = e.stream.range
  train, unseen = e.in_range(e.real_examples(INVERTED)), e.in_range(e.held_out_examples(INVERTED))
  generate = _generator(e)
  errors = []
  for targets in (train, unseen):
    starts = _latents(e, RESTARTS * len(targets), 3)
    found = inversion.invert(generate, targets, starts.reshape(RESTARTS, len(targets), *starts.shape[1:]))
    errors.append(np.sqrt(found.errors) / (high - low if e.pictures else 1.0))
  recovered = inversion.recovery(*errors)
  told = f'median root mean square per entry, {INVERTED} examples, best of {RESTARTS} searches of 200 Adam steps'
  yield Figure('inversion_training', recovered.train, told)
  yield Figure('inversion_held_out', recovered.held_out, f'{told}; same distribution: p = {recovered.p_value:.2g}')


MEASURES: dict[str, Measure] = {
  'fid': fid,
  'kid': kid,
  'is': score,
  'prdc': prdc,
  'ifid': intra_fid,
  'classes': class_figures,
  'tags': tag_figures,
  'codes': code_figures,
  'parzen': parzen_figure,
  'modes': mode_figures,
  'swd': swd,
  'ms_ssim': ms_ssim,
  'neighbours': copies,
  'two_sample': two_sample_figure,
  'held_out': held_out_figures,
  'probe': probe_figure,
  'ppl': ppl,
  'inversion': inversion_figures,
}


def default_measures(e: Evidence) -> tuple[str, ...]:
  """What suits the set: quick ones."""
  names = ['fid', 'kid', 'prdc']
  if e.stream.name in MIXTURES or e.stream.name.startswith('stacked/'):
    names.append('modes')
  elif e.extractor.name.startswith('classifier'):
    names.append('classes')
    if condition_of(e.game.latents) == 'tags' and e.stream.tags:
      names.append('tags')
    if hasattr(type(e.game), 'codes') and e.held_out is not None:
      names.append('codes')
  return tuple(names + (['neighbours'] if e.held_out is not None and e.pictures else []))


#: What metrics need of the set: pictures, a held-out split, labels, classes told by the features, known modes.
NEEDS = {
  'is': ('told',),
  'ifid': ('labels',),
  'classes': ('told',),
  'tags': ('told',),
  'codes': ('labels', 'held_out'),
  'parzen': ('held_out',),
  'modes': ('modes',),
  'swd': ('pictures',),
  'ms_ssim': ('pictures',),
  'neighbours': ('held_out',),
  'held_out': ('held_out',),
  'probe': ('pictures', 'labels', 'held_out'),
  'inversion': ('held_out',),
}


def check_needs(names: Iterable[str], stream: Stream, features: str) -> None:
  """Raises a UserError if a metric needs what the set or the features have not.

  Args:
    names: of metrics.
    stream: of the reference.
    features: a name of `features.choose`.
  """
  has = {
    'pictures': lambda: stream.pictures,
    'labels': lambda: stream.classes > 0,
    'told': lambda: (
      features == 'inception' or '.' in features or (stream.classes > 0 and features in ('auto', 'classifier'))
    ),
    'held_out': lambda: reference.held_out_stream(stream) is not None,
    'modes': lambda: stream.name in MIXTURES or stream.name.startswith('stacked/'),
  }
  words = {
    'pictures': 'pictures of 8 bits',
    'labels': 'labels',
    'told': 'features that tell classes (classifier or inception)',
    'held_out': "a held-out split 'test' beside 'train'",
    'modes': f'a set with known modes ({", ".join(MIXTURES)}, stacked/NAME)',
  }
  for name in names:
    for need in NEEDS.get(name, ()):
      if not has[need]():
        raise UserError(
          f'the metric {name} needs {words[need]}, which {stream.name!r} {stream.split!r} with features={features} has '
          'not: leave it out'
        )


def check_measures(names: Iterable[str]) -> None:
  """Raises a UserError unless all metrics are known."""
  for name in names:
    if name not in MEASURES:
      raise one_of('metric in --metrics or config.eval.metrics', name, MEASURES)
