"""Checkpoints through Orbax: the GameState, the data position, the stage and the versions. A resumed run is exact.

Every array is saved with a checksum, which is computed on the array's device. When a checkpoint is read, the checksums
are compared: so a damaged checkpoint is detected, and the newest undamaged one is read instead.
"""

import contextlib
import datetime
import functools
import gc
import json
import logging
import math
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import flax
import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

import gan_jax
from gan_jax.base import paths
from gan_jax.base.errors import Diverged, UserError
from gan_jax.distributed import processes
from gan_jax.runs import checksums

#: The version of the format. It increases when the content of a checkpoint changes its meaning.
FORMAT = 2
#: {field of GameState: its name in checkpoint files}, so that files from before a renaming can be read.
NAMES_IN_FILES = {'.variables': '.table'}


class Damaged(Exception):
  """A checkpoint cannot be read, or its content differs from what was written."""


class Place(NamedTuple):
  """The progress of a run.

  Attributes:
    step: steps finished.
    stage: the number of the stage that the state belongs to.
    position: {stream: examples drawn, by all processes together}.
  """

  step: int
  stage: int
  position: dict[str, int]


class Checkpoints:
  """The checkpoints of one run, in WORKDIR/checkpoints.

  Args:
    workdir: the folder of the run, local or gs://.
    keep: the number of latest checkpoints to keep.
    best: a metric; the checkpoint with its lowest value is kept too ('-NAME': the highest). '' for none. The best by
      another metric that the run kept before is kept as well.
    write: True to save checkpoints; this also deletes unfinished ones that a killed run left. False to read only.
  """

  def __init__(self, workdir: epath.PathLike, keep: int = 3, best: str = '', *, write: bool = False):
    self._workdir = paths.expand(workdir)
    if '://' not in str(workdir):
      self._workdir = self._workdir.absolute()
    self._folder = self._workdir / 'checkpoints'
    self._best = best
    self._last: tuple[int, dict[str, float] | None] = (0, None)  # step and metrics of the save that was tried last
    self._open: Callable[[], Any] = lambda: ocp.training.Checkpointer(
      self._folder, preservation_policy=_Kept(keep, best), cleanup_tmp_directories=write
    )
    if write:
      self._folder.mkdir(parents=True, exist_ok=True)
    self._checkpointer: Any = self._open() if self._folder.exists() else None

  def steps(self) -> list[int]:
    """The steps of all checkpoints, in rising order."""
    return [checkpoint.step for checkpoint in self._checkpointer.checkpoints] if self._checkpointer else []

  def best(self) -> int:
    """The step of the checkpoint with the best value of the metric.

    Raises:
      UserError: the run has no metric for its best checkpoint, or no checkpoint has a value of it.
    """
    if not self._best:
      raise UserError('this run keeps no best checkpoint: train it with config.keep_best=METRIC, or name a step')
    values = _values(self._checkpointer.checkpoints if self._checkpointer else (), self._best)
    if not values:
      name = self._best.removeprefix('-')
      raise UserError(f'no checkpoint in {self._folder} has the metric {name!r} of config.keep_best yet')
    return _best_of(values, self._best)

  def save(self, state: Any, place: Place, metrics: dict[str, float] | None = None) -> None:
    """Saves in the background. The caller may donate the state at once. A step that is saved already is left as it is.

    Raises:
      Diverged: the state is not finite.
      UserError: this checkpoint, or the one before it, could not be written.
    """
    if place.step in self.steps():
      return
    sums, bad = checksums.of(_tree(state))
    for name, count in bad.items():
      if count:
        raise Diverged(
          f'state{name} has {count} entries that are not finite at step {place.step}: training stopped, and the '
          'checkpoints before this step are kept; lower config.optimizers.PLAYER.learning_rate or change the loss'
        )
    metadata: dict[str, Any] = {
      'format': FORMAT,
      'versions': {'gan_jax': gan_jax.__version__, 'jax': jax.__version__, 'flax': flax.__version__},
      **place._asdict(),
      'arrays': {name: [int(sums[name]), list(leaf.shape)] for name, leaf in _tree(state).items()},
      'dtypes': {name: str(leaf.dtype) for name, leaf in _tree(state).items()},
    }
    metadata['crc'] = _crc(metadata)
    name = self._best.removeprefix('-')
    kept = {self._best: metrics[name]} if metrics and name in metrics else None
    self._last = place.step, metrics
    _silence_late_writes()
    with _writing(self._folder):
      self._checkpointer.save_async(place.step, _tree(state), custom_metadata=metadata, metrics=kept, force=True)

  def save_now(self, state: Any, place: Place) -> None:
    """Saves and waits. It works even if earlier saves failed: the folder was deleted, or the disk was full.

    A step whose save failed keeps the metrics that were given then.

    Raises:
      Diverged: the state is not finite.
      UserError: the checkpoint cannot be written.
    """
    with contextlib.suppress(UserError):  # the save before failed
      self.close()
    with _writing(self._folder):
      self._folder.mkdir(parents=True, exist_ok=True)
      self._checkpointer = self._open()
    step, metrics = self._last
    self.save(state, place, metrics if step == place.step else None)
    self.close()

  def place(self, step: int) -> Place:
    """The progress of the run at a checkpoint.

    Raises:
      UserError: there is no such checkpoint, or it has another format.
      Damaged: it cannot be read.
    """
    metadata = self._metadata(step)
    return Place(int(metadata['step']), int(metadata['stage']), dict(metadata['position']))

  def _metadata(self, step: int) -> dict[str, Any]:
    if step not in self.steps():
      raise self._missing(step)
    reason, metadata = '', None
    try:
      metadata = self._checkpointer.metadata(step).custom_metadata
    except Exception as error:
      reason = _short(error)
    if reason:
      _forget()
      raise Damaged(reason)
    if not isinstance(metadata, dict) or 'format' not in metadata:
      raise Damaged('it has no metadata')
    if metadata['format'] != FORMAT:
      raise UserError(
        f'{self._folder} has checkpoints of format {metadata["format"]} (written by {metadata.get("versions")}), this '
        f'version of gan_jax reads format {FORMAT}: use the version that wrote them'
      )
    metadata = dict(metadata)
    if metadata.pop('crc', None) != _crc(metadata) or metadata['step'] != step:
      raise Damaged('its metadata have changed')
    return metadata

  def _missing(self, step: int) -> UserError:
    known = ', '.join(map(str, self.steps())) or 'none'
    return UserError(f'no checkpoint of step {step} in {self._folder}: there are {known}')

  def restore(self, place: Place, abstract: Any) -> Any:
    """The state of a checkpoint.

    Args:
      place: from `place`.
      abstract: the shapes, dtypes and shardings of the state; the mesh may differ from that of the saved run.

    Raises:
      UserError: the checkpoint belongs to another game.
      Damaged: it cannot be read, or its numbers differ from those that were written.
    """
    metadata = self._metadata(place.step)
    written, dtypes = metadata['arrays'], metadata.get('dtypes', {})
    wanted = _tree(abstract)
    differing = [name for name in {**wanted, **written} if not (name in wanted and name in written)]
    differing += [name for name in wanted if name in written and list(wanted[name].shape) != written[name][1]]
    if differing and all('.opt_state' in name for name in differing):
      raise UserError(
        f'the checkpoint of step {place.step} in {self._folder} has another optimizer, in {len(differing)} arrays such '
        f'as {min(differing)}: a number may become another number, but no schedule, and links of a chain stay; give '
        'the optimizers that it was trained with, or another --workdir'
      )
    if differing:
      raise UserError(
        f'the checkpoint of step {place.step} in {self._folder} is of another game: {len(differing)} arrays differ, '
        f'such as {min(differing)}; give the config that it was trained with, or another --workdir'
      )
    other = [name for name, dtype in dtypes.items() if dtype != str(wanted[name].dtype)]
    if other:
      raise UserError(
        f'the checkpoint of step {place.step} in {self._folder} was trained in another precision: {other[0]} is '
        f'{dtypes[other[0]]}, here {wanted[other[0]].dtype}; set JAX_ENABLE_X64 as in that training'
      )
    reason = ''
    try:
      leaves = self._checkpointer.load(place.step, wanted)
    except Exception as error:
      reason = _short(error)
    if reason:
      _forget()
      raise Damaged(reason)
    sums, _ = checksums.of(leaves)
    wrong = [name for name, (value, *_) in written.items() if int(sums[name]) != value]
    if wrong:
      raise Damaged(f'{len(wrong)} arrays differ from what was written, such as {wrong[0]}')
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[_name(path)], abstract)

  def newest(
    self, abstract_of: Callable[[Place], Any], say: Callable[[str], object], step: int | None = None
  ) -> tuple[Place, Any] | None:
    """(place, state) of the newest checkpoint that can be read, or of one step; None if there is no checkpoint.

    Args:
      abstract_of: place -> abstract state, for `restore`.
      say: gets a line of text for every checkpoint that cannot be read.
      step: read the checkpoint of this step only.

    Raises:
      UserError: none can be read.
    """
    steps = self.steps()
    if step is not None and step not in steps:
      raise self._missing(step)
    damaged = []
    for candidate in [step] if step is not None else list(reversed(steps)):
      try:
        place = self.place(candidate)
        state = self.restore(place, abstract_of(place))
      except Damaged as error:
        say(f'the checkpoint of step {candidate} is damaged ({error})')
        damaged.append(candidate)
        continue
      if damaged:
        say(f'going on from step {candidate}, the newest that can be read')
      return place, state
    if damaged and step is not None and (others := [other for other in steps if other != step]):
      raise UserError(
        f'the checkpoint of step {step} in {self._folder} is damaged: restore it from a copy, or take another by '
        f'--checkpoint ({", ".join(map(str, others))})'
      )
    if damaged:
      raise UserError(
        f'no checkpoint in {self._folder} can be read (damaged: steps {", ".join(map(str, damaged))}): restore the '
        'folder from a copy, or start anew in another --workdir'
      )
    return None

  def put_aside(self, after: int) -> None:
    """Moves the checkpoints after a step to WORKDIR/damaged: no run reads them there, and no data are lost."""
    later = [step for step in self.steps() if step > after]
    if not later:
      return
    self.close()
    for step in later if processes.first() else ():
      stamp = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
      target = self._workdir / 'damaged' / f'{step}-{stamp}'
      target.parent.mkdir(exist_ok=True)
      (self._folder / str(step)).rename(target)
    processes.barrier('put checkpoints aside')
    self._checkpointer = self._open()

  def close(self) -> None:
    """Waits until the last save is finished.

    Raises:
      UserError: the checkpoint could not be written.
    """
    if self._checkpointer:
      checkpointer, self._checkpointer = self._checkpointer, None
      with _writing(self._folder):
        checkpointer.close()


class _Kept:
  """The latest checkpoints, the best, and the best by each metric that the run kept before: no resume deletes it.

  Each checkpoint has its value under what config.keep_best was, 'NAME' or '-NAME'.
  """

  def __init__(self, keep: int, best: str):
    self._keep, self._best = keep, best

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
    kept = {checkpoint.step for checkpoint in checkpoints[-self._keep :]}
    if values := _values(checkpoints, self._best):
      kept.add(_best_of(values, self._best))
    for key in {key for checkpoint in checkpoints for key in checkpoint.metrics or ()} - {self._best}:
      own = {c.step: c.metrics[key] for c in checkpoints if c.metrics and not math.isnan(c.metrics.get(key, math.nan))}
      # Older versions left out the sign: 'NAME' may be either.
      kept |= {_best_of(own, key), _best_of(own, f'-{key.removeprefix("-")}')} if own else set()
    return [checkpoint.step in kept for checkpoint in checkpoints]


def _values(checkpoints: Iterable[Any], best: str) -> dict[int, float]:
  """{step: value of the metric that `best` names}, whatever its sign was when it was saved. NaN is none."""
  name = best.removeprefix('-')
  scored = [(c.step, c.metrics) for c in checkpoints if c.metrics]
  known = {step: found[key] for step, found in scored for key in (name, f'-{name}') if key in found}
  return {step: value for step, value in known.items() if not math.isnan(value)}


def _best_of(values: dict[int, float], best: str) -> int:
  """The step with the lowest value, or with the highest for '-NAME'."""
  return (max if best.startswith('-') else min)(values, key=lambda step: values[step])


class _writing:
  """Turns an exception while saving into a UserError of one line."""

  def __init__(self, folder: epath.Path):
    self._folder = folder

  def __enter__(self) -> '_writing':
    return self

  def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
    if isinstance(error, Exception) and not isinstance(error, UserError):
      raise UserError(
        f'cannot write a checkpoint to {self._folder} ({_short(error)}): the checkpoints before it are kept; make room '
        'and start the same command again'
      ) from error


@functools.cache
def _silence_late_writes() -> None:
  """When a save fails, TensorStore's threads still end its other writes, after their event loop was closed.

  Python would print a traceback for each of them, before the one line that says what failed.
  """
  before = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    late = isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == 'Event loop is closed'
    if not late:
      before(unraisable)

  sys.unraisablehook = hook


def _forget() -> None:
  """Frees the unawaited tasks that a failed read leaves, without the long warnings that they print when freed."""
  logger = logging.getLogger('asyncio')
  level = logger.level
  logger.setLevel(logging.CRITICAL)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    gc.collect()
  logger.setLevel(level)


def _short(error: Exception) -> str:
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= 200 else text[:200] + '...'


def _crc(metadata: dict[str, Any]) -> int:
  return zlib.crc32(json.dumps(metadata, sort_keys=True).encode())


def _tree(state: Any) -> dict[str, Any]:
  """The state as {path: array}, so that reading a checkpoint needs no class of ours or of optax."""
  return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def _name(path: Any) -> str:
  """The name of an array in checkpoint files."""
  field = jax.tree_util.keystr(path[:1])
  return NAMES_IN_FILES.get(field, field) + jax.tree_util.keystr(path[1:])
