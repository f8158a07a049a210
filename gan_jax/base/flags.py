"""Flags that several commands share."""

from typing import Any

from absl import flags

from gan_jax.base.errors import UserError


def define_processes(values: flags.FlagValues) -> None:
  """The flags of a command that several processes may run together."""
  flags.DEFINE_bool(
    'distributed',
    False,
    'This process is one of several that a cluster has started: a TPU pod slice, SLURM, GKE, MPI.',
    flag_values=values,
  )
  flags.DEFINE_string('coordinator', None, 'HOST:PORT of process 0, to start processes by hand.', flag_values=values)
  flags.DEFINE_integer('processes', None, 'The number of processes; with --coordinator.', flag_values=values)
  flags.DEFINE_integer('process', None, 'The number of this process, from 0; with --coordinator.', flag_values=values)


def processes(values: flags.FlagValues) -> dict[str, Any]:
  """The values of these flags, as arguments of `distributed.processes.join`."""
  return {name: getattr(values, name) for name in ('distributed', 'coordinator', 'processes', 'process')}


def define_samples(values: flags.FlagValues) -> None:
  """--truncation and --standing, of the commands that make samples."""
  flags.DEFINE_float(
    'truncation',
    0.0,
    'Draw normal latents again until their absolute value is below this number, or as the game says; 0 for none.',
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'standing',
    0,
    'Replace the running statistics of batch norm by those of so many batches; 0 to keep them.',
    lower_bound=0,
    flag_values=values,
  )


def define_checkpoint(values: flags.FlagValues) -> None:
  """--checkpoint, --member and --data_path, of the commands that read one state of a run."""
  flags.DEFINE_string('checkpoint', 'last', "'last', 'best' (by config.keep_best) or a step.", flag_values=values)
  flags.DEFINE_integer('member', None, 'Which member of a population; the best by default.', flag_values=values)
  flags.DEFINE_string(
    'data_path', '', 'Where the data are now, if they have moved: PATH, or STREAM=PATH.', flag_values=values
  )


def checkpoint(values: flags.FlagValues) -> int | str | None:
  """The value of --checkpoint, as the argument `step` of `gan_jax.load`.

  Raises:
    UserError: it is neither last, best nor a step.
  """
  if values.checkpoint in ('last', 'best'):
    return None if values.checkpoint == 'last' else 'best'
  if not values.checkpoint.isdigit():
    raise UserError(f'--checkpoint={values.checkpoint} must be last, best or a step')
  return int(values.checkpoint)
