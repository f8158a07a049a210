"""MIDI files of a folder, and melodies that are made, as the column 'tones': windows of so many tones."""

import os
from typing import TYPE_CHECKING

import numpy as np
from etils import epath

from gan_jax.base import paths
from gan_jax.base.errors import UserError, one_of
from gan_jax.data.sources.base import Table

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: Of files that are not in folders of splits every tenth, by name, is 'test'.
HELD_OUT = 10
#: Melodies of each split, and the seeds of their making.
MELODIES = {'train': (2000, 0), 'test': (400, 1)}
MAJOR = (0, 2, 4, 5, 7, 9, 11)


def midi(stream: 'Stream') -> Table:
  """The .mid files below config.data.path, in windows that do not overlap, of a column `Tones(length)`.

  A window of a piece that is too short is filled with silence; of longer pieces the rest is left out. With folders
  'train' and 'test' the split is one; else every tenth file is 'test' and the others are 'train'.

  Raises:
    UserError: no folder, no such split, no file, or a file that is no MIDI.
  """
  from gan_jax.data.tones import read_midi

  if not stream.path:
    raise UserError('config.data.path is missing: name the folder of MIDI files')
  root, length = paths.expand(stream.path), _length(stream)
  if not root.is_dir():
    raise UserError(f'config.data.path={stream.path!r} is not a folder')
  if (root / 'train').is_dir():
    if not (root / stream.split).is_dir():
      known = [path.name for path in root.iterdir() if path.is_dir()]
      raise one_of(f'split of {root} in config.data.split', stream.split, known)
    files = _files(root / stream.split)
  else:
    every = _files(root)
    tenth = every[HELD_OUT - 1 :: HELD_OUT]
    parts = {'train': [file for file in every if file not in tenth], 'test': tenth, 'all': every}
    if stream.split not in parts:
      raise one_of(f'split of {root} in config.data.split', stream.split, parts)
    files = parts[stream.split]
  windows = [window for file in files for window in windows_of(read_midi(file.read_bytes(), str(file)), length)]
  if not windows:
    raise UserError(f'config.data.path={stream.path!r} has no MIDI file with tones in split {stream.split!r}: add some')
  return Table({'tones': np.stack(windows)})


def windows_of(tones: np.ndarray, length: int) -> np.ndarray:
  """Tones (n, 4) as windows (N, length, 4); one that is too short is filled with silence.

  >>> windows_of(np.ones((5, 4)), 2).shape, windows_of(np.ones((1, 4)), 2)[0].tolist()
  ((2, 2, 4), [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
  """
  if not len(tones):
    return np.zeros((0, length, 4), np.float32)
  if len(tones) < length:
    tones = np.pad(tones, ((0, length - len(tones)), (0, 0)))
  whole = len(tones) // length
  return tones[: whole * length].reshape(whole, length, 4)


def melodies(stream: 'Stream') -> Table:
  """Melodies of a small grammar: a motif of a major scale comes back, between it the melody walks by steps.

  2,000 in the split 'train', 400 in 'test'.

  Raises:
    UserError: another split.
  """
  if stream.split not in MELODIES:
    raise one_of('split of melodies in config.data.split', stream.split, MELODIES)
  count, seed = MELODIES[stream.split]
  random, length = np.random.RandomState(seed), _length(stream)
  return Table({'tones': np.stack([_melody(random, length) for _ in range(count)])})


def _melody(random: np.random.RandomState, length: int) -> np.ndarray:
  key, place = 48 + random.randint(24), random.randint(7)
  tones: list[tuple[float, float, float, float]] = []
  motif = [(int(random.randint(-2, 3)), float(random.choice([0.5, 1.0, 1.0, 2.0]))) for _ in range(4)]
  while len(tones) < length:
    again = random.rand() < 0.5
    steps = motif if again else [(int(random.randint(-1, 2)), float(random.choice([0.5, 1.0]))) for _ in range(4)]
    for step, lasts in steps:
      place = int(np.clip(place + step, 0, 14))
      pitch = key + 12 * (place // 7) + MAJOR[place % 7]
      tones.append((tones[-1][1] if tones else 0.0, lasts, pitch, 90.0 if again else 70.0))
  return np.array(tones[:length], np.float32)


def _length(stream: 'Stream') -> int:
  """The tones of a window, as a column of the kind Tones says."""
  for settings in stream.columns.values():
    if settings.get('name', '').rsplit('.', 1)[-1] == 'Tones':
      return int(settings['length'])
  raise UserError(
    f"config.data.name={stream.name!r} needs a column of tones: columns={{'tones': {{'name': 'Tones', 'length': 100}}}}"
  )


def _files(folder: epath.Path, above: tuple[str, ...] = ()) -> list[epath.Path]:
  """The MIDI files of a folder and of those in it, by name. Links are followed, but never in a circle."""
  real, found = os.path.realpath(folder), []
  for path in sorted(folder.iterdir()) if real not in above else ():
    if path.is_dir() and not path.name.startswith('.'):
      found += _files(path, (*above, real))
    elif path.suffix.lower() in ('.mid', '.midi') and not path.name.startswith('.'):
      found.append(path)
  return found
