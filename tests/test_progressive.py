"""Progressive GAN: its size, and what a new resolution changes at the start of its stage, on the way and at its end."""

import itertools
import math
import shutil

import jax
import numpy as np
import pytest
from rows import load_shrunk

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.base.errors import UserError
from gan_jax.nets import progressive
from gan_jax.nets.layers import weights
from gan_jax.runs import entering
from gan_jax.training import loop as train

KEY = jax.random.key(0)


def count(tree):
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def test_at_1024_pixels_it_is_the_paper_s():
  """Table 2 says 23.1 million each. Counted by its rows, with the heads of 512 and 1024 pixels."""
  stage = runs.stages_of(config_lib.load('configs/progressive.py:celebahq'))[-1]
  state = jax.eval_shape(lambda: entering.new_state(stage, KEY))
  widths = (512, 512, 512, 512, 256, 128, 64, 32, 16)
  conv = lambda inputs, outputs, window=3: window**2 * inputs * outputs + outputs
  generator = 512 * 16 * 512 + 512 + conv(512, 512) + conv(16, 3, 1) + conv(32, 3, 1)
  discriminator = conv(513, 512) + 512 * 16 * 512 + 512 + 512 + 1 + conv(3, 16, 1) + conv(3, 32, 1)
  for small, large in itertools.pairwise(widths):
    generator += conv(small, large) + conv(large, large)
    discriminator += conv(large, large) + conv(large, small)
  found = {name: count(player.params) for name, player in state.players.items()}
  assert found == {'generator': generator, 'discriminator': discriminator}
  assert round(generator / 1e6, 1) == round(discriminator / 1e6, 1) == 23.1


def test_its_schedule_is_the_authors():
  stages = runs.stages_of(config_lib.load('configs/progressive.py:celebahq'))
  shown = [stage.steps * stage.batch_size for stage in stages]
  fades = [stage.game.fade * stage.batch_size for stage in stages]
  assert fades[0] == 0 and all(abs(fade - 600_000) < 128 for fade in fades[1:])
  assert [stage.batch_size for stage in stages] == [128, 128, 128, 64, 32, 16, 8, 4, 4]
  assert abs(sum(shown) - 12e6) < 1000
  assert all(stage.reset['optimizer'] == ('generator', 'discriminator') for stage in stages[1:])


@pytest.fixture(scope='module')
def grown():
  """(the stages, state at the end of the first, state at the start of the second), shrunk."""
  stages = runs.stages_of(load_shrunk('configs/progressive.py:digits'))
  first = jax.jit(lambda key: entering.new_state(stages[0], key))(KEY)
  return stages, first, jax.jit(lambda state, key: entering.enter(stages[1], state, key))(first, KEY)


def images(stage, state, step):
  """Samples of the running average at a step of the stage."""
  clock = runs.clock_at(stage, stage.first_step + step)
  variables = core.game_variables(stage.game, state, ema=True, clock=clock)
  z = jax.random.normal(KEY, (4, *stage.game.latents.shape))
  return stage.game.apply(variables, {'latents': z}, method='sample')


def test_a_new_resolution_begins_with_the_pictures_of_the_old_one(grown):
  (first, second), before, after = grown
  fade = second._replace(game=second.game.clone(fade=10))
  small = np.asarray(images(first, before, 4))
  enlarged = small.repeat(2, 1).repeat(2, 2)
  np.testing.assert_allclose(images(fade, after, 0), enlarged, atol=1e-6)
  half, whole, later = (np.asarray(images(fade, after, step)) for step in (5, 10, 99))
  np.testing.assert_allclose(half, (enlarged + whole) / 2, atol=1e-6)
  np.testing.assert_array_equal(whole, later)
  assert np.abs(whole - enlarged).max() > 0.1


def test_data_fade_in_too(grown):
  (_, second), _, _ = grown
  image = np.random.RandomState(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
  coarse = image.reshape(4, 4, 2, 4, 2, 1).mean((2, 4)).repeat(2, 1).repeat(2, 2)
  for step, wanted in ((0, coarse), (2, 0.75 * coarse + 0.25 * image), (9, image)):
    clock = {'clock': {'now': runs.clock_at(second, second.first_step + step), 'parts': 1}}
    found = second.game.clone(fade=8).apply(clock, image, method='mixed')
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_is_killed_inside_a_fade_ends_bit_equal(tmp_path):
  """Stopped at step 4, when half of the second resolution has faded in."""
  config = load_shrunk('configs/progressive.py:digits')
  first, second = (dict(stage) for stage in config.stages[:2])
  second |= {'steps': 4, 'game': {**second['game'], 'fade': 4}}
  config.stages, config.checkpoint_every, config.sample_every = ({**first, 'steps': 2}, second), 1, 0
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  train.run(config, whole, silent=True)
  killed.mkdir()
  shutil.copy(whole / 'config.json', killed)
  shutil.copytree(whole / 'checkpoints' / '4', killed / 'checkpoints' / '4')
  train.run(config, killed, silent=True)
  ends = [gan_jax.load(folder).state for folder in (whole, killed)]
  assert ends[0].step == ends[1].step == 6
  jax.tree.map(np.testing.assert_array_equal, *ends)


def test_the_first_block_divides_its_gain_and_the_heads_have_none():
  kernel = lambda gain: weights.Kernel((8, 2), None, 'equalised', gain=gain)
  raw = kernel(1.0).init(KEY, train=True)
  values = {gain: kernel(gain).apply(raw, train=True) for gain in (1.0, weights.HE)}
  np.testing.assert_allclose(values[1.0], raw['params']['kernel'] / math.sqrt(8), rtol=1e-6)
  np.testing.assert_allclose(values[weights.HE], raw['params']['kernel'] * math.sqrt(2 / 8), rtol=1e-6)


@pytest.mark.parametrize('resolution', [2, 12, 32])
def test_a_resolution_without_a_width_is_an_error(resolution):
  with pytest.raises(UserError, match=rf'resolution={resolution} of the generator: .* from 4 to 16'):
    progressive.sizes_of(resolution, (8, 8, 8), 'generator')
