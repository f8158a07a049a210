"""The contract of a move, on games small enough to compute by hand."""

import traceback

import flax.linen as nn
import jax
import jax.numpy as jnp
import jitted
import numpy as np
import optax
import pytest

from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.base.errors import UserError
from gan_jax.core.game import Turn
from gan_jax.core.microbatches import over_devices
from gan_jax.games.parts.fixed import fixed_latents
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Latents, Normal, Scales, draw
from gan_jax.nets import mlp
from gan_jax.nets.layers import basic as layers
from gan_jax.nets.layers import weights
from gan_jax.training import loop, summary

KEY = jax.random.key(0)
SGD = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}


class Affine(nn.Module):
  """w x + b, through batch norm if asked."""

  norm: bool = False

  @nn.compact
  def __call__(self, x, *, train=True):
    if self.norm:
      x = nn.BatchNorm(use_running_average=not train, momentum=0.9, use_fast_variance=False)(x)
    return nn.Dense(1, kernel_init=nn.initializers.ones)(x)


class Pair(nn.Module):
  """E[D(x)] - E[D(G(z))] and its negative, linear, so that every gradient is known."""

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((1,))
  turns: tuple = (Turn(('discriminator',), 'critic'), Turn(('generator',), 'actor', streams=()))

  def critic(self, batch):
    fake = self.discriminator(self.generator(batch['latents']))
    return fake.mean() - self.discriminator(batch['images']['image']).mean(), {'fake': fake.mean()}

  def actor(self, batch):
    return -self.discriminator(self.generator(batch['latents'])).mean()

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)


class Listed(nn.Module):
  """A generator against a list of discriminators and a dict of them, which are one player."""

  generator: nn.Module
  discriminators: tuple[nn.Module, ...]
  discriminators_of: dict[str, nn.Module]
  latents: Latents = Normal((1,))
  turns: tuple = (Turn(('discriminator',), 'critic'), Turn(('generator',), 'actor', streams=()))

  def judged(self, x):
    return sum(network(x).mean() for network in (*self.discriminators, *self.discriminators_of.values()))

  def critic(self, batch):
    return self.judged(self.generator(batch['latents'])) - self.judged(batch['images']['image'])

  def actor(self, batch):
    return -self.judged(self.generator(batch['latents']))

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)


def some(count, seed=0):
  random = np.random.RandomState(seed)
  image, latents = (jnp.asarray(random.randn(count, 1), jnp.float32) for _ in range(2))
  return {'images': {'image': image}, 'latents': latents}


def kernel(state, player):
  return float(state.players[player].params[player]['Dense_0']['kernel'][0, 0])


def test_a_move_follows_the_gradient_of_the_mover_alone():
  game, batch = Pair(Affine(), Affine()), some(8)
  state = jitted.init(game, SGD, batch, KEY)
  after, metrics = jitted.play(game, SGD, game.turns[0], state, batch, KEY)
  x, z = batch['images']['image'].mean(), batch['latents'].mean()
  assert kernel(after, 'discriminator') == pytest.approx(1 - 0.1 * float(z - x), abs=1e-6)
  assert kernel(after, 'generator') == 1.0
  assert float(metrics['critic']) == pytest.approx(float(z - x), abs=1e-6)
  assert float(metrics['fake']) == pytest.approx(float(z), abs=1e-6)
  again, _ = jitted.play(game, SGD, game.turns[1], after, batch, KEY)
  assert kernel(again, 'generator') == pytest.approx(1 + 0.1 * kernel(after, 'discriminator') * float(z), abs=1e-6)
  assert int(again.step) == 0, 'a step is many moves'


@pytest.mark.parametrize('accumulate', [2, 4])
def test_accumulation_equals_one_large_batch_where_examples_do_not_couple(accumulate):
  game = Standard(mlp.Generator((16,), (2,), 'identity'), mlp.Discriminator((16,)), Normal((3,)), 'nonsaturating')
  random = np.random.RandomState(0)
  image, latents = (jnp.asarray(random.randn(64, n), jnp.float32) for n in (2, 3))
  batch = {'images': {'image': image}, 'latents': latents}
  state = jitted.init(game, SGD, batch, KEY)
  for turn in game.turns:
    whole, whole_metrics = jitted.play(game, SGD, turn, state, batch, KEY)
    split, split_metrics = jitted.play(game, SGD, turn, state, batch, KEY, compute=core.Compute(accumulate))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), whole, split)
    assert whole_metrics.keys() == split_metrics.keys()
    for name in whole_metrics:
      np.testing.assert_allclose(whole_metrics[name], split_metrics[name], rtol=1e-5)


def test_batch_statistics_move_with_their_player_only():
  game, batch = Pair(Affine(norm=True), Affine()), some(8)
  state = jitted.init(game, SGD, batch, KEY)
  mean = lambda state: float(state.players['generator'].variables['batch_stats']['generator']['BatchNorm_0']['mean'][0])
  start = mean(state)
  critic, _ = jitted.play(game, SGD, game.turns[0], state, batch, KEY)
  assert mean(critic) == start
  actor, _ = jitted.play(game, SGD, game.turns[1], state, batch, KEY)
  assert mean(actor) == pytest.approx(0.9 * start + 0.1 * float(batch['latents'].mean()), abs=1e-6)


def test_running_averages_start_as_a_copy_and_follow_their_decay():
  game, batch = Pair(Affine(norm=True), Affine()), some(8)
  state = jitted.init(game, SGD, batch, KEY, ema=('generator',))
  player = state.players['generator']
  jax.tree.map(np.testing.assert_array_equal, player.ema, {'params': player.params, 'variables': player.variables})
  assert state.players['discriminator'].ema is None
  after, _ = jitted.play(game, SGD, game.turns[1], state, batch, KEY, ema={'generator': 0.9})
  new = after.players['generator']
  expected = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, player.ema['params'], new.params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), new.ema['params'], expected)
  expected = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, player.ema['variables'], new.variables)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8), new.ema['variables'], expected)
  warm, _ = jitted.play(
    game, SGD, game.turns[1], state, batch, KEY, ema={'generator': lambda clock: jnp.where(clock.step < 10, 0.0, 0.9)}
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), warm.players['generator'].ema['params'], new.params
  )
  averaged = core.game_variables(game, after, ema=True)['params']['generator']
  jax.tree.map(np.testing.assert_array_equal, averaged, new.ema['params']['generator'])


def run_steps(game, steps, batch_of, **settings):
  state = jitted.init(game, SGD, some(4), KEY)
  step = jax.jit(core.make_step(game, SGD, streams=('images',), latents_batch=4, **settings))
  rows = []
  for n in range(steps):
    state, metrics = step(state, batch_of(n), KEY)
    rows.append(jax.device_get(metrics))
  return state, rows


def test_a_turn_that_is_not_played_says_nothing_and_changes_nothing():
  played = lambda clock, table: clock.step % 3 == 2
  game = Pair(
    Affine(), Affine(), turns=(Turn(('discriminator',), 'critic', when=played), Turn(('generator',), 'actor'))
  )
  feed = lambda n: {'images': {'image': jnp.ones((2, 4, 1))}}
  start = jitted.init(game, SGD, some(4), KEY)
  state, rows = run_steps(game, 2, feed)
  assert kernel(state, 'discriminator') == kernel(start, 'discriminator')
  assert kernel(state, 'generator') != kernel(start, 'generator')
  assert all('critic' not in core.means(row) and 'actor' in core.means(row) for row in rows)
  state, rows = run_steps(game, 3, feed)
  assert kernel(state, 'discriminator') != kernel(start, 'discriminator')
  assert 'critic' in core.means(rows[2])


def test_each_move_has_fresh_data_latents_and_keys():
  class Seen(Pair):
    def critic(self, batch):
      noise = jax.random.normal(self.make_rng('noise'))
      loss, _ = super().critic(batch)
      spread = {'image': batch['images']['image'].mean(), 'latents': batch['latents'].mean(), 'noise': noise}
      return loss, {**spread, **{f'{k}_squared': v**2 for k, v in spread.items()}}

  game = Seen(Affine(), Affine(), turns=(Turn(('discriminator',), 'critic', repeat=3), Turn(('generator',), 'actor')))
  feed = lambda n: {'images': {'image': jnp.arange(4.0)[:, None, None] * jnp.ones((4, 4, 1))}}
  _, rows = run_steps(game, 2, feed)
  for row in rows:
    means = core.means(row)
    assert row['critic'][1] == 3 and row['actor'][1] == 1
    assert means['image'] == pytest.approx(1.0) and means['image_squared'] == pytest.approx(5 / 3)  # 0, 1, 2
    for name in ('latents', 'noise'):
      assert means[f'{name}_squared'] > means[name] ** 2 + 1e-4, f'{name} repeats within a step'
  assert rows[0]['latents'][0] != rows[1]['latents'][0] and rows[0]['noise'][0] != rows[1]['noise'][0]
  _, same = run_steps(game, 2, feed)
  jax.tree.map(np.testing.assert_array_equal, rows, same)


def test_scratch_passes_between_turns_and_is_dropped():
  class Handing(Pair):
    def critic(self, batch):
      self.put_variable('scratch', 'mean', batch['images']['image'].mean())
      return super().critic(batch)

    def actor(self, batch):
      return super().actor(batch), {'handed': self.get_variable('scratch', 'mean')}

  state, rows = run_steps(Handing(Affine(), Affine()), 1, lambda n: {'images': {'image': jnp.full((1, 4, 1), 7.0)}})
  assert core.means(rows[0])['handed'] == 7.0
  assert not state.scratch


def test_the_clock_counts_steps_stages_and_images():
  class Timed(Pair):
    def actor(self, batch):
      now = core.read_clock(self)
      return super().actor(batch), {
        'steps': now.step,
        'stage_step': now.stage_step,
        'length': now.stage_length,
        'images': now.images,
      }

  state = jitted.init(Timed(Affine(), Affine()), SGD, some(4), KEY).replace(step=jnp.int32(12))
  step = core.make_step(
    Timed(Affine(), Affine()),
    SGD,
    streams=('images',),
    latents_batch=4,
    clock=lambda step: core.Clock(step, step - 10, 5, 100 + 4 * (step - 10)),
  )
  after, metrics = step(state, {'images': {'image': jnp.ones((1, 4, 1))}}, KEY)
  means = core.means(jax.device_get(metrics))
  assert (means['steps'], means['stage_step'], means['length'], means['images']) == (12, 2, 5, 108)
  assert int(after.step) == 13


class Stray(Pair):
  def setup(self):
    self.critic_net = Affine()

  def actor(self, batch):
    return self.critic_net(batch['latents']).mean()


class Bare(Pair):
  @nn.compact
  def actor(self, batch):
    return self.param('scale', nn.initializers.ones, ()) * super().actor(batch)


class Vector(Pair):
  def actor(self, batch):
    return self.generator(batch['latents'])[:, 0]


@pytest.mark.parametrize(
  ('game', 'optimizers', 'words'),
  [
    (Stray(Affine(), Affine()), SGD, ["'critic_net'", 'no owner', 'generator']),
    (Bare(Affine(), Affine()), SGD, ["'scale'", 'belongs to the game']),
    (Pair(Affine(), Affine()), {'generator': SGD['generator']}, ["['generator']", "['discriminator', 'generator']"]),
    (Pair(Affine(), Affine()), {**SGD, 'critic': SGD['generator']}, ["'critic'", 'discriminator']),
    (
      Pair(Affine(), Affine(), turns=(Turn(('generator',), 'aktor'),)),
      {'generator': SGD['generator']},
      ['aktor', 'actor'],
    ),
    (
      Pair(Affine(), Affine(), turns=(Turn(('generator', 'discriminator'), 'actor', streams=('pictures',)),)),
      SGD,
      ['pictures', 'images'],
    ),
  ],
)
def test_what_does_not_fit_is_named(game, optimizers, words):
  with pytest.raises(UserError) as caught:
    jitted.init(game, optimizers, some(4), KEY)
  for word in words:
    assert word in str(caught.value), str(caught.value)


def test_a_loss_that_is_no_scalar_and_a_frozen_mover():
  game = Vector(Affine(), Affine())
  state = jitted.init(game, SGD, some(4), KEY)
  with pytest.raises(UserError, match=r"'actor' returned shape \(4,\)"):
    jitted.play(game, SGD, game.turns[1], state, some(4), KEY)

  class Frozen(Pair):
    frozen = ('generator',)

  with pytest.raises(UserError, match='declared frozen but move'):
    jitted.init(Frozen(Affine(), Affine()), SGD, some(4), KEY)
  with pytest.raises(UserError, match=r'config\.ema'):
    jitted.init(Pair(Affine(), Affine()), SGD, some(4), KEY, ema=('critic',))


def growing_stages(first=None, **second):
  config = config_lib.load(f'{__file__.rsplit("/", 1)[0]}/probes/growing.py')
  stages = [dict(stage) for stage in config.stages]
  stages[0].update(first or {})
  stages[1].update(second)
  config.stages = tuple(stages)
  return runs.stages_of(config)


def entered(stages):
  first = runs.enter(stages[0], None, KEY)
  # As after training: nothing equals its initial value.
  first = jax.tree.map(lambda x: x + 1 if jnp.issubdtype(x.dtype, jnp.inexact) else x + 3, first)
  return first, runs.enter(stages[1], first, KEY)


def test_growing_keeps_what_survives_and_resets_what_is_declared():
  before, after = entered(growing_stages())
  old, new = before.players['generator'], after.players['generator']
  np.testing.assert_array_equal(
    old.params['generator']['block_4']['kernel'], new.params['generator']['block_4']['kernel']
  )
  assert 'block_8' in new.params['generator'] and 'block_8' not in old.params['generator']
  np.testing.assert_array_equal(
    old.ema['params']['generator']['block_4']['kernel'], new.ema['params']['generator']['block_4']['kernel']
  )
  # The average of a weight that is new begins at that weight.
  np.testing.assert_array_equal(
    new.ema['params']['generator']['block_8']['kernel'], new.params['generator']['block_8']['kernel']
  )
  counts = lambda player: [x for x in jax.tree.leaves(player.opt_state) if x.dtype == jnp.int32]
  assert [int(x) for x in counts(old)] == [3] and [int(x) for x in counts(new)] == [0], 'the optimizer starts anew'
  assert int(after.step) == int(before.step)
  _, kept = entered(growing_stages(reset={}))
  assert [int(x) for x in counts(kept.players['generator'])] == [3]
  _, anew = entered(growing_stages(reset={'params': ('generator',)}))
  assert not np.array_equal(
    anew.players['generator'].params['generator']['block_4']['kernel'], old.params['generator']['block_4']['kernel']
  )
  _, averaged = entered(growing_stages(reset={'ema': ('generator',)}))
  jax.tree.map(
    np.testing.assert_array_equal,
    averaged.players['generator'].ema['params'],
    averaged.players['generator'].params,
  )


class First(nn.Module):
  """Trains a network under a player of its own."""

  generator_low: nn.Module
  latents: Latents = Normal((1,))
  turns = (Turn(('generator_low',), 'loss', streams=()),)

  def loss(self, batch):
    return self.generator_low(batch['latents']).mean()

  def sample(self, batch):
    return self.generator_low(batch['latents'])


class Second(First):
  """Goes on with the same network as a part of another player."""

  turns = (Turn(('generator',), 'loss', streams=()),)


def test_a_network_that_changes_its_player_keeps_its_weights_and_moves():
  settings = config_lib.base(
    game=dict(name='test_game.First', generator_low=dict(name='test_game.Affine')),
    optimizers={
      'generator_low': dict(name='optax.sgd', learning_rate=0.1),
      'generator': dict(name='optax.sgd', learning_rate=0.1),
    },
    data=config_lib.stream(name='ring'),
    batch_size=8,
    stages=(dict(steps=1), dict(steps=1, game=dict(name='test_game.Second'))),
  )
  stages = runs.stages_of(settings)
  first = runs.enter(stages[0], None, KEY)
  trained = jax.tree.map(lambda x: x + 1, first.players['generator_low'].params)
  first = first.replace(players={'generator_low': first.players['generator_low'].replace(params=trained)})
  second = runs.enter(stages[1], first, KEY)
  assert set(second.players) == {'generator'}
  jax.tree.map(np.testing.assert_array_equal, second.players['generator'].params, trained)
  batch = {'latents': jnp.ones((8, 1))}
  after, _ = jitted.play(stages[1].game, stages[1].optimizers, stages[1].game.turns[0], second, batch, KEY)
  moved = after.players['generator'].params['generator_low']['Dense_0']['bias']
  assert float(moved[0]) == pytest.approx(float(trained['generator_low']['Dense_0']['bias'][0]) - 0.1)


def test_what_linen_sows_is_not_kept():
  class Sowing(Pair):
    def critic(self, batch):
      self.sow('intermediates', 'seen', batch['latents'])
      return super().critic(batch)

  game, batch = Sowing(Affine(), Affine()), some(4)
  state = jitted.init(game, SGD, batch, KEY)
  after, _ = jitted.play(game, SGD, game.turns[0], state, batch, KEY)
  assert jax.tree.structure(after) == jax.tree.structure(state)


def test_a_stage_that_does_not_fit_is_named():
  with pytest.raises(UserError, match="unknown part in a stage's reset 'weights'"):
    growing_stages(reset={'weights': ('generator',)})
  with pytest.raises(UserError, match=r"unknown player in a stage's reset\.params 'critic'"):
    growing_stages(reset={'params': ('critic',)})
  with pytest.raises(UserError, match=r'config\.steps=0'):
    growing_stages(steps=0)
  net = lambda hidden: {'discriminator': {'name': 'probes.nets.Net', 'hidden': hidden}}
  with pytest.raises(UserError, match=r'Dense_0.*changes its shape between stages, \(8,\) -> \(6,\)'):
    entered(growing_stages({'game': net(8)}, game={'resolution': 4, **net(6)}, data={'size': 4}))
  with pytest.raises(UserError, match='one layer meets inputs of different shapes'):
    entered(growing_stages(game={'resolution': 4}, data={'size': 6}))


def test_what_fails_in_an_installed_package_is_one_line(monkeypatch, tmp_path):
  """Every frame lies under site-packages there, ours too."""
  folder = tmp_path / 'lib' / 'site-packages' / 'theirs'
  folder.mkdir(parents=True)
  (folder / 'installed_game.py').write_text(
    'from gan_jax.games.standard import Standard\n'
    'class Installed(Standard):\n'
    '  def generator_loss(self, batch):\n'
    "    raise ValueError('sizes differ')\n"
  )
  monkeypatch.syspath_prepend(str(folder))
  import installed_game

  game = installed_game.Installed(mlp.Generator((4,), (2,), 'identity'), mlp.Discriminator((4,)), Normal((3,)))
  batch = {'images': {'image': jnp.ones((2, 2))}, 'latents': jnp.ones((2, 3))}
  with pytest.raises(
    UserError, match=r'Installed does not fit together \(installed_game.py:4, ValueError: sizes differ'
  ):
    jitted.init(game, SGD, batch, KEY)
  # And where no frame is ours at all.
  of_jax = traceback.FrameSummary('/x/site-packages/jax/core.py', 7, 'f')
  monkeypatch.setattr(traceback, 'extract_tb', lambda _: [of_jax])
  with pytest.raises(UserError, match=r'does not fit together \(core.py:7'):
    jitted.init(game, SGD, batch, KEY)


def test_the_networks_of_a_list_or_a_dict_belong_to_the_player_whose_plural_it_bears():
  game = Listed(Affine(), (Affine(), Affine(True)), {'a': Affine()})
  state = jitted.init(game, SGD, some(4), KEY)
  children = ['discriminators_0', 'discriminators_1', 'discriminators_of_a']
  assert sorted(state.players['discriminator'].params) == children
  assert [core.network(game, child) for child in children] == [Affine(), Affine(True), Affine()]
  assert core.network(game, 'discriminators_7') is core.network(game, 'critic_net') is None
  moved, _ = jitted.play(game, SGD, game.turns[0], state, some(4), KEY)
  before, after = (s.players['discriminator'].params['discriminators_0']['Dense_0']['kernel'] for s in (state, moved))
  assert float(jnp.abs(after - before).max()) > 0


class Judges(nn.Module):
  """Lists of networks under the player's own name and under a name that is no plural of another."""

  generator: tuple
  jury: tuple
  latents: Latents = Normal((3,))
  turns = (Turn(('jury',), 'loss'), Turn(('generator',), 'loss'))

  def loss(self, batch):
    made = [network(batch['latents'], train=True) for network in self.generator]
    return sum(judge(x, train=True).mean() for judge in self.jury for x in made)

  def sample(self, batch):
    return self.generator[0](batch['latents'], train=False)


def test_a_list_of_networks_works_under_any_players_name_and_is_named_in_the_summary():
  game = Judges(
    (mlp.Generator((4,), (2,), 'identity'), mlp.Generator((4,), (2,), 'identity')), (mlp.Discriminator((4,)), Affine())
  )
  state = jitted.init(game, {'generator': optax.sgd(0.1), 'jury': optax.sgd(0.1)}, some(4), KEY)
  assert sorted(state.players['generator'].params) == ['generator_0', 'generator_1']
  stage = runs.Stage(0, game, {}, {}, {}, 4, 1, 0, 1, {}, (0, 1))
  titles = [line.split()[:2] for line in summary.networks(stage, state)]
  assert titles == [
    ['jury_0', 'mlp.Discriminator'], ['jury_1', 'test_game.Affine'],
    ['generator_0', 'mlp.Generator'], ['generator_1', 'mlp.Generator'],
  ]  # fmt: skip


class Leaking(nn.Module):
  """A penalty by jax.grad of a network with batch norm."""

  discriminator: nn.Module
  right: bool = False
  latents: Latents = Normal((3,))
  turns = (Turn(('discriminator',), 'loss'),)

  def loss(self, batch):
    x = batch['images']['image']
    judge = lambda x: self.discriminator(x, train=True).sum()
    gradients = core.input_gradients(self.discriminator, x) if self.right else jax.grad(judge)(x)
    return judge(x) + jnp.square(gradients).mean()

  def sample(self, batch):
    return batch['latents']


def test_a_gradient_that_leaks_is_told_in_words(tmp_path):
  config = config_lib.base(
    game={'name': 'test_game.Leaking', 'discriminator': {'name': 'test_game.Normed'}},
    optimizers={'discriminator': {'name': 'optax.sgd', 'learning_rate': 0.1}},
    **dict(data={'name': 'ring'}, batch_size=4, steps=1, samples=2, devices=1),
  )
  words = 'a loss of Leaking takes jax.grad.* batch statistics.* core.input_gradients'
  with pytest.raises(UserError, match=words) as told:
    loop.run(config, tmp_path / 'run', silent=True)
  assert '\n' not in str(told.value)
  config.game.right = True
  loop.run(config, tmp_path / 'right', silent=True)


class Normed(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    return layers.BatchNorm()(nn.Dense(3)(x), train=train).mean(-1)


class Around(nn.Module):
  """A network that holds a network, whose scope it may share."""

  network: nn.Module
  shared: bool = False

  def setup(self):
    if self.shared:
      nn.share_scope(self, self.network)

  def __call__(self, x, *, train):
    return self.network(x, train=train)


class Writing(nn.Module):
  """With spectral norm, batch statistics and dropout."""

  rate: float = 0.0

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.tanh(layers.BatchNorm()(weights.Dense(3, kind='spectral')(x, train=train), train=train))
    return nn.Dropout(self.rate)(x, deterministic=not train).sum(-1)


class Judged(nn.Module):
  """Input gradients, twice, between two passes of the critic or before all others."""

  discriminator: nn.Module
  first: bool = False

  def __call__(self, x):
    judge = lambda: self.discriminator(x, train=True).sum()
    before = 0.0 if self.first else judge()
    gradients = [core.input_gradients(self.discriminator, x) for _ in range(2)]
    return jnp.stack(gradients), before + judge()


@pytest.mark.parametrize('shared', [False, True])
def test_input_gradients_of_a_critic_that_holds_a_network(shared):
  """Those of the network itself, their derivatives, and the variables that it writes."""
  x, alone, around = jax.random.normal(KEY, (4, 2)), Judged(Writing()), Judged(Around(Writing(), shared))
  variables, mutable = alone.init(KEY, x), ['batch_stats', 'spectral']

  def found(game, variables):
    def loss(params):
      (gradients, judged), written = game.apply({**variables, 'params': params}, x, mutable=mutable)
      return jnp.square(gradients).sum() + judged, (gradients, written)

    derivatives, (gradients, written) = jax.grad(loss, has_aux=True)(variables['params'])
    return gradients, {'params': derivatives, **written}

  held = lambda tree: {
    c: {'discriminator': v['discriminator'] if shared else {'network': v['discriminator']}} for c, v in tree.items()
  }
  assert jax.tree.structure(jax.eval_shape(around.init, KEY, x)) == jax.tree.structure(held(variables))
  gradients, written = found(alone, variables)
  changed = jax.tree.map(
    lambda a, b: bool((a != b).any()), {c: written[c] for c in mutable}, {c: variables[c] for c in mutable}
  )
  assert jnp.abs(gradients).min() > 0 and all(jax.tree.leaves(changed))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    found(around, held(variables)),
    (gradients, held(written)),
  )


@pytest.mark.parametrize('critic', [Writing(0.5), Around(Writing(0.5))])
def test_input_gradients_may_come_first_and_draw_anew_each_time(critic):
  x, rngs, game = jax.random.normal(KEY, (4, 2)), {'params': KEY, 'dropout': KEY}, Judged(critic, first=True)
  variables = game.init(rngs, x)
  assert jax.tree.structure(variables) == jax.tree.structure(Judged(critic).init(rngs, x))
  (gradients, _), _ = game.apply(variables, x, mutable=['batch_stats', 'spectral'], rngs={'dropout': KEY})
  assert (gradients[0] != gradients[1]).any()


class Kept(nn.Module):
  """A fixed latent that is asked for in each step."""

  generator: nn.Module
  latents: Latents = Scales(((2,), (3,)))
  turns = (Turn(('generator',), 'loss', streams=()),)

  def setup(self):
    self.first = fixed_latents(self, 'first', self.latents, 2)

  def loss(self, batch):
    small, large = self.first.value
    return jnp.square(self.generator(large, train=True) - small).mean(), {'drawn': batch['latents'][1].mean()}

  def sample(self, batch):
    return self.generator(self.first.value[1], train=False)


@pytest.mark.parametrize('accumulate', [1, 3])
def test_a_fixed_latent_stays_as_it_was_drawn(accumulate):
  game = Kept(mlp.Generator((4,), (2,), 'identity'))
  optimizers = {'generator': optax.sgd(0.1)}
  batch = {'latents': draw(game.latents, KEY, 6)}
  states = [jitted.init(game, optimizers, batch, jax.random.key(seed)) for seed in (0, 0, 1)]
  first = [state.variables['table']['first'] for state in states]
  assert [z.shape for z in first[0]] == [(2, 2), (2, 3)]
  jax.tree.map(np.testing.assert_array_equal, first[0], first[1])
  assert not np.array_equal(first[0][0], first[2][0]), 'it depends on the seed'
  state = states[0]
  for i in range(3):
    state, _ = jitted.play(
      game, optimizers, game.turns[0], state, batch, jax.random.key(i), compute=core.Compute(accumulate=accumulate)
    )
  jax.tree.map(np.testing.assert_array_equal, state.variables['table']['first'], first[0])


class Noted(nn.Module):
  """A table that a loss writes as it likes, and a counter of examples."""

  generator: nn.Module
  wrong: str = ''
  latents: Latents = Normal((2,))
  turns = (Turn(('generator',), 'loss', streams=()),)

  def setup(self):
    self.level = self.variable('table', 'level', jnp.zeros, ())
    self.seen = self.variable('table', 'seen', lambda: jnp.int32(25_000_000))

  def loss(self, batch):
    z, new = batch['latents'], self.is_initializing()
    made = self.generator(z, train=True)
    if not new:
      self.level.value = made.astype(jnp.bfloat16).mean()
      self.seen.value = self.seen.value + len(z)
    if self.wrong == 'shape' and not new:
      self.level.value = jnp.zeros((1,))
    if self.wrong == 'entry' and not new:
      self.put_variable('table', 'more', jnp.zeros(()))
    return jnp.square(made).mean(), {'above': (z > 0).sum()}

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)


def played_once(accumulate=1, wrong=''):
  game, optimizers = Noted(mlp.Generator((4,), (2,), 'identity'), wrong), {'generator': optax.sgd(0.1)}
  batch = {'latents': draw(Normal((2,)), KEY, 8)}
  state = jitted.init(game, optimizers, batch, KEY)
  after = jitted.play(game, optimizers, game.turns[0], state, batch, KEY, compute=core.Compute(accumulate))
  return state, *after, batch


@pytest.mark.parametrize('accumulate', [1, 4])
def test_what_a_loss_writes_keeps_its_dtype_and_whole_numbers_stay_exact(accumulate):
  before, after, metrics, batch = played_once(accumulate)
  types = lambda state: jax.tree.map(lambda x: (x.shape, x.dtype), state.variables)
  assert types(before) == types(after)
  # A mean over the microbatches, in float32, of what each of them has.
  assert int(after.variables['table']['seen']) == 25_000_000 + 8 // accumulate
  assert metrics['above'].dtype == jnp.float32
  assert float(metrics['above']) == pytest.approx(float((batch['latents'] > 0).sum()) / accumulate)


@pytest.mark.parametrize('accumulate', [1, 4])
@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    ('shape', r"writes table\['level'\] of shape \(1,\), at init it was \(\): keep its shape"),
    ('entry', r"writes table\['more'\], which did not exist at init: make it in setup"),
  ],
)
def test_a_state_of_another_form_is_refused(wrong, message, accumulate):
  with pytest.raises(UserError, match=message):
    played_once(accumulate, wrong)


def test_whole_numbers_of_a_table_are_means_over_devices_and_what_is_none_stays():
  before = {'seen': jnp.int32(25_000_001), 'on': jnp.array(False), 'level': jnp.float32(0)}
  mean = lambda seen, on: over_devices({'seen': seen, 'on': on, 'level': jnp.float32(2)}, before, 'devices')
  after = jax.vmap(mean, axis_name='devices')(25_000_001 + jnp.array([8, 8, 3, 4]), jnp.array([True] * 4))
  assert after['seen'].tolist() == [25_000_007] * 4  # 23 / 4, rounded
  assert after['on'].tolist() == [True] * 4 and after['level'].tolist() == [2] * 4
  assert over_devices(before, before, None) is before
