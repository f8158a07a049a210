"""Turns that are no longer played: a condition that only its own turn could change never holds again."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gan_jax.core.game import Turn
from gan_jax.training.diagnostics import BEGINNING, ROWS


class Played(NamedTuple):
  """What `watch` remembers.

  Attributes:
    away: {turn: rows in a row without it}.
    longest: {turn: the most rows without it that ended}.
    told: turns told and not played since.
  """

  away: Mapping[str, int]
  longest: Mapping[str, int]
  told: frozenset[str]


START = Played({}, {}, frozenset())


def watch(
  state: Played, step: int, row: Mapping[str, float], turns: Iterable[Turn], *, beginning: int = BEGINNING
) -> tuple[Played, list[str]]:
  """Looks at one more row of metrics for turns with a condition, whose loss a row has only if they were played.

  A turn is told after ROWS rows without it, and after more than twice as many as it was away before: some turns are
  played seldom.

  Args:
    state: START, or what the last call returned.
    step: of the row, from where the rows of this stage and process begin: those before a resume are not known.
    row: {metric: value}.
    turns: of the game.
    beginning: first steps, in which nothing is told: a turn may begin late.

  Returns:
    (the new state, warnings).
  """
  away, longest, told, warnings = dict(state.away), dict(state.longest), set(state.told), []
  for turn in (turn for turn in turns if turn.when is not None):
    title = turn.title
    if any(method in row for method in turn.methods):
      longest[title] = max(longest.get(title, 0), away.get(title, 0))
      away[title] = 0
      told.discard(title)
      continue
    away[title] = away.get(title, 0) + 1
    if step > beginning and title not in told and away[title] >= max(ROWS, 1 + 2 * longest.get(title, 0)):
      told.add(title)
      movers = ' and '.join(turn.movers)
      does = f', so that {movers} no longer learns' if movers else ''
      warnings.append(
        f'the turn {title!r} was not played in the last {away[title]} rows{does}: its condition `when` does not hold; '
        'if it reads what only this turn writes, it never will again: let a turn that moves nobody write it, '
        "Turn((), 'measure')"
      )
  return Played(away, longest, frozenset(told)), warnings
