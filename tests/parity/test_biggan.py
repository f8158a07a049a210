"""BigGAN, BigGAN-deep and SAGAN against PyTorch, and the conversion of weights with the first author's names."""

import json

import flax.traverse_util
import jax
import numpy as np
import pytest
import torch

from gan_jax import config as config_lib
from gan_jax import load
from gan_jax.base.errors import UserError
from gan_jax.base.torch_file import read_tensors
from gan_jax.nets import biggan, published, sngan
from gan_jax.runs.imported import write_run

from . import torch_biggan

CLASSES, EMBEDDING, WIDTHS, JUDGED, SIZE = 5, 12, (32, 32, 16), (16, 32, 32), 16
LATENTS = {False: 12, True: 8}
BATCH = 6
RANDOM = np.random.RandomState(0)
LABEL = RANDOM.randint(CLASSES, size=BATCH)
IMAGES = RANDOM.uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype(np.float32)


def latents(deep):
  return np.random.RandomState(1).standard_normal((BATCH, LATENTS[deep])).astype(np.float32)


def theirs(deep):
  torch.manual_seed(0)
  generator = torch_biggan.Generator(WIDTHS, CLASSES, EMBEDDING, LATENTS[deep], (16,), deep)
  discriminator = torch_biggan.Discriminator(JUDGED, 2, CLASSES, SIZE, (8,), deep)
  return generator, discriminator


def ours(deep):
  common = dict(classes=CLASSES)
  if deep:
    generator = biggan.DeepGenerator(WIDTHS, attention=(16,), embedding=EMBEDDING, **common)
    return generator, biggan.DeepDiscriminator(JUDGED, 2, attention=(8,), **common)
  generator = biggan.Generator(WIDTHS, attention=(16,), embedding=EMBEDDING, **common)
  return generator, sngan.Discriminator(JUDGED, 2, attention=(8,), wide=True, **common)


def arguments(deep):
  to_torch = lambda x: torch.as_tensor(np.moveaxis(x, -1, 1) if x.ndim == 4 else x)
  given = ((latents(deep), LABEL), (IMAGES, LABEL))
  return given, [tuple(map(to_torch, pair)) for pair in given]


def converted(network, module, given, path):
  torch.save(module.state_dict(), path)
  like = jax.eval_shape(lambda: network.init(jax.random.key(0), *given, train=True))
  return published.biggan.variables_of(read_tensors(path), like)


@pytest.mark.parametrize('train', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('deep', [False, True], ids=['biggan', 'deep'])
def test_forward_passes_of_converted_weights_agree(deep, train, tmp_path):
  inputs, to_torch = arguments(deep)
  for network, module, given, tensors in zip(ours(deep), theirs(deep), inputs, to_torch, strict=True):
    module.train(train)
    if train:  # both make one more power iteration, of another half: they agree where the vectors have settled
      with torch.no_grad():
        for layer in module.modules():
          for _ in range(500 if isinstance(layer, torch_biggan.Spectral) else 0):
            layer.normal()
    variables = converted(network, module, given, tmp_path / 'weights.pth')
    with torch.no_grad():
      expected = module(*tensors).numpy()
    expected = np.moveaxis(expected, 1, -1) if expected.ndim == 4 else expected
    out = network.apply(variables, *given, train=train, mutable=['batch_stats', 'spectral'])[0]
    np.testing.assert_allclose(out, expected, atol=1e-4, rtol=1e-4)
    assert np.std(expected) > 0.01


@pytest.mark.parametrize('classes', [CLASSES, 32, 16], ids=lambda n: f'{n} classes')
@pytest.mark.parametrize('kind', [biggan.Generator, sngan.Generator])
def test_networks_without_a_shared_embedding_agree(kind, classes, tmp_path):
  """As many classes as channels, too: a table turned over would fit."""
  torch.manual_seed(1)
  module = torch_biggan.Generator(WIDTHS, classes, 0, 12, (16,)).eval()
  own = dict(embedding=0, hierarchical=False) if kind is biggan.Generator else dict(weights='spectral')
  network = kind(WIDTHS, attention=(16,), classes=classes, **own)
  label = np.random.RandomState(2).randint(classes, size=BATCH)
  given = (latents(False), label)
  variables = converted(network, module, given, tmp_path / 'weights.pth')
  with torch.no_grad():
    expected = module(*map(torch.as_tensor, given)).numpy()
  np.testing.assert_allclose(network.apply(variables, *given, train=False), np.moveaxis(expected, 1, -1), atol=1e-4)
  assert np.std(expected) > 0.01


def as_if_trained(variables):
  """Attention switched on, gains and biases of their own for the classes, running statistics."""
  random = np.random.RandomState(3)

  def moved(path, x):
    if path[-1].key in ('kernel', 'u') and 'gain' not in str(path):
      return np.asarray(x)
    return np.abs(x + 0.3 * random.standard_normal(x.shape)).astype(np.float32) + 0.1

  return jax.tree_util.tree_map_with_path(moved, variables)


@pytest.mark.parametrize('train', [False, True], ids=['eval', 'train'])
def test_sagan_forward_passes_agree(train):
  generator = sngan.Generator(WIDTHS, CLASSES, (16,), 'spectral')
  discriminator = sngan.Discriminator(JUDGED, 2, CLASSES, (8,), wide=True)
  for network, given in ((generator, (latents(True), LABEL)), (discriminator, (IMAGES, LABEL))):
    variables = network.init(jax.random.key(2), *given, train=True)
    variables = as_if_trained(variables)
    flat = flax.traverse_util.flatten_dict(variables, sep='/')
    reference = torch_biggan.Sagan(flat, train)
    x, label = (torch.as_tensor(value) for value in given)
    if network is generator:
      expected = reference.generator(x, label, len(WIDTHS) - 1, 16)
    else:
      expected = reference.discriminator(x, label, len(JUDGED), 2, 8)
    out = network.apply(variables, *given, train=train, mutable=['batch_stats', 'spectral'])[0]
    np.testing.assert_allclose(out, expected.numpy(), atol=1e-4, rtol=1e-4)
    assert np.std(expected.numpy()) > 0.01


def test_a_run_is_made_of_a_file_and_sampled(tmp_path):
  generator, discriminator = theirs(False)
  for name, module in (('G_ema', generator), ('D', discriminator)):
    torch.save(module.state_dict(), tmp_path / f'{name}.pth')
  arguments = [
    f'--config.game.generator.channels={WIDTHS}', '--config.game.generator.attention=(16,)',
    f'--config.game.generator.embedding={EMBEDDING}', '--config.game.generator.classes=5',
    '--config.game.generator.image_channels=3', f'--config.game.discriminator.channels={JUDGED}',
    '--config.game.discriminator.halvings=2', '--config.game.discriminator.attention=(8,)',
    '--config.game.discriminator.classes=5', '--config.game.latents.z.shape=(12,)',
    '--config.game.latents.label.classes=5', '--config.data.size=16', '--config.data.channels=3',
    '--config.data.classes=5', '--config.steps=7',
  ]  # fmt: skip
  config = config_lib.override(config_lib.load('configs/biggan.py:digits'), arguments)
  files = {'generator': str(tmp_path / 'G_ema.pth'), 'discriminator': str(tmp_path / 'D.pth')}
  write_run(config, tmp_path / 'run', files, published.biggan.variables_of)
  run = load(tmp_path / 'run')
  drawn = run.latents(4)
  generator.eval()
  with torch.no_grad():
    expected = generator(torch.as_tensor(drawn['z']), torch.as_tensor(drawn['label'], dtype=torch.long)).numpy()
  np.testing.assert_allclose(run.sample(4), np.moveaxis(expected, 1, -1), atol=1e-4)
  assert run.step == 7 and json.loads((tmp_path / 'run' / 'config.json').read_text())['steps'] == 7
  with pytest.raises(UserError, match='holds a run already'):
    write_run(config, tmp_path / 'run', files, published.biggan.variables_of)
  for name, file, message in (('generator', 'D.pth', 'has shape'), ('nobody', 'D.pth', 'no network')):
    with pytest.raises(UserError, match=message):
      write_run(config, tmp_path / 'other', {name: str(tmp_path / file)}, published.biggan.variables_of)
  extra = {**generator.state_dict(), 'more.weight': torch.zeros(3)}
  torch.save(extra, tmp_path / 'more.pth')
  with pytest.raises(UserError, match=r'no place for 1 tensors, such as more\.weight'):
    write_run(config, tmp_path / 'other', {'generator': str(tmp_path / 'more.pth')}, published.biggan.variables_of)
