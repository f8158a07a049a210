"""The functions as others use them in their own loops: whole numbers, lists, shapes and containers of another kind."""

import collections

import chex
import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from gan_jax import augment
from gan_jax.base.errors import UserError
from gan_jax.data import looks
from gan_jax.features.random import random_features
from gan_jax.latents import interpolation, paths
from gan_jax.losses import ensembles, labels
from gan_jax.metrics import (
  bleu,
  diversity,
  frechet,
  histograms,
  inversion,
  makers,
  neighbours,
  paired,
  parzen,
  path_length,
  probe,
  similarity,
  two_sample,
)
from gan_jax.nets.layers.basic import head
from gan_jax.nets.layers.modulated import Linear
from gan_jax.nets.layers.resample import upsample
from gan_jax.nets.layers.text import TextEncoder
from gan_jax.nets.layers.weights import Dense, Embed
from gan_jax.nets.r3gan import _Condition as Condition
from gan_jax.optim import minimax
from gan_jax.optim.weights import orthogonal
from gan_jax.sampling import pictures

KEY = jax.random.key(0)
CLASSES = jnp.array([1, 3])


@pytest.mark.parametrize(
  'layer', [Embed(4, 3), Dense(3), Linear(3), Condition(4, 3)], ids=lambda layer: type(layer).__name__
)
def test_whole_numbers_are_numbers_as_floats_are(layer):
  more = {} if isinstance(layer, Linear | Condition) else {'train': False}
  shares = jax.nn.one_hot(CLASSES, 4)
  variables = layer.init(KEY, shares, **more)
  expected = layer.apply(variables, shares, **more)
  for dtype in (jnp.int32, jnp.uint8, bool):
    np.testing.assert_array_equal(layer.apply(variables, shares.astype(dtype), **more), expected)


def test_no_label_is_no_class():
  embed = Embed(4, 3)
  variables = embed.init(KEY, CLASSES, train=False)
  assert np.isnan(embed.apply(variables, jnp.array([-1, 4]), train=False)).all()
  one_hot = embed.apply(variables, jax.nn.one_hot(CLASSES, 4), train=False)
  np.testing.assert_allclose(embed.apply(variables, CLASSES, train=False), one_hot, rtol=1e-6)


@chex.dataclass
class Params:
  embed: chex.Array
  kernel: chex.Array


def test_orthogonal_skips_by_the_names_of_attributes_too():
  tx, ones = orthogonal(1.0, skip=('embed',)), Params(embed=jnp.ones((1, 2)), kernel=jnp.ones((1, 2)))
  zeros = jax.tree.map(jnp.zeros_like, ones)
  updates, _ = tx.update(zeros, tx.init(ones), ones)
  assert not updates.embed.any() and updates.kernel.any()


def test_each_optimizer_of_alternate_sees_its_player_alone():
  params = {'generator': {'kernel': jnp.ones(2)}, 'discriminator': {'kernel': jnp.ones(2), 'bias': jnp.ones(2)}}
  for mask in ({'kernel': True, 'bias': False}, lambda tree: {name: name == 'kernel' for name in tree}):
    decayed = optax.chain(optax.add_decayed_weights(1.0, mask=mask), optax.sgd(1.0))
    tx = minimax.alternate(generator=optax.sgd(1.0), discriminator=decayed)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = jax.jit(tx.update)(zeros, tx.init(params), params)
    np.testing.assert_array_equal(updates['discriminator']['kernel'], -np.ones(2))
    assert not updates['discriminator']['bias'].any() and not updates['generator']['kernel'].any()
  frozen, tx = flax.core.freeze(params), minimax.alternate(generator=optax.sgd(1.0), discriminator=optax.sgd(1.0))
  updates, _ = tx.update(frozen, tx.init(frozen), frozen)
  assert jax.tree.structure(updates) == jax.tree.structure(frozen)
  assert updates['discriminator']['bias'].all() and not updates['generator']['kernel'].any()
  with pytest.raises(ValueError, match='the tree has generator, encoder, must have generator and discriminator'):
    tx.init({'generator': 1.0, 'encoder': 1.0})


def test_losses_against_several_discriminators_may_be_a_list():
  losses = [jnp.float32(1.0), jnp.float32(3.0)]
  assert float(ensembles.mean_of(losses)) == 2 and float(ensembles.hardest_of(losses)) == 3
  assert float(ensembles.softmax_of(losses, 0.0)) == 2


def test_heads_of_patches_keep_all_places():
  assert head(jnp.zeros((2, 1))).shape == (2,) and head(jnp.zeros((2, 3))).shape == (2, 3)
  assert head(jnp.zeros((2, 3, 4, 1))).shape == (2, 3, 4)
  with pytest.raises(ValueError, match=r'upsample: x is of shape \(1, 4, 2\)'):
    upsample(jnp.zeros((1, 4, 2)))


def test_pictures_outside_their_range_are_refused():
  noise = np.random.RandomState(0).uniform(-1, 1, (2, 16, 16, 1)).astype(np.float32)
  for measure in (similarity.ssim, similarity.ms_ssim, paired.psnr):
    with pytest.raises(UserError, match='data_range'):
      measure(noise, noise[::-1])
  with pytest.raises(UserError, match='values of 0 to 1, but data_range is 255'):
    similarity.ssim(abs(noise), abs(noise[::-1]))
  similarity.ssim(np.zeros((1, 16, 16, 1), np.float32), np.ones((1, 16, 16, 1), np.float32))  # black, of bytes
  assert float(similarity.ssim(abs(noise), abs(noise), data_range=1.0)[0]) == pytest.approx(1)
  assert np.isfinite(paired.psnr(noise, noise[::-1], data_range=2.0)).all()


def test_the_gradient_of_a_similarity_of_opposites_is_a_number():
  x = jax.random.uniform(KEY, (2, 64, 64, 1))
  # Of several scales, whose exponents are below 1.
  value, gradient = jax.value_and_grad(lambda y: similarity.ms_ssim(x, y, data_range=1.0).sum())(1 - x)
  assert np.isfinite(value) and np.isfinite(gradient).all()
  assert np.isnan(similarity.ms_ssim(x, x.at[0, 0, 0].set(jnp.nan), data_range=1.0)).tolist() == [True, False]


@pytest.mark.parametrize('name', ['adaptive', 'color', 'translation', 'cutout'])
def test_bytes_and_channels_first_are_not_augmented(name):
  arguments = (1.0,) if name == 'adaptive' else ()
  with pytest.raises(UserError, match=r'dtype uint8: give floats \(B, H, W, C\)'):
    getattr(augment, name)(KEY, jnp.zeros((1, 8, 8, 1), jnp.uint8), *arguments)
  with pytest.raises(UserError, match='put channels last'):
    getattr(augment, name)(KEY, jnp.zeros((1, 3, 8, 8)), *arguments)


def test_one_latent_is_no_batch():
  with pytest.raises(UserError, match=r'give batches \(B, \.\.\.\)'):
    interpolation.spherical(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5)


def test_figures_take_one_label_for_each_example():
  rows, labels = np.float32([[-1.0], [1.0], [1.0]]), [0, 1, 1]
  svm = probe.LinearSVM(np.float32([[-1.0, 1.0]]), np.zeros(2, np.float32))
  assert probe.accuracy(svm, rows, labels) == 1
  with pytest.raises(UserError, match=r'labels of shape \(3, 1\) for 3 examples'):
    probe.accuracy(svm, rows, np.array(labels)[:, None])
  found = diversity.class_diversity(rows, labels, rows, np.array(labels), 2)
  assert found.samples[1] == 0 and np.isnan(found.samples[0])
  with pytest.raises(UserError, match=r'labels of shape \(3, 2\)'):
    diversity.class_diversity(rows, np.eye(2)[labels], rows, labels, 2)
  with pytest.raises(UserError, match=r'features of shape \(2, 1, 1, 3\)'):
    frechet.moments(np.zeros((2, 1, 1, 3)))


def test_histograms_count_numbers_and_not_rows():
  made, real = (np.random.RandomState(seed).rand(8, 100) for seed in (0, 1))
  flat = histograms.histogram_distances(made.ravel(), real.ravel(), bins=5)
  assert histograms.histogram_distances(made, real, bins=5) == flat and 0 <= flat.outside < 1


@pytest.mark.parametrize(('suffix', 'error'), [('jpg', 6), ('webp', 0), ('png', 0)])
def test_written_pictures_lose_little(tmp_path, suffix, error):
  """Colours that change from pixel to pixel: by itself Pillow's JPEG halves their resolution."""
  colours = np.random.RandomState(0).randint(0, 2, (32, 32, 3)).astype(np.float32)
  pictures.write_one(colours, (0.0, 1.0), tmp_path / f'x.{suffix}')
  read = np.asarray(Image.open(tmp_path / f'x.{suffix}').convert('RGB'), np.float32)
  assert abs(read - 255 * colours).mean() <= error


def test_a_look_at_a_folder_leaves_out_a_picture_that_is_too_large(tmp_path, monkeypatch):
  for name, side in (('a', 8), ('b', 100)):
    Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / f'{name}.png')
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
  assert looks.look(str(tmp_path)).side == 8


def test_a_word_below_0_is_an_unknown_one():
  encoder = TextEncoder(vocabulary=5, features=3)
  tokens = jnp.array([[3, 1, -1], [3, 1, 99]])
  variables = encoder.init(KEY, tokens, train=False)
  made = encoder.apply(variables, tokens, train=False)
  assert np.isfinite(made).all()
  np.testing.assert_array_equal(made[0], made[1])


@chex.dataclass
class Players:
  generator: chex.Array
  discriminator: chex.Array


def test_alternate_keeps_the_order_of_an_ordered_dict():
  tx = minimax.alternate(generator=optax.sgd(1.0), discriminator=optax.sgd(1.0))
  ones = collections.OrderedDict(generator=jnp.ones(2), discriminator=jnp.ones(2))
  updates, _ = tx.update(ones, tx.init(ones), ones)
  assert list(updates) == ['generator', 'discriminator']
  assert updates['discriminator'].all() and not updates['generator'].any()
  ones = Players(generator=jnp.ones(2), discriminator=jnp.ones(2))
  tx = minimax.alternate(generator=optax.sgd(1.0), discriminator=optax.sgd(1.0))
  updates, _ = tx.update(ones, tx.init(ones), ones)
  assert updates.discriminator.all() and not updates.generator.any()


def test_sides_of_two_scales_are_not_compared():
  floats = np.random.RandomState(0).rand(4, 8, 8, 3)
  of_bytes = (255 * floats).astype(np.uint8)
  for compared in (
    lambda: neighbours.nearest(floats, of_bytes),
    lambda: neighbours.copying(of_bytes, of_bytes, floats),
    lambda: diversity.class_diversity(floats, np.zeros(4, int), of_bytes, np.zeros(4, int), 1),
    lambda: paired.psnr(of_bytes, floats),
    lambda: paired.absolute_errors(of_bytes, floats),
  ):
    with pytest.raises(UserError, match='give both one scale'):
      compared()
  with pytest.raises(UserError, match='scale it, or give sigmas'):
    parzen.parzen_likelihood(2 * floats - 1, 2 * floats - 1, 2 * floats - 1)
  with pytest.raises(UserError, match='integers above data_range=1'):
    paired.psnr(of_bytes, of_bytes[::-1], data_range=1.0)
  with pytest.raises(UserError, match='put channels last'):
    similarity.ssim(of_bytes.transpose(0, 3, 1, 2), of_bytes.transpose(0, 3, 1, 2))
  nearest = neighbours.nearest(floats.tolist(), floats.tolist())
  assert nearest.indices.ravel().tolist() == [0, 1, 2, 3]


def test_whole_numbers_that_wrap_around():
  maker, mode = np.arange(200) % 4, np.arange(200) % 90
  small, large = (
    (makers.division(m.astype(t), v.astype(t), 4, 90)) for m, v in [(maker, mode)] for t in (np.uint8, int)
  )
  np.testing.assert_array_equal(small.counts, large.counts)
  with pytest.raises(UserError, match='they must be below these'):
    makers.division(maker, mode, 4, 89)
  assert np.isfinite(labels.cross_entropy(jnp.zeros((2, 256)), jnp.array([0, 255], jnp.uint8)))
  with pytest.raises(AssertionError, match='int'):
    labels.cross_entropy(jnp.zeros((2, 256)), jnp.array([0.0, 1.9]))
  low, high = np.full((20, 3), -500), np.full((20, 3), 4)
  with pytest.raises(UserError, match='some are negative'):
    two_sample.two_sample_test(low, high, steps=1)
  codes = {'z': np.zeros((1, 2)), 'label': np.array([5])}
  with pytest.raises(UserError, match='has whole numbers'):
    paths.varied(codes, 'label', [0.5, 1.5])


def test_sentences_may_be_arrays_of_any_library():
  sentences = np.arange(12).reshape(2, 6) % 5
  expected = bleu.bleu(sentences.tolist(), sentences[::-1].tolist(), 2)
  words = [list(sentence) for sentence in jnp.asarray(sentences)]
  for same in (sentences, jnp.asarray(sentences), list(jnp.asarray(sentences)), words):
    np.testing.assert_allclose(bleu.bleu(same, same[::-1], 2), expected)
  assert bleu.self_bleu(jnp.zeros((3, 4), int), 2).tolist() == [1, 1, 1]


def test_features_are_of_the_examples_they_were_made_for():
  extractor = random_features([8, 8, 3])
  assert extractor.apply(extractor.variables, jnp.zeros((1, 8, 8, 3)))['features'].shape == (1, 480)
  with pytest.raises(UserError, match='are asked for examples'):
    extractor.apply(extractor.variables, jnp.zeros((4, 3, 8, 8)))


def test_a_search_goes_through_the_generator_as_it_is_now():
  class Generator:
    slope = 2.0

    def __call__(self, z):
      return self.slope * z

  generator = Generator()
  target, start = np.array([[1.0]]), np.zeros((1, 1, 1))
  found = [inversion.invert(generator, target, start, steps=200).latents[0, 0]]
  lengths = [path_length.path_length(generator, lambda x: x, target, -target, kind='linear', trim=0.0).mean]
  generator.slope = 4.0
  found.append(inversion.invert(generator, target, start, steps=200).latents[0, 0])
  lengths.append(path_length.path_length(generator, lambda x: x, target, -target, kind='linear', trim=0.0).mean)
  np.testing.assert_allclose(found, [0.5, 0.25], atol=0.01)
  assert lengths[1] == pytest.approx(4 * lengths[0], rel=1e-3)
