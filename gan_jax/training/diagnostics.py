"""Collapse diagnostics: what the rows of a run say of a game that goes wrong, in words, with what to try.

    state = diagnostics.START
    for step, row in rows:
      state, warnings = diagnostics.watch(state, step, row, diversity=diagnostics.diversity(samples, real))

A condition is told when it has held in `ROWS` rows in a row after the first `BEGINNING` steps, and again only after it
has been away for as many. The limits are this library's own, not a paper's: healthy runs stay far from them.
"""

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gan_jax.metrics.diversity import pairwise_distance

#: Steps that are not judged: at first samples are all alike, and one player is ahead.
BEGINNING = 500
#: Rows in a row that a condition must hold to be told, or be away to count as recovered.
ROWS = 3
#: Samples have collapsed below this share of the distance between real examples.
COLLAPSED = 0.4
#: The discriminator wins if it is right of more than this share of the real and of the generated examples.
WON = 0.99
#: The generator wins if less than this share of its examples is found out, and the discriminator is worse than a guess
#: by at least as much. A critic without a zero of its own, which finds all to be real, is not.
FOUND_OUT = 0.05
#: A gradient has vanished below this share of the player's largest norm, or below this norm whatever it was before.
VANISHED, NOTHING = 1e-3, 1e-6
#: A gradient has exploded above so many times the median of as many first norms after the beginning.
EXPLODED, REFERENCE = 1e3, 5

NORM = '_gradient_norm'
PENALTY = """--config.game.penalty="{'name': 'GradientPenalty', 'weight': 5.0, 'at': 'real', 'target': 0.0}\""""


class Watched(NamedTuple):
  """What `watch` remembers of the rows before.

  Attributes:
    held: {condition: rows in a row that it has held, or minus those that it has not}.
    told: conditions told and not yet recovered from.
    norms: {player: its first gradient norms after the beginning}.
    largest: {player: its largest gradient norm, of the beginning too}.
  """

  held: Mapping[str, int]
  told: frozenset[str]
  norms: Mapping[str, tuple[float, ...]]
  largest: Mapping[str, float]


START = Watched({}, frozenset(), {}, {})


def diversity(samples: np.ndarray, real: np.ndarray) -> float:
  """How far samples lie apart, relative to real examples: root mean square distances over all pairs.

  About 1 is as it should be, 0 is one sample over and over. It says nothing of what the samples are: noise is diverse,
  and two modes far apart are as diverse as a whole ring.

  Args:
    samples: (N, ...), N at least 2.
    real: (M, ...) of the same range; M need not be N.

  Returns:
    The ratio; not a number if there are no pairs, or no difference between real examples.

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
  """Looks at one more row of metrics.

  What a row lacks is not judged: leave out accuracies where the zero of logits means nothing (Wasserstein,
  relativistic losses).

  Args:
    state: START, or what the last call returned.
    step: of the row.
    row: 'real_accuracy', the share of real examples judged real; 'fake_accuracy', the share of generated ones judged
      generated; 'PLAYER_gradient_norm'. Others are not read.
    diversity: of samples at that step, as the function of that name gives it; None if it was not measured.
    beginning: first steps, of which only the largest gradient norms count; more for games that start slowly.

  Returns:
    (the new state, warnings).

  >>> state, row = START, {'real_accuracy': 1.0, 'fake_accuracy': 0.998}
  >>> for step in (600, 700, 800, 900):
  ...   state, warnings = watch(state, step, row)
  ...   print(step, [warning.partition(';')[0] for warning in warnings])
  600 []
  700 []
  800 ['the discriminator wins outright: it is right of 100.0 % of real and 99.8 % of generated examples']
  900 []
  """
  norms = {name.removesuffix(NORM): float(value) for name, value in row.items() if name.endswith(NORM)}
  largest = {**state.largest, **{name: max(norm, state.largest.get(name, norm)) for name, norm in norms.items()}}
  state = state._replace(largest=largest)
  if step <= beginning:
    return state, []
  held, told, warnings = dict(state.held), set(state.told), []
  for name, holds, words in [*_of_players(row, diversity), *_of_gradients(norms, state)]:
    before = held.get(name, 0)
    held[name] = (max(before, 0) + 1) if holds else (min(before, 0) - 1)
    if held[name] >= ROWS and name not in told:
      told.add(name)
      warnings.append(words)
    elif held[name] <= -ROWS:
      told.discard(name)
  some = {name: norm for name, norm in norms.items() if norm > NOTHING}
  first = {**state.norms, **{name: (*state.norms.get(name, ()), norm)[:REFERENCE] for name, norm in some.items()}}
  return Watched(held, frozenset(told), first, largest), warnings


def _of_players(row: Mapping[str, float], diversity: float | None) -> Iterator[tuple[str, bool, str]]:
  """(name, whether it holds, words) of each condition of the game that the row can say something of."""
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
      f'the discriminator wins outright: it is right of {100 * real:.1f} % of real and {100 * fake:.1f} % of generated '
      'examples; try one-sided smoothing (--config.game.loss=smoothed), a penalty '
      f'({PENALTY}), a lower config.optimizers.discriminator.learning_rate or a higher one of the generator, or for '
      "pictures augmentation (--config.game.augment=\"{'name': 'DiffAugment'}\")",
    )
    yield (
      'generator',
      fake < FOUND_OUT and real + fake < 1 - FOUND_OUT,
      f'the generator wins outright: the discriminator finds out {100 * fake:.1f} % of generated examples and takes '
      f'{100 * real:.1f} % of real ones for real; try a lower config.optimizers.generator.learning_rate or a higher '
      'one of the discriminator, more moves of it (--config.game.discriminator_steps=2), or more channels in it',
    )


def _of_gradients(norms: Mapping[str, float], state: Watched) -> Iterator[tuple[str, bool, str]]:
  """The same of each player's gradient."""
  for player, norm in norms.items():
    largest = state.largest[player]
    yield (
      f'{player} vanished',
      norm < max(NOTHING, VANISHED * largest),
      f'the gradient of player {player} has vanished: its norm is {norm:.1e}, it was up to {largest:.1e}; try a loss '
      'that does not fade where the discriminator is sure (--config.game.loss=nonsaturating, '
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
