"""A page in the browser: a look at a run, or GAN Lab.

    python -m gan_jax.app --workdir runs/x     # samples, sliders, ways, nearest training pictures, attention
    python -m gan_jax.app --lab                # a GAN on points of the plane, training while one looks

It listens on this machine alone, unless --host says otherwise. Needs `pip install 'gan_jax[app]'`; the page loads
nothing from the internet.
"""

from absl import flags

from gan_jax.base import command, console
from gan_jax.base import flags as flag_lib
from gan_jax.base.errors import UserError


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('workdir', None, 'The run to look at.', flag_values=values)
  flags.DEFINE_bool('lab', False, 'GAN Lab in place of a run.', flag_values=values)
  flags.DEFINE_string('host', '127.0.0.1', 'Where to listen; 0.0.0.0 for the whole network.', flag_values=values)
  flags.DEFINE_integer(
    'port', 7860, 'The port; 0 for any that is free.', lower_bound=0, upper_bound=65535, flag_values=values
  )
  flag_lib.define_checkpoint(values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  if values.lab and values.workdir:
    raise UserError(f'--lab with --workdir={values.workdir}: the lab trains a GAN of its own, leave one of them out')
  if not values.lab:
    command.require(values, 'workdir')
  from gan_jax.apps import explore, explore_page, lab_page, serving

  serving.gradio()  # an error before anything long
  if values.lab:
    serving.serve(lab_page.page(), values.host, values.port)
    return
  from gan_jax.sampling.run import load

  run = load(values.workdir, flag_lib.checkpoint(values), values.member, values.data_path)
  console.say(f'step {run.step} of {values.workdir}: the first samples ...')
  serving.serve(explore_page.page(explore.Explorer(run)), values.host, values.port)


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
