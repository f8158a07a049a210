"""Networks that begin from others: of the stage before, or of a run for each player."""

import pathlib
import types

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, main, runs
from gan_jax.base.errors import UserError
from gan_jax.config.settings import Settings
from gan_jax.core.game import Turn
from gan_jax.data.streams import Stream
from gan_jax.distributed import parallel
from gan_jax.latents.distributions import Normal
from gan_jax.nets.layers import conv
from gan_jax.runs import entering, imported, resume, saved, survival
from gan_jax.runs.experiment import experiment_of
from gan_jax.runs.stages import merged
from gan_jax.training import checks, loop, notes, rates


class Norm(nn.Module):
  """w z + b through batch norm, through three units first where it is wide."""

  wide: bool = False

  @nn.compact
  def __call__(self, z, *, train=True):
    z = nn.BatchNorm(use_running_average=not train, use_fast_variance=False)(z)
    return nn.Dense(2)(nn.Dense(3)(z) if self.wide else z)


class Pyramid(nn.Module):
  """A generator a level; the highest moves."""

  generator_0: nn.Module
  generator_1: nn.Module | None = None
  critic: nn.Module | None = None
  latents = Normal((2,))

  @property
  def turns(self):
    return (Turn(('generator',), 'loss'), *([Turn(('critic',), 'judge')] if self.critic else []))

  def loss(self, batch):
    return jnp.square(self.made(batch, True)).mean()

  def judge(self, batch):
    return jnp.square(self.critic(batch['latents'])).mean()

  def made(self, batch, train):
    below = self.generator_0(batch['latents'], train=train)
    return below if self.generator_1 is None else below + self.generator_1(batch['latents'], train=train)

  def sample(self, batch):
    return self.made(batch, False)


NORM = {'name': 'test_stages.Norm'}


def config_of(*, second=None, critic=False, **settings):
  stages = ({'steps': 2}, {'steps': 1, 'game': {'generator_1': NORM}, **second}) if second is not None else ()
  optimizers = {name: {'name': 'optax.adam', 'learning_rate': 0.1} for name in ('generator', *['critic'] * critic)}
  game = {'name': 'test_stages.Pyramid', 'generator_0': NORM, **({'critic': NORM} if critic else {})}
  data = {'name': 'ring', 'size': 2}
  common = {'batch_size': 4, 'samples': 4, 'devices': 1, 'steps': 1, 'ema': {'generator': 0.5}, 'stages': stages}
  return config_lib.base(game=game, optimizers=optimizers, data=data, **{**common, **settings})


def entered(second):
  """(state of the first stage with numbers of its own, state in which the second begins)."""
  first, then = runs.stages_of(config_of(second=second))
  state = entering.new_state(first, jax.random.key(0))
  numbered = lambda tree, by: jax.tree.map(lambda x: x + by, tree)
  player = state.players['generator']
  player = player.replace(
    params=numbered(player.params, 1), variables=numbered(player.variables, 2), ema=numbered(player.ema, 3)
  )
  state = state.replace(players={'generator': player})
  return player, entering.enter(then, state, jax.random.key(1)).players['generator']


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_network_begins_with_weights_statistics_and_averages_of_another():
  old, new = entered({'start': {'generator_1': 'generator_0'}})
  for name in ('generator_0', 'generator_1'):
    same(new.params[name], old.params['generator_0'])
    same(new.variables['batch_stats'][name], old.variables['batch_stats']['generator_0'])
    same(new.ema['params'][name], old.ema['params']['generator_0'])
    same(new.ema['variables']['batch_stats'][name], old.ema['variables']['batch_stats']['generator_0'])
  # The optimizer of what is new begins anew.
  moments = new.opt_state[0].mu['generator_1']
  same(moments, jax.tree.map(jnp.zeros_like, moments))


def test_a_summary_of_stages_traces_what_is_new_in_each(capsys, monkeypatch):
  """Each stage is initialised once and its step is traced once, however many come before it."""
  traced, loss = [], Pyramid.loss
  monkeypatch.setattr(Pyramid, 'loss', lambda game, batch: traced.append('step') or loss(game, batch))
  sample = Pyramid.sample
  monkeypatch.setattr(Pyramid, 'sample', lambda game, batch: traced.append('sample') or sample(game, batch))
  for population, steps in ((0, 1), (2, 2)):
    config = config_of(stages=({'steps': 1},) * 5, population=population)
    traced.clear()
    main._dry_run(config, False)
    # The step of a population is also traced once, to see whether its members fit one program.
    assert (traced.count('step'), traced.count('sample')) == (5 * (1 + steps), 5)
    traced.clear()
    checks.check_run(experiment_of(config), parallel.make_mesh(1))
    assert traced.count('sample') == 5 * 2, 'initialised once, sampled once'
  assert capsys.readouterr().out.count('flops') == 10


@pytest.mark.parametrize('population', [0, 2])
def test_a_run_traces_its_start_once(monkeypatch, population):
  """For the shapes of its state, for where to put it, and for its numbers."""
  traced, sample = [], Pyramid.sample
  monkeypatch.setattr(Pyramid, 'sample', lambda game, batch: traced.append('sample') or sample(game, batch))
  experiment, mesh = experiment_of(config_of(stages=({'steps': 1},), population=population)), parallel.make_mesh(1)
  experiment.abstract_state(0)
  state = resume.enter(experiment, 0, None, mesh, experiment.keys)
  assert len(traced) == 1
  key = experiment.keys[0] if population else experiment.keys
  alone = jax.jit(lambda key: entering.new_state(experiment.stages[0], key))(key)
  # Another program may round in another way.
  chex.assert_trees_all_close(jax.tree.map(lambda x: x[0], state) if population else state, alone, rtol=1e-6)


def test_a_started_network_that_was_there_has_a_new_optimizer_state():
  _, then = runs.stages_of(config_of(second={'start': {'generator_1': 'generator_0'}}))
  # Both stages have both networks here.
  state = entering.new_state(then, jax.random.key(0))
  player = state.players['generator']
  player = player.replace(opt_state=jax.tree.map(lambda x: x + jnp.ones((), x.dtype), player.opt_state))
  new = entering.enter(then, state.replace(players={'generator': player}), jax.random.key(1)).players['generator']
  same(new.params['generator_1'], player.params['generator_0'])
  moments = new.opt_state[0].mu
  same(moments['generator_1'], jax.tree.map(jnp.zeros_like, moments['generator_1']))
  same(moments['generator_0'], player.opt_state[0].mu['generator_0'])
  # A start goes before a reset.
  reset = then._replace(reset={'params': ('generator',)})
  new = entering.enter(reset, state.replace(players={'generator': player}), jax.random.key(1)).players['generator']
  same(new.params['generator_1'], player.params['generator_0'])
  assert not np.array_equal(
    new.params['generator_0']['Dense_0']['kernel'], player.params['generator_0']['Dense_0']['kernel']
  )


def test_a_network_started_anew_beside_an_old_count_is_told():
  both = {'steps': 1, 'game': {'generator_1': NORM}}
  told = lambda **second: notes.on_new_layers(experiment_of(config_of(stages=(both, {**both, **second}))))
  (line,) = told(start={'generator_1': 'generator_0'})
  assert line.startswith('note: new or started layers of generator in stage 2 meet the old state')
  assert not told() and not told(start={'generator_1': 'generator_0'}, reset={'optimizer': ('generator',)})


def test_another_schedule_of_an_optimizer_that_goes_on_is_told():
  schedule = {'name': 'optax.cosine_decay_schedule', 'init_value': 0.1, 'decay_steps': 5}
  rate = lambda value: {'optimizers': {'generator': {'learning_rate': value}}}

  def told(second, first=schedule):
    config = config_of(second=second)
    config.optimizers = {'generator': {'name': 'optax.adam', 'learning_rate': first}}
    return rates.on_schedules(experiment_of(config))

  (line,) = told(rate({'init_value': 0.2}))
  assert line.startswith('note: stage 2 gives generator another schedule') and "('generator',)" in line
  assert not told({}) and not told(rate(0.2), 0.1)
  assert not told({**rate({'init_value': 0.2}), 'reset': {'optimizer': ('generator',)}})
  assert not told(rate({'init_value': 0.1})), 'it is the same'
  other = {'name': 'optax.sgd', 'learning_rate': {'init_value': 0.2}}
  assert told({'optimizers': {'generator': other}}), 'its count of updates goes on too'


@pytest.mark.parametrize('moves', [1, 3])
def test_steps_beyond_the_end_of_a_schedule_are_told(moves):
  rate = {'name': 'optax.linear_schedule', 'init_value': 0.1, 'end_value': 0.0, 'transition_steps': 50 * moves}

  def told(length, learning_rate=rate, **second):
    config = config_lib.load('configs/quickstart.py')
    config.game.discriminator_steps, config.steps = moves, length
    config.optimizers.discriminator = {'name': 'optax.adam', 'learning_rate': learning_rate}
    if second:
      config.stages = ({'steps': 40}, second)
    experiment = experiment_of(config)
    return rates.on_rests(experiment, len(experiment.stages) - 1)

  (line,) = told(200)
  assert line.startswith('note: config.optimizers.discriminator.learning_rate is 0 from step 50 of 200 on')
  assert not told(50) and not told(20) and not told(200, 0.1)
  assert not told(200, {**rate, 'end_value': 0.01})
  # The count of updates goes on from stage to stage, unless the optimizer is begun anew.
  (line,) = told(90, steps=50)
  assert 'is 0 from step 50 of 90 on' in line
  assert not told(90, steps=50, reset={'optimizer': ('discriminator',)})
  (line,) = told(160, {**rate, 'transition_steps': 30 * moves}, steps=120)
  assert 'is 0 from step 40 of 160 on' in line, 'all of it'
  # A number has no count; what never moves is meant so.
  assert not told(90, 0.1, steps=50, optimizers={'discriminator': {'learning_rate': rate}})
  assert not told(200, {'name': 'optax.constant_schedule', 'value': 0.0})
  (line,) = told(1000, {'name': 'test_stages.pulse', 'begin': 600 * moves, 'end': 900 * moves})
  assert 'is 0 from step 900 of 1,000 on' in line


def pulse(begin, end):
  return lambda step: 0.1 if begin <= step < end else 0.0


def test_rests_of_members_and_of_updates_that_are_fewer_than_moves_are_not_guessed():
  rate = {'name': 'optax.linear_schedule', 'init_value': 0.1, 'end_value': 0.0, 'transition_steps': 50}

  def told(optimizer, **vary):
    config = config_lib.load('configs/quickstart.py')
    config.steps, config.optimizers.discriminator = 200, optimizer
    config.population, config.vary = (2, vary) if vary else (0, {})
    return rates.on_rests(experiment_of(config), 0)

  adam = {'name': 'optax.adam', 'learning_rate': rate}
  (line,) = told({'name': 'chain', 'links': ({'name': 'optax.clip', 'max_delta': 1.0}, adam)})
  assert line.startswith('note: config.optimizers.discriminator.links[1].learning_rate is 0 from step 50')
  assert not told({'name': 'optax.MultiSteps', 'opt': adam, 'every_k_schedule': 4})
  assert not told(adam, optimizers={'discriminator': {'learning_rate': {'transition_steps': (200, 400)}}})


def test_a_stage_may_give_an_optimizer_another_kind_and_a_rate_another_form():
  schedule = {'name': 'optax.cosine_decay_schedule', 'init_value': 0.1, 'decay_steps': 5}

  def settings_of(player, first):
    config = config_of(second={})
    config.optimizers = {'generator': {'name': 'optax.adam', 'b1': 0.5, 'learning_rate': first}}
    then = merged(config, {'optimizers': {'generator': player}}).optimizers.generator.to_dict()
    config.stages = ({'steps': 1}, {'steps': 1, 'optimizers': {'generator': player}})
    assert runs.stages_of(config)[1].optimizers, 'it builds'
    return then

  assert settings_of({'name': 'optax.sgd', 'learning_rate': 1.0}, 0.1) == {'name': 'optax.sgd', 'learning_rate': 1.0}
  adam = {'name': 'optax.adam', 'b1': 0.5}
  assert settings_of({'learning_rate': 0.2}, schedule) == {**adam, 'learning_rate': 0.2}
  assert settings_of({'learning_rate': schedule}, 0.2) == {**adam, 'learning_rate': schedule}
  assert settings_of({'learning_rate': {'init_value': 0.3}}, schedule)['learning_rate'] == {
    **schedule,
    'init_value': 0.3,
  }
  steps = {'name': 'optax.MultiSteps', 'opt': {'name': 'optax.sgd', 'learning_rate': 0.1}, 'every_k_schedule': 2}
  assert settings_of(steps, 0.1) == steps


@pytest.mark.parametrize(
  ('second', 'words'),
  [
    ({'optimizers': None}, 'config.stages: optimizers=None must be a dict'),
    ({'reset': ('generator',)}, r"reset=\('generator',\) must be a dict"),
    ({'reset': {'params': 'generator'}}, "reset.params='generator' must be a tuple of players"),
    ({'start': 'generator_0'}, "start='generator_0' must be a dict"),
    ({'batch_size': {'a': 1}}, "config.batch_size={'a': 1} is of type dict: it must be int"),
    ({'batch_size': 'many'}, "config.batch_size='many' is of type str: it must be int"),
    ({'game': {'generator_1': {'name': 'test_stages.Nrom'}}}, 'config.game.generator_1.name: nothing is called'),
  ],
)
def test_an_error_of_a_stage_names_it(second, words):
  with pytest.raises(UserError, match=f'^stage 2: .*{words}'):
    runs.stages_of(config_of(second=second))


def test_a_pool_of_an_average_may_change_its_shape_as_that_of_its_weights_may():
  scales = lambda units: {'data_scale': {'generator_0': {'scale': jnp.full(units, 2.0)}}}
  first, then = runs.stages_of(config_of(second={}))
  made = entering.new_state

  def of(state, units):
    player = state.players['generator']
    variables = {**player.variables, **scales(units)}
    ema = {**player.ema, 'variables': variables}
    return state.replace(players={'generator': player.replace(variables=variables, ema=ema)})

  with pytest.MonkeyPatch().context() as patch:
    patch.setattr(entering, 'new_state', lambda stage, key: of(made(stage, key), 4))
    for units, kept in ((3, False), (4, True)):
      state = jax.tree.map(lambda x: x + jnp.ones((), x.dtype), of(made(first, jax.random.key(0)), units))
      new = entering.enter(then, state, jax.random.key(1)).players['generator'].ema
      assert (new['variables']['data_scale']['generator_0']['scale'] == 3.0).all() == kept
      same(new['params']['generator_0'], state.players['generator'].ema['params']['generator_0'])


def test_an_optimizer_that_keeps_its_averages_to_itself_is_told():
  config = config_of(ema={})
  told = lambda: notes.on_optimizers(experiment_of(config))
  assert told() == []
  config.optimizers = {'generator': {'name': 'optax.contrib.schedule_free_adamw', 'learning_rate': 0.1}}
  (line,) = told()
  assert line.startswith('note: the optimizer of generator leaves weights where its gradients are taken')
  config.ema = {'generator': 0.9}
  assert told() == []


def test_a_pool_whose_pictures_change_their_size_is_empty_again():
  before = {'memory': {'pool': {'images': np.ones((5, 4, 4, 1)), 'count': np.int32(5)}}, 'table': {'p': np.ones(2)}}
  new = {'memory': {'pool': {'images': np.zeros((5, 8, 8, 1)), 'count': np.int32(0)}}, 'table': {'p': np.zeros(2)}}
  found = survival.surviving([before], new, together=True).tree
  assert found['memory']['pool']['count'] == 0 and not found['memory']['pool']['images'].any()
  assert found['table']['p'].all()
  same(survival.surviving([before], before, together=True).tree, before)
  # Entries of a collection itself are no parts of one thing.
  table = {'table': {'p': np.zeros(3), 'q': np.zeros(())}}
  assert (
    survival.surviving([{'table': {'p': np.ones(2), 'q': np.ones(())}}], table, together=True).tree['table']['q'] == 1
  )


def test_a_pool_and_scales_from_data_of_another_shape_begin_anew():
  """In a later stage, and of a run that another begins from: what says that they are full or set goes with them."""
  fresh = {'memory': {'pool': {'images': jnp.zeros((5, 8)), 'count': jnp.int32(0)}}}
  full = {'memory': {'pool': {'images': jnp.ones((5, 4)), 'count': jnp.int32(5)}}}
  first, then = runs.stages_of(config_of(second={}))
  state = entering.new_state(first, jax.random.key(0)).replace(variables=full)
  monkey = pytest.MonkeyPatch()
  with monkey.context() as patch:
    made = entering.new_state
    patch.setattr(entering, 'new_state', lambda stage, key: made(stage, key).replace(variables=fresh))
    entered = entering.enter(then, state, jax.random.key(1))
  assert entered.variables['memory']['pool']['count'] == 0
  scales = lambda units, seen: {'data_scale': {'generator': {'seen': jnp.float32(seen), 'scale': jnp.full(units, 2.0)}}}
  of = lambda units, seen: core.TrainState(
    {'generator': {'w': jnp.ones(2)}}, scales(units, seen), None, {'params': {}, 'variables': scales(units, seen)}
  )
  for units, kept in ((3, 1), (4, 0)):
    run = types.SimpleNamespace(state=core.GameState(jnp.int32(1), {'generator': of(3, 1)}, {}, {}), step=1)
    with monkey.context() as patch:
      patch.setattr(saved, 'read', lambda folder, say, run=run: run)
      config = config_of(second={}, init_from='run')
      new = core.GameState(jnp.int32(0), {'generator': of(units, 0)}, {}, {})
      player = resume.warm(config, new, lambda line: None).players['generator']
    assert player.variables['data_scale']['generator']['seen'] == kept
    assert player.ema['variables']['data_scale']['generator']['seen'] == kept


def test_a_network_that_pauses_alone_is_told():
  wide = {'game': {'generator_1': NORM}}
  of = lambda *stages: notes.on_pauses(experiment_of(config_of(stages=stages)))
  assert of({'steps': 1, **wide}, {'steps': 1, **wide}) == []
  (line,) = of({'steps': 1, **wide}, {'steps': 1}, {'steps': 1, **wide})
  assert "'generator_1' was trained in stage 1 and then left out of its player: in stage 3 it begins anew" in line
  assert of({'steps': 1, **wide}, {'steps': 1}, {'steps': 1, **wide, 'reset': {'params': ('generator',)}}) == []


def test_without_a_start_it_begins_anew():
  old, new = entered({})
  kernel = lambda player, name: player.params[name]['Dense_0']['kernel']
  assert not np.array_equal(kernel(new, 'generator_1'), kernel(old, 'generator_0'))


@pytest.mark.parametrize(
  ('second', 'words'),
  [
    ({'start': {'generator_2': 'generator_0'}}, "unknown network of this stage .* 'generator_2'.*generator_1"),
    ({'start': {'generator_1': 'encoder'}}, "unknown network of the stages before .* 'encoder'.*generator_0"),
    ({'start': {'generator_1': 'generator_0'}, 'game': {'generator_1': {**NORM, 'wide': True}}}, 'changes its shape'),
  ],
)
def test_starts_that_do_not_fit_are_one_line(second, words):
  with pytest.raises(UserError, match=words):
    entered(second)


def test_the_data_of_later_stages_are_looked_for_before_the_first_is_trained(tmp_path):
  last = {'steps': 1, 'data': {'name': 'digits', 'size': 8, 'channels': 1, 'split': 'nosuch'}}
  with pytest.raises(UserError, match='nosuch'):
    loop.run(config_of(stages=({'steps': 1}, last)), tmp_path / 'run', silent=True)
  assert not (tmp_path / 'run').exists()


def test_a_set_that_stages_have_in_other_sizes_is_opened_once(monkeypatch):
  opened = []
  monkeypatch.setattr(Stream, 'open', lambda stream: opened.append((stream.name, stream.size)))
  data = [{'name': 'digits', 'size': size, 'channels': 1} for size in (8, 16)]
  stages = tuple({'steps': 1, 'data': x} for x in (data[0], data[1], {'name': 'ring', 'size': 2}))
  checks._open_streams(experiment_of(config_of(stages=stages)))
  assert opened == [('digits', 8), ('ring', 2)]


def test_what_a_later_stage_reads_otherwise_is_opened_before_the_start():
  first, later = (
    {'name': 'digits', 'size': 8, 'channels': 1, **more} for more in ({}, {'classes': 10, 'per_class': 999})
  )
  stages = ({'steps': 1, 'data': first}, {'steps': 1, 'data': later})
  with pytest.raises(UserError, match=r'class \d has \d+ examples'):
    checks._open_streams(experiment_of(config_of(stages=stages)))


def test_the_first_stage_starts_from_a_run_only():
  config = config_of(stages=({'steps': 1, 'start': {'generator_1': 'generator_0'}},))
  with pytest.raises(UserError, match=r'use config\.init_from'):
    runs.stages_of(config)


def test_each_player_takes_the_weights_of_its_own_run(tmp_path):
  config = lambda **settings: config_of(critic=True, **settings)
  one, two = (loop.run(config(seed=seed), tmp_path / str(seed), silent=True) for seed in (1, 2))
  each = config(init_from={'generator': str(tmp_path / '1'), 'critic': str(tmp_path / '2')})
  (stage,) = runs.stages_of(each)
  state = resume.warm(each, entering.new_state(stage, jax.random.key(5)), lambda line: None)
  same(state.players['generator'].params, one.players['generator'].params)
  same(state.players['critic'].params, two.players['critic'].params)
  for settings, words in (
    ({'init_from': {'encoder': str(tmp_path / '1')}}, r"config.init_from names 'encoder', which this game lacks"),
    ({'init_from': {'critic': str(tmp_path / '1')}, 'init_players': ('critic',)}, 'leave config.init_players out'),
  ):
    with pytest.raises(UserError, match=words):
      resume.warm(config(**settings), state, lambda line: None)


def looking_ahead(**settings):
  """A config whose optimizer keeps a copy of the weights from its start on."""
  config = config_of(**settings)
  links = ({'name': 'optax.sgd', 'learning_rate': 0.1}, {'name': 'lookahead', 'every': 2})
  config.optimizers = {'generator': {'name': 'chain', 'links': links}}
  return config


def test_the_optimizer_of_a_warm_start_begins_at_its_weights(monkeypatch):
  """Lookahead goes back to the weights that were loaded, not to the random ones of the start."""
  config = looking_ahead(init_from='run')
  (stage,) = runs.stages_of(config)
  theirs, ours = (entering.new_state(stage, jax.random.key(seed)) for seed in (1, 2))
  monkeypatch.setattr(saved, 'read', lambda folder, say: types.SimpleNamespace(state=theirs, step=9))
  player = resume.warm(config, ours, lambda line: None).players['generator']
  same(player.params, theirs.players['generator'].params)
  same(player.opt_state[1].slow, player.params)
  kernels = [p.params['generator_0']['Dense_0']['kernel'] for p in (player, ours.players['generator'])]
  assert not np.array_equal(*kernels)
  arrays = jax.tree.leaves(player)
  assert len({leaf.unsafe_buffer_pointer() for leaf in arrays}) == len(arrays), 'the step donates each once'


def test_the_optimizer_of_converted_weights_begins_at_them(monkeypatch, tmp_path):
  monkeypatch.setattr(imported, 'read_tensors', lambda file: {'w': np.ones(1)})
  seven = lambda tensors, like: jax.tree.map(lambda x: np.full(x.shape, 7.0, x.dtype), like)
  left = imported.write_run(looking_ahead(), tmp_path / 'run', {'generator_0': 'here/file'}, seven)
  run = gan_jax.load(tmp_path / 'run')
  assert run.imported == {'step': run.step, 'files': {'generator_0': 'file'}} and 'generator_0' not in left
  player = run.state.players['generator']
  same(player.opt_state[1].slow, jax.tree.map(lambda x: np.full(x.shape, 7.0, x.dtype), player.params))


@pytest.mark.parametrize(
  ('found', 'words'),
  [
    ({}, 'it holds no tensors'),
    (
      {'g': {'w': np.ones(1)}, 'd': {}},
      r"several state dicts \(g, d\): .*torch.load\('x/G.pth'\)\['g'\], 'g-alone.pth'\)",
    ),
    ({'w': np.array([1.0, np.nan, np.inf])}, '2 numbers of w are not finite'),
  ],
)
def test_files_that_are_no_weights_of_a_network_are_one_line(monkeypatch, tmp_path, found, words):
  monkeypatch.setattr(imported, 'read_tensors', lambda file: found)
  with pytest.raises(UserError, match=words):
    imported.write_run(looking_ahead(), tmp_path / 'run', {'generator_0': 'x/G.pth'}, lambda tensors, like: like)


def test_the_prefix_of_data_parallel_is_left_out(monkeypatch):
  monkeypatch.setattr(imported, 'read_tensors', lambda file: {'module.a': np.ones(1), 'module.b': np.ones(1, int)})
  assert set(imported._read('generator', 'G.pth')) == {'a', 'b'}


def test_a_part_of_a_run_may_name_the_players_of_all():
  """Optimizers of networks that are there and do not play in any stage; a name that is no network's is a slip."""
  stage = {'steps': 1, 'game': {'stage': 1}}
  (first,) = runs.stages_of(
    config_lib.override(config_lib.load('configs/stackgan.py:digits'), [f'--config.stages=({stage},)'])
  )
  assert set(first.optimizers) == {'generator_1', 'discriminator_1'}
  lapgan = config_lib.override(config_lib.load('configs/lapgan.py:digits'), ['--config.stages=()'])
  assert set(runs.stages_of(lapgan)[0].optimizers) == {'generators_0', 'discriminators_0'}
  # A network of a player that plays is none: an average of it would be dropped without a word.
  checked = lambda config: runs.stages.check_owned(config, runs.stages_of(config))
  for name in ('generater', 'generator_0'):
    with pytest.raises(UserError, match=rf"unknown player in config\.ema '{name}': choose one of generator"):
      checked(config_of(ema={name: 0.5}))
  config = config_of()
  config.optimizers = {**config.optimizers.to_dict(), 'generator_0': {'name': 'optax.sgd', 'learning_rate': 0.1}}
  with pytest.raises(UserError, match=r"unknown player in config\.optimizers 'generator_0': choose one of generator"):
    checked(config)


def test_the_last_stage_of_a_run_may_be_longer_by_force(tmp_path, capsys):
  of = lambda last, **settings: config_of(stages=({'steps': 1}, {'steps': last}), **settings)
  loop.run(of(1), tmp_path / 'run', silent=True)
  with pytest.raises(
    UserError, match=r'other settings \(config\.stages\[1\]\.steps: 1 -> 2\): .* --config\.resume=force'
  ):
    loop.run(of(2), tmp_path / 'run', silent=True)
  capsys.readouterr()
  state = loop.run(of(2, resume='force', steps=20), tmp_path / 'run')
  said = capsys.readouterr().out
  assert 'resuming at step 2' in said and 'note: config.steps=20 has no effect, because every stage has its own' in said
  assert state.step == 3


def test_numbers_that_every_stage_sets_itself_are_told():
  stages = ({'steps': 2}, {'steps': 1, 'batch_size': 8})
  assert not notes.on_settings(config_of(steps=10_000, stages=stages)), 'a default'
  assert not notes.on_settings(config_of(steps=5)), 'one stage'
  (line,) = notes.on_settings(config_of(steps=5, stages=stages))  # the first stage has the batch_size of the config
  assert line.startswith('note: config.steps=5 has no effect') and 'config.stages[i].steps, i from 0 to 1' in line
  both = notes.on_settings(config_of(steps=5, batch_size=4, stages=(stages[1],)))
  assert ['steps' in both[0], 'config.batch_size=4' in both[1]] == [True, True]


def test_settings_of_the_command_line_that_some_stages_have_of_their_own_are_told(capsys):
  stages = ({'steps': 2}, {'steps': 1, 'batch_size': 8, 'game': {'levels': (0,), 'network': {'name': 'x'}}})
  config = config_of(stages=stages)
  config.game.network = {'name': 'x', 'width': 1}
  assert not notes.on_given(config_of(), ['batch_size', 'game.levels'])
  assert not notes.on_given(config, ['steps', 'log_every', 'game.name', 'game.network.width', 'game.network'])
  given = config_of(
    steps=Settings.steps, batch_size=Settings.batch_size, stages=(stages[1],)
  )  # nobody but the command line knows
  assert not notes.on_settings(given) and len(notes.on_given(given, ['batch_size'])) == 1
  lines = notes.on_given(config, ['batch_size', 'game.levels[0]'])
  assert [line.split()[1:7] for line in lines] == [
    ['config.batch_size', 'has', 'no', 'effect', 'in', 'stage'],
    ['config.game.levels[0]', 'has', 'no', 'effect', 'in', 'stage'],
  ]
  assert all('in stage 2 of 2, where it is set anew: change config.stages[i] too, i = 1' in line for line in lines)
  # Another optimizer keeps only settings that the stage gives it too; one of the same name keeps all others.
  turned = {'optimizers': {'generator': {'name': 'optax.sgd', 'learning_rate': 1.0}}, 'ema': {'generator': 0.9}}
  slower = {'optimizers': {'generator': {'name': 'optax.adam', 'learning_rate': 0.01}}}
  rates = ['optimizers.generator.learning_rate', 'optimizers.generator.b1', 'optimizers.generator', 'ema.generator']
  found = [notes.on_given(config_of(stages=(change,)), rates) for change in (turned, slower)]
  told = [[line.split()[1] for line in lines] for lines in found]
  assert told == [[f'config.{name}' for name in rates], [f'config.{rates[0]}']]
  probe = pathlib.Path(__file__).parent / 'probes' / 'growing.py'
  main.main(['--config', str(probe), '--config.batch_size=6', '--config.devices=1', '--dry_run'])
  assert 'note: config.batch_size has no effect in stage 2 of 2' in capsys.readouterr().out


class Curved(Pyramid):
  """A loss with forward mode through a convolution, which only plain convolutions have."""

  def loss(self, batch):
    return jax.jvp(lambda z: conv.conv(z[None], jnp.ones((1, 3, 1, 1)))[0], *[(batch['latents'][..., None],)] * 2)[
      1
    ].sum()


def test_forward_mode_goes_through_the_summary_of_plain_convolutions():
  config = config_of(formulation='plain')
  config.game.name = 'test_stages.Curved'
  main._dry_run(config, False)
