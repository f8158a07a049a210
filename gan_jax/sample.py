"""Samples from a run.

    python -m gan_jax.sample --workdir runs/x --count 64 --seed 0 --out grid.png
    python -m gan_jax.sample --workdir runs/x --picture=interpolation --out interpolation.png
    python -m gan_jax.sample --workdir runs/x --inputs photos --out translated

Sample i depends only on (seed, i), not on the batch that it is generated in.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags
from PIL.Image import Image

from gan_jax import core
from gan_jax.base import command, console, paths
from gan_jax.base import flags as flag_lib
from gan_jax.base.errors import UserError
from gan_jax.data.sources.columned import fitted_kind
from gan_jax.data.text import Text
from gan_jax.games.parts.drawn import SHOWN
from gan_jax.sampling import conditions, exploration, files, pictures
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.outputs import imitated, named, pick
from gan_jax.sampling.run import Run, load
from gan_jax.sampling.translation import translated


def _define(values: flags.FlagValues) -> None:
  known = ['grid', *exploration.PICTURES]
  flags.DEFINE_string('workdir', None, 'The run to sample from.', flag_values=values)
  flags.DEFINE_enum('picture', 'grid', known, f'What to draw: {", ".join(known)}.', flag_values=values)
  flags.DEFINE_integer(
    'count',
    None,
    'Number of samples, 64 by default. With --picture: neighbours, interpolation, between_conditions, codes, parts: '
    'number of rows; classes: number of columns; manifold: pictures per side; arithmetic: samples among which it '
    'looks for the concepts.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_list(
    'concepts', [], 'Three concepts for --picture=arithmetic, such as 3:bright,3:dark,7:dark.', flag_values=values
  )
  flags.DEFINE_integer(
    'seed', 0, 'Seed of the latents, or of the noise of games that draw none, if they have any.', flag_values=values
  )
  flags.DEFINE_integer('label', None, 'Class of the samples, for a conditional game.', flag_values=values)
  flags.DEFINE_multi_string(
    'condition',
    [],
    'What samples are asked for: Blond_Hair=1,Male=0, or "text=a red shoe"; twice for --picture=between_conditions.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'format',
    '',
    ['', 'png', 'npz', *files.FORMATS],
    'png: one picture; npz: arrays; folder: a picture of each sample; midi: a file of each piano roll; binvox: of each '
    'solid; text: of each text. The last four write into the folder --out. By default as --out ends.',
    flag_values=values,
  )
  flags.DEFINE_string('output', '', 'Name of the output to show, if the game makes several.', flag_values=values)
  flags.DEFINE_integer('step', None, 'The same as --checkpoint=STEP.', flag_values=values)
  flag_lib.define_checkpoint(values)
  flags.DEFINE_bool('ema', True, 'Use the running averages of the weights, if the run keeps them.', flag_values=values)
  flag_lib.define_samples(values)
  flags.DEFINE_string(
    'split',
    '',
    "Of games that read data when they sample: of the run's own streams, one for all or STREAM=SPLIT,...; what is held "
    'out of the training by default.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'inputs', '', 'Of the same: a folder of pictures, or STREAM=FOLDER; --out is a folder, too.', flag_values=values
  )
  flags.DEFINE_string(
    'out', 'samples.png', 'A .png picture, .npz arrays of a grid, or with --inputs a folder.', flag_values=values
  )


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'workdir')
  if values.inputs:
    _translate(values)
    return
  each = values.format in files.FORMATS
  if values.format and values.picture != 'grid':
    raise UserError(
      f'--format={values.format} with --picture={values.picture}: it works only with a grid, leave it out'
    )
  if each and values.out.endswith(('.png', '.npz')):
    raise UserError(f'--out={values.out} with --format={values.format}: name a folder, in which each sample has a file')
  if not each and not values.out.endswith((f'.{values.format}',) if values.format else ('.png', '.npz')):
    known = f'.{values.format}' if values.format else '.png or .npz'
    raise UserError(f'--out={values.out} must end in {known}, or --format={", ".join(files.FORMATS)} name a folder')
  if values.picture != 'grid' and values.out.endswith('.npz'):
    raise UserError(
      f'--out={values.out} with --picture={values.picture}: only a grid can be written as arrays; use a .png name'
    )
  if values.condition and values.picture not in ('grid', 'between_conditions'):
    raise UserError(
      f'--condition with --picture={values.picture}: it works only with grid and between_conditions, leave it out'
    )
  if values.split and values.picture not in ('grid', 'between_conditions'):
    raise UserError(
      f'--split with --picture={values.picture}: it works only with grid and between_conditions, leave it out'
    )
  if values.standing and values.picture != 'grid':
    raise UserError(f'--standing with --picture={values.picture}: it works only with a grid, leave it out')
  if values.concepts and values.picture != 'arithmetic':
    raise UserError(f'--concepts with --picture={values.picture}: set --picture=arithmetic, or leave them out')
  run = _loaded(values)
  if values.picture != 'grid':
    drawn, what = _exploration(run, values), values.picture
  else:
    count = values.count or 64
    how = _how(values)
    inputs = run.inputs(count, inputs_lib.parsed(values.split), how['condition'])
    made = run.sample(count, inputs=inputs, **how)
    if values.output:
      declared = core.outputs_of(run.stage.game, run.stage.streams)
      picked = np.asarray(pick(made, values.output, declared=declared))
      made = {values.output: picked} if isinstance(made, Mapping) else made
    samples = named(made)
    if each:
      if values.format == 'text':
        samples = {name: _texts(run, name, array) for name, array in samples.items()}
      with command.writable(values.out):
        for folder in files.write(samples, _limits(run, samples), values.format, paths.expand(values.out)):
          console.say(f'{count} samples of step {run.step}: {folder}')
      return
    if values.out.endswith('.npz'):
      _write_arrays(samples, values.out)
      console.say(f'{count} samples of step {run.step}: {values.out}')
      return
    drawn = _sheets(run, made, inputs, samples)
    if values.output and values.output in drawn:
      drawn = {'': drawn[values.output]}
    what = 'samples'
    shown = min((picture.info.get(SHOWN, count) for picture in drawn.values()), default=count)
    if shown < count and values.count:
      console.say(f'a picture has room for the first {shown} of {count}: --out=samples.npz writes all')
  out = paths.expand(values.out)
  for name, picture in drawn.items():
    path = out.with_name(f'{out.stem}_{name}.png') if name else out
    with command.writable(path):
      pictures.write(picture, path)
    console.say(f'{what} of step {run.step}: {path}')


def _loaded(values: flags.FlagValues) -> Run:
  """The run of --workdir, at --checkpoint or --step."""
  asked = flag_lib.checkpoint(values)
  if values.step is not None and asked is not None:
    raise UserError(f'--step={values.step} and --checkpoint={values.checkpoint} name a state each: leave one out')
  return load(values.workdir, asked if values.step is None else values.step, values.member, values.data_path)


def _how(values: flags.FlagValues) -> dict[str, Any]:
  """The arguments of `Run.sample` that flags give."""
  how = {name: getattr(values, name) for name in ('seed', 'label', 'ema', 'truncation', 'standing')}
  return {**how, 'condition': conditions.parsed(values.condition)}


def _limits(run: Run, samples: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
  of = {name: imitated(run.stage, name) for name in samples}
  return {name: run.stage.streams[output.stream].range_of(output.field) for name, output in of.items()}


def _texts(run: Run, name: str, tokens: np.ndarray) -> np.ndarray:
  """Tokens (N, T) that imitate a column of texts as texts (N,); other samples as they are."""
  output = imitated(run.stage, name)
  stream = run.stage.streams[output.stream]
  if not isinstance(stream.kinds.get(output.field), Text):
    return tokens
  kind = fitted_kind(stream, output.field)
  return np.array([kind.decode(row) for row in tokens])


def _write_arrays(samples: Mapping[str, np.ndarray], out: str) -> None:
  with command.writable(out), paths.expand(out).open('wb') as file:
    arrays: dict[str, Any] = {name or 'samples': array for name, array in samples.items()}
    np.savez_compressed(file, **arrays)


def _sheets(run: Run, made: Any, inputs: Any, samples: Mapping[str, np.ndarray]) -> dict[str, Image]:
  """The pictures of all outputs that have one; a line tells those that have none."""
  drawn = run.pictures(made, inputs)
  if not drawn:
    shapes = ', '.join(str(array.shape[1:]) for array in samples.values())
    raise UserError(f'samples of shape {shapes} have no picture: use --out=samples.npz')
  table = all(array.ndim == 1 for array in samples.values())
  for name, array in samples.items():
    if not (table or hasattr(run.stage.game, 'pictures')) and pictures.picture_of(array[:1], run.range) is None:
      console.say(f'{name} of shape {array.shape[1:]} has no picture: --out=samples.npz writes it', error=True)
  return drawn


def _translate(values: flags.FlagValues) -> None:
  """Writes what a game makes of each picture of a folder, under the same name."""
  if values.out.endswith(('.png', '.npz')):
    raise UserError(f'--out={values.out} with --inputs: name a folder, in which each picture keeps its name')
  for name, default in (('picture', 'grid'), ('count', None), ('split', ''), ('format', ''), ('concepts', [])):
    if getattr(values, name) != default:
      raise UserError(f'--{name} with --inputs, which makes one picture of each of the folder: leave it out')
  folder = paths.expand(values.inputs.partition('=')[2] or values.inputs)
  out = paths.expand(values.out)
  if out.resolve() == folder.resolve():
    raise UserError(f'--out={out} is the folder of the inputs, which would be written over: name another')
  run = _loaded(values)
  found, made, _ = translated(run, values.inputs, output=values.output, **_how(values))
  for name, (array, limits) in made.items():
    where = out / name if len(made) > 1 else out
    for file, image in zip(map(pictures.name_for, found), array, strict=True):
      with command.writable(where / file):
        (where / file).parent.mkdir(parents=True, exist_ok=True)
        pictures.write_one(image, limits, where / file)
    console.say(f'{len(found)} pictures of step {run.step}: {where}')


def _exploration(run: Run, values: flags.FlagValues) -> dict[str, Image]:
  options = exploration.Options(values.seed, values.label, values.ema, values.output, values.truncation)
  count = {'count': values.count} if values.count else {}
  concepts = {'concepts': values.concepts} if values.concepts else {}
  ends: dict[str, Any] = {}
  if values.picture == 'between_conditions':
    ends = {'ends': [conditions.parsed([text]) for text in values.condition], 'split': inputs_lib.parsed(values.split)}
  picture = exploration.PICTURES[values.picture](run, options=options, **count, **concepts, **ends)
  return picture if isinstance(picture, dict) else {'': picture}


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
