"""Cases of a test of which `make test` runs a few, and `make test-all` all."""

import pytest


def few(cases, quick):
  """The cases as parameters: those of which `quick(case)` is false are slow."""
  marks = lambda case: () if quick(case) else pytest.mark.slow
  return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks(case)) for case in cases]
