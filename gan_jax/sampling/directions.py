"""The main directions of a generator: how to change latents, or styles, so that samples change most.

The method is GANSpace (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546): the principal components of what the
generator first makes of random latents. A generator with styles (`styles(z)`, as StyleGAN's) is moved in its styles,
section 3.1. Another is moved in its latents: those that its first learnt layer answers with one component more, by
least squares, section 3.2. Where that layer is linear and latents are normal, these are the directions of SeFa (Shen
and Zhou 2020, https://arxiv.org/abs/2007.06600): the first right singular vectors of its weights.

    found = directions.main_directions(run.stage.game, run.variables(), run.latents(512))
    run.generate(directions.moved(run.latents(8), found, [3.0, 0.0]))
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.core import tracers

from gan_jax.base.errors import UserError
from gan_jax.core.game import RANDOM_STREAMS
from gan_jax.latents import paths

#: So many first layers are looked at: before the one that latents reach there may be those of a class.
FIRST = 4
#: The name of the method with which a generator makes styles of latents.
STYLES = 'styles'


class Directions(NamedTuple):
  """Directions, the main one first.

  Attributes:
    space: 'styles' or 'latents', what they are added to.
    steps: (K, ...) what to add for one standard deviation of a component.
    shares: (K,) of the answers' variance.
  """

  space: str
  steps: np.ndarray
  shares: np.ndarray


def main_directions(
  game: Any, variables: Mapping[str, Any], latents: Any, count: int = 6, *, inputs: Any = None
) -> Directions:
  """The main directions of a game's generator.

  Args:
    game: the module.
    variables: of the game.
    latents: (N, ...), or a dict of such with a part 'z'; more than twice as many as z has numbers. The other parts
      are those of the first example in all.
    count: how many; there are fewer if z has fewer numbers.
    inputs: {stream: fields (N, ...)}, of games that read data when they sample.

  Raises:
    UserError: the game draws no vector of real numbers, or no first layer answers to it.
  """
  title = type(game).__name__
  z = None if isinstance(latents, Mapping) and 'z' not in latents else paths.part_of(latents)
  z = np.asarray(z) if isinstance(z, np.ndarray | jax.Array) else None  # a dict or a tuple is no vector
  if z is None or z.ndim < 2 or not np.issubdtype(z.dtype, np.floating):
    raise UserError(f'{title} draws no vector of real numbers: its latents have no main directions')
  rows = lambda tree: jax.tree.map(lambda x: np.repeat(np.asarray(x)[:1], len(z), 0), tree)
  given = paths.with_part(rows(latents), z), rows(inputs)
  space, answers = _answers(game, variables, *given)
  flat = z.reshape(len(z), -1)
  count = min(count, flat.shape[1], len(z) - 1)
  places, axes, shares = _components(answers, count)
  if space == 'latents':
    # Latents of one component more: the regression of all latents on the components (eq. 3).
    axes = np.linalg.lstsq(places, flat - flat.mean(0, keepdims=True), rcond=None)[0].reshape(-1, *z.shape[1:])
  steps = axes * places.std(0).reshape(-1, *[1] * (axes.ndim - 1))
  return Directions(space, steps.astype(np.float32), shares)


def moved(latents: Any, found: Directions, amounts: Sequence[float]) -> Any:
  """Latents moved along directions; those of a generator that is moved in its styles stay as they are.

  Args:
    latents: (N, ...), or a dict of such.
    found: the directions.
    amounts: at most one for each, in standard deviations.
  """
  if found.space != 'latents' or not any(amounts):
    return latents
  return paths.with_part(latents, paths.part_of(latents) + shift(found, amounts)[None])


def styles(game: Any, variables: Mapping[str, Any], latents: Any, inputs: Any = None) -> np.ndarray:
  """The styles (N, styles, units) that a generator makes of latents (N, ...) when it samples.

  Raises:
    UserError: it makes none.
  """
  found = _answering(game, variables, latents, inputs)['styles']
  if not found:
    raise UserError(f'the generator of {type(game).__name__} makes no styles')
  return found[0]


def shift(found: Directions, amounts: Sequence[float]) -> np.ndarray:
  """The sum of the directions times their amounts, float32.

  >>> shift(Directions('latents', np.eye(2), np.array([0.7, 0.3])), [0.0, 2.0]).tolist()
  [0.0, 2.0]
  """
  all_of = np.asarray([*amounts, *[0.0] * (len(found.steps) - len(amounts))], np.float32)
  total: np.ndarray = np.tensordot(all_of, found.steps, 1).astype(np.float32)
  return total


def _components(answers: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(places (N, K) on the principal components, their axes (K, F), their shares of the variance (K,))."""
  centred = answers - answers.mean(0, keepdims=True)
  left, lengths, axes = np.linalg.svd(centred, full_matrices=False)
  # The sign of a component is free: its largest entry points up.
  signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
  places = left * (lengths * signs).reshape(1, -1)
  shares = lengths**2 / max(float(np.sum(lengths**2)), 1e-30)
  return places[:, :count], (axes * signs.reshape(-1, 1))[:count], shares[:count]


def _answers(game: Any, variables: Mapping[str, Any], latents: Any, inputs: Any) -> tuple[str, np.ndarray]:
  """('styles', (N, units)), or ('latents', (N, F)) of the first learnt layer whose answers change with z."""
  for space, made in _answering(game, variables, latents, inputs).items():
    for answers in made:
      # All styles of an example are one where nothing mixes them.
      answers = np.asarray(answers[:, 0] if space == 'styles' and answers.ndim == 3 else answers, np.float32)
      answers = answers.reshape(len(answers), -1)
      if np.ptp(answers, axis=0).max() > 1e-6 * max(float(np.abs(answers).max()), 1e-30):
        return space, answers
  raise UserError(f'no first layer of {type(game).__name__} answers to its latents: it has no main directions')


def _answering(game: Any, variables: Mapping[str, Any], latents: Any, inputs: Any) -> dict[str, list[np.ndarray]]:
  """{'styles': what methods of that name make, 'latents': what the first layers with weights make}, each (N, ...)."""

  def found(variables: Any, latents: Any, inputs: Any) -> list[tuple[str, jax.Array]]:
    calls: list[tuple[tuple[str, ...], str]] = []
    outside = tracers.current_trace()

    def kept(module: Any, method: str) -> bool:
      # What is made inside of a loop cannot leave it.
      wanted = method in ('__call__', STYLES) and tracers.current_trace() == outside
      if wanted and (module.path, method) not in calls:
        calls.append((module.path, method))  # in the order in which calls end
      return wanted

    rngs = {name: jax.random.key(0) for name in RANDOM_STREAMS}
    batch = {**(inputs or {}), 'latents': latents}
    _, written = game.apply(
      variables, batch, method='sample', rngs=rngs, capture_intermediates=kept, mutable=['intermediates']
    )
    answers = []
    for path, method in calls:
      made = _at(written.get('intermediates'), (*path, method))
      made = made[0] if isinstance(made, tuple) else None
      if isinstance(made, jax.Array) and made.ndim > 1 and (method == STYLES or _learns(variables['params'], path)):
        answers.append((STYLES if method == STYLES else 'latents', made))
    return answers

  # A layer's weights are what a call makes, too: they have the same shape for any number of examples.
  few = jax.eval_shape(lambda *given: [x for _, x in found(*given)], variables, *_rows((latents, inputs), 1))
  spaces: list[str] = []
  count = len(jax.tree.leaves(latents)[0])

  @jax.jit
  def first(variables: Any, latents: Any, inputs: Any) -> list[jax.Array]:
    pairs = [pair for pair, one in zip(found(variables, latents, inputs), few, strict=True) if len(one) == 1]
    pairs = [pair for pair in pairs if len(pair[1]) == count]
    chosen = [pair for pair in pairs if pair[0] == STYLES] + [pair for pair in pairs if pair[0] != STYLES][:FIRST]
    spaces.extend(space for space, _ in chosen)
    # XLA leaves out what nobody asks for: the later layers.
    return [made for _, made in chosen]

  answers = jax.device_get(first(variables, latents, inputs))
  of = lambda space: [x for name, x in zip(spaces, answers, strict=True) if name == space]
  return {STYLES: of(STYLES), 'latents': of('latents')}


def _rows(tree: Any, count: int) -> Any:
  return jax.tree.map(lambda x: np.asarray(x)[:count], tree)


def _at(tree: Any, path: tuple[str, ...]) -> Any:
  for name in path:
    tree = tree.get(name) if isinstance(tree, Mapping) else None
  return tree


def _learns(params: Any, path: tuple[str, ...]) -> bool:
  """Whether a module has weights, itself or in a part."""
  return any(getattr(leaf, 'ndim', 0) > 1 for leaf in jax.tree.leaves(_at(params, path)))
