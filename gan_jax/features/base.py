"""Feature extractors: evaluation compares generated and real examples in the space of their features."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Extractor(NamedTuple):
  """A pure function from examples to features. Its name contains every choice that changes its numbers.

  Attributes:
    name: a short name that is valid in file names. Cached statistics are stored under it.
    protocol: description for the reader of a figure.
    variables: a pytree of arrays.
    apply: (variables, examples (B, ...)) -> {'features': (B, n) float32, and 'logits': (B, classes) float32 if it has
      classes}. Pictures come as uint8 (B, H, W, C), other examples as float32.
    kept: whether its statistics may be cached on disk.
    white: the value of a white pixel if pictures are floats (path lengths pass floats).
  """

  name: str
  protocol: str
  variables: Any
  apply: Callable[[Any, jax.Array], Mapping[str, jax.Array]]
  kept: bool = True
  white: float = 255.0


#: For figures that need no features: it returns one zero per example.
NONE = Extractor(
  'none',
  'no features',
  (),
  lambda variables, examples: {'features': jnp.zeros((len(examples), 1), jnp.float32)},
  kept=False,
)
