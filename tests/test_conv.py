"""Convolutions: every formulation against flax in float64, numpy, and itself inside transformations."""

import contextlib
import functools
import itertools
import os
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import few
from jax import export
from precision import float64

from gan_jax.base.errors import UserError
from gan_jax.nets import dcgan, resnet
from gan_jax.nets.layers import conv, direct_conv, gathered_conv, geometry, matmul_conv, resample, winograd

KEY = jax.random.key(0)
#: The formulations, 'matmul' by each of its ways, over the whole batch and over parts of 2 examples.
WAYS = ('plain', 'xla', 'direct', 'gathering', 'gathering in parts', 'winograd', 'winograd in parts')


@contextlib.contextmanager
def way(name):
  with pytest.MonkeyPatch.context() as patch, conv.formulation(name if name in conv.FORMULATIONS else 'matmul'):
    patch.setattr(matmul_conv, 'FEWEST_CHANNELS', 0 if 'winograd' in name else 10**9)
    patch.setattr(matmul_conv, 'FEWEST_DIRECT', 1 if name == 'direct' else 10**9)
    patch.setattr(matmul_conv, 'FEWEST_OUTPUTS', 1)
    patch.setattr(matmul_conv, 'FEWEST_PIXELS', dict.fromkeys(matmul_conv.FEWEST_PIXELS, 1))
    if 'parts' in name:
      patch.setattr(matmul_conv, '_bytes', lambda *_: (1, 2))
    yield


def drawn(seed, *shape):
  return np.random.RandomState(seed).randn(*shape).astype(np.float32)


@pytest.mark.parametrize('m, r', [(2, 2), (2, 3), (2, 4), (2, 5)])
def test_transforms_give_every_product_of_a_weight_and_an_input(m, r):
  at, g, bt = (np.array(matrix) for matrix in winograd.transforms(m, r)[::-1])
  sums = np.einsum('ok,kw,ki->owi', at, g, bt)
  np.testing.assert_allclose(
    sums, [[[i == o + w for i in range(m + r - 1)] for w in range(r)] for o in range(m)], atol=1e-15
  )


@pytest.mark.parametrize('window, tolerance', few([(3, 2e-6), (4, 2e-5), (5, 2e-5)], lambda case: case[0] == 3))
def test_tiles_of_many_channels_stay_exact(window, tolerance):
  layer = dict(kind='conv', window=(window, window), strides=(1, 1), features=64)
  params, x = layer_inputs('conv', (2, 8, 8, 64), layer['window'], 64)
  with way('winograd'):
    ours = derivatives(lambda p, x: layer_of(**layer).apply({'params': p}, x), params, x)[:2]
  close(ours, expected('conv', (2, 8, 8, 64), (window, window), (1, 1), 64)[:2], tolerance)


def test_more_points_than_there_are():
  with pytest.raises(ValueError, match=r'F\(4, 4\) takes 6 points'):
    winograd.transforms(4, 4)


def test_a_batch_with_few_outputs_is_gathered(monkeypatch):
  monkeypatch.setattr(matmul_conv, 'FEWEST_DIRECT', 10**9)
  calls = []
  gathered = gathered_conv.forward
  monkeypatch.setattr(gathered_conv, 'forward', lambda x, *rest: calls.append(len(x)) or gathered(x, *rest))
  for batch in (3, 4):  # 48 outputs and 64
    jax.eval_shape(
      lambda x, k: matmul_conv.forward.__wrapped__(x, k, (1, 1)), drawn(0, batch, 4, 4, 32), drawn(1, 3, 3, 32, 32)
    )
  assert calls == [3]


def close(ours, theirs, tolerance=1e-5):
  """The error of every leaf is within the tolerance of its largest entry."""

  def error(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-9)

  errors = jax.tree.map(error, ours, theirs)
  assert max(jax.tree.leaves(errors)) <= tolerance, errors


#: Compiling takes most of the time of these tests; LLVM need not optimise what runs once.
once = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def derivatives(function, *inputs):
  """Values, gradients, and those of the squared gradient in the last input, as in a gradient penalty."""
  loss = lambda *inputs: jnp.sum(jnp.sin(function(*inputs)))
  everything = tuple(range(len(inputs)))
  penalty = lambda *inputs: jnp.sum(jax.grad(loss, everything[-1])(*inputs) ** 2)
  return once(lambda *i: (function(*i), jax.grad(loss, everything)(*i), jax.grad(penalty, everything)(*i)))(*inputs)


def layer_of(kind, window, strides, features, ours=True):
  if kind == 'conv':
    return (conv.Conv if ours else nn.Conv)(features, window, strides)
  if ours:
    return conv.ConvTranspose(features, window, strides)
  return nn.ConvTranspose(features, window, strides, transpose_kernel=True)


def layer_inputs(kind, shape, window, features):
  channels = (shape[-1], features) if kind == 'conv' else (features, shape[-1])
  kernel = drawn(0, *window, *channels) / np.sqrt(np.prod(window) * shape[-1], dtype=np.float32)
  return {'kernel': kernel, 'bias': drawn(1, features)}, drawn(2, *shape)


@functools.cache
def expected(kind, shape, window, strides, features):
  """Flax's in float64."""
  layer = layer_of(kind, window, strides, features, ours=False)
  with float64():
    params, x = jax.tree.map(np.float64, layer_inputs(kind, shape, window, features))
    return jax.tree.map(np.asarray, derivatives(lambda p, x: layer.apply({'params': p}, x), params, x))


def ways_of(window, strides):
  tiles = all(-(-k // s) in winograd.WINDOWS for k, s in zip(window, strides, strict=True))
  return [name for name in WAYS if tiles or 'winograd' not in name]


def check_layer(name, kind, shape, window, strides, features):
  layer = layer_of(kind, window, strides, features)
  params, x = layer_inputs(kind, shape, window, features)
  with way(name):
    ours = derivatives(lambda p, x: layer.apply({'params': p}, x), params, x)
  close(ours, expected(kind, shape, window, strides, features))


#: kind, (batch, *spatial, in), window, strides, out.
GEOMETRIES = [
  ('conv', (5, 7, 3), (3,), (1,), 4),
  ('transposed', (1, 8, 4), (4,), (2,), 3),
  ('conv', (2, 9, 3), (7,), (2,), 4),
  ('transposed', (2, 9, 4), (6,), (1,), 3),
  ('conv', (5, 5, 6, 3), (3, 3), (1, 1), 6),
  ('transposed', (5, 6, 5, 6), (3, 3), (1, 1), 3),
  ('conv', (3, 7, 6, 4), (4, 5), (1, 1), 3),
  ('transposed', (3, 6, 7, 3), (4, 4), (1, 1), 4),
  ('conv', (5, 5, 6, 6), (5, 3), (1, 1), 3),  # fewer outputs than inputs: turned
  ('conv', (7, 7, 6, 3), (4, 4), (2, 2), 5),
  ('transposed', (7, 4, 3, 5), (5, 5), (2, 2), 3),
  ('conv', (2, 5, 6, 3), (2, 2), (1, 1), 4),
  ('transposed', (2, 5, 4, 3), (2, 1), (2, 2), 4),
  ('conv', (2, 5, 4, 3), (1, 1), (2, 3), 4),
  ('transposed', (3, 5, 6, 3), (3, 4), (1, 2), 4),
  ('conv', (3, 3, 4, 5, 2), (2, 3, 2), (1, 2, 1), 3),
]


def few_ways_of(kind, shape, window, strides, features):
  """Those in parts where the parts differ from the whole by rows of zeros."""
  return [n for n in ways_of(window, strides) if n in ('plain', 'xla') or ('parts' in n) == (shape[0] > 2)]


#: Of one axis and of three, of one stride and of several, turned, and transposed with and without rest.
QUICK = [GEOMETRIES[i] for i in (1, 2, 4, 8, 9, 10, 14, 15)]


@pytest.mark.parametrize(
  'name, geometry', few([(n, g) for g in GEOMETRIES for n in few_ways_of(*g)], lambda case: case[1] in QUICK)
)
def test_layers_are_flaxs(name, geometry):
  check_layer(name, *geometry)


PRODUCT = [
  *((kind, *geometry) for kind, *geometry in GEOMETRIES for kind in ('conv', 'transposed')),
  *itertools.product(
    ('conv', 'transposed'),
    [(5, 4, 5, 3), (1, 5, 7, 6)],
    [(k, k) for k in range(1, 8)],
    [(1, 1), (2, 2), (3, 2)],
    [4],
  ),
  *itertools.product(('conv', 'transposed'), [(3, 4, 5, 4, 2)], [(3, 3, 3), (4, 3, 2)], [(1, 1, 1), (2, 1, 1)], [3]),
]


@pytest.mark.slow
@pytest.mark.parametrize('name, geometry', [(n, g) for g in PRODUCT for n in ways_of(*g[2:4])])
def test_the_product_of_layers_is_flaxs(name, geometry):
  check_layer(name, *geometry)


@pytest.mark.parametrize('name', WAYS)
def test_conv_against_numpy(name):
  x, kernel = drawn(0, 5, 6, 5, 3), drawn(1, 4, 3, 3, 2)
  padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
  y = np.zeros((5, 3, 5, 2))
  for i, j in np.ndindex(3, 5):  # a window of 4 at stride 2, of 3 at stride 1
    y[:, i, j] = np.tensordot(padded[:, 2 * i : 2 * i + 4, j : j + 3], kernel, 3)
  with way(name):
    close(conv.conv(x, kernel, [2, 1]), y)
    # The adjoint: <conv x, y> = <x, transposed y>.
    back = np.asarray(conv.conv_transpose(np.pad(y, ((0, 0),) * 4).astype(np.float32), kernel, [2, 1]))
  np.testing.assert_allclose(np.vdot(back, x), np.vdot(y, y), rtol=1e-5)


@pytest.mark.parametrize('channels, few', [(8, 1), (8, 10**9), (40, 32)])
def test_small_working_sets_give_the_same(monkeypatch, channels, few):
  x, kernel = drawn(0, 3, 10, channels), drawn(1, 3, channels, channels) / 9
  monkeypatch.setattr(matmul_conv, 'FEWEST_CHANNELS', few)
  monkeypatch.setattr(matmul_conv, 'FEWEST_OUTPUTS', 1)
  answers = []
  for limit in (1 << 30, 1 << 12, 1):
    monkeypatch.setattr(matmul_conv, 'WORKING_SET', {'winograd': limit, 'gathering': limit})
    with conv.formulation('matmul'):
      answers.append(jax.jit(jax.grad(lambda x, k: jnp.sum(jnp.sin(conv.conv(x, k))), (0, 1)))(x, kernel))
  close(answers[1], answers[0])
  close(answers[2], answers[0])


def both(x, kernel):
  """A strided convolution and a transposed one, with the same kernel."""
  strides = (2, 1)[: x.ndim - 2]
  return conv.conv_transpose(conv.conv(x, kernel, strides), kernel, strides)


def small_inputs(dtype=jnp.float32, plane=False):
  shapes = ((5, 8, 3, 3), (4, 2, 3, 5)) if plane else ((5, 8, 3), (4, 3, 5))
  return jnp.asarray(drawn(0, *shapes[0]), dtype), jnp.asarray(drawn(1, *shapes[1]) / 3, dtype)


@pytest.mark.parametrize('name', WAYS)
def test_bfloat16(name):
  x, kernel = small_inputs(jnp.bfloat16)
  wide = derivatives(both, x.astype(jnp.float32), kernel.astype(jnp.float32))
  with way(name):
    ours = derivatives(both, x, kernel)
  assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(ours))
  close(ours, wide, 2e-2)


TRANSFORMATIONS = {
  'scan': lambda x, k: jax.lax.scan(lambda c, x: (c, both(x, k)), 0, jnp.stack([x, 2 * x]))[1],
  'cond': lambda x, k: jax.lax.cond(x.sum() > -1e9, both, lambda x, k: 0 * x, x, k),
  'checkpoint': lambda x, k: jax.checkpoint(both)(x, k),
  'vmap of x': lambda x, k: jax.vmap(both, (0, None))(jnp.stack([x, 2 * x]), k),
  'vmap of kernels': lambda x, k: jax.vmap(both, (None, 0))(x, jnp.stack([k, 2 * k])),
  'vmap of both': lambda x, k: jax.vmap(both)(jnp.stack([x, 2 * x]), jnp.stack([k, 2 * k])),
}
OUTSIDE = {
  'scan': lambda x, k: jnp.stack([both(x, k), both(2 * x, k)]),
  'cond': both,
  'checkpoint': both,
  'vmap of x': lambda x, k: jnp.stack([both(x, k), both(2 * x, k)]),
  'vmap of kernels': lambda x, k: jnp.stack([both(x, k), both(x, 2 * k)]),
  'vmap of both': lambda x, k: jnp.stack([both(x, k), both(2 * x, 2 * k)]),
}


@functools.cache
def outside(transformation, plane):
  with conv.formulation('plain'):
    return derivatives(OUTSIDE[transformation], *small_inputs(plane=plane))


@pytest.mark.parametrize('name', ['xla', 'direct', 'gathering in parts', 'winograd in parts'])
@pytest.mark.parametrize(
  'transformation', few(TRANSFORMATIONS, lambda name: name in ('scan', 'vmap of both', 'checkpoint'))
)
def test_transformations_change_nothing(transformation, name):
  plane = name == 'direct'  # of one axis nothing is
  with way(name):
    ours = derivatives(TRANSFORMATIONS[transformation], *small_inputs(plane=plane))
  close(ours, outside(transformation, plane))


def test_direct_ones_are_of_eight_channels_and_many_outputs():
  of = lambda which, shape, *channels: matmul_conv._is_direct(which, geometry.Geometry(*shape), *channels)
  direct = functools.partial(of, 'forward')
  large, small = (2, (8, 8), (3, 3), (1, 1)), (2, (8, 8), (3, 3), (2, 2))  # 128 outputs, 32
  assert direct(large, 8, 8) and not direct(large, 7, 8) and not direct(large, 8, 7) and not direct(large, 32, 32)
  assert not direct(small, 8, 8) and not direct((2, (128,), (3,), (1,)), 8, 8)
  # Outputs of 2x2 never are, and the adjoint in x from 12 pixels a side on.
  tiny, wide = (512, (4, 4), (5, 5), (2, 2)), (8, (24, 24), (5, 5), (2, 2))
  assert not direct(tiny, 16, 32) and of('kernel_adjoint', tiny, 16, 32)
  assert not of('input_adjoint', (8, (22, 22), (5, 5), (2, 2)), 16, 32) and of('input_adjoint', wide, 16, 32)
  # Strided: winograd from 64 channels on where windows are whole blocks, else from 128.
  whole, filled = (8, (16, 16), (4, 4), (2, 2)), (8, (16, 16), (3, 3), (2, 2))
  assert (
    direct(whole, 16, 63) and not direct(whole, 16, 64) and direct(filled, 127, 128) and not direct(filled, 128, 128)
  )


def test_the_gradient_of_a_1x1_convolution_is_of_rows():
  x, kernel = drawn(0, 2, 3, 4, 5), drawn(1, 1, 1, 5, 6)
  with conv.formulation('matmul'):
    traced = jax.make_jaxpr(jax.grad(lambda x, kernel: jnp.sum(conv.conv(x, kernel) ** 2), (0, 1)))(x, kernel)
  products = [eqn for eqn in traced.eqns if eqn.primitive.name == 'dot_general']
  assert len(products) == 3 and all(v.aval.ndim == 2 for eqn in products for v in eqn.invars)


def test_direct_convolutions_of_several_kernels_are_products():
  x, kernel = (jnp.stack([array, 2 * array, -array]) for array in small_inputs(plane=True))
  with way('direct'):
    text = jax.jit(jax.vmap(both)).lower(x, kernel).as_text()
    assert 'stablehlo.convolution' not in text  # as many lines as one: players and members are compiled once
    close(jax.vmap(both)(x, kernel), jnp.stack([both(*pair) for pair in zip(x, kernel, strict=True)]))


def test_direct_convolutions_have_their_axes_in_order():
  x, kernel = small_inputs(plane=True)
  with way('direct'):
    text = jax.jit(jax.grad(lambda x, kernel: jnp.sum(both(x, kernel) ** 2), (0, 1))).lower(x, kernel).as_text()
  convolutions = [line for line in text.splitlines() if 'stablehlo.convolution' in line]
  assert len(convolutions) >= 5
  ordered = '[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]', 'lhs_dilate = [1, 1]', 'reverse = [false, false]'
  assert all(part in line for line in convolutions for part in ordered)


@pytest.mark.parametrize('name', ['xla', 'gathering in parts', 'winograd'])
def test_remat_jit_and_repetition_change_nothing(name):
  x = drawn(0, 5, 6, 3)
  layer = conv.Conv(4, (3,))
  params = layer.init(KEY, x)
  loss = lambda layer: lambda params, x: jnp.sum(jnp.sin(layer.apply(params, x)))
  with way(name):
    eager = jax.grad(loss(layer), (0, 1))(params, x)
    jitted = jax.jit(jax.grad(loss(layer), (0, 1)))
    close(jitted(params, x), eager)
    jax.tree.map(np.testing.assert_array_equal, jitted(params, x), jitted(params, x))
    close(jax.jit(jax.grad(loss(nn.remat(conv.Conv)(4, (3,))), (0, 1)))(params, x), eager)


def test_each_formulation_lowers_to_its_own():
  x, kernel = small_inputs()
  texts = {}
  for name in conv.FORMULATIONS:
    with conv.formulation(name):
      loss = lambda x, kernel: jnp.sum(both(x, kernel) ** 2)
      texts[name] = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text()
      if name != 'plain':
        with pytest.raises(TypeError, match='custom_vjp'):
          jax.jvp(lambda x: both(x, kernel), (x,), (x,))
  assert 'stablehlo.convolution' in texts['plain'] and 'stablehlo.convolution' in texts['xla']
  assert 'stablehlo.convolution' not in texts['matmul']
  with pytest.raises(UserError, match='choose one of matmul, plain, xla'), conv.formulation('fft'):
    pass


def test_plain_has_forward_mode_and_exports_with_a_free_batch():
  x, kernel = small_inputs()
  function = lambda x: both(x, kernel)
  with conv.formulation('plain'):
    y, tangent = jax.jvp(function, (x,), (2 * x,))
    close(tangent, 2 * y)
    (batch,) = export.symbolic_shape('batch')
    exported = export.export(jax.jit(function))(jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype))
  for n in (1, 4):
    close(exported.call(x[:n]), y[:n])


def resampling_inputs(window):
  return drawn(0, 3, *(4, 6, 2)[: len(window)], 3), drawn(1, *window, 3, 4) / 5


@functools.cache
def resampled(window):
  """Value and derivatives of upsample-then-conv and conv-then-mean."""
  same = lambda x, k: nn.Conv(4, window, use_bias=False).apply({'params': {'kernel': k}}, x)

  def upsampled(x, kernel):
    for axis in range(1, x.ndim - 1):
      x = x.repeat(2, axis)
    return same(x, kernel)

  def downsampled(x, kernel):
    y = same(x, kernel)
    for axis in range(1, x.ndim - 1):
      y = y.reshape(*y.shape[:axis], -1, 2, *y.shape[axis + 1 :]).mean(axis + 1)
    return y

  if len(window) == 2:
    upsampled = lambda x, kernel: same(resample.upsample(x), kernel)
    downsampled = lambda x, kernel: resample.downsample(same(x, kernel))
  return [derivatives(f, *resampling_inputs(window)) for f in (upsampled, downsampled)]


@pytest.mark.parametrize(
  'window, name',
  few(
    [
      *itertools.product([(3,)], WAYS),
      ((1,), 'winograd in parts'),
      ((5,), 'gathering'),
      ((1, 1), 'gathering'),
      ((3, 3), 'winograd'),
      ((5, 3), 'xla'),
      ((3, 1, 3), 'gathering'),
    ],
    lambda case: case[0] == (3,),
  ),
)
def test_resampling_in_one_with_the_convolution(window, name):
  with way(name):
    ours = [derivatives(f, *resampling_inputs(window)) for f in (conv.conv_upsampled, conv.conv_downsampled)]
  close(ours, resampled(window))


def test_errors_name_what_does_not_fit():
  x, kernel = jnp.ones((1, 4, 6, 3)), jnp.ones((3, 3, 3, 4))
  for function in (conv.conv_upsampled, conv.conv_downsampled):
    with pytest.raises(ValueError, match='make its sizes odd'):
      function(x, jnp.ones((3, 2, 3, 4)))
  with pytest.raises(ValueError, match='sizes must be even'):
    conv.conv_downsampled(x[:, :3], kernel)
  for function in (conv.conv, conv.conv_transpose):
    with pytest.raises(TypeError, match='make both the same type'):
      function(x.astype(jnp.bfloat16), kernel, (1, 1))
    with pytest.raises(ValueError, match='ranks differ'):
      function(x[0], kernel[:1, :1], (1, 1))
    with pytest.raises(ValueError, match='ranks differ'):
      function(x, kernel, (1,))
  with pytest.raises(TypeError, match='uint8'):
    conv.Conv(4, (3, 3)).init(KEY, x.astype(jnp.uint8))


@pytest.mark.parametrize('name', WAYS)
def test_a_batch_of_none(name):
  x, kernel = jnp.zeros((0, 8, 3)), jnp.ones((4, 3, 5))
  with way(name):
    y, back = jax.vjp(both, x, kernel)
    assert y.shape == x.shape
    jax.tree.map(np.testing.assert_array_equal, back(y), (x, 0 * kernel))


@pytest.mark.parametrize('name', ['xla', 'gathering in parts', 'winograd'])
def test_batches_over_several_devices_give_the_same(name):
  x, kernel = jnp.asarray(drawn(0, 16, 8, 3)), jnp.asarray(drawn(1, 4, 3, 5) / 3)
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ('data',))
  place = lambda x, *axes: jax.device_put(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)))
  with way(name):
    close(derivatives(both, place(x, 'data'), place(kernel)), derivatives(both, x, kernel))


def test_the_default_is_matmul_on_one_cpu_device():
  assert jax.device_count() == 8 and conv.chosen() == 'xla'
  environment = {k: v for k, v in os.environ.items() if k not in ('XLA_FLAGS', 'JAX_NUM_CPU_DEVICES')}
  code = 'from gan_jax.nets.layers import conv; print(conv.chosen())'
  out = subprocess.run([sys.executable, '-c', code], env=environment, check=True, capture_output=True, text=True)
  assert out.stdout.strip() == 'matmul'


NORM = lambda name: lambda x, *, train: jnp.tanh(x)


def composed(params, x):
  """The blocks below from flax's convolutions on the same kernels."""

  def convolve(name, x):
    kernel, bias = params[name]['weights']['kernel'], params[name]['bias']
    return nn.Conv(bias.size, kernel.shape[:2]).apply({'params': {'kernel': kernel, 'bias': bias}}, x)

  act = lambda x: nn.relu(NORM('')(x, train=True))

  def generator(x):
    y = convolve('conv_2', act(convolve('conv_1', resample.upsample(act(x)))))
    return convolve('shortcut', resample.upsample(x)) + y

  def discriminator(x):
    y = resample.downsample(convolve('conv_2', nn.relu(convolve('conv_1', nn.relu(x)))))
    return resample.downsample(convolve('shortcut', x)) + y

  def first(x):
    y = resample.downsample(convolve('conv_2', nn.relu(convolve('conv_1', x))))
    return convolve('shortcut', resample.downsample(x)) + y

  def deep_generator(x):
    y = convolve('conv_2', resample.upsample(act(convolve('conv_1', act(x)))))
    return resample.upsample(x[..., :6]) + convolve('conv_4', act(convolve('conv_3', act(y))))

  def deep_discriminator(x):
    y = convolve('conv_3', nn.relu(convolve('conv_2', nn.relu(convolve('conv_1', nn.relu(x))))))
    y, x = convolve('conv_4', resample.downsample(nn.relu(y))), resample.downsample(x)
    return jnp.concatenate([x, convolve('shortcut', x)], -1) + y

  return dict(zip(BLOCKS, (generator, discriminator, first, deep_generator, deep_discriminator), strict=True))


BLOCKS = {
  'generator': resnet.GeneratorBlock(5, NORM),
  'discriminator': resnet.DiscriminatorBlock(5, kind='plain'),
  'first': resnet.DiscriminatorBlock(5, first=True, kind='plain'),
  'deep generator': resnet.DeepGeneratorBlock(6, NORM, up=True, kind='plain', ratio=2),
  'deep discriminator': resnet.DeepDiscriminatorBlock(12, kind='plain', ratio=2),
}


def gradients(function, *inputs):
  loss = lambda *inputs: jnp.sum(jnp.sin(function(*inputs)))
  return once(jax.value_and_grad(loss, tuple(range(len(inputs)))))(*inputs)


@pytest.mark.parametrize('block', BLOCKS)
def test_residual_blocks_are_their_compositions(block):
  x = drawn(0, 3, 4, 4, 8)
  params = once(functools.partial(BLOCKS[block].init, train=True))(KEY, x)['params']
  theirs = gradients(lambda params, x: composed(params, x)[block](x), params, x)
  for name in ('xla', 'gathering'):
    with way(name):
      close(gradients(lambda params, x: BLOCKS[block].apply({'params': params}, x, train=True), params, x), theirs)


def test_networks_have_the_gradients_of_xla():
  generator = dcgan.Generator((16, 8), 3, kernel=4, base=2)
  discriminator = dcgan.Discriminator((8, 16), kernel=4)
  z = drawn(0, 5, 6)

  @once
  def initial(z):
    images, params = generator.init_with_output(KEY, z, train=True)
    return {'generator': params, 'discriminator': discriminator.init(KEY, images, train=True)}

  def logits(players, z):
    images, _ = generator.apply(players['generator'], z, train=True, mutable=['batch_stats'])
    return discriminator.apply(players['discriminator'], images, train=True, mutable=['batch_stats'])[0]

  players, answers = initial(z), {}
  for name in ('xla', 'gathering in parts', 'winograd'):
    with way(name):
      answers[name] = gradients(logits, players, z)
  close(answers['gathering in parts'], answers['xla'])
  close(answers['winograd'], answers['xla'])


#: shape, window, strides, padding as ours and as flax's.
BORDERS = [
  ((3, 8, 3), (3,), (1,), 'VALID'),
  ((2, 7, 6, 3), (4, 3), (2, 1), 'VALID'),
  ((3, 6, 5, 6), (3, 3), (1, 1), 'REFLECT'),  # fewer outputs than inputs: turned
  ((2, 7, 3), (4,), (2,), 'REFLECT'),
  ((2, 5, 6, 3), (3, 3), (1, 1), 'CIRCULAR'),
  ((3, 6, 6, 3), (3, 3), (2, 2), (1, 1)),
  ((2, 5, 6, 6), (3, 2), (1, 1), ((0, 3), (2, 0))),  # more zeros than a window less one
  ((2, 4, 5, 4, 2), (3, 2, 3), (1, 2, 1), 'VALID'),
  ((1, 3, 4, 5, 2), (3, 3, 3), (1, 1, 1), 'REFLECT'),
]


@functools.cache
def bordered(shape, window, strides, padding):
  with float64():
    params, x = jax.tree.map(np.float64, layer_inputs('conv', shape, window, 4))
    layer = nn.Conv(4, window, strides, padding=padding)
    return jax.tree.map(np.asarray, derivatives(lambda p, x: layer.apply({'params': p}, x), params, x))


@pytest.mark.parametrize(
  'name, geometry',
  # What winograd shares with the other ways is the borders' sizes, which two geometries show.
  few(
    [
      (n, g)
      for i, g in enumerate(BORDERS)
      for n in few_ways_of('conv', g[0], g[1], g[2], 4)
      if n != 'plain' and (i in (0, 5) or 'winograd' not in n)
    ],
    lambda case: case[1][3] in ('VALID', 'REFLECT', (1, 1)) and len(case[1][1]) < 3,
  ),
)
def test_borders_are_flaxs(name, geometry):
  shape, window, strides, padding = geometry
  layer = conv.Conv(4, window, strides, padding=padding)
  params, x = layer_inputs('conv', shape, window, 4)
  with way(name):
    ours = derivatives(lambda p, x: layer.apply({'params': p}, x), params, x)
  close(ours, bordered(*geometry))


@pytest.mark.parametrize('name', WAYS)
def test_transposed_convolutions_with_borders(name):
  x, kernel = drawn(0, 3, 4, 5), drawn(1, 3, 2, 5)
  # PyTorch's ConvTranspose1d(5, 2, 3, stride=2, padding=1, output_padding=1): entry 2 i - 1 + k gets x[i] W[k].
  expected = np.zeros((3, 8, 2))
  for i, k in np.ndindex(4, 3):
    if 0 <= 2 * i - 1 + k < 8:
      expected[:, 2 * i - 1 + k] += x[:, i].astype(np.float64) @ kernel[k].T
  with way(name):
    close(conv.conv_transpose(x, kernel, (2,), [1]), expected)
    with float64():
      valid = nn.ConvTranspose(2, (3,), (2,), 'VALID', transpose_kernel=True, use_bias=False)
      theirs = np.asarray(valid.apply({'params': {'kernel': np.float64(kernel)}}, np.float64(x)))
    close(conv.conv_transpose(x, kernel, (2,), 'VALID'), theirs)


def test_an_edge_repeats_its_pixel_and_borders_that_do_not_fit_say_so():
  x, kernel = jnp.array([1.0, 2.0, 4.0]).reshape(1, 3, 1), jnp.ones((3, 1, 1))
  assert conv.conv(x, kernel, padding='EDGE').ravel().tolist() == [4, 7, 10]
  with pytest.raises(UserError, match='choose one of CIRCULAR, EDGE, REFLECT, SAME, VALID'):
    conv.conv(x, kernel, padding='MIRROR')
  for padding in ([1, 1], [(1, -1)], [(1, 1, 1)]):
    with pytest.raises(ValueError, match='over 1 axes'):
      conv.conv(x, kernel, padding=padding)
  with pytest.raises(ValueError, match='no window fits'):
    conv.conv(x, jnp.ones((4, 1, 1)), padding='VALID')
  with pytest.raises(ValueError, match='has no adjoint here'):
    conv.conv_transpose(x, kernel, (2,), 'REFLECT')
  with pytest.raises(ValueError, match='choose before'):
    conv.conv_transpose(x, kernel, (2,), [3])


def test_each_way_is_taken(monkeypatch):
  x, kernel = drawn(0, 2, 6, 6, 3), drawn(1, 3, 3, 3, 4)
  for name in WAYS:  # what was traced before for these sizes must not be taken again
    with way(name):
      conv.conv(x, kernel)

  def taken(*_):
    raise InterruptedError

  takers = (winograd, 'forward', WAYS[5:]), (gathered_conv, 'forward', WAYS[3:5]), (direct_conv, 'forward', WAYS[2:3])
  for module, function, names in takers:
    jax.clear_caches()
    monkeypatch.setattr(module, function, taken)
    for name in WAYS:
      with way(name), pytest.raises(InterruptedError) if name in names else contextlib.nullcontext():
        conv.conv(x, kernel)
    monkeypatch.undo()


def test_convolutions_of_one_size_are_written_out_once():
  x, kernel = jnp.zeros((2, 16, 16, 32)), jnp.zeros((3, 3, 32, 32))

  def lines(count):
    def through(kernel, x):
      with conv.formulation('matmul'):
        for _ in range(count):
          x = conv.conv(x, kernel)
      return x.sum()

    return len(jax.jit(jax.grad(through)).lower(kernel, x).as_text().splitlines())

  assert lines(8) < 1.5 * lines(2)
