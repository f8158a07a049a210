"""Evaluates a run, and says with every figure how it was measured.

    python -m gan_jax.evaluate --workdir runs/x [--metrics fid,kid,prdc] [--samples 50000] [--checkpoint best|last|N]

Writes WORKDIR/evaluation.json, or evaluation_member_I.json for a member of a population. Each figure has its value, its
standard error where one exists, its protocol, the seconds it took and the device. Compare only figures that have the
same protocol.
"""

from collections.abc import Callable
from typing import Any

from absl import flags

from gan_jax.base import command, console
from gan_jax.base import flags as flag_lib
from gan_jax.base.errors import one_of
from gan_jax.base.files import write_text
from gan_jax.config.evaluation import Options
from gan_jax.distributed import processes
from gan_jax.evaluation import measures
from gan_jax.evaluation.evaluator import Evaluation, Evaluator
from gan_jax.features import choose
from gan_jax.sampling.moved import moved
from gan_jax.sampling.run import Run, load


def evaluate(
  run: Run, say: Callable[[str], object] = lambda line: None, *, data_path: str = '', **options: Any
) -> Evaluation:
  """The figures of a run.

  Args:
    run: from `gan_jax.load`.
    say: told what takes time.
    data_path: where the reference's data are now; by default where they were.
    **options: of `evaluation.options.Options`: metrics, samples, features, seed, weights, ...

  Raises:
    UserError: an option is unknown, or the run cannot be evaluated with these options.
  """
  for name in options:
    if name not in Options._fields:
      raise one_of('option of evaluate', name, Options._fields)
  for name in ('metrics', 'rivals'):
    given = options.get(name, ())
    several = given.split(',') if isinstance(given, str) else given
    options[name] = tuple(text for text in map(str.strip, map(str, several)) if text)
  stage, chosen = run.stage, Options(**options)
  if data_path:
    stage = stage._replace(streams=moved(stage.streams, data_path, chosen.stream))
  return Evaluator(stage, chosen, say=say)(run.state, run.step)


def _define(values: flags.FlagValues) -> None:
  flag_lib.define_processes(values)
  default = Options()
  known = ', '.join(measures.MEASURES)
  flags.DEFINE_string('workdir', None, 'The run to evaluate.', flag_values=values)
  flags.DEFINE_list(
    'metrics',
    [],
    f'Some of {known}, or dotted names of yours; empty: those that suit the set.',
    flag_values=values,
  )
  flags.DEFINE_integer('samples', default.samples, 'How many samples to draw.', lower_bound=2, flag_values=values)
  flag_lib.define_checkpoint(values)
  flags.DEFINE_enum(
    'weights',
    'ema',
    ['ema', 'raw'],
    'ema: running averages of the weights, if the run keeps them; raw: the weights themselves.',
    flag_values=values,
  )
  flag_lib.define_samples(values)
  flags.DEFINE_string('features', 'auto', f'{", ".join(choose.NAMES)}, or a dotted name.', flag_values=values)
  flags.DEFINE_string('inception_weights', '', "File of Inception's weights.", flag_values=values)
  flags.DEFINE_integer('seed', default.seed, 'Seed of the latents.', flag_values=values)
  flags.DEFINE_string('stream', '', 'Stream that is the reference; the first by default.', flag_values=values)
  flags.DEFINE_string('output', '', 'Which of several things the game makes.', flag_values=values)
  flags.DEFINE_list('rivals', [], 'Workdirs of runs to compare with, for the metric gmam.', flag_values=values)
  flags.DEFINE_string(
    'classes_of', default.classes_of, 'The field of the data whose classes the metrics see.', flag_values=values
  )
  flags.DEFINE_string('split', '', "Split of the reference; the stream's own by default.", flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'workdir')
  processes.join(**flag_lib.processes(values))
  run = load(values.workdir, flag_lib.checkpoint(values), values.member)
  options = {name: getattr(values, name) for name in Options._fields}
  say = lambda line: console.say(line, error=True) if processes.first() else None
  result = evaluate(run, say, data_path=values.data_path, **options)
  if processes.first():
    console.say(result.table())
    with command.writable(run.workdir):
      write_text(run.evaluation_file, result.to_json())


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
