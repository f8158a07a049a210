"""Pictures of the way between two classes, or two conditions: what samples are asked for moves, all else stays."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np
from PIL.Image import Image

from gan_jax.base.errors import UserError
from gan_jax.latents import paths as latent_paths
from gan_jax.sampling import conditions, pictures
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.shown import Options, images_of, label_of, start_of

if TYPE_CHECKING:
  from gan_jax.sampling.run import Run


def between_classes(run: 'Run', count: int = 8, options: Options = Options(), *, steps: int = 9) -> Image:
  """A row for each sample: its class moves to another class, the other latents stay the same.

  Source: the category morphing of Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637; Brock et al. 2018,
  https://arxiv.org/abs/1809.11096, also with latents that move.

  Args:
    run: from `gan_jax.load`.
    count: rows.
    options: which samples; a label is the class of all starts.
    steps: pictures in a row, both ends included.
  """
  classes, start = label_of(run, 'between_classes').classes, start_of(run, count, options)
  # A random other class for each row; the same one in every call.
  ends = (start['label'] + 1 + np.random.RandomState(options.seed).randint(max(classes - 1, 1), size=count)) % classes
  path = latent_paths.between_classes(start, ends, classes, steps)
  names = [f'{a} - {b}' for a, b in zip(start['label'], ends, strict=True)]
  return pictures.grid(
    images_of(run, path, options, each=steps), run.range_of(options.output), columns=steps, names=names
  )


def between_conditions(
  run: 'Run',
  count: int = 4,
  options: Options = Options(),
  *,
  ends: Sequence[conditions.Condition] = (),
  steps: int = 9,
  split: inputs_lib.Splits = None,
) -> Image:
  """A row for each sample: what it is asked for moves from one condition to another, such as from title to title.

  Classes and texts move as shares, of the classes and of the words; networks that read texts in order refuse them.
  Source: Zhang et al. 2016 (StackGAN), https://arxiv.org/abs/1612.03242, section 4, with embeddings of sentences.

  Args:
    run: from `gan_jax.load`.
    count: rows.
    options: which samples.
    ends: the two conditions, {name: value} as `Run.sample` takes them, of the same names.
    steps: pictures in a row, both ends included.
    split: as `Run.sample` takes it.

  Raises:
    UserError: there are not two conditions of the same names, they say the same, or the game does not take them.
  """
  if len(ends) != 2 or set(ends[0]) != set(ends[1]):
    raise UserError(
      '--picture=between_conditions goes from one --condition to another: give two with the same names, such as '
      '--condition="text=a red shoe" --condition="text=a blue bag"'
    )
  latents = None if run.stage.game.latents is None else start_of(run, count, options)
  inputs = run.inputs(count, split, ends[0])
  with run.remembering():
    first, last = (conditions.apply(run.stage, end, latents, inputs, count, run.read) for end in ends)
  if not any(jax.tree.leaves(jax.tree.map(lambda a, b: not conditions.same(a, b), first, last))):
    raise UserError(
      f'the conditions {dict(ends[0])} and {dict(ends[1])} say the same to this run (words that its data have not are '
      'one unknown word): there is no way between them'
    )
  with run.remembering():
    latents, inputs = conditions.between(run.stage, first, last, steps)
  with inputs_lib.missing(run.stage, count, split):
    made = images_of(run, latents, options, inputs)
  return pictures.grid(made, run.range_of(options.output), columns=steps)
