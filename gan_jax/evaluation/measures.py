"""The metrics of evaluations by name, and what each requires of the data set."""

from collections.abc import Iterable

import numpy as np

from gan_jax.base.calls import resolve
from gan_jax.base.errors import UserError, one_of
from gan_jax.config.evaluation import Options
from gan_jax.data import sets
from gan_jax.data.streams import Stream
from gan_jax.evaluation import (
  of_examples,
  of_features,
  of_music,
  of_networks,
  of_players,
  of_symbols,
  of_targets,
  suited,
)
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure, Measure

MEASURES: dict[str, Measure] = {
  'fid': of_features.fid,
  'kid': of_features.kid,
  'is': of_features.score,
  'prdc': of_features.prdc,
  'ifid': of_features.intra_fid,
  'classes': of_features.class_figures,
  'tags': of_features.tag_figures,
  'codes': of_networks.code_figures,
  'parzen': of_examples.parzen_figure,
  'modes': of_examples.mode_figures,
  'histogram': of_examples.histogram_figures,
  'makers': of_players.maker_figures,
  'gmam': of_players.gmam_figures,
  'classifier': of_players.classifier_figures,
  'pairs': of_players.pair_figures,
  'pair_classes': of_players.pair_class_figures,
  'swd': of_examples.swd,
  'ms_ssim': of_examples.ms_ssim,
  'neighbours': of_examples.copies,
  'two_sample': of_examples.two_sample_figure,
  'held_out': of_networks.held_out_figures,
  'probe': of_networks.probe_figure,
  'ppl': of_networks.ppl,
  'targets': of_targets.target_figures,
  'inversion': of_networks.inversion_figures,
  'music': of_music.music_figures,
  'oracle_nll': of_symbols.oracle_figures,
  'likelihood': of_symbols.likelihood_figures,
  'bleu': of_symbols.bleu_figures,
  'self_bleu': of_symbols.self_bleu_figures,
}


def default_measures(e: Evidence) -> tuple[str, ...]:
  """The quick metrics that suit the set."""
  if of_symbols.is_text(e.stream) or e.stream.name.startswith('oracle/'):  # of which distances say nothing
    own = ['bleu', 'self_bleu'] if of_symbols.is_text(e.stream) else ['oracle_nll']
    likely = e.held_out is not None and not suited.lack('likelihood', e.game)
    return tuple(own + (['likelihood'] if likely else []))
  if of_music.is_music(e.stream):
    return ('music',)
  names = ['fid', 'kid']
  if min(e.samples, len(e.stream.open())) > of_features.NEIGHBOURS:
    names.append('prdc')
  several = not suited.lack('makers', e.game)
  if e.stream.name in of_examples.MIXTURES or e.stream.name.startswith('stacked/'):
    names += ['modes', 'makers'] if several else ['modes']
  elif e.extractor.name.startswith('classifier'):
    names += ['classes', 'makers'] if several else ['classes']
    if e.stream.tags and e.fake.tags is not None:
      names.append('tags')
    if not suited.lack('codes', e.game) and e.labelled_held_out is not None:
      names.append('codes')
  if not e.pictures and _numbers(e.stream):
    names.append('histogram')
  if e.targets is not None:
    names.append('targets')
  return tuple(names + (['neighbours'] if e.held_out is not None and e.pictures else []))


def _numbers(stream: Stream) -> bool:
  """Whether an example is a single number."""
  return bool(np.prod(stream.fields(1)[stream.main].shape[1:]) == 1)


#: Metrics without features: they use only the examples, or the game's own networks.
FEATURELESS = frozenset(
  (
    'parzen', 'histogram', 'swd', 'ms_ssim', 'neighbours', 'two_sample', 'held_out', 'codes', 'classifier', 'pairs',
    'gmam', 'probe', 'inversion', 'music', 'oracle_nll', 'likelihood', 'bleu', 'self_bleu',
  )
)  # fmt: skip

#: What metrics require: pictures, a held-out split, labels, two classes or more, features that predict classes, known
#: modes.
NEEDS = {
  'is': ('predicts_classes',),
  'ifid': ('labels',),
  'classes': ('predicts_classes',),
  'tags': ('predicts_classes', 'tags'),
  'codes': ('classes', 'labelled_held_out'),
  'classifier': ('labels', 'labelled_held_out'),
  'parzen': ('held_out',),
  'modes': ('modes',),
  'histogram': ('numbers',),
  'pairs': ('pictures',),
  'pair_classes': ('predicts_classes',),
  'swd': ('pictures',),
  'ms_ssim': ('pictures',),
  'neighbours': ('held_out',),
  'held_out': ('held_out',),
  'probe': ('pictures', 'classes', 'labelled_held_out'),
  'inversion': ('held_out',),
  'music': ('music',),
  'oracle_nll': ('oracle',),
  'likelihood': ('held_out',),
  'bleu': ('text', 'held_out'),
  'self_bleu': ('text',),
}


def check_needs(names: Iterable[str], stream: Stream, features: str) -> None:
  """Raises a UserError if the set or the features lack something that a metric requires.

  Args:
    names: names of metrics.
    stream: stream of the reference.
    features: name of the features, as in `features.choose`.
  """
  has = {
    'pictures': lambda: stream.pictures,
    'labels': lambda: stream.classes > 0,
    'classes': lambda: stream.classes > 1,
    'predicts_classes': lambda: (
      features == 'inception' or '.' in features or (stream.classes > 1 and features in ('auto', 'classifier'))
    ),
    'held_out': lambda: sets.held_out_stream(stream, labelled=False) is not None,
    'labelled_held_out': lambda: sets.held_out_stream(stream) is not None,
    'numbers': lambda: _numbers(stream),
    'music': lambda: of_music.is_music(stream),
    'oracle': lambda: stream.name.startswith('oracle/'),
    'tags': lambda: bool(stream.tags),
    'text': lambda: of_symbols.is_text(stream),
    'modes': lambda: stream.name in of_examples.MIXTURES or stream.name.startswith('stacked/'),
  }
  words = {
    'pictures': 'pictures of 8 bits',
    'labels': 'labels',
    'classes': 'labels of two classes or more',
    'predicts_classes': 'features that predict classes (classifier or inception)',
    'held_out': "a held-out split 'test' beside 'train'",
    'labelled_held_out': "a held-out split 'test' beside 'train', with the same classes",
    'numbers': 'single numbers',
    'music': 'tones (a column Tones)',
    'oracle': 'sequences of an oracle (oracle/5000x20)',
    'tags': 'tags of its classes (config.data.tags)',
    'text': 'texts (a column Text)',
    'modes': f'a set with known modes ({", ".join(of_examples.MIXTURES)}, stacked/NAME)',
  }
  for name in names:
    for need in NEEDS.get(name, ()):
      if not has[need]():
        raise UserError(
          f'the metric {name} needs {words[need]}, but {stream.name!r} {stream.split!r} with features={features} '
          'does not have it: leave the metric out'
        )


def check_measures(names: Iterable[str]) -> None:
  """Raises a UserError if a metric is unknown."""
  for name in names:
    measure(name)


def measure(name: str) -> Measure:
  """The metric of a name: one of `MEASURES`, or the dotted name of a function of yours.

  Such a function takes the `Evidence` (`e.fake.examples`, `e.real_examples(count)`, `e.fake.features`, `e.game`, ...)
  and returns a number, which is named as the function is, or figures.

  Raises:
    UserError: there is none.
  """
  if name in MEASURES:
    return MEASURES[name]
  if '.' not in name:
    raise one_of('metric in --metrics or config.eval.metrics (or a dotted name of yours)', name, MEASURES)
  function = resolve(name, where='--metrics or config.eval.metrics')
  if not callable(function):
    raise UserError(f'the metric {name} is not a function: it takes the evidence and returns a number, or figures')

  def figures(e: Evidence) -> Iterable[Figure]:
    found = function(e)
    if isinstance(found, Figure):
      return [found]
    if isinstance(found, Iterable) and not hasattr(found, 'ndim'):  # no array of one number
      return list(found)
    said = (getattr(function, '__doc__', None) or '').strip().splitlines()
    return [Figure(name.rsplit('.', 1)[-1], float(found), said[0] if said else f'of {name}')]

  return figures


def takes_features(name: str, options: Options) -> bool:
  """Whether a metric is computed of features; a function of yours is, if config.eval.features names some."""
  return options.features != 'auto' if '.' in name else name not in FEATURELESS
