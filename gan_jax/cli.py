"""The commands under one name: `gan-jax train --config configs/dcgan.py` is `python -m gan_jax.main --config ...`."""

import runpy
import sys

from gan_jax.base import console

#: {name: (module, what it does)}
COMMANDS = {
  'train': ('main', 'train a GAN, or go on with a run'),
  'sample': ('sample', 'samples of a run, and pictures of what it has learnt'),
  'evaluate': ('evaluate', 'the figures of a run, each with its protocol'),
  'export': ('export', 'a generator as StableHLO, ONNX or safetensors'),
  'convert': ('convert', 'weights of other code as a run'),
  'prepare': ('prepare', 'download and prepare a set of TensorFlow Datasets'),
}


def main() -> None:
  """Runs the command that the first argument names; the exit code is its own, 2 if there is no such command."""
  name, rest = (sys.argv[1] if len(sys.argv) > 1 else '--help'), sys.argv[2:]
  if name in ('--help', '-h', 'help'):
    lines = [
      f'  gan-jax {command:<9} {what} (python -m gan_jax.{module})' for command, (module, what) in COMMANDS.items()
    ]
    console.say('\n'.join(['gan-jax COMMAND --help shows the flags of each.', *lines]))
    return
  if name not in COMMANDS:
    console.say(f'error: unknown command {name!r}: choose one of {", ".join(COMMANDS)}', error=True)
    sys.exit(2)
  sys.argv = [f'gan-jax {name}', *rest]
  runpy.run_module(f'gan_jax.{COMMANDS[name][0]}', run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
