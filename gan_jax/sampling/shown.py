"""Which samples a picture of a run shows, their latents and their images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.data import sets
from gan_jax.data.streams import Stream
from gan_jax.latents import paths
from gan_jax.latents.distributions import Label
from gan_jax.sampling.outputs import imitated, pick

if TYPE_CHECKING:
  from gan_jax.sampling.run import Run


class Options(NamedTuple):
  """Which samples to show.

  Attributes:
    seed: seed of the latents, and of a generator's own noise.
    label: class of the samples, in a conditional game; None for random classes.
    ema: use running averages of the weights, if the run keeps them.
    output: name of the output, if the game makes several.
    truncation: threshold for normal latents; 0 for no truncation.
  """

  seed: int = 0
  label: int | None = None
  ema: bool = True
  output: str = ''
  truncation: float = 0.0


def start_of(run: 'Run', count: int, options: Options) -> Any:
  """The latents of the samples."""
  return run.latents(count, seed=options.seed, label=options.label, truncation=options.truncation)


def images_of(run: 'Run', latents: Any, options: Options, inputs: Any = None, *, each: int = 1) -> np.ndarray:
  """Pictures (count, H, W, C) of latents, which are None of games that draw none, and of inputs of those that read.

  Args:
    run: from `gan_jax.load`.
    latents: (count, ...).
    options: how to sample.
    inputs: by default examples of the run's own sets.
    each: so many latents, next to each other, are for the same one of these examples, such as the same text.
  """
  declared = core.outputs_of(run.stage.game, run.stage.streams)
  if latents is None:
    count = len(jax.tree.leaves(inputs)[0])
    how: dict[str, Any] = dict(label=options.label, truncation=options.truncation)
    made = run.sample(count, seed=options.seed, ema=options.ema, inputs=inputs, **how)
  else:
    if inputs is None and each > 1:
      inputs = paths.repeated(run.inputs(len(jax.tree.leaves(latents)[0]) // each), each)
    made = run.generate(latents, seed=options.seed, ema=options.ema, inputs=inputs)
  images = np.asarray(pick(made, options.output, declared=declared))
  if images.ndim != 4 or images.shape[-1] not in (1, 3):
    raise UserError(f'samples of shape {images.shape[1:]} are not pictures: use --picture=grid')
  return images


def parts_of(run: 'Run', picture: str) -> Mapping[str, Any]:
  """The distributions of latents that have parts."""
  latents = run.stage.game.latents
  if not isinstance(latents, Mapping):
    raise UserError(f'--picture={picture} of {type(run.stage.game).__name__}, which has no labels or codes: use grid')
  return latents


def imitated_by(run: 'Run', output: str) -> core.Output:
  """What an output imitates; '' for the main one."""
  return imitated(run.stage, output or next(iter(core.outputs_of(run.stage.game, run.stage.streams)), ''))


def reference_of(run: 'Run', options: Options) -> Stream:
  """The set that an output imitates, by the field that it imitates."""
  output = imitated_by(run, options.output)
  return sets.reference_stream(run.stage.streams[output.stream], None, output.field)


def label_of(run: 'Run', picture: str) -> Label:
  """The distribution of the classes."""
  label = parts_of(run, picture).get('label')
  if not isinstance(label, Label):
    raise UserError(
      f'--picture={picture} of {type(run.stage.game).__name__}, whose latents have no label: use codes, or '
      'between_conditions where the game takes conditions'
    )
  return label
