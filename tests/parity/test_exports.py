"""Exported generators as others run them: onnxruntime, and safetensors' own reader."""

import base64
import inspect
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from rows import shrunk

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('jax2onnx')

import gan_jax  # noqa: E402
from gan_jax import main  # noqa: E402
from gan_jax.exports import folder  # noqa: E402

SMALL = ['--config.steps=1', '--config.batch_size=8', '--config.sample_every=0', '--config.eval.every=0']


@pytest.mark.parametrize('config', ['configs/dcgan.py:digits', 'configs/biggan.py:digits'])
def test_all_formats_make_the_same_pictures(tmp_path, config):
  """BigGAN: classes, attention, spectral norm, batch norm by class."""
  safetensors = pytest.importorskip('safetensors')
  main.main(['--config', config, *SMALL, *shrunk(config), '--workdir', str(tmp_path / 'run')])
  run = gan_jax.load(tmp_path / 'run')
  folder.write(run, tmp_path, tuple(folder.FORMATS))
  latents = run.latents(5, seed=2)
  given = latents if isinstance(latents, dict) else {'z': latents}
  want = run.generate(latents)
  session = onnxruntime.InferenceSession(tmp_path / 'generator.onnx', providers=['CPUExecutionProvider'])
  np.testing.assert_allclose(session.run(['samples'], given)[0], want, atol=1e-5)
  program = jax.export.deserialize(bytearray((tmp_path / 'generator.stablehlo').read_bytes()))
  np.testing.assert_allclose(program.call(given)['samples'], want, atol=1e-5)
  with safetensors.safe_open(tmp_path / 'generator.safetensors', 'numpy') as file:
    weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    program = jax.export.deserialize(bytearray(base64.b64decode(file.metadata()['program'])))
  np.testing.assert_allclose(program.call(weights, given)['samples'], want, atol=1e-5)
  np.savez(tmp_path / 'given.npz', **given)
  card = (tmp_path / 'README.md').read_text()
  for kind in folder.FORMATS:
    np.testing.assert_allclose(made_elsewhere(card, kind, tmp_path), want, atol=1e-5)


def made_elsewhere(card, kind, tmp_path):
  """What the lines of a card make of the latents in given.npz, where neither gan_jax nor flax can be imported."""
  lines = re.search(rf'## {kind}\n.*?```python\n(.*?)```', card, re.DOTALL)[1]
  assert len(lines.splitlines()) <= 10
  lines = re.sub(r'^(z|label) = .*$', r"\1 = np.load('given.npz')['\1']", lines, flags=re.MULTILINE)
  absent = "import sys; sys.modules |= dict.fromkeys(('gan_jax', 'flax', 'optax', 'orbax'))\n"
  code = absent + lines + '\nnp.save("samples.npy", np.asarray(samples))'
  subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True)
  return np.load(tmp_path / 'samples.npy')


def test_a_push_calls_the_hub_as_its_library_has_it(tmp_path, monkeypatch):
  """The real library, which makes no call: what `tests/test_exports.py` has in its place takes the same arguments."""
  hub = pytest.importorskip('huggingface_hub')
  calls = []

  def noted(name):
    signature = inspect.signature(getattr(hub.HfApi, name))
    return lambda *given, **named: calls.append((name, signature.bind(*given, **named).arguments)) or 'https://hub'

  for name in ('create_repo', 'upload_folder'):
    monkeypatch.setattr(hub.HfApi, name, noted(name))
  assert folder.push(tmp_path, 'me/gan') == 'https://hub'
  assert [(name, given['repo_id']) for name, given in calls] == [('create_repo', 'me/gan'), ('upload_folder', 'me/gan')]
  assert calls[1][1]['folder_path'] == str(tmp_path)
