"""Ways to be parallel and to save memory: each against the plain step on one device."""

import functools
import types
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import few
from jax.sharding import PartitionSpec
from rows import IDS, ROWS, load_shrunk

from gan_jax import config as config_lib
from gan_jax import core, runs
from gan_jax.base.devices import varying_alike
from gan_jax.base.errors import UserError
from gan_jax.data.feed import Feed
from gan_jax.distributed import parallel
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Normal
from gan_jax.nets import dcgan, mlp, resnet
from gan_jax.nets.layers import attention, conv, minibatch, norms, recurrent
from gan_jax.nets.layers import basic as layers
from gan_jax.optim import dynamics

KEY = jax.random.key(0)
#: Of games in which nothing couples the examples of a batch.
SLOW = pytest.mark.slow
FREE = ('gan:ring', pytest.param('began:default', marks=pytest.mark.slow))


def stages_of(name, *settings):
  config = config_lib.override(load_shrunk(ROWS[IDS.index(name)]), ['--config.batch_size=16', *settings])
  # Plain descent shows the gradients; Adam would blow up the noise of those near 0.
  return [s._replace(optimizers={n: optax.sgd(0.1) for n in s.optimizers}) for s in runs.stages_of(config)]


@functools.lru_cache(maxsize=32)
def played(name, devices, *settings, calls=2, count=1):
  """(state on the devices, metrics of the last call, the compiled step) after some calls of the first stage."""
  stage, mesh = stages_of(name, *settings)[0], parallel.make_mesh(devices)
  begin = lambda key: runs.enter(stage, None, key)
  placed = runs.state_sharding(stage, mesh, jax.eval_shape(begin, KEY))
  state = jax.jit(begin, out_shardings=placed)(KEY)
  feed = Feed(stage.streams, stage.moves, 0, parallel.place(mesh), parallel.replicate(mesh))
  step = parallel.compile_step(runs.make_step(stage, mesh, count), mesh, placed)
  for _ in range(calls):
    state, metrics = step(state, next(feed) if count == 1 else feed.take(count), KEY)
  assert step._cache_size() == 1
  assert jax.tree.map(lambda x: x.sharding, state) == placed
  return state, metrics


@functools.lru_cache(maxsize=32)
def compiled(name, devices, *settings):
  stage, mesh = stages_of(name, *settings)[0], parallel.make_mesh(devices)
  state = runs.abstract_state((stage,), 0, KEY)
  placed = runs.state_sharding(stage, mesh, state)
  put = lambda s, sharding: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding)
  step = parallel.compile_step(runs.make_step(stage, mesh), mesh, placed)
  return step.lower(jax.tree.map(put, state, placed), runs.abstract_feed(stage, mesh), KEY).compile()


def assert_close(a, b, **tolerance):
  tolerance = {'rtol': 1e-5, 'atol': 1e-6, **tolerance}
  a, b = jax.device_get((a, b))
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize('name', FREE)
def test_pmap_is_jit_where_examples_are_not_coupled(name):
  one = played(name, 1)
  # BEGAN's k is clipped on every device before the mean: the same while it is inside.
  assert_close(one, played(name, 8 if name == 'gan:ring' else 2, '--config.parallel=pmap'))
  assert_close(one, played(name, 2, '--config.parallel=pmap', '--config.accumulate=2'), rtol=1e-4)
  assert_close(one[0], played(name, 2, '--config.parallel=pmap', calls=1, count=2)[0])


@pytest.mark.slow
def test_pmap_has_batch_statistics_of_its_own_and_averages_the_running_ones():
  """The mean after the first layer is linear in the batch; the variance lacks that of the devices' means."""
  one, mapped = (
    played('dcgan:digits', devices, f'--config.parallel={way}', calls=1)[0].players['generator']
    for devices, way in ((1, 'jit'), (4, 'pmap'))
  )
  a, b = (jax.device_get(p.variables['batch_stats']['generator']['BatchNorm_0']['norm']) for p in (one, mapped))
  np.testing.assert_allclose(a['mean'], b['mean'], rtol=1e-4, atol=1e-6)
  assert np.all(b['var'] < a['var'])
  kernels = [player.params['generator']['project']['kernel'] for player in (one, mapped)]
  assert not np.allclose(*kernels)


def test_devices_draw_latents_that_differ_and_noise_that_differs():
  class Telling(Standard):
    def discriminator_loss(self, batch):
      loss, _ = super().discriminator_loss(batch)
      spread = lambda x: jnp.square(x - jax.lax.pmean(x, parallel.AXIS))
      noise = jax.random.normal(self.make_rng('noise'))
      return loss, {'noise': spread(noise), 'apart': spread(batch['latents'].sum())}

  nets = mlp.Generator((8,), (2,), 'identity'), mlp.Discriminator((8,)), Normal((3,))
  sgd = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}
  image = jax.random.normal(KEY, (2, 16, 2))
  state = core.init(Standard(*nets), sgd, {'images': {'image': image[0]}, 'latents': jnp.zeros((16, 3))}, KEY)
  step = core.make_step(
    Telling(*nets), sgd, streams=('images',), latents_batch=4, compute=core.Compute(axis_name=parallel.AXIS)
  )
  step = parallel.per_device(fed(step), parallel.make_mesh(4), False)
  _, metrics = jax.jit(step)(state, {'moves': {'image': image}, 'store': {}}, KEY)
  means = core.means(jax.device_get(metrics))
  assert means['noise'] > 1e-3 and means['apart'] > 1e-3


def fed(step):
  return lambda state, feed, key: step(state, {'images': feed['moves']}, key)


def test_pmap_refuses_a_memory_of_examples_and_a_divided_state():
  with pytest.raises(UserError, match=r'Pool keeps a memory of examples.*set config\.parallel=jit'):
    played('pool:accumulate', 2, '--config.parallel=pmap')
  with pytest.raises(UserError, match=r"config\.shard_state=True works only with config.parallel='jit'"):
    stages_of('gan:ring', '--config.parallel=pmap', '--config.shard_state=True')
  with pytest.raises(UserError, match=r"config\.parallel 'shard': choose one of jit, pmap"):
    stages_of('gan:ring', '--config.parallel=shard')
  with pytest.raises(UserError, match=r"config\.dtype 'float16': choose one of bfloat16, float32"):
    stages_of('gan:ring', '--config.dtype=float16')


RULES = {'consensus': dict(weight=1.0), 'symplectic': {}, 'extragradient': dict(rate=0.5)}


@pytest.mark.parametrize('name', few(RULES, lambda name: name == 'consensus'))
def test_dynamics_see_the_field_of_all_devices(name):
  """Consensus differentiates the field: on every device its own part of it."""
  sgd = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}
  image, ends = jax.random.normal(KEY, (2, 16, 2)), []
  rule = dynamics.rule(of=name, **RULES[name])
  game = Standard(mlp.Generator((8,), (2,), 'tanh'), mlp.Discriminator((8,)), Normal((3,)), dynamics=rule)
  state = core.init(game, sgd, {'images': {'image': image[0]}, 'latents': jnp.zeros((16, 3))}, KEY)
  for size, axis_name in ((1, None), (4, parallel.AXIS)):
    step = fed(
      core.make_step(
        game, sgd, streams=('images',), latents_batch=16 // size, compute=core.Compute(axis_name=axis_name)
      )
    )
    step = parallel.per_device(step, parallel.make_mesh(4), False) if axis_name else step
    ends.append(jax.jit(step)(state, {'moves': {'image': image}, 'store': {}}, KEY)[0])
  assert_close(*ends)


class Number(nn.Module):
  start: float

  @nn.compact
  def __call__(self):
    return self.param('w', lambda key: jnp.float32(self.start))


class Quadratic(nn.Module):
  """Every example (a, b, c) is a game of two numbers, min over x of a x^2 / 2 + b x y, over y of c y^2 / 2 - b x y."""

  x: nn.Module
  y: nn.Module
  dynamics: Any
  latents: None = None

  @property
  def turns(self):
    return (core.Turn(('x', 'y'), {'x': 'x_loss', 'y': 'y_loss'}, dynamics=self.dynamics),)

  def x_loss(self, batch):
    a, b, _ = batch['images']['image'].T
    return (a * self.x() ** 2 / 2 + b * self.x() * self.y()).mean()

  def y_loss(self, batch):
    _, b, c = batch['images']['image'].T
    return (c * self.y() ** 2 / 2 - b * self.x() * self.y()).mean()

  def sample(self, batch):
    return self.x()


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    # J = ((1/2, 2), (-2, 1/2)) at (1, 1/2), so F = (3/2, -7/4) and J^T F = (17/4, 17/8), by hand.
    ('simultaneous', (1.5, -1.75)),
    ('consensus', (1.5 + 0.1 * 4.25, -1.75 + 0.1 * 2.125)),
    ('extragradient', (1.5 - 0.1 * (0.75 - 3.5), -1.75 - 0.1 * (-3 - 0.875))),
    ('symplectic', (1.5 + 3.5, -1.75 + 3.0)),  # A^T F = (2 * 7/4, 2 * 3/2); its sign is +
  ],
)
def test_dynamics_follow_the_field_of_the_whole_batch(name, expected):
  """Also over microbatches and devices whose own fields turn elsewhere, and have other signs of the alignment."""
  settings = {'consensus': dict(weight=0.1), 'extragradient': dict(rate=0.1)}.get(name, {})
  sgd = {'x': optax.sgd(1.0), 'y': optax.sgd(1.0)}
  game = Quadratic(Number(1.0), Number(0.5), dynamics.rule(of=name, **settings))
  # Devices take halves, microbatches take every second example.
  image = jnp.array([[6.0, 1.0, -6.0], [6.0, 1.0, -6.0], [-5.0, 3.0, 7.0], [-5.0, 3.0, 7.0]])
  state = core.init(game, sgd, {'images': {'image': image}}, KEY)
  for order, compute in (
    ((0, 1, 2, 3), core.Compute()),
    ((0, 2, 1, 3), core.Compute(2)),
    ((0, 1, 2, 3), core.Compute(axis_name=parallel.AXIS)),
    ((0, 1, 2, 3), core.Compute(2, axis_name=parallel.AXIS)),
  ):
    step = fed(core.make_step(game, sgd, streams=('images',), latents_batch=1, compute=compute))
    step = parallel.per_device(step, parallel.make_mesh(2), False) if compute.axis_name else step
    feed = {'moves': {'image': image[jnp.array(order)][None]}, 'store': {}}
    after, _ = jax.jit(step)(state, feed, KEY)
    moved = [float(state.players[n].params[n]['w'] - after.players[n].params[n]['w']) for n in ('x', 'y')]
    np.testing.assert_allclose(moved, expected, rtol=1e-5)


@pytest.mark.parametrize('name', [pytest.param('dcgan:digits', marks=SLOW), 'gan:ring'])
def test_a_divided_state_is_the_same_state(name):
  rate = ('--config.ema={"generator": 0.9, "discriminator": 0.9}',)
  one = played(name, 1, *rate)
  many = played(name, 8, '--config.shard_state=True', *rate)
  assert_close(one, many, rtol=2e-4, atol=1e-5)
  divided = [x for x in jax.tree.leaves(many[0].players['generator'].ema) if not x.sharding.is_fully_replicated]
  assert divided and all(x.addressable_shards[0].data.size == x.size // 8 for x in divided)
  assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(many[0].players['generator'].params))


def test_a_divided_state_takes_less_memory_of_each_device():
  config = lambda *settings: config_lib.override(load_shrunk('configs/dcgan.py:digits'), settings)
  sizes = {}
  for shard in (False, True):
    (stage,) = runs.stages_of(config(f'--config.shard_state={shard}', '--config.batch_size=16'))
    mesh = parallel.make_mesh(8)
    state = runs.abstract_state((stage,), 0, KEY)
    placed = runs.state_sharding(stage, mesh, state)
    pairs = [
      zip(*(jax.tree.leaves(s.players[p].opt_state) for s in (state, placed)), strict=True) for p in state.players
    ]
    sizes[shard] = sum(np.prod(sharding.shard_shape(leaf.shape)) for pair in pairs for leaf, sharding in pair)
  assert sizes[True] < sizes[False] / 6


def test_what_is_exchanged_is_gradients_and_batch_statistics_and_nothing_else():
  state = runs.abstract_state(tuple(stages_of('dcgan:digits')), 0, KEY)
  bare = lambda shape: tuple(sorted(n for n in shape if n > 1))
  allowed = {bare(leaf.shape) for p in state.players.values() for leaf in jax.tree.leaves((p.params, p.variables))}
  sizes = lambda text: bare(tuple(int(n) for n in text[text.index('[') + 1 : -1].split(',') if n))
  counts = {}
  for way in ('jit', 'pmap'):
    found = parallel.collectives(compiled('dcgan:digits', 8, f'--config.parallel={way}'))
    assert {one.kind for one in found} == {'all-reduce'}
    assert {sizes(shape) for one in found for shape in one.shapes} <= allowed | {()}
    counts[way] = sum(len(one.shapes) for one in found), sum(one.size for one in found)
  weights = 4 * sum(leaf.size for p in state.players.values() for leaf in jax.tree.leaves(p.params))
  # Gradients once, and what is small beside them.
  assert all(weights <= size <= 1.2 * weights for _, size in counts.values())
  divided = parallel.collectives(compiled('dcgan:digits', 8, '--config.shard_state=True'))
  assert {one.kind for one in divided} <= {'all-reduce', 'all-gather', 'reduce-scatter'}
  assert {sizes(shape) for one in divided for shape in one.shapes} <= allowed | {()}
  assert parallel.collectives(compiled('dcgan:digits', 1)) == []


def test_of_an_exchange_that_is_begun_and_ended_apart_what_is_got_counts():
  text = """
    %a = (f32[1,64]{1,0}, f32[8,64]{1,0}) all-gather-start(f32[1,64]{1,0} %p), dimensions={0}
    %b = (f32[64]{0}, f32[64]{0}, u32[], u32[]) collective-permute-start(f32[64]{0} %q), channel_id=2
    %c = ((f32[1,2]{1,0}, f32[1,3]{1,0}), (f32[8,2]{1,0}, f32[8,3]{1,0})) all-gather-start(%r, %s), dimensions={0}
    %d = (f32[64]{0}, f32[2]{0}) all-reduce-start(%t, %u), to_apply=%add
    %e = f32[8,64]{1,0} all-gather(f32[1,64]{1,0} %p), dimensions={0}
  """
  found = parallel.collectives(types.SimpleNamespace(as_text=lambda: text))
  assert [(one.kind, one.shapes, one.size) for one in found] == [
    ('all-gather', ('f32[8,64]',), 2048),
    ('collective-permute', ('f32[64]',), 256),
    ('all-gather', ('f32[8,2]', 'f32[8,3]'), 160),
    ('all-reduce', ('f32[64]', 'f32[2]'), 264),
    ('all-gather', ('f32[8,64]',), 2048),
  ]


@pytest.mark.slow
@pytest.mark.parametrize('setting', ['--config.parallel=pmap', '--config.shard_state=True'])
def test_law_7_work_scales(setting):
  work = lambda batch, devices: compiled('gan:ring', devices, setting, f'--config.batch_size={batch}').cost_analysis()
  added = {devices: work(128, devices)['flops'] - work(64, devices)['flops'] for devices in (1, 8)}
  assert 0 < added[8] <= added[1] / 7


def test_bfloat16_is_near_float32():
  exact, rounded = (played('gan:ring', 1, *settings)[1] for settings in ((), ('--config.dtype=bfloat16',)))
  assert {leaf.dtype for leaf in jax.tree.leaves(rounded)} == {jnp.dtype('float32')}
  exact, rounded = (core.means(jax.device_get(m)) for m in (exact, rounded))
  assert exact != rounded
  for name in ('discriminator_loss', 'generator_loss'):
    assert rounded[name] == pytest.approx(exact[name], rel=0.02)


def test_four_microbatches_of_16_are_a_batch_of_64():
  whole = played('gan:ring', 1, '--config.batch_size=64')
  for devices in (1, 2):
    assert_close(whole, played('gan:ring', devices, '--config.batch_size=64', '--config.accumulate=4'))


def test_players_alternate_by_updates_not_by_microbatches():
  """As in BigGAN's code: both of the discriminator's moves, all microbatches of each before its one update."""
  order, seen = [], {}

  def noting(name):
    inner = optax.sgd(0.1)

    def update(gradients, state, params=None):
      order.append(name)
      seen.setdefault(name, []).append(params)
      return inner.update(gradients, state, params)

    return optax.GradientTransformation(inner.init, update)

  game = Standard(mlp.Generator((8,), (2,), 'identity'), mlp.Discriminator((8,)), Normal((3,)), discriminator_steps=2)
  optimizers = {name: noting(name) for name in ('generator', 'discriminator')}
  image = jax.random.normal(KEY, (2, 16, 2))
  state = core.init(game, optimizers, {'images': {'image': image[0]}, 'latents': jnp.zeros((16, 3))}, KEY)
  step = core.make_step(game, optimizers, streams=('images',), latents_batch=16, compute=core.Compute(4))
  after, _ = step(state, {'images': {'image': image}}, KEY)
  assert order == ['discriminator', 'discriminator', 'generator']
  # The second move starts from what the first one left, and the generator's sees the discriminator after both.
  first, second = seen['discriminator']
  kernel = lambda params: np.asarray(params['discriminator']['Dense_0']['kernel'])
  assert not np.allclose(kernel(first), kernel(second))
  assert not np.allclose(kernel(second), kernel(after.players['discriminator'].params))


MAPS = jax.random.normal(KEY, (4, 8, 8, 8), jnp.bfloat16)
BLOCK = lambda norm: resnet.GeneratorBlock(8, norm)
LAYERS = {
  'batch': (layers.BatchNorm(), (), dict(train=True)),
  'class': (norms.ClassBatchNorm(3), (jnp.array([0, 1, 2, 1]),), dict(train=True)),
  'vector': (norms.VectorBatchNorm('spectral'), (jnp.ones((4, 5), jnp.bfloat16),), dict(train=True)),
  'ghost': (norms.GhostBatchNorm(2), (), dict(train=True)),
  'attention': (attention.SelfAttention(), (), dict(train=True)),
  'residual': (BLOCK(lambda name: layers.BatchNorm(name=name)), (), dict(train=True)),
  'minibatch': (minibatch.MinibatchDiscrimination(3), (), {}),
}


@pytest.mark.parametrize('name', LAYERS)
def test_layers_give_the_dtype_they_are_given_and_compute_statistics_exactly(name):
  layer, condition, settings = LAYERS[name]
  x = MAPS.reshape(4, -1) if name == 'minibatch' else MAPS
  variables = layer.init(KEY, x, *condition, **settings)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  apply = lambda x, *condition: layer.apply(variables, x, *condition, **settings, mutable=['batch_stats', 'spectral'])
  y, written = apply(x, *condition)
  exact, exactly = apply(*core.Compute().cast((x, *condition)))
  assert y.dtype == jnp.bfloat16 and exact.dtype == jnp.float32
  np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=0.05, atol=0.05)
  if name in ('batch', 'class', 'vector', 'ghost'):  # the statistics of the same rounded numbers are the same
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), written, exactly)


def test_pixel_norm_and_minibatch_deviation_in_bfloat16():
  for function in (norms.pixel_norm, minibatch.minibatch_stddev):
    y = function(MAPS)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), function(MAPS.astype(jnp.float32)), rtol=0.01)


@pytest.mark.parametrize(
  'name', ['gan:ring', *(pytest.param(n, marks=SLOW) for n in ('dcgan:digits', 'pool:accumulate'))]
)
def test_remat_gives_the_same_numbers(name):
  assert_close(played(name, 1), played(name, 1, '--config.remat=True'))


@pytest.mark.parametrize('settings', [(), ('--config.remat=True',)])
def test_remat_is_in_the_step_that_is_asked_for_it(settings):
  stages, mesh = stages_of('gan:ring', *settings), parallel.make_mesh(1)
  given = runs.abstract_state(tuple(stages), 0, KEY), runs.abstract_feed(stages[0], mesh), KEY
  assert ('remat' in str(jax.make_jaxpr(runs.make_step(stages[0], mesh))(*given))) == bool(settings)


def test_remat_keeps_only_what_is_named():
  """What the backward pass is given, beside arguments: one array per product, and no other as large."""
  generator = dcgan.Generator((16, 16, 16), 1, kernel=4, base=2)
  z = jax.random.normal(KEY, (8, 5))
  variables = generator.init(KEY, z, train=True)

  def loss(params):
    return jnp.sum(generator.apply({**variables, 'params': params}, z, train=True, mutable=['batch_stats'])[0] ** 2)

  def kept(function):
    _, backward = jax.vjp(function, variables['params'])
    return sum(leaf.size for leaf in jax.tree.leaves(backward) if leaf.ndim == 4 and leaf.shape[0] == 8)

  policy = conv.keep_products
  outputs = sum(8 * side**2 * width for side, width in ((4, 16), (8, 16), (16, 1)))
  assert kept(jax.checkpoint(loss, policy=policy)) <= outputs
  assert kept(loss) > 2 * outputs


class Mixed(nn.Module):
  """A network of someone who knows nothing of dtypes."""

  @nn.compact
  def __call__(self, x, *, train):
    return nn.Dense(1)(x.reshape(x.shape[0], -1))[:, 0]


def test_networks_of_others_work_with_bfloat16():
  game = Standard(mlp.Generator((8,), (2,), 'identity'), Mixed(), Normal((3,)))
  sgd = {'generator': optax.sgd(0.1), 'discriminator': optax.sgd(0.1)}
  batch = {'images': {'image': jnp.ones((4, 2))}, 'latents': jnp.ones((4, 3))}
  state = core.init(game, sgd, batch, KEY)
  step = core.make_step(game, sgd, streams=('images',), latents_batch=4, compute=core.Compute(dtype='bfloat16'))
  after, metrics = step(state, {'images': {'image': jnp.ones((2, 4, 2))}}, KEY)
  assert all(np.isfinite(v) for v in core.means(jax.device_get(metrics)).values())
  assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)


SHARED = {
  'conv': (lambda kernel, x: conv.conv(x, kernel, (2, 2)), (3, 3, 3, 4)),
  'conv_transpose': (lambda kernel, x: conv.conv_transpose(x, kernel, (2, 2)), (4, 4, 4, 3)),
  'lstm': (
    lambda kernel, x: recurrent._through(*varying_alike(x[:, :, 0].repeat(4, -1)[..., :8], kernel)),
    (2, 8),
  ),
}


@pytest.mark.parametrize('formulation', ['xla', 'matmul'])
@pytest.mark.parametrize('layer', SHARED)
def test_gradients_in_a_shard_map_that_checks_what_varies(layer, formulation):
  """As of jax's own functions: the gradient of what all devices share is the sum over them, of both orders."""
  apply, shape = SHARED[layer]
  kernel, x = jax.random.normal(KEY, shape), jax.random.normal(KEY, (4, 4, 4, 3))
  loss = lambda kernel, x: jnp.sum(apply(kernel, x) ** 2)
  steep = lambda kernel, x: jnp.sum(jax.grad(loss, 1)(kernel, x) ** 2)
  axis = 0 if layer != 'lstm' else 1
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ('devices',))
  batch = PartitionSpec(*[None] * axis, 'devices')

  def on_both(kernel, x):
    total = lambda loss: jax.grad(lambda kernel: jax.lax.psum(loss(kernel, x), 'devices'))(kernel)
    return total(loss), total(steep)

  with conv.formulation(formulation):
    found = jax.jit(jax.shard_map(on_both, mesh=mesh, in_specs=(PartitionSpec(), batch), out_specs=PartitionSpec()))(
      kernel, x
    )
    wanted = jax.grad(loss)(kernel, x), jax.grad(steep)(kernel, x)
  for one, other in zip(found, wanted, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
