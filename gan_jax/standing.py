"""Standing statistics: batch norm's means and variances of many batches of latents, in place of running ones.

Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, appendix D. Running ones lag behind the weights, and belong
to latents that are not truncated.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from absl import flags

from gan_jax.data import latents as latents_lib
from gan_jax.errors import UserError
from gan_jax.game import RANDOM_STREAMS

if TYPE_CHECKING:
  from gan_jax.experiment import Stage

Apply = Callable[..., tuple[Any, Mapping[str, Any]]]


def standing_statistics(
  apply: Apply, variables: Mapping[str, Any], inputs: Sequence[Any], *, momentum: float = 0.9
) -> dict[str, Any]:
  """Batch statistics averaged over several batches of the weights as they are, in place of running ones.

  Args:
    apply: (variables, batch, mutable=['batch_stats']) -> (out, written), a network in training mode.
    variables: with 'batch_stats'.
    inputs: batches, such as latents.
    momentum: that of the network's batch norm: what is written is momentum * old + (1 - momentum) * batch's.

  Returns:
    The variables with the averages as their 'batch_stats'.
  """
  old = variables['batch_stats']
  total = None
  for batch in inputs:
    _, written = apply(variables, batch, mutable=['batch_stats'])
    of_batch = lambda new, old: (new - momentum * old) / (1 - momentum)
    stats = jax.tree.map(of_batch, written['batch_stats'], old)
    total = stats if total is None else jax.tree.map(jnp.add, total, stats)
  return {**variables, 'batch_stats': jax.tree.map(lambda x: x / len(inputs), total)}


def of_stage(
  stage: 'Stage', variables: Mapping[str, Any], count: int, truncation: float = 0.0, *, seed: int = 0
) -> dict[str, Any]:
  """Those of a game that makes its examples with `sample(batch, train=True)`.

  Args:
    stage: with the game, and the batch size, divided by its microbatches.
    variables: of the game.
    count: batches.
    truncation: of their latents; 0 for none.
    seed: of their latents.

  Raises:
    UserError: the game cannot, has no batch statistics, or nothing to truncate.
  """
  game = stage.game
  title = type(game).__name__
  if 'train' not in inspect.signature(game.sample).parameters or game.latents is None:
    raise UserError(f'standing={count} asked of {title}, whose sample takes no train: leave it out')
  if 'batch_stats' not in variables:
    raise UserError(f'standing={count} asked of {title}, which has no batch statistics: leave it out')
  drawn, size = latents_lib.truncated(game.latents, truncation), max(stage.batch_size // stage.accumulate, 1)

  # The momentum of each norm is found from what the same batch makes of other old statistics.
  @jax.jit
  def written(statistics: Any, key: jax.Array) -> Any:
    batch = {'latents': latents_lib.draw(drawn, key, size)}
    rngs = {name: jax.random.fold_in(key, 1 + i) for i, name in enumerate(RANDOM_STREAMS)}
    given = {**variables, 'batch_stats': statistics}
    return game.apply(given, batch, train=True, method='sample', rngs=rngs, mutable=['batch_stats'])[1]['batch_stats']

  keys = [jax.random.fold_in(jax.random.key(seed), i) for i in range(count)]
  old = variables['batch_stats']
  zeros, ones = jax.tree.map(jnp.zeros_like, old), jax.tree.map(jnp.ones_like, old)
  firsts = [written(statistics, keys[0]) for statistics in (zeros, ones)]
  total = firsts[0]
  for key in keys[1:]:
    total = jax.tree.map(jnp.add, total, written(zeros, key))
  kept = jax.tree.map(lambda one, zero: one - zero, firsts[1], firsts[0])
  # What the batches did not write, such as the discriminator's, stays.
  mean = jax.tree.map(lambda s, k, o: jnp.where(k == 1, o, s / jnp.where(k == 1, 1, 1 - k) / count), total, kept, old)
  return {**variables, 'batch_stats': mean}


def define_flags(values: flags.FlagValues) -> None:
  """--truncation and --standing, of the commands that make samples."""
  flags.DEFINE_float(
    'truncation', 0.0, 'Normal latents lie within it, as if drawn anew; 0 for all.', lower_bound=0.0, flag_values=values
  )
  flags.DEFINE_integer(
    'standing',
    0,
    "Batches whose statistics replace batch norm's running ones; 0 for none.",
    lower_bound=0,
    flag_values=values,
  )
