"""Several batches through one network: in a pass each, or in one pass for all."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError
from gan_jax.games.parts.coupling import check_statistics, check_uncoupled


def passes(
  network: nn.Module,
  *batches: jax.Array,
  one: bool = False,
  mixed: bool = False,
  compute: bool = True,
  conditions: Sequence[Mapping[str, jax.Array]] = (),
  **options: Any,
) -> list[Any]:
  """What a network makes of each of several batches (B, ...).

  Args:
    network: a child of a game, x, train -> (B, ...), or a tree of such.
    *batches: of one shape, if they go in one pass.
    one: all in one pass, which takes less time where batches are small. Only for networks that make of an example what
      they would make of it alone, which is checked while the game is initialised.
    mixed: the batch statistics of one pass are to be those of all batches together; nothing is checked then.
    compute: whether that check computes outputs, which takes seconds for a large network; else it looks for batch norm.
    conditions: for each batch its further arguments of the network, such as {'label': (B,)}; () for none.
    **options: arguments of the network that are the same for all batches.

  Raises:
    UserError: with `one`, the batches differ in shape, or what the network makes of an example depends on the others.
  """
  conditions = conditions or [{}] * len(batches)
  if not one or len(batches) == 1:
    # Separate passes: batch norm must not mix the statistics of two batches.
    return [network(x, train=True, **own, **options) for x, own in zip(batches, conditions, strict=True)]
  first, *others = batches
  for other in others:
    if other.shape != first.shape:
      raise UserError(
        f'config.game.one_pass needs batches of one shape, not {first.shape} and {other.shape}: set '
        'config.data.batch_size to config.batch_size, or one_pass=False'
      )
  # The rows are interleaved, not concatenated, so that each row stays on its device.
  interleave = lambda *parts: jnp.stack(parts, 1).reshape(-1, *parts[0].shape[1:])
  together = jax.tree.map(interleave, *conditions)
  outputs = network(interleave(*batches), train=True, **together, **options)
  if network.is_initializing() and not mixed:
    if compute:
      check_uncoupled(network, first, **conditions[0])
    else:
      check_statistics(network)
  part = lambda i: jax.tree.map(lambda y: y.reshape(-1, len(batches), *y.shape[1:])[:, i], outputs)
  return [part(i) for i in range(len(batches))]


def one_each(logits: jax.Array) -> jax.Array:
  """Logits (B,) of examples from logits (B, ...) of their patches: the means.

  >>> one_each(jnp.array([[1.0, 3.0], [2.0, 2.0]])).tolist()
  [2.0, 2.0]
  """
  return logits.reshape(logits.shape[0], -1).mean(1)
