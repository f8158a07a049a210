"""The commands under one name: `gan-jax train --config configs/dcgan.py` is `python -m gan_jax.main --config ...`."""

import argparse
import importlib
import runpy
import sys

from gan_jax.base import console
from gan_jax.base.errors import UserError, one_of

#: {name: (module, what it does)}
COMMANDS = {
  'train': ('main', 'train a GAN, or go on with a run'),
  'sample': ('sample', 'samples of a run, and pictures of what it has learnt'),
  'evaluate': ('evaluate', 'the figures of a run, each with its protocol'),
  'app': ('app', 'a page in the browser: a look at a run, or GAN Lab'),
  'export': ('export', 'a generator as StableHLO, ONNX or safetensors'),
  'convert': ('convert', 'weights of other code as a run'),
  'prepare': ('prepare', 'download and prepare a set of TensorFlow Datasets'),
}
#: Flags whose values are no files.
NO_FILES = ('config', 'count', 'samples', 'seed', 'step', 'checkpoint', 'member', 'metrics', 'features', 'host', 'port')


def completion(shell: str) -> str:
  """The script with which a shell completes commands, flags, their values, configs and files.

  Args:
    shell: bash, zsh, fish, tcsh or powershell.

  Raises:
    UserError: shtab is not installed, or does not know the shell.
  """
  from absl import flags

  from gan_jax import config

  try:
    import shtab
  except ImportError as error:
    raise UserError(f'gan-jax completion needs shtab, which is not installed ({error}): pip install shtab') from error
  if shell not in shtab.SUPPORTED_SHELLS:
    raise one_of('shell', shell, shtab.SUPPORTED_SHELLS)
  parser = argparse.ArgumentParser('gan-jax', add_help=False)
  commands = parser.add_subparsers()
  for name, (module, what) in COMMANDS.items():
    values = flags.FlagValues()
    importlib.import_module(f'gan_jax.{module}')._define(values)
    command = commands.add_parser(name, help=what, add_help=False)
    for flag in (values[name] for name in sorted(values)):
      known = getattr(flag.parser, 'enum_values', None)
      if flag.name == 'config':
        known = [f'{file}:{variant}' for file, variants, _ in config.descriptions() for variant in variants]
      kind = dict(action='store_true') if flag.boolean else dict(choices=known)
      added = command.add_argument(f'--{flag.name}', help=flag.help.replace('%', '%%'), **kind)
      if not known and not flag.boolean and flag.name not in NO_FILES:
        added.complete = shtab.FILE  # type: ignore[attr-defined]
  return str(shtab.complete(parser, shell))


def main() -> None:
  """Runs the command that the first argument names; the exit code is its own, 2 if there is no such command."""
  name, rest = (sys.argv[1] if len(sys.argv) > 1 else '--help'), sys.argv[2:]
  if name in ('--help', '-h', 'help'):
    lines = [
      f'  gan-jax {command:<9} {what} (python -m gan_jax.{module})' for command, (module, what) in COMMANDS.items()
    ]
    lines.append('  gan-jax completion bash|zsh|fish|tcsh|powershell prints a script for the shell')
    console.say('\n'.join(['gan-jax COMMAND --help shows the flags of each.', *lines]))
    return
  if name == 'completion':
    try:
      console.say(completion(rest[0] if rest else ''))
    except UserError as error:
      console.say(f'error: {error}', error=True)
      sys.exit(2)
    return
  if name not in COMMANDS:
    console.say(f'error: unknown command {name!r}: choose one of {", ".join([*COMMANDS, "completion"])}', error=True)
    sys.exit(2)
  sys.argv = [f'gan-jax {name}', *rest]
  runpy.run_module(f'gan_jax.{COMMANDS[name][0]}', run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
