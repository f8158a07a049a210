"""The accuracies of a discriminator."""

import jax
import jax.numpy as jnp

from gan_jax import losses


def certainty(loss: losses.AdversarialLoss, logits: jax.Array) -> jax.Array:
  """How far logits lie on the side of data, (...): above 0 where the discriminator judges real.

  Args:
    loss: the discriminator's loss, with a boundary.
    logits: any shape; (..., 2) for a loss with 2 outputs.

  >>> certainty(losses.least_squares, jnp.array([1.0, 0.25])).tolist()
  [0.5, -0.25]
  """
  assert loss.boundary is not None
  return loss.log_odds(logits) - loss.boundary


def accuracies(loss: losses.AdversarialLoss, real_logits: jax.Array, fake_logits: jax.Array) -> dict[str, jax.Array]:
  """The accuracies of a discriminator on real and on generated examples; {} if its loss has no boundary.

  Args:
    loss: the discriminator's loss.
    real_logits: any shape; (..., 2) for a loss with 2 outputs.
    fake_logits: the same rank.

  Returns:
    {'real_accuracy': share of real examples judged real, 'fake_accuracy': share of generated examples judged fake}.

  >>> shares = accuracies(losses.hinge, jnp.array([1.0, -1.0]), jnp.array([-2.0, -1.0]))
  >>> float(shares['real_accuracy']), float(shares['fake_accuracy'])
  (0.5, 1.0)
  """
  if loss.boundary is None:
    return {}
  share = lambda right: jnp.mean(right, dtype=jnp.float32)
  real, fake = (certainty(loss, logits) for logits in (real_logits, fake_logits))
  return {'real_accuracy': share(real > 0), 'fake_accuracy': share(fake < 0)}
