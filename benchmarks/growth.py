"""How the cost of a DCGAN step grows: with devices, batch, resolution, moves and discriminators. Nothing is run.

    python -m benchmarks.growth [--small] [--work biggan128 ...]

The step is compiled for up to 8 simulated CPU devices with XLA's own convolutions, and XLA's analysis of the compiled
program is printed per device: GFLOP of a step, MiB of arguments (the state) and of temporaries. Networks of a higher
resolution have more layers and the same width at 4x4. With --work, a step of that work of `benchmarks.run` instead, in
bfloat16 and at its batch, with the bytes that it reads and writes.
"""

import argparse
import pathlib
import tempfile

import jax

from benchmarks.run import examples
from benchmarks.works import WORKS
from benchmarks.works import config as work_config
from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.distributed import parallel
from gan_jax.nets.layers.conv import formulation


def settings(*, batch: int = 64, size: int = 32, width: int = 64, moves: int = 1, discriminators: int = 0):
  """A DCGAN's config; with `discriminators`, that many of them."""
  doublings = (size // 4).bit_length() - 1
  channels = tuple(width * 2**i for i in range(doublings))
  discriminator = dict(name='dcgan.Discriminator', channels=channels, kernel=4)
  common = dict(generator=dict(name='dcgan.Generator', channels=channels[::-1], kernel=4))
  if discriminators:
    many = tuple(dict(discriminator) for _ in range(discriminators))
    game = dict(name='benchmarks.many_discriminators.ManyDiscriminators', discriminators=many, **common)
  else:
    game = dict(
      name='standard.Standard',
      latents=dict(name='Normal', shape=(100,)),
      discriminator=discriminator,
      discriminator_steps=moves,
      **common,
    )
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  return config_lib.base(
    game=game,
    optimizers={'generator': dict(adam), 'discriminator': dict(adam)},
    data=config_lib.stream(name='digits', size=size, channels=3),
    batch_size=batch,
    steps=1,
  )


def cost(config, devices: int) -> dict[str, float]:
  """Per device: GFLOP of a step, MiB of arguments and temporaries, GiB read and written."""
  key = jax.random.key(0)
  (stage,) = runs.stages_of(config)
  mesh = parallel.make_mesh(devices)
  state = jax.eval_shape(lambda key: runs.new_state(stage, key), key)
  placed = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh)), state)
  with formulation('xla'):
    step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
    compiled = step.lower(placed, runs.abstract_feed(stage, mesh), key).compile()
  analysis = compiled.cost_analysis()
  analysis = analysis[0] if isinstance(analysis, list) else analysis
  memory = compiled.memory_analysis()
  return {
    'flops': analysis['flops'] / 1e9,
    'arguments': memory.argument_size_in_bytes / 2**20,
    'temporaries': memory.temp_size_in_bytes / 2**20,
    'accessed': analysis['bytes accessed'] / 2**30,
  }


def of_work(name: str, small: bool) -> dict[str, float]:
  """The cost of one of the works on one device."""
  work = WORKS[name]
  with tempfile.TemporaryDirectory() as folder:
    path = examples(name, pathlib.Path(folder), 16)
    described = work_config(name, path, batch=4 if small else work.batch, small=small)
    described.dtype = 'bfloat16'
    return cost(described, 1)


def main(arguments: list[str] | None = None) -> dict[str, dict[str, float]]:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--small', action='store_true', help='narrow networks, for a test of the program')
  parser.add_argument('--work', action='append', choices=[*WORKS])
  values = parser.parse_args(arguments)
  if max(jax.config.values['jax_num_cpu_devices'], 1) < 8:
    jax.config.update('jax_platforms', 'cpu')
    jax.config.update('jax_num_cpu_devices', 8)
  if values.work:
    found = {name: of_work(name, values.small) for name in values.work}
    for name, row in found.items():
      parts = ', '.join(f'{key} {value:,.1f}' for key, value in row.items())
      print(f'{name}, batch {4 if values.small else WORKS[name].batch}: {parts} (GFLOP, MiB, MiB, GiB)')
    return found
  width, batch = (4, 8) if values.small else (64, 64)
  rows = {f'{n} devices, batch {batch}': (settings(width=width, batch=batch), n) for n in (1, 2, 4, 8)}
  for factor in (2, 4):
    rows[f'batch {batch * factor}'] = (settings(width=width, batch=batch * factor), 1)
  for size in (64, 128):
    rows[f'{size}x{size}'] = (settings(width=width // 4 if size == 128 else width // 2, size=size, batch=batch), 1)
  for moves in (2, 5):
    rows[f"{moves} discriminator's moves"] = (settings(width=width, moves=moves, batch=batch), 1)
  for count in (1, 2, 4):
    rows[f'{count} discriminators'] = (settings(width=width, discriminators=count, batch=batch), 1)
  out = {}
  print(f'{"DCGAN 32x32, width " + str(width):<28}{"GFLOP":>10}{"state MiB":>12}{"temp MiB":>12}   per device')
  for title, row in rows.items():
    out[title] = cost(*row)
    print(
      f'{title:<28}{out[title]["flops"]:>10.3f}{out[title]["arguments"]:>12.1f}{out[title]["temporaries"]:>12.1f}',
      flush=True,
    )
  return out


if __name__ == '__main__':
  main()
