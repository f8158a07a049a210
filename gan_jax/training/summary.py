"""The summary that a run prints before it starts: devices, networks, data, examples per move and step, cost."""

import json
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from jax.sharding import Mesh

from gan_jax import core, runs
from gan_jax.distributed import parallel
from gan_jax.nets.layers.conv import short_formulation
from gan_jax.runs.views import Experiment, View


def count(tree: Any) -> int:
  """The number of entries in a tree of arrays."""
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def networks(stage: runs.Stage, state: Any) -> list[str]:
  """One line per network of the game: player, class, number of parameters."""
  lines = []
  for player in core.players_of(stage.game):
    for child, tree in sorted(state.players[player].params.items()):
      kind = type(core.network(stage.game, child))
      title = '' if kind is type(None) else f'{kind.__module__.rsplit(".", 1)[-1]}.{kind.__qualname__}'
      frozen = ', frozen' if player in core.frozen_players(stage.game) else ''
      lines.append(f'  {child:<15} {title:<28} {count(tree):>12,} parameters{frozen}')
  return lines


def schedule(stage: runs.Stage) -> list[str]:
  """One line per turn: its movers, its loss, its moves and their number of examples."""
  lines = []
  for turn in stage.game.turns:
    read = core.turn_streams(turn, stage.streams)
    sizes = [f'{stage.streams[name].batch_size} {name}' for name in read]
    if stage.game.latents is not None:
      sizes.append(f'{stage.batch_size} latents')
    times = f'{turn.repeat} moves' if turn.repeat > 1 else '1 move'
    condition = ', the batch of the move before' if turn.share == 'batch' else ''
    condition += ', when its condition holds' if turn.when else ''
    lines.append(
      f'  {" + ".join(turn.movers) or "nobody":<15} {turn.title:<28} {times} of {" + ".join(sizes)}{condition}'
    )
  return lines


def describe(experiment: Experiment, number: int, mesh: Mesh, sizes: Mapping[str, int]) -> str:
  """The summary of one stage.

  Args:
    experiment: the games of the run.
    number: the number of the stage.
    mesh: the devices.
    sizes: {stream: examples in the set}, for sets that are open.
  """
  stages = experiment.stages
  stage = stages[number]
  state = experiment.of_first[number]
  device = mesh.devices.flat[0]
  lines = [f'devices   {mesh.size} x {device.device_kind} ({device.platform})']
  if len(stages) > 1:
    lines.append(f'stage     {number + 1} of {len(stages)}, steps {stage.first_step} to {stage.last_step}')
  lines += [f'game      {type(stage.game).__name__}, {stage.dtype}', *networks(stage, state)]
  for name, stream in stage.streams.items():
    shape = 'x'.join(map(str, stream.fields(1)[stream.main].shape[1:])) or 'single numbers'
    examples = f'{sizes[name]:,} examples' if name in sizes else 'not opened'
    labels = f', {stream.classes} classes' if stream.classes else ''
    lines.append(f'data      {name}: {stream.name} {stream.split}, {examples} of {shape}{labels}')
  drawn = [f'{moves * (stage.streams[name].batch_size or 0)} {name}' for name, moves in stage.moves.items()]
  lines += [f'step      {", ".join(drawn)}', *schedule(stage), *experiment.describe()]
  return '\n'.join(lines)


def flops(experiment: Experiment, number: int) -> float:
  """The flops of one step of all games, counted before the compiler optimizes the program.

  Convolutions count as on an accelerator. All microbatches count. A loop inside a network counts once.
  """
  stage, mesh = experiment.stages[number], parallel.one_device()
  state = experiment.of_first[number]
  # The body of a loop counts only once, so the microbatches are made one.
  step = runs.make_step(stage._replace(accumulate=1), mesh)
  with short_formulation():
    lowered = jax.jit(step).lower(state, runs.abstract_feed(stage, mesh), jax.random.key(0))
  analysis = lowered.cost_analysis() or {}
  return len(experiment.views) * float(analysis.get('flops', float('nan')))


def cost(experiment: Experiment, number: int, mesh: Mesh, *, compiled: bool = True) -> str:
  """Flops and memory of one step per device; needs no data.

  Args:
    experiment: of the run.
    number: of the stage.
    mesh: the devices.
    compiled: compile the step, which may take minutes, and tell temporaries and what the devices exchange too.
  """
  state = experiment.abstract_state(number)
  placed = runs.state_sharding(experiment.stages[number], mesh, state)
  place = lambda s, sharding: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding)
  state = jax.tree.map(place, state, placed)
  step = experiment.make_step(number, mesh)  # which looks at the batch sizes
  feed = experiment.abstract_feed(number, mesh)
  lines = [f'flops     {flops(experiment, number) / mesh.size:.4g} per step and device']
  if not compiled:
    of_one = lambda s: math.prod(s.sharding.shard_shape(s.shape)) * jnp.dtype(s.dtype).itemsize
    size = sum(of_one(s) for s in jax.tree.leaves((state, feed)))
    lines.append(f'memory    {size / 2**20:,.0f} MiB per device of state and batch; --compile tells the rest')
    return '\n'.join(lines)
  program = parallel.compile_step(step, mesh, placed).lower(state, feed, experiment.keys).compile()
  memory = program.memory_analysis()
  found = parallel.collectives(program)
  for kind in dict.fromkeys(one.kind for one in found):
    sizes = [one.size for one in found if one.kind == kind]
    lines.append(f'exchange  {len(sizes)} x {kind}, {sum(sizes) / 2**20:,.2f} MiB per step and device')
  if memory is not None:
    parts = {
      'state and batch': memory.argument_size_in_bytes,
      'temporaries': memory.temp_size_in_bytes,
      'outputs other than the donated state': max(memory.output_size_in_bytes - memory.alias_size_in_bytes, 0),
    }
    listed = ', '.join(f'{name} {size / 2**20:,.0f}' for name, size in parts.items())
    lines.append(f'memory    {sum(parts.values()) / 2**20:,.0f} MiB per device ({listed})')
  return '\n'.join(lines)


def evaluated(workdir: epath.Path, step: int, view: View) -> bool:
  """Whether a game of a run has figures of an evaluation of the step, in its metrics or of the command."""
  file, figures = (epath.Path(workdir) / name for name in ('metrics.jsonl', f'evaluation{view.suffix}.json'))
  if figures.exists() and json.loads(figures.read_text())['step'] == step:
    return True
  rows = [json.loads(line) for line in file.read_text().splitlines() if line.endswith('}')] if file.exists() else []
  return any(name.startswith('eval_') for row in rows if row['step'] == step for name in view.own(row))


def closing(workdir: epath.Path, *, done: bool, seeded: bool = True) -> str:
  """What a run says at its end: where things are, and what to do next.

  Args:
    workdir: of the run.
    done: whether it is at its last step.
    seeded: whether samples of another seed are others, as of games that draw latents.
  """
  folder = epath.Path(workdir) / 'samples'
  drawn = sorted(folder.iterdir()) if folder.is_dir() else []
  # What has no picture is written as arrays.
  suffix = 'npz' if folder.is_dir() and not drawn else 'png'
  lines = [
    f'run       {workdir}',
    f'samples   {drawn[-1] if drawn else folder}',
    f'metrics   {workdir}/metrics.jsonl, tensorboard --logdir {workdir}/tensorboard',
  ]
  if done:
    seed = ' --seed 1' if seeded else ''
    lines += [
      f'next      python -m gan_jax.sample --workdir {workdir} --count 100{seed} --out {workdir}/more.{suffix}',
      f"          or in Python: gan_jax.load('{workdir}').sample(16, seed=0)",
    ]
  else:
    lines.append(f'next      the same command with --workdir {workdir} goes on from here')
  return '\n'.join(lines)
