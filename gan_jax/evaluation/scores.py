"""One pass over many examples: features, logits and moments in large batches, split over devices and processes.

Nothing here makes the devices wait for each other: every group of examples stays on its device, and the host merges.
"""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gan_jax.base import progress
from gan_jax.base.errors import UserError
from gan_jax.base.seeds import key_of
from gan_jax.data import sources
from gan_jax.data.feed import READ_THREADS
from gan_jax.data.sets import KEPT_BYTES, as_examples
from gan_jax.data.streams import Stream
from gan_jax.distributed import parallel
from gan_jax.features.base import Extractor
from gan_jax.metrics import frechet
from gan_jax.sampling.outputs import pick
from gan_jax.sampling.sampler import CHUNK, Sampler

#: Features that are kept whole, the first; moments are of all.
KEPT = 50_000
#: Parts of the latents that say what is asked for, by their name in a Batch.
ASKED = {'labels': 'label', 'tags': 'tags'}
#: Blocks of CHUNK examples that a device is given at a time, at most, and the float32 pixels that they may have.
BLOCKS, PIXEL_BYTES = 8, 64 << 20


class Batch(NamedTuple):
  """Examples on their way through the extractor.

  Attributes:
    examples: (devices, b, ...), split over the devices.
    valid: (devices, b) numpy, False for padding.
    labels: (devices, b) int32, or None.
    tags: (devices, b, n) asked for, or None.
  """

  examples: jax.Array
  valid: np.ndarray
  labels: Any
  tags: Any = None


class Scores(NamedTuple):
  """What is known of a set of examples.

  Attributes:
    moments: of the features of all of them.
    features: (N or KEPT, n) float32, of the first.
    logits: (N or KEPT, classes) float32, or None.
    labels: (N or KEPT,) int32, true or asked for; or None.
    examples: the first, as many as KEPT_BYTES hold: uint8 pictures, or float32.
    tags: (N or KEPT, n) asked for; or None.
  """

  moments: frechet.Moments
  features: np.ndarray
  logits: np.ndarray | None
  labels: np.ndarray | None
  examples: np.ndarray
  tags: np.ndarray | None = None


def whole(x: Any) -> np.ndarray:
  """An array on the host, whole in every process."""
  if isinstance(x, jax.Array) and not x.is_fully_addressable:
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(x, tiled=True))
  return np.asarray(x)


def split(mesh: Mesh, local: np.ndarray) -> jax.Array:
  """This process's share of an array (devices, ...), on the devices."""
  return jax.make_array_from_process_local_data(parallel.sharded(mesh), local)


def blocks_per_device(example: tuple[int, ...]) -> int:
  """How many blocks of CHUNK examples a device is given at a time."""
  return max(1, min(BLOCKS, PIXEL_BYTES // (4 * CHUNK * int(np.prod(example)))))


class Scorer:
  """Applies an extractor to batches on a mesh.

  Attributes:
    extractor: the feature space.
    mesh: the devices.
  """

  def __init__(self, extractor: Extractor, mesh: Mesh):
    self.extractor, self.mesh = extractor, mesh
    self._variables = parallel.replicate(mesh)(extractor.variables)
    self._score = jax.jit(self._scored)

  def _scored(self, variables: Any, examples: jax.Array, valid: jax.Array) -> dict[str, Any]:
    groups, size = valid.shape
    out = dict(self.extractor.apply(variables, examples.reshape(groups * size, *examples.shape[2:])))
    grouped = {name: value.reshape(groups, size, -1) for name, value in out.items()}
    return {**grouped, 'moments': jax.vmap(frechet.batch_moments)(grouped['features'], valid)}

  def __call__(self, batches: Iterable[Batch]) -> Scores:
    """Scores of all examples of some batches, in their order.

    Raises:
      UserError: a feature is not finite.
    """
    total: frechet.Moments | None = None
    kept: dict[str, list[np.ndarray]] = {'features': [], 'logits': [], 'labels': [], 'examples': [], 'tags': []}
    rows = 0
    room = KEPT

    def take(batch: Batch, out: dict[str, Any]) -> None:
      nonlocal total, rows, room
      parts = [whole(part) for part in out.pop('moments')]
      if not np.isfinite(parts[1]).all():
        raise UserError('features of the examples are not finite: the generator or its weights have diverged')
      for group in zip(*parts, strict=True):
        if group[0]:
          found = frechet.to_moments(group)
          total = found if total is None else total.merge(found)
      if rows < KEPT:
        valid = batch.valid.reshape(-1)
        arrays = {**out, 'labels': batch.labels, 'tags': batch.tags}
        for name, value in arrays.items():
          if value is not None:
            flat = whole(value)
            kept[name].append(flat.reshape(valid.size, *flat.shape[2:])[valid][: KEPT - rows])
        if rows < room:
          flat = whole(batch.examples)
          room = min(KEPT, KEPT_BYTES // max(int(np.prod(flat.shape[2:])) * flat.dtype.itemsize, 1))
          kept['examples'].append(flat.reshape(valid.size, *flat.shape[2:])[valid][: max(room - rows, 0)])
        rows += int(valid.sum())

    # The next batch is made while the host takes in the one before.
    pending: tuple[Batch, dict[str, Any]] | None = None
    for batch in batches:
      local = split_rows(self.mesh, batch.valid)
      out = self._score(self._variables, batch.examples, split(self.mesh, local))
      if pending:
        take(*pending)
      pending = batch, out
    if pending:
      take(*pending)
    if total is None:
      raise UserError('there are no examples to score: ask for at least one')
    joined = {name: np.concatenate(parts) if parts else None for name, parts in kept.items()}
    return Scores(total, **joined)  # type: ignore[arg-type]


def split_rows(mesh: Mesh, rows: np.ndarray) -> np.ndarray:
  """The rows (devices, ...) of this process's devices."""
  mine = [i for i, device in enumerate(mesh.devices.flat) if device.process_index == jax.process_index()]
  return rows[mine]


class Generated:
  """Batches of generated examples: sample i of a seed is the same on any number of devices.

  Args:
    sampler: of the game.
    mesh: the devices.
    limits: (low, high) of pixels to be rounded to 8 bits, as pictures are stored; None leaves floats as they are.
    output: which of several things a game makes; '' for the main one.
    inputs: (N,) rows -> {stream: {field: (N, ...)}} of the examples that samples are made of; None if of none.
    declared: the game's `outputs`.
    asked: the stream of the inputs whose examples say what is asked for; '' if the latents do.
    classes_of: the field with its classes.

  Attributes:
    sampler: of the game.
  """

  def __init__(
    self,
    sampler: Sampler,
    mesh: Mesh,
    *,
    limits: tuple[float, float] | None,
    output: str = '',
    inputs: Callable[[np.ndarray], Any] | None = None,
    declared: Iterable[str] = (),
    asked: str = '',
    classes_of: str = 'label',
  ):
    self.sampler = sampler
    self._mesh, self._limits, self._output = mesh, limits, output
    self._inputs, self._declared = inputs, tuple(declared)
    self._asked, self._classes_of = asked, classes_of
    self._make = jax.jit(self._made)

  def picked(self, made: Any) -> Any:
    """The output that is measured, of what the game makes."""
    return pick(made, self._output, '--output or config.eval.output', self._declared)

  def _made(
    self, variables: Any, key: jax.Array, starts: jax.Array, inputs: Any
  ) -> tuple[jax.Array, dict[str, Any], jax.Array]:
    """(examples, what was asked, whether all are finite) of the blocks that begin at starts (devices, blocks)."""
    block = lambda start, inputs: self.sampler.block(variables, key, start, None, inputs)
    made, drawn = jax.vmap(jax.vmap(block))(starts, inputs)
    made = self.picked(made)
    examples = made.reshape(starts.shape[0], starts.shape[1] * CHUNK, *made.shape[3:])
    finite = jnp.isfinite(examples).reshape(starts.shape[0], -1).all(1)
    if self._limits is not None:
      low, high = self._limits
      scaled = jnp.round((examples.astype(jnp.float32) - low) * (255.0 / (high - low)))
      examples = jnp.clip(scaled, 0.0, 255.0).astype(jnp.uint8)
    wanted = self._wanted(drawn, inputs)
    return examples, {name: x.reshape(*examples.shape[:2], *x.shape[3:]) for name, x in wanted.items()}, finite

  def _wanted(self, drawn: Any, inputs: Mapping[str, Any]) -> dict[str, jax.Array]:
    """{'labels': or 'tags': (devices, blocks, CHUNK, ...)} that samples are asked for."""
    fields = inputs.get(self._asked, {})
    if self._classes_of in fields:
      return {'labels': fields[self._classes_of]}
    drawn = drawn if isinstance(drawn, dict) and self._classes_of == 'label' else {}
    return {name: drawn[kind] for name, kind in ASKED.items() if kind in drawn}

  def _read(self, rows: np.ndarray) -> Any:
    """The inputs of rows (devices, blocks, CHUNK), with these in front; {} if samples are made of none."""
    fields = self._inputs(rows.reshape(-1)) if self._inputs else {}
    return jax.tree.map(lambda x: x.reshape(*rows.shape, *x.shape[1:]), fields)

  def batches(self, variables: Any, count: int, seed: int) -> Iterator[Batch]:
    """Batches of samples 0 ... count - 1 of a seed.

    Args:
      variables: of the game, whole on every device of the mesh.
      count: how many.
      seed: of the latents.

    Raises:
      UserError: a sample is not finite.
    """
    devices = self._mesh.size
    few = self._read(np.arange(CHUNK).reshape(1, 1, CHUNK))
    one = jax.eval_shape(self._made, variables, jax.random.key(0), jnp.zeros((1, 1), jnp.int32), few)[0]
    blocks = min(blocks_per_device(one.shape[2:]), -(-count // (CHUNK * devices)))
    size = blocks * CHUNK
    firsts = range(0, count, devices * size)
    for first in progress.shown(firsts, len(firsts), 'samples'):
      starts = first + CHUNK * np.arange(devices * blocks, dtype=np.int32).reshape(devices, blocks)
      mine = split_rows(self._mesh, starts)
      inputs = jax.tree.map(lambda x: split(self._mesh, x), self._read(mine[..., None] + np.arange(CHUNK)))
      examples, wanted, finite = self._make(variables, key_of(seed), split(self._mesh, mine), inputs)
      if not whole(finite).all():
        raise UserError(f'samples {first} ... {first + devices * size - 1} are not all finite: this model has diverged')
      valid = first + np.arange(devices * size).reshape(devices, size) < count
      yield Batch(examples, valid, wanted.get('labels'), wanted.get('tags'))


def array_batches(examples: np.ndarray, mesh: Mesh) -> Iterator[Batch]:
  """Batches of examples (N, ...) that are in memory, whole in every process."""
  devices, size = mesh.size, blocks_per_device(examples.shape[1:]) * CHUNK
  size = min(size, -(-len(examples) // devices))
  for start in range(0, len(examples), devices * size):
    places = start + np.arange(devices * size).reshape(devices, size)
    mine = split_rows(mesh, np.minimum(places, len(examples) - 1))
    yield Batch(split(mesh, examples[mine]), places < len(examples), None)


def real_batches(stream: Stream, chosen: np.ndarray, mesh: Mesh) -> Iterator[Batch]:
  """Batches of some examples of a stream's set, each process reading its own share.

  Args:
    stream: of the set; pictures stay uint8, other examples become float32 in its range.
    chosen: (N,) which ones, in this order.
    mesh: the devices.
  """
  source = stream.open()
  arrays = source.arrays if isinstance(source, sources.ArraySource) else None
  devices, size = mesh.size, blocks_per_device(stream.fields(1)[stream.main].shape[1:]) * CHUNK
  size = min(size, -(-len(chosen) // devices))

  def read(rows: np.ndarray, pool: concurrent.futures.Executor) -> dict[str, np.ndarray]:
    if arrays is not None:
      return {name: value[rows] for name, value in arrays.items()}
    examples = list(pool.map(lambda i: source[int(i)], rows, chunksize=16))
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

  with concurrent.futures.ThreadPoolExecutor(READ_THREADS) as pool:
    starts = range(0, len(chosen), devices * size)
    for start in progress.shown(starts, len(starts), 'reference'):
      places = start + np.arange(devices * size).reshape(devices, size)
      mine = split_rows(mesh, chosen[np.minimum(places, len(chosen) - 1)])
      fields = read(mine.reshape(-1), pool)
      examples = as_examples(stream, fields[stream.main], mine.reshape(-1))
      examples = examples.reshape(*mine.shape, *examples.shape[1:])
      labels = split(mesh, fields['label'].reshape(mine.shape)) if 'label' in fields else None
      yield Batch(split(mesh, examples), places < len(chosen), labels)
