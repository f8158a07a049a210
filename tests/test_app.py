"""The pages of a run and of GAN Lab, as functions: no browser, no Gradio. The browser's test is test_app_browser.py."""

import contextlib
import pathlib
import re
import sys
import types
import xml.etree.ElementTree as xml
from unittest import mock

import flax.linen as nn
import jax
import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import app, core, main
from gan_jax.apps import drawing, explore, explore_page, lab, lab_page, plane, serving
from gan_jax.apps.explore import Choice, Explorer
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.data.pixels import decode
from gan_jax.data.streams import Stream
from gan_jax.latents.distributions import Attributes, Label, Normal, Scales, draw
from gan_jax.sampling import conditions, directions

SMALL = [
  '--config.steps=1', '--config.eval.every=0', '--config.batch_size=8', '--config.sample_every=0', '--config.devices=1',
  '--config.game.generator.units=8', '--config.game.discriminator.units=8', '--config.game.generator.label_units=8',
  '--config.game.discriminator.label_units=8', '--config.game.discriminator.joint_units=8',
]  # fmt: skip


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp('looked') / 'run')
  main.main(['--config', 'configs/cgan.py:digits', *SMALL, '--workdir', workdir])
  return Explorer(gan_jax.load(workdir))


class Linear(nn.Module):
  """z (B, 3) to points: 3 of the first, 2 of the second, 1 of the third, after a class that no latents reach."""

  @nn.compact
  def __call__(self, z):
    class_of = nn.Embed(2, 4)(jax.numpy.zeros(len(z), int))
    init = lambda *_: jax.numpy.diag(jax.numpy.array([1.0, 3.0, 2.0]))
    return jax.numpy.tanh(nn.Dense(3, kernel_init=init)(z)) + 0 * class_of.sum()


class Styled(nn.Module):
  """z (B, 3) to two styles (B, 2, 3), which are pictures (B, 2, 3, 1); truncation moves the first of them to 1."""

  psi: float = 1.0

  def setup(self):
    self.mapping = nn.Dense(3, use_bias=False, kernel_init=lambda *_: jax.numpy.diag(jax.numpy.array([1.0, 3.0, 2.0])))

  def styles(self, z):
    w = jax.numpy.stack([self.mapping(z)] * 2, 1)
    first = jax.numpy.array([True, False])[None, :, None]
    return jax.numpy.where(first, 1 + self.psi * (w - 1), w)

  def __call__(self, z):
    return self.styles(z)[..., None]


class Maker(nn.Module):
  generator: nn.Module
  latents: object = Normal((3,))
  turns = (core.Turn(('generator',), 'loss'),)

  def loss(self, batch):
    return self.sample(batch).mean()

  def sample(self, batch):
    return self.generator(batch['latents'])


class Truncating(Maker):
  def truncated(self, psi):
    return self.clone(generator=self.generator.clone(psi=psi))


def made_of(game):
  z = np.random.RandomState(0).randn(40, 3).astype(np.float32)
  return game.init(jax.random.key(0), {'latents': z}, method='sample'), z


def test_the_main_directions_are_those_that_the_first_layer_stretches_most():
  game = Maker(Linear())
  variables, z = made_of(game)
  z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T, bias=True)).T)  # of variance 1 and not correlated
  found = directions.main_directions(game, variables, z.astype(np.float32), 2)
  assert found.space == 'latents'
  np.testing.assert_allclose(found.shares, [9 / 14, 4 / 14], rtol=1e-5)
  np.testing.assert_allclose(found.steps, [[0, 1, 0], [0, 0, 1]], atol=1e-4)
  np.testing.assert_allclose(directions.moved(z, found, [0, 2.0]) - z, np.tile([[0, 0, 2.0]], (40, 1)), atol=1e-3)
  with pytest.raises(UserError, match='no vector of real numbers'):
    directions.main_directions(game, variables, {'label': np.zeros(3, int)})


def fake_run(game, variables):
  """What `Explorer` needs of a run whose data are not there."""

  def gone(*_):
    raise UserError('data/x: no such folder; download it')

  stream = types.SimpleNamespace(main='image', range_of=lambda field: (-4.0, 4.0), open=gone)
  stage = types.SimpleNamespace(game=game, streams={'images': stream})
  z = np.random.RandomState(0).randn(600, 3).astype(np.float32)
  return types.SimpleNamespace(
    stage=stage,
    latents=lambda count: z[:count],
    variables=lambda ema=True: variables,
    inputs=lambda count, condition=None: None,
    state=types.SimpleNamespace(players={}),
    read=None,
    remembering=contextlib.nullcontext,
  )


@pytest.mark.parametrize('psi', [1.0, 0.7])
def test_styles_are_moved_and_truncated_as_the_game_does_itself(monkeypatch, psi):
  game = Truncating(Styled(psi=psi))
  monkeypatch.setattr(conditions, 'asked', lambda stage, read: {})
  variables, _ = made_of(game)
  page = Explorer(fake_run(game, variables))
  assert (page.truncation, page.directions.space, page.pictures, page.attention) == ('psi', 'styles', True, False)
  plain = page.made(Choice())
  for truncation, own in ((0.0, game), (0.25, game.truncated(0.25)), (1.0, game.truncated(1.0))):
    asked = page.made(Choice(truncation=truncation)).samples['']
    made = own.apply(variables, {'latents': plain.latents}, method='sample')
    np.testing.assert_allclose(asked, made, atol=1e-5)
  # The slider begins at the generator's own psi, which changes nothing.
  assert page.psi == pytest.approx(psi)
  gradio = mock.MagicMock()
  explore_page._controls(gradio, page, {})
  assert gradio.Slider.call_args_list[0].args == (0.05, 1.0, psi)
  chosen = [explore_page.choice_of(page, {'count': 16, 'truncation': x}).truncation for x in (psi, 0.25)]
  assert chosen == [0.0, 0.25]
  moved = page.made(Choice(amounts=(2.0,))).samples[''] - plain.samples['']
  np.testing.assert_allclose(moved[..., 0], np.broadcast_to(2 * page.directions.steps[:1, None], (16, 2, 3)), atol=1e-4)


class Summed(nn.Module):
  """Latents of any kind to pictures (B, 2, 2, 1)."""

  @nn.compact
  def __call__(self, latents):
    flat = [x.reshape(len(x), -1).sum(1, keepdims=True) for x in jax.tree.leaves(latents)]
    return nn.Dense(4)(sum(flat)).reshape(-1, 2, 2, 1)


@pytest.mark.parametrize(
  'latents',
  [Scales(((2, 2, 1), (4, 4, 1))), Scales(((2, 2, 1),)), {'z': Scales(((2,), (3,)))}, {'z': {'low': Normal((2,))}}],
)
def test_the_page_of_latents_that_are_no_vector_has_no_sliders(monkeypatch, latents):
  monkeypatch.setattr(conditions, 'asked', lambda stage, read: {})
  game, drawn = Maker(Summed(), latents), jax.device_get(draw(latents, jax.random.key(0), 16))
  run = fake_run(game, game.init(jax.random.key(0), {'latents': drawn}, method='sample'))
  run.latents = lambda count: drawn
  page = Explorer(run)
  assert page.directions is None and page.single and 'no vector of real numbers' in page.notes[0]
  assert page.made(Choice()).samples[''].shape == (16, 2, 2, 1)
  with pytest.raises(UserError, match='no way from a sample to another'):
    page.way(Choice(), 0, 1)


class Rows(nn.Module):
  """z (B, 3) to rows of 5 numbers, which have no picture."""

  @nn.compact
  def __call__(self, z):
    return nn.Dense(5)(z)


class Reading(Maker):
  inputs = ('images',)


def test_a_run_with_nothing_to_show_is_one_line(monkeypatch):
  monkeypatch.setattr(conditions, 'asked', lambda stage, read: {})
  game = Maker(Rows())
  with pytest.raises(UserError, match=r'shape \(5,\) have no picture: .*npz'):
    Explorer(fake_run(game, made_of(game)[0]))
  run = fake_run(Reading(Rows()), {})
  run.stage.streams['images'].fields = lambda n: {'image': np.zeros((n, 8, 8, 1))}
  run.inputs, run.remembering = run.stage.streams['images'].open, contextlib.nullcontext
  with pytest.raises(UserError, match=r'nothing to show\. No examples of its data: data/x: no such folder'):
    Explorer(run)
  run.stage.game = Reading(Rows(), latents=None)  # a translator: pictures of one's own can be dropped
  page = Explorer(run)
  assert page.lacks_data and page.streams == ('images',) and len(page.notes) == 1


def test_a_choice_changes_the_samples_as_it_says(page):
  first = page.made(Choice()).samples['']
  np.testing.assert_allclose(first, page.run.sample(16), atol=1e-5)
  assert page.pictures and page.single and not page.notes and page.outputs == ['']
  three = page.made(Choice(condition=(('label', '3'),)))
  assert set(three.latents['label'].tolist()) == {3}
  np.testing.assert_allclose(three.samples[''], page.run.sample(16, label=3), atol=1e-5)
  moved = page.made(Choice(amounts=(3.0,)))
  step = moved.latents['z'] - page.made(Choice()).latents['z']
  np.testing.assert_allclose(step, np.tile(3 * page.directions.steps[:1], (16, 1)), atol=1e-5)
  assert np.abs(moved.samples[''] - first).max() > 1e-4
  assert page.made(Choice(count=5)).samples[''].shape == (5, 8, 8, 1)
  with pytest.raises(UserError, match='condition label'):
    page.made(Choice(condition=(('label', '10'),)))


def test_a_click_finds_its_sample_and_the_chosen_have_frames(page):
  grid = page.grid(Choice(), (5, 0))
  assert grid.width == grid.height > 500
  middle = lambda i: ((i % 4 + 0.5) * grid.width / 4, (i // 4 + 0.5) * grid.height / 4)
  assert [page.at(Choice(), *middle(i)) for i in range(16)] == list(range(16))
  assert page.at(Choice(count=9), 1e4, 1e4) == 8
  pixels = np.asarray(grid)
  orange = np.argwhere((pixels == [255, 127, 14]).all(-1))
  np.testing.assert_allclose(orange.mean(0), np.array(middle(5))[::-1], atol=grid.width / 40)
  assert (pixels == [31, 119, 180]).all(-1).any()


def test_a_way_begins_and_ends_at_the_chosen_samples(page):
  strip = np.asarray(page.way(Choice(), 2, 7, steps=5).convert('L'))
  samples = page._pixels(Choice())
  factor = (strip.shape[1] - 0) // (5 * 9 + 1)
  cell = lambda i: strip[factor : 9 * factor, factor * (1 + 9 * i) : factor * 9 * (i + 1)][::factor, ::factor]
  np.testing.assert_array_equal(cell(0), samples[2, ..., 0])
  np.testing.assert_array_equal(cell(4), samples[7, ..., 0])


def test_after_fewer_samples_the_last_one_stands_for_those_that_are_gone(page):
  few = Choice(count=4)
  for name in ('nearest', 'way'):
    found, last = (explore_page._below(page, few, pair, name) for pair in ((60, 50), (3, 3)))
    np.testing.assert_array_equal(found, last)


def test_nearest_pictures_and_what_a_run_has_not(page):
  row = np.asarray(page.nearest(Choice(), 3, 4))
  assert row.shape[1] > 4 * row.shape[0] / 2 > 0
  assert not page.attention and page.streams == ()
  with pytest.raises(UserError, match='has no attention'):
    page.attention_maps(Choice(), 0)


def test_conditions_say_what_they_take(page):
  assert conditions.asked(page.run.stage) == {'label': conditions.Asked('class', tuple('0123456789'))}
  latents = {'z': Normal((2,)), 'a': Attributes(('Male', 'Smiling')), 'code': Normal((2, 3)), 'maker': Label(2)}
  stage = page.run.stage._replace(game=types.SimpleNamespace(latents=latents, inputs=None))
  asked = conditions.asked(stage)
  assert asked == {
    'Male': conditions.Asked('attribute'),
    'Smiling': conditions.Asked('attribute'),
    'code': conditions.Asked('numbers', size=6),
    'maker': conditions.Asked('class', ('0', '1')),
  }
  # Names are those of the data's classes, not of another part that is drawn from as many.
  columns = {'image': {'name': 'Picture'}, 'label': {'name': 'Label', 'classes': ('cat', 'dog')}}
  named = stage._replace(streams={'images': Stream(name='folder', path='nowhere', size=8, columns=columns)})
  assert [conditions._classes(named, part, Label(2)).classes for part in ('label', 'maker')] == [('cat', 'dog'), 2]
  counted = {**columns, 'label': {'name': 'Label', 'classes': 2}}  # the names stand in the data, which are not there
  unnamed = stage._replace(streams={'images': Stream(name='folder', path='nowhere', size=8, columns=counted)})
  assert conditions._classes(unnamed, 'label', Label(2)).classes == 2
  drawn = {'code': np.zeros((4, 2, 3), np.float32)}
  found, _ = conditions.apply(stage, {'code': '1 2 3 4 5 6'}, drawn, None)
  assert found['code'][3].tolist() == [[1, 2, 3], [4, 5, 6]]
  with pytest.raises(UserError, match='has 2 numbers, it takes 6'):
    conditions.apply(stage, {'code': '1 2'}, drawn, None)


def test_the_controls_of_a_page_are_a_choice(page):
  values = {'seed': 3, 'count': 4, 'condition label': '', 'truncation': 3.0, 'direction 0': 1, 'direction 1': 0}
  assert explore_page.choice_of(page, values) == Choice(3, 4, 3.0 if not page.truncation else 0.0, (), (1.0, 0.0))
  assert explore_page.choice_of(page, {**values, 'condition label': '7'}).condition == (('label', '7'),)
  for seed in (None, -1, 0.5):
    with pytest.raises(UserError, match=r'seed=.* must be a whole number'):
      explore_page.choice_of(page, {**values, 'seed': seed})


# The lab


@pytest.fixture(scope='module')
def small():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(lab, 'HIDDEN', (8,))
    yield lab.Lab()
  lab._program.cache_clear()


def test_the_lab_keeps_a_drawing(small):
  ink = np.zeros((4, 4))
  ink[0, 3] = 1
  small.draw(ink)
  drawn, settings = small.points, small.settings
  small.change(settings._replace(distribution='ring'))
  assert (small.points != drawn).any()
  small.change(settings)
  np.testing.assert_array_equal(small.points, drawn)
  small.change(settings._replace(distribution='ring'))


def test_the_lab_plays_the_steps_of_the_config(small):
  before = small.view()
  row = small.advance(3)
  assert (small.step, row.step, len(small.history)) == (3, 3, 1)
  assert 0 < row.divergence < np.log(2) + 1e-6 and np.isfinite(row[1:3]).all()
  assert np.abs(small.view().samples - before.samples).max() > 1e-4
  assert before.samples.shape == (lab.SHOWN, 2) and before.surface.shape == (lab.SIDE, lab.SIDE)
  config = lab.config_of(lab.Settings(loss='hinge', penalty='R1', discriminator_moves=3, generator_rate=1e-4))
  assert (config.game.loss, config.game.penalty.at, config.game.discriminator_steps) == ('hinge', 'real', 3)
  assert config.optimizers.generator.learning_rate == 1e-4


def test_a_change_keeps_the_networks_and_an_error_changes_nothing(small):
  small.advance(1)
  step, params = small.step, jax.device_get(small.state.players['generator'].params)
  programs = lab._program.cache_info().misses
  small.change(small.settings._replace(generator_rate=0.0, distribution='two Gaussians'))
  small.advance(2)
  assert lab._program.cache_info().misses == programs and small.step == step + 2
  jax.tree.map(np.testing.assert_array_equal, small.state.players['generator'].params, params)
  assert np.abs(small.points.mean(0)).max() < 0.1
  settings = small.settings
  for wrong in (dict(loss='mine'), dict(dynamics='at once', generator_moves=2), dict(generator_rate=-1.0)):
    with pytest.raises(UserError):
      small.change(settings._replace(**wrong))
    assert small.settings == settings
  small.reset()
  assert small.step == 0 and not small.history
  small.change(settings._replace(generator_rate=1e-3))


def test_a_drawing_becomes_data(small):
  ink = np.zeros((20, 20, 4), np.uint8)
  ink[:, 15:, 3] = 255  # the right quarter
  small.draw(lab_page.ink_of({'composite': ink}))
  assert small.settings.distribution == lab.DRAWN and small.points[:, 0].min() > 0.6
  white = np.full((20, 20, 3), 255, np.uint8)
  assert not lab_page.ink_of({'composite': white}).any()
  white[5, 7] = 0  # a black point on white
  np.testing.assert_array_equal(lab_page.ink_of({'composite': white}), (white == 0).all(-1))
  for empty in (None, {'composite': np.zeros((4, 4, 4), np.uint8)}):
    with pytest.raises(UserError, match='drawing is empty'):
      small.draw(lab_page.ink_of(empty))
  small.change(small.settings._replace(distribution='ring'))


def test_what_the_lab_refuses_is_told_while_it_plays(small):
  taken = small.settings
  of = lambda **given: lab_page.changed(small, lambda: small.change(taken._replace(**given)))[2]
  assert 'set discriminator_steps' in of(dynamics='extragradient', generator_moves=5)
  _, _, later = lab_page.after(small, lambda: small.advance(1))
  assert later.startswith('Step ') and 'The controls are not taken: **' in later and small.settings == taken
  assert of(generator_moves=1) == f'Step {small.step:,}' == lab_page.look(small)[2]
  assert 'load it anew' in lab_page.after(None, lambda: small.advance(1))[2]  # a page that outlived its program


@pytest.mark.parametrize('kind', ['turned', 'clear', 'sixteen', 'palette', 'ink'])
def test_a_dropped_picture_is_read_as_a_file_of_it(kind, tmp_path, monkeypatch):
  ramp = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)
  colour, more, suffix = np.stack([ramp, ramp[::-1], ramp], -1), {}, 'png'
  if kind == 'turned':
    exif = Image.Exif()
    exif[274] = 6
    picture, more = Image.fromarray(colour), {'exif': exif}
  elif kind == 'clear':
    picture = Image.fromarray(np.concatenate([colour, ramp[..., None]], -1))
  elif kind == 'sixteen':
    picture = Image.fromarray(ramp.astype(np.uint16) * 257)
  elif kind == 'palette':
    picture = Image.fromarray(colour).convert('P', palette=Image.Palette.ADAPTIVE, colors=5)
  else:
    picture, suffix = Image.fromarray(colour).convert('CMYK'), 'tiff'
  path = tmp_path / f'given.{suffix}'
  picture.save(path, **more)
  seen = []

  def translated(run, inputs, **how):
    (file,) = pathlib.Path(inputs.removeprefix('images=')).iterdir()
    seen.append(decode(Image.open(file), None, 'it'))
    return types.SimpleNamespace(given=(np.zeros((1, 4, 4, 3)), (0, 1)), made={})

  monkeypatch.setattr(explore, 'translated', translated)
  explore.Explorer.translate(types.SimpleNamespace(truncation='', run=None), Image.open(path), 'images', Choice())
  np.testing.assert_array_equal(seen[0], decode(Image.open(path), None, 'it'))


def test_points_and_divergence_by_hand():
  for name in plane.DISTRIBUTIONS:
    points = plane.points_of(name, 100)
    assert points.shape == (100, 2) and np.abs(points).max() < plane.EXTENT
  half = np.array([[0.1, 0.1]] * 2 + [[1.0, 1.0]] * 2)
  # P = (1/2, 1/2), Q = (1, 0): KL to the middle (3/4, 1/4)
  expected = (0.5 * np.log(2 / 3) + 0.5 * np.log(2) + np.log(4 / 3)) / 2
  assert abs(plane.divergence(half, half[:2]) - expected) < 1e-12
  with pytest.raises(UserError, match='unknown distribution'):
    plane.points_of('rings')


def test_the_controls_of_the_lab_are_settings():
  values = ('ring', 'hinge', 'R1', 'in turns', 'SGD', 'Adam', '1e-4', '0.01', 2, 1)
  found = lab_page.settings_of(*values)
  assert found == lab.Settings('ring', 'hinge', 'R1', 'in turns', 'SGD', 'Adam', 1e-4, 0.01, 2, 1)
  with pytest.raises(UserError, match='must be a number'):
    lab_page.settings_of(*values[:6], 'fast', *values[7:])
  with pytest.raises(UserError, match='no drawing yet'):
    lab_page.settings_of(lab.DRAWN, *values[1:])


def test_the_plane_and_the_curves_are_drawn(small):
  plane = xml.fromstring(drawing.plane(small.view()))
  dots = next(part for part in plane if part.get('id') == 'lab-samples').get('d')
  places = np.array([[float(x) for x in place] for place in re.findall(r'M(\S+) (\S+?)h0', dots)])
  expected = (small.view().samples / lab.EXTENT * [[0.5, -0.5]] + 0.5) * drawing.PLANE
  np.testing.assert_allclose(places, expected, atol=0.06)
  rows = [lab.Row(1, 0.5, 1.0, 0.6), lab.Row(11, float('nan'), 2.0, 0.3)]
  text = drawing.curves(rows, 0.05)
  assert len(list(xml.fromstring(f'<a>{text}</a>'))) == 2 and 'discriminator 2.000' in text and 'generator<' in text
  assert drawing.curves([], 0.05).count('<polyline') == 4


# The command


def fails(capsys, *arguments):
  with pytest.raises(SystemExit) as stop:
    command.main(app._define, app._run, app.__doc__, list(arguments))
  out = capsys.readouterr().err.strip().splitlines()
  assert stop.value.code == 2 and len(out) == 1
  return out[0]


def test_what_cannot_be_shown_is_one_line(capsys, monkeypatch, tmp_path):
  assert '--workdir is missing' in fails(capsys)
  assert 'leave one of them out' in fails(capsys, '--lab', '--workdir', 'runs/x')
  monkeypatch.setitem(sys.modules, 'gradio', None)
  assert "pip install 'gan_jax[app]'" in fails(capsys, '--lab')
  monkeypatch.setitem(sys.modules, 'gradio', types.SimpleNamespace(__version__='5.50.0'))
  assert 'needs gradio 6, but 5.50.0 is installed' in fails(capsys, '--lab')
  monkeypatch.setitem(sys.modules, 'gradio', types.SimpleNamespace(__version__='6.31.0'))
  assert str(tmp_path / 'none') in fails(capsys, '--workdir', str(tmp_path / 'none'))


def test_a_port_that_is_taken_is_one_line(monkeypatch):
  theme = types.SimpleNamespace(themes=types.SimpleNamespace(Default=lambda **fonts: None))
  monkeypatch.setattr(serving, 'gradio', lambda: theme)

  class Page:
    def queue(self):
      return self

    def launch(self, **settings):
      assert settings['share'] is False and settings['server_name'] == '127.0.0.1'
      raise OSError('Cannot find empty port in range: 7860-7860')

  with pytest.raises(UserError, match=r'--host=127.0.0.1 --port=7860 .*choose others'):
    serving.serve(Page(), '127.0.0.1', 7860)
