"""What a run says of its game before and while it trains: turns that are not played, averages that are too long."""

import functools
import pathlib
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import config as config_lib
from gan_jax import core, main, runs
from gan_jax.core.game import Turn
from gan_jax.latents.distributions import Normal
from gan_jax.runs.checkpoint import Place
from gan_jax.runs.experiment import experiment_of
from gan_jax.runs.views import View
from gan_jax.training import hooks, loop, summary, unplayed


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


def test_a_turn_that_rests_by_its_rule_is_not_told_after_a_resume():
  """A process does not know the rows before it: they are a beginning, as at the start of a run."""
  turns = (Turn(('d',), 'critic'), Turn(('d',), 'penalty', when=lambda clock, table: clock.step % 16 == 0))
  said = []
  session = types.SimpleNamespace(
    config=types.SimpleNamespace(log_every=1),
    place=Place(1000, 0, {}),
    experiment=types.SimpleNamespace(views=(View(None, None, ()),), row=dict),
    writer=types.SimpleNamespace(metrics=lambda *row: None),
    say=said.append,
  )
  row = hooks.Row(session, types.SimpleNamespace(first_step=0, game=types.SimpleNamespace(turns=turns)))
  for step in range(1000, 1700):
    played = step % 16 == 0 and step < 1600
    metrics = {'critic': 1.0, **({'penalty': 1.0} if played else {})}
    row(hooks.Moment(Place(step + 1, 0, {}), None, metrics, {}))
    assert step > 1600 or not said
  assert len(said) == 1 and "the turn 'penalty' was not played" in said[0]


def grown(*resets):
  """The config of a probe whose second stage has larger networks, with the stages' own resets."""
  config = config_lib.load(f'{pathlib.Path(__file__).parent}/probes/growing.py')
  large = {'steps': 1, 'game': {'resolution': 8}, 'data': {'size': 8}}
  config.stages = ({'steps': 1}, *({**large, 'reset': reset} for reset in resets))
  return config


def test_layers_that_meet_an_old_optimizer_are_told(capsys):
  notes = lambda config: summary.notes_on_new_layers(experiment_of(config))
  both = ('generator', 'discriminator')
  assert not notes(grown({'optimizer': both})) and not notes(grown({'params': both}))
  (told,) = notes(grown({'optimizer': ('generator',)}))
  assert told.startswith('note: new layers of discriminator in stage 2 meet the old state')
  assert "reset={'optimizer': ('discriminator',)}" in told
  main._dry_run(grown({}, {}), False)
  (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith('note: ')]
  assert told.startswith('note: new layers of discriminator, generator in stage 2 meet')
  plain = grown({})
  plain.optimizers = {name: {'name': 'momentum', 'learning_rate': 0.1, 'momentum': 0.5} for name in both}
  assert not notes(plain), 'it has no mean of squares'


def test_a_run_tells_once_of_layers_that_meet_an_old_optimizer(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(summary, 'notes_on_new_layers', lambda experiment: ['note: new layers'])
  loop.run(config_of(stages=({'steps': 1}, {'steps': 1})), tmp_path)
  assert capsys.readouterr().out.count('note: new layers') == 1


def test_averages_of_several_stages_count_from_their_last_reset():
  stages = ({'steps': 1000}, {'steps': 1000, 'reset': {'ema': ('generator',)}}, {'steps': 500})
  notes = summary.notes_on_averages(runs.stages_of(config_of(ema={'generator': 0.999}, stages=stages)))
  assert 'long for 1500 moves: 22 %' in notes[0]
