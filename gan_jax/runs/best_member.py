"""The best member of a population: which it is by `config.keep_best`, and its export as a run of its own."""

import datetime
import json
from collections.abc import Iterable
from typing import Any

import ml_collections
from etils import epath

from gan_jax.config.vary import member_config
from gan_jax.runs import run_config
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.views import Experiment

#: What the export of a member writes; a folder with more in it has been used.
EXPORTED = {'config.json', 'checkpoints'}


def ranking(workdir: epath.Path, config: ml_collections.ConfigDict, step: int) -> dict[int, float]:
  """{member: the metric of config.keep_best} at the last row that has it, best first; empty if there is none.

  Args:
    workdir: of the population.
    config: of the population.
    step: rows after it do not count.
  """
  name, file = config.keep_best.removeprefix('-'), epath.Path(workdir) / 'metrics.jsonl'
  if not name or not file.exists():
    return {}
  sign = -1 if config.keep_best.startswith('-') else 1
  for line in reversed(file.read_text().splitlines()):
    row = json.loads(line) if line.endswith('}') else {}
    found = {i: row[f'{name}_{i}'] for i in range(config.population) if f'{name}_{i}' in row}
    if found and row['step'] <= step:
      return dict(sorted(found.items(), key=lambda item: sign * item[1]))
  return {}


def export(experiment: Experiment, workdir: epath.Path, state: Any, place: Place) -> Iterable[str]:
  """Writes the best member to WORKDIR/best, as a run of its own; yields lines that say so.

  A folder that somebody has worked in is put aside, never overwritten.

  Args:
    experiment: of the run.
    workdir: of the population.
    state: of the population.
    place: where it stands.
  """
  config = experiment.config
  if not config.population:
    return
  if not config.keep_best:
    yield 'best      not exported: config.keep_best=METRIC would say which member is the best (-METRIC: the highest)'
    return
  found = ranking(workdir, config, place.step)
  if not found:
    yield f'best      not exported: no row of metrics has {config.keep_best.removeprefix("-")!r} of config.keep_best'
    return
  best, name = next(iter(found)), config.keep_best.removeprefix('-')
  member, folder, new = experiment.views[best], workdir / 'best', workdir / 'best.new'
  if new.exists():  # of an export that was killed
    new.rmtree()
  new.mkdir()
  run_config.write_config(new, member.config)
  checkpoints = Checkpoints(new, config.keep, config.keep_best, write=True)
  checkpoints.save(member.of(state), place, {name: found[best]})
  checkpoints.close()
  if folder.exists():
    if {file.name for file in folder.iterdir()} <= EXPORTED:
      folder.rmtree()
    else:
      aside = workdir / f'best-{datetime.datetime.now().strftime("%Y%m%d-%H%M%S")}'
      folder.rename(aside)
      yield f'note: {folder} was used, and is now {aside}'
  new.rename(folder)
  yield f'best      {folder}: member {best} of step {place.step}, {name} {found[best]:.4g}'


def choose(workdir: epath.Path, config: ml_collections.ConfigDict, step: int, member: int | None) -> tuple[int, str]:
  """(the member to load, a line that says why): the one asked for, else the best, else the first.

  Raises:
    UserError: there is no such member.
  """
  if member is not None:
    member_config(config, member)
    return member, ''
  found = ranking(workdir, config, step)
  best = next(iter(found), 0)
  why = f'the best by {config.keep_best}' if found else 'for config.keep_best names no metric that its rows have'
  return best, f'{workdir} is a population of {config.population}: member {best}, {why}; member=I names another'
