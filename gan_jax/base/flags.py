"""Flags that several commands share."""

from typing import Any

from absl import flags


def define_processes(values: flags.FlagValues) -> None:
  """The flags of a command that several processes may run together."""
  flags.DEFINE_bool(
    'distributed',
    False,
    'One of several processes that a cluster has started: a TPU pod slice, SLURM, GKE, MPI.',
    flag_values=values,
  )
  flags.DEFINE_string('coordinator', None, 'HOST:PORT of process 0, to start processes by hand.', flag_values=values)
  flags.DEFINE_integer('processes', None, 'How many there are; with --coordinator.', flag_values=values)
  flags.DEFINE_integer('process', None, 'Number of this one, from 0; with --coordinator.', flag_values=values)


def processes(values: flags.FlagValues) -> dict[str, Any]:
  """What these flags say, as `distributed.processes.join` takes it."""
  return {name: getattr(values, name) for name in ('distributed', 'coordinator', 'processes', 'process')}


def define_samples(values: flags.FlagValues) -> None:
  """--truncation and --standing, of the commands that make samples."""
  flags.DEFINE_float(
    'truncation', 0.0, 'Normal latents lie within it, as if drawn anew; 0 for all.', lower_bound=0.0, flag_values=values
  )
  flags.DEFINE_integer(
    'standing',
    0,
    "Batches whose statistics replace batch norm's running ones; 0 for none.",
    lower_bound=0,
    flag_values=values,
  )
