"""The only training loop: stages, data, step, log, sample, checkpoint, resume."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from etils import epath
from flax.errors import FlaxError

from gan_jax import (
  best_member,
  checkpoint,
  command,
  diagnostics,
  experiment,
  interrupt,
  member_metrics,
  memory,
  parallel,
  pictures,
  processes,
  resume,
  summary,
)
from gan_jax import game as game_lib
from gan_jax import moves as moves_lib
from gan_jax.data.streams import Feed
from gan_jax.errors import UserError, one_of
from gan_jax.evaluation.evaluator import Evaluator, check
from gan_jax.evaluation.options import options_of
from gan_jax.population import population_of
from gan_jax.profiling import Profile
from gan_jax.sample import Sampler, named
from gan_jax.seeds import key_of
from gan_jax.writers import NoWriter, Writer, duration, write_text

#: Steps whose metrics may wait on the device, whatever config.log_every.
MOST_PENDING = 1000


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
    interrupt.Stopped: a signal, when the step is finished and saved; unless it is caught, the program ends.
  """
  workdir = epath.Path(workdir)
  silent = silent or not processes.first()
  population = population_of(config)
  stages = population.stages
  options = options_of(config.eval)
  mesh = parallel.make_mesh(config.devices or None)
  key, keys = key_of(config.seed), parallel.replicate(mesh)(population.keys)
  for stage in stages:  # before anything is written: sizes that do not divide, networks that do not fit
    experiment.make_step(stage, mesh)
    experiment.abstract_state(stages, stage.number, key)
    _check_sampling(stages, stage, key)
    if options:
      check(stage, options)
  population.check(mesh)
  if config.keep_best.removeprefix('-').startswith('eval_') and not options:
    raise UserError(
      f'config.keep_best={config.keep_best!r} needs evaluations: set config.eval.every to a number of steps'
    )
  for stream in stages[0].streams.values():
    stream.open()
  resume.check_config(config)
  with command.writable(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = checkpoint.Checkpoints(workdir, config.keep, config.keep_best, write=True)
    if checkpoints.steps():
      resume.check_resumable(workdir, config)
    (workdir / 'samples').mkdir(exist_ok=True)
  processes.together('have looked at the workdir')
  say = (lambda line: None) if silent else (lambda line: print(line, flush=True))
  place, state = resume.start(config, checkpoints, population, mesh, keys, say)
  writer: Writer | NoWriter = NoWriter()
  if processes.first():
    with command.writable(workdir):
      resume.write_config(workdir, config)
      writer = Writer(workdir, place.step, stages[-1].last_step, silent=silent)
  profile = Profile(config.profile if processes.first() else 0, workdir / 'profile', writer.say)
  number, position = place.stage, place.position
  started = time.perf_counter()
  try:
    with interrupt.Watch() as watch:
      agreement = processes.Agreement(watch)
      for stage in stages[number:]:
        if stage.number != number:
          state = resume.enter(population, stage.number, state, mesh, keys)
        state, position = _train_stage(
          population, stage, mesh, state, position, keys, options, workdir, checkpoints, writer, agreement, profile
        )
        if agreement.stopped:
          break
    step = population.step_of(state)
    checkpoints.close()
    with command.writable(workdir):
      place = checkpoint.Place(step, stage.number, position)
      ended = list(best_member.export(population, workdir, state, place))
    took = duration(time.perf_counter() - started)
    if agreement.stopped:
      writer.say(f'{agreement.stopped}: stopped after step {step} of {stages[-1].last_step} ({took}) and saved')
    else:
      writer.say(f'finished {step} steps in {took}')
  finally:
    with contextlib.suppress(UserError):  # the one that is being raised says more
      checkpoints.close()
    profile.close()
    writer.close()
  if not silent:
    print('\n'.join([*ended, _closing(workdir, done=step == stages[-1].last_step)]))
  if agreement.stopped:
    raise interrupt.Stopped(agreement.stopped)
  return state


def _check_sampling(stages: tuple[experiment.Stage, ...], stage: experiment.Stage, key: jax.Array) -> None:
  """Traces the sampling of a stage, so that what does not work there is known before the first step."""
  state = experiment.abstract_state(stages, stage.number, key)
  batch = experiment.example_batch(stage)
  batch = batch if stage.game.latents is None else {'latents': batch['latents']}

  def sample(state, key):
    variables = game_lib.game_variables(stage.game, state, ema=True, clock=experiment.clock_at(stage, stage.first_step))
    return stage.game.apply(variables, batch, method='sample', rngs={'noise': key})

  try:
    jax.eval_shape(sample, state, key)
  except FlaxError as error:
    detail = ' '.join(str(error).split(' (http')[0].split())
    raise UserError(
      f'{type(stage.game).__name__}.sample does not run: {detail}; it is given '
      "the batch, the clock and make_rng('noise'), networks in eval mode"
    ) from error


def _train_stage(
  population, stage, mesh, state, position, keys, options, workdir, checkpoints, writer, agreement, profile
):
  first = population.step_of(state)
  if first >= stage.last_step:
    return state, position
  feed = Feed(
    stage.streams,
    stage.moves,
    population.feed_seed,
    parallel.place(mesh),
    parallel.replicate(mesh),
    {**dict.fromkeys(stage.streams, 0), **position},
    (jax.process_index(), jax.process_count()),
  )
  config, stages, members = population.config, population.stages, population.members
  described = summary.describe(stages, stage.number, mesh, feed.sizes).splitlines()
  for line in [*described, *population.describe(), *feed.notes]:
    writer.say(line)
  evaluator = lambda stage: Evaluator(stage, options, mesh, writer.say)
  evaluators = population.each(stage.number, evaluator) if options else []
  writer.say('compiling ...')
  programs: dict[int, Any] = {}
  samplers = population.each(stage.number, lambda stage: Sampler(stage.game))
  pending: list[tuple[int, int, Any]] = []
  rows: list[tuple[int, dict[str, float]]] = []
  periods = (config.log_every, config.sample_every, config.checkpoint_every, config.eval.every if evaluators else 0)
  often = min([stage.last_step - first, *(every for every in periods if every)])
  if config.steps_per_call > often:
    writer.say(
      f'note: config.steps_per_call={config.steps_per_call} is more than the {often} steps between what is due (log '
      'lines, pictures, checkpoints, evaluations, the end), so every call is one step'
    )
  watched = [diagnostics.START for _ in members]
  since = time.perf_counter()

  def due(every: int, n: int) -> bool:
    return n == stage.last_step or bool(every and n % every == 0)

  n = timed_from = first
  while n < stage.last_step:
    count = _steps_of_call(n, config.steps_per_call, stage.last_step, periods)
    new = count not in programs
    if new:
      step = population.make_step(stage.number, mesh, count)
      programs[count] = parallel.compile_step(step, mesh, experiment.state_sharding(stage, mesh, state))
    given = next(feed) if count == 1 else feed.take(count)
    state, metrics = profile.call(count, programs[count], state, given, keys)
    pending.append((n + 1, count, metrics))
    n += count
    if new:  # nothing before it is timed, for it compiled
      jax.block_until_ready(metrics)
      memory.release()
      if n == first + count:
        writer.say(f'first {"step" if count == 1 else f"{count} steps"} after {duration(time.perf_counter() - since)}')
      since, timed_from = time.perf_counter(), n
    if n - pending[0][0] + 1 >= MOST_PENDING:
      rows += _fetched(pending, checkpoints.steps())
      pending = []
    evaluating = bool(evaluators) and due(config.eval.every, n)
    stopping = agreement.after(n)  # looked at once: a signal after this is for the next step
    # Every evaluation has its checkpoint, so that the best can be kept.
    saving = due(config.checkpoint_every, n) or stopping or evaluating
    # A row at every checkpoint, so that a resumed run writes the rows of one that was not stopped.
    sampling = due(config.sample_every, n)
    logging = due(config.log_every, n) or saving or sampling
    if logging:
      values = _averages([*rows, *_fetched(pending, checkpoints.steps())])
      pending, rows = [], []
      now = time.perf_counter()
      speed = (n - timed_from) / max(now - since, 1e-9) if n > timed_from else math.nan
    spreads: list[float | None] = [None for _ in members]
    if sampling:
      spreads = [
        _write_samples(member, stage.number, sampler, member.of(state), workdir, writer, mesh, n)
        for member, sampler in zip(members, samplers, strict=True)
      ]
    if evaluating:
      try:
        for member, evaluator in zip(members, evaluators, strict=True):
          values |= member.named(_evaluated(member, evaluator, member.of(state), n, workdir))
      except UserError:  # the weights are worth keeping all the same
        checkpoints.save(state, checkpoint.Place(n, stage.number, {**position, **feed.position}), {})
        raise
    if logging:
      for member, spread in zip(members, spreads, strict=True):
        values |= {} if spread is None else member.named({'sample_diversity': spread})
      values = population.statistics(values)
      rates = {'steps_per_second': speed, 'images_per_second': speed * stage.images[1] * len(members)}
      writer.metrics(n, values, {} if math.isnan(speed) else rates)
      for i, (member, spread) in enumerate(zip(members, spreads, strict=True)):
        row = member.row(values)
        watched[i], warnings = diagnostics.watch(watched[i], n - stage.first_step, row, diversity=spread)
        for warning in warnings:
          writer.say(f'warning: {member.title}{warning}')
      since, timed_from = time.perf_counter(), n
    if saving:
      # Figures of different stages, of other sizes perhaps, do not compete for the best.
      kept = values if stage is stages[-1] else {}
      checkpoints.save(state, checkpoint.Place(n, stage.number, {**position, **feed.position}), kept)
    if stopping:
      break
  feed.close()
  return state, {**position, **feed.position}


def _evaluated(member, evaluator, state, n: int, workdir: epath.Path) -> dict[str, float]:
  """The figures of a step as metrics, eval_NAME; their protocols are in evaluation.json."""
  found = evaluator(state, n)
  if processes.first():
    with command.writable(workdir):
      write_text(workdir / f'evaluation{member.suffix}.json', found.to_json())
  values = {f'eval_{name}': value for name, value in found.values.items()}
  best = member.config.keep_best.removeprefix('-')
  if best.startswith('eval_') and best not in values:
    raise one_of('metric in config.keep_best', best, values)
  return {name: value for name, value in values.items() if math.isfinite(value)}


def _steps_of_call(n: int, most: int, last: int, periods: Sequence[int]) -> int:
  """How many steps the next call makes after step n: `most`, or 1 if so many would pass over a step that is due.

  Two programs at most are compiled, and whatever is due comes exactly after its step.

  Args:
    n: steps finished.
    most: config.steps_per_call.
    last: step of the stage.
    periods: steps between what is due; 0 for never.
  """
  left = min([last - n, *(every - n % every for every in periods if every)])
  return most if most <= left else 1


def _fetched(pending: list[tuple[int, int, Any]], saved: list[int]) -> list[tuple[int, dict[str, float]]]:
  """(step, its metrics) for each step of the calls, (first step, number of steps, metrics), that are pending.

  Raises:
    UserError: one is not finite; names the first step and metric.
  """
  rows: list[tuple[int, dict[str, float]]] = []
  for n, count, metrics in jax.device_get(pending):
    steps = [metrics] if count == 1 else [{k: v[i] for k, v in metrics.items()} for i in range(count)]
    for i, step in enumerate(steps):
      rows.append((n + i, {}))
      for member, metrics in member_metrics.by_member(step):
        row = moves_lib.means(metrics)
        _check_finite(row, n + i, member, saved)
        rows[-1][1].update(row if member is None else {f'{name}_{member}': value for name, value in row.items()})
  return rows


def _check_finite(row: dict[str, float], n: int, member: int | None, saved: list[int]) -> None:
  # The loss says more than the norm of its gradient.
  for name, value in sorted(row.items(), key=lambda item: item[0].endswith(diagnostics.NORM)):
    if not math.isfinite(value):
      raise UserError(
        f'{name}{"" if member is None else f" of member {member}"} is {value} at step {n}: training stopped, '
        f'{f"the checkpoint of step {saved[-1]} is kept" if saved else "there is no checkpoint yet"}; lower '
        'config.optimizers.PLAYER.learning_rate or change the loss'
      )


def _averages(rows: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
  """The mean of each metric over the steps that had it."""
  names = dict.fromkeys(name for _, row in rows for name in row)
  return {name: float(np.mean([row[name] for _, row in rows if name in row])) for name in names}


def _write_samples(member, number, sampler, state, workdir, writer, mesh, n) -> float | None:
  """Writes the grid of a step; returns how diverse samples are against data, where the game makes such examples."""
  if member.stages[number].shard_state:
    state = parallel.gather(mesh)(state)
  spread = math.nan
  if processes.first():  # the others go on, and wait for it in the next step
    spread = _samples(member, number, sampler, state, workdir, writer, n)
  spread = processes.of_first(spread)
  return spread if math.isfinite(spread) else None


def _samples(member, number, sampler, state, workdir, writer, n) -> float:
  """Writes the grid of a step; returns the diversity of samples, or nan."""
  config, stage = member.config, member.stages[number]
  inputs, count = None, config.samples
  if stage.game.latents is None:
    inputs = {name: _first_examples(stream, count) for name, stream in stage.streams.items()}
    count = min(len(value) for fields in inputs.values() for value in fields.values())
  clock = experiment.clock_at(stage, n)
  draw = lambda ema: sampler(
    jax.device_get(game_lib.game_variables(stage.game, state, ema=ema, clock=clock)), count, config.seed, inputs=inputs
  )
  samples = named(draw(True))
  stream = next(iter(stage.streams.values()))
  for name, array in samples.items():
    real = _first_examples(stream, 1000)['image'] if array.ndim == 2 else None
    picture = pictures.picture_of(array, stream.range, real if real is not None and real.ndim == 2 else None)
    if picture is not None:
      stem = f'step_{n:07d}' + (f'_{name}' if name else '') + member.suffix
      pictures.write(picture, workdir / 'samples' / f'{stem}.png')
      writer.picture((name or 'samples') + member.suffix, n, picture)
  data = _first_examples(stream, 4 * count, spread=True)['image']
  # Running averages lag behind: a collapse shows in the weights as they are first.
  averaged = any(player.ema is not None for player in state.players.values())
  latest = next(iter((named(draw(False)) if averaged else samples).values()))
  return math.nan if inputs is not None or latest.shape[1:] != data.shape[1:] else diagnostics.diversity(latest, data)


def _first_examples(stream, count: int, *, spread: bool = False) -> dict[str, np.ndarray]:
  """The first examples of a set, or as many from all over it: sets may be sorted by class."""
  source = stream.open()
  count = min(count, len(source))
  chosen = np.linspace(0, len(source) - 1, count).astype(int) if spread else range(count)
  rows = [source[int(i)] for i in chosen]
  fields = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
  return jax.device_get(dataclasses.replace(stream, flip=False).prepare(fields, jax.random.key(0)))


def _closing(workdir: epath.Path, done: bool) -> str:
  lines = [
    f'run       {workdir}',
    f'samples   {workdir}/samples/',
    f'metrics   {workdir}/metrics.jsonl, tensorboard --logdir {workdir}/tensorboard',
  ]
  if not done:
    return '\n'.join([*lines, f'next      the same command with --workdir {workdir} goes on from here'])
  return '\n'.join(
    [
      *lines,
      f'next      python -m gan_jax.sample --workdir {workdir} --count 100 --seed 1 --out {workdir}/more.png',
      f"          or in Python: gan_jax.load('{workdir}').sample(16, seed=0)",
    ]
  )
