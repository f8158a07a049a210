"""Diagnostics: warnings about collapse, a player that wins outright, and gradients, with settings to try.

    state = diagnostics.START
    for step, row in rows:
      state, warnings = diagnostics.watch(state, step, row, diversity=diagnostics.diversity(samples, real))

A condition is reported when it holds in `ROWS` consecutive rows after the first `BEGINNING` steps. It is reported again
only after it has not held for as many rows. The limits are our own, from no paper: healthy runs stay far from them.
"""

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gan_jax.metrics.diversity import pairwise_distance

#: The first steps get no warnings: there the samples are alike and one player is ahead in healthy runs too.
BEGINNING = 500
#: A condition is reported after it holds in so many consecutive rows; it is over after it does not hold in so many.
ROWS = 3
#: Samples have collapsed if their distance is below this share of the distance between real examples.
COLLAPSED = 0.4
#: The discriminator wins if its accuracy is above this, on real and on generated examples.
WON = 0.99
#: The generator wins if the accuracy on generated examples is below this, and both accuracies together are below chance
#: by this much. A critic whose logits have no meaningful zero may call every example real: its accuracies are 1 and 0,
#: which is chance, so it causes no warning.
DETECTED = 0.05
#: A gradient has vanished if its norm is below this share of the player's largest norm, or below this number.
VANISHED, NOTHING = 1e-3, 1e-6
#: A gradient has exploded if its norm is above so many times the median of the first REFERENCE norms after BEGINNING.
EXPLODED, REFERENCE = 1e3, 5

NORM = '_gradient_norm'
PENALTY = """--config.game.penalty="{'name': 'GradientPenalty', 'weight': 5.0, 'at': 'real', 'target': 0.0}\""""


class Watched(NamedTuple):
  """The state of `watch` between two rows.

  Attributes:
    streaks: {condition: number of latest consecutive rows in which it held, or minus those in which it did not}.
    reported: the conditions that were reported and are not over.
    norms: {player: its first gradient norms after the beginning}.
    largest: {player: its largest gradient norm, also of the beginning}.
  """

  streaks: Mapping[str, int]
  reported: frozenset[str]
  norms: Mapping[str, tuple[float, ...]]
  largest: Mapping[str, float]


START = Watched({}, frozenset(), {}, {})


def diversity(samples: np.ndarray, real: np.ndarray) -> float:
  """The root mean square distance over all pairs of samples, divided by that over all pairs of real examples.

  About 1 is good; 0 means that all samples are the same. It does not measure quality: noise is diverse too, and two
  modes far apart are as diverse as a whole ring.

  Args:
    samples: (N, ...), N at least 2.
    real: (M, ...) in the same range.

  Returns:
    The ratio; nan if there are no pairs, or if all real examples are equal.

  >>> diversity(np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([[0.0], [2.0]])) == (1 / 6) ** 0.5
  True
  """
  wanted = pairwise_distance(real)
  return pairwise_distance(samples) / wanted if wanted else math.nan


def watch(
  state: Watched,
  step: int,
  row: Mapping[str, float],
  *,
  diversity: float | None = None,
  beginning: int = BEGINNING,
) -> tuple[Watched, list[str]]:
  """Checks the next row of metrics.

  Conditions whose metrics are not in the row are not checked. Leave out the accuracies if the sign of a logit has no
  meaning (Wasserstein, relativistic losses).

  Args:
    state: START, or the state that the last call returned.
    step: the step of the row.
    row: 'real_accuracy', the share of real examples that the discriminator calls real; 'fake_accuracy', the share of
      generated examples that it calls generated; 'PLAYER_gradient_norm'. Other metrics are not read.
    diversity: the function `diversity` of the samples at this step; None if it was not measured.
    beginning: the first steps, which get no warnings; choose more for games that start slowly.

  Returns:
    (new state, warnings).

  >>> state, row = START, {'real_accuracy': 1.0, 'fake_accuracy': 0.998}
  >>> for step in (600, 700, 800, 900):
  ...   state, warnings = watch(state, step, row)
  ...   print(step, [warning.partition(';')[0] for warning in warnings])
  600 []
  700 []
  800 ['the discriminator wins outright: it is right on 100.0 % of real and 99.8 % of generated examples']
  900 []
  """
  norms = {name.removesuffix(NORM): float(value) for name, value in row.items() if name.endswith(NORM)}
  largest = {**state.largest, **{name: max(norm, state.largest.get(name, norm)) for name, norm in norms.items()}}
  state = state._replace(largest=largest)
  if step <= beginning:
    return state, []
  streaks, reported, warnings = dict(state.streaks), set(state.reported), []
  for name, holds, warning in [*_of_players(row, diversity), *_of_gradients(norms, state)]:
    streak = streaks.get(name, 0)
    streaks[name] = (max(streak, 0) + 1) if holds else (min(streak, 0) - 1)
    if streaks[name] >= ROWS and name not in reported:
      reported.add(name)
      warnings.append(warning)
    elif streaks[name] <= -ROWS:
      reported.discard(name)
  nonzero = {name: norm for name, norm in norms.items() if norm > NOTHING}
  first = {**state.norms, **{name: (*state.norms.get(name, ()), norm)[:REFERENCE] for name, norm in nonzero.items()}}
  return Watched(streaks, frozenset(reported), first, largest), warnings


def _of_players(row: Mapping[str, float], diversity: float | None) -> Iterator[tuple[str, bool, str]]:
  """(name, whether it holds, warning) of each condition of samples and accuracies, if the row has its metrics."""
  if diversity is not None and not math.isnan(diversity):
    yield (
      'collapsed',
      diversity < COLLAPSED,
      f'collapsed: samples differ by {100 * diversity:.0f} % of what real examples do; try Adam without momentum '
      f'(--config.optimizers.generator.b1=0.0 --config.optimizers.discriminator.b1=0.0), a penalty ({PENALTY}), lower '
      'learning rates, or for pictures minibatch discrimination (--config.game.discriminator.minibatch_kernels=50)',
    )
  if 'real_accuracy' in row and 'fake_accuracy' in row:
    real, fake = row['real_accuracy'], row['fake_accuracy']
    yield (
      'discriminator',
      min(real, fake) > WON,
      f'the discriminator wins outright: it is right on {100 * real:.1f} % of real and {100 * fake:.1f} % of generated '
      'examples; try one-sided smoothing (--config.game.loss=smoothed), a penalty '
      f'({PENALTY}), a lower config.optimizers.discriminator.learning_rate or a higher one of the generator, or for '
      "pictures augmentation (--config.game.augment=\"{'name': 'DiffAugment'}\")",
    )
    yield (
      'generator',
      fake < DETECTED and real + fake < 1 - DETECTED,
      f'the generator wins outright: the discriminator detects {100 * fake:.1f} % of generated examples and calls '
      f'{100 * real:.1f} % of real ones real; try a lower config.optimizers.generator.learning_rate or a higher '
      'one of the discriminator, more moves of it (--config.game.discriminator_steps=2), or more channels in it',
    )


def _of_gradients(norms: Mapping[str, float], state: Watched) -> Iterator[tuple[str, bool, str]]:
  """(name, whether it holds, warning) of the conditions of each player's gradient."""
  for player, norm in norms.items():
    largest = state.largest[player]
    yield (
      f'{player} vanished',
      norm < max(NOTHING, VANISHED * largest),
      f'the gradient of player {player} has vanished: its norm is {norm:.1e}, it was up to {largest:.1e}; try a loss '
      'whose gradient does not vanish when the discriminator is sure (--config.game.loss=nonsaturating, '
      f'--config.game.loss=least_squares), or a penalty ({PENALTY})',
    )
    first = state.norms.get(player, ())
    usual = statistics.median(first) if len(first) == REFERENCE else math.inf
    yield (
      f'{player} exploded',
      norm > EXPLODED * usual,
      f'the gradient of player {player} has exploded: its norm is {norm:.1e}, it was {usual:.1e}; try a lower '
      f'config.optimizers.{player}.learning_rate, a penalty ({PENALTY}), or spectral weights in the discriminator '
      '(--config.game.discriminator.weights=spectral --config.game.discriminator.norm=none)',
    )
