"""Minimax in optax: links and optimizers that a game of two or more players needs.

>>> import jax.numpy as jnp
>>> tx = alternate(generator=optax.sgd(0.1), discriminator=ascend(optax.sgd(0.1)), discriminator_steps=2)
>>> params = {'generator': jnp.ones(()), 'discriminator': jnp.ones(())}
>>> updates, _ = tx.update(params, tx.init(params), params)
>>> round(float(updates['discriminator']), 3), float(updates['generator'])
(0.1, 0.0)
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


def ascend(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
  """An optimizer that goes up: for the maximiser of a value that two players share.

  Args:
    optimizer: what to follow the negated gradient with.

  >>> tx = ascend(optax.sgd(1.0))
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(jnp.ones(())))
  >>> float(updates)
  1.0
  """
  return optax.chain(optax.scale(-1.0), optimizer)


def chain(links: Sequence[optax.GradientTransformation]) -> optax.GradientTransformationExtraArgs:
  """`optax.chain` of a sequence, the form a config can write."""
  return optax.chain(*links)


def clip_weights(limit: float) -> optax.GradientTransformation:
  """Keeps every parameter in [-limit, limit] after the update: the last link of a WGAN critic's chain.

  Source: Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, algorithm 1, line 7.

  Args:
    limit: c, positive (the paper's 0.01).

  >>> tx = optax.chain(optax.sgd(1.0), clip_weights(0.01))
  >>> params = jnp.zeros(())
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(params), params)
  >>> round(float(updates), 4)
  -0.01
  """
  if limit <= 0:
    raise ValueError(f'clip_weights: limit is {limit}, must be positive')

  def update(updates, state, params=None):
    if params is None:
      raise ValueError(optax.NO_PARAMS_MSG)
    return jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params), state

  return optax.GradientTransformation(optax.init_empty_state, update)


def max_column_norm(limit: float) -> optax.GradientTransformation:
  """Keeps the incoming weights of every unit within a Euclidean norm after the update: a maxout network's last link.

  Source: Srivastava et al. 2014 (dropout), https://jmlr.org/papers/v15/srivastava14a.html, section 5.1; pylearn2's
  `max_col_norm`. Kernels (in, out) of dense layers alone are kept; biases and convolutions go free.

  Args:
    limit: positive (1.9365 in the authors' MNIST networks).

  >>> tx = optax.chain(optax.sgd(1.0), max_column_norm(1.0))
  >>> params = {'kernel': jnp.array([[3.0], [4.0]])}
  >>> updates, _ = tx.update({'kernel': jnp.zeros((2, 1))}, tx.init(params), params)
  >>> bool(jnp.allclose(params['kernel'] + updates['kernel'], jnp.array([[0.6], [0.8]])))
  True
  """
  if limit <= 0:
    raise ValueError(f'max_column_norm: limit is {limit}, must be positive')

  def kept(update, param):
    if param.ndim != 2:
      return update
    moved = param + update
    norms = jnp.sqrt(jnp.square(moved).sum(0, keepdims=True))
    return moved * jnp.minimum(1.0, limit / jnp.maximum(norms, 1e-7)) - param

  def update(updates, state, params=None):
    if params is None:
      raise ValueError(optax.NO_PARAMS_MSG)
    return jax.tree.map(kept, updates, params), state

  return optax.GradientTransformation(optax.init_empty_state, update)


def momentum(
  learning_rate: optax.ScalarOrSchedule, momentum: optax.ScalarOrSchedule
) -> optax.GradientTransformationExtraArgs:
  """Stochastic gradient descent whose learning rate and momentum may both be schedules, as in GAN 2014.

  The velocity is v <- m v - lr g and the update is v, so a falling learning rate does not rescale old velocity.
  """
  trace = optax.inject_hyperparams(optax.trace, static_args=('nesterov', 'accumulator_dtype'))
  return optax.chain(optax.scale_by_learning_rate(learning_rate), trace(decay=momentum))


def alternate(
  *,
  generator: optax.GradientTransformation,
  discriminator: optax.GradientTransformation,
  discriminator_steps: int = 1,
) -> optax.GradientTransformationExtraArgs:
  """One optimizer over {'generator': ..., 'discriminator': ...} for people with their own loop.

  Updates 0 ... discriminator_steps - 1 of each cycle move the discriminator, the next one the generator; who does
  not move gets zero updates and keeps its optimizer state. Given the same gradients it equals `core.play`.
  Source: the alternation of Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, algorithm 1.

  Args:
    generator: the generator's optimizer.
    discriminator: the discriminator's optimizer.
    discriminator_steps: k, at least 1.
  """
  if discriminator_steps < 1:
    raise ValueError(f'alternate: discriminator_steps is {discriminator_steps}, must be at least 1')
  cycle = discriminator_steps + 1
  generators_turn = lambda count, **_: count % cycle == discriminator_steps
  discriminators_turn = lambda count, **_: count % cycle != discriminator_steps
  return optax.partition(
    {
      'generator': optax.transforms.conditionally_mask(generator, generators_turn),
      'discriminator': optax.transforms.conditionally_mask(discriminator, discriminators_turn),
    },
    {'generator': 'generator', 'discriminator': 'discriminator'},
  )


def optimistic(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformationExtraArgs:
  """Optimistic gradient descent: twice the gradient less the one before.

  Source: Daskalakis et al. 2017, https://arxiv.org/abs/1711.00141, eq. 3.

  Args:
    learning_rate: a number or a schedule.

  >>> tx = optimistic(0.5)
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(jnp.ones(())))
  >>> float(updates)  # the first step is a plain one
  -0.5
  """
  scale = optax.scale_by_optimistic_gradient(alpha=1.0, beta=1.0)
  return optax.chain(scale, optax.scale_by_learning_rate(learning_rate))


def negative_momentum(
  learning_rate: optax.ScalarOrSchedule, momentum: float = -0.5
) -> optax.GradientTransformationExtraArgs:
  """Descent with momentum below zero, which damps the rotation of alternating play.

  Source: Gidel et al. 2018, https://arxiv.org/abs/1807.04740, eq. 13 and theorem 6.

  Args:
    learning_rate: a number or a schedule.
    momentum: in (-1, 0).

  Raises:
    ValueError: a momentum out of range.

  >>> tx = negative_momentum(0.1)
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(jnp.ones(())))
  >>> round(float(updates), 3)
  -0.1
  """
  if not -1 < momentum < 0:
    raise ValueError(f'negative_momentum: momentum is {momentum}, must be between -1 and 0')
  return optax.chain(optax.trace(decay=momentum), optax.scale_by_learning_rate(learning_rate))


class AverageState(NamedTuple):
  """State of `historical_averaging`: the mean of all parameters so far, and their number."""

  mean: optax.Params
  seen: jax.Array


def historical_averaging(weight: float) -> optax.GradientTransformation:
  r"""Adds the gradient of $w \|\theta - \frac1t \sum_i \theta_i\|^2$, the mean held fixed: first link of a chain.

  Source: Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.3.

  Args:
    weight: w.

  >>> tx = historical_averaging(0.5)
  >>> state = tx.init(jnp.array(1.0))
  >>> float(tx.update(jnp.array(0.0), state, jnp.array(3.0))[0])  # the mean of 1 and 3 is 2
  1.0
  """

  def init(params):
    return AverageState(jax.tree.map(jnp.copy, params), jnp.ones((), jnp.int32))

  def update(updates, state, params=None):
    if params is None:
      raise ValueError(optax.NO_PARAMS_MSG)
    seen = state.seen + 1
    mean = jax.tree.map(lambda m, p: m + (p - m) / seen.astype(p.dtype), state.mean, params)
    updates = jax.tree.map(lambda u, p, m: u + 2 * weight * (p - m), updates, params, mean)
    return updates, AverageState(mean, seen)

  return optax.GradientTransformation(init, update)


def orthogonal(weight: float, *, off_diagonal: bool = True, skip: Sequence[str] = ()) -> optax.GradientTransformation:
  r"""Adds the gradient of an orthogonality penalty on every kernel: first link of a chain.

  $\beta \|W^T W \odot (1 - I)\|_F^2$ (BigGAN), or $\beta \|W^T W - I\|_F^2$ (the full form), W of shape (in, out).
  Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, eq. 3; the full form Brock et al. 2016,
  https://arxiv.org/abs/1609.07093, eq. 2.

  Args:
    weight: beta (BigGAN's 1e-4).
    off_diagonal: leave the diagonal free.
    skip: names of modules whose kernels are left alone, such as an embedding's.

  >>> tx = orthogonal(0.5)
  >>> w = {'kernel': jnp.array([[1.0, 1.0]])}
  >>> tx.update({'kernel': jnp.zeros((1, 2))}, tx.init(w), w)[0]['kernel'].tolist()
  [[2.0, 2.0]]
  """

  def penalty(kernel):
    matrix = kernel.reshape(-1, kernel.shape[-1])
    gram, eye = matrix.T @ matrix, jnp.eye(kernel.shape[-1], dtype=kernel.dtype)
    return weight * jnp.sum((gram * (1 - eye) if off_diagonal else gram - eye) ** 2)

  def update(updates, state, params=None):
    if params is None:
      raise ValueError(optax.NO_PARAMS_MSG)
    skipped = lambda path: any(getattr(part, 'key', None) in skip for part in path)
    pull = lambda path, u, p: u + jax.grad(penalty)(p) if p.ndim > 1 and not skipped(path) else u
    return jax.tree_util.tree_map_with_path(pull, updates, params), state

  return optax.GradientTransformation(optax.init_empty_state, update)


class LookaheadState(NamedTuple):
  """State of `lookahead`: the slow parameters, and the updates made since they moved."""

  slow: optax.Params
  since: jax.Array


def lookahead(every: int = 5, share: float = 0.5) -> optax.GradientTransformation:
  r"""Every k updates goes back to a point between slow and fast parameters: the last link of each player's chain.

  Give all players the same k (times their moves per step), so that they go back at the same time.
  Source: Chavdarova et al. 2020 (Lookahead-minimax), https://arxiv.org/abs/2006.14567, algorithm 1.

  Args:
    every: k, at least 1.
    share: alpha, of the fast parameters.

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
    if params is None:
      raise ValueError(optax.NO_PARAMS_MSG)
    due = state.since + 1 == every
    fast = jax.tree.map(jnp.add, params, updates)
    slow = jax.tree.map(lambda s, f: jnp.where(due, s + share * (f - s), s), state.slow, fast)
    updates = jax.tree.map(lambda u, s, p: jnp.where(due, s - p, u), updates, slow, params)
    return updates, LookaheadState(slow, jnp.where(due, 0, state.since + 1))

  return optax.GradientTransformation(init, update)
