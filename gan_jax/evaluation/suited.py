"""What metrics require of a game. It is known before anything is computed, so it is said before a training, too."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.games.parts.conditions import condition_of
from gan_jax.latents.distributions import Distribution


def lack(metric: str, game: Any, reads: Callable[[], bool] = lambda: False) -> str:
  """What a game lacks for a metric, in words; '' if it lacks nothing.

  Args:
    metric: its name; what is not named here suits all games.
    game: with its latents.
    reads: whether the game reads examples when it samples; asked only by metrics that give it latents alone.
  """
  if metric in ('ppl', 'inversion'):
    return _lacks_one_vector(game) or ('reads examples when it samples' if reads() else '')
  return _LACKS[metric](game) if metric in _LACKS else ''


def check_game(metric: str, game: Any, reads: Callable[[], bool] = lambda: False) -> None:
  """Raises a UserError if a game lacks what a metric requires."""
  if words := lack(metric, game, reads):
    raise UserError(f'{type(game).__name__} {words}: leave the metric {metric} out')


def _latents(game: Any) -> Any:
  return getattr(game, 'latents', None)


def _conditional(game: Any) -> bool:
  return condition_of(_latents(game)) is not None or bool(core.asked_in(game))


def _lacks_one_vector(game: Any) -> str:
  kind = _latents(game)
  one = isinstance(kind, Distribution) and jax.eval_shape(kind.sample, jax.random.key(0))
  # Others are a dict, or a tuple of `Scales`.
  return '' if isinstance(one, jax.ShapeDtypeStruct) else 'has other latents than one vector'


def _lacks_logits(game: Any) -> str:
  if not isinstance(game, core.HasLogits):
    return 'has no method logits(image) -> (B,), high on data, or no field boundary'
  return 'is conditional, and its discriminator gives no logit without a condition' if _conditional(game) else ''


def _lacks_objective(game: Any) -> str:
  if not isinstance(game, core.HasObjective):
    return 'has no objective of its discriminators'
  return 'is conditional, and gmam is of games without a condition' if _conditional(game) else ''


def _has(game: Any, latent: str) -> bool:
  latents = _latents(game)
  return isinstance(latents, Mapping) and latent in latents


_LACKS: dict[str, Callable[[Any], str]] = {
  'codes': lambda game: '' if isinstance(game, core.HasCodes) else 'reads no codes',
  'gmam': _lacks_objective,
  'held_out': _lacks_logits,
  'likelihood': lambda game: '' if hasattr(game, 'log_likelihood') else 'has no log_likelihood',
  'makers': lambda game: '' if _has(game, 'maker') else "has no 'maker' among its latents",
  'probe': lambda game: '' if isinstance(game, core.HasLayers) else 'has no discriminator that gives its layers',
  'tags': lambda game: '' if _has(game, 'tags') else 'is not asked for tags',
}
