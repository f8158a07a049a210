"""Configs: defaults, overrides, files, JSON."""

import re

import ml_collections
import pytest

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError

SHARED = dict(name='optax.adam', learning_rate=1e-3)


def made():
  return config_lib.base(
    game=dict(name='standard.Standard', sizes=(1, 2)),
    optimizers=dict(generator=SHARED, discriminator=SHARED),
    data=config_lib.stream(name='digits'),
  )


def test_an_override_changes_one_place_though_the_file_shares_a_dict():
  config = config_lib.override(made(), ['--config.optimizers.generator.learning_rate=0.5'])
  assert config.optimizers.generator.learning_rate == 0.5
  assert config.optimizers.discriminator.learning_rate == 1e-3
  assert made().optimizers.generator.learning_rate == 1e-3


def test_an_element_of_a_sequence():
  config = config_lib.load('configs/lapgan.py:digits')
  given = ['--config.stages[1].steps=7', '--config.game.generators[1].channels=(4, 4)']
  config = config_lib.override(config, given)
  assert config.stages[1]['steps'] == 7 and config.game.generators[1]['channels'] == (4, 4)
  with pytest.raises(UserError, match=r'write --config\.stages\[1\]\.steps'):
    config_lib.override(config, ['--config.stages.1.steps=7'])
  with pytest.raises(UserError, match=r'write --config\.stages\[0\]\.game\.levels\[1\]$'):
    config_lib.override(config, ['--config.stages.0.game.levels.1=7'])


LABELS = {'label': {'name': 'Label', 'classes': 10}}


@pytest.mark.parametrize(
  ('file', 'given', 'wanted'),
  [
    ('biggan.py:cifar10', ['data.classes=2'], {'generator.classes': 2, 'latents.label.classes': 2}),
    ('biggan.py:cifar10', ['data.channels=1'], {'generator.image_channels': 1, 'generator.classes': 10}),
    ('lapgan.py:digits_classes', ['data.classes=3'], {'generators.1.classes': 3, 'discriminators.0.classes': 3}),
    ('fastgan.py:faces64', ['data.size=128'], {'generator.size': 128, 'discriminator.size': 128}),
    ('stylegan2.py:digits', ['data.size=16'], {'generator.resolution': 16, 'discriminator.resolution': 16}),
    ('r3gan.py:digits', ['data.channels=3'], {'generator.out_channels': 3}),
    ('gan.py:digits', ['data.size=16', 'data.channels=3'], {'generator.shape': (16, 16, 3)}),
    ('lapgan.py:digits', ['data.channels=3'], {'generators.0.shape': (4, 4, 3)}),
    # What a stage sets anew is its own; channels go into the shape all the same.
    ('lapgan.py:digits', ['data.size=16'], {'generators.0.shape': (4, 4, 1)}),
    # Codes are no classes, and what somebody says stays, before or after.
    ('infogan.py:digits', ['data.classes=3'], {'latents.digit.classes': 10}),
    ('biggan.py:digits', ['game.generator.classes=10', 'data.classes=2'], {'generator.classes': 10}),
    ('biggan.py:digits', ['game.generator.classes=10', 'data.classes=2'], {'discriminator.classes': 2}),
    ('biggan.py:digits', ['data.classes=2', f'game.latents={LABELS}'], {'latents.label.classes': 10}),
    # A discriminator of a data set without classes gets none, nor does one without lose them.
    ('sngan.py:cifar10', ['data.classes=10'], {'discriminator.classes': 0}),
    ('biggan.py:digits', ['data.classes=0'], {'discriminator.classes': 10}),
    # Of several streams all that have classes must agree.
    ('semi_supervised.py:digits', ['data.labelled.classes=4'], {'classes': 4, 'discriminator.classes': 4}),
    ('triple.py:digits', ['data.labelled.classes=16'], {'latents.label.classes': 10}),
    ('triple.py:digits', ['data.labelled.classes=4', 'data.real_labelled.classes=4'], {'latents.label.classes': 4}),
    ('cyclegan.py:digits', ['data.a.channels=3'], {'generator_ab.image_channels': 1, 'generator_ba.image_channels': 1}),
  ],
)  # fmt: skip
def test_numbers_of_the_data_are_given_once(file, given, wanted):
  config = config_lib.read(f'configs/{file}', [f'--config.{argument}' for argument in given])

  def at(path):
    here = config.game
    for part in path.split('.'):
      here = here[int(part) if part.isdecimal() else part]
    return here

  assert {path: at(path) for path in wanted} == wanted


def test_what_follows_a_number_of_the_data_is_told_in_stages_too():
  config = config_lib.load('configs/biggan.py:digits')
  config.stages = ({'steps': 5}, {'game': {'discriminator': {'classes': 10}}})
  said = []
  config_lib.override(config, ['--config.data.classes=2'], said.append)
  assert config.stages[1]['game']['discriminator']['classes'] == 2
  (line,) = said
  assert line.startswith('note: ') and 'config.stages[1].game.discriminator.classes=2' in line
  config_lib.override(config, ['--config.data.classes=2', '--config.steps=9'], said.append)
  assert len(said) == 1


def test_a_stream_that_is_none_is_left_to_the_check_of_streams():
  config = config_lib.load('configs/cyclegan.py:digits')
  with config.unlocked():
    config.data.typo = 3
  config_lib.override(config, ['--config.steps=9'])
  with config.unlocked(), config.ignore_type():
    config.data, config.stages = 'digits', ('none',)
  config_lib.override(config, ['--config.steps=9'])


def test_a_setting_of_an_element_that_its_config_leaves_out_or_leaves_none():
  config = config_lib.load('configs/lapgan.py:digits')
  config.game.generators[0]['irange'] = None
  config = config_lib.override(
    config, ['--config.game.generators[0].irange=0.25', '--config.game.generators[0].last_irange=0.5']
  )
  assert config.game.generators[0]['irange'] == 0.25 and config.game.generators[0]['last_irange'] == 0.5
  assert 'last_irange' not in config.game.generators[1]
  config = config_lib.override(config, ['--config.game.generators[1].hidden=(3,)'])
  with pytest.raises(UserError, match=r'config\.game\.generators\[1\]\.hidden: .* takes channels'):
    runs.stages_of(config)
  for wrong in ('game.generators[2].irange', 'game.generators[x].irange', 'game.generator[0].irange'):
    with pytest.raises(UserError, match=re.escape(f"unknown setting '--config.{wrong}'")):
      config_lib.override(config, [f'--config.{wrong}=1'])


def test_overrides_keep_types():
  config = config_lib.override(
    made(),
    ['--config.game.sizes=(3, 4, 5)', '--config.steps=7', '--config.data.flip=true', '--config.data.name=ring'],
  )
  assert config.game.sizes == (3, 4, 5) and config.steps == 7
  assert config.data.flip is True and config.data.name == 'ring'


@pytest.mark.parametrize(
  ('argument', 'words'),
  [
    ('batch_size=1e3', "config.batch_size='1e3' must be a whole number, such as 64"),
    ('batch_size=', "config.batch_size='' must be a whole number, such as 64"),
    ('game.sizes[1]=x', "config.game.sizes[1]='x' must be a whole number, such as 2"),
    ('remat=yes', "config.remat='yes' must be true or false"),
    ('data=mnist', "config.data='mnist' must be a dict of settings: write --config.data.name=mnist"),
    (
      'optimizers.generator=optax.sgd',
      "config.optimizers.generator='optax.sgd' must be a dict of settings: write "
      "--config.optimizers.generator=\"{'name': 'optax.sgd'}\"",
    ),
    ('optimizers=adam', "config.optimizers='adam' must be a dict of settings"),
    ('data={2', "config.data='{2' must be a dict of settings"),
    (
      'optimizers.generator.learning_rate=fast',
      "config.optimizers.generator.learning_rate='fast' must be a number, such as 0.001",
    ),
  ],
)
def test_a_value_of_the_wrong_type_is_told_what_is_right(argument, words):
  with pytest.raises(UserError, match=f'^{re.escape(words)}$'):
    config_lib.override(made(), [f'--config.{argument}'])


def test_a_setting_that_is_not_there_is_told_those_that_are():
  for argument in ('nosuch=3', 'optimizers.generator.rate[0]=3'):
    with pytest.raises(UserError, match='settings here: '):
      config_lib.override(made(), [f'--config.{argument}'])


@pytest.mark.parametrize(
  ('arguments', 'setting', 'wanted'),
  [
    (["game.loss={'name': 'smoothed', 'real': 0.8}"], 'game.loss', {'name': 'smoothed', 'real': 0.8}),
    (["game.loss={'name': 'smoothed', 'real': 0.8}", 'game.loss=hinge'], 'game.loss', 'hinge'),
    (
      ["optimizers.generator.learning_rate={'name': 'optax.constant_schedule', 'value': 0.1}"],
      'optimizers.generator.learning_rate',
      {'name': 'optax.constant_schedule', 'value': 0.1},
    ),
    (["ema.generator={'name': 'averages.warm_up', 'decay': 0.9}", 'ema.generator=0.5'], 'ema.generator', 0.5),
  ],
)
def test_what_is_built_takes_the_place_of_a_name_or_a_number_and_these_of_it(arguments, setting, wanted):
  config = config_lib.override(config_lib.load('configs/quickstart.py'), [f'--config.{text}' for text in arguments])
  here = config
  for part in setting.split('.'):
    here = here[part]
  assert (here.to_dict() if hasattr(here, 'to_dict') else here) == wanted
  assert runs.stages_of(config), 'it builds'


def test_none_takes_away_a_part_that_a_file_sets():
  """An augmentation of StyleGAN 2, a penalty of WGAN-GP."""
  for file, part in (('stylegan2.py:digits', 'augment'), ('wgan_gp.py:digits', 'penalty')):
    config = config_lib.override(config_lib.load(f'configs/{file}'), [f'--config.game.{part}=None'])
    assert config.game[part] is None
    assert config_lib.from_json(config_lib.to_json(config)).game[part] is None
  with pytest.raises(UserError, match=r"^config\.optimizers='None' must be a dict of settings$"):
    config_lib.override(config, ['--config.optimizers=None'])


def test_none_takes_the_place_of_a_number_where_a_class_knows_none():
  config = config_lib.read('configs/stylegan2.py:faces64', ['--config.ema.generator.ramp_up=None'])
  assert config.ema.generator.ramp_up is None
  assert runs.stages_of(config)[0].ema['generator'].ramp_up is None
  config = config_lib.override(config, ['--config.ema.generator.ramp_up=0.1'])
  assert config.ema.generator.ramp_up == 0.1
  with pytest.raises(UserError, match=r'config\.game\.generator\.units=None is of type NoneType: it must be int'):
    runs.stages_of(config_lib.override(config, ['--config.game.generator.units=None']))
  with pytest.raises(UserError, match=r"^config\.steps='None' must be a whole number, such as 781250$"):
    config_lib.override(config, ['--config.steps=None'])


def test_none_takes_the_place_of_a_number_in_an_element():
  config = made()
  config.game.generators = ({'name': 'cogan.Generator', 'irange': 0.1},)
  config = config_lib.override(config, ['--config.game.generators[0].irange=None'])
  assert config.game.generators[0]['irange'] is None


@pytest.mark.parametrize(('name', 'config'), list(config_lib.shipped()), ids=lambda x: x if isinstance(x, str) else '')
def test_json_returns_the_same_config(name, config):
  text = config_lib.to_json(config)
  again = config_lib.from_json(text)
  assert again.to_dict() == config.to_dict()
  assert config_lib.to_json(again) == text


def test_differences_of_lists_of_settings_name_the_entry():
  one, other = [{'a': 1}, {'b': {'c': 2}}], [{'a': 1}, {'b': {'c': 3}}]
  differences = config_lib.differences
  assert differences({'stages': one}, {'stages': other}) == ['config.stages[1].b.c: 2 -> 3']
  assert differences({'stages': one}, {'stages': other[:1]}) == [f'config.stages: {one} -> {other[:1]}']
  assert differences([[1, 2]], [[1, 3]]) == ['config: [[1, 2]] -> [[1, 3]]']


def test_differences_name_the_path():
  a, b = made().to_dict(), made().to_dict()
  b['optimizers']['generator']['learning_rate'] = 2.0
  del b['data']['flip']
  assert config_lib.differences(a, b) == [
    'config.data.flip: False -> None',
    'config.optimizers.generator.learning_rate: 0.001 -> 2.0',
  ]


def test_files_of_the_working_folder_come_first(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert config_lib.load('configs/quickstart.py').data.name == 'digits', 'falls back to the shipped one'
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / 'quickstart.py').write_text(
    'from gan_jax import config\n'
    'VARIANTS = ("a", "b")\n'
    'def get_config(variant):\n'
    '  return config.base(game={"variant": variant}, optimizers={}, data=config.stream(name="ring"))\n'
  )
  assert config_lib.load('configs/quickstart.py').data.name == 'ring'
  assert config_lib.load('configs/quickstart.py:b').game.variant == 'b'
  with pytest.raises(UserError, match=r"unknown variant of configs/quickstart\.py 'c': choose one of a, b"):
    config_lib.load('configs/quickstart.py:c')


def test_a_setting_that_refers_to_another_goes_on_with_it():
  game = ml_collections.ConfigDict({'name': 'x', 'rate': 1.0})
  game.also = game.get_ref('rate')
  config = config_lib.override(ml_collections.ConfigDict({'game': game}), ['--config.game.rate=3'])
  assert config.game.also == config.game.rate == 3.0 and isinstance(config.game.rate, float)
