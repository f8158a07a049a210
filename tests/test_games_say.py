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
from gan_jax.base.errors import UserError
from gan_jax.core.game import Turn
from gan_jax.data.streams import Stream
from gan_jax.games import standard
from gan_jax.latents.distributions import Label, Normal
from gan_jax.nets import cgan, copies, gman, mlp
from gan_jax.runs.checkpoint import Place
from gan_jax.runs.experiment import experiment_of
from gan_jax.runs.views import View
from gan_jax.training import checks, hooks, loop, summary, unplayed
from gan_jax.training import notes as notes_lib


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
  notes = notes_lib.on_averages(runs.stages_of(config_of(steps=steps, ema={'generator': decay})))
  assert len(notes) == (share is not None)
  if share:
    # 0.998 ** 1000 = 0.135; the decay that is proposed forgets: 0.995 ** 1000 = 0.0067.
    assert notes[0].startswith('warning: config.ema.generator=0.998 is long for 1000 moves: 14 % of')
    assert 'set it to 0.995 or less' in notes[0] and 'averages.warm_up' in notes[0]


def said_of(file, *arguments):
  return notes_lib.on_averages(runs.stages_of(config_lib.read(f'configs/{file}', arguments)))


@pytest.mark.parametrize('file', ['stylegan2.py:paper256', 'stylegan2.py:paper1024'])
def test_a_half_life_without_a_ramp_is_told_in_a_short_run(file):
  """100 steps and 25 moves for path length, each with a decay of 0.5 ** (51.2 / 20,000): 0.801; 1024 has half."""
  (note,) = said_of(file, '--config.steps=100')
  assert note.startswith('warning: config.ema.generator is long for 125 moves: 80 % of')
  assert note.endswith('begin short with --config.ema.generator.ramp_up=0.05')
  assert not said_of(file, '--config.steps=100', '--config.ema.generator.ramp_up=0.05')


def test_averages_of_the_shipped_configs_are_those_of_their_runs():
  averaged = {name: config for name, config in config_lib.shipped() if config.ema}
  told = {name: notes_lib.on_averages(runs.stages_of(config)) for name, config in averaged.items()}
  assert len(told) > 20 and not [name for name, notes in told.items() if notes]


@pytest.mark.parametrize(
  ('file', 'argument', 'times', 'right'),
  [
    ('r3gan.py', 'batch_size=256', '0.5', '256'),  # half of what all moves of a step draw is another batch too
    ('r3gan.py:faces64', 'batch_size=256', '8', '256'),
    ('stylegan2.py', 'batch_size=16', '0.5', '12.8'),
    ('stylegan2.py:cifar', 'batch_size=16', '0.25', '16'),
    ('stylegan2.py', 'game.path_weight=0', '1.25', '32'),
    ('stylegan2.py:cifar', 'game.path_weight=2.0', '0.8', '51.2'),
    ('r3gan.py', 'game.discriminator_steps=2', '2', '1024'),
    ('stylegan2.py', 'game.path_every=2', '0.833', '21.33'),
    ('stylegan2.py', 'game.discriminator_steps=2', '2', '51.2'),
  ],
)
def test_half_lives_in_another_batch_than_the_run_s_are_told(file, argument, times, right):
  (note,) = said_of(file, f'--config.{argument}')
  assert note.startswith('note: config.ema.generator.batch_size=') and f' makes half-lives {times} times as' in note
  assert note.endswith(f'set it to {right}')
  assert not said_of(file, f'--config.{argument}', f'--config.ema.generator.batch_size={right}')


@pytest.mark.parametrize('steps', [1, 2, 3, 6])
def test_the_first_of_every_few_steps_makes_no_other_batch_of_a_short_run(steps):
  assert not said_of('stylegan2.py', f'--config.steps={steps}')


def test_moves_by_a_rule_that_asks_the_game_are_not_judged_by_their_batch():
  most = '--config.game.most_accuracy=0.8'
  argument = "--config.ema.discriminator={'name': 'averages.half_life', 'images': 100.0, 'batch_size': 1}"
  assert said_of('dcgan.py:digits', argument) and not said_of('dcgan.py:digits', argument, most)


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
  notes = lambda config: notes_lib.on_new_layers(experiment_of(config))
  both = ('generator', 'discriminator')
  assert not notes(grown({'optimizer': both})) and not notes(grown({'params': both}))
  (told,) = notes(grown({'optimizer': ('generator',)}))
  assert told.startswith('note: new or started layers of discriminator in stage 2 meet the old state')
  assert "reset={'optimizer': ('discriminator',)}" in told
  main._dry_run(grown({}, {}), False)
  (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith('note: ')]
  assert told.startswith('note: new or started layers of discriminator, generator in stage 2 meet')
  plain = grown({})
  plain.optimizers = {name: {'name': 'momentum', 'learning_rate': 0.1, 'momentum': 0.5} for name in both}
  assert not notes(plain), 'it has no mean of squares'


def test_a_run_tells_once_of_layers_that_meet_an_old_optimizer(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(notes_lib, 'on_new_layers', lambda experiment: ['note: new layers'])
  loop.run(config_of(stages=({'steps': 1}, {'steps': 1})), tmp_path)
  assert capsys.readouterr().out.count('note: new layers') == 1


def test_averages_of_several_stages_count_from_their_last_reset():
  stages = ({'steps': 1000}, {'steps': 1000, 'reset': {'ema': ('generator',)}}, {'steps': 500})
  notes = notes_lib.on_averages(runs.stages_of(config_of(ema={'generator': 0.999}, stages=stages)))
  assert 'long for 1500 moves: 22 %' in notes[0]


@pytest.mark.parametrize(
  ('config', 'settings', 'message'),
  [
    (
      'cdcgan.py:digits',
      ['game.generator.classes=5'],
      r'generator\.classes=5 but the label has 10 classes.*set it to 10',
    ),
    ('cgan.py:digits', ['game.discriminator.classes=9'], r'discriminator\.classes=9 but the label has 10'),
    (
      'stargan.py:digits',
      ["game.domains=('0','1','2')", 'game.discriminator.domains=3'],
      r'domains names 3 classes, the data have 10',
    ),
    (
      'stargan.py:celeba64',
      ["game.domains=('Black_Hair','Blond_Hair','Brown_Hair','Young','Male')"],
      r"'Young', 'Male'\) but the column of attributes has names=.*'Male', 'Young'\)",
    ),
  ],
)
def test_labels_and_batches_that_say_less_than_the_game_needs_are_refused(config, settings, message):
  given = config_lib.override(config_lib.load(f'configs/{config}'), [f'--config.{text}' for text in settings])
  experiment = experiment_of(given)  # such a run can be loaded
  with pytest.raises(UserError, match=message):
    checks.check_games(experiment)


def test_outputs_that_end_elsewhere_than_the_data_are_told():
  of = lambda *settings, config='quickstart.py': notes_lib.on_ranges(
    runs.stages_of(config_lib.override(config_lib.load(f'configs/{config}'), list(settings)))
  )
  assert of() == []
  (line,) = of('--config.game.generator.output=sigmoid')
  assert "generator.output='sigmoid' makes values from 0 to 1, the data lie between -1 and 1" in line
  assert of('--config.game.generator.output=sigmoid', '--config.data.range=(0.0, 1.0)') == []
  for config in ('biggan.py:digits', 'fastgan.py:digits', 'stackgan.py:digits'):  # theirs is always tanh
    assert of(config=config) == []
    *_, line = of('--config.data.range=(0.0, 1.0)', config=config)
    assert "output='tanh' makes values from -1 to 1" in line and line.endswith('0 and 1: change config.data.range')


@pytest.mark.parametrize(
  ('config', 'settings', 'devices'),
  [
    ('stargan.py:digits', 'accumulate=16', 1),
    ('stackgan.py:digits', 'accumulate=64', 1),
    ('ebgan.py:digits', 'accumulate=64', 1),
    ('stargan.py:digits', 'parallel=pmap', 16),
  ],
)
def test_games_that_compare_examples_must_see_two(config, settings, devices):
  of = lambda *given: runs.stages_of(config_lib.override(config_lib.load(f'configs/{config}'), list(given)))[0]
  checks.check_batch(of(), 16)  # devices of one program see the whole batch
  with pytest.raises(UserError, match=r'compares 2 examples or more.*sees 1 '):
    checks.check_batch(of(f'--config.{settings}'), devices)


def test_the_fewest_examples_are_counted_in_the_batches_that_are_read():
  of = lambda *given: runs.stages_of(config_lib.override(config_lib.load('configs/stargan.py:digits'), list(given)))[0]
  four = of('--config.data.batch_size=4', '--config.accumulate=4')
  with pytest.raises(UserError, match=r'of the batch_size in config\.data=4 a loss sees 1 '):
    checks.check_batch(four, 1)
  checks.check_batch(of('--config.batch_size=1', '--config.data.batch_size=16'), 1)


def test_averages_of_every_member_are_looked_at():
  ema = {'generator': 0.9}
  config = config_of(steps=2000, ema=ema, population=2)
  told = lambda: notes_lib.on_averages_of_members(experiment_of(config))
  assert told() == []
  config.vary = {'ema': {'generator': (0.9, 0.99999)}}
  (line,) = told()
  assert line.startswith('warning: member 1: config.ema.generator')
  config.vary = {'ema': {'generator': (0.99999, 0.99999)}}
  (line,) = told()
  assert line.startswith('warning: config.ema.generator')


def stage_of(game, **columns):
  stream = Stream(name='folder', size=8, channels=1, classes=4, columns={'image': {'name': 'Picture'}, **columns})
  return types.SimpleNamespace(game=game, streams={'images': stream})


def test_networks_that_do_not_know_all_classes_of_their_condition_are_refused():
  networks = lambda classes: (mlp.Generator(classes=classes), cgan.MaxoutDiscriminator(classes=classes))
  breed = {'breed': {'name': 'Label', 'classes': 5}}
  game = lambda classes, column: standard.Standard(*networks(classes), Normal((2,)), condition=column)
  check = checks._check_known_classes
  check(stage_of(game(5, 'breed'), **breed))
  check(stage_of(game(4, 'label'), label={'name': 'Label', 'classes': 4}))
  check(stage_of(game(1, 'age'), age={'name': 'Number'}))
  with pytest.raises(UserError, match=r"generator\.classes=4 but column 'breed' .* has 5 classes.*set it to 5"):
    check(stage_of(game(4, 'breed'), **breed))
  text = {'name': 'Text', 'length': 3, 'vocabulary': ('red', 'shoe')}
  with pytest.raises(UserError, match=r"generator\.classes=4 but column 'title' .* is a text"):
    check(stage_of(game(4, 'title'), title=text))
  latents = {'z': Normal((2,)), 'label': Label(10)}
  for known, refused in ((10, False), (3, True)):
    judges = copies.Copies(gman.Discriminator(classes=known), 2)
    many = standard.Standard(mlp.Generator(classes=10), judges, latents)
    if refused:
      with pytest.raises(UserError, match=r'discriminator\.network\.classes=3 but the label has 10'):
        check(stage_of(many))
    else:
      check(stage_of(many))
