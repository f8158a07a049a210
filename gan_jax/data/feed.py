"""The feed gives the steps their data: each move draws one batch of each stream, in the stream's order.

If a set is small enough, it is kept on the device as it is stored (uint8), and the step gathers its examples. A larger
set is read and decoded by grain's threads on the host. Both ways give the same examples in the same order.
"""

import collections
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from gan_jax.base.errors import UserError, short
from gan_jax.data import order, sources
from gan_jax.data.main_guard import check_main_guard
from gan_jax.data.streams import Stream

RESIDENT_BYTES = 1 << 30
#: More threads than cores wait for Python's lock: on 2 cores, 16 threads read 32x32 PNG at a third of the speed of 2.
READ_THREADS = min(8, os.cpu_count() or 1)
#: The largest number of examples that a thread reads at once.
CHUNK = 16
#: The examples of so many next calls of the step are on the device.
AHEAD = 2


def _deaf(number: int, count: int) -> None:
  """At the start of a worker process: a signal to the group stops the run by its parent, which needs it until then."""
  for name in ('SIGTERM', 'SIGINT', 'SIGHUP'):
    if hasattr(signal, name):
      signal.signal(getattr(signal, name), signal.SIG_IGN)


def _end_with(parent: Any) -> None:
  """Ends this process when its parent does."""
  parent.join()
  os._exit(1)


class _Ordered:
  """The endless sequence of epochs as a random-access source for grain; each process gets its share of every batch.

  Process p of n gets the examples p B / n ... (p + 1) B / n - 1 of a batch of B. An item is a chunk of examples,
  because to pass single small pictures between threads costs more than to decode them.
  """

  def __init__(
    self,
    source: sources.Source,
    seed: int,
    stream: str,
    start: int,
    batch: int,
    process: tuple[int, int],
    chunk: int,
    shares: order.Shares | None = None,
  ):
    self._source, self._seed, self._stream, self._start = source, seed, stream, start
    self._batch, self._process, self._chunk, self._shares = batch, process, chunk, shares

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state)
    parent = multiprocessing.parent_process()
    if parent is not None:  # this is a worker: it must end when its parent is killed
      threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

  def __len__(self) -> int:
    return 1 << 48

  def __getitem__(self, number: int) -> dict[str, np.ndarray]:
    index, count = self._process
    share = self._batch // count
    move, row = np.divmod(int(number) * self._chunk + np.arange(self._chunk), share)
    positions = self._start + move * self._batch + index * share + row
    first = int(positions[0])
    count = int(positions[-1]) - first + 1
    span = order.indices(self._seed, self._stream, len(self._source), first, count, self._shares)
    chosen = [int(i) for i in span[positions - first]]
    if isinstance(self._source, sources.Checked):
      try:
        return self._source.stacked(chosen)
      except UserError:
        raise
      except Exception:  # read the examples one by one below, so that the error names the example
        pass
    rows = [self._example(i) for i in chosen]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

  def _example(self, index: int) -> dict[str, np.ndarray]:
    try:
      return self._source[index]
    except UserError:
      raise
    except Exception as error:  # a file was deleted or changed after the source was opened; sources raise many types
      files = getattr(self._source, 'files', ())  # of a source of yours not always one for each example
      one_each = isinstance(files, list | tuple) and len(files) == len(self._source)
      file = f', {files[index]},' if one_each else ''
      raise UserError(
        f'example {index} of stream {self._stream!r}{file} cannot be read ({short(error)}): put it back, and start the '
        'same command again'
      ) from error


@contextlib.contextmanager
def _of_workers(count: int) -> Iterator[None]:
  """What grain says of worker processes, in one line with the setting."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    text = short(error)
    setting = f'config.data.workers={count}'
    if count and 'pickle' in text:
      raise UserError(f'the source cannot be sent to the processes of {setting} ({text}): set it to 0') from error
    if count and 'terminated unexpectedly' in text:
      raise UserError(f'a process of {setting} died ({text}): set fewer, or 0, if the memory was too small') from error
    raise


class Feed:
  """Gives steps their data: `next` returns the examples of one step, `take` those of several, for all streams.

  Args:
    streams: {name: settings}.
    moves: {name: moves per step that read the stream}.
    seed: the seed of the run; or a tuple with one per member of a population: then the member is the first axis.
    place: (tree, axis of B) -> the tree on the devices, sharded over B. The tree has the share of this process.
    replicate: tree -> the tree on the devices, in full on each.
    position: {name: examples drawn before}, as in a checkpoint.
    process: (number of this process, number of processes).

  Attributes:
    position: {name: examples drawn}, up to the last step that was returned.
    sizes: {name: examples in the set}.
    notes: lines of text for the console.
  """

  def __init__(self, streams, moves, seed, place, replicate, position=None, process=(0, 1)):
    self.position = {name: int((position or {}).get(name, 0)) for name in streams}
    self.sizes: dict[str, int] = {}
    self.notes: list[str] = []
    self._streams, self._moves, self._place, self._process = streams, moves, place, process
    self._several, self._seeds = isinstance(seed, tuple), seed if isinstance(seed, tuple) else (seed,)
    # Each seed has its own order; the position is the same for all.
    self._readers: dict[str, dict[int, Iterator[dict[str, np.ndarray]]]] = {}
    # (position after the step, examples) of steps that are drawn but not returned; the first of them are also placed.
    self._ahead: collections.deque[tuple[dict[str, int], Any]] = collections.deque()
    self._placed: collections.deque[Any] = collections.deque()
    self._count: int | None = None
    self._read = dict.fromkeys(streams, 0)
    self._drawn = dict(self.position)
    self._shares: dict[str, order.Shares | None] = {}
    store = {}
    for name, stream in streams.items():
      if (stream.batch_size or 0) % process[1]:
        raise UserError(
          f'batch_size={stream.batch_size} of stream {name!r} does not divide over {process[1]} processes: '
          f'make it a multiple of {process[1]}'
        )
      source = stream.open()
      self.sizes[name] = len(source)
      self._shares[name] = source.shares(stream.weights) if stream.weights else None
      said = [*getattr(source, 'notes', ()), sources.remark(stream)]
      self.notes += [note for note in said if note and note not in self.notes]
      arrays = (
        None
        if stream.resident is False
        else sources.into_memory(source, RESIDENT_BYTES if stream.resident is None else 1 << 62)
      )
      if arrays is not None and arrays is not source and not stream.columns:  # of which only the first example is known
        sources.check_range(stream, arrays.arrays['image'].shape[1:], sources.extent(arrays))
      if arrays is not None:
        store[name] = arrays.arrays
      elif moves[name]:
        self._readers[name] = {seed: self._reader(name, source, seed) for seed in set(self._seeds)}
    self._store = replicate(store)

  def _reader(self, name: str, source: sources.Source, seed: int) -> Iterator[dict[str, np.ndarray]]:
    import grain

    stream = self._streams[name]
    count = self._moves[name] * stream.batch_size // self._process[1]
    # A thread reads small chunks; a worker process reads the whole step.
    chunk = count if stream.workers else max(n for n in range(1, CHUNK + 1) if count % n == 0)
    arguments = (seed + stream.seed, name, self.position[name], stream.batch_size, self._process, chunk)
    examples = grain.MapDataset.source(_Ordered(source, *arguments, self._shares[name]))
    if not stream.workers:
      threads = max(1, READ_THREADS // len(set(self._seeds)))  # each seed of a population has a reader
      ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(2 * count // chunk, threads))
      return iter(examples.to_iter_dataset(ahead).batch(count // chunk))
    check_main_guard(f'config.data.workers={stream.workers}')
    # grain's worker processes require that absl's flags are parsed.
    flags.FLAGS.mark_as_parsed()
    read = examples.batch(1).to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
    options = grain.MultiprocessingOptions(num_workers=stream.workers)
    with _of_workers(stream.workers):
      return iter(read.mp_prefetch(options, worker_init_fn=_deaf))

  def __iter__(self):
    return self

  def __next__(self) -> dict[str, Any]:
    return self._give(None)

  def take(self, steps: int) -> dict[str, Any]:
    """The examples of the next `steps` steps, as `next` returns them, with the step as the first axis of 'moves'.

    The order is that of `next`; calls of both may be mixed. In a population the member is the second axis.
    """
    return self._give(steps)

  def _give(self, count: int | None) -> dict[str, Any]:
    if count != self._count:  # batches that were placed for calls of another length are placed again
      self._placed.clear()
      self._count = count
    length = count or 1
    # Send batches to the device before the call that needs them.
    while len(self._placed) < AHEAD:
      start = len(self._placed) * length
      while len(self._ahead) < start + length:
        given = self._draw()
        self._ahead.append((dict(self._drawn), given))
      block = [given for _, given in itertools.islice(self._ahead, start, start + length)]
      stacked = block[0] if count is None else jax.tree.map(lambda *rows: np.stack(rows), *block)
      self._placed.append(self._place(stacked, 1 + self._several + (count is not None)))
    for _ in range(length):
      self.position, _ = self._ahead.popleft()
    return {'moves': self._placed.popleft(), 'store': self._store}

  def _draw(self) -> Any:
    of_seed = {seed: self._draw_of(seed) for seed in dict.fromkeys(self._seeds)}
    for name, stream in self._streams.items():
      self._drawn[name] += self._moves[name] * stream.batch_size
    if not self._several:
      return of_seed[self._seeds[0]]
    return jax.tree.map(lambda *members: np.stack(members), *(of_seed[seed] for seed in self._seeds))

  def _draw_of(self, seed: int) -> Any:
    drawn = {}
    index, count = self._process
    for name, stream in self._streams.items():
      moves, batch = self._moves[name], stream.batch_size
      if not moves:
        continue
      share = batch // count
      if name in self._readers:
        with _of_workers(stream.workers):
          fields = next(self._readers[name][seed])
        # Check batches 1, 2, 4, 8, ... only: a check takes about as long as copying the batch.
        self._read[name] += 1
        if self._read[name].bit_count() == 1 and not stream.columns:
          sources.check_range(stream, fields['image'].shape[2:], sources.extent(sources.ArraySource(fields)))
        drawn[name] = {k: v.reshape(moves, share, *v.shape[2:]) for k, v in fields.items()}  # from (n, chunk, ...)
      else:
        at = (self.sizes[name], self._drawn[name], moves * batch)
        chosen = order.indices(seed + stream.seed, name, *at, self._shares[name])
        chosen = chosen.astype(np.int32).reshape(moves, batch)
        drawn[name] = {'index': chosen[:, index * share : (index + 1) * share]}
    return drawn

  def close(self) -> None:
    """Ends the worker processes."""
    for reader in (reader for readers in self._readers.values() for reader in readers.values()):
      if hasattr(reader, 'close'):
        reader.close()


def make_prepare(streams: Mapping[str, Stream]):
  """The argument `prepare` of `core.make_step`, (feed, stream, move, key) -> fields, for a feed from `Feed`."""

  def prepare(feed, name, move, key):
    fields = jax.tree.map(lambda x: x[move], feed['moves'][name])
    if 'index' in fields:
      fields = {k: jnp.take(v, fields['index'], axis=0) for k, v in feed['store'][name].items()}
    return streams[name].prepare(fields, key)

  return prepare
