"""Generates samples in blocks of one size, so that a sample has the same numbers in every call."""

import operator
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError, one_of
from gan_jax.base.seeds import key_of
from gan_jax.core.sampled import truncated
from gan_jax.latents import distributions as latents_lib

#: Number of samples in a block. It is fixed, so that a sample has the same numbers in every call.
CHUNK = 64
#: Folded into the key for a generator's own noise, so that it differs from the latents'.
NOISE = 1 << 30


class Sampler:
  """Generates samples of a game, with the networks in eval mode.

  Args:
    game: the module.
    truncation: threshold for normal latents, or what the game's own `truncated` makes of it; 0 for no truncation.

  Attributes:
    game: the module, truncated.
    distribution: of its latents, truncated.

  Raises:
    UserError: the game has no normal latents to truncate.
  """

  def __init__(self, game: Any, truncation: float = 0.0):
    self.game, self.distribution = truncated(game, truncation)
    self._block, self._sown = jax.jit(self.block), jax.jit(self._sow)
    # A separate program: latents drawn in the program that also generates could differ in their last digits.
    self._draw = jax.jit(lambda key, start: latents_lib.draw(self.distribution, key, CHUNK, start=start))

  def block(
    self, variables: Mapping[str, Any], key: jax.Array, start: jax.Array, latents: Any = None, inputs: Any = None
  ) -> Any:
    """Samples start ... start + CHUNK - 1 of a key, pure: for `jax.jit`, and `jax.vmap` over starts.

    Args:
      variables: of the game.
      key: of the seed.
      start: int32 scalar, a multiple of CHUNK.
      latents: (CHUNK, ...) in place of the drawn ones; or those parts that replace drawn ones, such as {'label':
        (CHUNK,)}.
      inputs: {stream: fields (CHUNK, ...)} of the streams that the game reads when it samples.

    Returns:
      (what the game makes, the latents it was made from).
    """
    batch: dict[str, Any] = dict(inputs or {})
    drawn = None
    if self.game.latents is not None:
      drawn = latents_lib.draw(self.distribution, key, CHUNK, start=start)
      if isinstance(drawn, Mapping):
        drawn = {**drawn, **(latents or {})}
      elif latents is not None:
        drawn = latents
      batch['latents'] = drawn
    noise = jax.random.fold_in(jax.random.fold_in(key, NOISE), start)
    return self.game.apply(variables, batch, method='sample', rngs={'noise': noise}), drawn

  def check_label(self, label: int | None) -> None:
    """Raises a UserError if the game has no such class."""
    latents = self.game.latents
    if label is not None and not (isinstance(latents, Mapping) and 'label' in latents):
      raise UserError(
        f'label={label}: {type(self.game).__name__} draws no label: leave it out, or give a condition (--condition) '
        'where the game takes one'
      )
    if label is not None and not (isinstance(label, int | np.integer) and 0 <= label < latents['label'].classes):
      raise UserError(f'label={label} is no class: choose 0 to {latents["label"].classes - 1}')

  def latents(self, count: int, seed: int, label: int | None = None) -> Any:
    """The latents of samples 0 ... count - 1 of a seed: (count, ...) numpy, or a dict of such arrays.

    Raises:
      UserError: the game draws no latents, there is no such class or seed, or count is less than 1.
    """
    if self.game.latents is None:
      raise UserError(f'{type(self.game).__name__} translates examples: it has no latents')
    check_count(count)
    self.check_label(label)
    blocks = [jax.device_get(self._draw(key_of(seed), start)) for start in range(0, count, CHUNK)]
    drawn = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *blocks)
    return drawn if label is None else {**drawn, 'label': np.full(count, label, np.int32)}

  def generate(self, variables: Mapping[str, Any], latents: Any, seed: int = 0, inputs: Any = None) -> Any:
    """Examples of latents that are given whole.

    Args:
      variables: of the game, from `game.game_variables`.
      latents: (count, ...), or a dict of such, as `latents` gives them.
      seed: of a generator's own noise, if it has any.
      inputs: {stream: fields (count, ...)} of the streams that the game reads when it samples.

    Returns:
      (count, ...) float32 numpy, or a dict of such if the game makes several things.

    Raises:
      UserError: these are no latents of the game, or inputs are missing.
    """
    latents = self._checked(latents)
    count = len(jax.tree.leaves(latents)[0])
    self._check_inputs(count, inputs)
    return self._made(variables, count, seed, latents, inputs)

  def __call__(
    self, variables: Mapping[str, Any], count: int, seed: int, label: int | None = None, inputs: Any = None
  ) -> Any:
    """Samples 0 ... count - 1 of a seed.

    Args:
      variables: of the game, from `game.game_variables`.
      count: how many.
      seed: of the latents.
      label: the class to ask for, if the latents have a 'label'.
      inputs: {stream: fields (count, ...)} of the streams that the game reads when it samples; None if it reads none.

    Returns:
      (count, ...) float32 numpy, or a dict of such if the game makes several things.

    Raises:
      UserError: there is no such class or seed, count is less than 1, or inputs are missing or fewer.
    """
    check_count(count)
    self.check_label(label)
    self._check_inputs(count, inputs)
    latents = None if self.game.latents is None else self.latents(count, seed, label)
    return self._made(variables, count, seed, latents, inputs)

  def _check_inputs(self, count: int, inputs: Any) -> None:
    """Raises a UserError unless inputs are those of the game, and as many as samples."""
    inputs, title = dict(inputs or {}), type(self.game).__name__
    if self.game.latents is not None or getattr(self.game, 'inputs', None) is not None:
      wanted = core.inputs_of(self.game, {*inputs, *(getattr(self.game, 'inputs', None) or ())})
      if inputs and not wanted:
        raise UserError(f'inputs={sorted(inputs)} given to {title}, whose samples read no data: leave them out')
      for name in set(wanted) ^ set(inputs):
        if name in wanted:
          raise UserError(f'{title} reads the stream {name!r} when it samples: give inputs={{{name!r}: fields}}')
        raise one_of(f'stream that {title} reads when it samples', name, wanted)
    elif not inputs:
      raise UserError(f'{title} translates examples: give inputs={{stream: fields}}')
    for name, fields in inputs.items():
      if any(len(value) < count for value in fields.values()):
        raise UserError(f'{count} samples asked for, but inputs[{name!r}] has fewer examples: give as many')

  def _made(self, variables: Mapping[str, Any], count: int, seed: int, latents: Any, inputs: Any) -> Any:
    variables = jax.device_put(jax.tree.map(_local, variables), jax.local_devices()[0])
    chunks = []
    for start in range(0, count, CHUNK):
      given = jax.tree.map(lambda rows: _padded(np.asarray(rows)[start : start + CHUNK]), (latents, inputs or {}))  # noqa: B023
      chunks.append(jax.device_get(self._block(variables, key_of(seed), start, *given)[0]))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *chunks)

  def intermediates(self, variables: Mapping[str, Any], latents: Any, seed: int = 0, inputs: Any = None) -> Any:
    """What networks sow on the way to the examples of latents: (count, ...) leaves.

    Args:
      variables: of the game.
      latents: as `generate` takes them; all of them at a time.
      seed: of a generator's own noise.
      inputs: as `generate` takes them.
    """
    latents = self._checked(latents)
    self._check_inputs(len(jax.tree.leaves(latents)[0]), inputs)
    batch = {**(inputs or {}), 'latents': latents}
    return jax.device_get(self._sown(variables, batch, jax.random.fold_in(key_of(seed), NOISE)))

  def _sow(self, variables: Mapping[str, Any], batch: Any, noise: jax.Array) -> Any:
    _, written = self.game.apply(variables, batch, method='sample', rngs={'noise': noise}, mutable=['intermediates'])
    return written.get('intermediates', {})

  def _checked(self, latents: Any) -> Any:
    """The latents in the dtypes of the game's own."""
    if self.game.latents is None:
      raise UserError(f'{type(self.game).__name__} translates examples: it takes inputs, not latents')
    wanted = jax.eval_shape(lambda: latents_lib.draw(self.game.latents, jax.random.key(0), 1))
    if isinstance(latents, Mapping) and isinstance(wanted, Mapping):
      for part, kind in self.game.latents.items():
        if isinstance(kind, latents_lib.Label) and np.ndim(latents.get(part, 0)) == 2:  # shares of classes for a class
          wanted = {**wanted, part: jax.ShapeDtypeStruct((1, kind.classes), np.float32)}
    counts = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(latents)}
    if _kinds(latents) != _kinds(wanted) or len(counts) != 1 or counts <= {(), (0,)}:
      raise UserError(
        f'latents {_kinds(latents)} given to {type(self.game).__name__}, which takes {_kinds(wanted)} of one count: '
        'begin with what run.latents(count) gives'
      )
    for part, kind in self.game.latents.items() if isinstance(self.game.latents, Mapping) else ():
      if isinstance(kind, latents_lib.Label) and np.ndim(latents[part]) == 1:
        wrong = [label for label in np.asarray(latents[part]).tolist() if not 0 <= label < kind.classes]
        if wrong:
          raise UserError(f'{part}={wrong[0]} among the latents is no class: choose 0 to {kind.classes - 1}')
    return jax.tree.map(lambda x, like: np.asarray(x, like.dtype), latents, wanted)


def check_count(count: int, least: int = 1, what: str = 'count') -> int:
  """The count, if it is a whole number and at least `least`.

  Raises:
    UserError: it is not.

  >>> check_count(0)
  Traceback (most recent call last):
  gan_jax.base.errors.UserError: count=0 must be a whole number, at least 1
  """
  try:
    whole = operator.index(count)
  except TypeError:
    whole = least - 1
  if whole < least:
    raise UserError(f'{what}={count} must be a whole number, at least {least}')
  return whole


def _kinds(tree: Any) -> Any:
  """The types and shapes of latents, in words: {'label': 'integer (count)', 'z': 'real (count, 64)'}."""
  kind = lambda x: 'integer' if np.issubdtype(x.dtype, np.integer) else 'real'
  shape = lambda x: ', '.join(['count', *map(str, np.shape(x)[1:])])
  return jax.tree.map(lambda x: f'{kind(x)} ({shape(x)})', tree)


def _padded(rows: np.ndarray) -> np.ndarray:
  return rows[np.arange(CHUNK) % len(rows)]


def _local(x: Any) -> Any:
  """An array that all processes have, as this one has it: no other takes part in what is sampled here."""
  return x if not isinstance(x, jax.Array) or x.is_fully_addressable else x.addressable_data(0)
