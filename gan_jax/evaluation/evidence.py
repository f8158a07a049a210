"""The inputs of metrics: real and generated examples and their features. Each is computed when it is first used."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from gan_jax.base.errors import UserError
from gan_jax.data import sets
from gan_jax.data.streams import Stream
from gan_jax.evaluation import reference
from gan_jax.evaluation.scores import Generated, Scorer, Scores, array_batches
from gan_jax.features.base import Extractor
from gan_jax.sampling.sampler import Sampler


class Evidence:
  """All inputs that a measure can use.

  Args:
    game: the module.
    variables: variables of the game, replicated on every device of the mesh.
    generated: generates the examples.
    scorer: computes the features.
    stream: stream of the reference.
    samples: number of examples to generate.
    seed: seed of the latents.
    output: name of the output, if the game makes several.
    say: called with a line of text before each slow part.
    cached: results that stay the same between evaluations, such as those of the real side.
    rivals: workdirs of runs to compare with.
    targets: the set of what each sample should be, if the output is made of inputs that have a target.
    paired: whether sample i is made of example i of the reference.
    trained: () -> the set that the game learnt from, if it is not the reference.
    trained_on: the streams whose examples the game learnt from, where they are not all of that set; from
      `sets.learnt_from`.
    sampling: how this run is sampled, by the keywords of `Run.variables`: a rival is sampled likewise.

  Attributes:
    game: the module.
    variables: variables of the game.
    stream: stream of the reference.
    samples: number of generated examples.
    seed: seed of the latents.
    output: name of the output, if the game makes several.
    rivals: workdirs of runs to compare with.
    targets: the set of what each sample should be, sample i example i of it in the order of evaluations; or None.
    paired: whether sample i is made of example i of the reference.
    sampling: how this run is sampled, by the keywords of `Run.variables`.
  """

  def __init__(
    self,
    game: Any,
    variables: Any,
    generated: Generated,
    scorer: Scorer,
    stream: Stream,
    samples: int,
    seed: int,
    output: str = '',
    say: Callable[[str], object] = lambda line: None,
    cached: dict[str, Any] | None = None,
    rivals: tuple[str, ...] = (),
    targets: Stream | None = None,
    paired: bool = False,
    trained: Callable[[], Stream] | None = None,
    trained_on: Sequence[Stream] | None = None,
    sampling: Mapping[str, Any] | None = None,
    batch_size: int = 256,
  ):
    self.game, self.variables, self.stream = game, variables, stream
    self.samples, self.seed, self.output, self.rivals = samples, seed, output, rivals
    self.targets, self.paired, self.sampling = targets, paired, dict(sampling or {})
    self.batch_size = batch_size
    self._generated, self._scorer, self._say = generated, scorer, say
    self._trained = trained
    self._trained_on, self._cached = trained_on, {} if cached is None else cached

  @property
  def picked(self) -> Callable[[Any], Any]:
    """The output that is measured, of what the game makes; it outlives this evidence."""
    return self._generated.picked

  @property
  def extractor(self) -> Extractor:
    return self._scorer.extractor

  @property
  def mesh(self) -> Mesh:
    return self._scorer.mesh

  @functools.cached_property
  def fake(self) -> Scores:
    """Scores of the generated examples."""
    scores = self._scorer(self._generated.batches(self.variables, self.samples, self.seed))
    wanted = self.stream.fields(1)[self.stream.main].shape[1:]
    if scores.examples.shape[1:] != wanted:
      raise UserError(
        f'the generator makes {scores.examples.shape[1:]} but the reference has {wanted}: choose another '
        'reference or, for a game with several outputs, another --output'
      )
    return scores

  @property
  def real(self) -> Scores:
    """Scores of the reference; its examples are read by `real_examples`."""
    return self.once('real', lambda: reference.reference_scores(self.stream, self._scorer, self._say))

  @property
  def held_out(self) -> Stream | None:
    """The set's held-out split, if it has one; without labels where its classes are not those of the set."""
    return self.once('held_out', lambda: sets.held_out_stream(self.stream, labelled=False))

  @property
  def labelled_held_out(self) -> Stream | None:
    """The held-out split, if it has the classes of the set."""
    found = self.held_out
    return found if found is not None and found.classes == self.stream.classes else None

  def real_examples(self, count: int, start: int = 0) -> np.ndarray:
    """Examples start ... start + count - 1 of the reference, in the order of its scores."""
    key = f'real_examples {start} {count}'
    return self.once(key, lambda: sets.examples(self.stream, count, start)[0])

  @property
  def trained(self) -> Stream:
    """The set that the game learnt from, whatever the reference is."""
    return self.stream if self._trained is None else self._trained()

  def trained_examples(self, count: int) -> np.ndarray:
    """The first examples that the game learnt from, whatever the reference is; of each class those that it saw."""
    parts = self._trained_on
    if parts is None and self.trained == self.stream:
      return self.real_examples(count)
    return self.once(f'trained_examples {count}', lambda: sets.examples(self.trained, count, parts=parts)[0])

  @property
  def sampler(self) -> Sampler:
    """Makes the samples: with the truncation that was asked for."""
    return self._generated.sampler

  def held_out_examples(self, count: int) -> np.ndarray:
    """Examples of the held-out split.

    Raises:
      UserError: there is none.
    """
    if self.held_out is None:
      raise UserError(f'{self.stream.name!r} has no held-out split to compare with: leave this metric out')
    held_out = self.held_out
    return self.once(f'held_out_examples {count}', lambda: sets.examples(held_out, count)[0])

  def target_examples(self, count: int) -> np.ndarray:
    """What samples 0 ... count - 1 should be, or fewer, if the set has fewer."""
    assert self.targets is not None
    targets = self.targets
    return self.once(f'targets {count}', lambda: sets.examples(targets, count)[0])

  def target_features(self, count: int) -> np.ndarray:
    """The features of `target_examples`."""
    of = lambda: self._scorer(array_batches(self.target_examples(count), self.mesh)).features
    return self.once(f'target_features {count}', of)

  @property
  def labels(self) -> np.ndarray:
    """(N,) classes of the kept generated examples: those asked for, or else the predicted classes."""
    return self.fake.labels if self.fake.labels is not None else self.predicted_classes

  @property
  def predicted_classes(self) -> np.ndarray:
    """(N,) classes that the classifier predicts for the kept generated examples.

    Raises:
      UserError: the features have no classes, or other classes than the set.
    """
    logits = self.logits(self.fake)
    if logits.shape[1] != self.stream.classes:
      raise UserError(
        f'the features {self.extractor.name!r} have {logits.shape[1]} classes, {self.stream.name!r} has '
        f'{self.stream.classes}: use --features=classifier, for stacked sets the metric modes, or leave this one out'
      )
    return logits.argmax(1)

  def logits(self, scores: Scores) -> np.ndarray:
    """The logits of scores.

    Raises:
      UserError: the features have no classes.
    """
    if scores.logits is None:
      square = len(set(self.stream.fields(1)[self.stream.main].shape[1:3])) == 1
      cure = 'use --features=classifier, or ' if self.pictures and square and self.stream.classes > 1 else ''
      raise UserError(f'the features {self.extractor.name!r} have no classes: {cure}leave this metric out')
    return scores.logits

  @property
  def pictures(self) -> bool:
    return self.stream.pictures

  def need_pictures(self, metric: str) -> None:
    """Raises a UserError if the examples are not 8-bit images."""
    if not self.pictures:
      raise UserError(f'the metric {metric} needs 8-bit pictures, and {self.stream.name!r} has none: leave it out')

  @property
  def values(self) -> str:
    """The range of the values that `unit` returns, in words."""
    return 'values in [0, 1]' if self.pictures or self._scale else 'values as stored'

  @property
  def _scale(self) -> tuple[float, float] | None:
    """The range that values which are no pictures were brought to; None where they are as stored."""
    if self.stream.columns:
      return self.stream.kinds[self.stream.main].range
    return self.stream.range if self.stream.stored(1)[self.stream.main].dtype == np.uint8 else None

  def unit(self, examples: np.ndarray) -> np.ndarray:
    """Examples as float32: what was brought to a range becomes values in [0, 1], the rest stays as it is stored."""
    if examples.dtype == np.uint8:
      return examples.astype(np.float32) / np.float32(255.0)
    if self._scale is None:
      return examples
    low, high = self._scale
    return (examples - np.float32(low)) / np.float32(high - low)

  def in_range(self, examples: Any) -> Any:
    """Examples as inputs of the networks: pictures in the stream's range, others as they are."""
    if examples.dtype != np.uint8:
      return examples
    low, high = self.stream.range
    return examples.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)

  def once(self, name: str, make: Callable[[], Any]) -> Any:
    """Returns make() and keeps it under a name, for results that stay the same in all evaluations of a game."""
    if name not in self._cached:
      self._cached[name] = make()
    return self._cached[name]
