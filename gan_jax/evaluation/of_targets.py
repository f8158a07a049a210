"""Figures of outputs that have a target: a translation of pairs, an enlarged or a completed picture."""

from collections.abc import Iterable

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.data.sets import title
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure, mean_figure
from gan_jax.metrics import paired, similarity

#: Pairs of pictures whose structural similarity is computed at a time.
BATCH = 256


def lacking(game: object) -> UserError:
  """The error of a game whose outputs have no targets."""
  return UserError(
    f"the metric targets is of outputs with a target, which {type(game).__name__}'s has not: let its outputs say "
    "core.Output(STREAM, FIELD, of='STREAM.OTHER'), or leave the metric out"
  )


def target_figures(e: Evidence) -> Iterable[Figure]:
  if e.targets is None:
    raise lacking(e.game)
  count = min(e.samples, len(e.targets.open()), len(e.fake.examples))
  wanted = e.target_examples(count)
  made = e.fake.examples[: len(wanted)]
  protocol = f'{len(made)} pairs of {title(e.targets)}'
  figure = lambda name, values, what: mean_figure(name, values, f'{what}, {protocol}')
  yield figure('l1', paired.absolute_errors(e.unit(made), e.unit(wanted)), f'mean absolute difference, {e.values}')
  if e.pictures:
    yield figure('psnr', paired.psnr(made, wanted), 'decibels, mean over pairs, 8 bits')
    parts = [similarity.ssim(made[i : i + BATCH], wanted[i : i + BATCH]) for i in range(0, len(made), BATCH)]
    yield figure('ssim', np.concatenate(parts), 'mean over pairs, 8 bits')
  features = paired.feature_distances(e.fake.features[: len(made)], e.target_features(len(wanted)))
  yield figure('perceptual', features, 'mean squared distance of features of length 1')
