"""Metrics of the examples themselves: likelihood, modes, structure, copies."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gan_jax.base.errors import one_of
from gan_jax.data import sets
from gan_jax.data.sets import title
from gan_jax.data.sources import builtin
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure
from gan_jax.features.choose import channel_labels
from gan_jax.metrics import histograms, modes, neighbours, parzen, similarity, sliced_wasserstein, two_sample

PARZEN_SAMPLES, PARZEN_VALIDATION = 10_000, 1000
COPY_SAMPLES = 1000
SIMILAR_PAIRS = 2000
TWO_SAMPLE = 5000
SWD_PICTURES = 8192
BINS = 280
#: Points of the mixture on the line that a histogram is compared with, as many as in the code of its authors.
LINE_POINTS = 1 << 20
MIXTURES: dict[str, tuple[Callable[[], np.ndarray], Any]] = {
  'ring': (builtin.ring_centers, builtin.RING_STDDEV),
  'grid': (builtin.grid_centers, builtin.GRID_STDDEV),
  'line': (builtin.line_centers, np.array(builtin.LINE_STDDEVS)),
}


def parzen_figure(e: Evidence) -> Iterable[Figure]:
  test = e.unit(e.held_out_examples(10_000))
  chosen_on = sets.validation_stream(e.stream)
  validation = e.unit(sets.examples(chosen_on, PARZEN_VALIDATION)[0])
  samples = e.unit(e.fake.examples[:PARZEN_SAMPLES])
  result = parzen.parzen_likelihood(samples, validation, test, sigmas=parzen.SIGMAS)
  edge = result.sigma in (parzen.SIGMAS[0], parzen.SIGMAS[-1])
  note = f'; NOTE: sigma is at the end of its range {parzen.SIGMAS[0]:g} to {parzen.SIGMAS[-1]:g}' if edge else ''
  yield Figure(
    'parzen', result.value,
    f'nats, {len(samples)} samples, {e.values}, sigma {result.sigma:.3g} chosen on {len(validation)} examples of '
    f'{chosen_on.split}, {len(test)} examples of {title(e.held_out)}{note}',  # type: ignore[arg-type]
    result.standard_error,
  )  # fmt: skip
  yield Figure(
    'parzen_validation', result.validation,
    f'nats, the same for the {len(validation)} examples that chose sigma: by it a checkpoint may be chosen',
  )  # fmt: skip


def mode_figures(e: Evidence) -> Iterable[Figure]:
  if e.stream.name in MIXTURES:
    centers, stddev = MIXTURES[e.stream.name]
    samples = e.fake.examples[:2500]
    result = modes.mixture_coverage(samples, centers(), stddev, minimum=20)
    protocol = f'{len(samples)} samples; a mode counts with {result.minimum} within 3 standard deviations'
    if len(samples) < 3 * result.minimum * result.total:
      protocol += f'; NOTE: too few to find all modes by: take {3 * result.minimum * result.total} or more'
    yield Figure('modes', result.modes, f'of {result.total}, {protocol}', parts=result.counts.tolist())
    yield Figure(
      'high_quality', result.quality, f'share within 3 standard deviations of a mode, {len(samples)} samples'
    )
    yield Figure('mode_kl', result.kl, f'KL of the shares of modes to equal ones, nats, {len(samples)} samples')
  elif e.stream.name.startswith('stacked/'):
    labels = channel_labels(e.logits(e.fake))[:26_000]
    stacked = modes.stacked_coverage(labels)
    protocol = f'{len(labels)} samples (papers: 26,000), each channel judged by the classifier'
    if len(labels) < 3 * stacked.total:
      protocol += '; NOTE: too few to find all modes by'
    yield Figure('modes', stacked.modes, f'of {stacked.total}, {protocol}')
    yield Figure('mode_kl', stacked.kl, f'KL of the shares of modes to equal ones, nats, {protocol}')
  else:
    known = [*MIXTURES, 'stacked/NAME']
    raise one_of('set with known modes (metric modes)', e.stream.name, known)


def histogram_figures(e: Evidence) -> Iterable[Figure]:
  if e.stream.name == 'line':
    real = builtin.line_points(np.random.RandomState(2), LINE_POINTS)[0].ravel()
  else:
    real = e.real_examples(len(e.stream.open())).ravel()
  result = histograms.histogram_distances(e.fake.examples.ravel(), real, bins=BINS)
  protocol = (
    f'{BINS} bins over {result.low:.4g} ... {result.high:.4g}, {len(e.fake.examples)} samples, {len(real)} real'
  )
  yield Figure('chi_square', result.chi_square, f'sum of (made - real)^2 / real over shares of bins, {protocol}')
  yield Figure('histogram_kl', result.kl, f'KL(made || real) of the shares of bins, nats, {protocol}')
  yield Figure('histogram_outside', result.outside, f'share of samples in bins without a real example, {protocol}')


def swd(e: Evidence) -> Iterable[Figure]:
  e.need_pictures('swd')
  result = sliced_wasserstein.pyramid_distance(e.real_examples(SWD_PICTURES), e.fake.examples)
  note = (
    f'; NOTE: all that {sets.KEPT_BYTES >> 20} MB hold, fewer than asked for, which makes the distance larger: compare '
    'only with as many'
    if result.pictures < min(SWD_PICTURES, e.samples, len(e.stream.open()))
    else ''
  )
  levels = ', '.join(f'{size} px: {value:.2f}' for size, value in result.levels.items())
  yield Figure(
    'swd', result.average, f'pixels, times 1000, mean over levels ({levels}), {result.pictures} of each side{note}',
    parts=list(result.levels.values()),
  )  # fmt: skip


def ms_ssim(e: Evidence) -> Iterable[Figure]:
  e.need_pictures('ms_ssim')
  scales = similarity.scales_of(*e.fake.examples.shape[1:3])
  protocol = f'{SIMILAR_PAIRS} pairs, {scales} scales'
  for name, pictures in (('ms_ssim', e.fake.examples), ('ms_ssim_real', e.real_examples(len(e.fake.examples)))):
    result = similarity.pair_similarity(pictures, pairs=SIMILAR_PAIRS)
    yield Figure(name, result.mean, protocol, result.standard_error)


def copies(e: Evidence) -> Iterable[Figure]:
  train = e.unit(e.trained_examples(len(e.trained.open())))
  samples, unseen = e.unit(e.fake.examples[:COPY_SAMPLES]), e.unit(e.held_out_examples(COPY_SAMPLES))
  result = neighbours.copying(train, unseen, samples)
  protocol = f'median distance (rms of {e.values}) to the nearest of {len(train)} of {e.trained.split}'
  yield Figure('nearest_training', result.samples, f'{protocol}, {len(samples)} samples; copies are near 0')
  yield Figure('nearest_of_held_out', result.held_out, f'the same of {len(unseen)} held-out real examples')


def two_sample_figure(e: Evidence) -> Iterable[Figure]:
  fair = e.held_out is not None
  real = e.held_out_examples(TWO_SAMPLE) if fair else e.real_examples(TWO_SAMPLE)
  result = two_sample.two_sample_test(real, e.fake.examples[:TWO_SAMPLE])
  whose = 'held-out' if fair else e.stream.split
  yield Figure(
    'two_sample', result.accuracy,
    f'accuracy of a fresh {result.network} on {result.examples} examples it did not see, '
    f'half of them {whose} real ones; goal 0.5, p = {result.p_value:.2g}', result.standard_error,
  )  # fmt: skip
