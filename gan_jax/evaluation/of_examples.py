"""Metrics of the examples themselves: likelihood, modes, structure, copies."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gan_jax.base.errors import UserError, one_of
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
BINS = 280
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
  found = parzen.parzen_likelihood(samples, validation, test)
  edge = found.sigma in (parzen.SIGMAS[0], parzen.SIGMAS[-1])
  note = f'; NOTE: sigma is at the end of its range {parzen.SIGMAS[0]:g} to {parzen.SIGMAS[-1]:g}' if edge else ''
  yield Figure(
    'parzen', found.value,
    f'nats, {len(samples)} samples, {e.values}, sigma {found.sigma:.3g} chosen on {len(validation)} examples of '
    f'{chosen_on.split}, {len(test)} examples of {title(e.held_out)}{note}',  # type: ignore[arg-type]
    found.standard_error,
  )  # fmt: skip
  yield Figure(
    'parzen_validation', found.validation,
    f'nats, the same for the {len(validation)} examples that chose sigma: by it a checkpoint may be chosen',
  )  # fmt: skip


def mode_figures(e: Evidence) -> Iterable[Figure]:
  if e.stream.name in MIXTURES:
    centers, stddev = MIXTURES[e.stream.name]
    samples = e.fake.examples[:2500]
    found = modes.mixture_coverage(samples, centers(), stddev, minimum=20)
    told = f'{len(samples)} samples; a mode counts with {found.minimum} within 3 standard deviations'
    if len(samples) < 3 * found.minimum * found.total:
      told += f'; NOTE: too few to find all modes by: take {3 * found.minimum * found.total} or more'
    yield Figure('modes', found.modes, f'of {found.total}, {told}', parts=found.counts.tolist())
    yield Figure('high_quality', found.quality, f'share within 3 standard deviations of a mode, {len(samples)} samples')
    yield Figure('mode_kl', found.kl, f'KL of the shares of modes to equal ones, nats, {len(samples)} samples')
  elif e.stream.name.startswith('stacked/'):
    labels = channel_labels(e.logits(e.fake))[:26_000]
    stacked = modes.stacked_coverage(labels)
    told = f'{len(labels)} samples (papers: 26,000), each channel judged by the classifier'
    if len(labels) < 3 * stacked.total:
      told += '; NOTE: too few to find all modes by'
    yield Figure('modes', stacked.modes, f'of {stacked.total}, {told}')
    yield Figure('mode_kl', stacked.kl, f'KL of the shares of modes to equal ones, nats, {told}')
  else:
    known = [*MIXTURES, 'stacked/NAME']
    raise one_of('set with known modes (metric modes)', e.stream.name, known)


def histogram_figures(e: Evidence) -> Iterable[Figure]:
  if np.prod(e.fake.examples.shape[1:]) != 1:
    raise UserError(f'the metric histogram is of single numbers, {e.stream.name!r} has more: leave it out')
  real = e.real_examples(len(e.stream.open())).ravel()
  found = histograms.histogram_distances(e.fake.examples.ravel(), real, bins=BINS)
  told = f'{BINS} bins over {found.low:.4g} ... {found.high:.4g}, {len(e.fake.examples)} samples, {len(real)} real'
  yield Figure('chi_square', found.chi_square, f'sum of (made - real)^2 / real over shares of bins, {told}')
  yield Figure('histogram_kl', found.kl, f'KL(made || real) of the shares of bins, nats, {told}')
  yield Figure('histogram_outside', found.outside, f'share of samples in bins without a real example, {told}')


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
