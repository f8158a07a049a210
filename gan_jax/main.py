"""Trains a GAN.

    python -m gan_jax.main --config configs/dcgan.py:mnist --workdir runs/x [--config.SETTING=VALUE ...]

The same command resumes a run that was stopped. Write a setting with its full dotted name, such as
--config.optimizers.generator.learning_rate=1e-4. Config files are searched in the working folder, then in the package.
"""

import contextlib
import datetime
import itertools
from collections.abc import Iterator, Sequence

from absl import flags
from etils import epath

from gan_jax.base import command, console
from gan_jax.base import flags as flag_lib
from gan_jax.base.errors import UserError
from gan_jax.distributed import processes


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
    'workdir', None, 'Folder of the run: it is written there and resumed from there.', flag_values=values
  )
  flag_lib.define_processes(values)
  flags.DEFINE_bool('list', False, 'Print the shipped configs and stop.', flag_values=values)
  flags.DEFINE_bool(
    'dry_run', False, 'Print networks, parameters and flops of a step without training.', flag_values=values
  )
  flags.DEFINE_bool(
    'compile', False, 'With --dry_run: compile, and print all memory and what devices exchange.', flag_values=values
  )
  # absl parses only FILE.py here; `_run` reads the file and the --config.NAME settings.
  flags.DEFINE_string(
    'config', None, 'Config to train: FILE.py, FILE.py:VARIANT, or config.json of a run.', flag_values=values
  )


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  from gan_jax import config as config_lib

  if values.list:
    command.no_rest(rest)
    for file, variants, doc in config_lib.descriptions():
      console.say(f'{file:<24} {doc.splitlines()[0]}\n{"":<24} variants: {", ".join(variants)}')
    return
  for argument in rest:
    if not argument.startswith(('--config.', '-config.')) or '=' not in argument:
      raise UserError(f'unknown argument {argument!r}: settings are written --config.NAME=VALUE; see --help')
  if values.config is None and values.workdir:
    raise UserError('--config is missing: to resume a run, repeat the command that started it, its --config too')
  command.require(values, 'config')
  processes.join(**flag_lib.processes(values))
  config = config_lib.read(values.config, rest, console.say if processes.first() else lambda line: None)
  if processes.first():
    from gan_jax.config.overrides import values_of
    from gan_jax.training import notes

    for note in notes.on_given(config, values_of(rest)):
      console.say(note)
  if values.dry_run:
    _dry_run(config, values.compile)
    return
  if values.compile:
    raise UserError('--compile without --dry_run: leave it out, a training compiles anyway')
  from gan_jax.training import loop

  if not (processes.alone() or values.workdir):
    raise UserError(
      '--workdir is missing: several processes write one run, so give a folder that all of them can read and write'
    )
  if values.workdir:
    loop.run(config, values.workdir)
    return
  with _new_folder('runs/' + values.config.split('/')[-1].replace('.py', '').replace(':', '-')) as workdir:
    loop.run(config, workdir)


@contextlib.contextmanager
def _new_folder(stem: str) -> Iterator[epath.Path]:
  """Creates a new folder, STEM-DATE-TIME or STEM-DATE-TIME-N, and removes it at the end if it is still empty."""
  now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
  with command.writable('runs'):
    for number in itertools.count(1):
      folder = epath.Path(f'{stem}-{now}' + (f'-{number}' if number > 1 else ''))
      folder.parent.mkdir(parents=True, exist_ok=True)
      with contextlib.suppress(FileExistsError):
        folder.mkdir()
        break
  try:
    yield folder
  finally:
    with contextlib.suppress(OSError, ValueError):  # it is not empty
      folder.rmdir()


def _dry_run(config, compiled: bool) -> None:
  say = console.say if processes.first() else lambda line: None
  from gan_jax.distributed import parallel
  from gan_jax.nets.layers.conv import chosen_formulation
  from gan_jax.runs.experiment import experiment_of
  from gan_jax.training import checks, notes, rates, summary

  experiment = experiment_of(config)
  checks.check_games(experiment)
  mesh = parallel.make_mesh(config.devices or None)
  experiment.check(mesh)
  with chosen_formulation(config.formulation):
    for stage in experiment.stages:
      say(summary.describe(experiment, stage.number, mesh, {}))
      say(summary.cost(experiment, stage.number, mesh, compiled=compiled))
    said = (
      *notes.on_settings(config),
      *notes.on_new_layers(experiment),
      *notes.on_pauses(experiment),
      *rates.on_schedules(experiment),
      *(note for stage in experiment.stages for note in rates.on_rests(experiment, stage.number)),
      *notes.on_ranges(experiment.stages),
      *notes.on_averages_of_members(experiment),
    )
    for note in said:
      say(note)


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the command.

  Args:
    argv: arguments without the program's name; by default `sys.argv[1:]`.
  """
  command.main(_define, _run, __doc__, argv)


if __name__ == '__main__':
  main()
