"""A run's generator as files that work without this library.

    python -m gan_jax.export --workdir runs/x                                # StableHLO: JAX on CPU, CUDA and TPU
    python -m gan_jax.export --workdir runs/x --format onnx,safetensors --out exported

Writes a folder: the generator in each format, a card (README.md) with its data, its figures and the lines that load
it, a picture of samples, and the config. All formats need `pip install 'gan_jax[export]'`.
"""

from absl import flags
from etils import epath

from gan_jax.base import command, console
from gan_jax.base import flags as flag_lib
from gan_jax.exports import folder
from gan_jax.sampling.run import Run, load


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('workdir', None, 'The run to export.', flag_values=values)
  flags.DEFINE_list('format', ['stablehlo'], f'Of {", ".join(folder.FORMATS)}; one or more.', flag_values=values)
  flags.DEFINE_string(
    'out',
    '',
    'The folder to write; by default WORKDIR/export, of a member of a population WORKDIR/export_member_I.',
    flag_values=values,
  )
  flag_lib.define_checkpoint(values)
  flags.DEFINE_bool('ema', True, 'Use the running averages of the weights, if the run keeps them.', flag_values=values)
  flags.DEFINE_integer(
    'standing',
    0,
    'Replace the running statistics of batch norm by those of so many batches; 0 to keep them.',
    lower_bound=0,
    flag_values=values,
  )
  flags.DEFINE_string('push', '', 'USER/NAME: also upload the folder to the Hugging Face hub.', flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'workdir')
  run = load(values.workdir, flag_lib.checkpoint(values), values.member, values.data_path)
  out = values.out or str(_folder(run))
  for name, size in folder.write(run, out, values.format, ema=values.ema, standing=values.standing).items():
    console.say(f'{out}/{name}  {size:,} bytes')
  if values.push:
    console.say(f'uploaded: {folder.push(out, values.push)}')


def _folder(run: Run) -> epath.Path:
  return run.workdir / ('export' if run.member is None else f'export_member_{run.member}')


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
