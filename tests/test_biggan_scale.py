"""A narrow BigGAN-32 at a batch of 2048 on 8 simulated devices, and two processes against one: the long product."""

import jax
import numpy as np
import optax
import pytest
from test_processes import alone, assert_same, finished, start

import gan_jax
from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.data.feed import Feed
from gan_jax.distributed import parallel

KEY = jax.random.key(0)
NARROW = [
  '--config.game.generator.channels=(16,16,8,8)', '--config.game.discriminator.channels=(8,8,8,8)',
  '--config.game.discriminator_steps=2', '--config.data.name=digits', '--config.data.flip=False',
]  # fmt: skip


def stage_of(batch):
  config = config_lib.override(config_lib.load('configs/biggan.py:cifar10'), [*NARROW, f'--config.batch_size={batch}'])
  (stage,) = runs.stages_of(config)
  # Plain descent, so that parameters show the gradients.
  return stage._replace(optimizers={name: optax.sgd(0.1) for name in stage.optimizers})


def compiled(batch, devices):
  stage, mesh = stage_of(batch), parallel.make_mesh(devices)
  place = lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=parallel.replicated(mesh))
  state = jax.tree.map(place, runs.abstract_state((stage,), 0, KEY))
  step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
  return step.lower(state, runs.abstract_feed(stage, mesh), KEY).compile()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_law_6_at_a_batch_of_2048():
  ends = {}
  for devices in (1, 8):
    stage, mesh = stage_of(2048), parallel.make_mesh(devices)
    state = jax.jit(lambda key, stage=stage: runs.new_state(stage, key), out_shardings=parallel.replicated(mesh))(KEY)
    feed = Feed(stage.streams, stage.moves, 0, parallel.place(mesh), parallel.replicate(mesh))
    ends[devices] = parallel.compile_step(runs.make_step(stage, mesh), mesh)(state, next(feed), KEY)
  one, eight = (
    {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(ends[devices])}
    for devices in (1, 8)
  )
  for name in one:
    np.testing.assert_allclose(one[name], eight[name], rtol=1e-5, atol=2e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_law_7_at_a_batch_of_2048_and_what_is_exchanged():
  flops, found = {}, []
  for devices in (1, 8):
    for batch in (1024, 2048):
      program = compiled(batch, devices)
      flops[devices, batch] = program.cost_analysis()['flops']
      found = parallel.collectives(program)
  added = {devices: flops[devices, 2048] - flops[devices, 1024] for devices in (1, 8)}
  assert 0 < added[8] <= added[1] / 7
  # Gradients and statistics are summed; nothing of the size of a batch is moved.
  assert {one.kind for one in found} == {'all-reduce'}
  state = runs.abstract_state((stage_of(2048),), 0, KEY)
  weights = 4 * sum(leaf.size for player in state.players.values() for leaf in jax.tree.leaves(player.params))
  assert sum(one.size for one in found) < 3 * weights


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_the_biggan_that_one_does(tmp_path):
  row = 'configs/biggan.py:digits'
  small = ['--config.game.generator.channels=(16,8)', '--config.game.discriminator.channels=(8,8)']
  small += ['--config.batch_size=16', '--config.log_every=1', '--config.sample_every=0', '--config.samples=9']
  settings = ['--config.steps=3', '--config.checkpoint_every=3']
  # Adam divides by the gradient's size and blows up the noise of those near 0; with this epsilon it does not.
  for where in ('generator.links[1]', 'discriminator'):
    settings += [f'--config.optimizers.{where}.eps=1.0', f'--config.optimizers.{where}.learning_rate=0.1']
  started = start(tmp_path / 'two', *settings, row=row, small=small)
  one = alone(tmp_path / 'one', *settings, row=row, small=small)
  finished(tmp_path / 'two', started)
  assert_same(gan_jax.load(tmp_path / 'two').state, one)
