"""The best member of a population by the metric `config.keep_best`, and its export as a run of its own."""

import datetime
import json
from collections.abc import Iterable
from typing import Any

import ml_collections
from etils import epath

from gan_jax.base import files
from gan_jax.config.vary import member_config
from gan_jax.runs import run_config
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.stages import first_step_of
from gan_jax.runs.views import Experiment

#: Files that the export of a member writes. If the folder has more, somebody has used it.
FIGURES = 'evaluation.json'
EXPORTED = {'config.json', 'examples.json', 'checkpoints', FIGURES}
#: The key of figures that the export has brought along, and nobody has measured anew.
COPIED = 'copied_from'


def _used(folder: epath.Path) -> bool:
  """Whether somebody has trained or evaluated there."""
  names, figures = {file.name for file in folder.iterdir()}, folder / FIGURES
  return not names <= EXPORTED or (figures.exists() and COPIED not in json.loads(figures.read_text()))


def ranking(workdir: epath.Path, config: ml_collections.ConfigDict, step: int) -> dict[int, float]:
  """{member: value of the metric config.keep_best}, best first, from the last row of metrics with those of all members.

  Rows with those of some members do not count: an evaluation of the others failed, or a signal ended it; nor do rows of
  other stages than that of the step, whose figures do not compare. Empty if there is no such row.

  Args:
    workdir: the folder of the population.
    config: the config of the population.
    step: later rows do not count.
  """
  return _ranked(workdir, config, step)[1]


def _ranked(workdir: epath.Path, config: ml_collections.ConfigDict, step: int) -> tuple[int, dict[int, float]]:
  """(the step of the row of a `ranking`, the ranking); (0, {}) if there is no such row."""
  name, file = config.keep_best.removeprefix('-'), epath.Path(workdir) / 'metrics.jsonl'
  if not name or not file.exists():
    return 0, {}
  sign, first = -1 if config.keep_best.startswith('-') else 1, first_step_of(config, step)
  for line in reversed(file.read_text().splitlines()):
    row = json.loads(line) if line.endswith('}') else {}
    values = {i: row[f'{name}_{i}'] for i in range(config.population) if f'{name}_{i}' in row}
    if len(values) == config.population and first < row['step'] <= step:
      return row['step'], dict(sorted(values.items(), key=lambda item: sign * item[1]))
  return 0, {}


def export(experiment: Experiment, workdir: epath.Path, state: Any, place: Place) -> Iterable[str]:
  """Writes the best member to WORKDIR/best, as a run of its own; yields lines for the console.

  If somebody has trained or evaluated in WORKDIR/best, that folder is renamed, never overwritten.

  Args:
    experiment: the games of the run.
    workdir: the folder of the population.
    state: the state of the population.
    place: the step and the stage of the state.
  """
  config = experiment.config
  if not config.population:
    return
  if not config.keep_best:
    yield 'best      not exported: set config.keep_best=METRIC to export the member with the lowest (-METRIC: highest)'
    return
  measured, values = _ranked(workdir, config, place.step)
  name = config.keep_best.removeprefix('-')
  if not values:
    yield f'best      not exported: no row of metrics has {name!r} of config.keep_best for every member'
    return
  best = next(iter(values))
  member, folder, new = experiment.views[best], workdir / 'best', workdir / 'best.new'
  if new.exists():  # an export was killed
    new.rmtree()
  new.mkdir()
  run_config.write_config(new, member.config)
  run_config.copy_examples(workdir, new)
  figures = workdir / f'evaluation_member_{best}.json'
  if figures.exists():  # by which it may have been chosen
    own = {**json.loads(figures.read_text()), COPIED: figures.name}
    files.write_text(new / FIGURES, json.dumps(own, indent=2))
  checkpoints = Checkpoints(new, config.keep, config.keep_best, write=True)
  # A figure of an earlier step is none of these weights.
  checkpoints.save(member.of(state), place, {name: values[best]} if measured == place.step else {})
  checkpoints.close()
  if folder.exists():
    if not _used(folder):
      folder.rmtree()
    else:
      renamed = workdir / f'best-{datetime.datetime.now().strftime("%Y%m%d-%H%M%S")}'
      folder.rename(renamed)
      yield f'note: {folder} was used, so it is now called {renamed}'
  new.rename(folder)
  when = '' if measured == place.step else f' of step {measured}'
  yield f'best      {folder}: member {best} of step {place.step}, {name} {values[best]:.4g}{when}'


def choose(workdir: epath.Path, config: ml_collections.ConfigDict, step: int, member: int | None) -> tuple[int, str]:
  """(the member to load, a line that says why). It is `member` if given, else the best, else the first.

  Raises:
    UserError: there is no such member.
  """
  if member is not None:
    member_config(config, member)
    return member, ''
  values = ranking(workdir, config, step)
  best = next(iter(values), 0)
  none = 'because no row of metrics has the metric of config.keep_best for every member'
  if not config.keep_best:
    none = 'the first, for config.keep_best names no metric'
  why = f'the best by {config.keep_best}' if values else none
  return (
    best,
    f'{workdir} is a population of {config.population}: member {best}, {why}; --member=I chooses another '
    '(member=I in Python)',
  )
