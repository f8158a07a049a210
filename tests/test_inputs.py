"""Games that read examples when they sample: with latents and without, from the run's own streams or given ones."""

import contextlib
import dataclasses
import json
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, evaluate, runs, sample
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import Options
from gan_jax.core.game import Turn
from gan_jax.data import sets, sources
from gan_jax.data.streams import Stream
from gan_jax.data.transforms import to_uint8
from gan_jax.evaluation import evaluator, measures, of_features, of_networks, of_players, suited
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.evaluation.evidence import Evidence
from gan_jax.evaluation.figures import Figure
from gan_jax.exports import folder as export_folder
from gan_jax.latents.distributions import Latents, Normal
from gan_jax.sampling import conditions
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.sampler import Sampler
from gan_jax.sampling.standing import of_stage
from gan_jax.sampling.translation import translated
from gan_jax.training import loop, summary

KEY = jax.random.key(0)


class Scale(nn.Module):
  """w x + b of every pixel, through batch norm if asked."""

  norm: bool = False

  @nn.compact
  def __call__(self, x, z=None, *, train=True):
    if self.norm:
      x = nn.BatchNorm(use_running_average=not train, use_fast_variance=False)(x)
    x = x * self.param('w', nn.initializers.ones, ()) + self.param('b', nn.initializers.zeros, ())
    return x if z is None else x + z[:, None, None, :]


class Noisy(nn.Module):
  """A translator with latents: x + z, so that what it is given is seen in what it makes."""

  generator: nn.Module
  latents: Latents = Normal((1,))
  inputs: tuple[str, ...] = ('images',)
  turns: tuple = (Turn(('generator',), 'loss'),)

  def loss(self, batch):
    return jnp.square(self.generator(batch['images']['image'])).mean()

  def sample(self, batch, train=False):
    return self.generator(batch['images']['image'], batch['latents'], train=train)


class Forgot(Noisy):
  """It does not say that it reads examples."""

  inputs: tuple[str, ...] | None = None


class Both(nn.Module):
  """A translator of two domains that draws nothing."""

  generator_ab: nn.Module
  generator_ba: nn.Module
  latents = None
  outputs = {'ab': core.Output('b', of='a'), 'ba': core.Output('a', of='b')}
  turns: tuple = (Turn(('generator',), 'loss'),)

  def loss(self, batch):
    made = self.sample(batch)
    return sum(jnp.square(made[name] - batch[name[-1]]['image']).mean() for name in made)

  def sample(self, batch):
    return {
      'ba': self.generator_ba(batch['b']['image'], train=False),
      'ab': self.generator_ab(batch['a']['image'], train=False),
    }


SCALE = {'name': 'test_inputs.Scale'}
STREAM = {'name': 'digits', 'size': 8, 'channels': 1}


def config_of(name='Noisy', *, norm=False, steps=2, **settings):
  networks = {'generator': {**SCALE, 'norm': norm}}
  data = dict(STREAM)
  if name in ('Both', 'Restored'):
    networks, data = {'generator_ab': SCALE, 'generator_ba': SCALE}, {'a': STREAM, 'b': {**STREAM, 'seed': 1}}
  return config_lib.base(
    game={'name': f'test_inputs.{name}', **networks},
    optimizers={'generator': {'name': 'optax.sgd', 'learning_rate': 0.1}},
    **{'data': data, 'batch_size': 8, 'steps': steps, 'samples': 4, 'devices': 1, **settings},
  )


@pytest.fixture(scope='module')
def noisy(tmp_path_factory):
  folder = tmp_path_factory.mktemp('noisy')
  loop.run(config_of(norm=True), folder, silent=True)
  return gan_jax.load(folder)


@pytest.fixture(scope='module')
def both(tmp_path_factory):
  folder = tmp_path_factory.mktemp('both')
  loop.run(config_of('Both'), folder, silent=True)
  return gan_jax.load(folder)


# Latents and inputs together


def test_a_game_with_latents_is_given_the_streams_that_it_names():
  game = Noisy(Scale())
  image, z = jnp.arange(6.0).reshape(3, 2, 1, 1), jnp.array([[1.0], [2.0], [3.0]])
  batch = {'images': {'image': image}, 'other': {'image': image}, 'latents': z}
  state = core.init(game, {'generator': optax.sgd(0.1)}, batch, KEY)
  assert set(core.given(game, batch)) == {'images', 'latents'}
  made = Sampler(game)({'params': state.players['generator'].params}, 3, 5, inputs={'images': {'image': image}})
  drawn = Sampler(game).latents(3, 5)
  np.testing.assert_allclose(made, image + drawn[:, None, None, :])


def test_streams_with_batch_sizes_of_their_own_meet_the_latents():
  config = config_of()
  config.data.batch_size = 4
  (stage,) = runs.stages_of(config)
  jax.eval_shape(lambda key: runs.new_state(stage, key), KEY)


def test_by_default_a_game_of_latents_reads_nothing_and_one_without_reads_all():
  assert core.inputs_of(Forgot(Scale()), ('images',)) == ()
  assert core.inputs_of(Both(Scale(), Scale()), ('a', 'b')) == ('a', 'b')


@pytest.mark.parametrize(
  ('game', 'words'),
  [
    (Forgot(Scale()), r"Forgot.sample reads the stream 'images', but is given latents.*inputs = \('images',\)"),
    (Noisy(Scale(), inputs=('photos',)), "unknown stream in the inputs of Noisy 'photos'.*images"),
    (Noisy(Scale(), inputs='images'), r"must be a tuple of streams, such as \('images',\)"),
  ],
)
def test_inputs_that_do_not_fit_are_one_line(game, words):
  batch = {'images': {'image': jnp.zeros((2, 2, 2, 1))}, 'latents': jnp.zeros((2, 1))}
  with pytest.raises(UserError, match=words):
    core.init(game, {'generator': optax.sgd(0.1)}, batch, KEY)


def test_outputs_that_do_not_fit_are_one_line():
  for outputs, words in (
    ({'ab': core.Output('c')}, "stream in the outputs of Both, 'ab' 'c'"),
    ({'ab': core.Output('b', of='c.image')}, "stream in the outputs of Both, 'ab' 'c'"),
    ({'ab': 'b'}, r"must be a core.Output, such as core.Output\('a'\)"),
    ({'ab': core.Output('b', of='a', again=True)}, r"'ab' is its input again, .* write of='b.image'"),
    ({'ab': core.Output('b', again=True)}, 'or leave out again=True'),
  ):
    game = type('Both', (Both,), {'outputs': outputs, '__annotations__': {}})(Scale(), Scale())
    with pytest.raises(UserError, match=words):
      core.outputs_of(game, ('a', 'b'))


def test_inputs_of_a_call_are_those_of_the_game():
  image = np.zeros((3, 2, 2, 1), np.float32)
  for game, inputs, words in (
    (Noisy(Scale()), None, r"reads the stream 'images' when it samples: give inputs=\{'images': fields\}"),
    (Noisy(Scale()), {'images': {'image': image}, 'b': {'image': image}}, "unknown stream that Noisy reads.*'b'"),
    (Noisy(Scale()), {'images': {'image': image[:2]}}, 'has fewer examples'),
    (Forgot(Scale()), {'images': {'image': image}}, 'read no data: leave them out'),
    (Both(Scale(), Scale()), None, r'translates examples: give inputs=\{stream: fields\}'),
  ):
    with pytest.raises(UserError, match=words):
      Sampler(game)({}, 3, 0, inputs=inputs)


def test_a_run_samples_from_its_own_streams(noisy):
  made, drawn = noisy.sample(70, seed=3), noisy.latents(70, seed=3)
  inputs = {'images': noisy.examples(n=70)}
  np.testing.assert_array_equal(made, noisy.sample(70, seed=3, inputs=inputs))
  np.testing.assert_array_equal(made, noisy.generate(drawn, seed=3))
  np.testing.assert_array_equal(made[:3], noisy.sample(3, seed=3))
  assert (noisy.workdir / 'samples' / 'step_0000002.png').exists()
  row = json.loads((noisy.workdir / 'metrics.jsonl').read_text().splitlines()[-1])
  assert row['sample_diversity'] > 0


def test_inputs_are_held_out_in_the_order_of_evaluations(noisy):
  held_out = sets.held_out_stream(sets.reference_stream(noisy.stage.streams['images']))
  stored = held_out.open().arrays['image'][sets.order(held_out)]
  expected = stored.astype(np.float32) / 127.5 - 1
  np.testing.assert_allclose(noisy.examples('images', n=5)['image'], expected[:5], atol=1e-6)
  # There are 364 of them; after the last comes the first.
  assert len(noisy.examples(n=1000)['image']) == len(stored) < 1000
  made = noisy.sample(len(stored) + 2)
  z = noisy.latents(len(stored) + 2)[:, None, None, :]
  np.testing.assert_allclose((made - z)[-2:], (made - z)[:2], atol=1e-5)
  with pytest.raises(UserError, match="unknown stream 'other'"):
    noisy.examples('other')


def test_standing_statistics_are_of_inputs_too(noisy):
  variables = noisy.variables()
  stood = of_stage(noisy.stage, variables, 2)
  image = noisy.examples(n=16)['image']
  np.testing.assert_allclose(stood['batch_stats']['generator']['BatchNorm_0']['mean'], image.mean(), rtol=1e-4)
  assert noisy.sample(2, standing=2).shape == (2, 8, 8, 1)


# Translating games after training


def sampled(*arguments, code=0):
  with pytest.raises(SystemExit) if code else contextlib.nullcontext() as left:
    command.main(sample._define, sample._run, sample.__doc__, arguments)
  assert not code or left.value.code == code


def shifted(run, values=(('generator_ab', 0.25), ('generator_ba', -0.25))):
  """The run with known weights: ab is a + 0.25, ba is b - 0.25."""
  player = run.state.players['generator']
  params = {name: {'w': jnp.ones(()), 'b': jnp.asarray(b)} for name, b in values}
  run.state = run.state.replace(players={**run.state.players, 'generator': player.replace(params=params)})
  return run


def test_a_translating_game_samples_by_itself(both):
  run = shifted(both)
  a, b = run.examples('a', n=5)['image'], run.examples('b', n=5)['image']
  made = run.sample(5)
  np.testing.assert_allclose(made['ab'], a + 0.25, atol=1e-6)
  np.testing.assert_allclose(made['ba'], b - 0.25, atol=1e-6)
  trained_on = run.sample(5, split='train')['ab']
  np.testing.assert_allclose(trained_on, run.examples('a', 'train', 5)['image'] + 0.25, atol=1e-6)
  mixed = run.sample(5, split={'a': 'train'})
  np.testing.assert_array_equal(mixed['ab'], trained_on)
  np.testing.assert_array_equal(mixed['ba'], made['ba'])
  with pytest.raises(UserError, match="unknown stream that Both reads when it samples 'c'"):
    run.sample(5, split={'c': 'train'})
  with pytest.raises(UserError, match='testA'):
    run.sample(5, split='testA')


def test_the_lines_at_the_end_of_a_run_work(both, tmp_path, monkeypatch, capsys):
  """Both are run as they are printed."""
  lines = summary.closing(both.workdir, done=True, seeded=False).splitlines()
  shell, python = (next(line for line in lines if word in line) for word in ('python -m', 'gan_jax.load'))
  arguments = shell.split('gan_jax.sample ')[1].split()
  assert '--seed' not in arguments and '--seed' in summary.closing(both.workdir, done=True)  # Both draws nothing
  sampled(*arguments)
  # The main output first, each beside what it was made of.
  assert capsys.readouterr().out.split()[-1].endswith('more_ba.png')
  wide, high = Image.open(both.workdir / 'more_ab.png').size
  assert wide / high == pytest.approx(14 / 16, rel=0.1)  # 7 pairs in a row, 15 rows and heads
  made = eval(python.split('in Python: ')[1], {'gan_jax': gan_jax})
  assert list(made) == ['ab', 'ba'] or set(made) == {'ab', 'ba'}
  assert sorted(p.name for p in (both.workdir / 'samples').iterdir()) == ['step_0000002_ab.png', 'step_0000002_ba.png']


def test_a_folder_of_pictures_is_translated_name_by_name(both, tmp_path, capsys):
  photos, out = tmp_path / 'photos', tmp_path / 'out'
  (photos / 'more').mkdir(parents=True)
  for name, side, level in (('x.png', 20, 40), ('more/y.png', 9, 200)):
    Image.new('L', (side, side), level).save(photos / name)
  sampled('--workdir', str(both.workdir), '--inputs', f'b={photos}', '--out', str(out), '--noema')
  run = gan_jax.load(both.workdir)
  params = run.state.players['generator'].params['generator_ba']
  for name, level in (('x.png', 40), ('more/y.png', 200)):
    pixels = np.asarray(Image.open(out / name))
    value = (level / 127.5 - 1) * float(params['w']) + float(params['b'])
    assert pixels.shape == (8, 8)
    np.testing.assert_allclose(pixels, (value + 1) * 127.5, atol=0.51)


def test_a_folder_is_translated_where_the_runs_own_data_are_gone(tmp_path, monkeypatch, capsys):
  workdir, photos, random = tmp_path / 'run', tmp_path / 'photos', np.random.RandomState(0)
  for name in 'ab':
    image = random.randint(0, 256, (20, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / f'{name}.npz', image=image, label=np.arange(20) % 10)
  file = lambda name: {'name': 'npz', 'path': str(tmp_path / f'{name}.npz'), 'size': 8, 'channels': 1, 'classes': 10}
  loop.run(config_of('Both', data={name: file(name) for name in 'ab'}), workdir, silent=True)
  photos.mkdir()
  for name in 'xy':
    Image.fromarray(random.randint(0, 256, (8, 8)).astype(np.uint8)).save(photos / f'{name}.png')
  made = lambda stream: translated(gan_jax.load(workdir), f'{stream}={photos}').made
  expected, sample = {stream: made(stream) for stream in 'ab'}, Both.sample
  (photos / 'broken.png').write_bytes(b'no picture')
  for name in 'ab':
    (tmp_path / f'{name}.npz').unlink()
  sources._open.cache_clear()
  for stream, output in (('a', 'ab'), ('b', 'ba')):
    found = made(stream)
    assert list(found) == list(expected[stream]) == [output]
    told = capsys.readouterr().err
    assert 'left out 1 of 3 files' in told and 'broken.png' in told
    np.testing.assert_array_equal(found[output][0], expected[stream][output][0])

  made_files = export_folder.write(gan_jax.load(workdir), tmp_path / 'exported')
  assert 'generator.stablehlo' in made_files and 'no samples.png' in capsys.readouterr().err
  assert 'samples.png' not in (tmp_path / 'exported' / 'README.md').read_text()

  def more(of):
    return lambda game, batch: jax.tree.map(lambda x: x + of(batch), sample(game, batch))

  contrast = lambda x: jnp.abs(x - x.mean((1, 2), keepdims=True)).sum()
  for of, what in (
    (lambda batch: contrast(batch['b']['image']), "what is made of 'a' depends on 'b' too"),
    (lambda batch: (batch['b']['label'] > 5).sum(), "what is made of 'a' depends on 'b' too"),
    (lambda batch: batch['a']['label'].sum(), "what is made of 'a' depends on its field 'label' too"),
  ):
    monkeypatch.setattr(Both, 'sample', more(of))
    with pytest.raises(UserError, match=rf'a\.npz.*{what}'):
      made('a')
  monkeypatch.setattr(Both, 'sample', more(lambda batch: {}['imgae']))
  with pytest.raises(UserError, match='imgae'):
    made('a')


def test_your_pictures_do_not_get_fields_of_other_examples(tmp_path, monkeypatch):
  """Where a game can do without: the held-out rows of a column lie beside other pictures."""
  for part in ('train', 'test'):
    (tmp_path / 'set' / part).mkdir(parents=True)
    for i in range(8):
      Image.new('L', (8, 8), 20 * i).save(tmp_path / 'set' / part / f'{i}.png')
    rows = ''.join(f'{i}.png,1,{i % 2}\n' for i in range(8))
    (tmp_path / 'set' / part / 'metadata.csv').write_text('file_name,Male,Young\n' + rows)
  columns = {'image': {'name': 'Picture'}, 'attributes': {'name': 'Attributes', 'names': ('Male', 'Young')}}
  stream = {'name': 'folder', 'path': str(tmp_path / 'set'), 'size': 8, 'channels': 1, 'columns': columns}
  loop.run(config_of('Both', data=dict.fromkeys('ab', stream)), tmp_path / 'run', silent=True)
  photos, sample = tmp_path / 'set' / 'train', Both.sample
  plain = translated(gan_jax.load(tmp_path / 'run'), str(photos)).made['ab'][0]
  more = lambda x, own: x + own.get('attributes', jnp.zeros(1)).sum()
  monkeypatch.setattr(
    Both, 'sample', lambda game, batch: {n: more(x, batch['a']) for n, x in sample(game, batch).items()}
  )
  np.testing.assert_array_equal(translated(gan_jax.load(tmp_path / 'run'), str(photos)).made['ab'][0], plain)
  must = lambda x, own: x + own['attributes'][:, 0].mean()  # Male is 1 in every row
  monkeypatch.setattr(
    Both, 'sample', lambda game, batch: {n: must(x, batch['a']) for n, x in sample(game, batch).items()}
  )
  np.testing.assert_allclose(
    translated(gan_jax.load(tmp_path / 'run'), str(photos)).made['ab'][0], plain + 1, atol=1e-6
  )


def test_numbers_at_random_are_of_every_kind(tmp_path):
  words = {'name': 'data.text.Text', 'length': 5, 'level': 'words', 'vocabulary': ('red', 'shoe', 'hat'), 'captions': 1}
  columns = {
    'image': {'name': 'Picture'},
    'label': {'name': 'Label', 'classes': 7},
    'attributes': {'name': 'Attributes', 'names': ('Male', 'Young')},
    'text': words,
  }
  stream = Stream(name='folder', path=str(tmp_path / 'none'), size=8, columns=columns)
  made = inputs_lib.at_random(stream, 200, seed=0)
  assert {name: x.shape for name, x in made.items()} == {n: s.shape for n, s in stream.fields(200).items()}
  assert set(made['label']) == set(range(7)) and set(made['text'].flat) == set(range(5))
  assert set(made['attributes'].flat) == {0, 1} and -1 <= made['image'].min() < -0.9 < 0.9 < made['image'].max() <= 1
  np.testing.assert_array_equal(inputs_lib.at_random(stream, 200, seed=0)['text'], made['text'])
  plain = Stream(name='digits', size=8, channels=1, classes=10, tags=((0.0, 1.0),) * 10)
  made = inputs_lib.at_random(plain, 200, seed=1)
  assert set(made['label']) == set(range(10)) and set(made['tags'].flat) == {0, 1}


def test_conditions_of_your_pictures_are_whole(tmp_path):
  columns = {
    'image': {'name': 'Picture'},
    'attributes': {'name': 'Attributes', 'names': ('Male', 'Young')},
    'label': {'name': 'Label', 'classes': tuple('abcdefg')},
  }
  streams = {'images': Stream(name='folder', path=str(tmp_path / 'none'), size=8, columns=columns)}
  stage = types.SimpleNamespace(streams=streams, game=types.SimpleNamespace(latents=None, inputs=('images',)))
  given = {'images': {'image': np.zeros((3, 8, 8, 3), np.float32)}}
  asked = conditions.apply(stage, {'Male': '1', 'Young': '0', 'label': 'e'}, None, given)[1]['images']
  assert asked['attributes'].tolist() == [[1, 0]] * 3 and asked['label'].tolist() == [4] * 3
  with pytest.raises(UserError, match="'attributes' are not known here, give a value for each of Male, Young"):
    conditions.apply(stage, {'Male': '1'}, None, given)
  known = {'images': {**given['images'], 'attributes': np.ones((3, 2), np.float32)}}
  assert conditions.apply(stage, {'Male': '0'}, None, known)[1]['images']['attributes'].tolist() == [[0, 1]] * 3


def test_what_cannot_be_translated_is_one_line(both, tmp_path, capsys):
  Image.new('L', (8, 8)).save(tmp_path / 'x.png')
  (tmp_path / 'empty').mkdir()
  workdir = ['--workdir', str(both.workdir)]
  for arguments, words in (
    (['--inputs', str(tmp_path), '--out', 'x.png'], 'name a folder'),
    (['--inputs', str(tmp_path), '--out', str(tmp_path)], 'would be written over'),
    (['--inputs', f'c={tmp_path}', '--out', 'out'], "unknown stream in --inputs 'c'"),
    (['--inputs', str(tmp_path / 'none'), '--out', 'out'], 'is not a folder'),
    (['--inputs', str(tmp_path / 'empty'), '--out', 'out'], 'has no picture that can be read: name another --inputs'),
    (
      ['--inputs', f'a={tmp_path}', '--output', 'ba', '--out', 'out'],
      "--inputs of 'a': --output=ba is made of another stream",
    ),
    (['--inputs', str(tmp_path), '--count', '3', '--out', 'out'], '--count with --inputs'),
    (['--inputs', str(tmp_path), '--concepts', '1,2,3', '--out', 'out'], '--concepts with --inputs'),
    (['--split', 'b=tset', '--out', str(tmp_path / 'y.png')], "unknown split of digits in --split 'tset'"),
    (['--split', 'a=', '--out', str(tmp_path / 'y.png')], 'STREAM=SPLIT'),
    (['--checkpoint=1', '--out', str(tmp_path / 'y.png')], 'step 1'),
    (['--checkpoint=2', '--step=2', '--out', str(tmp_path / 'y.png')], 'leave one out'),
    (['--condition', 'Hat=1'], "condition Hat='1': Both takes no condition, leave it out"),
    (['--condition', 'Hat'], '--condition=Hat must be NAME=VALUE'),
    (['--condition', 'Hat=1', '--picture', 'interpolation'], '--condition with --picture=interpolation'),
    (['--format', 'midi', '--out', str(tmp_path / 'z')], '--format=midi writes tones (T, 4) or piano rolls'),
    (['--format', 'folder', '--out', 'x.png'], 'name a folder, in which each sample has a file'),
    (['--format', 'npz', '--out', 'x.png'], '--out=x.png must end in .npz'),
    (['--format', 'folder', '--picture', 'interpolation'], 'it works only with a grid, leave it out'),
  ):
    sampled(*workdir, *arguments, code=2)
    assert words in capsys.readouterr().err


def test_splits_of_two_domains_have_their_own_held_out_part(tmp_path):
  for split in ('trainA', 'testA', 'trainB', 'testB', 'train', 'test'):
    np.savez(tmp_path / f'{split}.npz', image=np.full((2, 4), len(split) + ord(split[-1]), np.float32) / 200)
  stream = Stream(name='npz', path=str(tmp_path / '{split}.npz'), split='trainA')
  for split, held_out in (('trainA', 'testA'), ('trainB', 'testB'), ('train', 'test'), ('testA', None)):
    found = sets.held_out_stream(dataclasses.replace(stream, split=split))
    assert (found and found.split) == held_out
  for split, held_out in (('trainA[:1]', 'testA'), ('trainB[50%:]', 'testB'), ('train[:1]', 'test')):
    assert sets.held_out_stream(dataclasses.replace(stream, split=split)).split == held_out
  for split in ('trainA', 'test'):  # of one domain all have the same
    np.savez(tmp_path / f'one_{split}.npz', image=np.full((2, 4), len(split), np.float32) / 200)
  one = dataclasses.replace(stream, path=str(tmp_path / 'one_{split}.npz'))
  assert sets.held_out_stream(one).split == 'test'


# Figures, and pictures of a game's own


def level(e):
  """the mean level of generated examples less that of real ones."""
  return e.fake.examples.mean() - e.real_examples(e.samples).mean()


def calm(e):
  return [Figure('zero', 0.0, 'nothing')]


def raises(e):
  raise RuntimeError('out of order')


def evaluated(run, **options):
  return evaluate.evaluate(run, **{'samples': 70, 'split': 'test', **options})


def test_each_output_has_its_figures_against_what_it_imitates(both):
  """a and b are the same digits, so that the distance of levels is the shift, 31.875 of 255, but for clipping."""
  run = shifted(both, (('generator_ab', 0.0), ('generator_ba', 0.25)))
  found = evaluated(run, metrics=('test_inputs.level', 'test_inputs.calm'))
  assert list(found.values) == ['level_ab', 'zero_ab', 'level_ba', 'zero_ba']
  assert found.values['level_ab'] == 0
  stored = sets.examples(dataclasses.replace(run.stage.streams['b'], split='test'), 70)[0].astype(float)
  expected = np.clip(np.round(stored + 0.25 * 127.5), 0, 255).mean() - stored.mean()
  np.testing.assert_allclose(found.values['level_ba'], expected, atol=0.05)
  assert found.figures[0].protocol == 'the mean level of generated examples less that of real ones.'
  assert 'made of a: digits test (364)' in found.shared['samples']
  one = evaluated(run, metrics=('test_inputs.level',), output='ba')
  np.testing.assert_allclose(one.values['level'], found.values['level_ba'])


def test_a_default_metric_that_fails_leaves_the_others(noisy, monkeypatch):
  monkeypatch.setattr(measures, 'default_measures', lambda e: ('test_inputs.raises', 'test_inputs.calm'))
  said = []
  found = evaluate.evaluate(noisy, said.append, samples=64, features='raw')
  assert found.values == {'zero': 0.0} and said[-1] == 'left out test_inputs.raises: RuntimeError: out of order'
  with pytest.raises(RuntimeError, match='out of order'):
    evaluate.evaluate(noisy, samples=64, metrics=('test_inputs.calm', 'test_inputs.raises'))
  monkeypatch.setattr(measures, 'default_measures', lambda e: ('test_inputs.raises',))
  with pytest.raises(RuntimeError, match='out of order'):
    evaluate.evaluate(noisy, samples=64, features='raw')


class Unsaid(Both):
  """It says nothing of what it makes."""

  outputs = None


@pytest.mark.parametrize(
  ('game', 'settings', 'words'),
  [
    ('Unsaid', {}, r"--output or config.eval.output=''.*makes ab, ba; choose one"),
    ('Both', {'output': 'bab'}, r"--output or config.eval.output='bab'.*makes ab, ba; choose one"),
    ('Both', {'metrics': ('test_inputs.nothing',)}, 'config.eval.metrics: nothing is called .test_inputs.nothing'),
    ('Both', {'features': 'test_inputs.nothing'}, '--features or config.eval.features: nothing is called'),
    ('Both', {'metrics': ('test_inputs.STREAM',)}, 'test_inputs.STREAM is not a function'),
    ('Both', {'metrics': ('fud',)}, "unknown metric .*'fud'"),
    ('Both', {'metrics': ('targets',)}, "is of outputs with a target, which Both's has not"),
    ('Both', {'metrics': ('gmam',)}, 'Both has no objective of its discriminators: leave the metric gmam out'),
    ('Both', {'metrics': ('held_out',)}, r'Both has no method logits.*leave the metric held_out out'),
    ('Both', {'metrics': ('probe',)}, 'Both has no discriminator that gives its layers'),
    ('Both', {'metrics': ('ppl',)}, 'Both has other latents than one vector'),
    ('Both', {'metrics': ('makers',)}, "Both has no 'maker' among its latents"),
    ('Both', {'metrics': ('likelihood',)}, 'Both has no log_likelihood'),
    ('Both', {'metrics': ('histogram',)}, 'the metric histogram needs single numbers'),
  ],
)
def test_evaluations_that_cannot_work_are_told_before_training(game, settings, words, tmp_path):
  config = config_of('Both', eval={'every': 2, 'samples': 8, 'metrics': ('test_inputs.calm',), **settings})
  config.game.name = f'test_inputs.{game}'
  with pytest.raises(UserError, match=words):
    loop.run(config, tmp_path, silent=True)
  assert not (tmp_path / 'metrics.jsonl').exists()


class Table(nn.Module):
  """It makes rows of 8 numbers, which have no picture unless the game draws one."""

  generator: nn.Module
  latents = Normal((8,))
  turns: tuple = (Turn(('generator',), 'loss'),)

  def loss(self, batch):
    return jnp.square(self.generator(batch['latents'])).mean()

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)


class Drawn(Table):
  def pictures(self, samples):
    return {'rows': samples[:, None, :, None], 'black': Image.new('L', (5, 4))}


def test_what_has_no_picture_is_told_and_a_game_may_draw_its_own(tmp_path, capsys):
  np.savez(tmp_path / 'table.npz', image=np.random.RandomState(0).randn(40, 8).astype(np.float32))
  for name in ('Table', 'Drawn'):
    config = config_of(data={'name': 'npz', 'path': str(tmp_path / 'table.npz')}, sample_every=1)
    config.game = {'name': f'test_inputs.{name}', 'generator': SCALE}
    loop.run(config, tmp_path / name)
    said = capsys.readouterr().out
    assert said.count('note: samples of shape (8,) has no picture') == (name == 'Table')
    # What the run says to do next can be done.
    next_line = next(line for line in said.splitlines() if line.startswith('next'))
    assert next_line.endswith('more.npz' if name == 'Table' else 'more.png')
    sampled(*next_line.split('gan_jax.sample ')[1].split())
    capsys.readouterr()
  files = {path.name for path in (tmp_path / 'Drawn' / 'samples').iterdir()}
  assert files == {f'step_000000{i}_{name}.png' for i in (1, 2) for name in ('rows', 'black')}
  assert not list((tmp_path / 'Table' / 'samples').iterdir())
  run = gan_jax.load(tmp_path / 'Drawn')
  assert run.pictures(run.sample(3))['black'].size == (5, 4)


@pytest.mark.parametrize('name', ['Noisy', 'Both'])
def test_a_population_is_drawn_evaluated_and_goes_on(name, tmp_path):
  settings = {'population': 2, 'eval': {'every': 2, 'samples': 8, 'metrics': ('test_inputs.level',)}}
  loop.run(config_of(name, **settings), tmp_path, silent=True)
  loop.run(config_of(name, steps=4, **settings), tmp_path, silent=True)
  outputs = ('_ab', '_ba') if name == 'Both' else ('',)
  for member in (0, 1):
    drawn = [f'step_000000{step}{output}_member_{member}.png' for step in (2, 4) for output in outputs]
    assert all((tmp_path / 'samples' / file).exists() for file in drawn)
    figures = json.loads((tmp_path / f'evaluation_member_{member}.json').read_text())['figures']
    assert list(figures) == [f'level{output}' for output in outputs]
  assert gan_jax.load(tmp_path, member=1).sample(3) is not None


class Restored(Both):
  """It makes its input again."""

  outputs = {'a': core.Output('a', of='a', again=True)}

  def sample(self, batch):
    return {'a': self.generator_ab(batch['a']['image'], train=False)}


def counted(e):
  """samples."""
  return len(e.fake.examples)


def test_what_draws_nothing_makes_each_sample_once(both, noisy):
  """More samples would be copies, which errors, neighbours and unbiased estimates take for further ones."""
  found = evaluate.evaluate(both, metrics=('test_inputs.counted',), samples=1000)
  assert found.values == {'counted_ab': 364, 'counted_ba': 364}
  assert found.shared['samples'].startswith('364 of seed 1')
  assert 'each once: 1000 were asked for, and the game draws no latents' in found.shared['samples']
  found = evaluate.evaluate(noisy, metrics=('test_inputs.counted',), samples=1000)
  assert found.values == {'counted': 1000} and 'each about 3 times, with other latents' in found.shared['samples']
  found = evaluate.evaluate(both, metrics=('test_inputs.counted',), samples=70, output='ab')
  assert found.values == {'counted': 70} and 'each' not in found.shared['samples']


def test_a_sample_is_not_compared_with_what_it_is_made_of():
  stage = runs.stages_of(config_of('Restored'))[0]
  of = lambda **options: Evaluator(stage, Options(metrics=('kid',), features='raw', samples=64, **options))
  # By default the reference is what it learnt from, and the inputs are held out: nothing belongs together.
  assert [of(split=split)._paired for split in ('', 'test', 'train')] == [False, True, False]
  assert not Evaluator(
    runs.stages_of(config_of('Both'))[0], Options(metrics=('kid',), features='raw', split='test', output='ab')
  )._paired


def test_a_pair_adds_nothing_to_the_kernel_distance():
  x = np.random.RandomState(0).randn(200, 3)
  side = lambda x: types.SimpleNamespace(features=x)
  of = lambda paired: types.SimpleNamespace(real=side(x), fake=side(x[:100]), paired=paired)
  ((apart,), (together,)) = (list(of_features.kid(of(paired))) for paired in (False, True))
  assert together.value == pytest.approx(0.0, abs=1e-9) and apart.value < -0.02
  assert 'none compared with the one that it is made of' in together.protocol and 'none' not in apart.protocol


def test_latents_of_metrics_are_truncated_as_the_samples(noisy):
  options = Options(metrics=('test_inputs.calm',), samples=8, truncation=0.25)
  evidence = Evaluator(noisy.stage, options).evidence(noisy.state, noisy.step)
  assert 0.2 < np.abs(of_networks._latents(evidence, 200, 1)).max() <= 0.25
  assert evidence.sampling == {'ema': True, 'standing': 0, 'truncation': 0.25}


def test_what_a_game_has_seen_of_each_class_is_what_it_was_trained_on():
  config = config_of(data={**STREAM, 'classes': 10, 'per_class': 3, 'per_class_seed': 4})
  stage = runs.stages_of(config)[0]
  of = lambda **options: Evaluator(stage, Options(metrics=('test_inputs.calm',), samples=8, **options))
  seen, whole = of()._trained_on, of().stream
  evidence = Evidence(None, None, None, None, whole, 8, 0, trained_on=seen)
  assert len(evidence.real_examples(100)) == 100 and len(evidence.trained_examples(100)) == 30
  own = stage.streams['images'].open()
  wanted = {own[i]['image'].tobytes() for i in range(30)}
  assert {image.tobytes() for image in evidence.trained_examples(100)} == wanted
  # Whatever it is compared with.
  other = of(split='test')
  evidence = Evidence(None, None, None, None, other.stream, 8, 0, trained=other._trained, trained_on=other._trained_on)
  assert {image.tobytes() for image in evidence.trained_examples(100)} == wanted
  # Its own stream and split under their names.
  assert seen is not None and of(split='train')._trained_on == of(stream='images')._trained_on == seen


@pytest.mark.parametrize(('name', 'last'), [('semi_supervised', 0), ('triple', 2)])
def test_a_game_has_learnt_from_unlabelled_examples_too(name, last):
  stage = runs.stages_of(config_lib.load(f'configs/{name}.py:digits'))[last]
  assert stage.streams['labelled'].per_class == 2
  assert Evaluator(stage, Options(metrics=('neighbours',)))._trained_on is None


def test_examples_that_any_stream_of_a_set_gives_are_seen_once():
  own = Stream(name='digits', size=8, channels=1, classes=10, per_class=100)
  streams = {'a': own, 'b': dataclasses.replace(own, per_class_seed=1), 'c': dataclasses.replace(own, split='test')}
  parts = sets.learnt_from(streams, 'a')
  assert parts == (streams['a'], streams['b'])
  found = sets.examples(sets.reference_stream(own), 2000, parts=parts)[0]
  wanted = {part.open()[i]['image'].tobytes() for part in parts for i in range(1000)}
  assert {image.tobytes() for image in found} == wanted and 1000 < len(found) == len(wanted) < 1433
  assert sets.learnt_from({**streams, 'd': dataclasses.replace(own, per_class=0, flip=True)}, 'a') is None


def test_all_outputs_that_imitate_a_stream_are_compared_with_it():
  made = {'made': core.Output('a'), 'again': core.Output('a', of='a', again=True), 'other': core.Output('b')}
  stage = types.SimpleNamespace(game=types.SimpleNamespace(outputs=made), streams={'a': 0, 'b': 0})
  assert evaluator._several(stage, Options()) == ('made', 'again', 'other')
  assert evaluator._several(stage, Options(stream='a')) == ('made', 'again')
  assert evaluator._several(stage, Options(stream='b')) == ()


def test_targets_belong_to_the_inputs_whatever_the_reference():
  (stage,) = runs.stages_of(config_lib.load('configs/pix2pix.py:digits'))
  of = lambda **options: Evaluator(stage, Options(metrics=('targets',), features='raw', samples=8, **options))
  whole = of()
  assert whole._targets.split == 'test' and not whole._paired
  for split in ('test', 'train'):
    asked = of(split=split)
    assert asked._targets == whole._targets and asked.stream.split == split and asked._paired is (split == 'test')


def test_a_rival_is_judged_by_as_many_samples_of_as_many_bits(monkeypatch):
  """Own samples and data are of 8 bits, and a discriminator may tell others by that alone."""

  class Judge(nn.Module):
    latents = Normal((1,))

    def objective(self, image, fake):
      assert len(image) == len(fake) == 20
      return -1 - jnp.abs(fake * 255 - jnp.round(fake * 255)).max() - fake.mean()

  asked = []
  uneven = np.linspace(0, 1, 20 * 64, dtype=np.float32).reshape(20, 8, 8, 1)
  rival = types.SimpleNamespace(
    stage=types.SimpleNamespace(game=Judge()),
    workdir=types.SimpleNamespace(name='other'),
    step=3,
    member=1,
    range=(0.0, 1.0),
    variables=lambda **how: asked.append(how) or {},
    sample=lambda count, **how: asked.append(how) or uneven[:count],
  )
  monkeypatch.setattr(of_players, 'load', lambda path: rival)
  stream = Stream(name='digits', size=8, channels=1, range=(0.0, 1.0))
  how = dict(ema=False, standing=0, truncation=0.5)
  evidence = Evidence(Judge(), {}, None, None, stream, 20, 7, rivals=('other',), sampling=how)
  evidence.__dict__['fake'] = types.SimpleNamespace(examples=to_uint8(uneven, (0.0, 1.0)))
  (figure,) = of_players.gmam_figures(evidence)
  assert figure.value == pytest.approx(0.0, abs=1e-5)  # both make the same
  assert asked == [how, {'seed': 7, **how}]
  evidence.rivals = ('one/run', 'two/run', 'one/other')
  assert [figure.name for figure in of_players.gmam_figures(evidence)] == ['gmam_one/run', 'gmam_two/run', 'gmam_other']
  rival.stage.game = Judge()
  rival.stage.game.latents = {'z': Normal((1,)), 'label': None}
  with pytest.raises(UserError, match='--rivals: one/run: Judge is conditional, and gmam is of games without'):
    list(of_players.gmam_figures(evidence))
  with pytest.raises(UserError, match=r'Judge is conditional.*leave the metric gmam out'):
    suited.check_game('gmam', rival.stage.game)


def test_values_of_the_runs_own_arrays_say_nothing_of_your_pictures(tmp_path):
  np.savez(tmp_path / 'a.npz', x=np.random.RandomState(0).rand(9, 8, 8, 1).astype(np.float32))
  (tmp_path / 'photos').mkdir()
  levels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
  Image.fromarray(levels).save(tmp_path / 'photos' / 'x.png')
  data = {**STREAM, 'name': 'npz', 'path': str(tmp_path / 'a.npz'), 'values': (0.0, 1.0)}
  for columns in ({}, {'image': {'name': 'Picture', 'column': 'x'}}):
    stage = runs.stages_of(config_of(data={**data, **({'columns': columns} if columns else {})}))[0]
    fields = inputs_lib.of_folder(stage, str(tmp_path / 'photos'))[2]
    np.testing.assert_array_equal(to_uint8(fields['image'], (-1.0, 1.0))[0, ..., 0], levels)
  # Of a run of pictures the values of its column are those of your pictures too.
  column = {'image': {'name': 'Picture', 'values': (0, 1008)}}
  stage = runs.stages_of(
    config_of(data={**STREAM, 'name': 'folder', 'path': str(tmp_path / 'photos'), 'columns': column})
  )[0]
  fields = inputs_lib.of_folder(stage, str(tmp_path / 'photos'))[2]
  assert to_uint8(fields['image'], (-1.0, 1.0)).max() == 64
