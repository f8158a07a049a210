"""What C-RNN-GAN measures of music: scales, repetitions, spans, tones at once.

All take tones (T, 4) in quarters and MIDI's numbers, as `data.tones.unscaled` gives them, or their pitches and times.
Source: Mogren 2016, https://arxiv.org/abs/1611.09904, section 4; the authors' code (olofmogren/c-rnn-gan:
`midi_statistics.py`).
"""

import numpy as np

from gan_jax.metrics.checks import check_count, check_finite

#: Steps of a major scale, and of the natural and the harmonic minor.
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 8, 11))
#: Tones of a repetition.
RUN = 3


def scale_consistency(pitches: np.ndarray) -> float:
  """The largest share of pitches (n,) that are in one scale: major, natural or harmonic minor, of any of 12 keys.

  differs: the authors' code never counts tones below the first of a scale in their octave (C sharp in D major), so that
  pieces in most keys have less than 1.

  >>> scale_consistency(np.array([60, 62, 64, 66]))  # G major has them
  1.0
  >>> scale_consistency(np.array([60, 61, 62, 63]))
  0.75
  """
  _check(pitches=pitches)
  classes = np.bincount(pitches.astype(int) % 12, minlength=12)
  return float(max(classes[(np.array(scale) + key) % 12].sum() for scale in SCALES for key in range(12)) / len(pitches))


def repetitions(pitches: np.ndarray, run: int = RUN) -> int:
  """Pairs of places, apart by a run at least, at which the same run of pitches begins.

  differs: the authors' code leaves out the last place at which a run can begin, on either side of a pair.

  >>> repetitions(np.array([1, 2, 3, 1, 2, 3, 1, 2, 3]))  # 123 three times, 231 and 312 twice
  5
  """
  _check(pitches=pitches)
  if len(pitches) < run:
    return 0
  runs = np.lib.stride_tricks.sliding_window_view(pitches, run)
  same = (runs[:, None] == runs[None]).all(-1)
  return int(np.triu(same, run).sum())


def span(values: np.ndarray) -> float:
  """The largest less the smallest: half tones of pitches, units of intensities."""
  _check(values=values)
  return float(values.max() - values.min())


def polyphony(times: np.ndarray) -> float:
  """The share of tones that begin at the same time as another.

  differs: the authors' code counts a tone that stands alone twice, and each chord once more as such a tone.

  >>> polyphony(np.array([0.0, 1.0, 1.0, 2.0]))
  0.5
  """
  _check(times=times)
  _, counts = np.unique(times, return_counts=True)
  return float(counts[counts > 1].sum() / len(times))


def _check(**tones: np.ndarray) -> None:
  check_count(1, **tones)
  check_finite(**tones)
