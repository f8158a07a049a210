"""A trained run, read back: samples, latents, variables."""

from typing import Any

import jax
import numpy as np
from etils import epath

from gan_jax import core, runs
from gan_jax.base import console, paths
from gan_jax.runs import saved
from gan_jax.sampling import standing as standing_lib
from gan_jax.sampling.sampler import Sampler


class Run:
  """A trained run, read from its workdir: `gan_jax.load('runs/x')`.

  Attributes:
    config: the run's config.
    stage: the stage its checkpoint stands in, with the game and the streams.
    step: steps trained.
    state: the GameState.
    member: its number in a population, whose workdir this is; config, stage and state are its own. None for one game.
  """

  def __init__(self, workdir: epath.PathLike, step: int | str | None = None, member: int | None = None):
    self.workdir = paths.expand(workdir)
    found = saved.read(workdir, step, member, say=lambda line: console.say(line, error=True))
    self.config, self.stage, self.step, self.state, self.member = found
    self._samplers: dict[float, Sampler] = {}

  def variables(self, ema: bool = True, standing: int = 0, truncation: float = 0.0) -> dict[str, Any]:
    """The game's variables.

    Args:
      ema: use running averages where the run keeps them.
      standing: batches whose statistics replace the running ones of batch norm; 0 for none.
      truncation: of the latents of these batches.

    Raises:
      UserError: the game has no standing statistics or nothing to truncate.
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
    """What `sample` with the same arguments starts from: (count, ...) numpy, or a dict of such."""
    return self._sampler(truncation).latents(count, seed, label)

  def generate(self, latents: Any, *, seed: int = 0, ema: bool = True) -> Any:
    """Examples of latents of your own, (count, ...) float32 numpy in the range of the run's data.

    Args:
      latents: (count, ...), or a dict of such: what `latents` gives, or a path from `gan_jax.latents.paths`.
      seed: of a generator's own noise, if it has any.
      ema: use running averages where the run keeps them.
    """
    return self._sampler().generate(self.variables(ema), latents, seed)

  def attention(self, latents: Any, *, seed: int = 0, ema: bool = True) -> dict[str, np.ndarray]:
    """The weights of every attention layer on the way to the examples of latents.

    Args:
      latents: as `generate` takes them.
      seed: of a generator's own noise, if it has any.
      ema: use running averages where the run keeps them.

    Returns:
      {layer: (count, queries, keys)}; of each query they sum to 1.
    """
    found = self._sampler().intermediates(self.variables(ema), latents, seed)
    leaves = jax.tree_util.tree_leaves_with_path(found)
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
  """Reads a run back.

  Args:
    workdir: given to training as --workdir.
    step: of the checkpoint, or 'best' by config.keep_best; the latest by default.
    member: of a population; by default the best by config.keep_best, else the first, and a line says which.

  Raises:
    UserError: there is no run, or no such checkpoint or member.
  """
  return Run(workdir, step, member)
