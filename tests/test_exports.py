"""A generator as a file: it makes what the run makes, of any number of examples, without this library."""

import dataclasses
import json
import pathlib
import sys
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import IDS, ROWS, described

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, main, runs
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.data.streams import Stream
from gan_jax.exports import card, folder, function, onnx, safetensors, stablehlo
from gan_jax.latents import distributions
from gan_jax.nets.fastgan import Noise
from gan_jax.nets.layers import conv
from gan_jax.sampling.reading import read_by_sample
from gan_jax.sampling.run import Run
from gan_jax.sampling.sampler import Sampler

SMALL = [
  '--config.steps=1',
  '--config.eval.every=0',
  '--config.batch_size=8',
  '--config.sample_every=0',
  '--config.devices=1',
]
WIDTHS = [
  '--config.game.generator.units=8', '--config.game.discriminator.units=8', '--config.game.generator.label_units=8',
  '--config.game.discriminator.label_units=8', '--config.game.discriminator.joint_units=8',
]  # fmt: skip


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp('exported') / 'run')
  main.main(['--config', 'configs/cgan.py:digits', *SMALL, *WIDTHS, '--config.eval.every=0', '--workdir', workdir])
  return gan_jax.load(workdir)


@pytest.fixture(scope='module')
def made(run):
  return function.exported(run)


def test_the_function_is_the_runs_and_takes_the_weights_that_samples_need(run, made):
  latents = run.latents(3, seed=7)
  np.testing.assert_allclose(made(**latents)['samples'], run.generate(latents), atol=1e-6)
  assert made.weights and not any('discriminator' in name for name in made.weights)
  assert {name: x.shape for name, x in made.inputs.items()} == {'z': (2, 100), 'label': (2,)}


def test_a_program_makes_any_number_of_examples_on_every_platform(run, made):
  latents = run.latents(70, seed=1)
  data = stablehlo.program(made)
  exported = jax.export.deserialize(bytearray(data))
  assert exported.platforms == ('cpu', 'cuda', 'tpu')
  for count in (1, 70):
    given = {name: x[:count] for name, x in latents.items()}
    np.testing.assert_allclose(exported.call(given)['samples'], run.generate(given), atol=1e-5)
  beside = jax.export.deserialize(bytearray(stablehlo.program(made, weights=False)))
  assert len(stablehlo.program(made, weights=False)) < len(data)
  np.testing.assert_allclose(beside.call(made.weights, latents)['samples'], run.generate(latents), atol=1e-5)
  none = {name: np.zeros_like(x) for name, x in made.weights.items()}
  assert np.std(np.asarray(beside.call(none, latents)['samples'])) == 0


def test_the_lines_of_the_card_load_the_file(run, tmp_path, monkeypatch, capsys):
  (run.workdir / 'evaluation.json').write_text(
    json.dumps({'step': 1, 'device': 'cpu', 'figures': {'fid': {'value': 1.5, 'protocol': '10 samples'}}})
  )
  from gan_jax import export

  command.main(export._define, export._run, export.__doc__, ['--workdir', str(run.workdir), '--out', str(tmp_path)])
  assert 'generator.stablehlo' in capsys.readouterr().out
  assert {path.name for path in tmp_path.iterdir()} == {
    'generator.stablehlo',
    'README.md',
    'config.json',
    'samples.png',
  }
  text = (tmp_path / 'README.md').read_text()
  assert '`pip install jax flatbuffers`' in text and 'vocabulary' not in text
  assert '| fid | 1.5 | 10 samples |' in text and 'digits train (1433), 8x8x1' in text
  lines, found = text.partition('```python\n')[2].partition('```')[0], {}
  assert len(lines.splitlines()) <= 10
  monkeypatch.chdir(tmp_path)
  exec(lines, found)
  z, label = found['z'], found['label']
  assert z.shape == (16, 100) and z.dtype == np.float32 and 1.7 < abs(z).max() <= 1.7321  # uniform up to √3
  assert set(label.tolist()) <= set(range(10)) and len(set(label.tolist())) > 3
  assert '(batch), a class from 0 to 9; `z` float32 (batch, 100), uniform from -1.73205 to 1.73205;' in text
  np.testing.assert_allclose(found['samples'], run.generate({'z': z, 'label': label}), atol=1e-5)


@dataclasses.dataclass(frozen=True)
class Steps:
  """A distribution of one's own."""

  def sample(self, key):
    return jnp.arange(3.0)


class Summed(nn.Module):
  """Pictures of latents of any kind, and noise of its own."""

  latents: object

  @nn.compact
  def sample(self, batch):
    given = [*jax.tree.leaves(batch['latents']), *(x for name, x in batch.items() if name == 'a')]
    z = [nn.Dense(4)(x.reshape(x.shape[0], -1).astype(jnp.float32)) for x in jax.tree.leaves(given)]
    return Noise(name='noise')(sum(z).reshape(-1, 2, 2, 1))


def of_latents(latents, streams=None, noise=0.0):
  """(the exported function of a game with these latents, its sampler, its variables)."""
  game, drawn = Summed(latents), jax.device_get(distributions.draw(latents, jax.random.key(0), 2))
  rngs = {'params': jax.random.key(1), 'noise': jax.random.key(2)}
  variables = game.init(rngs, {'latents': drawn, **(streams or {})}, method='sample')
  variables['params']['noise']['weight'] += noise
  return function.of_game(game, variables, drawn, streams or {}), Sampler(game), variables


NESTED = {
  'z': distributions.Normal((3,)),
  'parts': {'low': distributions.Uniform((2,)), 'odd': distributions.Label(3)},
  'maps': distributions.Scales(((2,), (2,))),
}
FLAT = {
  'z': lambda x: x['z'], 'parts_low': lambda x: x['parts']['low'], 'parts_odd': lambda x: x['parts']['odd'],
  'maps_0': lambda x: x['maps'][0], 'maps_1': lambda x: x['maps'][1],
}  # fmt: skip


@pytest.mark.parametrize(
  ('latents', 'flat'),
  [
    (distributions.Scales(((2, 2, 1), (4, 4, 1))), {'z_0': lambda x: x[0], 'z_1': lambda x: x[1]}),
    (NESTED, FLAT),
  ],
)
def test_latents_in_tuples_and_in_dicts_of_dicts_have_flat_names(latents, flat):
  made, sampler, variables = of_latents(latents)
  drawn = sampler.latents(3, 0)
  given = {name: part(drawn) for name, part in flat.items()}
  assert made.inputs.keys() == made.drawn.keys() == flat.keys()
  exported = jax.export.deserialize(bytearray(stablehlo.program(made)))
  np.testing.assert_allclose(exported.call(given)['samples'], sampler.generate(variables, drawn), atol=1e-5)


def test_a_name_that_two_inputs_would_have_is_one_line():
  z = distributions.Normal((2,))
  for latents, streams in (({'a_b': z, 'a': {'b': z}}, {}), ({'a_b': z}, {'a': {'b': np.ones((2, 1))}})):
    with pytest.raises(UserError, match="two inputs are both called 'a_b': rename"):
      of_latents(latents, streams)


def test_noise_of_its_own_is_that_of_the_first_block():
  """As docs/export.md says."""
  made, sampler, variables = of_latents(distributions.Normal((2,)), noise=1.0)
  z = sampler.latents(70, 0)
  found, want = made(z=z)['samples'], sampler.generate(variables, z)
  np.testing.assert_allclose(found[:64], want[:64], atol=1e-5)
  assert np.abs(found[64:] - want[64:]).min() > 1e-4


def test_the_lines_of_the_card_draw_as_the_game_does():
  latents = {
    'z': distributions.Normal((50, 40)),
    'parts': {'low': distributions.Uniform((50,), 2.0, 3.0), 'odd': distributions.Label(3, (0.0, 1.0, 3.0))},
    'wide': distributions.Uniform((), -4.0, 0.0),
    'label': distributions.Label(4),
    'traits': distributions.Attributes(('Male', 'Young'), (1.0, 0.0)),
    'half': distributions.Attributes(('Smiling',)),
    'tags': distributions.Tags(((0, 1, 1), (1, 0, 1))),
    'many': distributions.Tags(((0, 1, 1),) * 200),
    'own': Steps(),
    'maps': distributions.Scales(((50, 40), (3,))),
  }
  made = of_latents(latents, {'a': {'image': np.ones((2, 4, 4, 1), np.float32)}})[0]
  lines, found = card._lines('stablehlo', made).splitlines(), {'np': np}
  exec('\n'.join(line for line in lines if line.startswith(('rng', *made.inputs))), found)
  alike = lambda a, b: (a.shape, a.dtype) == ((16, *b.shape[1:]), b.dtype)
  assert jax.tree.all(jax.tree.map(alike, {name: found[name] for name in made.inputs}, dict(made.inputs)))
  low = found['parts_low']
  assert all(abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02 for z in (found['z'], found['maps_0']))
  assert 2 <= low.min() < 2.1 and 2.9 < low.max() <= 3 and -4 <= found['wide'].min() < -2
  assert set(found['label'].tolist()) == {0, 1, 2, 3} and set(found['parts_odd'].tolist()) == {1, 2}
  assert (found['traits'] == [1, 0]).all() and set(found['half'].ravel().tolist()) == {0, 1}
  assert {tuple(row) for row in found['tags'].tolist()} == {(0, 1, 1), (1, 0, 1)}
  said = {line.split(' = ')[0]: line.partition('#')[2] for line in lines}
  assert 'numbers as the game draws them' in said['own'] and 'as the game draws them' in said['many']
  assert 'fields of your data' in said['a_image'] and not said['z']
  text = card._described(made, {'a_label': 'of your data, a class from 0 to 2'})
  for words in (
    '`z` float32 (batch, 50, 40), normal with mean 0 and deviation 1',
    '`parts_low` float32 (batch, 50), uniform from 2 to 3; `parts_odd` int32 (batch), a class from 0 to 2, as often as',
    '`maps_1` float32 (batch, 3), normal with mean 0',
    '`traits` float32 (batch, 2), 1 or 0 for Male, Young',
    '`tags` float32 (batch, 3), tags, 1 or 0: one of 2 rows',
    '`own` float32 (batch, 3), as the game draws them (Steps)',
    '`a_image` float32 (batch, 4, 4, 1), of your data',
  ):
    assert words in text, words


def card_of(row, member=None, origin=None):
  """The card of a config, or of a member of a population, of shapes."""
  stage, state = described(row)[0][-1], described(row)[1][-1]
  variables = core.game_variables(stage.game, state, clock=runs.clock_at(stage, stage.last_step))
  drawn = jax.device_get(distributions.draw(stage.game.latents, jax.random.key(0), 2))
  run = types.SimpleNamespace(
    config=config_lib.load(row),
    stage=stage,
    state=state,
    step=1,
    member=member,
    imported=origin or {},
    evaluation_file=pathlib.Path('none'),
    read=read_by_sample(stage, variables),
  )
  run.range_of = lambda output: Run.range_of(run, output)
  return lambda **how: card.card(run, function.of_game(stage.game, variables, drawn, {}), (), pictured=False, **how)


def test_the_card_says_which_values_fields_of_data_have():
  given = types.SimpleNamespace(
    inputs={'a_image': np.zeros((2, 8, 8, 1)), 'a_label': np.zeros(2, int), 'z': np.zeros((2, 3))}
  )
  run = types.SimpleNamespace(stage=types.SimpleNamespace(streams={'a': Stream(name='digits', size=8, classes=10)}))
  assert card._of_data(run, given) == {
    'a_image': 'of your data, from -1 (black) to 1 (white): height, width, channels',
    'a_label': 'of your data, a class from 0 to 9',
  }


def test_the_card_says_which_weights_are_in_the_files():
  text = card_of('configs/quickstart.py')
  assert '**Weights**: running averages of generator.\n' in text()
  assert '**Weights**: as they are, without running averages, with statistics of 16 batches' in text(
    ema=False, standing=16
  )
  assert '**Weights**' not in card_of('configs/gan.py:ring')()
  assert 'after 1 steps, member 3 of a population (seed 0), trained with' in card_of('configs/gan.py:ring', 3)()
  text = card_of('configs/gan.py:ring', origin={'step': 1, 'files': {'generator': 'G.pth'}})()
  assert 'of other code (generator of `G.pth`): ' in text and 'trained' not in text and '**Data**' not in text
  text = card_of('configs/gan.py:ring', origin={'step': 0, 'files': {'generator': 'G.pth'}})()
  assert ', then trained for 1 steps: ' in text and 'It was trained with discriminator' in text and '**Data**' in text
  assert '**Weights**' not in card_of('configs/semi_supervised.py:digits')(), 'those of the discriminator alone'


@pytest.mark.parametrize(
  ('row', 'networks', 'output'),
  [
    ('gan.py:ring', 'generator `mlp.Generator`; ', '`samples` float32 (batch, 2).'),
    (
      'lapgan.py:digits',
      'generators_0 `mlp.Generator`, generators_1 `lapgan.Generator`; ',
      '`samples` float32 (batch, 8, 8, 1) from 0 (black) to 1 (white): height, width, channels.',
    ),
    (
      'progressive.py:digits',
      f', stage 2 of 2, trained with gan_jax {gan_jax.__version__}: generator `progressive.Generator`; ',
      '`samples` float32 (batch, 8, 8, 1) from -1 (black) to 1 (white): height, width, channels.',
    ),
  ],
)
def test_the_card_says_what_a_game_is_made_of_and_makes(row, networks, output):
  text = card_of(f'configs/{row}')()
  assert networks in text and f'**outputs** {output}\n' in text
  assert ('black' in text) == ('- image-generation\n' in text) == ('ring' not in row)


def test_what_cannot_be_exported_is_one_line(run, made, tmp_path, monkeypatch):
  with pytest.raises(UserError, match=r'format of an export.*tflite.*stablehlo'):
    folder.write(run, tmp_path, ['stablehlo', 'tflite'])
  with pytest.raises(UserError, match='no format to export'):
    folder.write(run, tmp_path, [])
  counting = made._replace(apply=lambda weights, inputs: {'samples': jnp.zeros(int(inputs['z'].shape[0]))})
  with pytest.raises(UserError, match='for any number of examples'):
    stablehlo.program(counting)
  for name, write in (('safetensors', lambda: safetensors.file(made, '{}')), ('jax2onnx', lambda: onnx.model(made))):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, f'{name}.numpy', None)
    with pytest.raises(UserError, match='is not installed: pip install'):
      write()
  assert not list(pathlib.Path(tmp_path).iterdir())


def test_constants_of_as_many_rows_as_examples_are_left_to_the_file(made):
  """Noise of FastGAN and StyleGAN 2, first states of recurrent networks: the weights are inside all the same."""
  noise = lambda z: jax.random.normal(jax.random.key(0), z.shape)
  noisy = made._replace(apply=lambda weights, inputs: {'samples': inputs['z'] + noise(inputs['z'])})
  exported = jax.export.deserialize(bytearray(stablehlo.program(noisy)))
  z = np.ones((5, 100), np.float32)
  np.testing.assert_allclose(
    exported.call({'z': z, 'label': np.zeros(5, np.int32)})['samples'], z + noise(z), atol=1e-6
  )


def test_every_format_has_a_file_and_lines():
  assert card.FILES.keys() == card.LOADERS.keys() == card.PACKAGES.keys() == folder.FORMATS.keys()


#: A defended classifier makes attacks, no samples.
OF_ONE_BATCH = ('adversarial_examples',)


@pytest.mark.slow
@pytest.mark.parametrize('row', ROWS, ids=IDS)
def test_every_shipped_game_can_be_exported(row):
  """In shapes: what `make test-all` has for each config."""
  stage, state = described(row)[0][-1], described(row)[1][-1]
  variables = core.game_variables(stage.game, state, clock=runs.clock_at(stage, stage.last_step))
  latents = None if stage.game.latents is None else distributions.draw(stage.game.latents, jax.random.key(0), 2)
  streams = core.inputs_of(stage.game, stage.streams) if latents is None or hasattr(stage.game, 'inputs') else ()
  given = {name: {k: np.zeros(v.shape, v.dtype) for k, v in stage.streams[name].fields(2).items()} for name in streams}
  made = function.of_game(stage.game, variables, jax.device_get(latents), given)
  if any(f'{name}.py' in row for name in OF_ONE_BATCH):
    with pytest.raises(UserError, match='for any number of examples'):
      stablehlo.program(made, weights=False)
  else:
    assert stablehlo.program(made, weights=False)


def test_a_folder_is_pushed_to_a_repository_and_a_refusal_is_one_line(tmp_path, monkeypatch):
  class Hub:
    def create_repo(self, name, exist_ok):
      assert exist_ok
      if '/' not in name:
        raise ValueError('no such user')

    def upload_folder(self, repo_id, folder_path):
      return f'https://hub/{repo_id}{folder_path}'

  monkeypatch.setitem(sys.modules, 'huggingface_hub', types.SimpleNamespace(HfApi=Hub))
  assert folder.push(tmp_path, 'me/gan') == f'https://hub/me/gan{tmp_path}'
  with pytest.raises(UserError, match=r'--push=gan: the hub refuses \(ValueError: no such user\)'):
    folder.push(tmp_path, 'gan')


@pytest.mark.parametrize('padding', ['SAME', 'VALID', 'REFLECT', ((1, 1), (1, 1))])
def test_a_convolution_of_any_border_takes_any_batch(padding):
  """A file of StableHLO holds a batch whose size is a symbol."""
  kernel = jnp.ones((3, 3, 2, 2))

  def both_ways(x):
    with conv.formulation('plain'):
      y = conv.conv(x, kernel, (1, 1), padding)
      return y if padding == 'REFLECT' else conv.conv_transpose(y, kernel, (1, 1), padding)

  (batch,) = jax.export.symbolic_shape('b')
  program = jax.export.export(jax.jit(both_ways))(jax.ShapeDtypeStruct((batch, 6, 6, 2), jnp.float32))
  x = np.random.RandomState(0).standard_normal((3, 6, 6, 2)).astype(np.float32)
  np.testing.assert_allclose(program.call(x), both_ways(x), rtol=1e-5)


def test_a_folder_keeps_nothing_of_an_export_before_and_says_what_numbers_stand_for(run, tmp_path, monkeypatch):
  for name in ('generator.onnx', 'vocabulary.json'):
    (tmp_path / name).write_text('old')
  (tmp_path / 'mine.txt').write_text('kept')
  monkeypatch.setattr(folder, '_drawn', lambda *_: None)
  folder.write(run, tmp_path)
  assert {path.name for path in tmp_path.iterdir()} == {'generator.stablehlo', 'README.md', 'config.json', 'mine.txt'}
  named = Stream(name='folder', columns={'text': {'name': 'Text', 'length': 3, 'captions': 1, 'level': 'words',
    'vocabulary': ('red', 'blue')}, 'kind': {'name': 'Label', 'classes': ('a', 'b')}})  # fmt: skip
  stage = run.stage
  with_words = run.stage._replace(streams={'images': named})
  monkeypatch.setattr(run, 'stage', with_words)
  assert folder.vocabulary(run) == {
    'images.text': {'0': '', '1': '?', '2': 'red', '3': 'blue'},
    'images.kind': {'0': 'a', '1': 'b'},
  }
  monkeypatch.setattr(folder, 'vocabulary', lambda run: {'images.kind': {'0': 'a'}})
  monkeypatch.setattr(run, 'stage', stage)
  folder.write(run, tmp_path)
  assert json.loads((tmp_path / 'vocabulary.json').read_text()) == {'images.kind': {'0': 'a'}}
  assert '`vocabulary.json`' in (tmp_path / 'README.md').read_text()
