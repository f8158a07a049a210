"""The only training loop: stages, data, step, log, sample, checkpoint, resume."""

import math
import time
from typing import Any

import jax
import ml_collections
import numpy as np
from etils import epath

from gan_jax import checkpoint, command, experiment, parallel, pictures, summary
from gan_jax import game as game_lib
from gan_jax.data.streams import Feed
from gan_jax.errors import UserError
from gan_jax.sample import Sampler, named
from gan_jax.writers import Writer, duration


def run(config: ml_collections.ConfigDict, workdir: epath.PathLike, *, silent: bool = False) -> game_lib.GameState:
  """Trains what a config describes, from the start or from the workdir's last checkpoint.

  Args:
    config: from `config.load`.
    workdir: a folder for config.json, metrics.jsonl, tensorboard/, samples/ and checkpoints/.
    silent: print nothing.

  Returns:
    The final state.

  Raises:
    UserError: settings that do not fit, data that are not there, a loss that is not finite.
  """
  workdir = epath.Path(workdir)
  stages = experiment.stages_of(config)
  mesh = parallel.make_mesh(config.devices or None)
  key = parallel.replicate(mesh)(jax.random.key(config.seed))
  for stage in stages:  # before anything is written: sizes that do not divide, networks that do not fit
    experiment.make_step(stage, mesh)
    experiment.abstract_state(stages, stage.number, key)
  place = _open(workdir, config)
  with command.writable(workdir):
    checkpoints = checkpoint.Checkpoints(workdir, config.keep)
  state, number, position = _start(checkpoints, stages, mesh, key, place)
  writer = Writer(workdir, place.step if place else 0, stages[-1].last_step, silent=silent)
  if place:
    writer.say(f'resuming at step {place.step} from {workdir}')
  started = time.perf_counter()
  try:
    for stage in stages[number:]:
      if state is None or stage.number != number:
        begin = jax.jit(
          lambda state, key, stage=stage: experiment.enter(stage, state, key), out_shardings=parallel.replicated(mesh)
        )
        state = begin(state, key)
      state, position = _train_stage(stages, stage, mesh, state, position, key, config, workdir, checkpoints, writer)
    checkpoints.close()
    writer.say(f'finished {stages[-1].last_step} steps in {duration(time.perf_counter() - started)}')
  finally:
    writer.close()
  if not silent:
    print(_closing(workdir))
  return state


def _open(workdir: epath.Path, config: ml_collections.ConfigDict) -> checkpoint.Place | None:
  """Makes the workdir, or finds where the run in it stands."""
  with command.writable(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    if (workdir / 'config.json').exists():
      checkpoint.check_resumable(workdir, config)
    checkpoint.write_config(workdir, config)
    (workdir / 'samples').mkdir(exist_ok=True)
    checkpoints = checkpoint.Checkpoints(workdir)
  place = checkpoints.place()
  checkpoints.close()
  return place


def _start(checkpoints, stages, mesh, key, place) -> tuple[Any, int, dict[str, int]]:
  """(state or None, number of its stage, data position)."""
  if place is None:
    return None, 0, {}
  abstract = experiment.abstract_state(stages, place.stage, key)
  whole = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh))
  return checkpoints.restore(place, jax.tree.map(whole, abstract)), place.stage, place.position


def _train_stage(stages, stage, mesh, state, position, key, config, workdir, checkpoints, writer):
  first = int(state.step)
  if first >= stage.last_step:
    return state, position
  feed = Feed(
    stage.streams,
    stage.moves,
    config.seed,
    parallel.place(mesh),
    parallel.replicate(mesh),
    {**dict.fromkeys(stage.streams, 0), **position},
  )
  for line in summary.describe(stages, stage.number, mesh, feed.sizes).splitlines():
    writer.say(line)
  writer.say('compiling ...')
  step = parallel.compile_step(experiment.make_step(stage, mesh), mesh)
  sampler = Sampler(stage.game)
  pending: list[tuple[int, Any]] = []
  since = time.perf_counter()

  def due(every: int, n: int) -> bool:
    return n == stage.last_step or bool(every and n % every == 0)

  for n in range(first + 1, stage.last_step + 1):
    state, metrics = step(state, next(feed), key)
    pending.append((n, metrics))
    if n == first + 1:
      jax.block_until_ready(metrics)
      writer.say(f'first step after {duration(time.perf_counter() - since)}')
      since, timed_from = time.perf_counter(), n
    if due(config.log_every, n):
      values = _collect(pending)
      pending = []
      now = time.perf_counter()
      speed = (n - timed_from) / max(now - since, 1e-9) if n > timed_from else math.nan
      if not math.isnan(speed):
        writer.metrics(n, values, {'steps_per_second': speed, 'images_per_second': speed * stage.images[1]})
      since, timed_from = time.perf_counter(), n
    if due(config.sample_every, n):
      _write_samples(stage, sampler, state, config, workdir, writer, n)
    if due(config.checkpoint_every, n):
      if pending:
        _collect(pending)
      checkpoints.save(state, checkpoint.Place(n, stage.number, {**position, **feed.position}))
  return state, {**position, **feed.position}


def _collect(pending: list[tuple[int, Any]]) -> dict[str, float]:
  """The mean of each metric over the steps that had it.

  Raises:
    UserError: one is not finite; names the first step and metric.
  """
  rows = [(n, game_lib.means(metrics)) for n, metrics in jax.device_get(pending)]
  for n, row in rows:
    for name, value in row.items():
      if not math.isfinite(value):
        raise UserError(
          f'{name} is {value} at step {n}: training stopped, the last checkpoint is from before; lower '
          'config.optimizers.PLAYER.learning_rate or change the loss'
        )
  names = dict.fromkeys(name for _, row in rows for name in row)
  return {name: float(np.mean([row[name] for _, row in rows if name in row])) for name in names}


def _write_samples(stage, sampler, state, config, workdir, writer, n) -> None:
  inputs = None
  if stage.game.latents is None:
    inputs = {name: _first_examples(stream, config.samples) for name, stream in stage.streams.items()}
  variables = jax.device_get(game_lib.game_variables(state, ema=True))
  samples = named(sampler(variables, config.samples, config.seed, inputs=inputs))
  stream = next(iter(stage.streams.values()))
  for name, array in samples.items():
    real = _first_examples(stream, 1000)['image'] if array.ndim == 2 else None
    picture = pictures.picture_of(array, stream.range, real)
    if picture is not None:
      stem = f'step_{n:07d}' + (f'_{name}' if name else '')
      pictures.write(picture, workdir / 'samples' / f'{stem}.png')
      writer.picture(name or 'samples', n, picture)


def _first_examples(stream, count: int) -> dict[str, np.ndarray]:
  from gan_jax.data.transforms import to_float

  source = stream.open()
  rows = [source[i] for i in range(min(count, len(source)))]
  fields = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
  return jax.device_get(to_float(fields, stream.range, False, jax.random.key(0)))


def _closing(workdir: epath.Path) -> str:
  return '\n'.join(
    [
      f'run       {workdir}',
      f'samples   {workdir}/samples/',
      f'metrics   {workdir}/metrics.jsonl, tensorboard --logdir {workdir}/tensorboard',
      f'next      python -m gan_jax.sample --workdir {workdir} --count 100 --seed 1 --out {workdir}/more.png',
      f"          or in Python: gan_jax.load('{workdir}').sample(16, seed=0)",
    ]
  )
