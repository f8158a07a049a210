"""Latents given whole, paths through latent space, and the papers' pictures, on hand-computed answers."""

import types

import flax.linen as nn
import jax
import numpy as np
import pytest
from PIL import Image
from scipy import special

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, main, runs, sample
from gan_jax.base.errors import UserError
from gan_jax.data.streams import Stream
from gan_jax.features.base import Extractor
from gan_jax.latents import paths as latent_paths
from gan_jax.latents.distributions import Attributes, Label, Normal, Scales, Tags, Truncated, Uniform
from gan_jax.sampling import attention, conditions, exploration, pictures
from gan_jax.sampling.run import Run
from gan_jax.sampling.sampler import Sampler

LATENTS = {'z': Normal((2,)), 'label': Label(3), 'code': Uniform((2,), -1.0, 3.0)}


class Noisy(nn.Module):
  """A generator with noise of its own, of latents of one part or of several."""

  latents: object

  def sample(self, batch):
    latents = batch['latents']
    z = latents['z'] + latents['label'][:, None] if isinstance(latents, dict) else latents
    return nn.tanh(z @ np.ones((z.shape[1], 5))) + jax.random.normal(self.make_rng('noise'), (1, 5))


@pytest.mark.parametrize('latents', [Normal((3,)), Uniform((3,)), LATENTS], ids=['normal', 'uniform', 'parts'])
@pytest.mark.parametrize('count', [1, 64, 70])
def test_generating_from_the_latents_of_samples_gives_the_samples(latents, count):
  sampler = Sampler(Noisy(latents))
  drawn = sampler.latents(count, seed=3)
  np.testing.assert_array_equal(sampler.generate({}, drawn, seed=3), sampler({}, count, seed=3))
  if isinstance(drawn, dict):
    drawn = sampler.latents(count, seed=3, label=2)
    assert (drawn['label'] == 2).all()
    np.testing.assert_array_equal(sampler.generate({}, drawn, seed=3), sampler({}, count, seed=3, label=2))


def test_the_latents_of_a_sample_do_not_depend_on_how_many_are_drawn():
  sampler = Sampler(Noisy(LATENTS))
  few, many = sampler.latents(5, seed=1), sampler.latents(130, seed=1)
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:5]), few, many)


def test_what_are_no_latents_of_the_game_is_refused():
  whole, parts = Sampler(Noisy(Normal((3,)))), Sampler(Noisy(LATENTS))
  drawn = parts.latents(4, seed=0)
  for sampler, latents, word in (
    (whole, np.zeros((2, 4)), 'count, 4'),
    (whole, np.zeros((0, 3)), 'count, 3'),
    (whole, drawn, 'label'),
    (parts, np.zeros((2, 3)), 'label'),
    (parts, {**drawn, 'label': np.zeros(4)}, 'real \\(count\\)'),
    (parts, {**drawn, 'z': np.zeros((5, 2))}, 'one count'),
    (Sampler(Noisy(None)), np.zeros((2, 3)), 'inputs'),
  ):
    with pytest.raises(UserError, match=word):
      sampler.generate({}, latents)
  with pytest.raises(UserError, match='no latents'):
    Sampler(Noisy(None)).latents(3, 0)


def test_arcs_and_lines_pass_through_known_points():
  degrees = np.deg2rad([0, 30, 60, 90])
  arc = latent_paths.walk(np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]]), 4)
  np.testing.assert_allclose(arc, 2 * np.stack([np.cos(degrees), np.sin(degrees)], 1), atol=1e-6)
  line = latent_paths.walk(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 2.0], [1.0, 1.0]]), 3, kind='linear')
  np.testing.assert_allclose(line, [[2, 0], [1, 1], [0, 2], [0, 0], [0.5, 0.5], [1, 1]])
  far = np.random.RandomState(0).randn(2, 5, 100)
  lengths = np.linalg.norm(latent_paths.walk(*far, 7), axis=1)
  low, high = np.linalg.norm(far, axis=2).min(), np.linalg.norm(far, axis=2).max()
  assert 0.95 * low < lengths.min() and lengths.max() < 1.05 * high
  with pytest.raises(UserError, match='at least 2'):
    latent_paths.walk(*far, 1)


def test_only_one_part_of_a_dict_moves():
  starts = {'z': np.zeros((2, 3)), 'code': np.array([[1.0], [2.0]]), 'label': np.array([4, 5])}
  ends = {'z': np.ones((2, 3)), 'code': np.zeros((2, 1)), 'label': np.array([6, 7])}
  path = latent_paths.walk(starts, ends, 3, kind='linear')
  assert path['z'][:, 0].tolist() == [0, 0.5, 1] * 2
  assert path['label'].tolist() == [4, 4, 4, 5, 5, 5] and path['code'].ravel().tolist() == [1, 1, 1, 2, 2, 2]
  moved = latent_paths.walk(starts, ends, 3, kind='linear', part='code')
  assert moved['code'].ravel().tolist() == [1, 0.5, 0, 2, 1, 0] and not moved['z'].any()
  with pytest.raises(UserError, match="'noise'"):
    latent_paths.walk(starts, ends, 3, part='noise')


def test_quantiles_are_those_of_the_tables():
  np.testing.assert_allclose(
    latent_paths.quantiles(Normal((1,)), [0.025, 0.5, 0.841344746]), [-1.959964, 0, 1], atol=1e-6
  )
  np.testing.assert_allclose(latent_paths.quantiles(Uniform((1,), -1.0, 3.0), [0.0, 0.25, 1.0]), [-1, 0, 3])
  # Of N(0, 1) cut off at 1: P(Z < 1/2) = (0.691462 - 0.158655) / 0.682689.
  np.testing.assert_allclose(latent_paths.quantiles(Truncated((1,), 1.0), [0.5, 0.780453]), [0, 0.5], atol=1e-5)
  with pytest.raises(UserError, match='Label'):
    latent_paths.quantiles(Label(3), [0.5])


def test_the_manifold_is_a_square_of_quantiles_around_what_is_kept():
  base = {'z': np.array([[9.0, 8.0, 7.0]]), 'label': np.array([4])}
  square = latent_paths.manifold(Uniform((3,), 0.0, 8.0), 4, base, axes=(2, 0))
  grid = square['z'].reshape(4, 4, 3)
  assert (grid[:, :, 1] == 8).all() and (square['label'] == 4).all()
  assert (grid[:, :, 2] == [[1, 3, 5, 7]]).all() and (grid[:, :, 0] == [[1], [3], [5], [7]]).all()
  normal = latent_paths.manifold(Normal((2,)), 3, np.zeros((1, 2)))
  np.testing.assert_allclose(special.ndtr(normal[:3, 0]), [1 / 6, 1 / 2, 5 / 6], atol=1e-6)
  for axes in ((0, 0), (0, 2), (-1, 0)):
    with pytest.raises(UserError, match='choose two of 0 to 1'):
      latent_paths.manifold(Normal((2,)), 3, np.zeros((1, 2)), axes=axes)
  with pytest.raises(UserError, match='one latent vector'):
    latent_paths.manifold(Normal((2,)), 3, np.zeros((2, 2)))


def test_one_code_varies_and_all_else_is_kept():
  start = {'z': np.array([[1.0], [2.0]]), 'label': np.array([7, 8]), 'code': np.array([[3.0, 4.0], [5.0, 6.0]])}
  of_label = latent_paths.varied(start, 'label', [0, 1, 2])
  assert of_label['label'].tolist() == [0, 1, 2, 0, 1, 2] and of_label['z'].ravel().tolist() == [1, 1, 1, 2, 2, 2]
  of_code = latent_paths.varied(start, 'code', [-2.0, 2.0], 1)
  assert of_code['code'].tolist() == [[3, -2], [3, 2], [5, -2], [5, 2]] and of_code['label'].tolist() == [7, 7, 8, 8]
  assert start['code'].tolist() == [[3, 4], [5, 6]]
  for part, index in (('code', None), ('code', 2), ('label', 0), ('style', None)):
    with pytest.raises(UserError, match=part):
      latent_paths.varied(start, part, [0.0], index)
  with pytest.raises(UserError, match='without named parts'):
    latent_paths.varied(np.zeros((2, 2)), 'label', [0])


def test_arithmetic_on_the_means_of_what_has_a_concept():
  latents = {'z': np.arange(12.0).reshape(6, 2), 'label': np.arange(6)}
  found = latent_paths.chosen(latents, np.array([0, 1, 0, 1, 0, 1], bool), 3)
  assert found['label'].tolist() == [1, 3, 5] and latent_paths.mean(found)['z'].tolist() == [[6, 7]]
  with pytest.raises(UserError, match='1 of 6'):
    latent_paths.chosen(latents, latents['label'] == 2, 3)
  a, b, c = (
    {'z': np.array(z), 'label': np.array(k)}
    for z, k in (([[4.0, 0.0], [6.0, 2.0]], [1, 1]), ([[1.0, 1.0]], [2]), ([[0.0, 7.0]], [3]))
  )
  result = latent_paths.arithmetic(a, b, c)
  assert result['z'].tolist() == [[5 - 1 + 0, 1 - 1 + 7]] and result['label'].tolist() == [3]
  near = latent_paths.around(result, 9, scale=0.25)
  away = near['z'] - result['z']
  assert (near['label'] == 3).all() and not away[4].any() and np.abs(away).max() <= 0.25
  assert len(np.unique(away[:, 0])) == 9 and np.abs(away).max() > 0.15


def cells(picture, columns, rows, side, left=0, top=0):
  """The middles of a grid's cells of one colour each, (rows, columns)."""
  factor = (picture.width - left) // (columns * (side + 1) + 1)
  pixels = np.asarray(picture)[top:, left:]
  middle = lambda i: factor * (1 + i * (side + 1)) + factor * side // 2
  return np.array([[pixels[middle(i), middle(j)] for j in range(columns)] for i in range(rows)])


def plain(values, side=4):
  return np.ones((1, side, side, 1)) * np.asarray(values, float).reshape(-1, 1, 1, 1)


def test_a_grid_is_laid_out_by_columns_and_labelled():
  images = plain(np.arange(6) / 255)
  assert cells(pictures.grid(images, (0, 1), columns=2), 2, 3, 4).tolist() == [[0, 1], [2, 3], [4, 5]]
  assert cells(pictures.grid(images, (0, 1), columns=6), 6, 1, 4).tolist() == [[0, 1, 2, 3, 4, 5]]
  bare = pictures.grid(images, (0, 1), columns=3)
  named = pictures.grid(images, (0, 1), columns=3, names=['one', 'another'], heads=['a', '', 'c'])
  left, top = named.width - bare.width, named.height - bare.height
  assert left > 30 and top > 10
  np.testing.assert_array_equal(np.asarray(named)[top:, left:], np.asarray(bare))
  margin = np.asarray(named)[top:, :left]
  half = len(margin) // 2
  assert margin[:half].min() < 100 and margin[half:].min() < 100  # letters beside both rows
  third = bare.width // 3
  above = [np.asarray(named)[:top, left + i * third : left + (i + 1) * third].min() for i in range(3)]
  assert above[0] < 100 and above[1] == 255 and above[2] < 100
  both = pictures.beside([bare, pictures.grid(images, (0, 1), columns=2)], gap=5)
  assert cells(both, 2, 3, 4, left=bare.width + 5).tolist() == [[0, 1], [2, 3], [4, 5]]


class Stand:
  """A run of known answers: the colour of a sample is told by its latents."""

  def __init__(self, latents, colour, stream=None, several=False):
    game = Noisy(latents)
    self.stage = types.SimpleNamespace(
      game=game, streams={'images': stream or Stream(name='digits', size=8, channels=1, range=(0.0, 255.0))}
    )
    self._colour, self._several = colour, several
    self._sampler = Sampler(game)

  range_of = Run.range_of

  def inputs(self, count):
    return None

  def latents(self, count, *, seed=0, label=None, truncation=0.0):
    sampler = Sampler(self.stage.game, truncation) if truncation else self._sampler
    return sampler.latents(count, seed, label)

  def generate(self, latents, *, seed=0, ema=True, inputs=None):
    made = plain(self._colour(latents), 8)
    return {'photo': made, 'mask': 255 - made} if self._several else made


def test_the_picture_of_classes():
  run = Stand(LATENTS, lambda x: 100 * x['label'] + 10 * np.round(np.clip(x['z'][:, 0], 0, 5)))
  picture = exploration.classes(run, 4)
  z = 10 * np.round(np.clip(run.latents(4)['z'][:, 0], 0, 5))
  left = picture.width - 37 * ((picture.width - 12) // 37)
  np.testing.assert_array_equal(cells(picture, 4, 3, 8, left=left), [z, 100 + z, 200 + z])
  with pytest.raises(UserError, match='leave --label out'):
    exploration.classes(run, 4, exploration.Options(label=1))
  with pytest.raises(UserError, match='no labels or codes'):
    exploration.classes(Stand(Normal((2,)), lambda x: x[:, 0]))
  with pytest.raises(UserError, match='no label'):
    exploration.classes(Stand({'z': Normal((2,))}, lambda x: x['z'][:, 0]))


def test_the_picture_between_classes():
  shown = []

  def colour(latents):
    shown.append(latents)
    return 100 * latents['label'] @ np.arange(3.0)

  run = Stand(LATENTS, colour)
  start = run.latents(4, seed=2)
  exploration.between_classes(run, 4, exploration.Options(seed=2), steps=5)
  shares = shown[0]['label'].reshape(4, 5, 3)
  np.testing.assert_array_equal(shares[:, 0].argmax(-1), start['label'])
  np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-6)
  ends = shares[:, -1].argmax(-1)
  assert (ends != start['label']).all()
  for row, first, last in zip(shares, start['label'], ends, strict=True):
    np.testing.assert_allclose(row[:, first], [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(row[:, last], [0, 0.25, 0.5, 0.75, 1])
  np.testing.assert_array_equal(shown[0]['z'].reshape(4, 5, 2), np.repeat(start['z'][:, None], 5, 1))
  with pytest.raises(UserError, match='no label'):
    exploration.between_classes(Stand({'z': Normal((2,))}, colour))


def test_latents_of_a_picture_are_truncated():
  shown = []
  run = Stand(Normal((50,)), lambda z: shown.append(z) or z[:, 0])
  exploration.interpolation(run, 3, exploration.Options(truncation=0.5), steps=2, kind='linear')
  assert 0.4 < np.abs(shown[0]).max() <= 0.5


def test_attention_is_shown_from_points_that_look_elsewhere():
  # Of four queries on 2 x 2 keys: 0 and 3 look at the first key, 1 at the last, 2 at two of them.
  maps = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0.5, 0.5, 0, 0], [1, 0, 0, 0]], np.float32)
  image = np.full((8, 8, 1), 200, np.uint8)
  marked, *seen = attention._attention_maps(image, maps, 3)
  assert marked.shape == (8, 8, 3) and (marked != 200).any()
  quarters = lambda cell: cell[::4, ::4, 0].ravel().tolist()
  # First the middle query, 3; then 1, the farthest; then 2.
  assert [quarters(cell) for cell in seen] == [[200, 50, 50, 50], [50, 50, 50, 200], [200, 200, 50, 50]]
  run = Stand(LATENTS, lambda x: x['label'])
  run.attention = lambda latents, seed, ema: {}
  with pytest.raises(UserError, match='has no attention'):
    exploration.attention(run, 2)


def test_the_pictures_of_codes():
  shown = {}

  def colour(latents):
    shown[len(shown)] = latents
    return np.zeros(len(latents['z']))

  latents = {**LATENTS, 'style': Normal(()), 'tags': Tags(((0, 1), (1, 1))), 'traits': Attributes(('Male',))}
  found = exploration.codes(Stand(latents, colour), 2, steps=5)
  assert sorted(found) == ['code_0', 'code_1', 'label', 'style', 'tags_0', 'tags_1', 'traits_0']
  first, second, label, style, _, tags, traits = shown.values()  # in the order of their names
  wide = [-3.0, -1.0, 1.0, 3.0, 5.0]  # twice the range of U(-1, 3)
  assert first['code'][:, 0].tolist() == wide * 2 and second['code'][:, 1].tolist() == wide * 2
  assert len(np.unique(first['code'][:, 1])) == 2
  assert label['label'].tolist() == [0, 1, 2] * 2 and style['style'].tolist() == [-2, -1, 0, 1, 2] * 2
  assert tags['tags'][:, 1].tolist() == traits['traits'][:, 0].tolist() == [0, 1] * 2
  # The noise of LAPGAN's levels, latents in dicts of dicts and in tuples: no codes.
  more = {'noise_1': Normal((8, 8, 1)), 'parts': {'low': Normal((2,))}, 'maps': Scales(((2,), (2,)))}
  assert list(exploration.codes(Stand({**more, 'z': Normal((2,)), 'label': Label(3)}, colour), 2)) == ['label']
  for latents in ({'z': Normal((2,))}, {'z': Normal((2,)), **more}):
    with pytest.raises(UserError, match='use grid'):
      exploration.codes(Stand(latents, colour))
  # A class that is asked for stays.
  labelled = {'z': Normal((2,)), 'label': Label(3), 'style': Normal(())}
  assert list(exploration.codes(Stand(labelled, colour), 2, exploration.Options(label=1))) == ['style']


def test_the_pictures_of_parts():
  """In a row one part is drawn anew, behind the sample itself; all else is the sample's."""
  shown = []
  run = Stand(LATENTS, lambda latents: shown.append(latents) or np.zeros(len(latents['z'])))
  found = exploration.parts(run, 2, exploration.Options(seed=4), steps=50)
  assert list(found) == sorted(LATENTS)
  for part, latents in zip(found, shown, strict=True):
    for name, values in latents.items():
      rows = values.reshape(2, 50, *values.shape[1:])
      if name != part:
        np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], 50, 1))
        continue
      assert all(len(np.unique(row, axis=0)) > 1 for row in rows) and not np.array_equal(rows[0], rows[1])
      others = [x[name][::50] for x in shown if x is not latents]
      assert all(np.array_equal(rows[:, 0], first) for first in others), 'the sample itself stands first'
  assert 'label' not in exploration.parts(run, 2, exploration.Options(label=1), steps=3)
  with pytest.raises(UserError, match='no labels or codes'):
    exploration.parts(Stand(Normal((2,)), lambda x: x[:, 0]))


def test_a_row_is_for_one_example_of_what_the_game_reads(monkeypatch):
  run, given = Stand(LATENTS, lambda latents: np.zeros(len(latents['z']))), []
  generate = run.generate
  run.inputs = lambda count: {'images': {'text': np.arange(count)}}
  run.generate = lambda latents, *, inputs, **options: given.append(inputs) or generate(latents, inputs=inputs)
  with monkeypatch.context() as patched:  # it says so where the data are gone, too
    patched.setattr(exploration.core, 'inputs_of', lambda game, streams: ('images',))
    patched.setattr(run, 'inputs', None)
    with pytest.raises(UserError, match='reads examples'):
      exploration.arithmetic(run, 9)
  exploration.classes(run, 2)
  assert given[-1]['images']['text'].tolist() == [0, 1] * 3
  for draw in (exploration.interpolation, exploration.between_classes, exploration.parts):
    given.clear()
    draw(run, 2, steps=3)
    assert given and all(inputs['images']['text'].tolist() == [0, 0, 0, 1, 1, 1] for inputs in given), draw
  exploration.codes(run, 2, steps=3)
  assert given[-1]['images']['text'].tolist() == [0, 0, 0, 1, 1, 1]


def test_the_pictures_of_interpolation_and_manifold():
  run = Stand(Uniform((2,), 0.0, 255.0), lambda z: z[:, 0])
  ends = np.round(run.latents(4)[:, 0])
  found = cells(exploration.interpolation(run, 2, steps=3), 3, 2, 8)
  np.testing.assert_array_equal(found[:, [0, 2]], np.stack([ends[:2], ends[2:]], 1))
  np.testing.assert_allclose(found[:, 1], found[:, [0, 2]].astype(float).mean(1), atol=1)  # linear, being uniform
  assert cells(exploration.manifold(run, 3), 3, 3, 8).tolist() == [[42, 128, 212]] * 3
  downwards = exploration.manifold(run, 3, axes=(1, 0))
  assert cells(downwards, 3, 3, 8).tolist() == [[42] * 3, [128] * 3, [212] * 3]


def test_the_picture_of_neighbours():
  digits = Stream(name='digits', size=8, channels=1).open().arrays['image']
  run = Stand(Normal((2,)), lambda z: z[:, 0])
  run.generate = lambda latents, **_: digits[[3, 5, 9]].astype(np.float32)
  picture = np.asarray(exploration.neighbours(run, 3, nearest_count=2))
  factor = picture.shape[1] // 28
  rows = picture[-28 * factor :][factor // 2 :: factor, factor // 2 :: factor]
  for i, index in enumerate((3, 5, 9)):
    for column in (0, 1):  # the sample, and what it is a copy of
      np.testing.assert_array_equal(
        rows[1 + 9 * i : 9 + 9 * i, 1 + 9 * column : 9 + 9 * column], digits[index, :, :, 0]
      )
    assert (rows[1 + 9 * i : 9 + 9 * i, 19:27] != digits[index, :, :, 0]).any()
  with pytest.raises(UserError, match='has no pictures'):
    exploration.neighbours(Stand(Normal((2,)), lambda z: z[:, 0], Stream(name='ring')))
  run.generate = lambda latents, **_: np.zeros((3, 2))
  with pytest.raises(UserError, match='are not pictures'):
    exploration.neighbours(run, 3)


@pytest.mark.parametrize(
  ('name', 'settings', 'count'), [('cgan', ['--config.data.per_class=5'], 50), ('semi_supervised', [], 1433)]
)
def test_neighbours_are_sought_among_what_the_game_learnt_from(name, settings, count):
  config = config_lib.override(config_lib.load(f'configs/{name}.py:digits'), settings)
  assert len(exploration.training_pictures(types.SimpleNamespace(stage=runs.stages_of(config)[-1]))) == count


def test_the_picture_of_arithmetic():
  run = Stand(Uniform((1,), 0.0, 80.0), lambda z: z[:, 0])
  value = lambda images: images[:, 0, 0, 0]
  concepts = [lambda x: value(x) > 60, lambda x: value(x) < 20, lambda x: abs(value(x) - 40) < 10]
  picture = exploration.arithmetic(run, 100, concepts=concepts)
  z = run.latents(100)[:, 0]
  terms = [z[z > 60][:3], z[z < 20][:3], z[abs(z - 40) < 10][:3]]
  half = 28 * 9  # three columns of 8 pixels, enlarged to about 256
  left, top = picture.width - 2 * half - 16, picture.height - 37 * 9
  found = cells(picture.crop((0, 0, left + half, picture.height)), 3, 4, 8, left=left, top=top)
  np.testing.assert_allclose(found[:3], np.stack(terms, 1), atol=0.5)
  np.testing.assert_allclose(found[3], [term.mean() for term in terms], atol=0.5)
  result = terms[0].mean() - terms[1].mean() + terms[2].mean()
  around = cells(picture, 3, 3, 8, left=left + half + 16, top=top)
  np.testing.assert_allclose(around, result, atol=0.76)
  with pytest.raises(UserError, match='name three'):
    exploration.arithmetic(run, 10, concepts=concepts[:2])


def test_concepts_that_a_classifier_finds(monkeypatch):
  """The classifier sees class 1 in what is brighter than 100: arithmetic takes the first three of each."""
  run = Stand(Uniform((1,), 0.0, 200.0), lambda z: z[:, 0])
  logits = lambda x: jax.nn.one_hot((x.reshape(len(x), -1).mean(1) > 100).astype(int), 2)
  extractor = Extractor('stand', '', (), lambda _, x: {'logits': logits(x)})
  monkeypatch.setattr(exploration.choose, 'choose', lambda name, stream: extractor)
  picture = exploration.arithmetic(run, 600, concepts=('1:bright', '0', '1'))
  z = run.latents(600)[:, 0]
  bright = np.sort(z[z > 100])[-len(z[z > 100]) // 3 :].min()
  left, top = picture.width - 2 * 28 * 9 - 16, picture.height - 37 * 9
  found = cells(picture.crop((0, 0, picture.width - 28 * 9 - 16, picture.height)), 3, 4, 8, left=left, top=top)
  np.testing.assert_allclose(found[:3].T, [z[z >= bright][:3], z[z <= 100][:3], z[z > 100][:3]], atol=0.5)
  with pytest.raises(UserError, match="concept '2' in --concepts is no class: 0 to 1"):
    exploration.arithmetic(run, 9, concepts=('1', '0', '2'))
  with pytest.raises(UserError, match=r"\d of 4 samples show '[01]', but 3 are needed: .*--count"):
    exploration.arithmetic(run, 4, concepts=('1', '0', '1'))


def test_concepts_by_a_class_and_a_shade():
  seen = np.eye(10)[[3, 3, 3, 3, 3, 3, 7]]
  images = plain([0, 1, 2, 3, 4, 5, 9])
  members = lambda concept: np.flatnonzero(exploration._members(concept, seen, images)).tolist()
  assert members('3') == [0, 1, 2, 3, 4, 5] and members('8:dark') == []
  assert members('3:dark') == [0, 1] and members('3:bright') == [4, 5]
  for concept, word in (('three', 'class'), ('3:grey', 'bright, dark'), ('12:dark', 'no class: 0 to 9')):
    with pytest.raises(UserError, match=word):
      members(concept)


def test_one_of_several_things_is_laid_out():
  run = Stand(Uniform((2,), 0.0, 255.0), lambda z: z[:, 0], several=True)
  photo, mask = (exploration.manifold(run, 2, exploration.Options(output=name)) for name in ('photo', 'mask'))
  assert cells(photo, 2, 2, 8).tolist() == [[64, 191]] * 2 and cells(mask, 2, 2, 8).tolist() == [[191, 64]] * 2
  with pytest.raises(UserError, match='mask, photo'):
    exploration.manifold(run, 2)


def test_each_thing_is_drawn_in_its_own_range(monkeypatch):
  run = Stand(Uniform((2,), 0.0, 255.0), lambda z: z[:, 0], several=True)
  run.stage.streams['masks'] = Stream(name='digits', size=8, channels=1, range=(0.0, 510.0))
  outputs = {'photo': core.Output('images'), 'mask': core.Output('masks')}
  monkeypatch.setattr(Noisy, 'outputs', outputs, raising=False)
  photo, mask = (exploration.manifold(run, 2, exploration.Options(output=name)) for name in ('', 'mask'))
  assert cells(photo, 2, 2, 8).tolist() == [[64, 191]] * 2
  np.testing.assert_allclose(cells(mask, 2, 2, 8), [[95.5, 32]] * 2, atol=0.6)


def test_truncation_narrows_the_square():
  run = Stand(Normal((2,)), lambda z: 127 + 40 * z[:, 0])
  whole, narrow = (exploration.manifold(run, 2, exploration.Options(truncation=t)) for t in (0.0, 0.1))
  spread = lambda picture: np.ptp(cells(picture, 2, 2, 8).astype(int))
  assert spread(whole) > 40 and 0 < spread(narrow) < 8


@pytest.mark.slow
def test_the_command_draws_and_refuses_in_one_line(capsys, tmp_path):
  small = ['--config.game.generator.channels=(8,8)', '--config.game.discriminator.channels=(8,8)', '--config.devices=1']
  run = ['--workdir', str(tmp_path / 'run')]
  main.main(['--config', 'configs/quickstart.py', '--config.steps=2', '--config.batch_size=8', *small, *run])
  command = lambda *rest: sample.command.main(sample._define, sample._run, sample.__doc__, [*run, *rest])
  for name in ('neighbours', 'interpolation', 'manifold'):
    command(f'--picture={name}', '--count=3', '--out', str(tmp_path / f'{name}.png'))
    assert Image.open(tmp_path / f'{name}.png').width > 400
  loaded = gan_jax.load(tmp_path / 'run')
  np.testing.assert_array_equal(loaded.generate(loaded.latents(3, seed=5), seed=5), loaded.sample(3, seed=5))
  for arguments, words in (
    (['--picture=classes'], ['classes', 'no labels', 'grid']),
    (['--picture=codes'], ['codes', 'grid']),
    (['--picture=collage'], ['collage', 'manifold']),
    (['--picture=manifold', '--out=a.npz'], ['a.npz', '.png']),
    (['--picture=manifold', '--concepts=1,2,3'], ['--concepts', '--picture=arithmetic']),
    (['--picture=interpolation', '--label=3'], ['draws no label']),
    (['--picture=interpolation', '--output=mask'], ['mask', 'one thing']),
    (['--output=mask'], ['mask', 'one thing']),
  ):
    capsys.readouterr()
    with pytest.raises(SystemExit):
      command(*arguments)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith('error: ') and all(word in line for word in words), line


def test_what_is_asked_twice_is_one_line():
  assert conditions.parsed(['Male=1', 'Male=1']) == {'Male': '1'}
  with pytest.raises(UserError, match='--condition asks for Male=1 and for 0: give one'):
    conditions.parsed(['Male=1,Old=0', 'Male=0'])


def test_labels_that_are_no_class_are_one_line():
  """A network would make a sample of no class of them, or of the last."""

  class Told(nn.Module):
    latents = {'z': Normal((2,)), 'label': Label(3)}

    def sample(self, batch):
      return batch['latents']['z']

  sampler = Sampler(Told())
  z = np.zeros((2, 2), np.float32)
  for wrong in (3, -1):
    with pytest.raises(UserError, match=f'label={wrong} among the latents is no class: choose 0 to 2'):
      sampler.generate({}, {'z': z, 'label': np.array([1, wrong])})
  assert sampler.generate({}, {'z': z, 'label': np.array([0, 2])}).shape == (2, 2)


def test_ways_between_latents_in_bfloat16_move():
  ends = [jax.numpy.asarray(rows, jax.numpy.bfloat16) for rows in ([[0.0, 2.0]], [[4.0, 0.0]])]
  assert latent_paths.walk(*ends, 3, kind='linear').tolist() == [[0, 2], [2, 1], [4, 0]]


def test_walks_go_between_as_many_ends_of_numbers():
  z = np.zeros((1, 2), np.float32)
  with pytest.raises(UserError, match='1 starts and 4 ends'):
    latent_paths.walk(z, np.ones((4, 2), np.float32), 3)
  with pytest.raises(UserError, match='has whole numbers'):
    latent_paths.walk({'z': np.zeros((1, 2), int)}, {'z': np.ones((1, 2), int)}, 3)
  assert latent_paths.walk(np.ones((4, 2)), z, 3, kind='linear')[::3].tolist() == np.ones((4, 2)).tolist()
  for start, end in ((0, -1), (-1, 0), (0, 3)):
    with pytest.raises(UserError, match='is none of 0 to 2'):
      latent_paths.between_classes({'z': z, 'label': np.array([start])}, [end], 3, 3)
  with pytest.raises(UserError, match='no values'):
    latent_paths.varied({'z': z}, 'z', [], 0)
