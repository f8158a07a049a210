"""A trained run, loaded from its workdir: samples, latents, variables."""

from typing import Any

import jax
import numpy as np
from etils import epath

from gan_jax import core, runs
from gan_jax.base import console
from gan_jax.runs import saved
from gan_jax.sampling import standing as standing_lib
from gan_jax.sampling.sampler import Sampler


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

  def __init__(self, workdir: epath.PathLike, step: int | str | None = None, member: int | None = None):
    self.workdir = epath.Path(workdir)
    loaded = saved.read(workdir, step, member, say=lambda line: console.say(line, error=True))
    self.config, self.stage, self.step, self.state, self.member = loaded
    self._samplers: dict[float, Sampler] = {}

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
    inputs: Any = None,
    ema: bool = True,
    truncation: float = 0.0,
    standing: int = 0,
  ) -> Any:
    """Samples 0 ... count - 1 of a seed, (count, ...) float32 numpy in the range of the run's data.

    Args:
      count: how many.
      seed: sample i depends on (seed, i), not on count.
      label: the class to ask a conditional game for; None for classes at random.
      inputs: {stream: fields} for games that translate examples.
      ema: use running averages where the run keeps them.
      truncation: normal latents are drawn anew until they lie within it (Brock et al. 2018,
        https://arxiv.org/abs/1809.11096, section 3.1); 0 for none.
      standing: batches whose statistics replace the running ones of batch norm; 0 for none.
    """
    variables = self.variables(ema, standing, truncation)
    return self._sampler(truncation)(variables, count, seed, label, inputs)

  def latents(self, count: int, *, seed: int = 0, label: int | None = None, truncation: float = 0.0) -> Any:
    """The latents that `sample` uses with the same arguments: (count, ...) numpy, or a dict of such arrays."""
    return self._sampler(truncation).latents(count, seed, label)

  def generate(self, latents: Any, *, seed: int = 0, ema: bool = True) -> Any:
    """Generates examples from your own latents: (count, ...) float32 numpy in the range of the run's data.

    Args:
      latents: (count, ...), or a dict of such: what `latents` gives, or a path from `gan_jax.latents.paths`.
      seed: of a generator's own noise, if it has any.
      ema: use running averages where the run keeps them.
    """
    return self._sampler().generate(self.variables(ema), latents, seed)

  def attention(self, latents: Any, *, seed: int = 0, ema: bool = True) -> dict[str, np.ndarray]:
    """The attention weights of every attention layer, for given latents.

    Args:
      latents: as `generate` takes them.
      seed: of a generator's own noise, if it has any.
      ema: use running averages where the run keeps them.

    Returns:
      {layer: (count, queries, keys)}; the weights of each query sum to 1.
    """
    intermediates = self._sampler().intermediates(self.variables(ema), latents, seed)
    leaves = jax.tree_util.tree_leaves_with_path(intermediates)
    name = lambda path: '_'.join(part.key for part in path[:-2])
    return {name(path): leaf for path, leaf in leaves if getattr(path[-2], 'key', '') == 'attention'}

  def _sampler(self, truncation: float = 0.0) -> Sampler:
    if truncation not in self._samplers:
      self._samplers[truncation] = Sampler(self.stage.game, truncation)
    return self._samplers[truncation]

  @property
  def range(self) -> tuple[float, float]:
    """(low, high) of the first stream's pixels."""
    return next(iter(self.stage.streams.values())).range


def load(workdir: epath.PathLike, step: int | str | None = None, member: int | None = None) -> Run:
  """Loads a trained run.

  Args:
    workdir: folder of the run, the --workdir of training.
    step: step of the checkpoint, or 'best' (by config.keep_best); the latest by default.
    member: number of a member of a population; by default the best by config.keep_best, or else the first. A line on
      the console says which member was chosen.

  Raises:
    UserError: the run, the checkpoint or the member does not exist.
  """
  return Run(workdir, step, member)
