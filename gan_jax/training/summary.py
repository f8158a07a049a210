"""What a run is, in a few lines, before it starts: devices, networks, data, examples per move and step, cost."""

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from gan_jax.core import game as game_lib
from gan_jax.distributed import parallel
from gan_jax.nets.layers.conv import formulation
from gan_jax.runs import experiment
from gan_jax.runs.population import Population


def count(tree: Any) -> int:
  """The number of entries in a tree of arrays."""
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def networks(stage: experiment.Stage, state: Any) -> list[str]:
  """One line per network of the game: player, class, number of parameters."""
  lines = []
  for player in game_lib.players_of(stage.game):
    for child, tree in sorted(state.players[player].params.items()):
      kind = type(game_lib.network(stage.game, child))
      title = '' if kind is type(None) else f'{kind.__module__.rsplit(".", 1)[-1]}.{kind.__qualname__}'
      frozen = ', frozen' if player in game_lib.frozen_players(stage.game) else ''
      lines.append(f'  {child:<15} {title:<28} {count(tree):>12,} parameters{frozen}')
  return lines


def schedule(stage: experiment.Stage) -> list[str]:
  """One line per turn: who moves, on what, with how many examples."""
  lines = []
  for turn in stage.game.turns:
    read = game_lib.turn_streams(turn, stage.streams)
    sizes = [f'{stage.streams[name].batch_size} {name}' for name in read]
    if stage.game.latents is not None:
      sizes.append(f'{stage.batch_size} latents')
    times = f'{turn.repeat} moves' if turn.repeat > 1 else '1 move'
    condition = ', when its condition holds' if turn.when else ''
    lines.append(f'  {" + ".join(turn.movers):<15} {turn.title:<28} {times} of {" + ".join(sizes)}{condition}')
  return lines


def describe(stages: tuple[experiment.Stage, ...], number: int, mesh: Mesh, sizes: Mapping[str, int]) -> str:
  """The summary of one stage.

  Args:
    stages: of the run.
    number: of the stage.
    mesh: the devices.
    sizes: {stream: examples in the set}, where known.
  """
  stage = stages[number]
  state = experiment.abstract_state(stages, number, jax.random.key(0))
  device = mesh.devices.flat[0]
  lines = [f'devices   {mesh.size} x {device.device_kind} ({device.platform})']
  if len(stages) > 1:
    lines.append(f'stage     {number + 1} of {len(stages)}, steps {stage.first_step} to {stage.last_step}')
  lines += [f'game      {type(stage.game).__name__}, {stage.dtype}', *networks(stage, state)]
  for name, stream in stage.streams.items():
    shape = 'x'.join(map(str, stream.fields(1)['image'].shape[1:]))
    examples = f'{sizes[name]:,} examples' if name in sizes else 'not opened'
    labels = f', {stream.classes} classes' if stream.classes else ''
    lines.append(f'data      {name}: {stream.name} {stream.split}, {examples} of {shape}{labels}')
  drawn = [f'{moves * (stage.streams[name].batch_size or 0)} {name}' for name, moves in stage.moves.items()]
  lines += [f'step      {", ".join(drawn)}', *schedule(stage)]
  return '\n'.join(lines)


def flops(population: Population, number: int) -> float:
  """Of one step of all members: of the networks as they are written, before a compiler.

  Convolutions are counted as accelerators compute them, all microbatches together, a loop inside a network once.
  """
  stage, mesh = population.stages[number], parallel.make_mesh(1)
  state = experiment.abstract_state(population.stages, number, jax.random.key(0))
  # A loop's body counts once, so that the microbatches are counted as one.
  step = experiment.make_step(stage._replace(accumulate=1), mesh)
  with formulation('xla'):
    lowered = jax.jit(step).lower(state, experiment.abstract_feed(stage, mesh), jax.random.key(0))
  analysis = lowered.cost_analysis() or {}
  return len(population.members) * float(analysis.get('flops', float('nan')))


def cost(population: Population, number: int, mesh: Mesh) -> str:
  """Flops and memory of one step per device; compiles, needs no data."""
  state = population.abstract_state(number)
  placed = experiment.state_sharding(population.stages[number], mesh, state)
  place = lambda s, sharding: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding)
  state = jax.tree.map(place, state, placed)
  step = parallel.compile_step(population.make_step(number, mesh), mesh, placed)
  compiled = step.lower(state, population.abstract_feed(number, mesh), population.keys).compile()
  memory = compiled.memory_analysis()
  found = parallel.collectives(compiled)
  lines = [f'flops     {flops(population, number) / mesh.size:.4g} per step and device']
  for kind in dict.fromkeys(one.kind for one in found):
    sizes = [one.size for one in found if one.kind == kind]
    lines.append(f'exchange  {len(sizes)} x {kind}, {sum(sizes) / 2**20:,.2f} MiB per step and device')
  if memory is not None:
    parts = {
      'state and batch': memory.argument_size_in_bytes,
      'temporaries': memory.temp_size_in_bytes,
      'outputs beside the donated state': max(memory.output_size_in_bytes - memory.alias_size_in_bytes, 0),
    }
    listed = ', '.join(f'{name} {size / 2**20:,.0f}' for name, size in parts.items())
    lines.append(f'memory    {sum(parts.values()) / 2**20:,.0f} MiB per device ({listed})')
  return '\n'.join(lines)
