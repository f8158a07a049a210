"""Standing statistics: means and variances for batch norm from many batches of latents, instead of running averages.

Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, appendix D. Running averages lag behind the weights,
and they belong to latents without truncation.

differs: BigGAN-PyTorch's accumulation runs the generator in training mode, so that its vectors of spectral norm move by
one power iteration with every batch, and they are kept with the statistics. Here nothing but the statistics changes:
every batch makes one iteration from the run's own vectors, and none is kept.

differs: BigGAN-PyTorch and StudioGAN take statistics of latents without truncation, also where samples are truncated;
StudioGAN in batches of random sizes. Here they are of latents that are truncated as those of the samples.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import key_of
from gan_jax.core.game import RANDOM_STREAMS, samples_in_training
from gan_jax.core.sampled import inputs_of, truncated
from gan_jax.latents import distributions as latents_lib
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.sampler import check_count

if TYPE_CHECKING:
  from gan_jax.runs.stages import Stage

Apply = Callable[..., tuple[Any, Mapping[str, Any]]]


def standing_statistics(apply: Apply, variables: Mapping[str, Any], inputs: Sequence[Any]) -> dict[str, Any]:
  """Batch statistics averaged over several batches of the weights as they are, in place of running ones.

  What is written is m * old + (1 - m) * batch's, with a momentum m of each norm, which is found by writing over zeros
  and over numbers of the size of what that gave. Statistics that are not written stay.

  Args:
    apply: (variables, batch, mutable=['batch_stats']) -> (out, written), a network in training mode.
    variables: with 'batch_stats'.
    inputs: batches, such as latents.

  Returns:
    The variables with the averages as their 'batch_stats'.

  Raises:
    UserError: nothing is written, or there are no batches.
  """
  if isinstance(inputs, jax.Array | np.ndarray):
    raise UserError(f'standing: one array of shape {inputs.shape}: give a list of batches')
  inputs = list(inputs)
  if not inputs or 'batch_stats' not in variables:
    what = 'the variables have no batch_stats' if inputs else 'there are no batches, give at least one'
    raise UserError(f'standing: {what}')
  old = variables['batch_stats']
  over = lambda statistics, batch: apply({**variables, 'batch_stats': statistics}, batch, mutable=['batch_stats'])[1]
  zeros = jax.tree.map(jnp.zeros_like, old)
  written = [over(zeros, batch)['batch_stats'] for batch in inputs]
  # Of that size, for in float32 nothing is left of a 1 beside a variance of 1e8.
  # Operation by operation, arrays of each size would be compiled for one by one.
  every = lambda change, *trees: jax.jit(lambda *trees: jax.tree.map(change, *trees))(*trees)
  some = every(lambda w: jnp.where(w == 0, 1.0, jnp.abs(w)).astype(w.dtype), written[0])
  after = over(some, inputs[0])['batch_stats']
  momentum = every(lambda a, w, s: (a - w) / s, after, written[0], some)
  if all(np.all(leaf == 1) for leaf in jax.tree.leaves(jax.device_get(momentum))):
    raise UserError('standing: what makes samples has no batch statistics, leave it out')

  def mean(old: jax.Array, momentum: jax.Array, *batches: jax.Array) -> jax.Array:
    kept = momentum == 1
    return jnp.where(kept, old, sum(batches) / len(batches) / jnp.where(kept, 1, 1 - momentum))

  return {**variables, 'batch_stats': every(mean, old, momentum, *written)}


def of_stage(
  stage: 'Stage', variables: Mapping[str, Any], count: int, truncation: float = 0.0, *, seed: int = 0
) -> dict[str, Any]:
  """The variables of a stage's game with standing statistics. The game must have `sample(batch, train=True)`.

  Args:
    stage: with the game, and the batch size, divided by its microbatches.
    variables: of the game.
    count: batches; of games that read data, of their inputs too.
    truncation: of their latents; 0 for none.
    seed: of their latents.

  Raises:
    UserError: `sample` takes no `train`; the game has no batch statistics, or no latents to truncate; or count is below
      1.
  """
  game = stage.game
  title = type(game).__name__
  check_count(count, what='standing')
  if not samples_in_training(game):
    raise UserError(f'standing={count} asked of {title}, whose sample takes no argument `train`: leave it out')
  if 'batch_stats' not in variables:
    raise UserError(f'standing={count}: {title} has no batch statistics, leave standing out')
  game, latents = truncated(game, truncation)
  size = stage.batch_size // stage.accumulate

  @functools.partial(jax.jit, static_argnames='mutable')
  def sample(variables: Any, given: Any, mutable: tuple[str, ...]) -> Any:
    key, inputs = given
    batch = dict(inputs or {})
    if latents is not None:
      batch['latents'] = latents_lib.draw(latents, key, size)
    rngs = {name: jax.random.fold_in(key, 1 + i) for i, name in enumerate(RANDOM_STREAMS)}
    return game.apply(variables, batch, train=True, method='sample', rngs=rngs, mutable=mutable)

  # A stage is asked for its streams only if the game reads them: tests and tools may have none.
  reads = inputs_of(game, stage.streams)
  inputs = [inputs_lib.first(stage, size, start=i * size) if reads else None for i in range(count)]
  batches = [(jax.random.fold_in(key_of(seed), i), own) for i, own in enumerate(inputs)]
  return standing_statistics(lambda *given, mutable: sample(*given, mutable=tuple(mutable)), variables, batches)
