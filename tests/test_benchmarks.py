"""The benchmarks' programs in their smallest form; nothing here asserts a time."""

import argparse
import json
import subprocess
import sys
import types

import flax.linen as nn
import jax
import numpy as np
import pytest

from benchmarks import (
  attacks,
  coarse_to_fine,
  compile_for_gpu,
  contest,
  faces,
  growth,
  optimizers,
  products,
  rows,
  run,
  stability,
  stacked,
  translation,
  tricks,
)
from benchmarks.works import WORKS
from gan_jax import config as config_lib
from gan_jax import main, runs
from gan_jax.base.errors import UserError
from gan_jax.data.streams import Stream
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import summary


@pytest.mark.slow
@pytest.mark.parametrize('more', [(), ('--apart',)])
def test_gan_jax_alone(more, tmp_path, capsys):
  (row,) = run.main(['--work', 'gan2014', '--small', '--steps', '2', '--rounds', '1', '--variants', '', *more])
  assert row['seconds'] > 0 and row['matrix'] > 0 and row['memory'] > 0 and 'ratio' not in row
  assert WORKS['gan2014'].title in capsys.readouterr().out


def test_kernels_of_a_compiled_program():
  program = """
%wrapped_add (p: f32[2]) -> f32[2] {
  %inner = f32[2]{0} copy(%p)
}
ENTRY %main (p: f32[2]) -> f32[2] {
  %f = f32[2]{0} fusion(%p), kind=kLoop, calls=%wrapped_add
  %c = (f32[2]{0}, u8[0]{0}) custom-call(%f), custom_call_target="__cudnn$convForward"
  ROOT %r = f32[2]{0} copy(%f)
}"""
  assert compile_for_gpu.kernels(program) == {'fusions': 1, 'cudnn': 1, 'copies': 1}


def test_products_are_the_flops_of_a_step():
  counts = products.products()
  flops = sum(count * 2 * rows * inner * columns for (rows, inner, columns, _), count in counts.items())
  population = experiment_of(config_lib.load('configs/gan.py:mnist'))
  # All that a step computes is but 2 % more: biases, maxima, masks, losses.
  assert flops == pytest.approx(summary.flops(population, 0), rel=0.03)


@pytest.mark.slow
def test_growth_of_the_cost():
  assert growth.main(['--work', 'gan2014', '--small'])['gan2014']['flops'] > 0
  rows = growth.main(['--small'])
  flops = {title: row['flops'] for title, row in rows.items()}
  # The networks' part divides by the devices; what every device does, such as Adam, does not.
  assert flops['8 devices, batch 8'] < flops['1 devices, batch 8'] / 4
  assert 1.7 < flops['batch 32'] / flops['batch 16'] <= 2.01
  step = flops['2 discriminators'] - flops['1 discriminators']
  assert flops['4 discriminators'] - flops['2 discriminators'] == pytest.approx(2 * step, rel=0.05)


def _shapes(config):
  (stage,) = runs.stages_of(config)
  state = runs.abstract_state((stage,), 0, jax.random.key(0))
  kernels = lambda name: sorted(leaf.shape for leaf in jax.tree.leaves(state.players[name].params) if leaf.ndim == 4)
  return kernels('generator'), kernels('discriminator')


def test_rows_of_stacked_digits_have_the_same_convolutions():
  options = dict(data='stacked/digits', size=8, up=(8, 4), steps=2)
  shapes = {row: _shapes(stacked.settings(row, **options)) for row in stacked.ROWS}
  # An auto-encoder goes down and up again.
  up, down = [(4, 4, 3, 4), (4, 4, 4, 8)], [(4, 4, 3, 4), (4, 4, 4, 8)]
  assert shapes.pop('ebgan') == (up, sorted(up + down))
  assert set(map(repr, shapes.values())) == {repr((up, down))}


@pytest.mark.slow
def test_pairs_of_the_stability_table_are_games():
  for loss in stability.losses(1.0):
    for architecture in stability.ARCHITECTURES:
      generator, discriminator = _shapes(stability.settings(loss, architecture, 2, 0, 1.0))
      assert len(generator) == {'mlp': 0, 'deep': 2 + 6}.get(architecture, 2)
      assert len(discriminator) == {'deep': 2 + 6}.get(architecture, 2)


def test_rows_of_the_optimizers_differ_from_adam_in_one_thing_each():
  plain = optimizers.settings('adam', 2, 0).to_dict()
  for row in set(optimizers.ROWS) - {'adam'}:
    other = optimizers.settings(row, 2, 0).to_dict()
    assert [key for key in plain if plain[key] != other[key]] in (['game'], ['optimizers']), row
    _shapes(optimizers.settings(row, 2, 0))


@pytest.mark.slow
def test_table_of_optimizers(tmp_path):
  options = ['--workdir', str(tmp_path), '--steps', '2', '--samples', '60', '--rows', 'adam,extragradient']
  printed = optimizers.main([*options, '--seeds', '1'])
  assert '| Adam, in turns | 1.00 |' in printed and '| extragradient, looking 0.1 ahead, then Adam | 1.' in printed
  assert optimizers.main([*options, '--table']) == printed


@pytest.mark.slow
def test_tables_of_stacked_digits_and_of_stability(tmp_path):
  common = ['--workdir', str(tmp_path), '--steps', '2', '--samples', '60']
  stack = [*common, '--rows', 'dcgan,ebgan', '--data', 'stacked/digits', '--size', '8', '--channels', '8,4']
  printed = stacked.main(stack)
  assert '| DCGAN (-log D) | 1 | 2 |' in printed and 'EBGAN-PT' in printed and 'accuracy' in printed
  assert stacked.main(stack) == printed  # nothing is trained again, or the time would differ
  printed = stability.main([*common, '--losses', 'wgan_gp', '--architectures', 'mlp'])
  assert '| 4 layers of 512, no convolutions in G |  |  |  | ' in printed


def test_rates_fall_in_fewer_steps_as_in_all():
  rate = lambda player: translation.settings('stargan', 'stargan_Male', 1000, '').optimizers[player].learning_rate
  assert (rate('generator').transition_begin, rate('generator').transition_steps) == (100, 100)
  assert rate('discriminator').transition_begin == 500  # five moves a step
  whole = translation.settings('unpaired', 'no_pool', 0, '')
  assert whole.optimizers.generator.learning_rate.transition_begin == whole.steps // 2 and whole.game.pool == 0
  short = translation.settings('unpaired', 'discogan', 1000, '', ['game.generator_ab.channels=(8,)'])
  assert short.game.rates == ((0, 0.01), (100, 0.5)) and short.game.generator_ab.channels == (8,)


def test_combinations_of_attributes():
  parts = {'train': np.array([[1, 0], [0, 0], [1, 0]]), 'test': np.array([[0, 1], [0, 0]])}
  kinds, labels = translation.combinations(parts)
  assert len(kinds) == 3 and all((kinds[labels[part]] == rows).all() for part, rows in parts.items())


def test_a_row_of_other_settings_is_not_taken_for_it(tmp_path):
  rows.write(tmp_path, {'frechet': 1.0}, set=['game.pool=0'], steps=1, data='')
  translation.measure('unpaired', 'cyclegan', tmp_path, 1, '', ['game.pool=0'])  # it is there
  with pytest.raises(SystemExit, match=r"measured with set=\['game.pool=0'\], not \['game.pool=5'\]"):
    translation.measure('unpaired', 'cyclegan', tmp_path, 1, '', ['game.pool=5'])
  with pytest.raises(SystemExit, match='measured with steps=1, not 2'):
    translation.measure('unpaired', 'cyclegan', tmp_path, 2, '', ['game.pool=0'])
  options = dict(steps=9, seed=0, faster=4.0)
  rows.write(tmp_path, {'distance': 1.0}, samples=2, **options)
  stability.measure('gan', 'dcgan', tmp_path, 2, **options)
  for other in (dict(seed=1), dict(steps=8), dict(faster=1.0), dict(samples=3)):
    with pytest.raises(SystemExit, match='take another --workdir'):
      stability.measure('gan', 'dcgan', tmp_path, **{'samples': 2, **options, **other})
  rows.write(tmp_path, {}, up=(8, 4), data='stacked/digits', size=8, steps=2, samples=60)
  stacked.measure('dcgan', tmp_path, 60, data='stacked/digits', size=8, up=(8, 4), steps=2)
  with pytest.raises(SystemExit, match='size=8, not 32'):
    stacked.measure('dcgan', tmp_path, 60, data='stacked/digits', size=32, up=(8, 4), steps=2)
  rows.write(tmp_path, {}, steps=2, samples=60)
  with pytest.raises(SystemExit, match='samples=60, not 61'):
    optimizers.measure('adam', 0, tmp_path, 2, 61)
  row, other = (next(iter(coarse_to_fine.stacked(int, data).values())) for data in ('digits', 'cifar10'))
  rows.write(tmp_path, {'points': []}, config=row.config, changes=row.changes, samples=60)
  coarse_to_fine.measure(row, tmp_path, 60)
  with pytest.raises(SystemExit, match='take another --workdir'):
    coarse_to_fine.measure(other, tmp_path, 60)


def test_a_judge_learns_the_labels_that_it_is_given(tmp_path, monkeypatch):
  kept = []
  monkeypatch.setattr(translation.choose, 'choose', lambda kind, stream, say: kept.append(stream))
  images = np.zeros((4, 8, 8, 3), np.uint8)
  for labels in (np.array([0, 1, 1, 0]), np.array([1, 1, 0, 0])):
    translation.judge(tmp_path, 'faces', {'train': (images, labels), 'test': (images, labels)})
    assert np.load(kept[-1].path.format(split='train'))['label'].tolist() == labels.tolist()


def test_pairs_without_a_held_out_split_are_refused(tmp_path):
  np.savez(tmp_path / 'train.npz', image=np.zeros((3, 8, 8, 1), np.uint8))
  stream = Stream(name='npz', path=str(tmp_path / '{split}.npz'), size=8, channels=1)
  run = types.SimpleNamespace(stage=types.SimpleNamespace(streams={'images': stream}))
  with pytest.raises(UserError, match="no split but 'train': its figures would be of training"):
    translation.held_out(run, 'images')


def test_starred_faces_are_those_that_lack_what_is_asked_for(monkeypatch):
  # A perfect translation of four faces: what is seen of it is 1, and its features are those of the faces that have it.
  attributes = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])
  names = translation.ATTRIBUTES
  fields = {'image': np.zeros((4, 2, 2, 5), np.float32) + attributes[:, None, None], 'attributes': attributes}
  game = types.SimpleNamespace(domains=names)
  stream = Stream(name='digits', size=8, channels=1, columns={})
  run = types.SimpleNamespace(stage=types.SimpleNamespace(game=game, streams={'images': stream}))
  made = {}
  for place, name in enumerate(names):
    made[name] = fields['image'].copy()
    made[name][..., place] = 1  # in all faces, also where the game of five would leave the attribute
  # What comes back of the faces that have the attribute is far off, and does not count.
  again = {
    name: fields['image'] + np.where(attributes[:, place] == 1, 50.0, 0.5)[:, None, None, None]
    for place, name in enumerate(names)
  }
  compared = {}
  monkeypatch.setattr(translation, 'stored', lambda stream, part: (fields['image'], fields))
  monkeypatch.setattr(translation, 'held_out', lambda run, name: (stream, fields))
  monkeypatch.setattr(
    translation,
    'applied',
    lambda run, method, batch: made if method == 'sample' else again,
  )
  monkeypatch.setattr(translation, 'to_uint8', lambda image, limits: image)
  kinds = np.unique(attributes, axis=0)
  place_of = lambda row: int((kinds == row).all(1).argmax())

  def described(extractor, image):
    seen = image[:, 0, 0]
    return {'features': seen, 'logits': np.eye(len(kinds))[[place_of(row) for row in seen]]}

  monkeypatch.setattr(translation, 'described', described)
  monkeypatch.setattr(translation, 'judge', lambda *_: types.SimpleNamespace(protocol=''))
  monkeypatch.setattr(
    translation, 'distances', lambda fake, real: compared.setdefault(len(compared), (fake, real)) and {}
  )
  found = translation.starred(run, None)
  for place, name in enumerate(names):
    fake, real = compared[place]
    assert found[name]['asked'] == len(fake) == (attributes[:, place] == 0).sum()
    assert (fake[:, place] == 1).all() and (real[:, place] == 1).all()
    assert found[name]['cycle'] == pytest.approx(0.5 / 2) and found[name]['moved'] == pytest.approx(1)


def test_a_discriminator_judges_batches_of_the_size_that_it_learnt_from():
  size, sizes = 4, []

  class Game(nn.Module):
    def discriminator(self, image, train):
      sizes.append(image.shape[0])
      return image.sum(1) + 0 * image.shape[0]

  run = types.SimpleNamespace(
    stage=types.SimpleNamespace(game=Game(), batch_size=size), variables=lambda ema: {'params': {}}
  )
  images = np.arange(22.0, dtype=np.float32).reshape(11, 2)
  np.testing.assert_array_equal(tricks.judged(run, images), images.sum(1))
  assert sizes == [4]


def test_a_system_that_was_killed_forgets_what_it_did_not_save(tmp_path):
  values = argparse.Namespace(workdir=str(tmp_path), width=0.25, steps_per_call=1, set=[])
  system = contest.System('dcgan', values)
  system.forget()  # nothing is there
  (system.folder / 'checkpoints' / '40').mkdir(parents=True)
  (system.folder / 'metrics.jsonl').write_text(''.join(json.dumps({'step': i}) + '\n' for i in (20, 40, 60, 80)))
  system.forget()
  assert [json.loads(row)['step'] for row in system.rows] == [20, 40]


@pytest.mark.parametrize('share', [1.0, 0.3, 0.25, 0.125])
def test_groups_of_r3gan_divide_its_channels(share):
  group = int(contest.grouped(share)[0].split('=')[1])
  assert all(2 * int(width * share) % group == 0 for width in (96, 192)) and group >= 2


@pytest.mark.parametrize(('table', 'data'), [*((table, '') for table in coarse_to_fine.TABLES), ('stacked', 'digits')])
def test_rows_from_coarse_to_fine_are_measured_where_there_are_checkpoints(table, data):
  for share in (1.0, 0.5):
    rows, _ = coarse_to_fine.TABLES[table]
    for name, row in rows(lambda count, share=share: round(count * share), data).items():
      if name.endswith('_1'):  # another seed
        continue
      config = coarse_to_fine.config_of(row)
      ends = {stage.last_step for stage in runs.stages_of(config)}
      assert max(row.points) == max(ends)
      assert all(step in ends or step % config.checkpoint_every == 0 for step in row.points), name
      assert len(row.points) <= config.keep


def test_a_table_from_coarse_to_fine():
  points = [
    {'step': 2000, 'minutes': 7.6, 'figures': {'distance': 12.345, coarse_to_fine.LARGE: 3.0}, 'protocols': ['p']}
  ]
  lines = coarse_to_fine.lines_of('titles', {'StackGAN': points})
  assert lines[0] == '| | steps | minutes | distance | score | type asked for | colour asked for | at 64 pixels |'
  assert lines[2:] == ['| StackGAN | 2,000 | 8 | 12.35 |  |  |  | 3 |', '', 'p', '']


@pytest.mark.parametrize(('quick', 'restarts'), [(False, 5), (True, 2)])
def test_a_row_of_attacks_says_how_many_restarts_it_has(quick, restarts):
  titles = attacks.all_attacks(0.25, quick)
  assert [title for title in titles if 'restart' in title] == [f'PGD-40, {restarts} restarts']
  assert titles[f'PGD-40, {restarts} restarts'][1]['restarts'] == restarts


@pytest.mark.slow
def test_tables_of_adversarial_examples(tmp_path):
  common = ['--workdir', str(tmp_path), '--set', 'digits', '--rows', 'plain,fgsm', '--steps', '30', '--count', '40']
  printed = attacks.main([*common, '--quick', '--parts', 'table,transfer,density,picture,seeds', '--seeds', '2'])
  for title in ('| attack | plain | fgsm |', '| square |', '| all others, mean of losses |', '| noise, signs |'):
    assert title in printed
  assert '| trained | clean error, % |' in printed and '40 test pictures' not in printed.split('## seeds')[1]
  assert (tmp_path / 'digits-plain.png').exists()
  gan = str(tmp_path / 'gan')
  main.main(['--config', 'configs/gan.py:digits', '--workdir', gan, '--config.steps=2', '--config.devices=1'])
  printed = attacks.main([*common, '--quick', '--parts', 'density,project', '--gan', gan, '--restarts', '1'])
  assert 'logit of the discriminator' in printed and f'in the range of {gan}' in printed


#: Stands for a training: rows of metrics, and a checkpoint when it is asked to end. A second request would kill it.
TRAINING = """
import json, pathlib, signal, sys, time
folder, stopped = pathlib.Path(sys.argv[1]), []
signal.signal(signal.SIGTERM, lambda *_: (stopped.append(1), signal.signal(signal.SIGTERM, signal.SIG_DFL)))
step = 0
with open(folder / 'metrics.jsonl', 'a') as file:
  while not stopped:
    time.sleep(0.02)
    step += 1
    print(json.dumps({'step': step}), file=file, flush=True)
time.sleep(0.2)  # it saves
(folder / 'checkpoints' / str(step)).mkdir(parents=True)
sys.exit(143)
"""


def test_systems_of_a_contest_take_turns(tmp_path, monkeypatch):
  def start(self):
    self.before, self.started, self.first_row = 0, 0.0, None
    self.process = subprocess.Popen([sys.executable, '-c', TRAINING, str(self.folder)])

  def turn(self, seconds, whole=contest.System.turn):
    (other,) = (system for system in systems if system is not self)
    before = other.rows
    whole(self, seconds)
    assert other.rows == before, 'the others stand still'

  monkeypatch.setattr(contest.System, 'start', start)
  monkeypatch.setattr(contest.System, 'turn', turn)
  values = argparse.Namespace(
    workdir=str(tmp_path), width=0.25, steps_per_call=1, set=[], seconds=1.0, turn=0.25, together=True, patience=30
  )
  systems = [contest.System(name, values) for name in ('dcgan', 'fastgan')]
  contest.train(systems, values)
  for system in systems:
    assert 0.5 <= system.told['seconds'] <= 2 and system.told['timed_steps'] == system.told['steps'] - system.begun
    assert system.told['timed_steps'] > 0 and not system.measured
  assert contest.System('dcgan', values).spent == systems[0].told['seconds'], 'it goes on where it was'


def test_a_contest_keeps_its_options(tmp_path):
  values = argparse.Namespace(**dict.fromkeys(contest.FIXED, 1), seconds=1.0)
  contest.checked(tmp_path, values)
  values.seconds = 2.0
  contest.checked(tmp_path, values)
  values.count = 2
  with pytest.raises(SystemExit, match=r'--count=2: .* has a contest with 1: take another --workdir'):
    contest.checked(tmp_path, values)


@pytest.mark.parametrize('name', contest.ROWS)
def test_rows_of_a_contest_are_settings_of_their_configs(name, tmp_path):
  values = argparse.Namespace(workdir=str(tmp_path), width=0.125, steps_per_call=1, set=[])
  system = contest.System(name, values)
  config = config_lib.load(f'configs/{system.row.config}')
  config = config_lib.override(config, [f'--config.{setting}' for setting in system.arguments])
  assert config.data.size == contest.SIZE and not config.data.classes
  experiment = experiment_of(config)
  if name == 'r3gan':  # whose groups must divide its channels
    (tmp_path / 'pictures').mkdir()
    np.savez(tmp_path / 'pictures' / 'train.npz', image=np.zeros((2, 64, 64, 3), np.uint8))
    experiment.abstract_state(0)


def test_kinds_of_a_contest(tmp_path):
  from PIL import Image

  for split, count in (('train', 6), ('test', 2)):
    (tmp_path / split).mkdir()
    lines = ['file_name,Male,Young']
    for i in range(count):
      Image.new('RGB', (70, 80), (i, 0, 0)).save(tmp_path / split / f'{i}.png')
      lines.append(f'{i}.png,{int(i == 0)},{int(i < 3)}')
    (tmp_path / split / 'metadata.csv').write_text('\n'.join(lines))
  values = argparse.Namespace(judged_by='Male,Young', splits='train,test', count=4, least=2)
  assert contest.pictures(tmp_path, tmp_path / 'out', values) == 3  # old, young, and the one young man among the others
  files = {split: np.load(tmp_path / 'out' / f'{split}.npz') for split in ('train', 'test', 'all')}
  assert [files[split]['image'].shape for split in files] == [(4, 64, 64, 3), (2, 64, 64, 3), (6, 64, 64, 3)]
  assert files['all']['label'].tolist() == [2, 1, 1, 0, 0, 0] and files['test']['label'].tolist() == [2, 1]


def test_sums_of_attributes_where_latents_are_the_attributes():
  # The sum of (1, not b), -(0, not b) and (0, b) is (1, b); the third term alone never has the first attribute right.
  latents = np.random.RandomState(0).randint(0, 2, (200, 2)).astype(np.float32)
  places = faces.concepts(latents > 0.5, 0, 1)
  assert sorted(map(len, places.values())) == sorted(np.unique(latents, axis=0, return_counts=True)[1])
  right = lambda z, wanted: np.isclose(z, wanted).all(1)
  assert faces.sums(latents, places, right, 3, 10) == (1.0, 0.0)
