"""Attacks of several networks at once, and of one network by examples made for another."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from gan_jax.attacks.checks import LogitsFn
from gan_jax.attacks.losses import cross_entropy, log_cross_entropy
from gan_jax.attacks.measure import error_rate
from gan_jax.base.errors import UserError
from gan_jax.base.functions import as_partial


def _joined(join: Callable[..., jax.Array], networks: tuple[LogitsFn, ...]) -> LogitsFn:
  """Of partials one, which is compiled once; of other functions, whose weights may change, another such function."""
  if not networks:
    raise UserError('an ensemble of no networks: give at least one')
  if not all(isinstance(network, Partial) for network in networks):
    return lambda x: join(networks, x)
  return Partial(join, tuple(map(as_partial, networks)))


def _mean(networks: tuple[LogitsFn, ...], x: jax.Array) -> jax.Array:
  return jnp.stack([network(x) for network in networks]).mean(0)


def _stack(networks: tuple[LogitsFn, ...], x: jax.Array) -> jax.Array:
  return jnp.stack([network(x) for network in networks], 1)


def mean_of_logits(*networks: LogitsFn) -> LogitsFn:
  """The network whose logits are the mean of several networks': (B, ...) -> (B, classes).

  Source: Dong et al. 2017, https://arxiv.org/abs/1710.06081, section 3.4.

  >>> both = mean_of_logits(lambda x: x, lambda x: 3 * x)
  >>> both(jnp.array([[1.0, 2.0]])).tolist()
  [[2.0, 4.0]]
  """
  return _joined(_mean, networks)


def stack(*networks: LogitsFn) -> LogitsFn:
  """All networks' logits side by side, (B, networks, classes), for an attack with `loss=mean_of_losses`."""
  return _joined(_stack, networks)


def mean_of_losses(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """The mean over networks of the cross entropy: (B, networks, classes) and (B,) to (B,), nats.

  Source: Dong et al. 2017, https://arxiv.org/abs/1710.06081, section 3.4, with equal weights.

  >>> two = mean_of_losses(jnp.zeros((1, 2, 4)), jnp.array([3]))
  >>> bool(jnp.allclose(two, jnp.log(4)))
  True
  """
  return jax.vmap(cross_entropy, (1, None), 1)(logits, labels).mean(1)


def _log_mean_of_losses(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """The logarithm of the sum of the losses, which has the direction of their mean."""
  return jax.nn.logsumexp(jax.vmap(log_cross_entropy, (1, None), 1)(logits, labels), 1)


#: What `attacks.gradient` asks a loss for: the rank of the logits that it takes, and what is climbed in its place.
mean_of_losses.rank = 3  # type: ignore[attr-defined]
mean_of_losses.climbed = _log_mean_of_losses  # type: ignore[attr-defined]


def transfer_rates(
  attack: Callable[[LogitsFn], jax.Array], networks: Mapping[str, LogitsFn], labels: Any
) -> dict[str, dict[str, float]]:
  """How often each network errs on the examples that were made for each.

  Source: Szegedy et al. 2013, https://arxiv.org/abs/1312.6199, tables 2 to 4.

  Args:
    attack: the adversarial examples (B, ...) for a network, such as `lambda f: fgsm(key, f, x, labels, eps=0.25)`.
    networks: {name: logits function}.
    labels: (B,).

  Returns:
    {made for: {shown to: share of errors}}.
  """
  found = {}
  for source, network in networks.items():
    made = attack(network)
    found[source] = {name: error_rate(target, made, np.asarray(labels)) for name, target in networks.items()}
  return found
