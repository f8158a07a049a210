"""Numbers given to functions: seeds of 32 bits, counts, truncation; draws that JAX_ENABLE_X64 does not change."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rows

from gan_jax import config as config_lib
from gan_jax import core, losses, runs
from gan_jax.augment import augmentations as augment
from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed, key_of
from gan_jax.core.game import Turn
from gan_jax.data import transforms
from gan_jax.distributed import parallel
from gan_jax.latents import distributions as latents
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.metrics import inception_score, kernel_distance
from gan_jax.nets.layers.basic import Dropout
from gan_jax.runs import entering
from gan_jax.sampling import standing
from gan_jax.sampling.sampler import Sampler

IMAGES = jnp.linspace(0.0, 1.0, 128, dtype=jnp.float32).reshape(2, 8, 8, 1)


class Passed(nn.Module):
  """A game of one player, whose samples are its latents."""

  generator: nn.Module
  latents: Latents = Normal((3,))
  turns = (Turn(('generator',), 'loss', streams=()),)

  def loss(self, batch):
    return self.generator(batch['latents']).mean()

  def sample(self, batch):
    return batch['latents']


@pytest.mark.parametrize('seed', [2**32, 2**64, -1, 0.5, '1', None])
def test_seeds_are_whole_numbers_of_32_bits(seed):
  for call in (
    check_seed,
    lambda seed: Sampler(Passed(nn.Dense(1)))({}, 2, seed),
    lambda seed: kernel_distance.kernel_distance(np.eye(3), np.eye(3), seed=seed),
    lambda seed: inception_score.inception_score(np.eye(3), splits=1, seed=seed),
  ):
    with pytest.raises(UserError, match='must be a whole number from 0 to 4294967295'):
      call(seed)
  assert check_seed(np.int64(2**32 - 1)) == 2**32 - 1 and (key_of(3) == jax.random.key(3)).all()


@pytest.mark.parametrize('count', [0, -1, 2.5])
def test_counts_are_whole_and_at_least_one(count):
  sampler = Sampler(Passed(nn.Dense(1)))
  for call in (lambda: sampler({}, count, 0), lambda: sampler.latents(count, 0)):
    with pytest.raises(UserError, match=r'count=.* must be a whole number, at least 1'):
      call()
  with pytest.raises(UserError, match=r'standing=.* must be a whole number, at least 1'):
    standing.of_stage(type('Stage', (), {'game': Passed(nn.Dense(1))}), {}, count)
  assert sampler({}, 1, 0).shape == (1, 3)


@pytest.mark.parametrize('threshold', [float('nan'), float('inf'), -0.5])
def test_a_truncation_is_a_number_above_0(threshold):
  with pytest.raises(UserError, match='must be a finite number above 0, or 0 for no truncation'):
    latents.truncated(latents.Normal((2,)), threshold)


@pytest.mark.parametrize(
  ('config', 'settings'),
  [
    ('semi_supervised.py:digits', ()),
    ('gan3d.py:solids', ()),
    ('quickstart.py', ("--config.game.augment={'name': 'Adaptive', 'every': 4}",)),
  ],
)
def test_a_state_is_in_float32_whatever_jax_may_compute_in(config, settings):
  """Or a checkpoint of the one could not be read where the other is set."""
  with wide_numbers():
    (stage,) = runs.stages_of(config_lib.override(rows.load_shrunk(f'configs/{config}'), list(settings)))
    state = jax.eval_shape(functools.partial(entering.new_state, stage), jax.random.key(0))
    mesh = parallel.make_mesh(1)
    after, _ = jax.eval_shape(runs.make_step(stage, mesh), state, runs.abstract_feed(stage, mesh), jax.random.key(0))
    dtypes = lambda tree: {
      jax.tree_util.keystr(path): leaf.dtype for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    assert dtypes(after) == dtypes(state)
    assert jnp.float64 not in dtypes(state).values()


def wide_numbers():
  on = getattr(jax, 'enable_x64', None)
  if on is None:
    from jax.experimental import enable_x64 as on
  return on(True)


@pytest.mark.parametrize(
  'draw',
  [
    lambda key: latents.Normal((5,)).sample(key),
    lambda key: latents.Uniform((5,)).sample(key),
    lambda key: latents.Truncated((5,), 0.5).sample(key),
    lambda key: latents.draw(latents.Label(1000), key, 5),
    lambda key: latents.draw(latents.Tags(((0, 1), (1, 1), (1, 0))), key, 9),
    lambda key: transforms.random_window(IMAGES, 4, key),
    lambda key: transforms.to_float({'image': IMAGES}, (0.0, 1.0), True, key)['image'],
    lambda key: augment.DiffAugment(('color', 'translation', 'cutout'))(key, IMAGES),
    pytest.param(lambda key: augment.adaptive(key, IMAGES, 0.7), marks=pytest.mark.slow),
    lambda key: losses.adversarial.flip(key, 0.4, jnp.float32([1, 2, 3]), jnp.float32([4, 5, 6]))[0],
    lambda key: Dropout(0.3, False).apply({}, IMAGES, rngs={'dropout': key}),
  ],
)
def test_draws_are_the_same_with_wide_numbers(draw):
  usual = np.asarray(draw(jax.random.key(1)))
  with wide_numbers():
    wide = np.asarray(draw(jax.random.key(1)))
  assert wide.dtype == usual.dtype and usual.dtype in (np.float32, np.int32)
  np.testing.assert_allclose(wide, usual, rtol=1e-6, atol=1e-6)


def test_dropout_has_the_masks_of_linen():
  rngs = {'dropout': jax.random.key(2)}
  np.testing.assert_array_equal(
    Dropout(0.3, False).apply({}, IMAGES, rngs=rngs), nn.Dropout(0.3, deterministic=False).apply({}, IMAGES, rngs=rngs)
  )


def test_averages_without_a_decay_are_named():
  game, key = Passed(nn.Dense(1)), jax.random.key(0)
  optimizers, batch = {'generator': optax.sgd(0.1)}, {'latents': jnp.ones((2, 3), jnp.float32)}
  state = core.init(game, optimizers, batch, key, ema=('generator',))
  with pytest.raises(UserError, match='generator keeps running averages, but ema=None has no decay for it: give ema='):
    core.play(game, optimizers, game.turns[0], state, batch, key)
