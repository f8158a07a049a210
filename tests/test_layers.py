"""Layers against numpy, and networks made of them."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from gan_jax.base.errors import UserError
from gan_jax.games.parts import pool
from gan_jax.nets import mlp, resnet
from gan_jax.nets.layers import attention, minibatch, norms, recurrent, resample, text, weights
from gan_jax.nets.layers import basic as layers
from gan_jax.nets.layers.resample import resize

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 4, 4, 8))


def made(layer, *inputs, **settings):
  return layer.init({'params': KEY, 'noise': KEY}, *inputs, **settings)


def sigma_of(kernel, axis=-1):
  matrix = np.moveaxis(np.asarray(kernel, np.float64), axis, -1)
  return np.linalg.svd(matrix.reshape(-1, matrix.shape[-1]), compute_uv=False)[0]


def test_a_running_average_of_spectral_vectors_divides_by_the_same_value():
  """Averages of unit vectors are shorter than 1: a sample of running averages is not for that of larger weights."""
  layer, x = weights.Dense(4, 'spectral'), jnp.ones((2, 3))
  variables = layer.init(jax.random.key(0), x, train=True)
  shorter = {**variables, 'spectral': jax.tree.map(lambda u: 0.2 * u, variables['spectral'])}
  np.testing.assert_allclose(layer.apply(shorter, x, train=False), layer.apply(variables, x, train=False), rtol=1e-5)


def test_power_iteration_reaches_the_singular_value():
  matrix = np.random.RandomState(0).randn(20, 12)
  value, u = weights.power_iteration(jnp.asarray(matrix), jnp.ones(12), steps=100)
  expected = np.linalg.svd(matrix)
  np.testing.assert_allclose(value, expected[1][0], rtol=1e-5)
  np.testing.assert_allclose(abs(np.asarray(u) @ expected[2][0]), 1.0, rtol=1e-5)
  # d sigma / d W = v u^T (appendix A of the paper): the vectors carry no gradient.
  np.testing.assert_allclose(weights.power_iteration(jnp.asarray(matrix), 0.3 * u, steps=0)[0], value, rtol=1e-6)
  gradient = jax.grad(lambda m: weights.power_iteration(m, u, steps=0)[0])(jnp.asarray(matrix))
  np.testing.assert_allclose(gradient, np.outer(matrix @ np.asarray(u) / expected[1][0], u), atol=1e-4)


LAYERS = {
  'dense': (weights.Dense(5), (weights.Dense, (5,), {}), -1),
  'conv': (nn.Conv(5, (3, 3), (2, 2)), (weights.Conv, (5, (3, 3), (2, 2)), {}), -1),
  'conv of 1': (nn.Conv(5, (1, 1)), (weights.Conv, (5, (1, 1)), {}), -1),
  'transposed': (
    nn.ConvTranspose(5, (4, 4), (2, 2), transpose_kernel=True),
    (weights.ConvTranspose, (5, (4, 4), (2, 2)), {}),
    -2,
  ),
}


@pytest.mark.parametrize('name', ['conv', 'conv of 1', 'transposed'])
def test_plain_weights_are_flaxs_layers(name):
  theirs, (ours, arguments, _), _ = LAYERS[name]
  variables = made(ours(*arguments), X, train=True)['params']
  flat = {'kernel': variables['weights']['kernel'], 'bias': variables['bias'] + 0.5}
  shifted = {**variables, 'bias': flat['bias']}
  np.testing.assert_allclose(
    ours(*arguments).apply({'params': shifted}, X, train=True), theirs.apply({'params': flat}, X), rtol=1e-5, atol=1e-5
  )


@pytest.mark.parametrize('name', list(LAYERS))
def test_spectral_weights(name):
  _, (ours, arguments, settings), axis = LAYERS[name]
  layer = ours(*arguments, kind='spectral', use_bias=False, **settings)
  variables = made(layer, X, train=True)
  kernel = variables['params']['weights']['kernel']
  for _ in range(60):
    y, written = layer.apply(variables, X, train=True, mutable=['spectral'])
    variables = {**variables, **written}
  plain = ours(*arguments, use_bias=False).apply({'params': variables['params']}, X, train=True)
  np.testing.assert_allclose(y, plain / sigma_of(kernel, axis), rtol=1e-3, atol=1e-4)
  # None in evaluation: the same in every call, and nothing is written.
  again, written = layer.apply(variables, X, train=False, mutable=['spectral'])
  np.testing.assert_allclose(again, y, rtol=1e-3, atol=1e-4)
  np.testing.assert_array_equal(written['spectral']['weights']['u'], variables['spectral']['weights']['u'])
  np.testing.assert_array_equal(variables['params']['weights']['kernel'], kernel)  # the raw kernel stays as it was


def test_spectral_normalisation_keeps_the_initial_kernel_as_it_is():
  layer = weights.Dense(5, 'spectral', kernel_init=nn.initializers.normal(7.0))
  kernel = made(layer, X, train=True)['params']['weights']['kernel']
  assert kernel.std() > 5


def test_weight_norm_starts_as_the_plain_layer_and_its_gain_scales():
  layer = weights.Dense(5, 'weight')
  variables = made(layer, X, train=True)
  plain = X @ variables['params']['weights']['kernel']
  np.testing.assert_allclose(layer.apply(variables, X, train=True), plain, rtol=1e-5, atol=1e-5)
  twice = jax.tree.map(lambda x: x, variables)
  twice['params']['weights']['gain'] = 2 * variables['params']['weights']['gain']
  np.testing.assert_allclose(layer.apply(twice, X, train=True), 2 * plain, rtol=1e-5, atol=1e-5)
  scaled = jax.tree.map(lambda x: x, variables)
  scaled['params']['weights']['kernel'] = 3 * variables['params']['weights']['kernel']
  np.testing.assert_allclose(layer.apply(scaled, X, train=True), plain, rtol=1e-5, atol=1e-5)


def test_equalised_weights():
  layer = weights.Conv(64, (3, 3), kind='equalised')
  kernel = made(layer, X, train=True)['params']['weights']['kernel']
  assert abs(float(kernel.std()) - 1) < 0.05
  plain = nn.Conv(64, (3, 3), use_bias=False).apply({'params': {'kernel': kernel * np.sqrt(2 / (9 * 8))}}, X)
  np.testing.assert_allclose(
    layer.apply({'params': {'weights': {'kernel': kernel}, 'bias': jnp.zeros(64)}}, X, train=True),
    plain,
    rtol=1e-4,
    atol=1e-4,
  )
  with pytest.raises(UserError, match='unknown kind of weights'):
    made(weights.Dense(3, 'orthogonal'), X, train=True)


def normalised(x, axes):
  x = np.asarray(x, np.float64)
  return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def test_conditional_batch_norms():
  label = jnp.array([0, 1, 2, 0, 1, 2])
  layer = norms.ClassBatchNorm(3)
  variables = made(layer, X, label, train=True)
  gain, bias = np.random.RandomState(0).randn(2, 3, 8)
  variables['params']['gain']['weights']['kernel'], variables['params']['bias']['weights']['kernel'] = gain, bias
  y, _ = layer.apply(variables, X, label, train=True, mutable=['batch_stats'])
  expected = normalised(X, (0, 1, 2)) * gain[label][:, None, None] + bias[label][:, None, None]
  np.testing.assert_allclose(y, expected, atol=1e-4)

  vector = jax.random.normal(KEY, (6, 5))
  layer = norms.VectorBatchNorm()
  variables = made(layer, X, vector, train=True)
  y, _ = layer.apply(variables, X, vector, train=True, mutable=['batch_stats'])
  gain, bias = (np.asarray(vector) @ np.asarray(variables['params'][n]['weights']['kernel']) for n in ('gain', 'bias'))
  np.testing.assert_allclose(y, normalised(X, (0, 1, 2)) * (1 + gain[:, None, None]) + bias[:, None, None], atol=1e-4)
  modulated = norms.VectorBatchNorm('spectral', hidden=7)
  assert 'hidden' in made(modulated, X, vector, train=True)['params']


def test_ghost_batches_are_normalised_apart():
  layer = norms.GhostBatchNorm(3)
  variables = made(layer, X, train=True)
  y, written = layer.apply(variables, X, train=True, mutable=['batch_stats'])
  groups = np.asarray(X).reshape(2, 3, 4, 4, 8)
  np.testing.assert_allclose(y, normalised(groups, (1, 2, 3)).reshape(X.shape), atol=1e-4)
  np.testing.assert_allclose(written['batch_stats']['mean'], 0.1 * groups.mean((1, 2, 3)).mean(0), atol=1e-6)
  evaluated = layer.apply({**variables, **written}, X, train=False)
  stats = jax.tree.map(np.asarray, written['batch_stats'])
  np.testing.assert_allclose(evaluated, (np.asarray(X) - stats['mean']) / np.sqrt(stats['var'] + 1e-5), atol=1e-4)
  with pytest.raises(ValueError, match='group=4 does not divide'):
    made(norms.GhostBatchNorm(4), X, train=True)


def test_virtual_batch_norm_sees_the_reference_and_the_example_alone():
  layer = norms.VirtualBatchNorm()
  reference = 2 * jax.random.normal(KEY, (5, 4, 4, 8)) + 1
  variables = made(layer, X, reference)
  y, normal = layer.apply(variables, X, reference)
  np.testing.assert_allclose(normal, normalised(reference, (0, 1, 2)), atol=1e-4)
  one, _ = layer.apply(variables, X[2:3], reference)
  np.testing.assert_allclose(one[0], y[2], atol=1e-5)
  joined = np.concatenate([reference, X[2:3]])
  expected = (np.asarray(X[2]) - joined.mean((0, 1, 2))) / np.sqrt(joined.var((0, 1, 2)) + 1e-5)
  np.testing.assert_allclose(y[2], expected, atol=1e-4)


def test_minibatch_discrimination_counts_neighbours():
  layer = minibatch.MinibatchDiscrimination(4, 3)
  x = jax.random.normal(KEY, (5, 6))
  variables = made(layer, x)
  y = layer.apply(variables, x)
  projected = (np.asarray(x) @ np.asarray(variables['params']['project']['weights']['kernel'])).reshape(5, 4, 3)
  expected = np.array(
    [[sum(np.exp(-abs(projected[i, b] - projected[j, b]).sum()) for j in range(5)) for b in range(4)] for i in range(5)]
  )
  np.testing.assert_allclose(y, np.concatenate([x, expected], 1), rtol=1e-5)
  same = layer.apply(variables, jnp.tile(x[:1], (5, 1)))
  np.testing.assert_allclose(same[:, 6:], 5.0, rtol=1e-6)


@pytest.mark.parametrize('units', [32, 8192])
def test_minibatch_discrimination_starts_alive_at_any_width(units):
  layer, x = minibatch.MinibatchDiscrimination(8), jax.random.normal(KEY, (64, units))
  others = layer.apply(made(layer, x), x)[:, units:] - 1  # without the example itself
  assert 0.1 < others.mean() < 10


def test_minibatch_deviation():
  x = jnp.arange(8.0).reshape(8, 1, 1, 1)
  y = minibatch.minibatch_stddev(x, group=4)
  # examples 0, 2, 4, 6 and 1, 3, 5, 7
  np.testing.assert_allclose(y[:, 0, 0, 1], np.std([0, 2, 4, 6]), rtol=1e-5)
  spread = minibatch.minibatch_stddev(jnp.array([0.0, 1.0, 0.0, 9.0]).reshape(4, 1, 1, 1), group=2)
  np.testing.assert_allclose(spread[:, 0, 0, 1], [1e-4, 4.0, 1e-4, 4.0], rtol=1e-4)
  with pytest.raises(ValueError, match='does not divide'):
    minibatch.minibatch_stddev(x, group=3)


def test_attention_starts_as_the_identity_and_mixes_by_similarity():
  layer = attention.SelfAttention('plain')
  variables = made(layer, X, train=True)
  np.testing.assert_array_equal(layer.apply(variables, X, train=True), X)
  variables['params']['gamma'] = jnp.float32(1.0)
  parts = {
    name: np.asarray(variables['params'][name]['weights']['kernel'], np.float64)[0, 0]
    for name in ('theta', 'phi', 'g', 'o')
  }
  x = np.asarray(X, np.float64)
  pooled = lambda y: y.reshape(6, 2, 2, 2, 2, -1).max((2, 4)).reshape(6, 4, -1)
  query, key, value = (x @ parts['theta']).reshape(6, 16, -1), pooled(x @ parts['phi']), pooled(x @ parts['g'])
  scores = np.exp(query @ key.transpose(0, 2, 1))
  seen = (scores / scores.sum(-1, keepdims=True)) @ value
  expected = x + seen.reshape(6, 4, 4, -1) @ parts['o']
  np.testing.assert_allclose(layer.apply(variables, X, train=True), expected, rtol=1e-4, atol=1e-4)


def test_resampling():
  np.testing.assert_array_equal(resample.downsample(resample.upsample(X)), X)
  np.testing.assert_allclose(resample.downsample(X), np.asarray(X).reshape(6, 2, 2, 2, 2, 8).mean((2, 4)), rtol=1e-5)
  with pytest.raises(ValueError, match='even'):
    resample.downsample(X[:, :3])


def test_residual_blocks():
  norm = lambda name: layers.BatchNorm(name=name)
  for block, shape in (
    (resnet.GeneratorBlock(5, norm), (6, 8, 8, 5)),
    (resnet.GeneratorBlock(8, norm, up=False), X.shape),
    (resnet.DiscriminatorBlock(5), (6, 2, 2, 5)),
    (resnet.DiscriminatorBlock(5, first=True), (6, 2, 2, 5)),
    (resnet.DiscriminatorBlock(8, down=False), X.shape),
    (resnet.DeepGeneratorBlock(4, norm, up=True), (6, 8, 8, 4)),
    (resnet.DeepDiscriminatorBlock(16), (6, 2, 2, 16)),
  ):
    y, variables = jax.eval_shape(functools.partial(block.init_with_output, train=True), {'params': KEY}, X)
    assert y.shape == shape
    assert ('shortcut' in variables['params']) == (shape[-1] != 8 and not isinstance(block, resnet.DeepGeneratorBlock))
  vector = jax.random.normal(KEY, (6, 3))
  conditional = resnet.GeneratorBlock(5, lambda name: norms.VectorBatchNorm('spectral', name=name), kind='spectral')
  y, variables = jax.eval_shape(functools.partial(conditional.init_with_output, train=True), {'params': KEY}, X, vector)
  assert y.shape == (6, 8, 8, 5) and set(variables) == {'params', 'batch_stats', 'spectral'}
  with pytest.raises(ValueError, match='exceeds'):
    made(resnet.DeepGeneratorBlock(9, norm), X, train=True)


def test_gaussian_noise_in_training_only():
  layer = layers.GaussianNoise(0.5)
  x = jnp.zeros((50, 50))
  np.testing.assert_array_equal(layer.apply({}, x, train=False), x)
  noisy = layer.apply({}, x, train=True, rngs={'noise': KEY})
  assert abs(float(noisy.std()) - 0.5) < 0.02
  assert not jnp.any(layer.apply({}, x, train=True, stddev=0.0, rngs={'noise': KEY}))
  halves = layer.apply({}, x.astype(jnp.bfloat16), train=True, stddev=jnp.float32(0.5), rngs={'noise': KEY})
  assert halves.dtype == jnp.bfloat16


def test_pixel_norm():
  y = norms.pixel_norm(X)
  np.testing.assert_allclose((np.asarray(y) ** 2).mean(-1), 1.0, rtol=1e-5)


def test_instance_norm_is_each_examples_own():
  layer = norms.InstanceNorm()
  y = layer.apply({}, X + 100)
  np.testing.assert_allclose(y, normalised(X, (1, 2)), atol=1e-4)
  np.testing.assert_allclose(layer.apply({}, X[2:3] + 100, train=True)[0], y[2], atol=1e-6)
  affine = norms.InstanceNorm(affine=True)
  gain, bias = np.random.RandomState(0).randn(2, 8)
  y = affine.apply({'params': {'scale': gain, 'bias': bias}}, X)
  np.testing.assert_allclose(y, normalised(X, (1, 2)) * gain + bias, atol=1e-4)
  sequences = X.reshape(6, 16, 8)
  np.testing.assert_allclose(layer.apply({}, sequences), normalised(sequences, 1), atol=1e-4)
  with pytest.raises(UserError, match='only one value per channel'):
    layer.apply({}, X[:, :1, :1])


def test_packs_put_examples_side_by_side():
  y = minibatch.packed(X, 3)
  assert y.shape == (2, 4, 4, 24)
  np.testing.assert_array_equal(y[1, 2, 3], np.concatenate([X[3, 2, 3], X[4, 2, 3], X[5, 2, 3]]))
  network = minibatch.Packed(mlp.Discriminator((4,)), 2)
  points = jax.random.normal(KEY, (6, 2))
  logits, variables = network.init_with_output({'params': KEY}, points, train=True)
  alone = mlp.Discriminator((4,)).apply({'params': variables['params']['network']}, points.reshape(3, 4), train=True)
  np.testing.assert_allclose(logits, alone, rtol=1e-6)
  for count in (0, 4):
    with pytest.raises(UserError, match='do not divide the batch of 6'):
      minibatch.packed(X, count)


@pytest.mark.parametrize('method', ['nearest', 'linear', 'cubic'])
def test_resize_is_jax_images(method):
  for shape, sizes in (
    ((2, 7, 5, 3), (16, 12)),
    ((2, 9, 8, 1), (4, 3)),
    ((3, 6, 2), (9,)),
    ((1, 4, 6, 5, 2), (6, 3, 5)),
  ):
    x = jax.random.normal(KEY, shape)
    for antialias in (True, False) if method != 'nearest' else (True,):
      ours = resample.resize(x, sizes, method=method, antialias=antialias)
      theirs = jax.image.resize(x, (shape[0], *sizes, shape[-1]), method, antialias)
      np.testing.assert_allclose(ours, theirs, atol=1e-5)
  if jax.__version_info__ >= (0, 8):  # before, jaxlib has no product of bfloat16 with sums in float32 on a CPU
    assert resample.resize(X.astype(jnp.bfloat16), (3, 3), method=method).dtype == jnp.bfloat16
  with pytest.raises(UserError, match='a size of at least 1 per spatial axis'):
    resample.resize(X, (3,), method=method)
  with pytest.raises(UserError, match='choose one of cubic, linear, nearest'):
    resample.resize(X, (3, 3), method='lanczos')


def test_resize_exports_with_a_free_batch():
  (batch,) = export.symbolic_shape('batch')
  function = jax.jit(lambda x: resample.resize(x, (7, 3), method='cubic'))
  exported = export.export(function)(jax.ShapeDtypeStruct((batch, 4, 4, 8), jnp.float32))
  np.testing.assert_allclose(exported.call(X), function(X), atol=1e-6)


class Shelf:
  """An image pool, one picture after the other, as in CycleGAN's code; the coins and slots are those of the library."""

  def __init__(self, size):
    self.size, self.images = size, []

  def query(self, images, coins, slots):
    shown = []
    for image, coin, slot in zip(images, coins, slots, strict=True):
      if len(self.images) < self.size:
        self.images.append(image)
        shown.append(image)
      elif coin:
        shown.append(self.images[slot])
        self.images[slot] = image
      else:
        shown.append(image)
    return np.stack(shown)


def test_an_image_pool_is_cycle_gans():
  size, batch = 6, 4
  ours, theirs = pool.empty(size, (2, 1)), Shelf(size)
  exchanges = 0
  exchange = jax.jit(pool.exchange)
  for step in range(12):
    key = jax.random.fold_in(KEY, step)
    images = np.arange(step * batch, (step + 1) * batch, dtype=np.float32)[:, None, None].repeat(2, 1)
    coins = np.asarray(jax.random.bernoulli(jax.random.split(key)[0], 0.5, (batch,)))
    slots = np.asarray(jax.random.randint(jax.random.split(key)[1], (batch,), 0, size))
    shown, ours = exchange(key, ours, images)
    np.testing.assert_array_equal(shown, theirs.query(images, coins, slots))
    exchanges += int((np.asarray(shown) != images).any((1, 2)).sum())
    assert int(ours['count']) == len(theirs.images)
    np.testing.assert_array_equal(ours['images'][: len(theirs.images)], np.stack(theirs.images))
  assert 10 < exchanges < 32  # of 42 that come when it is full, about half
  images = jnp.ones((2, 3), jnp.bfloat16)
  shown, none = pool.exchange(KEY, pool.empty(0, (3,)), images)
  assert none['images'].shape == (0, 3) and shown.dtype == jnp.bfloat16
  assert pool.exchange(KEY, pool.empty(2, (3,)), images)[0].dtype == jnp.bfloat16
  with pytest.raises(UserError, match='make both the same shape'):
    pool.exchange(KEY, ours, jnp.ones((4, 3)))
  with pytest.raises(UserError, match='choose 0'):
    pool.empty(-1, (3,))


def test_a_text_is_encoded_by_its_words_and_their_order_and_by_nothing_behind_its_end():
  layer = text.TextEncoder(5, features=4, width=8)
  tokens = jnp.array([[2, 3, 4, 0, 0], [4, 3, 2, 0, 0], [2, 3, 4, 5, 0], [1, 3, 4, 0, 0], [99, 3, 4, 0, 0]])
  y, variables = layer.init_with_output({'params': KEY}, tokens, train=True)
  assert y.shape == (5, 4) and np.isfinite(y).all()
  np.testing.assert_allclose(layer.apply(variables, tokens[:1, :3], train=False)[0], y[0], atol=1e-6)
  np.testing.assert_array_equal(y[3], y[4])  # what is not in the vocabulary is unknown
  distances = jnp.abs(y[None, :4] - y[:4, None]).max(-1) + jnp.eye(4)
  assert float(distances.min()) > 1e-4


def test_an_lstm_over_whole_sequences_is_flaxs_cell_in_a_scan():
  x = jax.random.normal(jax.random.key(0), (3, 5, 2))
  ours, cell = recurrent.LSTM(4), nn.OptimizedLSTMCell(4)
  variables = nn.RNN(cell).init(jax.random.key(1), x)['params']['cell']
  assert jax.tree.map(jnp.shape, ours.init(jax.random.key(1), x)['params']) == jax.tree.map(jnp.shape, variables)
  variables = jax.tree.map(lambda w: w + jax.random.normal(jax.random.key(w.size), w.shape), variables)
  of = lambda apply: lambda variables, x: jnp.sin(apply({'params': variables}, x)).sum()
  one = of(ours.apply)
  other = of(lambda variables, x: nn.RNN(cell).apply({'params': {'cell': variables['params']}}, x))
  for order in (lambda f: f, lambda f: lambda v, x: (jax.grad(f, 1)(v, x) ** 2).sum()):  # as a penalty on gradients
    a, b = (jax.jit(jax.value_and_grad(order(f), (0, 1)))(variables, x) for f in (one, other))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), a, b)
  state = (jnp.zeros((3, 4)),) * 2
  for i in range(5):  # a step at a time
    state, step = recurrent.LSTMCell(4).apply({'params': variables}, state, x[:, i])
    np.testing.assert_allclose(step, ours.apply({'params': variables}, x)[:, i], rtol=1e-5, atol=1e-6)
  begun = recurrent.LSTM(4, forget_bias=1.0).init(jax.random.key(1), x)['params']
  assert {name: gate['bias'].max() for name, gate in begun.items() if 'bias' in gate} == dict(hi=0, hf=1, hg=0, ho=0)
  low = jax.random.normal(jax.random.key(0), (32, 50, 2))
  slope = lambda x: jax.grad(lambda v: ours.apply({'params': v}, x).mean(dtype=jnp.float32))(variables)
  wanted, found = slope(low), slope(low.astype(jnp.bfloat16))  # a sum over 1,600 rows in bfloat16 is off by a tenth
  largest = lambda x: float(jnp.abs(x).max())
  assert max(jax.tree.leaves(jax.tree.map(lambda a, b: largest(a - b) / largest(b), found, wanted))) < 0.03


def test_integers_are_resized_to_the_nearest():
  x = jnp.array([0, 255, 255, 0], jnp.uint8).reshape(1, 4, 1)
  exact = jax.image.resize(x.astype(jnp.float32), (1, 8, 1), 'linear')
  np.testing.assert_array_equal(resize(x, (8,)), np.round(exact).astype(np.uint8))
  assert resize(x, (9,), method='cubic').max() == 255
