"""Networks as what attacks take: a logits function that is compiled once for all variables."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax.tree_util import Partial


@dataclasses.dataclass(frozen=True)
class _Logits:
  module: nn.Module

  def __call__(self, variables: Any, x: jax.Array) -> jax.Array:
    return first(self.module.apply(variables, x, train=False))


def first(out: Any) -> jax.Array:
  """The logits, of a network that gives (logits, features) too."""
  return out[0] if isinstance(out, tuple) else out


def seeing(dtype: Any, network: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
  """A network of points in float32, which sees them in the dtype of its examples.

  A search adds up its steps in float32: in bfloat16 a step of 1e-3 from a pixel of 0.7 is no step.
  """
  return lambda x: network(x.astype(dtype))


def logits_fn(module: nn.Module, variables: Any) -> Partial:
  """A classifier in eval mode as a function of examples: (B, ...) -> (B, classes).

  Args:
    module: examples, train -> logits, or (logits, features).
    variables: of it.

  >>> import jax.numpy as jnp
  >>> from gan_jax.nets import mlp
  >>> net = mlp.Softmax(classes=3)
  >>> logits_fn(net, net.init(jax.random.key(0), jnp.zeros((1, 4)), train=False))(jnp.ones((2, 4))).shape
  (2, 3)
  """
  return Partial(_Logits(module), variables)
