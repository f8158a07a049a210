"""Populations against one run after the other: time per step, in turn, in one process.

    python -m benchmarks.population [--members 8] [--config configs/quickstart.py] [--rounds 7]

A round times `--steps` calls of the population's step, then as many of one member's alone; compiling is not counted.
N runs one after the other take N times the steps of one. The ratio is that time over the population's, the median of
the rounds with the lowest and the highest; the time to the first step is printed apart, from an empty cache.
"""

import argparse
import os
import statistics
import time

import jax

from gan_jax import config as config_lib
from gan_jax.config.vary import member_config
from gan_jax.data.feed import Feed
from gan_jax.distributed import parallel
from gan_jax.runs import resume
from gan_jax.runs.experiment import experiment_of


class Timed:
  """The steps of a config, one after the other on one device, without the loop's log lines and pictures."""

  def __init__(self, config, per_call: int):
    since = time.perf_counter()
    self._per_call, mesh = per_call, parallel.make_mesh(1)
    population = experiment_of(config)
    (stage,) = population.stages
    self._keys = parallel.replicate(mesh)(population.keys)
    self._feed = Feed(stage.streams, stage.moves, population.feed_seed, parallel.place(mesh), parallel.replicate(mesh))
    self._state = resume.enter(population, 0, None, mesh, self._keys)
    self._step = parallel.compile_step(population.make_step(0, mesh, per_call), mesh)
    self(per_call)
    self.first = time.perf_counter() - since

  def __call__(self, steps: int) -> float:
    """Seconds of one step."""
    since = time.perf_counter()
    for _ in range(steps // self._per_call):
      given = next(self._feed) if self._per_call == 1 else self._feed.take(self._per_call)
      self._state, _ = self._step(self._state, given, self._keys)
    jax.block_until_ready(self._state)
    return (time.perf_counter() - since) / (steps // self._per_call * self._per_call)


def main(arguments: list[str] | None = None) -> dict[str, float]:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', default='configs/quickstart.py')
  parser.add_argument('--members', type=int, default=8)
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=40, help='of each side in a round')
  parser.add_argument('--per_call', type=int, default=1, help='steps in one compiled call, of both sides')
  values, rest = parser.parse_known_args(arguments)
  config = config_lib.override(config_lib.load(values.config), [*rest, f'--config.population={values.members}'])
  both, one = Timed(config, values.per_call), Timed(member_config(config, 0), values.per_call)
  rounds = [(both(values.steps), one(values.steps)) for _ in range(values.rounds)]
  ratios = [values.members * alone / together for together, alone in rounds]
  row = {
    'population': statistics.median(together for together, _ in rounds),
    'alone': statistics.median(alone for _, alone in rounds),
    'ratio': statistics.median(ratios),
    'lowest': min(ratios),
    'highest': max(ratios),
    'first': both.first,
    'first_alone': one.first,
  }
  print(f'{jax.devices()[0].device_kind}, jax {jax.__version__}, load {os.getloadavg()[0]:.1f}')
  print('| work | members | ms a step, population / one alone | N runs in turn over the population | first step, s |')
  print('|---|---|---|---|---|')
  print(
    f'| {" ".join([values.config, *rest])} | {values.members} | {1e3 * row["population"]:.2f} / '
    f'{1e3 * row["alone"]:.2f} | **{row["ratio"]:.2f}** ({row["lowest"]:.2f} to {row["highest"]:.2f}) | '
    f'{row["first"]:.1f} / {row["first_alone"]:.1f} |'
  )
  return row


if __name__ == '__main__':
  main()
