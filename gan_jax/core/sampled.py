"""What a game's `sample` is given, and what it makes: its inputs and its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn

from gan_jax.base.errors import UserError, one_of
from gan_jax.latents import distributions


class Output(NamedTuple):
  """What one thing that `sample` makes is drawn and compared with.

  Attributes:
    stream: the stream whose examples it imitates.
    field: of that stream.
    of: the input that it is made of, 'STREAM' (its image) or 'STREAM.FIELD'; '' for none.
    again: whether each example should be its input again, a reconstruction; then `of` is what it imitates.
  """

  stream: str
  field: str = 'image'
  of: str = ''
  again: bool = False

  @property
  def source(self) -> tuple[str, str]:
    """(stream, field) of what it is made of."""
    stream, _, field = self.of.partition('.')
    return stream, field or 'image'

  @property
  def paired(self) -> bool:
    """Whether each example has a target: a field of the stream that has its input, or that input."""
    return self.again or (self.source[0] == self.stream and self.source[1] != self.field)


def inputs_of(game: Any, streams: Iterable[str]) -> tuple[str, ...]:
  """The streams that a game's `sample` reads: its `inputs`; by default all if it draws no latents, none if it does.

  Args:
    game: the module.
    streams: the names of all.

  Raises:
    UserError: `inputs` is no tuple of streams that there are.
  """
  streams, inputs = tuple(streams), getattr(game, 'inputs', None)
  if inputs is None:
    return streams if game.latents is None else ()
  if isinstance(inputs, str):
    raise UserError(f'inputs={inputs!r} of {type(game).__name__} must be a tuple of streams, such as ({inputs!r},)')
  for name in inputs:
    if name not in streams:
      raise one_of(f'stream in the inputs of {type(game).__name__}', name, streams)
  return tuple(inputs)


def asked_in(game: Any) -> str:
  """The stream whose examples say what samples are asked for, by the field `condition` of the game; '' for none."""
  return 'images' if getattr(game, 'condition', '') else ''


def asked_as(game: Any) -> Mapping[str, str]:
  """{field of what `sample` reads: the field that a condition of it fills}, the game's `asked_as`.

  By default a condition replaces the field. A game that reads what a picture has, to change it, names another field for
  what is asked for; of attributes, those that nobody asked for are NaN there.
  """
  named: Mapping[str, str] = getattr(game, 'asked_as', {})
  return named


def given(game: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
  """What `sample` is given of a batch of all streams: those that the game's `inputs` name, and its latents."""
  names = inputs_of(game, [name for name in batch if name != 'latents'])
  drawn = () if game.latents is None else ('latents',)
  return {name: batch[name] for name in (*names, *drawn)}


def outputs_of(game: nn.Module, streams: Iterable[str]) -> dict[str, Output]:
  """{name of what `sample` makes: what it imitates}, the main one first; empty if the game says nothing of it.

  Raises:
    UserError: an output names a stream that is not there.
  """
  streams, declared = tuple(streams), dict(getattr(game, 'outputs', None) or {})
  for name, output in declared.items():
    where = f'outputs of {type(game).__name__}'
    if not isinstance(output, Output):
      raise UserError(f'{where}: {name}={output!r} must be a core.Output, such as core.Output({streams[0]!r})')
    for stream in (output.stream, *([output.source[0]] if output.of else [])):
      if stream not in streams:
        raise one_of(f'stream in the {where}, {name!r}', stream, streams)
    if output.again and (not output.of or output.source != (output.stream, output.field)):
      raise UserError(
        f'{where}: {name!r} is its input again, so it is made of what it imitates: write of='
        f'{output.stream + "." + output.field!r}, or leave out again=True'
      )
  return declared


def truncated(game: Any, truncation: float) -> tuple[Any, Any]:
  """(the game, its latents) with less variety: the game's own `truncated(truncation)`, else normal latents near 0.

  Args:
    game: the module.
    truncation: what it means the game says; for normal latents their largest absolute value. 0 changes nothing.

  Raises:
    UserError: the number does not suit, or the game has no normal latents.
  """
  own = getattr(game, 'truncated', None)
  if truncation and own is not None:
    game = own(truncation)
    return game, game.latents
  return game, distributions.truncated(game.latents, truncation)
