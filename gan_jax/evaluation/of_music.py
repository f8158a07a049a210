"""Metrics of music as tones: C-RNN-GAN's statistics, of samples beside those of the data."""

from collections.abc import Iterable

import numpy as np

from gan_jax.data.streams import Stream
from gan_jax.data.tones import INTENSITY, PITCH, Tones, heard, unscaled
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure, mean_figure
from gan_jax.metrics import music

#: Sequences that are measured, of each side.
SEQUENCES = 1000
WHAT = {
  'scale_consistency': 'share of tones in the scale that fits best',
  'repetitions': f'pairs of equal runs of {music.RUN} tones',
  'tone_span': 'half tones from the lowest to the highest',
  'intensity_span': 'units (of 127) from the softest to the loudest',
  'polyphony': 'share of tones that begin with another',
  'tones': 'that sound, of a sequence',
}


def is_music(stream: Stream) -> bool:
  """Whether the stream is about tones."""
  return isinstance(stream.kinds.get(stream.main), Tones)


def music_figures(e: Evidence) -> Iterable[Figure]:
  made = _statistics(e.fake.examples[:SEQUENCES])
  real = e.once('music', lambda: _statistics(e.real_examples(SEQUENCES)))
  for name, what in WHAT.items():
    for suffix, of_each in (('', made[name]), ('_real', real[name])):
      whose = f'of {e.stream.split}' if suffix else 'samples'
      yield mean_figure(f'{name}{suffix}', of_each, f'{what}, mean of {len(of_each)} {whose} that sound')


def _statistics(tones: np.ndarray) -> dict[str, np.ndarray]:
  """{statistic: (N,)} of sequences (N, T, 4) from 0 to 1; those without a sound are left out."""
  rows: list[tuple[float, ...]] = []
  for sequence in unscaled(tones):
    sounding, times = heard(sequence)
    if len(sounding):
      pitches = sounding[:, PITCH]
      figures = music.scale_consistency(pitches), music.repetitions(pitches), music.span(pitches)
      rows.append((*figures, music.span(sounding[:, INTENSITY]), music.polyphony(times), len(sounding)))
  return dict(zip(WHAT, np.array(rows, float).reshape(-1, len(WHAT)).T, strict=True))
