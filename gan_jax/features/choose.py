"""Chooses the features of an evaluation, by name or by the data set."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.calls import resolve
from gan_jax.base.errors import UserError, one_of
from gan_jax.data import sources
from gan_jax.data.streams import Stream
from gan_jax.distributed import processes
from gan_jax.features.base import Extractor

NAMES = ('auto', 'classifier', 'inception', 'random', 'raw')


def choose(
  name: str, stream: Stream, *, weights: str = '', seed: int = 0, say: Callable[[str], object] = lambda line: None
) -> Extractor:
  """Returns the extractor of a name.

  Args:
    name: 'classifier' (trained on the set's labels), 'inception', 'random', 'raw', the dotted name of a function of
      yours, examples (B, ...) -> features (B, n), or 'auto': the classifier for pictures of two classes or more, raw
      values for points and numbers, random features for anything else.
    stream: the reference, from `sets.reference_stream`.
    weights: file of Inception's weights.
    seed: seed of the classifier's training and of random features.
    say: called with a line of text before a slow part.

  Raises:
    UserError: the extractor does not exist or does not suit the set.
  """
  shape = stream.fields(1)[stream.main].shape[1:]
  judged = stream.pictures and shape[0] == shape[1]
  if name == 'auto':
    name = 'raw' if len(shape) <= 1 else 'classifier' if stream.classes > 1 and judged else 'random'
  if name == 'classifier':
    if not judged:
      raise UserError(f'--features=classifier takes square pictures, the examples are {shape}: use random or raw')
    if stream.name.startswith('stacked/'):
      return _stacked(stream, seed, say)
    from gan_jax.features.classifier import classifier

    return _agreed(lambda: classifier(stream, seed=seed, say=say))
  if name == 'inception':
    from gan_jax.features.inception import inception

    return inception(weights)
  if name in ('random', 'raw'):
    from gan_jax.features.random import random_features, raw

    return raw(shape) if name == 'raw' else random_features(shape, seed=seed)
  if '.' not in name:
    raise one_of('feature extractor in --features (or a dotted name of yours)', name, NAMES)
  function = resolve(name, where='--features or config.eval.features')
  if not callable(function):
    raise UserError(f'--features={name} is not a function: it takes examples (B, ...) and returns features (B, n)')
  return of_function(name, function)


def of_function(name: str, function: Callable[[jax.Array], jax.Array]) -> Extractor:
  """An extractor of any pure function, examples (B, ...) -> features (B, n).

  >>> import jax.numpy as jnp
  >>> extractor = of_function('means', lambda x: x.mean((1, 2)))
  >>> extractor.apply((), jnp.ones((2, 4, 4, 3)))['features'].shape
  (2, 3)
  """
  safe = ''.join(c if c.isalnum() else '-' for c in name)
  apply = lambda variables, x: {'features': function(x).astype(jnp.float32)}
  # We cannot know whether you have edited the function since, so its statistics are not cached on disk.
  return Extractor(safe, f'features of {name}', (), apply, kept=False)


def _agreed(make: Callable[[], Extractor]) -> Extractor:
  """An extractor that all processes agree on: process 0 makes it first, the others read it from the cache or make it.

  Raises:
    UserError: the processes made different extractors.
  """
  with processes.together('make the features'):  # none waits for one that has failed
    made = make() if processes.first() else None
  made = made or make()
  processes.check_alike('classifiers', made.name, 'let GAN_JAX_CACHE name a folder that all of them see')
  return made


def _stacked(stream: Stream, seed: int, say: Callable[[str], object]) -> Extractor:
  """The classifier of the grey set on each channel of stacked pictures, features and logits side by side."""
  import dataclasses

  from gan_jax.features.classifier import classifier

  grey = dataclasses.replace(stream, name=stream.name.removeprefix('stacked/'), channels=1, classes=0)
  labelled = dataclasses.replace(grey, classes=sources.classes_in(grey))
  inner = _agreed(lambda: classifier(labelled, seed=seed, say=say))

  def apply(variables: Any, x: jax.Array) -> dict[str, jax.Array]:
    batch, channels = x.shape[0], x.shape[-1]
    each = jnp.moveaxis(x, -1, 1).reshape(batch * channels, *x.shape[1:-1], 1)
    return {k: v.reshape(batch, -1) for k, v in inner.apply(variables, each).items()}

  return Extractor(f'stacked-{inner.name}', f'each channel by {inner.protocol}', inner.variables, apply)


def channel_labels(logits: np.ndarray, channels: int = 3) -> np.ndarray:
  """(N, channels) classes of stacked pictures from the logits that their extractor gives.

  >>> channel_labels(np.array([[0.0, 1.0, 1.0, 0.0, 0.0, 2.0]])).tolist()
  [[1, 0, 1]]
  """
  return logits.reshape(len(logits), channels, -1).argmax(-1)
