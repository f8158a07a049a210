"""What a metric gives: figures, each with its protocol."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from gan_jax.evaluation.evidence import Evidence


class Figure(NamedTuple):
  """One figure.

  Attributes:
    name: as in evaluation.json and in rows of metrics.
    value: of it.
    protocol: what it was computed of, beyond the samples, reference and features that all figures share.
    standard_error: of the value; None if it has none, NaN if there is too little to tell it.
    parts: figures of its parts, such as one a class; None if it has none.
  """

  name: str
  value: float
  protocol: str
  standard_error: float | None = None
  parts: list[float] | None = None


Measure = Callable[[Evidence], Iterable[Figure]]
