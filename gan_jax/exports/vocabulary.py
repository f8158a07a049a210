"""What the numbers of a run's texts and classes stand for, for those who have its exported generator alone."""

import contextlib
from typing import Any

from gan_jax.base.errors import UserError
from gan_jax.data.columns import Label
from gan_jax.data.sources.columned import fitted_kinds
from gan_jax.data.text import FIRST, Text
from gan_jax.runs import learnt, run_config
from gan_jax.sampling.run import Run


def vocabulary(run: Run) -> dict[str, Any]:
  """{STREAM.FIELD: {number: the word, character or class that it stands for}} of the run's texts and named classes."""
  found: dict[str, dict[str, str]] = {}
  known = run_config.read_learnt(run.workdir)
  for name, stream in run.stage.streams.items():
    kinds: dict[str, Any] = {}
    with contextlib.suppress(UserError), run.remembering():  # the data are not there, and nothing was noted
      kinds = fitted_kinds(stream)
    for field, kind in kinds.items():
      if isinstance(kind, Text) and isinstance(kind.vocabulary, tuple):
        found[f'{name}.{field}'] = {
          '0': '',
          '1': '?',
          **{str(FIRST + i): part for i, part in enumerate(kind.vocabulary)},
        }
      elif isinstance(kind, Label) and isinstance(kind.classes, tuple):
        found[f'{name}.{field}'] = {str(i): part for i, part in enumerate(kind.classes)}
    _, of_folder = known.get((run.stage.number, name), {}).get(learnt.WHOLE, ('', {}))
    if names := stream.class_names or of_folder.get('class_names'):
      found[f'{name}.label'] = {str(i): part for i, part in enumerate(names)}
  return found
