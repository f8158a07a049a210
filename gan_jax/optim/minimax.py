"""Optax transformations and optimizers for games of two or more players.

This module holds optimizers. The game `Minimax` is in `gan_jax.games.minimax`, the loss is `gan_jax.losses.minimax`.

>>> import jax.numpy as jnp
>>> tx = alternate(generator=optax.sgd(0.1), discriminator=ascend(optax.sgd(0.1)), discriminator_steps=2)
>>> params = {'generator': jnp.ones(()), 'discriminator': jnp.ones(())}
>>> updates, _ = tx.update(params, tx.init(params), params)
>>> round(float(updates['discriminator']), 3), float(updates['generator'])
(0.1, 0.0)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.base.errors import UserError
from gan_jax.optim.weights import check_params

# In configs they are named beside the optimizers.
from gan_jax.optim.weights import clip_weights as clip_weights
from gan_jax.optim.weights import max_column_norm as max_column_norm
from gan_jax.optim.weights import orthogonal as orthogonal


def ascend(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
  """Makes an optimizer maximise: it negates the gradient first. For the player that maximises a shared value.

  Args:
    optimizer: optimizer that takes the negated gradient.

  >>> tx = ascend(optax.sgd(1.0))
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(jnp.ones(())))
  >>> float(updates)
  1.0
  """
  return optax.chain(optax.scale(-1.0), optimizer)


def chain(links: Sequence[optax.GradientTransformation]) -> optax.GradientTransformationExtraArgs:
  """`optax.chain` that takes a sequence, because a config can write only keyword arguments."""
  return optax.chain(*links)


def _injected(factory: Callable[..., Any], *static: str) -> Callable[..., optax.GradientTransformationExtraArgs]:
  """`optax.inject_hyperparams`, whose numbers are always the given ones.

  Its state holds every number, and optax goes on with those of the state: a resumed run, or a later stage, would not
  see that a setting changed. So an update begins with the given numbers. The state keeps them: older checkpoints fit.
  """

  def make(**settings: Any) -> optax.GradientTransformationExtraArgs:
    injected = optax.inject_hyperparams(factory, static_args=static)(**settings)
    numbers = {name: value for name, value in settings.items() if not callable(value)}

    def update(updates, state, params=None, **more):
      # Behind a barrier, the compiler rounds as it does with numbers of the state: runs go on bit by bit.
      given = jax.lax.optimization_barrier({name: v for name, v in numbers.items() if name in state.hyperparams})
      return injected.update(updates, state._replace(hyperparams=state.hyperparams | given), params, **more)

    return optax.GradientTransformationExtraArgs(injected.init, update)

  return make


def momentum(
  learning_rate: optax.ScalarOrSchedule, momentum: optax.ScalarOrSchedule, dampened: bool = False
) -> optax.GradientTransformationExtraArgs:
  """Stochastic gradient descent with momentum. Learning rate and momentum may be schedules, as in GAN 2014.

  The velocity is v <- m v - lr g and the update is v. A falling learning rate does not change the old velocity, unlike
  in `optax.sgd`.

  differs: with `dampened` the first gradient is dampened too; Torch takes it whole.

  Args:
    learning_rate: lr, a number or a schedule.
    momentum: m, a number or a schedule.
    dampened: gradients are multiplied by 1 - m, as in Torch's `optim.sgd`; without it steps are 1 / (1 - m) times as
      long.
  """
  trace = _injected(optax.trace, 'nesterov', 'accumulator_dtype')
  links = [optax.scale_by_learning_rate(learning_rate), trace(decay=momentum)]
  if dampened:
    rest = (lambda count: 1 - momentum(count)) if callable(momentum) else 1 - momentum
    links.insert(0, _injected(optax.scale)(step_size=rest))
  return optax.chain(*links)


def adam(
  learning_rate: optax.ScalarOrSchedule,
  b1: optax.ScalarOrSchedule = 0.9,
  b2: optax.ScalarOrSchedule = 0.999,
  eps: float = 1e-8,
) -> optax.GradientTransformationExtraArgs:
  """Adam whose b1 and b2 may be schedules too, as in R3GAN, whose b2 rises. With numbers it is `optax.adam`.

  The correction of the start uses the b1 and b2 of the step, as PyTorch's Adam does when they are changed. To change a
  number while training, give a schedule: numbers in the state are overwritten by those that are given here.

  Args:
    learning_rate: a number or a schedule.
    b1: of the mean of the gradients.
    b2: of the mean of their squares.
    eps: added to the root.

  Raises:
    UserError: parameters are of 16 bits, in which b2=0.999 is 1 (bfloat16) or eps=1e-8 is 0 (float16).
  """
  tx = _injected(optax.adam, 'nesterov', 'mu_dtype')(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)

  def init(params):
    for dtype in {jnp.result_type(leaf) for leaf in jax.tree.leaves(params)}:
      if dtype in (jnp.bfloat16, jnp.float16):
        raise UserError(
          f'minimax.adam computes in the dtype of the parameters, {dtype}: keep them in float32, or take optax.adam'
        )
    return tx.init(params)

  return optax.GradientTransformationExtraArgs(init, tx.update)


def alternate(
  *,
  generator: optax.GradientTransformation,
  discriminator: optax.GradientTransformation,
  discriminator_steps: int = 1,
) -> optax.GradientTransformationExtraArgs:
  """One optimizer over {'generator': ..., 'discriminator': ...} for your own training loop.

  In each cycle, updates 0 ... discriminator_steps - 1 move the discriminator and the next update moves the generator.
  The other player gets zero updates and keeps its optimizer state. With the same gradients it equals `core.play`.
  Source: the alternation of Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, algorithm 1.

  Args:
    generator: the generator's optimizer.
    discriminator: the discriminator's optimizer.
    discriminator_steps: k, at least 1.

  Raises:
    ValueError: discriminator_steps is below 1.
  """
  if (
    isinstance(discriminator_steps, bool) or int(discriminator_steps) != discriminator_steps or discriminator_steps < 1
  ):
    raise ValueError(f'alternate: discriminator_steps is {discriminator_steps}, must be a whole number of at least 1')
  cycle = discriminator_steps + 1
  generators_turn = lambda count, **_: count % cycle == discriminator_steps
  discriminators_turn = lambda count, **_: count % cycle != discriminator_steps
  # Each gets its player's tree alone, so that masks are of that tree.
  players = {
    'discriminator': optax.transforms.conditionally_mask(discriminator, discriminators_turn),
    'generator': optax.transforms.conditionally_mask(generator, generators_turn),
  }

  def init(params):
    _check_players(params)
    return AlternateState({name: tx.init(params[name]) for name, tx in players.items()})

  def update(updates, state, params=None, **more):
    _check_players(updates)
    of = lambda name: None if params is None else params[name]
    moved = {name: tx.update(updates[name], state.players[name], of(name), **more) for name, tx in players.items()}
    # In the container that was given, and its order: that of names, or of an OrderedDict its own.
    parts, _ = jax.tree_util.tree_flatten_with_path(updates, is_leaf=lambda part: part is not updates)
    names = [
      getattr(path[0], 'key', getattr(path[0], 'name', '')) for path, _ in parts
    ]  # of a dict, of chex's dataclass
    leaves = [leaf for name in names for leaf in jax.tree.leaves(moved[name][0])]
    new = jax.tree.unflatten(jax.tree.structure(updates), leaves)
    return new, AlternateState({name: after for name, (_, after) in moved.items()})

  return optax.GradientTransformationExtraArgs(init, update)


class AlternateState(NamedTuple):
  """State of `alternate`.

  Attributes:
    players: {player: state of its optimizer}.
  """

  players: Any


def _check_players(tree: Any) -> None:
  if not isinstance(tree, Mapping):
    raise ValueError(f'alternate: the tree is a {type(tree).__name__}: give a dict of generator and discriminator')
  if set(tree) != {'generator', 'discriminator'}:
    raise ValueError(f'alternate: the tree has {", ".join(map(str, tree))}, must have generator and discriminator')


def optimistic(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformationExtraArgs:
  """Optimistic gradient descent: it follows 2 g_t - g_{t-1}, twice the gradient minus the previous gradient.

  Source: Daskalakis et al. 2017, https://arxiv.org/abs/1711.00141, eq. 3.

  Args:
    learning_rate: a number or a schedule.

  >>> tx = optimistic(0.5)
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(jnp.ones(())))
  >>> float(updates)  # the first step is plain gradient descent
  -0.5
  """
  scale = optax.scale_by_optimistic_gradient(alpha=1.0, beta=1.0)
  return optax.chain(scale, optax.scale_by_learning_rate(learning_rate))


def negative_momentum(
  learning_rate: optax.ScalarOrSchedule, momentum: float = -0.5
) -> optax.GradientTransformationExtraArgs:
  """Gradient descent with negative momentum, which damps the rotation of alternating updates.

  Source: Gidel et al. 2018, https://arxiv.org/abs/1807.04740, eq. 13 and theorem 6.

  Args:
    learning_rate: a number or a schedule.
    momentum: in (-1, 0).

  Raises:
    ValueError: the momentum is out of range.

  >>> tx = negative_momentum(0.1)
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(jnp.ones(())))
  >>> round(float(updates), 3)
  -0.1
  """
  if not -1 < momentum < 0:
    raise ValueError(f'negative_momentum: momentum is {momentum}, must be between -1 and 0')
  return optax.chain(optax.trace(decay=momentum), optax.scale_by_learning_rate(learning_rate))


class AverageState(NamedTuple):
  """State of `historical_averaging`.

  Attributes:
    mean: mean of the parameters over all updates so far, the initial ones included.
    seen: how many parameters the mean is over, int32 scalar.
  """

  mean: optax.Params
  seen: jax.Array


def historical_averaging(weight: float) -> optax.GradientTransformation:
  r"""Adds the gradient of $w \|\theta - \frac1t \sum_i \theta_i\|^2$, the mean held fixed. Put it first in a chain.

  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.3.

  Args:
    weight: w, the strength of the pull to the mean.

  >>> tx = historical_averaging(0.5)
  >>> state = tx.init(jnp.array(1.0))
  >>> _, state = tx.update(jnp.array(0.0), state, jnp.array(1.0))
  >>> float(tx.update(jnp.array(0.0), state, jnp.array(3.0))[0])  # the mean of 1 and 3 is 2
  1.0
  """

  def init(params):
    return AverageState(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))

  def update(updates, state, params=None):
    check_params(params)
    seen = state.seen + 1
    mean = jax.tree.map(lambda m, p: m + (p - m) / seen.astype(p.dtype), state.mean, params)
    updates = jax.tree.map(lambda u, p, m: u + 2 * weight * (p - m), updates, params, mean)
    return updates, AverageState(mean, seen)

  return optax.GradientTransformation(init, update)


class LookaheadState(NamedTuple):
  """State of `lookahead`.

  Attributes:
    slow: the slow parameters.
    since: number of updates since the slow parameters last moved, int32 scalar.
  """

  slow: optax.Params
  since: jax.Array


def lookahead(every: int = 5, share: float = 0.5) -> optax.GradientTransformation:
  r"""Every k updates, moves to a point between the slow and the fast parameters. Put it last in a player's chain.

  Give all players the same k (times their moves per step), so that they move back at the same time.
  Source: Chavdarova et al. 2020 (Lookahead-minimax), https://arxiv.org/abs/2006.14567, algorithm 1.

  Args:
    every: k, at least 1.
    share: alpha, the weight of the fast parameters.

  Raises:
    ValueError: `every` is below 1.

  >>> tx = optax.chain(optax.sgd(1.0), lookahead(every=1, share=0.5))
  >>> updates, _ = tx.update(jnp.array(4.0), tx.init(jnp.array(0.0)), jnp.array(0.0))
  >>> float(updates)  # half-way back from -4
  -2.0
  """
  if every < 1:
    raise ValueError(f'lookahead: every is {every}, must be at least 1')

  def init(params):
    return LookaheadState(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))

  def update(updates, state, params=None):
    check_params(params)
    due = state.since + 1 >= every  # more where `every` was larger before: in another stage, or before a resume
    fast = jax.tree.map(jnp.add, params, updates)
    slow = jax.tree.map(lambda s, f: jnp.where(due, s + share * (f - s), s), state.slow, fast)
    updates = jax.tree.map(lambda u, s, p: jnp.where(due, s - p, u), updates, slow, params)
    return updates, LookaheadState(slow, jnp.where(due, 0, state.since + 1))

  return optax.GradientTransformation(init, update)
