"""Samples from a run.

    python -m gan_jax.sample --workdir runs/x --count 64 --seed 0 --out grid.png
    python -m gan_jax.sample --workdir runs/x --picture=interpolation --out interpolation.png

Sample i depends on (seed, i) alone, not on the batch it is made in.
"""

from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import flags
from etils import epath
from PIL.Image import Image

from gan_jax import best_member, checkpoint, command, console, experiment, exploration, parallel, pictures, resume
from gan_jax import game as game_lib
from gan_jax import population as population_lib
from gan_jax import standing as standing_lib
from gan_jax.errors import UserError
from gan_jax.evaluation.scores import pick
from gan_jax.sampler import Sampler


def named(samples: Any) -> dict[str, np.ndarray]:
  """Samples by name; those of a game that makes one thing are called ''."""
  return dict(samples) if isinstance(samples, Mapping) else {'': samples}


class Run:
  """A trained run, read from its workdir: `gan_jax.load('runs/x')`.

  Attributes:
    config: the run's config.
    stage: the stage its checkpoint stands in, with the game and the streams.
    step: steps trained.
    state: the GameState.
    member: its number in a population, whose workdir this is; config, stage and state are its own. None for one game.
  """

  def __init__(self, workdir: epath.PathLike, step: int | str | None = None, member: int | None = None):
    workdir = epath.Path(workdir)
    self.workdir = workdir
    config: ml_collections.ConfigDict = resume.read_config(workdir)
    population = population_lib.population_of(config)
    if member is not None and population.alone:
      raise UserError(f'member={member} asked of {workdir}, which is one game, not a population: leave it out')
    # Several processes hold one array together, whole on every device.
    one = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    sharding = one if jax.process_count() == 1 else parallel.replicated(parallel.make_mesh())
    with_device = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding)

    def abstract_of(place: checkpoint.Place) -> Any:
      return jax.tree.map(with_device, population.abstract_state(place.stage))

    checkpoints = checkpoint.Checkpoints(workdir, best=config.keep_best)
    if isinstance(step, str):
      if step != 'best':
        raise UserError(f"checkpoint {step!r} must be 'best' or a step")
      step = checkpoints.best()
    say = lambda line: console.say(line, error=True)
    found = checkpoints.newest(abstract_of, say, step)
    checkpoints.close()
    if found is None:
      raise UserError(f'{workdir} has no checkpoint yet: train it on with python -m gan_jax.main')
    place, state = found
    if not population.alone:
      member, why = best_member.choose(workdir, config, place.step, member)
      if why:
        say(why)
    self.member, chosen = member, population.members[member or 0]
    self.config, self.state = chosen.config, chosen.of(state)
    self.stage = chosen.stages[place.stage]
    self.step = place.step
    self._samplers: dict[float, Sampler] = {}

  def variables(self, ema: bool = True, standing: int = 0, truncation: float = 0.0) -> dict[str, Any]:
    """The game's variables.

    Args:
      ema: use running averages where the run keeps them.
      standing: batches whose statistics replace the running ones of batch norm; 0 for none.
      truncation: of the latents of these batches.

    Raises:
      UserError: the game has no standing statistics or nothing to truncate.
    """
    clock = experiment.clock_at(self.stage, self.step)
    variables = game_lib.game_variables(self.stage.game, self.state, ema=ema, clock=clock)
    return standing_lib.of_stage(self.stage, variables, standing, truncation) if standing else variables

  def sample(
    self,
    count: int,
    *,
    seed: int = 0,
    label: int | None = None,
    inputs: Any = None,
    ema: bool = True,
    truncation: float = 0.0,
    standing: int = 0,
  ) -> Any:
    """Samples 0 ... count - 1 of a seed, (count, ...) float32 numpy in the range of the run's data.

    Args:
      count: how many.
      seed: sample i depends on (seed, i), not on count.
      label: the class to ask a conditional game for; None for classes at random.
      inputs: {stream: fields} for games that translate examples.
      ema: use running averages where the run keeps them.
      truncation: normal latents are drawn anew until they lie within it (Brock et al. 2018,
        https://arxiv.org/abs/1809.11096, section 3.1); 0 for none.
      standing: batches whose statistics replace the running ones of batch norm; 0 for none.
    """
    variables = self.variables(ema, standing, truncation)
    return self._sampler(truncation)(variables, count, seed, label, inputs)

  def latents(self, count: int, *, seed: int = 0, label: int | None = None, truncation: float = 0.0) -> Any:
    """What `sample` with the same arguments starts from: (count, ...) numpy, or a dict of such."""
    return self._sampler(truncation).latents(count, seed, label)

  def generate(self, latents: Any, *, seed: int = 0, ema: bool = True) -> Any:
    """Examples of latents of your own, (count, ...) float32 numpy in the range of the run's data.

    Args:
      latents: (count, ...), or a dict of such: what `latents` gives, or a path from `gan_jax.latent_paths`.
      seed: of a generator's own noise, if it has any.
      ema: use running averages where the run keeps them.
    """
    return self._sampler().generate(self.variables(ema), latents, seed)

  def attention(self, latents: Any, *, seed: int = 0, ema: bool = True) -> dict[str, np.ndarray]:
    """The weights of every attention layer on the way to the examples of latents.

    Args:
      latents: as `generate` takes them.
      seed: of a generator's own noise, if it has any.
      ema: use running averages where the run keeps them.

    Returns:
      {layer: (count, queries, keys)}; of each query they sum to 1.
    """
    found = self._sampler().intermediates(self.variables(ema), latents, seed)
    leaves = jax.tree_util.tree_leaves_with_path(found)
    name = lambda path: '_'.join(part.key for part in path[:-2])
    return {name(path): leaf for path, leaf in leaves if getattr(path[-2], 'key', '') == 'attention'}

  def _sampler(self, truncation: float = 0.0) -> Sampler:
    if truncation not in self._samplers:
      self._samplers[truncation] = Sampler(self.stage.game, truncation)
    return self._samplers[truncation]

  @property
  def range(self) -> tuple[float, float]:
    """(low, high) of the first stream's pixels."""
    return next(iter(self.stage.streams.values())).range


def load(workdir: epath.PathLike, step: int | str | None = None, member: int | None = None) -> Run:
  """Reads a run back.

  Args:
    workdir: given to training as --workdir.
    step: of the checkpoint, or 'best' by config.keep_best; the latest by default.
    member: of a population; by default the best by config.keep_best, else the first, and a line says which.

  Raises:
    UserError: there is no run, or no such checkpoint or member.
  """
  return Run(workdir, step, member)


def _define(values: flags.FlagValues) -> None:
  known = ['grid', *exploration.PICTURES]
  flags.DEFINE_string('workdir', None, 'The run to sample from.', flag_values=values)
  flags.DEFINE_enum('picture', 'grid', known, f'What to draw: {", ".join(known)}.', flag_values=values)
  flags.DEFINE_integer(
    'count',
    None,
    'How many samples, 64 by default; of neighbours, interpolation and codes rows, of classes columns, of manifold '
    'pictures on a side, of arithmetic samples to look among.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_list('concepts', [], 'Of arithmetic: three, such as 3:bright,3:dark,7:dark.', flag_values=values)
  flags.DEFINE_integer('seed', 0, 'Seed of the latents.', flag_values=values)
  flags.DEFINE_integer('label', None, 'Class to ask a conditional game for.', flag_values=values)
  flags.DEFINE_string('output', '', 'Which of several things the game makes.', flag_values=values)
  flags.DEFINE_integer('step', None, 'Checkpoint; the latest by default.', flag_values=values)
  flags.DEFINE_integer('member', None, 'Of a population; the best by default.', flag_values=values)
  flags.DEFINE_bool('ema', True, 'Use running averages where the run keeps them.', flag_values=values)
  standing_lib.define_flags(values)
  flags.DEFINE_string('out', 'samples.png', 'A .png picture, or .npz arrays of a grid.', flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'workdir')
  if not values.out.endswith(('.png', '.npz')):
    raise UserError(f'--out={values.out} must end in .png or .npz')
  if values.picture != 'grid' and values.out.endswith('.npz'):
    raise UserError(f'--out={values.out} with --picture={values.picture}: arrays are those of a grid; end it in .png')
  if values.standing and values.picture != 'grid':
    raise UserError(f'--standing with --picture={values.picture}: it goes with a grid, leave it out')
  if values.concepts and values.picture != 'arithmetic':
    raise UserError(f'--concepts with --picture={values.picture}: set --picture=arithmetic, or leave them out')
  run = load(values.workdir, values.step, values.member)
  if run.stage.game.latents is None:
    raise UserError('this game translates examples: sample it in Python with run.sample(count, inputs=...)')
  if values.picture != 'grid':
    drawn, what = _explored(run, values), values.picture
  else:
    count = values.count or 64
    how = {name: getattr(values, name) for name in ('seed', 'label', 'ema', 'truncation', 'standing')}
    made = run.sample(count, **how)
    samples, what = {'': np.asarray(pick(made, values.output))} if values.output else named(made), f'{count} samples'
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
    raise UserError(f'samples of shape {samples.shape[1:]} have no picture: use --out=samples.npz')
  return picture


def _explored(run: Run, values: flags.FlagValues) -> dict[str, Image]:
  options = exploration.Options(values.seed, values.label, values.ema, values.output, values.truncation)
  count = {'count': values.count} if values.count else {}
  concepts = {'concepts': values.concepts} if values.concepts else {}
  picture = exploration.PICTURES[values.picture](run, options=options, **count, **concepts)
  return picture if isinstance(picture, dict) else {'': picture}


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
