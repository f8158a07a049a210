"""configs/folder.py: what it sees in a folder, what it chooses for whom, and that every choice can be overridden."""

import math
import re
import runpy
import types

import jax
import numpy as np
import pages
import pytest
from cases import few
from etils import epath
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.config import files
from gan_jax.data import looks
from gan_jax.runs import run_config
from gan_jax.training import notes


@pytest.fixture
def photos(tmp_path):
  """Twelve colour pictures of 70 to 92 pixels, one that is none, and a text."""
  folder = tmp_path / 'photos'
  folder.mkdir()
  for i in range(12):
    Image.fromarray(np.full((70 + 2 * i, 120, 3), i, np.uint8)).save(folder / f'{i}.png')
  (folder / 'broken.png').write_bytes(b'none')
  (folder / 'notes.txt').write_text('text')
  return folder


def of(path, *arguments):
  return config_lib.read('configs/folder.py', [f'--config.data.path={path}', *arguments])


def as_if(monkeypatch, speed, pictures=None, side=300, grey=False, classes=()):
  """The config file on another machine, and with another folder."""
  original = files._module
  module = original(files.find('configs/folder.py'))
  monkeypatch.setattr(module, 'machine', lambda: ('a machine', speed))
  if pictures:
    monkeypatch.setattr(module, 'look', lambda path: looks.Look(pictures, side, grey, classes))
  monkeypatch.setattr(files, '_module', lambda file: module if file.name == 'folder.py' else original(file))
  return module


def test_a_look_counts_pictures_and_their_shorter_sides(photos):
  assert looks.look(str(photos)) == looks.Look(13, 72, False)
  for file in photos.glob('?.png'):
    Image.open(file).convert('L').save(file)
  for file in photos.glob('??.png'):
    file.unlink()
  assert looks.look(str(photos)).grey


def test_a_look_sees_subfolders_that_hold_all_pictures(photos):
  for name in ('dog', 'cat'):
    (photos / name).mkdir()
  assert looks.look(str(photos)).classes == ()
  for i, file in enumerate(sorted(photos.glob('*.png'))):
    file.rename(photos / ('cat', 'dog')[i % 2] / file.name)
  assert looks.look(str(photos)).classes == ('cat', 'dog')
  (photos / 'dog').rename(photos / 'cat' / 'dog')
  assert looks.look(str(photos)).classes == (), 'one class is none'


@pytest.mark.parametrize(('speed', 'words'), [(1.5e14, 'add --config.data.classes=7'), (4e10, 'none can be asked for')])
def test_classes_of_a_folder_are_told(monkeypatch, capsys, speed, words):
  as_if(monkeypatch, speed, 60_000, classes=tuple('abcdefg'))
  of('photos')
  (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith('classes'))
  assert line.startswith('classes   a, b, c, d, e and 2 more: ') and words in line
  config = of('photos', '--config.data.classes=7')
  game, conditional = config.game, speed > 1e12
  assert ('classes  ' in capsys.readouterr().out) == (not conditional) and config.data.classes == 7
  if conditional:
    assert game.latents.label.classes == game.generator.classes == game.discriminator.classes == 7
    config.data.path, config.game.generator.channels = '', game.generator.channels
    runs.abstract_state(runs.stages_of(config), 0, jax.random.key(0))


def test_a_folder_without_pictures_is_one_line(tmp_path):
  with pytest.raises(UserError, match='is not a folder'):
    looks.look(str(tmp_path / 'nothing'))
  (tmp_path / 'notes.txt').write_text('text')
  with pytest.raises(UserError, match=r'has no picture: name a folder with'):
    looks.look(str(tmp_path))
  (tmp_path / 'broken.png').write_bytes(b'none')
  with pytest.raises(UserError, match='none of 1 pictures can be read'):
    looks.look(str(tmp_path))


def test_a_small_machine_takes_fastgan_in_the_size_that_it_has_time_for(monkeypatch, capsys):
  as_if(monkeypatch, 4e10, 300)
  short, long = of('photos', '--config.hours=0.1'), of('photos', '--config.hours=24')
  assert (short.data.size, short.game.generator.size, short.game.name) == (32, 32, 'fastgan.FastGAN')
  assert (long.data.size, long.game.discriminator.size) == (256, 256)
  # In a day it has 3.5e15 operations: 100,000 pictures of 256 pixels by 64 channels would take 7.7e15.
  assert long.game.generator.channels == long.game.discriminator.channels == 32
  assert long.steps * long.batch_size >= 100_000
  told = capsys.readouterr().out
  assert '300 in photos, colour, mostly 300 pixels' in told and 'chosen    FastGAN (fewer than 5,000 pictures)' in told
  assert 'few' not in told.split('chosen')[0]


def test_many_pictures_and_a_fast_machine_take_r3gan_whose_schedules_end_with_it(monkeypatch, capsys):
  as_if(monkeypatch, 1.5e14, 60_000, grey=True)
  config = of('photos')
  assert config.game.generator.name == 'r3gan.Generator' and config.data.size == 256
  assert len(config.game.generator.channels) == int(math.log2(256)) - 1 and config.data.channels == 1
  assert config.game.discriminator.channels == config.game.generator.channels[::-1]
  ends = {config.game.penalty_schedule.steps, config.game.augment.probability.steps,
          config.ema.generator.images.steps, config.optimizers.generator.b2.steps,
          config.optimizers.discriminator.learning_rate.steps}  # fmt: skip
  assert ends == {config.steps}
  assert 'chosen    R3GAN (many pictures)' in capsys.readouterr().out
  as_if(monkeypatch, 4e10, 60_000)
  assert of('photos').game.name == 'fastgan.FastGAN'
  assert '(a small machine)' in capsys.readouterr().out


@pytest.mark.parametrize(('side', 'gamma'), [(32, 0.5), (64, 2.0), (128, 17.0), (256, 150.0)])
def test_the_penalty_of_r3gan_follows_the_size(monkeypatch, side, gamma):
  """The authors' gamma is 75 times as large at 256 pixels as at 64."""
  as_if(monkeypatch, 1.5e14, 60_000, side=side)
  config = of('photos')
  assert config.data.size == side and config.game.penalty.weight == gamma / 2 and config.data.flip
  shown = config.steps * config.batch_size
  assert config.ema.generator.images.end == pytest.approx(max(shown / 40, 1e5), rel=0.1)
  config = of('photos', '--config.hours=100')
  assert config.steps * config.batch_size == pytest.approx(2e7, rel=0.1)
  assert config.ema.generator.images.end == pytest.approx(5e5)  # both are the authors'


def test_schedules_of_r3gan_end_with_the_steps_that_are_given(monkeypatch):
  as_if(monkeypatch, 1e14, 50_000)
  config = of('photos', '--config.steps=5000')
  assert config.game.name == 'standard.Standard' and config.steps == 5000
  rate = config.optimizers.generator.learning_rate
  assert {config.game.penalty_schedule.steps, config.ema.generator.images.steps, rate.steps} == {5000}


def test_r3gan_makes_32_pixels_only_of_pictures_of_less_than_64(monkeypatch):
  for side, name in ((512, 'fastgan.FastGAN'), (48, 'standard.Standard'), (32, 'standard.Standard')):
    as_if(monkeypatch, 1e11, 60_000, side=side)
    assert of('photos', '--config.hours=12').game.name == name


CHOSEN = [(4e10, 50), (4e10, 300), (5e12, 60_000), (1.5e14, 60_000)]


@pytest.mark.parametrize(('speed', 'pictures'), few(CHOSEN, lambda case: case[1] == 50))
def test_what_is_chosen_can_be_built(monkeypatch, speed, pictures, capsys):
  """5e12 operations a second are R3GAN's narrowest networks for 256 pixels."""
  as_if(monkeypatch, speed, pictures)
  (stage,) = stages = runs.stages_of(of('photos'))
  runs.abstract_state(stages, 0, jax.random.key(0))
  assert stage.steps >= 100
  assert ('warning   50 pictures are few' in capsys.readouterr().out) == (pictures == 50)


def test_every_choice_can_be_overridden(photos, monkeypatch):
  as_if(monkeypatch, 4e10)
  chosen = of(photos)
  config = of(photos, '--config.steps=7', '--config.data.size=32', '--config.batch_size=4', '--config.hours=1')
  assert (config.steps, config.data.size, config.game.generator.size, config.batch_size) == (7, 32, 32, 4)
  assert chosen.data.size == 64 and chosen.data.path == str(photos)
  assert of(photos).to_dict() == chosen.to_dict(), 'the same command chooses the same'


@pytest.mark.parametrize('batch', [None, 16, 256])
def test_a_batch_that_is_given_is_chosen_for(monkeypatch, batch):
  as_if(monkeypatch, 1.5e14, 60_000)
  arguments = [] if batch is None else [f'--config.batch_size={batch}']
  config = of('photos', *arguments)
  assert config.batch_size == config.ema.generator.batch_size == (batch or 32)
  assert config.steps * config.batch_size == pytest.approx(of('photos').steps * 32, rel=0.1)
  (stage,) = stages = runs.stages_of(config)
  decay = float(stage.ema['generator'](runs.clock_at(stage, config.steps)))
  assert config.batch_size * math.log(0.5) / math.log(decay) == pytest.approx(config.ema.generator.images.end, rel=0.01)
  assert not notes.on_averages(stages)
  few = as_if(monkeypatch, 1.5e14, 300) and of('photos', *arguments)
  assert few.batch_size == (batch or 8) and few.steps * few.batch_size == pytest.approx(800_000, rel=0.1)


@pytest.mark.parametrize('batch', ['0', '-8', '2.5', 'many', 'True', 'None'])
def test_batches_that_are_none(monkeypatch, batch):
  as_if(monkeypatch, 4e10, 300)
  with pytest.raises(UserError, match=r'config\.batch_size=.* must be a whole number of at least 1'):
    of('photos', f'--config.batch_size={batch}')


@pytest.mark.parametrize(
  ('speed', 'pictures', 'size', 'channels', 'why'),
  [
    (1e11, 120, 256, 32, 'fewer than 5,000 pictures'),  # the chooser's own would be 128
    (1e9, 120, 1024, 64, 'fewer than 5,000 pictures'),
    (1e9, 120, 128, 16, 'fewer than 5,000 pictures'),
    (1.5e14, 60_000, 512, 64, 'R3GAN is for 256 pixels at most'),
    (1.5e14, 60_000, 64, None, 'many pictures'),
    (1.5e14, 60_000, 32, None, 'many pictures'),
    (1e9, 60_000, 256, 32, 'a small machine'),
  ],
)
def test_networks_are_made_for_the_size_that_is_given(monkeypatch, capsys, speed, pictures, size, channels, why):
  as_if(monkeypatch, speed, pictures)
  config = of('photos', f'--config.data.size={size}')
  networks = config.game.generator, config.game.discriminator
  assert config.data.size == size and f'({why}), {size}x{size} pixels' in capsys.readouterr().out
  if channels:
    assert [(network.name[:8], network.size, network.channels) for network in networks] == [
      ('fastgan.', size, channels)
    ] * 2
  else:
    assert [len(network.channels) for network in networks] == [int(math.log2(size)) - 1] * 2
  runs.stages_of(config)


@pytest.mark.parametrize('size', [100, 16, 2048, 'large', None])
def test_a_size_that_no_network_has(monkeypatch, size):
  as_if(monkeypatch, 1.5e14, 60_000)
  with pytest.raises(UserError, match=rf'config\.data\.size=.*{size}.* for 32, 64, 128, 256, 512, 1024 pixels'):
    of('photos', f'--config.data.size={size}')


@pytest.mark.parametrize('pictures', [300, 60_000])
@pytest.mark.parametrize('seen_grey', [False, True])
@pytest.mark.parametrize('channels', [1, 3])
def test_networks_are_made_for_the_colours_that_are_given(monkeypatch, pictures, seen_grey, channels):
  as_if(monkeypatch, 1.5e14, pictures, side=32, grey=seen_grey)
  config = of('photos', f'--config.data.channels={channels}')
  assert config.data.channels == config.game.generator.out_channels == channels
  assert config.game.discriminator.get('out_channels', channels) == channels
  assert of('photos').data.channels == of('photos').game.generator.out_channels == (1 if seen_grey else 3)


def test_on_another_machine_the_config_of_the_run_takes_what_was_chosen_before(photos, monkeypatch, tmp_path):
  as_if(monkeypatch, 4e10)
  run_config.write_config(epath.Path(tmp_path), of(photos))
  monkeypatch.undo()
  as_if(monkeypatch, 4e8)
  with pytest.raises(UserError, match=r'other settings \(.*config\.game\.generator\.size: 64 -> 32'):
    run_config.check_resumable(epath.Path(tmp_path), of(photos))
  again = config_lib.read(str(tmp_path / 'config.json'), ['--config.steps=7'])
  run_config.check_resumable(epath.Path(tmp_path), again)
  assert again.steps == 7 and again.game.generator.size == 64


def test_a_run_of_r3gan_is_made_longer_by_its_own_config(monkeypatch, tmp_path):
  as_if(monkeypatch, 1e14, 50_000)
  config = of('photos')
  config.resume = 'force'  # once
  run_config.write_config(epath.Path(tmp_path), config)
  longer = config_lib.read(str(tmp_path / 'config.json'), [f'--config.steps={2 * config.steps}'])
  run_config.check_resumable(epath.Path(tmp_path), longer)
  assert longer.resume == 'auto'
  longer.batch_size += 1
  with pytest.raises(UserError, match=r'other settings \(config\.batch_size'):
    run_config.check_resumable(epath.Path(tmp_path), longer)


def test_a_json_that_is_no_config_of_a_run(tmp_path):
  for text in ('no', '[1]', '{"nothing": 1}'):
    (tmp_path / 'other.json').write_text(text)
    with pytest.raises(UserError, match=r'other\.json.* is no config\.json of a run|unknown'):
      config_lib.load(str(tmp_path / 'other.json'))


@pytest.mark.parametrize('hours', ['0', '-1', 'True', 'many', '1e999'])
def test_hours_that_are_none(photos, hours):
  with pytest.raises(UserError, match=r'config\.hours=.* must be a number of hours above 0'):
    of(photos, f'--config.hours={hours}')


def test_without_a_path_it_is_the_digits():
  assert config_lib.load('configs/folder.py').to_dict() == config_lib.load('configs/fastgan.py:digits').to_dict()


def test_a_setting_of_another_file_is_unknown(photos):
  with pytest.raises(UserError, match=r"unknown setting '--config\.hour'"):
    of(photos, '--config.hour=3')
  with pytest.raises(UserError, match=r"unknown setting '--config\.hours'"):
    config_lib.read('configs/quickstart.py', ['--config.hours=3'])


def test_the_table_of_choices_is_what_the_config_for_folders_chooses(monkeypatch):
  text = (pages.ROOT / 'docs' / 'choosing.md').read_text()
  module = runpy.run_path(str(pages.ROOT / 'configs' / 'folder.py'))
  choose, machine = module['get_config'], module['machine']
  names = choose.__globals__
  rows = re.findall(r'^\| ([^|]*(?:cores|T4|v5e)) \|(.*)\|$', text, re.MULTILINE)
  speeds = {'2 CPU cores': [2 * names['CORE']], '8 CPU cores': [8 * names['CORE']], 'one T4': [names['DEVICES']['T4']]}
  several = 'one L4, A100, H100 or a chip of TPU v5e'
  speeds[several] = [names['DEVICES'][name] for name in ('L4', 'A100', 'H100', 'v5')]
  assert [name for name, _ in rows] == list(speeds) and callable(machine)
  monkeypatch.setitem(names, 'console', types.SimpleNamespace(say=lambda line: None))
  for name, cells in rows:
    for speed in speeds[name]:
      found = []
      for count in (1_000, 20_000):
        monkeypatch.setitem(names, 'look', lambda path, count=count: looks.Look(count, 512, False))
        monkeypatch.setitem(names, 'machine', lambda name=name, speed=speed: (name, speed))
        for hours in (2, 12):
          config = choose('auto', {'data.path': 'photos', 'hours': hours})
          system = 'FastGAN' if config.game.name.startswith('fastgan') else 'R3GAN'
          found.append(f'{system}, {config.data.size} pixels')
      assert [cell.strip() for cell in cells.split('|')] == found
