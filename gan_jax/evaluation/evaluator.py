"""Evaluations of one game. Compiled functions and statistics of the data are kept from one evaluation to the next."""

import functools
import json
import math
import textwrap
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

import gan_jax
from gan_jax import core, runs
from gan_jax.base.errors import UserError, one_of, short
from gan_jax.base.seeds import check_seed
from gan_jax.config.evaluation import Options
from gan_jax.core.sampled import truncated
from gan_jax.data import alike, sets
from gan_jax.data.streams import Stream
from gan_jax.distributed import parallel
from gan_jax.evaluation import measures, of_targets, suited
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure
from gan_jax.evaluation.scores import Generated, Scorer
from gan_jax.features import choose
from gan_jax.features.base import NONE
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling import standing
from gan_jax.sampling.outputs import imitated, pick
from gan_jax.sampling.reading import averaged_players, read_by_sample
from gan_jax.sampling.sampler import Sampler, check_count

#: A network is asked about no more examples at a time, if its groups divide a smaller part of the batch.
LARGEST = 256


class Evaluation(NamedTuple):
  """The figures of one state of a game.

  Attributes:
    step: step of the state.
    figures: the figures, in the order of the metrics.
    seconds: {figure: seconds that it took}; shared work counts for the first figure that needs it.
    shared: {'samples', 'reference', and 'features' if any are used}: the protocol that all figures share, in words.
    device: the devices, in words.
    left_out: the metrics that failed and were left out.
  """

  step: int
  figures: tuple[Figure, ...]
  seconds: dict[str, float]
  shared: dict[str, str]
  device: str
  left_out: tuple[str, ...] = ()

  @property
  def values(self) -> dict[str, float]:
    """{figure: value}."""
    return {figure.name: figure.value for figure in self.figures}

  def to_json(self) -> str:
    """The text of evaluation.json."""
    finite = lambda x: None if x is None or not math.isfinite(x) else x
    shared = '; '.join(f'{name}: {words}' for name, words in self.shared.items())
    content = {
      'step': self.step,
      **self.shared,
      'device': self.device,
      'gan_jax': gan_jax.__version__,
      'figures': {
        figure.name: {
          'value': finite(figure.value),
          'standard_error': finite(figure.standard_error),
          **({} if figure.parts is None else {'parts': [finite(part) for part in figure.parts]}),
          # The whole protocol, so that a figure can be copied together with its meaning.
          'protocol': f'{figure.protocol}; {shared}',
          'seconds': round(self.seconds[figure.name], 2),
        }
        for figure in self.figures
      },
    }
    return json.dumps(content, indent=2, allow_nan=False) + '\n'

  def table(self) -> str:
    """Lines for the console: the shared protocol, then each figure with its own."""
    lines = [f'step       {self.step}, on {self.device}']
    for name, words in self.shared.items():
      lines += textwrap.wrap(f'{name:<10} {words}', 118, subsequent_indent=' ' * 11)
    lines.append('')
    width = max([22, *(len(figure.name) for figure in self.figures)])
    for figure in self.figures:
      known = figure.standard_error is not None and math.isfinite(figure.standard_error)
      error = f' +- {figure.standard_error:.2g}' if known else ''
      value = f'{figure.value:.4g}{error}'
      lines += textwrap.wrap(
        f'{figure.name:<{width}} {value:<18} {figure.protocol}', 118, subsequent_indent=' ' * (width + 20)
      )
    return '\n'.join(lines)


def _output_of(stage: runs.Stage, options: Options) -> core.Output:
  """What is evaluated, with the stream and the field of the reference: what it imitates, or the stream asked for."""
  declared = core.outputs_of(stage.game, stage.streams)
  output = imitated(stage, options.output or next(iter(declared), ''))
  if options.stream in ('', output.stream):
    return output
  if not options.output and len(declared) > 1:
    raise UserError(
      f'config.eval.stream={options.stream!r} (--stream): {type(stage.game).__name__} makes {", ".join(declared)}; '
      'say which is compared with it, config.eval.output (--output)'
    )
  return core.Output(options.stream, stage.streams[options.stream].main)


def _reference(stage: runs.Stage, options: Options, split: str | None = None) -> Stream:
  output = _output_of(stage, options)
  return sets.reference_stream(stage.streams[output.stream], split, output.field, options.classes_of)


def _several(stage: runs.Stage, options: Options) -> tuple[str, ...]:
  """The outputs that have figures of their own, each against what it imitates; none if one is asked for."""
  declared = core.outputs_of(stage.game, stage.streams)
  found = tuple(name for name, output in declared.items() if options.stream in ('', output.stream))
  return found if len(found) > 1 and not options.output else ()


def _of_each(stage: runs.Stage, options: Options) -> dict[str, Options]:
  """{output with figures of its own: its options}; a metric that suits some of the outputs the others leave out."""
  each = {name: options._replace(output=name) for name in _several(stage, options)}
  outputs = {name: _output_of(stage, own) for name, own in each.items()}
  classified = core.classified_in(stage.game, stage.streams)
  suited = {
    'targets': {name for name, output in outputs.items() if output.paired},
    'classifier': {name for name, output in outputs.items() if output.stream in classified},
  }
  for name, own in list(each.items()):
    left_out = [metric for metric, names in suited.items() if names and name not in names]
    metrics = tuple(metric for metric in own.metrics if metric not in left_out)
    each[name] = own._replace(metrics=metrics)
    if own.metrics and not metrics:
      del each[name]
  return each


def check(stage: runs.Stage, options: Options, made: Any = None) -> None:
  """Raises a UserError for what cannot be evaluated so, as far as that is known before anything is computed.

  Args:
    stage: with the game and the streams.
    options: how.
    made: what the game makes, or its shapes, where they are known.
  """
  measures.check_measures(options.metrics)
  check_count(options.samples, 2, 'samples to evaluate')
  check_count(options.standing, 0, 'standing')
  check_seed(options.seed)
  truncated(stage.game, options.truncation)
  if options.weights not in ('ema', 'raw'):
    raise one_of('weights to evaluate', options.weights, ('ema', 'raw'))
  if options.stream and options.stream not in stage.streams:
    raise one_of('stream of the reference', options.stream, stage.streams)
  if made is not None:
    declared = core.outputs_of(stage.game, stage.streams)
    pick(made, options.output, '--output or config.eval.output', declared)
  each = _of_each(stage, options)
  for own in each.values():
    check(stage, own, made)
  if each:
    return
  for metric in options.metrics:
    suited.check_game(metric, stage.game, lambda: bool(inputs_lib.streams_for(stage)))
    if metric in ('classifier', 'tags') and options.classes_of != 'label':
      raise UserError(
        f'classes_of={options.classes_of!r} (config.eval.classes_of) with the metric {metric}, which is of the '
        "game's own classes, 'label': leave one of them out"
      )
  if 'classifier' in options.metrics:
    _check_classified(stage, _output_of(stage, options).stream)
  if 'gmam' in options.metrics and not options.rivals:
    raise UserError(
      'the metric gmam compares with other runs: name them by --rivals=RUN,RUN or config.eval.rivals, or leave it out'
    )
  if 'targets' in options.metrics and not _output_of(stage, options).paired:
    raise of_targets.lacking(stage.game)
  stream = _reference(stage, options, options.split or None)
  stream.open()
  measures.check_needs(options.metrics, stream, options.features)


def _check_classified(stage: runs.Stage, stream: str) -> None:
  """Raises a UserError unless the game classifies examples of a stream."""
  game, known = type(stage.game).__name__, core.classified_in(stage.game, stage.streams)
  if not known:
    raise UserError(f'{game} classifies nothing as it is set: leave the metric classifier out')
  if stream not in known:
    raise UserError(
      f'{game} classifies examples of {", ".join(map(repr, known))}, none of {stream!r}: leave the metric classifier '
      'out, or choose another --output (config.eval.output)'
    )


class Evaluator:
  """Evaluates states of a stage's game.

  Args:
    stage: the stage, with its game and streams.
    options: options of the evaluation.
    mesh: the devices; all by default.
    say: called with a line of text before each slow part.

  Attributes:
    stream: stream of the reference.
    scorer: computes the features.

  Raises:
    UserError: the options do not fit the stage.
  """

  def __init__(
    self,
    stage: runs.Stage,
    options: Options,
    mesh: Mesh | None = None,
    say: Callable[[str], object] = lambda line: None,
  ):
    check(stage, options)
    self._stage, self._options, self._say = stage, options, say
    self._mesh = parallel.make_mesh() if mesh is None else mesh
    declared = core.outputs_of(stage.game, stage.streams)
    each = _of_each(stage, options)
    self._each = {name: Evaluator(stage, own, self._mesh, say) for name, own in each.items()}
    self.stream: Stream = _reference(stage, options, options.split or None)
    extractor = NONE
    if not each and (not options.metrics or any(measures.takes_features(m, options) for m in options.metrics)):
      plain = _reference(stage, options)
      extractor = choose.choose(options.features, plain, weights=options.inception_weights, say=say)
    self.scorer = Scorer(extractor, self._mesh)
    limits = self.stream.range if self.stream.pictures else None
    self._inputs = inputs_lib.streams_for(stage)
    read = lambda rows: {name: inputs_lib.examples(stream, rows) for name, stream in self._inputs.items()}
    self._generated = Generated(
      Sampler(stage.game, options.truncation),
      self._mesh,
      limits=limits,
      output=options.output,
      inputs=read if self._inputs else None,
      declared=declared,
      asked=core.asked_in(stage.game),
      classes_of=options.classes_of,
    )
    alike.check_same([stream for _, stream in sorted(self._inputs.items())], 'data to evaluate with')
    wanted = _output_of(stage, options)
    self._targets: Stream | None = None
    own = self._inputs.get(wanted.stream) if wanted.paired else None
    if own is not None:
      self._targets = sets.reference_stream(own, None, wanted.field)
    self._paired = own is not None and own.split == self.stream.split
    # What the game reads is all that tells samples apart, where it draws nothing: again and again the same say nothing.
    made_of = [wanted.source[0]] if wanted.source[0] in self._inputs else list(self._inputs)
    self._distinct = max((len(self._inputs[name].open()) for name in made_of), default=options.samples)
    self._samples = min(options.samples, self._distinct) if stage.game.latents is None else options.samples
    # Whatever the split of the reference is; opened only by metrics that ask for it.
    self._trained = functools.cache(lambda: _reference(stage, options))
    self._trained_on = sets.learnt_from(stage.streams, wanted.stream)
    self._cached: dict[str, Any] = {}

  def evidence(self, state: core.GameState, step: int) -> Evidence:
    """The inputs of the measures for one state."""
    clock = runs.clock_at(self._stage, step)
    ema = self._options.weights == 'ema'
    variables = core.game_variables(self._stage.game, state, ema=ema, clock=clock)
    if self._options.standing:
      variables = standing.of_stage(self._stage, variables, self._options.standing, self._options.truncation)
    variables = parallel.replicate(self._mesh)(variables) if jax.process_count() == 1 else variables
    return Evidence(
      self._generated.sampler.game,
      variables,
      self._generated,
      self.scorer,
      self.stream,
      self._samples,
      self._options.seed,
      self._options.output,
      self._say,
      self._cached,
      tuple(self._options.rivals),
      self._targets,
      self._paired,
      self._trained,
      self._trained_on,
      dict(ema=ema, standing=self._options.standing, truncation=self._options.truncation),
      self._batch_size(),
    )

  def _averaged(self, state: core.GameState, step: int) -> list[str]:
    """The players whose running averages the samples are of."""
    game, clock = self._stage.game, runs.clock_at(self._stage, step)
    if not averaged_players(game, state, None):
      return []
    if 'read' not in self._cached:
      variables = jax.eval_shape(lambda state: core.game_variables(game, state, clock=clock), state)
      self._cached['read'] = read_by_sample(self._stage, variables)
    return averaged_players(game, state, self._cached['read'])

  def _batch_size(self) -> int:
    """Examples that networks compare at a time in training; of large batches a part that the same groups divide."""
    stage = self._stage
    largest = max([stage.batch_size, *(stream.batch_size or 0 for stream in stage.streams.values())])
    size = max(largest // stage.accumulate // (self._mesh.size if stage.parallel == 'pmap' else 1), 1)
    if size <= LARGEST:
      return size
    parts = [part for part in range(LARGEST, 31, -1) if size % part == 0 and part % math.gcd(size, 24) == 0]
    return parts[0] if parts else size

  def __call__(self, state: core.GameState, step: int) -> Evaluation:
    """The figures of one state.

    Of the metrics that suit the set, one that fails leaves the others; metrics that were asked for raise.
    """
    if self._each:
      return _joined({name: evaluator(state, step) for name, evaluator in self._each.items()})
    evidence = self.evidence(state, step)
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    names: Iterable[str] = self._options.metrics or measures.default_measures(evidence)
    failed: list[Exception] = []
    left_out: list[str] = []
    for name in names:
      since = time.perf_counter()
      try:
        for figure in measures.measure(name)(evidence):
          figures.append(figure)
          seconds[figure.name] = time.perf_counter() - since
          since = time.perf_counter()
      except Exception as error:
        failed.append(error)
        # The samples themselves, if nothing could be computed: the others would fail alike.
        if self._options.metrics or (not figures and str(error) == str(failed[0]) and len(failed) > 1):
          raise
        self._say(f'left out {name}: {short(error)}')
        left_out.append(name)
    if failed and not figures:
      raise failed[0]
    kind = jax.devices()[0].device_kind
    options, extractor = self._options, self.scorer.extractor
    bits = ', rounded to 8 bits' if self.stream.pictures else ''
    kept = self._averaged(state, step) if options.weights == 'ema' else []
    weights = f'running averages of {", ".join(kept)}' if kept else 'raw weights'
    what = 'truncation' if hasattr(self._stage.game, 'truncated') else 'latents within'
    cut = f', {what} {options.truncation}' if options.truncation else ''
    stood = f', statistics of {options.standing} batches' if options.standing else ''
    made_of = ''.join(f', made of {name}: {sets.title(stream)}' for name, stream in self._inputs.items())
    times = self._samples / self._distinct
    made_of += f', each about {times:.0f} times, with other latents' if times > 1 else ''
    if self._samples < options.samples:
      made_of += f', each once: {options.samples} were asked for, and the game draws no latents'
    labels_of = sets.labels_of(self.stream)
    return Evaluation(
      step,
      tuple(figures),
      seconds,
      {
        'samples': f'{self._samples} of seed {options.seed}{bits}, {weights}{cut}{stood}{made_of}',
        'reference': sets.title(self.stream) + ('' if labels_of == 'label' else f', classes of {labels_of!r}'),
        **({} if extractor is NONE else {'features': f'{extractor.name}: {extractor.protocol}'}),
      },
      f'{self._mesh.size} x {kind}',
      tuple(left_out),
    )


def _joined(found: dict[str, Evaluation]) -> Evaluation:
  """The figures of several outputs, each under its name and the output's."""
  figures = [f._replace(name=f'{f.name}_{name}') for name, one in found.items() for f in one.figures]
  seconds = {f'{figure}_{name}': took for name, one in found.items() for figure, took in one.seconds.items()}
  first = next(iter(found.values()))
  shared = {}
  for what in dict.fromkeys(what for one in found.values() for what in one.shared):
    said = {name: one.shared[what] for name, one in found.items() if what in one.shared}
    same = len(set(said.values())) == 1
    shared[what] = next(iter(said.values())) if same else '; '.join(f'{name}: {text}' for name, text in said.items())
  left_out = tuple(f'{metric}_{name}' for name, one in found.items() for metric in one.left_out)
  return Evaluation(first.step, tuple(figures), seconds, shared, first.device, left_out)
