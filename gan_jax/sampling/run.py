"""A trained run, loaded from its workdir: samples, latents, variables."""

import functools
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from etils import epath
from PIL.Image import Image

from gan_jax import core, runs
from gan_jax.base import console, paths
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.sampled import truncated
from gan_jax.data.sources import remembered
from gan_jax.runs import imported, run_config, saved
from gan_jax.sampling import conditions, sheets
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling import standing as standing_lib
from gan_jax.sampling.moved import moved
from gan_jax.sampling.outputs import imitated
from gan_jax.sampling.reading import Read, read_by_sample
from gan_jax.sampling.sampler import Sampler, check_count


class Run:
  """A trained run, read from its workdir: `gan_jax.load('runs/x')`.

  Attributes:
    config: the run's config.
    stage: the stage of its checkpoint, with the game and the streams.
    step: number of finished steps.
    state: the GameState.
    member: number of the member, if the run is a population: config, stage and state are those of this member. None
      for a run of one game.
  """

  def __init__(
    self, workdir: epath.PathLike, step: int | str | None = None, member: int | None = None, data_path: str = ''
  ):
    self.workdir = paths.expand(workdir)
    found = saved.read(workdir, step, member, say=lambda line: console.say(line, error=True))
    self.config, self.stage, self.step, self.state, self.member = found
    if data_path:
      self.stage = self.stage._replace(streams=moved(self.stage.streams, data_path))
    self._samplers: dict[float, Sampler] = {}

  @property
  def imported(self) -> dict[str, Any]:
    """What is known of weights that `gan_jax.convert` read: {'step': ..., 'files': {network: file}}; else {}."""
    return imported.noted(self.workdir)

  def variables(self, ema: bool = True, standing: int = 0, truncation: float = 0.0) -> dict[str, Any]:
    """The game's variables.

    Args:
      ema: use running averages where the run keeps them.
      standing: batches whose statistics replace the running ones of batch norm; 0 for none.
      truncation: of the latents of these batches.

    Raises:
      UserError: the game cannot have standing statistics, or has no normal latents to truncate.
    """
    clock = runs.clock_at(self.stage, self.step)
    variables = core.game_variables(self.stage.game, self.state, ema=ema, clock=clock)
    return standing_lib.of_stage(self.stage, variables, standing, truncation) if standing else variables

  def sample(
    self,
    count: int,
    *,
    seed: int = 0,
    label: int | None = None,
    condition: conditions.Condition | None = None,
    inputs: Any = None,
    split: inputs_lib.Splits = None,
    ema: bool = True,
    truncation: float = 0.0,
    standing: int = 0,
  ) -> Any:
    """Samples 0 ... count - 1 of a seed, (count, ...) float32 numpy in the range of the run's data.

    Args:
      count: how many.
      seed: sample i depends on (seed, i), not on count.
      label: the class to ask a conditional game for; None for classes at random.
      condition: {name: value} that all samples are asked for, such as {'Male': 1} or {'text': 'a red shoe'}: parts of
        the latents, attributes by their names, or columns of the streams that the game reads when it samples.
      inputs: {stream: fields (count, ...)}, of games that read data when they sample, such as `examples` gives them;
        by default the examples of the run's own streams in the order of evaluations, again from the first where they
        are fewer than count.
      split: of the run's own streams, one for all or {stream: split}; by default what is held out of the training,
        where there is such.
      ema: use running averages where the run keeps them.
      truncation: normal latents are drawn anew until they lie within it (Brock et al. 2018,
        https://arxiv.org/abs/1809.11096, section 3.1), unless the game has a truncation of its own; 0 for none.
      standing: batches whose statistics replace the running ones of batch norm; 0 for none.
    """
    if label is not None and condition and 'label' in condition:
      raise UserError(f'label={label} and condition label={condition["label"]!r}: give one')
    variables = self.variables(ema, standing, truncation)
    inputs = self.inputs(count, split, condition) if inputs is None else inputs
    sampler = self._sampler(truncation)
    if not condition:
      return sampler(variables, count, seed, label, inputs)
    latents = None if self.stage.game.latents is None else sampler.latents(count, seed, label)
    with self.remembering():
      latents, inputs = conditions.apply(self.stage, condition, latents, inputs, count, self.read)
    with inputs_lib.missing(self.stage, count, split):
      if latents is None:
        return sampler(variables, count, seed, label, inputs)
      return sampler.generate(variables, latents, seed, inputs)

  def examples(self, stream: str = '', split: str = '', n: int = 64) -> dict[str, np.ndarray]:
    """The first examples of one of the run's sets, as its losses see them, in the order of evaluations.

    Args:
      stream: its name; the first by default.
      split: of the set; by default what is held out of the training, where there is such.
      n: at most so many.

    Returns:
      {field: (n, ...)} numpy, such as {'image': ...}: what `sample` takes as inputs={stream: ...}.

    Raises:
      UserError: there is no such stream or split.
    """
    streams = self.stage.streams
    if stream and stream not in streams:
      raise one_of('stream', stream, streams)
    chosen = inputs_lib.input_stream(streams[stream or next(iter(streams))], split or None)
    return inputs_lib.examples(chosen, np.arange(min(check_count(n, what='n'), len(chosen.open()))))

  @functools.cached_property
  def read(self) -> Read | None:
    """What the game's `sample` reads of all that it is given; None where the data are not there to say."""
    try:
      with self.remembering():
        return read_by_sample(self.stage, self.variables())
    except UserError:
      return None

  def remembering(self) -> AbstractContextManager[None]:
    """While it lasts, streams have the examples that the run noted when it was trained, whatever their data are now."""
    return remembered.remembering(run_config.read_examples(self.workdir))

  def inputs(self, count: int, split: inputs_lib.Splits = None, condition: conditions.Condition | None = None) -> Any:
    """What `sample` starts from by default: {stream: {field: (count, ...)}}; None of games that read no data.

    Args:
      count: how many.
      split: of the run's own streams, as in `sample`.
      condition: that is asked for. With one, and no split, fields may be absent where the data are not there.

    Raises:
      UserError: the data are not there.
    """
    check_count(count)
    try:
      return inputs_lib.first(self.stage, count, split)
    except UserError:
      if not condition or split:
        raise
      return {name: {} for name in core.inputs_of(self.stage.game, self.stage.streams)}

  def latents(self, count: int, *, seed: int = 0, label: int | None = None, truncation: float = 0.0) -> Any:
    """The latents that `sample` uses with the same arguments: (count, ...) numpy, or a dict of such arrays."""
    if truncation and truncated(self.stage.game, truncation)[1] == self.stage.game.latents:
      title = type(self.stage.game).__name__
      raise UserError(
        f'truncation={truncation} of {title} acts behind the latents: leave it out here, or sample a grid'
      )
    return self._sampler(truncation).latents(count, seed, label)

  def generate(self, latents: Any, *, seed: int = 0, ema: bool = True, inputs: Any = None) -> Any:
    """Examples of latents of your own, (count, ...) float32 numpy in the range of the run's data.

    Args:
      latents: (count, ...), or a dict of such: what `latents` gives, or a path from `gan_jax.latents.paths`.
      seed: of a generator's own noise, if it has any.
      ema: use running averages where the run keeps them.
      inputs: as `sample` takes them.
    """
    return self._sampler().generate(self.variables(ema), latents, seed, self._inputs_of(latents, inputs))

  def attention(self, latents: Any, *, seed: int = 0, ema: bool = True, inputs: Any = None) -> dict[str, np.ndarray]:
    """The weights of every attention layer on the way to the examples of latents.

    Args:
      latents: as `generate` takes them.
      seed: of a generator's own noise, if it has any; the noise is not that of `generate`.
      ema: use running averages where the run keeps them.
      inputs: as `sample` takes them.

    Returns:
      {layer: (count, queries, keys)}; the weights of each query sum to 1.
    """
    found = self._sampler().intermediates(self.variables(ema), latents, seed, self._inputs_of(latents, inputs))
    return attention_of(found)

  def _inputs_of(self, latents: Any, inputs: Any) -> Any:
    return self.inputs(max((len(x) for x in jax.tree.leaves(latents)), default=1)) if inputs is None else inputs

  def _sampler(self, truncation: float = 0.0) -> Sampler:
    if truncation not in self._samplers:
      self._samplers[truncation] = Sampler(self.stage.game, truncation)
    return self._samplers[truncation]

  @property
  def evaluation_file(self) -> epath.Path:
    """Where `gan_jax.evaluate` writes the figures of this run, or of this member of a population."""
    return self.workdir / ('evaluation.json' if self.member is None else f'evaluation_member_{self.member}.json')

  @property
  def range(self) -> tuple[float, float]:
    """(low, high) of the pixels that the main output imitates."""
    return self.range_of()

  def range_of(self, output: str = '') -> tuple[float, float]:
    """(low, high) of the pixels that an output imitates; the main one by default."""
    of = imitated(self.stage, output or next(iter(core.outputs_of(self.stage.game, self.stage.streams)), ''))
    return self.stage.streams[of.stream].range_of(of.field)

  def pictures(self, samples: Any, inputs: Any = None) -> dict[str, Image]:
    """{name of what the game makes: its picture} of samples; what has no picture is left out.

    Args:
      samples: as `sample` gives them.
      inputs: that they were made of, to stand beside them.
    """
    return sheets.sheets(self.stage, samples, inputs)


def attention_of(intermediates: Any) -> dict[str, Any]:
  """{layer: its weights (count, queries, keys)} of what networks sow."""
  leaves = jax.tree_util.tree_leaves_with_path(intermediates)
  name = lambda path: '_'.join(part.key for part in path[:-2])
  return {name(path): leaf for path, leaf in leaves if getattr(path[-2], 'key', '') == 'attention'}


def load(workdir: epath.PathLike, step: int | str | None = None, member: int | None = None, data_path: str = '') -> Run:
  """Loads a trained run.

  Args:
    workdir: folder of the run, the --workdir of training.
    step: step of the checkpoint, or 'best' (by config.keep_best); the latest by default.
    member: number of a member of a population; by default the best by config.keep_best, or else the first. A line on
      the console says which member was chosen.
    data_path: where the data are now, if they have moved: PATH, or STREAM=PATH.

  Raises:
    UserError: the run, the checkpoint, the member or the stream does not exist.
  """
  return Run(workdir, step, member, data_path)
