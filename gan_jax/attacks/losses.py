"""What attacks climb: the cross entropy, and the margin of the label over other classes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-log p(label): (B, classes) and (B,) to (B,), nats."""
  return optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)


def against(logits: jax.Array, labels: jax.Array) -> jax.Array:
  r"""The logarithm of the odds against the label, $\log((1 - p) / p)$: it grows with the cross entropy.

  The gradient of the cross entropy is its gradient times 1 - p, which is 0 in float32 for a confident network.

  Args:
    logits: (B, classes).
    labels: (B,).

  Returns:
    (B,) float32.

  >>> against(jnp.array([[200.0, 0.0]]), jnp.array([0])).tolist()
  [-200.0]
  """
  logits = logits.astype(jnp.float32)
  own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  return jax.nn.logsumexp(jnp.where(own, -jnp.inf, logits), -1) - jnp.where(own, logits, 0).sum(-1)


def log_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """The logarithm of the cross entropy, which has its direction, and a gradient where that is 0 in float32.

  Args:
    logits: (B, classes).
    labels: (B,).

  Returns:
    (B,) float32.

  >>> log_cross_entropy(jnp.array([[200.0, 0.0]]), jnp.array([0])).tolist()
  [-200.0]
  """
  odds = against(logits, labels)  # the cross entropy is log(1 + exp(odds))
  small = odds < -15
  return jnp.where(small, odds, jnp.log(jax.nn.softplus(jnp.where(small, 0.0, odds))))


def margin(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """The label's logit less the greatest other one: below 0 where the network sees another class.

  Args:
    logits: (B, classes).
    labels: (B,).

  Returns:
    (B,) float32.

  >>> margin(jnp.array([[3.0, 1.0, 2.0]]), jnp.array([0])).tolist()
  [1.0]
  """
  logits = logits.astype(jnp.float32)
  own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  return jnp.where(own, logits, 0).sum(-1) - jnp.where(own, -jnp.inf, logits).max(-1)
