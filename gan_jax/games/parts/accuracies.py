"""How often a discriminator is right."""

import jax
import jax.numpy as jnp

from gan_jax import losses


def accuracies(loss: losses.AdversarialLoss, real_logits: jax.Array, fake_logits: jax.Array) -> dict[str, jax.Array]:
  """How often a discriminator is right; nothing if its loss knows no boundary between real and fake.

  Args:
    loss: the discriminator's.
    real_logits: of any shape; (..., 2) for a loss of 2 outputs.
    fake_logits: of the same rank.

  Returns:
    {'real_accuracy': share of real examples judged real, 'fake_accuracy': share of generated ones judged generated}.

  >>> found = accuracies(losses.hinge, jnp.array([1.0, -1.0]), jnp.array([-2.0, -1.0]))
  >>> float(found['real_accuracy']), float(found['fake_accuracy'])
  (0.5, 1.0)
  """
  if loss.boundary is None:
    return {}
  if loss.outputs == 2:
    real_logits, fake_logits = (logits[..., 1] - logits[..., 0] for logits in (real_logits, fake_logits))
  right = lambda judged: jnp.mean(judged, dtype=jnp.float32)
  return {'real_accuracy': right(real_logits > loss.boundary), 'fake_accuracy': right(fake_logits < loss.boundary)}
