"""GAN Lab: a GAN on points of the plane that trains while one looks, with the library's own game, step and optimizers.

After Kahng et al. 2018, "GAN Lab", https://arxiv.org/abs/1809.01587, which trains in the browser; here the config
`gan.py:ring` trains, with another set, loss, optimizers, rates and moves: what is seen is what `gan_jax.main` does.

    lab = Lab(Settings(loss='hinge'))
    lab.advance(200)
    lab.view().samples, lab.history[-1]
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from gan_jax import config as config_lib
from gan_jax import core
from gan_jax.apps.plane import EXTENT, divergence, points_of, points_of_drawing
from gan_jax.base.errors import UserError, one_of
from gan_jax.config.build import build
from gan_jax.runs.stages import Stage, clock_at, stages_of

#: Points and samples, and arrows, that are shown; side of the discriminator's surface; samples of the divergence.
SHOWN, ARROWS, SIDE, MEASURED = 400, 80, 60, 2000
BATCH, HIDDEN = 128, (64, 64)
#: Rows of the history that are kept.
LONGEST = 400

LOSSES = (
  'nonsaturating', 'minimax', 'least_squares', 'hinge', 'wasserstein', 'relativistic', 'relativistic_average_hinge',
)  # fmt: skip
#: {name on the page: settings of an optimizer, without its rate}.
OPTIMIZERS: dict[str, dict[str, Any]] = {
  'Adam': dict(name='optax.adam', b1=0.0),
  'Adam, b1 = 0.5': dict(name='optax.adam', b1=0.5),
  'Adam, b1 = 0.9': dict(name='optax.adam', b1=0.9),
  'RMSProp': dict(name='optax.rmsprop'),
  'SGD': dict(name='optax.sgd'),
  'SGD, momentum 0.9': dict(name='optax.sgd', momentum=0.9),
  'optimistic': dict(name='optimistic'),
}
PENALTIES: dict[str, dict[str, Any] | None] = {
  'none': None,
  'R1': dict(name='GradientPenalty', weight=0.5, at='real', target=0.0),
  'R1 + R2': dict(name='GradientPenalty', weight=0.5, at='both', target=0.0),
  'WGAN-GP': dict(name='GradientPenalty', weight=1.0),
}
#: {name on the page: rule of `gan_jax.optim.dynamics`}.
DYNAMICS = {'in turns': '', 'at once': 'simultaneous', 'extragradient': 'extragradient', 'consensus': 'consensus'}
#: The set of one's own drawing.
DRAWN = 'my drawing'


class Settings(NamedTuple):
  """What is chosen on the page; `optimizers` and rates are of the generator and of the discriminator."""

  distribution: str = 'ring'
  loss: str = 'nonsaturating'
  penalty: str = 'none'
  dynamics: str = 'in turns'
  generator_optimizer: str = 'Adam'
  discriminator_optimizer: str = 'Adam'
  generator_rate: float = 1e-3
  discriminator_rate: float = 1e-3
  generator_moves: int = 1
  discriminator_moves: int = 1


class View(NamedTuple):
  """What is drawn of a state.

  Attributes:
    data: (N, 2).
    samples: (N, 2).
    pushes: (M, 2) where the generator's loss pushes the first M samples: its gradient there, descended.
    surface: (SIDE, SIDE) from 0, surely fake, to 1, surely real; rows from the top of the plane.
  """

  data: np.ndarray
  samples: np.ndarray
  pushes: np.ndarray
  surface: np.ndarray


class Row(NamedTuple):
  """The history at a step: mean losses since the row before, and the divergence of samples from data, nats."""

  step: int
  generator: float
  discriminator: float
  divergence: float


def config_of(settings: Settings) -> ml_collections.ConfigDict:
  """The config that trains: `configs/gan.py:ring` with what is chosen.

  Raises:
    UserError: there is no such choice.
  """
  for what, value, known in (
    ('loss', settings.loss, LOSSES),
    ('penalty', settings.penalty, PENALTIES),
    ('dynamics', settings.dynamics, DYNAMICS),
    ('optimizer', settings.generator_optimizer, OPTIMIZERS),
    ('optimizer', settings.discriminator_optimizer, OPTIMIZERS),
  ):
    if value not in known:
      raise one_of(what, value, known)
  rates = {'generator': settings.generator_rate, 'discriminator': settings.discriminator_rate}
  if not all(0 <= rate <= 10 for rate in rates.values()):
    raise UserError(f'learning rates {tuple(rates.values())} must be 0 to 10')
  config = config_lib.load('configs/gan.py:ring')
  with config.unlocked():
    game = config.game
    game.loss = settings.loss
    game.generator.hidden = game.discriminator.hidden = HIDDEN
    game.generator_steps, game.discriminator_steps = settings.generator_moves, settings.discriminator_moves
    penalty = PENALTIES[settings.penalty]
    if penalty:
      game.penalty = dict(penalty)
    rule = DYNAMICS[settings.dynamics]
    if rule:
      own = {'extragradient': dict(rate=settings.generator_rate), 'consensus': dict(weight=0.5)}
      game.dynamics = dict(name='rule', of=rule, **own.get(rule, {}))
    optimizers = {'generator': settings.generator_optimizer, 'discriminator': settings.discriminator_optimizer}
    config.optimizers = {name: dict(OPTIMIZERS[kind], learning_rate=rates[name]) for name, kind in optimizers.items()}
    config.batch_size = BATCH
  return config


class _Program(NamedTuple):
  """What is compiled for settings."""

  stage: Stage
  start: Callable[[jax.Array], core.GameState]
  play: Callable[..., Any]
  look: Callable[..., Any]


@functools.lru_cache(32)
def _program(settings: Settings) -> _Program:
  """The training of `_rules(settings)`."""
  (stage,) = stages_of(config_of(settings))
  game, moves = stage.game, stage.moves['images']
  batch = {'images': {'image': jnp.zeros((BATCH, 2))}, 'latents': jnp.zeros((BATCH, *game.latents.shape))}
  chosen = config_of(settings).optimizers.to_dict()

  @jax.jit
  def play(state: core.GameState, points: jax.Array, key: jax.Array, count: jax.Array, rates: Any) -> Any:
    # Rates are arguments, so that another one compiles nothing.
    optimizers = {
      name: build({**own, 'learning_rate': rates[name]}, home='gan_jax.optim.minimax') for name, own in chosen.items()
    }
    step = core.make_step(
      game, optimizers, streams=('images',), latents_batch=BATCH, clock=lambda step: clock_at(stage, step)
    )

    def once(state: core.GameState, points: jax.Array, key: jax.Array) -> tuple[core.GameState, Any]:
      rows = jax.random.randint(jax.random.fold_in(key, state.step), (moves, BATCH), 0, len(points))
      return step(state, {'images': {'image': points[rows]}}, key)

    shapes = jax.eval_shape(once, state, points, key)[1]
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def body(_: Any, carry: Any) -> Any:
      state, metrics = once(carry[0], points, key)
      return state, jax.tree.map(jnp.add, carry[1], metrics)

    return jax.lax.fori_loop(0, count, body, (state, zeros))

  @jax.jit
  def look(state: core.GameState, real: jax.Array) -> tuple[jax.Array, ...]:
    variables = core.game_variables(game, state, clock=clock_at(stage, state.step))
    latents = jax.random.normal(jax.random.key(7), (MEASURED, *game.latents.shape))
    samples: Any = game.apply(variables, {'latents': latents}, method='sample')
    logits: Any = lambda x: game.apply(variables, x, method='logits')
    pair = game.pair
    few = samples[:ARROWS]
    pushes = -ARROWS * jax.grad(lambda x: pair.generator(logits(x), logits(real[: len(x)])))(few)
    side = jnp.linspace(-EXTENT, EXTENT, SIDE)
    plane = jnp.stack(jnp.meshgrid(side, side[::-1]), -1).reshape(-1, 2)
    surface = logits(plane).reshape(SIDE, SIDE)
    if pair.boundary is None:  # a critic's numbers have no meaning but by their differences
      surface = (surface - jnp.median(surface)) / (jnp.std(surface) + 1e-6)
    else:
      surface = 2 * (surface - pair.boundary)
    return samples, pushes, jax.nn.sigmoid(surface)

  return _Program(stage, jax.jit(lambda key: core.init(game, stage.optimizers, batch, key)), play, look)


def _rules(settings: Settings) -> Settings:
  """What is compiled for; a set and rates are arguments, but extragradient looks ahead by a fixed rate."""
  ahead = settings.generator_rate if settings.dynamics == 'extragradient' else 0.0
  return settings._replace(distribution='', generator_rate=ahead, discriminator_rate=0.0)


class Lab:
  """A training that can be played, changed and looked at.

  Args:
    settings: what is chosen.
    seed: of the networks, the latents and the order of the data.

  Attributes:
    settings: what is chosen now.
    points: (N, 2) the data.
    drawing: (N, 2) the last drawing's points; None before there is one.
    state: the `GameState`.
    history: a `Row` after each `advance`.
    lock: of who changes it; a page has several threads.
    floor: the divergence of data from data, which samples cannot be below for long.
  """

  def __init__(self, settings: Settings = Settings(), seed: int = 0):
    self.settings, self.seed, self.lock = settings, seed, threading.RLock()
    self.drawing: np.ndarray | None = None
    self.refused = ''  # why the last change of the controls was not taken
    self.reset()

  def reset(self) -> None:
    """New networks, on the same data."""
    if not hasattr(self, 'points') or self.settings.distribution != DRAWN:
      self._take(points_of(self.settings.distribution))
    self.state = _program(_rules(self.settings)).start(jax.random.key(self.seed))
    self.history: list[Row] = []

  @property
  def step(self) -> int:
    """Steps finished."""
    return int(self.state.step)

  def _take(self, points: np.ndarray) -> None:
    self.points = points
    half = len(points) // 2
    self.floor = divergence(points[:half], points[half:])

  def draw(self, ink: np.ndarray) -> None:
    """Trains on a drawing (H, W) from now on, with the networks as they are."""
    self.drawing = points_of_drawing(ink)
    self._take(self.drawing)
    self.settings = self.settings._replace(distribution=DRAWN)

  def change(self, settings: Settings) -> None:
    """Goes on with other settings: networks stay as they are, an optimizer's state where it fits the new optimizer.

    Raises:
      UserError: the settings do not go together; then nothing changes.
    """
    if settings == self.settings:
      return
    config_of(settings)  # an error says so before anything changes
    fresh = _program(_rules(settings)).start(jax.random.key(self.seed))
    if settings.distribution != self.settings.distribution:
      drawn = settings.distribution == DRAWN and self.drawing is not None
      self._take(self.drawing if drawn else points_of(settings.distribution))  # type: ignore[arg-type]
    players = {}
    for name, player in self.state.players.items():
      new = fresh.players[name].opt_state
      structures: list[Any] = [jax.tree.structure(tree) for tree in (new, player.opt_state)]
      fits = structures[0] == structures[1]
      players[name] = player if fits else player.replace(opt_state=new)
    self.state = fresh.replace(step=self.state.step, players=players)
    self.settings = settings

  def advance(self, steps: int) -> Row:
    """Trains some steps.

    Raises:
      UserError: the networks have become nan or infinite.
    """
    program = _program(_rules(self.settings))
    rates = {'generator': self.settings.generator_rate, 'discriminator': self.settings.discriminator_rate}
    rates = jax.tree.map(jnp.float32, rates)
    state, metrics = program.play(self.state, self.points, jax.random.key(self.seed), steps, rates)
    means = core.means(jax.device_get(metrics))
    if not all(np.isfinite(value) for value in means.values()):
      raise UserError(f'after step {self.step} a loss is nan or infinite: lower a learning rate, and start again')
    self.state = state
    samples = np.asarray(program.look(state, self.points)[0])
    row = Row(
      self.step,
      means.get('generator_loss', float('nan')),
      means.get('discriminator_loss', float('nan')),
      divergence(samples, self.points[:MEASURED]),
    )
    self.history.append(row)
    if len(self.history) > LONGEST:  # older rows become fewer
      self.history = self.history[: LONGEST // 2 : 2] + self.history[LONGEST // 2 :]
    return row

  def view(self) -> View:
    """What is seen now."""
    samples, pushes, surface = jax.device_get(_program(_rules(self.settings)).look(self.state, self.points))
    return View(self.points[:SHOWN], samples[:SHOWN], pushes, surface)
