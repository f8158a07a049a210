"""Writes a run from weights that other code trained. You can then sample it, evaluate it and train it further.

    python -m gan_jax.convert --generator G_ema.pth --workdir runs/biggan [--discriminator D.pth] [--layout biggan]
      [--config configs/biggan.py:imagenet128_256x8 --config.SETTING=VALUE ...]
    python -m gan_jax.convert --networks generator_ab=latest_net_G_A.pth,generator_ba=latest_net_G_B.pth
      --layout cyclegan --config configs/cyclegan.py --workdir runs/h2z

A layout maps the names of the other code's weights to ours: give the name of a module of `gan_jax.nets.published`, or
the dotted name of your own. The files are PyTorch state dicts; code inside them is never executed.
"""

import importlib.util

from absl import flags

from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.base import command, console
from gan_jax.base.calls import resolve
from gan_jax.base.errors import UserError, one_of
from gan_jax.nets import published
from gan_jax.runs.imported import write_run


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('generator', None, "File of the generator's weights.", flag_values=values)
  flags.DEFINE_string('discriminator', '', "File of the discriminator's weights.", flag_values=values)
  flags.DEFINE_list('networks', [], 'Files of other networks, NETWORK=FILE,NETWORK=FILE.', flag_values=values)
  flags.DEFINE_string(
    'layout',
    'biggan',
    'Layout of the weights: a module of gan_jax.nets.published, or a dotted name.',
    flag_values=values,
  )
  flags.DEFINE_string('workdir', None, 'Folder that the run is written to.', flag_values=values)
  default = 'configs/biggan.py:imagenet128_256x8'
  flags.DEFINE_string(
    'config', default, 'FILE.py or FILE.py:VARIANT with the networks that the weights belong to.', flag_values=values
  )


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  for argument in rest:
    if not argument.startswith(('--config.', '-config.')) or '=' not in argument:
      raise UserError(f'unknown argument {argument!r}: settings are written --config.NAME=VALUE; see --help')
  files = {name: getattr(values, name) for name in ('generator', 'discriminator') if getattr(values, name)}
  for entry in values.networks:
    name, _, file = entry.partition('=')
    if not name or not file:
      raise UserError(f'--networks={entry} must be NETWORK=FILE, such as generator_ab=latest_net_G_A.pth')
    files[name] = file
  if not files:
    command.require(values, 'generator')
  command.require(values, 'workdir')
  layout, ours = values.layout, published.__all__
  if layout not in ours and '.' not in layout and not (layout and importlib.util.find_spec(layout)):
    raise one_of('--layout (or a dotted name of yours)', layout, ours)
  variables_of = resolve(f'{layout}.variables_of', 'gan_jax.nets.published', '--layout')
  config = config_lib.read(values.config, rest)
  untrained = write_run(config, values.workdir, files, variables_of)
  stage = runs.stages_of(config)[-1]
  translates = stage.game.latents is None and core.inputs_of(stage.game, stage.streams)
  how = ' --truncation=0.5' if layout == 'biggan' else ' --inputs=photos --out=translated' if translates else ''
  if untrained:
    console.say(f'note: no file was given for {", ".join(untrained)}: they keep their initial weights, untrained')
  console.say(f'run       {values.workdir}\nnext      python -m gan_jax.sample --workdir {values.workdir}{how}')


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
