"""One side of a comparison, in a process of its own: `benchmarks.run` starts two and lets them work in turn.

    python -m benchmarks.worker gan_jax|torch WORK VARIANT '{"path": ..., "batch": ..., ...}'

It reads commands from standard input, one a line, and answers each with a line of JSON: `check` (losses from the
weights at hand), `time N` (seconds of N steps), `flops` (nominal, of a step: PyTorch's count), `matrix` (GFLOP/s of a
matrix product), `reset` and `memory` (peak bytes since then).
"""

import contextlib
import functools
import json
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.works import LIKE_AUTHORS, SEQUENCES, WORKS, batch_of, config, latents_shape, noise

#: Side of the square matrices of a product, on a CPU and on a GPU.
MATRIX = {'cpu': 2048, 'gpu': 8192}
#: Power iterations before losses are compared.
SETTLE = 40


def reset_peak() -> None:
  """Linux forgets the peak of this process's resident memory, so that compilation does not count."""
  with contextlib.suppress(OSError):
    pathlib.Path('/proc/self/clear_refs').write_text('5')


def resident_peak() -> int:
  for line in pathlib.Path('/proc/self/status').read_text().splitlines():
    if line.startswith('VmHWM'):
      return int(line.split()[1]) * 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fixed(name: str, batch: int) -> dict[str, np.ndarray]:
  """Inputs on which both sides compute their losses."""
  work, random = WORKS[name], np.random.RandomState(0)
  z = random.randn(batch, *latents_shape(name)).astype(np.float32)
  image = random.rand(batch, *work.shape).astype(np.float32)
  labels = [random.randint(max(work.classes, 1), size=batch).astype(np.int32) for _ in range(2)]
  other = random.rand(*image.shape).astype(np.float32)
  return {'z': z, 'image': image, 'other': other, 'real': labels[0], 'asked': labels[1]}


@contextlib.contextmanager
def still() -> Iterator[None]:
  """Within it jax's normal numbers are `works.noise` and its uniform ones the least: both sides can make them."""
  import jax

  def normal(key: Any, shape: Any = (), dtype: Any = np.float32, **_: Any) -> Any:
    return jax.numpy.asarray(noise(*shape), dtype)

  def least(key: Any, shape: Any = (), dtype: Any = np.float32, minval: Any = 0, maxval: Any = 1) -> Any:
    return jax.numpy.full(shape, minval, dtype)

  def lowest(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = np.int32) -> Any:
    return jax.numpy.full(shape, minval, dtype)

  before = {name: getattr(jax.random, name) for name in ('normal', 'uniform', 'randint')}
  try:
    jax.random.normal, jax.random.uniform, jax.random.randint = normal, least, lowest
    yield
  finally:
    for name, function in before.items():
      setattr(jax.random, name, function)


class GanJax:
  """gan_jax: its own stages, feed and compiled step."""

  def __init__(self, name: str, variant: str, settings: dict[str, Any]):
    import jax

    from gan_jax import runs
    from gan_jax.data.feed import Feed
    from gan_jax.distributed import parallel

    self.name, self.settings, self.jax = name, settings, jax
    cache = settings.get('compilation_cache')
    if cache:
      jax.config.update('jax_compilation_cache_dir', cache)
      jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
    self.config = config(name, settings['path'], batch=settings['batch'], small=settings['small'])
    for stream in [self.config.data] if 'name' in self.config.data else self.config.data.values():
      stream.resident = {'resident': True, 'loader': None, 'stream': False}[settings['input']]
      stream.workers = settings.get('workers', 0)
    # What PyTorch's AMP computes in; the check before compares losses in float32.
    self.config.dtype = 'float32' if settings['device'] == 'cpu' else 'bfloat16'
    self.config.update({key: settings[key] for key in ('accumulate', 'remat') if settings.get(key)})
    (self.stage,) = runs.stages_of(self.config)
    self.mesh = parallel.make_mesh(1)
    self.key = jax.random.key(0)
    self.state = jax.jit(lambda key: runs.new_state(self.stage, key))(self.key)
    self.state = jax.device_put(self.state, parallel.replicated(self.mesh))
    self.feed = Feed(self.stage.streams, self.stage.moves, 0, parallel.place(self.mesh), parallel.replicate(self.mesh))
    self.per_call = settings['per_call']
    self.programs: dict[int, Any] = {}

  def check(self, path: str) -> dict[str, float]:
    """The losses of both players; the weights, moved at random, go to a file for the other side."""
    jax = self.jax
    from gan_jax import core, runs

    plain = config(
      self.name, self.settings['path'], batch=self.settings['batch'], small=self.settings['small'], dropout=False
    )
    (stage,) = runs.stages_of(plain)
    variables = core.game_variables(stage.game, self.state)
    # GAN 2014's first weights are so small that every judge says 0: whatever differed would not show in a loss.
    random = np.random.RandomState(1)
    # A generator that hears itself makes rounding grow from tone to tone, unless its weights are small.
    share = 0.05 if self.name in SEQUENCES else 1.0
    moved = lambda leaf: share * leaf + random.normal(0, 0.05, leaf.shape).astype(leaf.dtype)
    variables = {**variables, 'params': jax.tree.map(moved, variables['params'])}
    batch = batch_of(self.name, fixed(self.name, self.settings['batch']))

    @functools.partial(jax.jit, static_argnums=1)
    def apply(variables: Any, method: str) -> Any:
      rngs, mutable = {'noise': self.key, 'dropout': self.key}, ['batch_stats', 'spectral', 'scratch', 'table']
      with still() if self.name in LIKE_AUTHORS else contextlib.nullcontext():
        return stage.game.apply(variables, batch, method=method, rngs=rngs, mutable=mutable)

    methods = [method for turn in stage.game.turns for method in turn.methods]
    if 'spectral' in variables:
      # PyTorch makes its power iteration before it takes the norm and we after: alike only where the vectors rest.
      for method in SETTLE * methods[:1]:
        variables = {**variables, 'spectral': apply(variables, method)[1]['spectral']}
    value = lambda out: float(out[0] if isinstance(out, tuple) else out)
    # In the order of a step: what a generator made may be judged later.
    losses, before = {}, variables
    for method in methods:
      out, written = apply(before, method)
      losses[method.removesuffix('_loss')] = value(out)
      before = {**variables, 'scratch': written.get('scratch', {})}
    flat = {
      jax.tree_util.keystr(at, simple=True, separator='/'): np.asarray(leaf)
      for at, leaf in jax.tree_util.tree_leaves_with_path(variables)
    }
    np.savez(path, **flat)
    return losses

  def run(self, steps: int) -> None:
    from gan_jax import runs
    from gan_jax.base import memory
    from gan_jax.distributed import parallel

    new = False
    while steps:
      count = self.per_call if steps >= self.per_call else 1
      if count not in self.programs:
        self.programs[count] = parallel.compile_step(runs.make_step(self.stage, self.mesh, count), self.mesh)
        new = True
      given = next(self.feed) if count == 1 else self.feed.take(count)
      self.state, metrics = self.programs[count](self.state, given, self.key)
      if new:  # as the training loop does
        memory.release()
        new = False
      steps -= count
    self.jax.block_until_ready((self.state, metrics))

  def matrix(self) -> float:
    jax = self.jax
    device = self.settings['device']
    dtype = 'float32' if device == 'cpu' else 'bfloat16'
    a = jax.random.normal(self.key, (MATRIX[device],) * 2).astype(dtype)
    product = jax.jit(lambda a: a @ a)
    return _rate(lambda: jax.block_until_ready(product(a)), MATRIX[device])

  def memory(self) -> int:
    device = self.jax.devices()[0]
    return resident_peak() if device.platform == 'cpu' else device.memory_stats()['peak_bytes_in_use']


class Torch:
  """PyTorch: one of the variants of `benchmarks.pytorch.programs`."""

  def __init__(self, name: str, variant: str, settings: dict[str, Any]):
    import torch

    from benchmarks.pytorch.programs import Arrays, program_of

    self.name, self.settings, self.torch = name, settings, torch
    self.device = 'cuda' if torch.cuda.is_available() and settings['device'] != 'cpu' else 'cpu'
    torch.set_num_threads(settings['threads'])
    if self.device == 'cuda':
      torch.backends.cudnn.benchmark = True
      torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    self.make = lambda dropout: program_of(name)(
      name, variant, self.device, settings['batch'], settings['small'], dropout=dropout
    )
    self.program = self.make(True)
    with np.load(settings['path']) as file:
      images, labels = file['image'], file.get('label', None)
    self.moves = WORKS[name].moves
    if settings['input'] == 'resident':
      self.batches = self._resident(images, labels)
    else:
      self.loader = torch.utils.data.DataLoader(
        Arrays(images, labels),
        batch_size=settings['batch'],
        shuffle=True,
        drop_last=True,
        num_workers=settings.get('workers', 2),
        persistent_workers=settings.get('workers', 2) > 0,
        pin_memory=self.device == 'cuda',
      )
      self.batches = self._loaded()

  def _resident(self, images, labels) -> Iterator[Any]:
    torch, batch = self.torch, self.settings['batch']
    images = torch.from_numpy(images).to(self.device)
    labels = None if labels is None else torch.from_numpy(labels.astype(np.int64)).to(self.device)
    while True:
      order = torch.randperm(len(images), device=self.device)
      for first in range(0, len(images) - batch + 1, batch):
        chosen = order[first : first + batch]
        yield images[chosen], None if labels is None else labels[chosen]

  def _loaded(self) -> Iterator[Any]:
    while True:
      for image, label in self.loader:
        image = image.to(self.device, non_blocking=True)
        yield image, label.to(self.device, non_blocking=True) if WORKS[self.name].classes else None

  def check(self, path: str) -> dict[str, float]:
    torch = self.torch
    program = self.make(False)
    with np.load(path) as file:
      tree: dict[str, Any] = {}
      for name in file.files:
        *parents, leaf = name.split('/')
        node = tree
        for parent in parents:
          node = node.setdefault(parent, {})
        node[leaf] = file[name]
    program.take(tree['params'], tree)
    self.program.take(tree['params'], tree)
    with torch.no_grad():
      return {
        name: float(loss) for name, loss in program.losses(fixed(self.name, self.settings['batch']), tree).items()
      }

  def run(self, steps: int) -> None:
    for _ in range(steps):
      losses = self.program.step([next(self.batches) for _ in range(self.moves)])
    losses[0].item()
    if self.device == 'cuda':
      self.torch.cuda.synchronize()

  def flops(self) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    period = getattr(self.program, 'period', 1)
    with FlopCounterMode(display=False) as counter:
      self.run(period)
    return counter.get_total_flops() // period

  def matrix(self) -> float:
    dtype = self.torch.float32 if self.device == 'cpu' else self.torch.bfloat16
    size = MATRIX['cpu' if self.device == 'cpu' else 'gpu']
    a = self.torch.randn(size, size, device=self.device).to(dtype)

    def product() -> None:
      a @ a
      if self.device == 'cuda':
        self.torch.cuda.synchronize()

    return _rate(product, size)

  def memory(self) -> int:
    return resident_peak() if self.device == 'cpu' else self.torch.cuda.max_memory_allocated()


def _rate(product: Callable[[], Any], size: int) -> float:
  """GFLOP/s of a product of two square matrices of a size, the best of ten."""
  product()
  best = min(_timed(product) for _ in range(10))
  return 2 * size**3 / best / 1e9


def _timed(function: Callable[[], Any]) -> float:
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


def main() -> None:
  side, name, variant, settings = *sys.argv[1:4], json.loads(sys.argv[4])
  start = time.perf_counter()
  worker = (GanJax if side == 'gan_jax' else Torch)(name, variant, settings)
  built = time.perf_counter() - start
  answers: dict[str, Callable[..., Any]] = {
    'built': lambda: built,
    'check': lambda path: worker.check(path),
    'time': lambda steps: _timed(lambda: worker.run(int(steps))),
    'flops': lambda: worker.flops(),
    'matrix': lambda: worker.matrix(),
    'reset': lambda: reset_peak(),
    'memory': lambda: worker.memory(),
  }
  for line in sys.stdin:
    command, *arguments = line.split()
    print('@' + json.dumps(answers[command](*arguments)), flush=True)


if __name__ == '__main__':
  main()
