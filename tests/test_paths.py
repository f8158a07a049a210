"""Paths as people write them, and data that have moved."""

import dataclasses
import json
import os

import numpy as np
import pytest

import gan_jax
from gan_jax import config as config_lib
from gan_jax import evaluate, main, sample
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.base.paths import expand
from gan_jax.data import sources
from gan_jax.data.sources import remembered
from gan_jax.data.streams import Stream
from gan_jax.sampling.moved import moved
from gan_jax.training import loop

POINTS = [
  '--config', 'configs/gan.py:ring', '--config.steps=2', '--config.batch_size=8', '--config.devices=1',
  '--config.game.generator.hidden=(8,)', '--config.game.discriminator.hidden=(8,)', '--config.samples=4',
]  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  (tmp_path / 'home').mkdir()
  monkeypatch.chdir(tmp_path)
  return tmp_path / 'home'


def test_a_tilde_is_the_home_folder_at_every_door(home, tmp_path):
  main.main([*POINTS, '--workdir=~/r'])
  names = {file.name for file in (home / 'r').iterdir()}
  assert {'config.json', 'metrics.jsonl', 'samples', 'checkpoints', 'examples.json'} <= names
  assert [file.name for file in tmp_path.iterdir()] == ['home'], 'nothing in a folder called ~'
  assert gan_jax.load('~/r').workdir == expand('~/r')
  command.main(sample._define, sample._run, '', ['--workdir=~/r', '--out=~/more.npz', '--count=3'])
  assert (home / 'more.npz').exists()


def trained_on(path, folder, *settings):
  config = config_lib.override(
    config_lib.load('configs/gan.py:ring'),
    [*POINTS[2:], '--config.data.name=npz', f'--config.data.path={path}', *settings],
  )
  loop.run(config, folder, silent=True)


def test_a_run_is_sampled_where_its_data_are_not(tmp_path):
  """As a run of a folder of pictures always was: what its examples are stands in examples.json."""
  points = np.random.RandomState(0).uniform(-1, 1, (40, 2)).astype(np.float32)
  np.savez(tmp_path / 'points.npz', x=points)
  trained_on(tmp_path / 'points.npz', tmp_path / 'run')
  notes = json.loads((tmp_path / 'run' / 'examples.json').read_text())
  assert notes[0]['fields'] == {'image': [[2], 'float32']}
  before = gan_jax.load(tmp_path / 'run').sample(5, seed=3)
  os.rename(tmp_path / 'points.npz', tmp_path / 'moved.npz')
  run = gan_jax.load(tmp_path / 'run')
  np.testing.assert_array_equal(run.sample(5, seed=3), before)
  options = dict(metrics=('fid',), features='raw', samples=20)
  with pytest.raises(UserError, match=r'points\.npz'):
    evaluate.evaluate(run, **options)
  found = evaluate.evaluate(run, data_path=str(tmp_path / 'moved.npz'), **options)
  assert all(np.isfinite(value) for value in found.values.values())
  assert 'moved.npz' in found.shared['reference']


def test_streams_of_one_set_are_remembered_apart(tmp_path):
  np.savez(tmp_path / 'x.npz', x=np.zeros((4, 8, 8, 1), np.uint8), label=np.arange(4) % 2)
  plain = Stream(name='npz', path=str(tmp_path / 'x.npz'), size=8, channels=1)
  streams = [plain, dataclasses.replace(plain, classes=2), dataclasses.replace(plain, size=4)]
  expected, notes = [stream.fields(3) for stream in streams], [remembered.note(stream) for stream in streams]
  assert len(set(map(str, expected))) == 3
  (tmp_path / 'x.npz').unlink()
  sources._open.cache_clear()
  with pytest.raises(UserError, match=r'x\.npz'):
    plain.fields(3)
  with remembered.remembering(json.loads(json.dumps(notes))):
    assert [stream.fields(3) for stream in streams] == expected
  older = {**notes[0], 'stream': notes[0]['stream'][:3]}
  with remembered.remembering([older]):
    assert plain.fields(3) == expected[0]


def test_a_set_that_moved_is_searched_for_the_same_examples(tmp_path):
  """Of each class the game saw five: the others are no training examples, wherever the set lies and is named."""
  random = np.random.RandomState(0)
  for split, count in (('train', 400), ('test', 100)):
    points = random.uniform(-1, 1, (count, 2)).astype(np.float32)
    np.savez(tmp_path / f'{split}.npz', x=points, label=np.arange(count) % 2)
  trained_on(tmp_path / '{split}.npz', tmp_path / 'run', '--config.data.classes=2', '--config.data.per_class=5')
  run, options = gan_jax.load(tmp_path / 'run'), dict(metrics=('neighbours',), samples=50)
  values = evaluate.evaluate(run, **options).values
  assert evaluate.evaluate(run, stream='images', **options).values == values
  assert evaluate.evaluate(run, split='train', **options).values == values
  for split in ('train', 'test'):
    os.rename(tmp_path / f'{split}.npz', tmp_path / f'{split}_moved.npz')
  moved = str(tmp_path / '{split}_moved.npz')
  assert evaluate.evaluate(gan_jax.load(tmp_path / 'run'), data_path=moved, **options).values == values


def test_streams_of_one_path_move_together():
  of = lambda **paths: {name: Stream(name='npz', path=path) for name, path in paths.items()}
  paths = lambda *arguments: [stream.path for stream in moved(*arguments).values()]
  assert paths(of(a='x', b='x', c=''), 'y') == paths(of(a='x', b='x', c=''), 'y', 'b') == ['y', 'y', '']
  assert paths(of(a='x', b='z'), 'y', 'b') == paths(of(a='x', b='z'), 'b=y') == ['x', 'y']
  assert paths(of(a='x'), 'y=z') == ['y=z']
  with pytest.raises(UserError, match='--data_path=y: name which of a, b it is, such as a=PATH'):
    moved(of(a='x', b='z'), 'y')
  with pytest.raises(UserError, match=r"unknown stream with a path, .* 'b'"):
    moved(of(a='x', b=''), 'b=y')


def test_a_path_for_data_without_one_is_an_error(tmp_path):
  config = config_lib.override(config_lib.load('configs/gan.py:ring'), POINTS[2:])
  loop.run(config, tmp_path / 'run', silent=True)
  with pytest.raises(UserError, match=r'--data_path=elsewhere: the data of .* have no path'):
    evaluate.evaluate(gan_jax.load(tmp_path / 'run'), data_path='elsewhere')
