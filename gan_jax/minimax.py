"""Minimax in optax: links and optimizers that a game of two or more players needs.

>>> import jax.numpy as jnp
>>> tx = alternate(generator=optax.sgd(0.1), discriminator=ascend(optax.sgd(0.1)), discriminator_steps=2)
>>> params = {'generator': jnp.ones(()), 'discriminator': jnp.ones(())}
>>> updates, _ = tx.update(params, tx.init(params), params)
>>> round(float(updates['discriminator']), 3), float(updates['generator'])
(0.1, 0.0)
"""

from collections.abc import Sequence

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
  not move gets zero updates and keeps its optimizer state. Given the same gradients it equals `game.play`.
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
