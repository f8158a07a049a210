"""Metrics of games with more than two networks, and of one run against another."""

from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np

from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.data import sets
from gan_jax.data.sets import title
from gan_jax.data.sources.transformed import TRANSFORMS, transform_of
from gan_jax.data.transforms import to_uint8
from gan_jax.evaluation import suited
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure, mean_figure
from gan_jax.evaluation.of_examples import MIXTURES
from gan_jax.evaluation.of_networks import in_batches
from gan_jax.features.choose import channel_labels
from gan_jax.latents import distributions as latents_lib
from gan_jax.metrics.checks import share_error
from gan_jax.metrics.gmam import gmam
from gan_jax.metrics.makers import division
from gan_jax.metrics.modes import nearest_mode
from gan_jax.sampling.run import load

CLASSIFIED, JUDGED, PAIRS = 10_000, 2000, 10_000


def classifier_figures(e: Evidence) -> Iterable[Figure]:
  game = e.game
  assert e.labelled_held_out is not None  # by the needs of the metric
  classify = e.once('classify', lambda: jax.jit(lambda variables, x: game.apply(variables, x, method='classify')))
  pictures, labels = sets.examples(e.labelled_held_out, CLASSIFIED)
  assert labels is not None  # the stream has classes
  wrong = float(np.mean(in_batches(e, classify, pictures).argmax(1) != labels))
  yield Figure(
    'test_error', wrong, f"of the game's own classifier on {len(labels)} examples of {title(e.labelled_held_out)}",
    share_error(wrong, len(labels)),
  )  # fmt: skip


def pair_figures(e: Evidence) -> Iterable[Figure]:
  transform, wanted, made = _pairs(e)
  of = lambda made: 1 - np.abs(wanted.astype(np.float64) - made).reshape(len(made), -1).mean(1) / 255
  agreement, chance = of(made), of(np.roll(made, 1, 0))
  yield mean_figure(
    'pair_agreement', agreement, f"1 - mean distance of pixels in [0, 1] between the {transform} of output 'a' and "
    f"output 'b', {len(made)} pairs",
  )  # fmt: skip
  yield mean_figure('pair_agreement_by_chance', chance, "the same of outputs 'a' and the 'b' of other latents")


def pair_class_figures(e: Evidence) -> Iterable[Figure]:
  transform, wanted, made = _pairs(e)
  if 'logits' not in jax.eval_shape(e.extractor.apply, e.extractor.variables, made[:1]):
    raise UserError(f'the features {e.extractor.name!r} have no classes: leave the metric pair_classes out')
  classify = jax.jit(lambda variables, x: e.extractor.apply(variables, x).get('logits'))
  batches = range(0, len(made), JUDGED)
  predicted = [
    np.concatenate([np.asarray(classify(e.extractor.variables, side[i : i + JUDGED])).argmax(1) for i in batches])
    for side in (wanted, made)
  ]
  share, chance = (float(np.mean(predicted[0] == np.roll(predicted[1], shift))) for shift in (0, 1))
  yield Figure(
    'pair_classes', share, f"share of {len(made)} pairs in which {e.extractor.name} sees one class in the {transform} "
    "of output 'a' and in output 'b'", share_error(share, len(made)),
  )  # fmt: skip
  yield Figure(
    'pair_classes_by_chance', chance, "the same of outputs 'a' and the 'b' of other latents",
    share_error(chance, len(made)),
  )  # fmt: skip


def _pairs(e: Evidence) -> tuple[str, np.ndarray, np.ndarray]:
  """(name of the transform, the transform of output 'a', output 'b'), 8-bit images."""
  transform, _ = transform_of(e.stream.name)
  outputs = e.sampler(e.variables, min(e.samples, PAIRS), e.seed)
  if not transform or not isinstance(outputs, Mapping) or not {'a', 'b'} <= set(outputs):
    raise UserError(
      f"the metrics of pairs are of games that make 'a' and 'b' where the reference is {' or '.join(TRANSFORMS)} of a "
      f'set; here it is {e.stream.name!r} (--stream chooses another): leave them out'
    )
  a, b = (to_uint8(outputs[name], e.stream.range) for name in ('a', 'b'))
  return transform, TRANSFORMS[transform](a), b


def gmam_figures(e: Evidence) -> Iterable[Figure]:
  real = e.in_range(e.real_examples(min(JUDGED, len(e.fake.examples))))
  own = e.in_range(e.fake.examples[: len(real)])
  value = lambda game, variables, fake: float(game.apply(variables, real, fake, method='objective'))
  for path, name in zip(e.rivals, rival_names(e.rivals), strict=True):
    rival = load(path)
    game, variables = rival.stage.game, rival.variables(**e.sampling)
    if words := suited.lack('gmam', game):
      raise UserError(f'--rivals: {path}: {type(game).__name__} {words}: leave it out')
    theirs = np.asarray(rival.sample(len(real), seed=e.seed, **e.sampling))
    if theirs.shape[1:] != real.shape[1:] or rival.range != e.stream.range:
      raise UserError(f'--rivals: {path} makes {theirs.shape[1:]} in {rival.range}, this run another: leave it out')
    if e.pictures:  # of 8 bits, as data and own samples: discriminators may tell by less
      theirs = e.in_range(to_uint8(theirs, e.stream.range))
    member = '' if rival.member is None else f', member {rival.member},'
    here = [value(e.game, e.variables, fake) for fake in (own, theirs)]
    there = [value(game, variables, fake) for fake in (theirs, own)]
    yield Figure(
      f'gmam_{name}', gmam(*here, *there), f'of {path}{member} at step {rival.step}: positive if this run '
      f'is the better; discriminators in eval mode on {len(real)} real and generated examples'
    )  # fmt: skip


def rival_names(rivals: Sequence[str]) -> list[str]:
  """A short name for each workdir: the name of its folder, with folders above it where that is another's name, too.

  >>> rival_names(['runs/a/gman', 'runs/b/gman', 'runs/a/wgan'])
  ['a/gman', 'b/gman', 'wgan']
  """
  parts = [paths.expand(path).parts for path in rivals]
  names = []
  for own in parts:
    ends = (own[-length:] for length in range(1, len(own) + 1))
    alone = (end for end in ends if sum(other[-len(end) :] == end for other in parts) == 1)
    names.append('/'.join(next(alone, own)))
  return names


def maker_figures(e: Evidence) -> Iterable[Figure]:
  latents = e.game.latents
  makers, least = latents['maker'].classes, 0.01
  if e.stream.name in MIXTURES:
    centers, stddev = MIXTURES[e.stream.name]
    mode, modes, criterion = (
      nearest_mode(e.fake.examples, centers(), stddev),
      len(centers()),
      'within 3 deviations of one',
    )
  elif e.stream.name.startswith('stacked/'):
    mode, modes, criterion, least = (
      channel_labels(e.logits(e.fake)) @ np.array([100, 10, 1]),
      1000,
      'by the classifier',
      0.0,
    )
  else:
    mode, modes, criterion = e.predicted_classes, e.stream.classes, 'by the classifier'
  # The latents of these samples, drawn again: example i depends on (seed, i) alone.
  maker = np.asarray(latents_lib.draw(latents, jax.random.key(e.seed), len(mode))['maker'])
  result = division(maker, mode, makers, modes, least=least)
  for i in range(makers):
    parts, share = [float(count) for count in result.counts[i]], f'{least:.0%} of its samples' if least else 'a sample'
    yield Figure(
      f'modes_of_maker_{i}', float(result.modes[i]), f'of {modes}, those with {share}, {criterion}', parts=parts
    )
  yield Figure(
    'maker_information', result.information, 'mutual information of maker and mode over the smaller entropy, both less '
    'what makers of the same modes share by chance: 0, all make the same; 1, no mode has two makers, or no maker two '
    'modes'
  )  # fmt: skip
