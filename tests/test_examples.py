"""The games of docs/example, as somebody outside of the library writes them: each goes through all that a run does."""

import pathlib

import ctgan
import ctgan_people
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax
from gan_jax import config as config_lib
from gan_jax import evaluate, main, runs
from gan_jax.training import loop

EXAMPLES = pathlib.Path(__file__).parent.parent / 'docs' / 'example'
QUIET = {'devices': 1, 'samples': 4, 'sample_every': 0, 'log_every': 1}


def config_of(name, steps):
  config = config_lib.load(f'{EXAMPLES}/{name}')
  changes = {'steps': steps, **QUIET}
  if name.startswith('vaegan'):
    changes |= {'batch_size': 4}
    for network in ('encoder', 'generator', 'discriminator'):
      config.game[network].channels = (4, 4)
  if name.startswith('singan'):
    patches = lambda outputs: {'name': 'singan.Patches', 'channels': 4, 'outputs': outputs}
    config.game.discriminator = patches(1)
    first, second, *_ = ({k: v.to_dict() if hasattr(v, 'to_dict') else v for k, v in s.items()} for s in config.stages)
    for i, (stage, size) in enumerate(((first, 12), (second, 16))):
      stage['steps'] = (2, steps)[i]
      stage['data'] = {'size': size}
      stage['game'] = {'sizes': (12, 16)[: i + 1], 'generators': (patches(3),) * (i + 1)}
    del config.optimizers['generators_2'], config.optimizers['generators_3']
    # The steps of stages belong to what a run is; those of a run without stages may grow.
    changes |= {'stages': (first, second), 'resume': 'force'}
  if name.startswith('ctgan'):
    changes |= {'batch_size': 20}
    for network in ('generator', 'discriminator'):
      config.game[network].hidden = (8,)
  config.update(changes)
  return config


#: {config: (shapes of what it makes, metrics, figures)}.
CASES = {
  'vaegan_digits.py': (
    {'made': (8, 8, 1), 'reconstructed': (8, 8, 1)}, ('targets',),
    {'l1_reconstructed', 'psnr_reconstructed', 'ssim_reconstructed', 'perceptual_reconstructed'},
  ),
  'singan_photo.py:short': ({'': (16, 16, 3)}, ('singan.diversity',), {'diversity'}),
  'ctgan_people.py': (
    dict.fromkeys(('age', 'income', 'city', 'job'), ()), ('fid',), {'fid_age', 'fid_income', 'fid_city', 'fid_job'},
  ),
}  # fmt: skip


# In `make test` test_docs trains the example of the page, test_kinds has tables, and stages are those of shipped games.
@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_an_example_goes_through_everything(name, tmp_path, capsys):
  """Dry run, train, resume, sample, evaluate."""
  shapes, metrics, wanted = CASES[name]
  main._dry_run(config_of(name, 1), False)
  assert 'flops' in capsys.readouterr().out
  for steps in (1, 2):
    loop.run(config_of(name, steps), tmp_path, silent=True)
  run = gan_jax.load(tmp_path)
  assert run.step == (4 if 'singan' in name else 2)
  made = run.sample(3)
  assert {n: x.shape[1:] for n, x in (made if isinstance(made, dict) else {'': made}).items()} == shapes
  again = run.sample(2)
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:2], b), made, again)
  assert any(file.suffix == '.png' for file in (tmp_path / 'samples').iterdir())
  figures = evaluate.evaluate(run, metrics=metrics, samples=20, features='raw').values
  assert wanted <= set(figures) and all(np.isfinite(figures[n]) for n in wanted), figures
  {'vaegan': of_vaegan, 'singan': of_singan, 'ctgan': of_ctgan}[name.split('_')[0]](run, figures)


def of_vaegan(run, figures):
  """A reconstruction is of its input and of the latent, its noise; its target is its input."""
  assert not any(name.endswith('_made') for name in figures), 'samples have no target'
  made, inputs = run.sample(20), run.inputs(20)
  eight = lambda x: np.clip(np.round((np.asarray(x, float) + 1) * 127.5), 0, 255)
  error = np.abs(eight(made['reconstructed']) - eight(inputs['images']['image'])).mean() / 255
  np.testing.assert_allclose(figures['l1_reconstructed'], error, rtol=1e-4)
  others = {'images': {'image': inputs['images']['image'][::-1]}}
  other = run.sample(20, inputs=others)
  np.testing.assert_array_equal(other['made'], made['made'])
  assert np.abs(other['reconstructed'] - made['reconstructed']).max() > 0
  same = {'images': {'image': np.repeat(inputs['images']['image'][:1], 2, 0)}}
  first, second = run.sample(2, inputs=same)['reconstructed']
  assert np.abs(first - second).max() > 0, 'the latents are the noise'


def of_singan(run, figures):
  """The noise of the higher level is a tenth of the error below it; a reconstruction has no noise but z*."""
  game, variables = run.stage.game, run.variables()
  below = game.apply(variables, method='reconstruct')
  silent = (variables['table']['reconstruction'], jnp.zeros((1, *below[0].shape[1:])))
  np.testing.assert_allclose(below[0], game.apply(variables, silent, train=False, method='pyramid')[0], atol=1e-6)
  image = run.examples(split='train[:1]', n=1)['image']
  rmse = np.sqrt(np.square(np.asarray(below[1]) - image).mean())
  np.testing.assert_allclose(variables['table']['noise_1'], 0.1 * rmse, rtol=1e-4)
  assert variables['table']['noise_0'] == 1 and variables['table']['reconstruction'].shape == (1, 12, 12, 3)


def of_ctgan(run, figures):
  """The critic judges ten rows at a time, each of 7 features of numbers, 8 of classes, beside their condition of 8."""
  modes = [len(m) for m in run.stage.game.modes.values()]
  kernel = run.state.players['discriminator'].params['discriminator']['Dense_0']['kernel']
  assert kernel.shape[0] == 10 * (2 + sum(modes) + 8 + 8)
  asked = run.sample(8, condition={'column': 0, 'city': 4})
  other = run.sample(8, condition={'column': 0, 'city': 0})
  assert set(asked) == {'age', 'income', 'city', 'job'}
  assert any((asked[name] != other[name]).any() for name in asked), 'the condition has no effect'


def test_a_level_of_singan_begins_from_the_one_below_and_its_discriminator_goes_on():
  first, second = runs.stages_of(config_of('singan_photo.py:short', 1))
  assert second.game.frozen == ('generators_0',) and second.start == {'generators_1': 'generators_0'}
  assert second.reset == {'optimizer': ('discriminator',)}, 'its weights go on, for it has the same name'
  movers = [[turn.movers for turn in stage.game.turns] for stage in (first, second)]
  assert movers == [[('discriminator',), (f'generators_{i}',)] for i in range(2)]


def test_rows_of_ctgan_are_drawn_as_the_paper_says():
  """Weights of rows and then of columns: each column as often as the other, each class by log(1 + its count)."""
  source = ctgan_people.people(runs.stages_of(config_of('ctgan_people.py', 1))[0].streams['images'])
  rows = source.arrays
  draws = rows['often'] / rows['often'].sum()
  counts = {name: np.bincount(rows[name], minlength=n) for name, n in ctgan_people.CLASSES.items()}
  parts = {name: (ctgan.log_frequency(c) / c)[rows[name]] for name, c in counts.items()}
  for name, c in counts.items():
    joint = draws * parts[name] / sum(parts.values())  # of the row and this column
    np.testing.assert_allclose(joint.sum(), 0.5, rtol=1e-5)
    of_class = np.bincount(rows[name], joint) / 0.5
    np.testing.assert_allclose(of_class, np.log(1 + c) / np.log(1 + c).sum(), rtol=1e-5)
    rare = joint[rows[name] == c.argmin()]
    np.testing.assert_allclose(rare, rare[0], rtol=1e-5, err_msg='rows of a class are equally likely')


def test_numbers_of_ctgan_are_a_mode_and_a_place_in_it():
  game = ctgan.CTGAN(None, None, None, {'age': ((20.0, 1.0, 0.5), (40.0, 2.0, 0.5))}, {'job': (1, 2, 3)})
  fields = {'age': jnp.array([21.0, 36.0, 60.0]), 'job': jnp.array([2, 0, 1])}
  expected = [[0.25, 1, 0, 0, 0, 1], [-0.5, 0, 1, 1, 0, 0], [1, 0, 1, 0, 1, 0]]
  np.testing.assert_allclose(game.encoded(fields, jax.random.key(0)), expected, atol=1e-6)
  condition = game.condition({'job': fields['job']}, jnp.array([0, 0, 1]))
  assert condition.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]], 'a condition on another column has zeros here'
