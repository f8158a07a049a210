"""Networks as what attacks take: a logits function that is compiled once for all variables."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax.tree_util import Partial


@dataclasses.dataclass(frozen=True)
class _Logits:
  module: nn.Module

  def __call__(self, variables: Any, x: jax.Array) -> jax.Array:
    # A module of one's own may be without dropout and batch norm, and so without `train`.
    mode: dict[str, Any] = (
      {'train': False} if 'train' in inspect.signature(type(self.module).__call__).parameters else {}
    )
    return first(self.module.apply(variables, x, **mode))


def first(out: Any) -> jax.Array:
  """The logits, of a network that gives (logits, features) too."""
  return out[0] if isinstance(out, tuple) else out


def seeing(dtype: Any, network: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
  """The network as a function of float32 points, which are cast to the dtype of the examples before it sees them.

  An attack adds up its steps in float32, because a step of 1e-3 from a pixel of 0.7 is lost in bfloat16.
  """
  return lambda x: network(x.astype(dtype))


def logits_fn(module: nn.Module, variables: Any) -> Partial:
  """A classifier in eval mode as a function of examples: (B, ...) -> (B, classes).

  Args:
    module: examples, train -> logits, or (logits, features); or examples -> logits.
    variables: of it.

  >>> import jax.numpy as jnp
  >>> from gan_jax.nets import mlp
  >>> net = mlp.Softmax(classes=3)
  >>> logits_fn(net, net.init(jax.random.key(0), jnp.zeros((1, 4)), train=False))(jnp.ones((2, 4))).shape
  (2, 3)
  """
  return Partial(_Logits(module), variables)
