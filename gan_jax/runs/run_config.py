"""A run's config.json and examples.json: written, read, and whether a run may go on with other settings."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from gan_jax import config as config_lib
from gan_jax.base import paths
from gan_jax.base.errors import UserError
from gan_jax.base.files import write_text
from gan_jax.data import sources
from gan_jax.data.sources import remembered
from gan_jax.runs import learnt
from gan_jax.runs.stages import Stage

#: Settings that a resumed run may change: they do not change what a step computes, or users tune them during training.
FREE = re.compile(
  r'config\.(steps|log_every|sample_every|checkpoint_every|keep|keep_best|samples|devices|shard_state|remat|formulation|steps_per_call|profile|wandb|resume|init_from(\.\w+)?'
  r'|init_players|eval|eval\.every|data\.(\w+\.)?(resident|workers|path)|(stages\[\d+\]\.|vary\.)?optimizers\.\w+\.(.*\.)?learning_rate(\..*)?)$'
)


#: Names of classes that a run is given for the first time: `check_classes` compares them with those that it knows.
FIRST_NAMES = re.compile(r'config\.data\.(\w+\.)?class_names: \[\] -> ')
#: Names in a message.
NAMED = 20
#: Settings that say where data are.
PLACES = ('path', 'links')
RESUME = ('auto', 'force')


def write_config(workdir: epath.Path, config: Any) -> None:
  """Writes config.json, whole or not at all."""
  write_text(workdir / 'config.json', config_lib.to_json(config))


def read_config(workdir: epath.PathLike) -> Any:
  """The config a run was started with.

  Raises:
    UserError: there is no run.
  """
  return config_lib.from_json(_config_text(epath.Path(workdir)))


def write_examples(workdir: epath.Path, stages: Sequence[Stage], known: learnt.Learnt, *, counted: bool = True) -> None:
  """Writes what the examples of each stage's streams are, so that a run can be sampled where its data are not.

  Args:
    workdir: of the run.
    stages: of the run.
    known: what the columns learnt.
    counted: also how many examples there are and a digest of them, for `changed_data`. It opens the data.
  """
  counts = _counts(stages) if counted else {}
  notes = [
    {**remembered.note(stream), **counts.get((stage.number, name), {}), 'of': [stage.number, name],
     'columns': known.get((stage.number, name), {})}
    for stage in stages
    for name, stream in stage.streams.items()
  ]  # fmt: skip
  write_text(workdir / 'examples.json', json.dumps(notes) + '\n')


def _counts(stages: Iterable[Stage]) -> dict[tuple[int, str], dict[str, Any]]:
  """{(stage, stream): number and digest of its examples}; a set that stages read in several sizes is opened in one."""
  of_set: dict[Any, dict[str, Any]] = {}
  found = {}
  for stage in stages:
    for name, stream in stage.streams.items():
      key = stream.whole
      if key not in of_set:
        of_set[key] = {}
        with contextlib.suppress(Exception):  # of any kind: training says what cannot be read
          source = stream.open()
          of_set[key] = {'count': len(source), 'content': sources.content(source)}
      found[stage.number, name] = of_set[key]
  return found


def changed_data(workdir: epath.Path, stages: Sequence[Stage], number: int) -> Iterator[str]:
  """A line for each set of a stage that is another than `write_examples` noted when the run was last started."""
  notes = {tuple(note['of']): note for note in read_examples(workdir) if 'count' in note}
  for of, now in _counts(stages).items() if notes else ():
    note = notes.get(of)
    if of[0] != number or note is None or not now:
      continue
    started = f'note: stream {of[1]!r} had {note["count"]} examples when this run was last started, now {now["count"]}'
    if note['count'] != now['count']:
      yield f'{started}: it goes on in another order, and a slice such as train[:90%] may hold what was held out'
    elif note['content'] != now['content']:
      yield f'note: some examples of stream {of[1]!r} are others than when this run was last started'


def copy_examples(workdir: epath.Path, new: epath.Path) -> None:
  """Copies what `write_examples` wrote: at the end of a run its data may be gone."""
  if (workdir / 'examples.json').exists():
    write_text(new / 'examples.json', (workdir / 'examples.json').read_text())


def read_examples(workdir: epath.Path) -> list[dict[str, Any]]:
  """What `write_examples` wrote, for `remembered.remembering`; nothing for older runs."""
  file = workdir / 'examples.json'
  try:
    notes: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    if any(not {'stream', 'fields'} <= set(note) or ('columns' in note and 'of' not in note) for note in notes):
      raise ValueError('a note lacks its stream, its fields or whose it is')
  except (TypeError, ValueError) as error:
    raise UserError(
      f'{file} is damaged ({error}): remove it; the words and the names of classes are then learnt from the data again'
    ) from error
  return notes


def read_learnt(workdir: epath.Path) -> learnt.Learnt:
  """What the columns of the run learnt when it began; nothing of older runs, which have not noted it."""
  notes = [note for note in read_examples(workdir) if 'columns' in note]
  columns = {(int(note['of'][0]), note['of'][1]): note['columns'] for note in notes}
  return {of: {field: (text, found) for field, (text, found) in own.items()} for of, own in columns.items()}


def noted(workdir: epath.Path, stages: Iterable[Stage], init_from: Any = '') -> learnt.Learnt:
  """What a run that goes on, or that begins with the weights of another, must know.

  Args:
    workdir: of the run. What it noted before a step was saved binds nobody.
    stages: of the run.
    init_from: config.init_from: the run whose weights it begins with, or {player: run}. Their words are taken; names
      of classes are not, because other data have others.

  Raises:
    UserError: two of the runs know other words of one column.
  """
  folder = workdir / 'checkpoints'
  if folder.exists() and any(entry.name.isdigit() for entry in folder.iterdir()):
    return read_learnt(workdir)
  runs = [init_from] if isinstance(init_from, str) else list(init_from.values())
  streams = {stage.number: stage.streams for stage in stages}
  return learnt.words({run: read_learnt(paths.expand(run)) for run in runs if run}, streams)


def _config_text(workdir: epath.Path) -> str:
  file = workdir / 'config.json'
  if not file.exists():
    raise UserError(f'{workdir} is not a run: it has no config.json; name a folder that was given as --workdir')
  text: str = file.read_text()
  try:
    json.loads(text)
  except ValueError as error:
    raise UserError(f'{file} is damaged ({error}): remove it to go on with the settings you give') from error
  return text


def without_paths(config: Any) -> str:
  """The settings as text, but for the places of data, which may be others on each machine."""

  def plain(value: Any) -> Any:
    if isinstance(value, list):
      return [plain(entry) for entry in value]
    return {k: plain(v) for k, v in value.items() if k not in PLACES} if isinstance(value, dict) else value

  return json.dumps(plain(json.loads(config_lib.to_json(config))), sort_keys=True)


def check_config(config: Any) -> None:
  """Raises a UserError unless config.json will give the same config back, or the run could not be loaded later."""
  if config.resume not in RESUME:
    raise UserError(f'config.resume={config.resume!r}: choose one of {", ".join(RESUME)}')
  again = config_lib.from_json(config_lib.to_json(config)).to_dict()
  changed = config_lib.differences(config.to_dict(), again)
  if changed:
    raise UserError(
      f'{changed[0].split(":")[0]} is lost in config.json: give numbers, names, booleans, tuples or dicts'
    )


def check_resumable(workdir: epath.Path, config: Any) -> None:
  """Raises a UserError if a run is to go on with settings that change what it computes."""
  defaults = config_lib.base(game={}, optimizers={}, data={})  # of settings that an older version did not have
  known = json.loads(config_lib.to_json(defaults))
  old = {**known, **json.loads(_config_text(workdir))}
  new = json.loads(config_lib.to_json(config))
  # Of a run without figures all is new: there are none that others would not compare with.
  old['eval'] = {**known['eval'], **old['eval']} if _was_evaluated(workdir) else new['eval']
  old['data'] = config_lib.with_stream_defaults(old['data'])
  new['data'] = config_lib.with_stream_defaults(new['data'])
  lines = config_lib.differences(old, new)
  free = lambda line: FREE.match(line.split(':')[0]) or FIRST_NAMES.match(line)
  # Stages without steps of their own have those of the config: the ends of all would move.
  moves = [line for line in lines if line.startswith('config.steps:')] if _shares_steps(new) else []
  changed = [*moves, *(line for line in lines if not free(line))]
  if changed and config.resume != 'force':
    raise UserError(
      f'{workdir} holds a run with other settings ({"; ".join(changed)}): give the same ones to resume it, another '
      '--workdir, or --config.resume=force to go on with the new ones'
    )


def _was_evaluated(workdir: epath.Path) -> bool:
  """Whether metrics.jsonl has figures of an evaluation in training."""
  file = workdir / 'metrics.jsonl'
  return file.exists() and '"eval_' in file.read_text()


def changed_rates(old: Any, new: Any) -> list[str]:
  """A line for each learning rate with which a run goes on that is another than the run had.

  Args:
    old: the config that the run had.
    new: the config that it is given.
  """
  before, after = (json.loads(config_lib.to_json(config)) for config in (old, new))
  lines = [line.partition(': ') for line in config_lib.differences(before, after)]
  return [
    f'note: {name} was {change.replace(" -> ", " and is ", 1)}' for name, _, change in lines if 'learning_rate' in name
  ]


def _shares_steps(settings: Mapping[str, Any]) -> bool:
  return any(not stage.get('steps') for stage in settings['stages'][:-1])


def check_classes(config: Any, stages: Iterable[Stage], known: learnt.Learnt) -> None:
  """Raises a UserError if a run is to go on with class names that give a class the number of another.

  Args:
    config: of the run.
    stages: of the config.
    known: from `noted`.
  """
  for stage in stages if config.resume != 'force' else ():
    for name, stream in stage.streams.items():
      _, found = known.get((stage.number, name), {}).get(learnt.WHOLE, ('', {'class_names': ()}))
      names = found['class_names']
      # More names at the end are classes of new numbers.
      for number, (before, now) in enumerate(zip(names, stream.class_names, strict=False)):
        if before != now:
          setting = 'config.data.class_names' if 'name' in config.data else f'config.data.{name}.class_names'
          listed = ', '.join([*names[:NAMED], *(['...'] if len(names) > NAMED else [])])
          raise UserError(
            f'{setting}[{number}]={now!r}, but the networks of this run know class {number} as {before!r}: keep the '
            f'order {listed}, leave the setting out, or give --config.resume=force if only the names are new'
          )
