"""Samples from a run.

    python -m gan_jax.sample --workdir runs/x --count 64 --seed 0 --out grid.png

Sample i depends on (seed, i) alone, not on the batch it is made in.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import flags
from etils import epath

from gan_jax import checkpoint, command, experiment, parallel, pictures, resume
from gan_jax import game as game_lib
from gan_jax import population as population_lib
from gan_jax.data import latents as latents_lib
from gan_jax.errors import UserError

#: Samples made at a time; always the same, so that a sample has the same numbers in every call.
CHUNK = 64
#: Folded into the key for a generator's own noise, so that it differs from the latents'.
NOISE = 1 << 30


class Sampler:
  """Makes samples of a game, networks in eval mode.

  Attributes:
    game: the module.
  """

  def __init__(self, game: Any):
    self.game = game
    self._block = jax.jit(self.block)

  def block(
    self, variables: Mapping[str, Any], key: jax.Array, start: jax.Array, latents: Any = None, inputs: Any = None
  ) -> Any:
    """Samples start ... start + CHUNK - 1 of a key, pure: for `jax.jit`, and `jax.vmap` over starts.

    Args:
      variables: of the game.
      key: of the seed.
      start: int32 scalar, a multiple of CHUNK.
      latents: parts of the latents that replace the drawn ones, such as {'label': (CHUNK,)}.
      inputs: {stream: fields (CHUNK, ...)} for games that translate examples.

    Returns:
      (what the game makes, the latents it was made from).
    """
    batch: dict[str, Any] = dict(inputs or {})
    drawn = None
    if self.game.latents is not None:
      drawn = latents_lib.draw(self.game.latents, key, CHUNK, start=start)
      drawn = {**drawn, **latents} if latents else drawn
      batch['latents'] = drawn
    noise = jax.random.fold_in(jax.random.fold_in(key, NOISE), start)
    return self.game.apply(variables, batch, method='sample', rngs={'noise': noise}), drawn

  def check_label(self, label: int | None) -> None:
    """Raises a UserError unless this class can be asked for."""
    latents = self.game.latents
    if label is not None and not (isinstance(latents, Mapping) and 'label' in latents):
      raise UserError(f'label={label} asked of {type(self.game).__name__}, which is not conditional: leave it out')
    if label is not None and not 0 <= label < latents['label'].classes:
      raise UserError(f'label={label} is out of range: choose 0 to {latents["label"].classes - 1}')

  def __call__(
    self, variables: Mapping[str, Any], count: int, seed: int, label: int | None = None, inputs: Any = None
  ) -> Any:
    """Samples 0 ... count - 1 of a seed.

    Args:
      variables: of the game, from `game.game_variables`.
      count: how many.
      seed: of the latents.
      label: the class to ask for, if the latents have a 'label'.
      inputs: {stream: fields (count, ...)} for games that translate examples; None for games of latents alone.

    Returns:
      (count, ...) float32 numpy, or a dict of such if the game makes several things.
    """
    self.check_label(label)
    latents = None if label is None else {'label': jnp.full((CHUNK,), label, jnp.int32)}
    chunks = []
    variables = jax.device_put(variables, jax.local_devices()[0])
    for name, fields in (inputs or {}).items():
      if any(len(value) < count for value in fields.values()):
        raise UserError(f'{count} samples asked for, but inputs[{name!r}] has fewer examples: give as many')
    for start in range(0, count, CHUNK):
      given = {
        name: {k: _padded(np.asarray(v)[start : start + CHUNK]) for k, v in fields.items()}
        for name, fields in (inputs or {}).items()
      }
      samples, _ = self._block(variables, jax.random.key(seed), start, latents, given)
      chunks.append(jax.device_get(samples))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *chunks)


def _padded(rows: np.ndarray) -> np.ndarray:
  return rows[np.arange(CHUNK) % len(rows)]


def standing_statistics(
  apply: Callable[..., Any], variables: Mapping[str, Any], inputs: Sequence[Any], *, momentum: float = 0.9
) -> dict[str, Any]:
  """Batch statistics averaged over several batches of the weights as they are, in place of running ones.

  Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, appendix D.

  Args:
    apply: (variables, batch, mutable=['batch_stats']) -> (out, written), a network in training mode.
    variables: with 'batch_stats'.
    inputs: batches, such as latents.
    momentum: that of the network's batch norm: what is written is momentum * old + (1 - momentum) * batch's.

  Returns:
    The variables with the averages as their 'batch_stats'.
  """
  old = variables['batch_stats']
  total = None
  for batch in inputs:
    _, written = apply(variables, batch, mutable=['batch_stats'])
    of_batch = lambda new, old: (new - momentum * old) / (1 - momentum)
    stats = jax.tree.map(of_batch, written['batch_stats'], old)
    total = stats if total is None else jax.tree.map(jnp.add, total, stats)
  return {**variables, 'batch_stats': jax.tree.map(lambda x: x / len(inputs), total)}


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
    say = lambda line: print(line, file=sys.stderr)
    found = checkpoints.newest(abstract_of, say, step)
    checkpoints.close()
    if found is None:
      raise UserError(f'{workdir} has no checkpoint yet: train it on with python -m gan_jax.main')
    place, state = found
    if not population.alone:
      member, why = population_lib.choose(workdir, config, place.step, member)
      if why:
        say(why)
    self.member, chosen = member, population.members[member or 0]
    self.config, self.state = chosen.config, chosen.of(state)
    self.stage = chosen.stages[place.stage]
    self.step = place.step

  def variables(self, ema: bool = True) -> dict[str, Any]:
    """The game's variables, with running averages where they are kept."""
    clock = experiment.clock_at(self.stage, self.step)
    return game_lib.game_variables(self.stage.game, self.state, ema=ema, clock=clock)

  def sample(self, count: int, *, seed: int = 0, label: int | None = None, inputs: Any = None, ema: bool = True) -> Any:
    """Samples 0 ... count - 1 of a seed, (count, ...) float32 numpy in the range of the run's data.

    Args:
      count: how many.
      seed: sample i depends on (seed, i), not on count.
      label: the class to ask a conditional game for; None for classes at random.
      inputs: {stream: fields} for games that translate examples.
      ema: use running averages where the run keeps them.
    """
    return self._sampler(self.variables(ema), count, seed, label, inputs)

  @functools.cached_property
  def _sampler(self) -> Sampler:
    return Sampler(self.stage.game)

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
  flags.DEFINE_string('workdir', None, 'The run to sample from.', flag_values=values)
  flags.DEFINE_integer('count', 64, 'How many samples.', lower_bound=1, flag_values=values)
  flags.DEFINE_integer('seed', 0, 'Seed of the latents.', flag_values=values)
  flags.DEFINE_integer('label', None, 'Class to ask a conditional game for.', flag_values=values)
  flags.DEFINE_integer('step', None, 'Checkpoint; the latest by default.', flag_values=values)
  flags.DEFINE_integer('member', None, 'Of a population; the best by default.', flag_values=values)
  flags.DEFINE_bool('ema', True, 'Use running averages where the run keeps them.', flag_values=values)
  flags.DEFINE_string('out', 'samples.png', 'A .png picture, or .npz arrays.', flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'workdir')
  if not values.out.endswith(('.png', '.npz')):
    raise UserError(f'--out={values.out} must end in .png or .npz')
  run = load(values.workdir, values.step, values.member)
  if run.stage.game.latents is None:
    raise UserError('this game translates examples: sample it in Python with run.sample(count, inputs=...)')
  samples = named(run.sample(values.count, seed=values.seed, label=values.label, ema=values.ema))
  out = epath.Path(values.out)
  if out.suffix == '.npz':
    with command.writable(out), out.open('wb') as file:
      arrays: dict[str, Any] = {name or 'samples': array for name, array in samples.items()}
      np.savez_compressed(file, **arrays)
    print(f'{values.count} samples of step {run.step}: {out}')
    return
  for name, array in samples.items():
    picture = pictures.picture_of(array, run.range)
    if picture is None:
      raise UserError(f'samples of shape {array.shape[1:]} have no picture: use --out=samples.npz')
    path = out if not name else out.with_name(f'{out.stem}_{name}.png')
    with command.writable(path):
      pictures.write(picture, path)
    print(f'{values.count} samples of step {run.step}: {path}')


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
