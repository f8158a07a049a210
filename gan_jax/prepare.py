"""Prepares a TFDS data set as array_record files, without TensorFlow.

    python -m gan_jax.prepare --name mnist [--data_dir ~/tensorflow_datasets]

It downloads the files that the builder of the set names (this needs a network), and writes the set to TFDS_DATA_DIR.
Builders that compute with TensorFlow cannot run; docs/data.md lists the builders that were tried.
"""

import os

from absl import flags

from gan_jax.base import command, console, paths
from gan_jax.data.preparing import prepare
from gan_jax.data.sources.prepared import data_dir


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('name', None, 'TFDS name, such as mnist or cycle_gan/horse2zebra.', flag_values=values)
  flags.DEFINE_string('data_dir', None, 'Where to write; TFDS_DATA_DIR by default.', flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'name')
  folder = paths.expand(values.data_dir or data_dir())
  with command.writable(folder):
    os.makedirs(folder, exist_ok=True)
  prepare(values.name, folder)
  console.say(f'{values.name} is prepared in {folder}')


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
