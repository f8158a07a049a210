"""Samples from a run.

    python -m gan_jax.sample --workdir runs/x --count 64 --seed 0 --out grid.png
    python -m gan_jax.sample --workdir runs/x --picture=interpolation --out interpolation.png

Sample i depends only on (seed, i), not on the batch that it is generated in.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags
from etils import epath
from PIL.Image import Image

from gan_jax.base import command, console
from gan_jax.base import flags as flag_lib
from gan_jax.base.errors import UserError
from gan_jax.sampling import exploration, pictures
from gan_jax.sampling.outputs import named, pick
from gan_jax.sampling.run import Run, load


def _define(values: flags.FlagValues) -> None:
  known = ['grid', *exploration.PICTURES]
  flags.DEFINE_string('workdir', None, 'The run to sample from.', flag_values=values)
  flags.DEFINE_enum('picture', 'grid', known, f'What to draw: {", ".join(known)}.', flag_values=values)
  flags.DEFINE_integer(
    'count',
    None,
    'Number of samples, 64 by default. With --picture: neighbours, interpolation, codes: number of rows; classes: '
    'number of columns; manifold: pictures per side; arithmetic: samples among which it looks for the concepts.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_list(
    'concepts', [], 'Three concepts for --picture=arithmetic, such as 3:bright,3:dark,7:dark.', flag_values=values
  )
  flags.DEFINE_integer('seed', 0, 'Seed of the latents.', flag_values=values)
  flags.DEFINE_integer('label', None, 'Class of the samples, for a conditional game.', flag_values=values)
  flags.DEFINE_string('output', '', 'Name of the output to show, if the game makes several.', flag_values=values)
  flags.DEFINE_integer('step', None, 'Step of the checkpoint; the latest by default.', flag_values=values)
  flags.DEFINE_integer('member', None, 'Which member of a population; the best by default.', flag_values=values)
  flags.DEFINE_bool('ema', True, 'Use the running averages of the weights, if the run keeps them.', flag_values=values)
  flag_lib.define_samples(values)
  flags.DEFINE_string('out', 'samples.png', 'A .png picture, or .npz arrays of a grid.', flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'workdir')
  if not values.out.endswith(('.png', '.npz')):
    raise UserError(f'--out={values.out} must end in .png or .npz')
  if values.picture != 'grid' and values.out.endswith('.npz'):
    raise UserError(
      f'--out={values.out} with --picture={values.picture}: only a grid can be written as arrays; use a .png name'
    )
  if values.standing and values.picture != 'grid':
    raise UserError(f'--standing with --picture={values.picture}: it works only with a grid, leave it out')
  if values.concepts and values.picture != 'arithmetic':
    raise UserError(f'--concepts with --picture={values.picture}: set --picture=arithmetic, or leave them out')
  run = load(values.workdir, values.step, values.member)
  if run.stage.game.latents is None:
    raise UserError('this game translates examples and draws no latents: call run.sample(count, inputs=...) in Python')
  if values.picture != 'grid':
    drawn, what = _exploration(run, values), values.picture
  else:
    count = values.count or 64
    options = {name: getattr(values, name) for name in ('seed', 'label', 'ema', 'truncation', 'standing')}
    outputs = run.sample(count, **options)
    samples = {'': np.asarray(pick(outputs, values.output))} if values.output else named(outputs)
    what = f'{count} samples'
    if values.out.endswith('.npz'):
      _write_arrays(samples, values.out)
      console.say(f'{what} of step {run.step}: {values.out}')
      return
    drawn = {name: _grid(run, array) for name, array in samples.items()}
  out = epath.Path(values.out)
  for name, picture in drawn.items():
    path = out.with_name(f'{out.stem}_{name}.png') if name else out
    with command.writable(path):
      pictures.write(picture, path)
    console.say(f'{what} of step {run.step}: {path}')


def _write_arrays(samples: Mapping[str, np.ndarray], out: str) -> None:
  with command.writable(out), epath.Path(out).open('wb') as file:
    arrays: dict[str, Any] = {name or 'samples': array for name, array in samples.items()}
    np.savez_compressed(file, **arrays)


def _grid(run: Run, samples: np.ndarray) -> Image:
  picture = pictures.picture_of(samples, run.range)
  if picture is None:
    raise UserError(f'samples of shape {samples.shape[1:]} cannot be drawn as a picture: use --out=samples.npz')
  return picture


def _exploration(run: Run, values: flags.FlagValues) -> dict[str, Image]:
  options = exploration.Options(values.seed, values.label, values.ema, values.output, values.truncation)
  count = {'count': values.count} if values.count else {}
  concepts = {'concepts': values.concepts} if values.concepts else {}
  picture = exploration.PICTURES[values.picture](run, options=options, **count, **concepts)
  return picture if isinstance(picture, dict) else {'': picture}


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
