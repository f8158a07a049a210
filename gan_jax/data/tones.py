"""Music as tones, each four numbers: time since the last, length, pitch, intensity; as MIDI files, and as inputs.

Times are quarters, pitches and intensities MIDI's 0 to 127. Tones of one time have 0 since the last.
"""

import dataclasses
import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError, short
from gan_jax.data.kind import Kind, form_of

SINCE, LENGTH, PITCH, INTENSITY = range(4)
#: What goes to 1: four quarters, MIDI's highest pitch and intensity. 0 stays 0.
SCALE = (4.0, 4.0, 127.0, 127.0)
#: Ticks of a quarter in files that are written, and to which times are rounded.
TICKS = 384
#: MIDI's channels for tones; the tenth is for drums.
CHANNELS = (*range(9), *range(10, 16))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tones(Kind):
  """A sequence of tones.

  Attributes:
    length: T, the tones of an example.
  """

  length: int

  title = 'tones'
  range = (0.0, 1.0)

  def __post_init__(self) -> None:
    if self.length < 1:
      raise UserError(f'length={self.length} must be at least 1')

  @property
  def form(self) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((self.length, 4), np.float32)

  def stored(self, value: Any) -> np.ndarray:
    """(T, 4) float32.

    Raises:
      UserError: others.
    """
    array = np.asarray(value, np.float32)
    if array.shape != (self.length, 4) or not np.isfinite(array).all():
      raise UserError(f'is {form_of(array)}, must be ({self.length}, 4) finite numbers: set length')
    return array

  def prepare(self, batch: jax.Array, key: jax.Array) -> jax.Array:
    """(B, T, 4) float32 from 0 to 1."""
    return jnp.clip(batch / jnp.array(SCALE)[None, None], 0.0, 1.0)


def unscaled(tones: np.ndarray) -> np.ndarray:
  """Tones (..., 4) from 0 to 1 as quarters and MIDI's numbers, times rounded to ticks, the others to whole numbers.

  >>> unscaled(np.array([0.25, 0.125, 60 / 127, 1.2])).tolist()
  [1.0, 0.5, 60.0, 127.0]
  """
  raw = np.clip(np.asarray(tones, np.float64), 0.0, 1.0) * np.array(SCALE)
  raw[..., :PITCH] = np.round(raw[..., :PITCH] * TICKS) / TICKS
  raw[..., PITCH:] = np.round(raw[..., PITCH:])
  return raw


def heard(tones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(tones (n, 4) of a sequence (T, 4) in quarters that sound: with length and intensity; their times (n,))."""
  sounds = (tones[:, LENGTH] > 0) & (tones[:, INTENSITY] > 0)
  return tones[sounds], (np.round(np.cumsum(tones[:, SINCE]) * TICKS) / TICKS)[sounds]


def read_midi(data: bytes, name: str = 'the file') -> np.ndarray:
  """The tones (n, 4) of a MIDI file, all tracks together, by time and then pitch. Percussion is left out.

  Raises:
    UserError: mido is not installed, or it is no MIDI file.
  """
  mido = _mido()
  try:
    file = mido.MidiFile(file=io.BytesIO(data), clip=True)
  except Exception as error:  # EOFError, OSError, ValueError, KeyError
    raise UserError(f'{name} is no MIDI file ({short(error)}): remove it') from error
  if file.ticks_per_beat <= 0 or file.type == 2:
    raise UserError(f'{name}: its times are no parts of a quarter, or its tracks are separate pieces: remove it')
  found: list[tuple[float, float, float, float]] = []
  for track in file.tracks:
    now, open_notes = 0, dict[tuple[int, int], tuple[int, int]]()
    for message in track:
      now += message.time
      if message.type not in ('note_on', 'note_off') or message.channel == 9:
        continue
      key = message.channel, message.note
      if key in open_notes:  # a tone that is struck again ends
        begin, velocity = open_notes.pop(key)
        if now > begin:
          found.append((begin, now - begin, message.note, velocity))
      if message.type == 'note_on' and message.velocity:
        open_notes[key] = now, message.velocity
    found += [(begin, file.ticks_per_beat, note, velocity) for (_, note), (begin, velocity) in open_notes.items()]
  rows = np.array(sorted(found, key=lambda tone: (tone[0], tone[2])), np.float64).reshape(-1, 4)
  begins = rows[:, 0] / file.ticks_per_beat
  since = np.diff(begins, prepend=begins[:1])
  return np.stack([since, rows[:, 1] / file.ticks_per_beat, rows[:, 2], rows[:, 3]], 1).astype(np.float32)


def midi_of(tones: np.ndarray) -> bytes:
  """A MIDI file of tones (T, 4) in quarters.

  A channel has one tone of a pitch at a time. A tone that begins while another of its pitch sounds goes to the first
  channel that is free. If none is, the one of them that would end first ends where the new one begins; if both begin at
  once, it is left out.

  differs: the authors' code (olofmogren/c-rnn-gan: `get_midi_pattern`) writes all tones to one channel, where those of
  one pitch end each other; its tempo is 45 quarters a minute, here MIDI's own, 120.

  Raises:
    UserError: mido is not installed.
  """
  mido = _mido()
  rows, times = heard(np.asarray(tones, np.float64))
  begun: list[tuple[int, int, int, int]] = []  # tick, channel, note, velocity
  ends: list[int] = []
  last: dict[tuple[int, int], int] = {}  # {(channel, note): the number of its last tone}
  for (_, length, pitch, velocity), begin in zip(rows, times, strict=True):
    note, start = round(pitch), round(begin * TICKS)
    until = {channel: ends[last[channel, note]] if (channel, note) in last else start for channel in CHANNELS}
    channel = min(CHANNELS, key=lambda channel: max(until[channel], start))
    if until[channel] > start:
      ends[last[channel, note]] = start
    last[channel, note] = len(begun)
    begun.append((start, channel, note, min(max(round(velocity), 1), 127)))
    ends.append(start + max(round(length * TICKS), 1))
  events = []
  for (start, channel, note, velocity), end in zip(begun, ends, strict=True):
    if end > start:
      events += [(start, 1, channel, note, velocity), (end, 0, channel, note, 0)]
  track, now = mido.MidiTrack(), 0
  for tick, is_on, channel, note, velocity in sorted(events):  # of one tick, what ends comes first
    kind = 'note_on' if is_on else 'note_off'
    track.append(mido.Message(kind, channel=channel, note=note, velocity=velocity, time=tick - now))
    now = tick
  file = mido.MidiFile(type=0, ticks_per_beat=TICKS)
  file.tracks.append(track)
  out = io.BytesIO()
  file.save(file=out)
  return out.getvalue()


def _mido() -> Any:
  try:
    import mido
  except ImportError as error:
    raise UserError("MIDI files need mido: pip install 'gan_jax[music]', or pip install mido") from error
  return mido
