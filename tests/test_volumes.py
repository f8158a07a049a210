"""3D-GAN: its networks' sizes, the rule by which the discriminator waits, volumes as data, figures of volumes."""

import itertools
import types

import jax
import jax.numpy as jnp
import jitted
import numpy as np
import optax
import pytest

from benchmarks import volumes as figures
from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.data import columns
from gan_jax.data.sources import solids
from gan_jax.data.streams import Stream
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Normal
from gan_jax.metrics import probe
from gan_jax.nets import mlp, volumes
from gan_jax.nets.layers import geometry, matmul_conv
from gan_jax.training import loop

KEY = jax.random.key(0)


def described(network, *inputs, **settings):
  return jax.eval_shape(lambda: network.init(KEY, *inputs, train=True, **settings))


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree['params']))


def test_networks_have_as_many_weights_as_the_paper_s_layers():
  """Windows of 4 x 4 x 4 without biases, 200-512-256-128-64-1 and 1-64-128-256-512-1, and norms."""
  weights = lambda *widths: 64 * sum(a * b for a, b in itertools.pairwise(widths))
  norms = 2 * (512 + 256 + 128 + 64)
  z, x = jnp.zeros((2, 200)), jnp.zeros((2, 64, 64, 64, 1))
  assert count(described(volumes.Generator(), z)) == weights(200, 512, 256, 128, 64, 1) + norms == 17_569_664
  assert count(described(volumes.Discriminator(), x)) == weights(1, 64, 128, 256, 512, 1) + norms == 11_048_832
  made = jax.eval_shape(lambda: volumes.Generator().init_with_output(KEY, z, train=True)[0])
  assert made.shape == x.shape
  label = jnp.zeros((2,), jnp.int32)
  assert count(described(volumes.Generator(classes=10), z, label)) == weights(210, 512, 256, 128, 64, 1) + norms
  assert count(described(volumes.Discriminator(classes=10), x, label)) == 11_048_832 + 10 * 512


def test_volumes_of_another_size_say_so():
  with pytest.raises(
    UserError, match=r'channels=\(8, 8\) takes volumes of shape \(16, 16, 16, 1\), not \(8, 8, 8, 1\)'
  ):
    described(volumes.Discriminator((8, 8)), jnp.zeros((2, 8, 8, 8, 1)))


def game_of(**settings):
  return Standard(mlp.Generator((4,), (2,), 'identity'), mlp.Discriminator((4,)), Normal((3,)), **settings)


@pytest.mark.parametrize('last, moves', [(0.79, True), (0.8, True), (0.81, False)])
def test_the_discriminator_moves_if_it_was_wrong_often_enough_on_the_last_batch(last, moves):
  game = game_of(most_accuracy=0.8, share_latents=True)
  optimizers = {player: optax.sgd(0.1) for player in ('generator', 'discriminator')}
  random = np.random.RandomState(0)
  batch = {
    'images': {'image': jnp.asarray(random.randn(8, 2), jnp.float32)},
    'latents': jnp.asarray(random.randn(8, 3), jnp.float32),
  }
  state = jitted.init(game, optimizers, batch, KEY)
  assert state.variables['table']['accuracy'] == 0
  state = state.replace(variables={**state.variables, 'table': {'accuracy': jnp.float32(last)}})
  discriminators, measuring, generators = game.turns
  assert discriminators.movers == ('discriminator',) and bool(discriminators.when(None, state.variables)) == moves
  assert measuring.movers == () and measuring.share == 'batch' and measuring.when is None and generators.share
  after, metrics = jitted.play(game, optimizers, measuring, state, batch, KEY)
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, after.players, state.players)))
  params = {name: player.params[name] for name, player in state.players.items()}
  fake = game.generator.apply({'params': params['generator']}, batch['latents'], train=False)
  judge = lambda x: np.asarray(game.discriminator.apply({'params': params['discriminator']}, x, train=False))
  right = np.concatenate([judge(batch['images']['image']) > 0, judge(fake) < 0]).mean()
  assert metrics['accuracy'] == pytest.approx(right) and after.variables['table']['accuracy'] == pytest.approx(right)


def test_a_rule_that_cannot_hold_is_one_line():
  with pytest.raises(UserError, match=r'most_accuracy=0\.8 needs a loss whose logits say real or not'):
    _ = game_of(most_accuracy=0.8, loss='wasserstein').turns
  with pytest.raises(UserError, match=r'leave most_accuracy at 1\.0'):
    _ = game_of(most_accuracy=0.8, dynamics=lambda field, params: field(params)).turns
  with pytest.raises(UserError, match='most_accuracy=80 must be above 0 and at most 1'):
    _ = game_of(most_accuracy=80).turns
  assert [turn.when for turn in game_of().turns] == [None, None]


def test_solids_are_as_many_of_each_class_and_have_their_forms():
  arrays = {split: Stream(name='solids', split=split, size=16, classes=6).open().arrays for split in ('train', 'test')}
  for split, examples in arrays.items():
    assert examples['image'].shape == (solids.COUNTS[split], 16, 16, 16, 1)
    assert set(np.unique(examples['image'])) == {0, 255}
    assert np.bincount(examples['label']).tolist() == [solids.COUNTS[split] // 6] * 6
  full = arrays['train']['image'][..., 0] > 0
  of = lambda kind: full[arrays['train']['label'] == solids.SOLIDS.index(kind)]
  box, ball, cone, table = (of(kind) for kind in ('box', 'ball', 'cone', 'table'))
  assert (box.any((2, 3)).sum(1) * box.any((1, 3)).sum(1) * box.any((1, 2)).sum(1) == box.sum((1, 2, 3))).all()
  radius = ball.any((2, 3)).sum(1) / 2
  np.testing.assert_allclose((ball.sum((1, 2, 3)) / radius**3).mean(), 4 / 3 * np.pi, rtol=0.05)
  assert cone[..., :8].sum() > 3 * cone[..., 8:].sum()  # the point above
  assert (table[..., :4].sum((1, 2, 3)) < table[..., 10:].sum((1, 2, 3))).mean() > 0.9  # legs below, a plate above
  with pytest.raises(UserError, match='split of solids'):
    Stream(name='solids', split='validation').open()


def test_arrays_of_a_shape():
  kind = columns.Array(range=(0.0, 1.0), low=0.0, high=1.0, shape=(2, 2))
  assert kind.form.shape == (2, 2) and columns.Array().form is None
  assert kind.stored(np.ones((2, 2), np.uint8)).shape == (2, 2)
  with pytest.raises(UserError, match=r'but shape=\(2, 2\): set it to \(3,\)'):
    kind.stored(np.ones(3, np.uint8))


def test_features_of_volumes_are_the_largest_of_each_cell():
  maps = [np.random.RandomState(i).randn(2, n, n, n, c) for i, (n, c) in enumerate([(4, 3), (2, 5)])]
  cells = [x[:, i * n : (i + 1) * n, j * n : (j + 1) * n, k * n : (k + 1) * n].max((1, 2, 3))
           for x in maps for n in [x.shape[1] // 2] for i, j, k in np.ndindex(2, 2, 2)]  # fmt: skip
  np.testing.assert_allclose(probe.pooled_features(maps, 2), np.concatenate(cells, -1), rtol=1e-6)
  with pytest.raises(UserError, match='feature map of 4x4x3'):
    probe.pooled_features([jnp.zeros((1, 4, 4, 3, 1))], 2)


@pytest.mark.parametrize('channels', [(1, 5), (6, 2)])
def test_strides_of_volumes_become_channels(channels, monkeypatch):
  """The blocked way against XLA's convolution, and its adjoints by <conv x, y> = <x, back> = <kernel, of_kernel>."""
  random = np.random.RandomState(0)
  drawn = lambda *shape: jnp.asarray(random.randn(*shape), jnp.float32)
  x, kernel, strides = drawn(3, 8, 6, 4, channels[0]), drawn(4, 4, 2, *channels), (2, 2, 1)
  monkeypatch.setattr(matmul_conv, '_bytes', lambda *_: (1, 2))  # in parts of 2 examples
  sizes = geometry.Geometry(len(x), x.shape[1:-1], kernel.shape[:-2], strides)
  assert matmul_conv._in_blocks(sizes, *channels) is not None
  y = matmul_conv.forward(x, kernel, strides)
  order = ('N012C', '012IO', 'N012C')
  expected = jax.lax.conv_general_dilated(x, kernel, strides, 'SAME', dimension_numbers=order)
  np.testing.assert_allclose(y, expected, atol=1e-4)
  other = drawn(*y.shape)
  product = float(jnp.vdot(y, other))
  back = matmul_conv.input_adjoint(other, kernel, strides, x.shape[1:-1])
  of_kernel = matmul_conv.kernel_adjoint(x, other, strides, kernel.shape[:-2])
  np.testing.assert_allclose([jnp.vdot(back, x), jnp.vdot(of_kernel, kernel)], product, rtol=1e-4)


def test_figures_by_hand():
  square = np.zeros((1, 4, 4, 4), bool)
  square[0, :2, :2, 1:3] = True
  shifted = np.roll(square, 1, 1)
  shares, which = figures.nearest(square, np.concatenate([~square, shifted]))
  assert shares[0] == pytest.approx(4 / 12) and which[0] == 1
  assert figures.height_of(np.concatenate([square, np.zeros_like(square)])).tolist() == [2, 0]
  # Two classes, each low and tall: the sums of both pairs.
  latents = np.arange(24, dtype=np.float32)[:, None]
  found = figures.sums(latents, np.repeat([0, 1], 12), np.tile(np.repeat([1, 5], 6), 2))
  assert [(k, j) for k, j, _ in found] == [(0, 1), (1, 0)]
  tall, low, other, result = (part.item() for part in found[0][2])
  assert (tall, low, other) == (7.0, 1.0, 13.0) and result == tall - low + other


def test_another_set_takes_the_place_of_the_run_s(tmp_path):
  for name, label in (('chairs', [2, 2]), ('all', [0, 1, 2])):
    voxels = np.zeros((len(label), 32, 32, 32, 1), np.uint8)
    np.savez(tmp_path / f'{name}_test.npz', voxels=voxels, label=np.array(label, np.int32))
  path = str(tmp_path / '{}_{{split}}.npz')
  config = config_lib.override(
    config_lib.load('configs/gan3d.py:modelnet32'), [f'--config.data.path={path.format("chairs")}']
  )
  run = types.SimpleNamespace(stage=runs.stages_of(config)[0], workdir='run')
  assert figures.examples_of(run, 'test')[1].tolist() == [2, 2]
  volumes_of_all, labels = figures.examples_of(run, 'test', path.format('all'))
  assert labels.tolist() == [0, 1, 2] and volumes_of_all.shape == (3, 32, 32, 32, 1)


@pytest.mark.slow
def test_the_figures_of_a_run(tmp_path):
  narrow = ['--config.game.generator.channels=(8, 4)', '--config.game.discriminator.channels=(4, 8)']
  config = config_lib.override(
    config_lib.load('configs/gan3d.py:solids'),
    [*narrow, '--config.steps=2', '--config.batch_size=8', '--config.devices=1', '--config.sample_every=0'],
  )
  loop.run(config, tmp_path / 'run', silent=True)
  printed = figures.main(['--workdir', str(tmp_path / 'run'), '--count', '60'])
  for row in (
    '| raw voxels | 4,096 |',
    '| random weights | 96 |',
    '| step 2 | 96 |',
    '| 60 samples |',
    '| 600 test volumes |',
  ):
    assert row in printed
  for name in ('samples', 'nearest', 'interpolation'):
    assert (tmp_path / 'run' / 'volumes' / f'{name}.png').exists()
  assert (tmp_path / 'run' / 'volumes' / 'figures.md').read_text() == printed + '\n'
