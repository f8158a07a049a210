"""Trains the ring in a process of its own, killed where asked: interrupted.py WORKDIR STEPS [KIND].

The kill is SIGKILL, which no handler sees: inside a "step", inside the "write" of a checkpoint's arrays, or when the
arrays are written and the checkpoint is about to be made whole ("commit"). "late" are two SIGTERM, after the step has
decided what to save, and a third when all is closed; "early" is one while the first step compiles, "insist" is a
SIGTERM and then Ctrl-C.
"""

import asyncio
import os
import signal
import sys

from gan_jax import config as config_lib
from gan_jax.distributed import parallel
from gan_jax.training import loop as train
from gan_jax.training import writers

SETTINGS = [
  '--config.batch_size=32',
  '--config.devices=1',
  '--config.log_every=1',
  '--config.sample_every=0',
  '--config.samples=4',
  '--config.checkpoint_every=2',
]


def die():
  os.kill(os.getpid(), signal.SIGKILL)


def kill_in_step(number):
  original = parallel.compile_step

  def compile_step(*arguments):
    step = original(*arguments)

    def counted(state, feed, key):
      after = step(state, feed, key)
      if int(state_step(after)) == number:
        die()
      return after

    return counted

  parallel.compile_step = compile_step


def state_step(after):
  return after[0].step


def kill_in_write(number):
  from orbax.checkpoint._src.serialization import jax_array_handlers as handlers

  original, seen = handlers._async_serialize_replica_slices, []

  async def write(*arguments, **settings):
    seen.append(1)
    if len(seen) == number:
      task = asyncio.ensure_future(original(*arguments, **settings))
      await asyncio.sleep(0.005)
      die()
      return await task
    return await original(*arguments, **settings)

  handlers._async_serialize_replica_slices = write


def kill_before_commit(number):
  from orbax.checkpoint._src.path import atomicity

  original, seen = atomicity.AtomicRenameTemporaryPath.finalize, []

  async def finalize(self, *arguments, **settings):
    # The folder of a step is renamed last, after those within it.
    seen.append(self.get_final().name)
    if seen.count(str(number)) == 1 and seen[-1] == str(number):
      die()
    return await original(self, *arguments, **settings)

  atomicity.AtomicRenameTemporaryPath.finalize = finalize


def terminate_early():
  original = parallel.compile_step

  def compile_step(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    return original(*arguments)

  parallel.compile_step = compile_step


def signal_late(at, *numbers):
  signal.signal(signal.SIGINT, signal.SIG_DFL)  # as commands have it
  original = writers.Writer.metrics

  def metrics(self, step, *arguments):
    if step == at:
      for number in numbers:
        os.kill(os.getpid(), number)
    original(self, step, *arguments)

  def close(self, whole=writers.Writer.close):
    os.kill(os.getpid(), signal.SIGTERM)
    whole(self)

  writers.Writer.metrics, writers.Writer.close = metrics, close


if __name__ == '__main__':
  workdir, steps, *kind = sys.argv[1:]
  if kind:
    {
      'step': lambda: kill_in_step(5),
      'write': lambda: kill_in_write(2),
      'commit': lambda: kill_before_commit(4),
      'late': lambda: signal_late(3, signal.SIGTERM, signal.SIGTERM),
      'early': terminate_early,
      'insist': lambda: signal_late(3, signal.SIGTERM, signal.SIGINT),
    }[kind[0]]()
  config = config_lib.override(config_lib.load('configs/gan.py:ring'), [*SETTINGS, f'--config.steps={steps}'])
  train.run(config, workdir)
