"""What a feature extractor is: the space in which generated and real examples are compared."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Extractor(NamedTuple):
  """A pure function from examples to features, with a name for every choice that changes its numbers.

  Attributes:
    name: short, fit for file names: statistics cached under it are never mixed with another's.
    protocol: in words, for the reader of a figure.
    variables: a pytree of arrays.
    apply: (variables, examples (B, ...)) -> {'features': (B, n) float32, and 'logits': (B, classes) float32 if it has
      classes}. Pictures come as uint8 (B, H, W, C), other examples as float32.
    kept: whether statistics made with it may be kept on disk.
    white: the value of a white pixel if pictures come as floats, as path lengths need them.
  """

  name: str
  protocol: str
  variables: Any
  apply: Callable[[Any, jax.Array], Mapping[str, jax.Array]]
  kept: bool = True
  white: float = 255.0


#: For figures that need no features: nothing to train, nothing to read, one zero per example.
NONE = Extractor(
  'none',
  'no features',
  (),
  lambda variables, examples: {'features': jnp.zeros((len(examples), 1), jnp.float32)},
  kept=False,
)
