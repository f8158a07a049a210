"""What a run says of its game before and while it trains: turns that are not played, averages that are too long."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Normal
from gan_jax.training import loop, summary, unplayed


class One(nn.Module):
  """w z."""

  @nn.compact
  def __call__(self, z, *, train=True):
    return z * self.param('w', nn.initializers.ones, ())


class Stuck(nn.Module):
  """Its generator moves while the loss of the move before was above a level."""

  generator: nn.Module
  level: float = -1.0
  latents = Normal((2,))

  @property
  def turns(self):
    level = self.level
    moves = lambda clock, table: table['table']['measured'] > level
    return (Turn((), 'measure'), Turn(('generator',), 'loss', when=moves, share=True))

  def setup(self):
    self.measured = self.variable('table', 'measured', lambda: jnp.zeros(()))

  def measure(self, batch):
    self.measured.value = jnp.square(self.generator(batch['latents'])).mean()
    return self.measured.value

  def loss(self, batch):
    return jnp.square(self.generator(batch['latents'])).mean() + jnp.zeros(()) * self.measured.value

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)


def config_of(*, steps=3, level=-1.0, **settings):
  return config_lib.base(
    game={'name': 'test_games_say.Stuck', 'generator': {'name': 'test_games_say.One'}, 'level': level},
    optimizers={'generator': {'name': 'optax.sgd', 'learning_rate': 0.1}},
    data={'name': 'ring', 'size': 2},
    **{'batch_size': 4, 'samples': 4, 'devices': 1, 'log_every': 100, 'steps': steps, **settings},
  )


def test_a_turn_that_moves_nobody_measures():
  game = Stuck(One())
  z = jnp.array([[1.0, 3.0]])
  state = core.init(game, {'generator': optax.sgd(0.1)}, {'latents': z}, jax.random.key(0))
  after, metrics = core.play(
    game, {'generator': optax.sgd(0.1)}, game.turns[0], state, {'latents': z}, jax.random.key(1)
  )
  assert float(after.variables['table']['measured']) == float(metrics['measure']) == 5.0
  np.testing.assert_array_equal(after.players['generator'].params['generator']['w'], 1.0)
  (stage,) = runs.stages_of(config_of())
  assert summary.schedule(stage)[0].split()[:2] == ['nobody', 'measure']


def test_a_run_whose_turn_is_never_played_says_so(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(unplayed, 'watch', functools.partial(unplayed.watch, beginning=0))
  loop.run(config_of(steps=5, level=1e9, log_every=1), tmp_path)
  said = [line for line in capsys.readouterr().out.splitlines() if 'was not played' in line]
  assert len(said) == 1 and "the turn 'loss' was not played in the last 3 rows" in said[0]


@pytest.mark.parametrize(
  ('decay', 'steps', 'share'),
  [(0.998, 1000, 14), (0.998, 4000, None), (0.0, 1, None), ({'name': 'averages.warm_up', 'decay': 0.999}, 10, None)],
)
def test_averages_that_are_too_long_for_the_run_are_told(decay, steps, share):
  notes = summary.notes_on_averages(runs.stages_of(config_of(steps=steps, ema={'generator': decay})))
  assert len(notes) == (share is not None)
  if share:
    # 0.998 ** 1000 = 0.135; the decay that is proposed forgets: 0.995 ** 1000 = 0.0067.
    assert notes[0].startswith('warning: config.ema.generator=0.998 is long for 1000 moves: 14 % of')
    assert 'set it to 0.995 or less' in notes[0] and 'averages.warm_up' in notes[0]


def test_averages_of_several_stages_count_from_their_last_reset():
  stages = ({'steps': 1000}, {'steps': 1000, 'reset': {'ema': ('generator',)}}, {'steps': 500})
  notes = summary.notes_on_averages(runs.stages_of(config_of(ema={'generator': 0.999}, stages=stages)))
  assert 'long for 1500 moves: 22 %' in notes[0]
