"""A run from before the modules moved into rooms is read, sampled and trained on."""

import importlib
import pathlib
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax
from gan_jax import core
from gan_jax.base import moved
from gan_jax.base.calls import resolve
from gan_jax.runs import checkpoint, run_config
from gan_jax.training import loop

HERE = pathlib.Path(__file__).parent / 'first_run'


@pytest.fixture
def folder(tmp_path):
  with zipfile.ZipFile(HERE / 'run.zip') as archive:
    archive.extractall(tmp_path / 'run')
  return tmp_path / 'run'


def leaves(run):
  return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(run.state)}


def wanted(step):
  with np.load(HERE / 'states.npz') as file:
    kept = {name[1:]: file[name] for name in file.files if name.startswith(str(step))}
  samples = kept.pop('samples')
  return kept, samples


def test_its_checkpoint_is_read_bit_by_bit(folder):
  run = gan_jax.load(folder)
  state, samples = wanted(4)
  found = leaves(run)
  assert found.keys() == state.keys()
  for name, value in state.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)
  np.testing.assert_allclose(run.sample(3, seed=1), samples, atol=1e-5)


def test_it_goes_on_as_it_would_have(folder):
  """Equal up to rounding, for the numbers were written on another processor; on that one they are equal bit by bit."""
  config = run_config.read_config(folder)
  config.steps = 8
  loop.run(config, folder, silent=True)
  run = gan_jax.load(folder)
  state, samples = wanted(8)
  found = leaves(run)
  assert found.keys() == state.keys()
  for name, value in state.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
  np.testing.assert_allclose(run.sample(3, seed=1), samples, atol=1e-4)


@pytest.mark.parametrize('old', sorted(moved.MOVED))
def test_names_of_its_modules_still_import(old):
  assert importlib.import_module(f'gan_jax.{old}') is importlib.import_module(f'gan_jax.{moved.MOVED[old]}')


def test_names_in_old_configs_still_resolve():
  from gan_jax.data.latents import Normal  # as older games import it

  assert resolve('gan_jax.data.latents.Normal') is Normal is resolve('Normal', home='gan_jax.latents.distributions')
  assert resolve('gan_jax.minimax.clip_weights') is resolve('clip_weights', home='gan_jax.optim.minimax')
  assert resolve('standard.Standard', home='gan_jax.games') is resolve('gan_jax.games.standard.Standard')


def test_arrays_keep_their_names_in_checkpoints(tmp_path):
  variables = {'table': {'k': jnp.float32(0.5)}, 'memory': {'pool': jnp.ones(2)}}
  state = core.GameState(jnp.int32(1), {}, variables, {})
  checkpoints = checkpoint.Checkpoints(tmp_path, write=True)
  checkpoints.save(state, checkpoint.Place(1, 0, {}))
  checkpoints.close()
  checkpoints = checkpoint.Checkpoints(tmp_path)
  assert set(checkpoints._metadata(1)['arrays']) == {'.step', ".table['memory']['pool']", ".table['table']['k']"}
  again = checkpoints.restore(checkpoints.place(1), jax.eval_shape(lambda: state))
  assert float(again.variables['table']['k']) == 0.5
