"""A file for each sample: pictures, MIDI of piano rolls and of tones, binvox of voxels, texts."""

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from etils import epath

from gan_jax.base.errors import UserError
from gan_jax.data.tones import midi_of, unscaled
from gan_jax.sampling import pictures

#: Ticks of a quarter note, and steps of a piano roll in it: a step is a sixteenth.
QUARTER, STEPS = 480, 4
LOUD = 90
#: Digits of the name of a sample's file.
DIGITS = 6
#: {features: the MIDI number of the first}; of other counts the middle is middle C.
LOWEST = {128: 0, 88: 21}


def midi(roll: np.ndarray) -> bytes:
  """A MIDI file (format 0) of a piano roll: each step is a sixteenth, notes that go on are held.

  Args:
    roll: (T, pitches) bool, up to 128 pitches; 128 are all of MIDI, 88 a piano's, others lie about middle C.

  >>> midi(np.ones((1, 128), bool))[:4]
  b'MThd'
  """
  pitches = roll.shape[1]
  lowest = LOWEST.get(pitches, max(60 - pitches // 2, 0))
  events, waited = bytearray(), 0
  sounding = np.zeros((pitches,), bool)
  for now in [*roll, np.zeros((pitches,), bool)]:
    for on in (False, True):  # what ends first, so that a note struck again is heard
      for pitch in np.flatnonzero(now & ~sounding if on else sounding & ~now):
        events += _length(waited) + bytes((0x90 if on else 0x80, lowest + int(pitch), LOUD if on else 0))
        waited = 0
    sounding = now
    waited += QUARTER // STEPS
  events += _length(0) + b'\xff\x2f\x00'
  return b'MThd' + struct.pack('>IHHH', 6, 0, 1, QUARTER) + b'MTrk' + struct.pack('>I', len(events)) + bytes(events)


def _length(ticks: int) -> bytes:
  """A number as MIDI writes times: 7 bits a byte, the highest bit set in all but the last.

  >>> _length(480).hex()
  '8360'
  """
  parts = [ticks & 127]
  while ticks := ticks >> 7:
    parts.append(128 | (ticks & 127))
  return bytes(reversed(parts))


def binvox(solid: np.ndarray) -> bytes:
  """A binvox file, https://www.patrickmin.com/binvox/binvox.html: runs of equal voxels.

  Args:
    solid: (n, n, n) bool: the axes x, y, z.

  >>> binvox(np.ones((2, 2, 2), bool))[-2:]
  b'\\x01\\x08'
  """
  if len(set(solid.shape)) != 1:
    raise UserError(f'voxels {solid.shape} are no cube, which binvox needs: use --format=npz')
  values = np.ascontiguousarray(solid.transpose(0, 2, 1)).ravel()  # y runs fastest, then z
  starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
  runs = bytearray()
  for start, stop in zip(starts, [*starts[1:], len(values)], strict=True):
    left = int(stop - start)
    while left:
      runs += bytes((int(values[start]), min(left, 255)))
      left -= min(left, 255)
  size = ' '.join(map(str, solid.shape))
  return f'#binvox 1\ndim {size}\ntranslate 0 0 0\nscale 1\ndata\n'.encode() + bytes(runs)


def _check_picture(array: np.ndarray) -> bool:
  return array.ndim in (3, 4) or (array.ndim == 5 and array.shape[-1] == 1)


def _check_midi(array: np.ndarray) -> bool:
  return array.ndim == 3 and 4 <= array.shape[-1] <= 128


def _check_binvox(array: np.ndarray) -> bool:
  return (array.ndim == 4 and array.shape[-1] > 4) or (array.ndim == 5 and array.shape[-1] == 1)


def _midi(array: np.ndarray, limits: tuple[float, float], path: epath.Path) -> None:
  tones = array.shape[-1] == 4  # of a scale of its own
  path.write_bytes(midi_of(unscaled(array)) if tones else midi(array > sum(limits) / 2))


def _binvox(array: np.ndarray, limits: tuple[float, float], path: epath.Path) -> None:
  path.write_bytes(binvox(array.reshape(array.shape[:3]) > sum(limits) / 2))


def _picture(array: np.ndarray, limits: tuple[float, float], path: epath.Path) -> None:
  if array.ndim == 3 and array.shape[-1] <= 4:
    pictures.write_one(array, limits, path)
  else:
    drawn = pictures.picture_of(array[None], limits)
    assert drawn is not None  # by `_check_picture`
    pictures.write(drawn, path)


def _check_text(array: np.ndarray) -> bool:
  return array.dtype.kind == 'U'


def _text(text: np.ndarray, limits: tuple[float, float], path: epath.Path) -> None:
  path.write_text(f'{text}\n', encoding='utf-8')


class _Format(NamedTuple):
  suffix: str
  what: str
  fits: Callable[[np.ndarray], bool]
  write: Callable[[np.ndarray, tuple[float, float], epath.Path], None]


FORMATS: dict[str, _Format] = {
  'folder': _Format('.png', 'pictures, voxels or sequences', _check_picture, _picture),
  'midi': _Format('.mid', 'tones (T, 4) or piano rolls (T, 5 to 128)', _check_midi, _midi),
  'text': _Format('.txt', 'texts', _check_text, _text),
  'binvox': _Format('.binvox', 'voxels (n, n, n) or (n, n, n, 1)', _check_binvox, _binvox),
}


def write(
  samples: Mapping[str, np.ndarray], limits: Mapping[str, tuple[float, float]], how: str, folder: epath.Path
) -> list[epath.Path]:
  """Writes a file for each sample, 000000, 000001 and so on, and returns the folders they are in.

  Args:
    samples: {name of what the game makes: (N, ...)}; several have a folder each.
    limits: {name: (low, high) of its values}; a voxel is filled and a note sounds above the middle.
    how: 'folder', 'midi', 'binvox' or 'text'.
    folder: where.

  Raises:
    UserError: nothing that the game makes can be written so, or the folder has more samples, of another call.
  """
  form = FORMATS[how]
  fitting = {name: array for name, array in samples.items() if form.fits(array)}
  if not fitting:
    shapes = ', '.join(str(array.shape[1:]) for array in samples.values())
    raise UserError(f'--format={how} writes {form.what}, the samples are {shapes}: use --format=npz')
  folders = {name: folder / name if len(samples) > 1 else folder for name in fitting}
  for name, where in folders.items():
    names = {_file(i, form) for i in range(len(fitting[name]))}
    there = {file.name for file in where.glob(f'{"[0-9]" * DIGITS}{form.suffix}')} if where.is_dir() else set()
    if others := sorted(there - names):
      raise UserError(f'{where} has {len(others)} samples of another call, such as {others[-1]}: name a new folder')
  for name, where in folders.items():
    where.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(fitting[name]):
      form.write(sample, limits[name], where / _file(i, form))
  return list(folders.values())


def _file(number: int, form: _Format) -> str:
  return f'{number:0{DIGITS}d}{form.suffix}'
