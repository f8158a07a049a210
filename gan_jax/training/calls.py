"""The compiled programs of a stage. A call runs one step, or several if no hook is due between them."""

import collections
import math
import time
from collections.abc import Sequence
from typing import Any

import jax

from gan_jax import core, runs
from gan_jax.base import memory
from gan_jax.data.feed import Feed
from gan_jax.distributed import parallel
from gan_jax.runs.stages import Stage
from gan_jax.training.session import Session
from gan_jax.training.writers import duration

#: How far the host may be ahead of the device.
SECONDS_AHEAD, LEAST_AHEAD = 1.0, 2


def steps_of_call(n: int, most: int, last: int, periods: Sequence[int]) -> int:
  """The number of steps of the next call: `most`, or 1 if a hook is due before so many steps are finished.

  So at most two programs are compiled, and every hook acts exactly after its step.

  Args:
    n: steps finished.
    most: config.steps_per_call.
    last: the last step of the stage.
    periods: the period of each hook in steps; 0 for never.
  """
  left = min([last - n, *(every - n % every for every in periods if every)])
  return most if most <= left else 1


class Ahead:
  """Keeps the host at most about a second of work ahead of the device, or two calls if these are longer.

  JAX returns from a call before the device has begun it, and many calls may wait. A run can end only after all of them:
  with 50 slow steps a call it went on for minutes after a signal, and schedulers kill a job sooner.
  """

  def __init__(self) -> None:
    self._waiting: collections.deque[Any] = collections.deque()
    self._most, self._ended = LEAST_AHEAD, math.nan

  def add(self, metrics: Any) -> None:
    """Notes a call by what it returned, and waits for earlier ones if there are too many."""
    self._waiting.append(metrics)
    while len(self._waiting) > self._most:
      jax.block_until_ready(self._waiting.popleft())
      now = time.perf_counter()
      seconds, self._ended = now - self._ended, now
      if seconds > 0:  # not of the first, which is nan
        self._most = max(LEAST_AHEAD, int(SECONDS_AHEAD / seconds))


class Calls:
  """Calls the steps of a stage and measures their speed.

  Args:
    session: the open run.
    stage: the stage.
    feed: the feed of the stage.
  """

  def __init__(self, session: Session, stage: Stage, feed: Feed):
    self._session, self._stage, self._feed = session, stage, feed
    self._programs: dict[int, Any] = {}
    self._since, self._steps = time.perf_counter(), math.nan
    self._ahead = Ahead()

  def __call__(self, count: int, state: Any) -> tuple[Any, Any]:
    """(state, metrics) after `count` more steps."""
    new = count not in self._programs
    if new:
      step = self._session.experiment.make_step(self._stage.number, self._session.mesh, count)
      sharding = runs.state_sharding(self._stage, self._session.mesh, state)
      self._programs[count] = parallel.compile_step(step, self._session.mesh, sharding)
    given = next(self._feed) if count == 1 else self._feed.take(count)
    with core.explaining_leaks(self._stage.game):
      state, metrics = self._session.profile.call(count, self._programs[count], state, given, self._session.keys)
    if new:  # this call compiled, so the time so far does not count
      jax.block_until_ready(metrics)
      memory.release()
      if len(self._programs) == 1:
        took = duration(time.perf_counter() - self._since)
        self._session.say(f'first {"step" if count == 1 else f"{count} steps"} after {took}')
      self.restart()
    else:
      self._steps += count
      self._ahead.add(metrics)
    return state, metrics

  def rates(self) -> dict[str, float]:
    """Steps and images per second since `restart`; empty if no step was timed."""
    if not self._steps > 0:
      return {}
    steps_per_second = self._steps / max(time.perf_counter() - self._since, 1e-9)
    images = self._stage.images[1] * len(self._session.experiment.views)
    return {'steps_per_second': steps_per_second, 'images_per_second': images * steps_per_second}

  def restart(self) -> None:
    """Starts the timing again, so that the time of hooks does not count."""
    self._since, self._steps = time.perf_counter(), 0
