"""StyleGAN 2 against PyTorch, with weights under the names of the authors' code."""

import jax
import numpy as np
import pytest
import torch

from benchmarks.pytorch import stylegan2 as torch_stylegan2
from gan_jax.base.errors import UserError
from gan_jax.base.torch_file import read_tensors
from gan_jax.losses import penalties
from gan_jax.nets import published, stylegan2

WIDTHS, SIZE, CLASSES, UNITS, LATENTS, LAYERS, CLAMP = (32, 24, 8), 16, 5, 20, 12, 3, 3.0
Z = np.random.RandomState(0).standard_normal((4, LATENTS)).astype(np.float32)
IMAGES = np.random.RandomState(1).standard_normal((8, SIZE, SIZE, 3)).astype(np.float32)
LABEL = np.arange(8) % CLASSES
KEYS = {'params': jax.random.key(0), 'noise': jax.random.key(1)}


def converted(network, module, given, path, **label):
  torch.save(module.state_dict(), path)
  like = jax.eval_shape(lambda: network.init(KEYS, given, train=True, **label))
  return published.stylegan2.variables_of(read_tensors(path), like)


def labels(classes, count):
  return dict(label=LABEL[:count]) if classes else {}


def generators(classes):
  torch.manual_seed(0)
  module = torch_stylegan2.Generator(WIDTHS, LATENTS, UNITS, LAYERS, classes, clamp=CLAMP)
  ours = stylegan2.Generator(SIZE, WIDTHS, units=UNITS, layers=LAYERS, classes=classes, clamp=CLAMP)
  return ours, module


@pytest.mark.parametrize('classes', [0, CLASSES], ids=['unconditional', 'classes'])
@pytest.mark.parametrize('whole', [True, False], ids=['weights of each example', 'scaled inputs and outputs'])
def test_the_generator_is_the_authors(classes, whole, tmp_path):
  network, module = generators(classes)
  for part in module.modules():
    part.whole = whole
  label = labels(classes, 4)
  variables = converted(network, module, Z, tmp_path / 'g.pth', **label)
  for psi, cutoff in ((1.0, None), (0.5, None), (0.5, 3)):
    with torch.no_grad():
      given = (torch.as_tensor(label['label']),) if label else (None,)
      expected = np.moveaxis(module(torch.as_tensor(Z), *given, psi, cutoff).numpy(), 1, -1)
    ours = network.clone(truncation=psi, cutoff=cutoff or 0).apply(variables, Z, train=False, **label)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert np.std(expected) > 0.3


@pytest.mark.parametrize('form', stylegan2.FORMS)
@pytest.mark.parametrize('classes', [0, CLASSES], ids=['unconditional', 'classes'])
def test_the_discriminator_is_the_authors(classes, form, tmp_path):
  module = torch_stylegan2.Discriminator(WIDTHS, 4, classes, LAYERS, form, clamp=CLAMP)
  network = stylegan2.Discriminator(SIZE, WIDTHS, 4, classes, LAYERS, form, CLAMP)
  label = labels(classes, 8)
  variables = converted(network, module, IMAGES, tmp_path / 'd.pth', **label)
  with torch.no_grad():
    given = (torch.as_tensor(label['label']),) if label else ()
    expected = module(torch.as_tensor(np.moveaxis(IMAGES, -1, 1)), *given).numpy()
  np.testing.assert_allclose(network.apply(variables, IMAGES, train=True, **label), expected, atol=1e-4)
  assert np.std(expected) > 0.01


def test_path_length_and_r1_are_those_of_the_authors_formulas(tmp_path):
  network, module = generators(0)
  variables = converted(network, module, Z, tmp_path / 'g.pth')
  styles = np.random.RandomState(2).standard_normal((4, module.count, UNITS)).astype(np.float32)
  noise = np.random.RandomState(3).standard_normal((4, SIZE, SIZE, 3)).astype(np.float32) / SIZE
  theirs = torch.as_tensor(styles).requires_grad_()
  image = module.synthesis(list(theirs.unbind(1)))
  (gradients,) = torch.autograd.grad((image * torch.as_tensor(np.moveaxis(noise, -1, 1))).sum(), theirs)
  lengths = gradients.square().sum(2).mean(1).sqrt()
  mean = torch.tensor(0.7).lerp(lengths.mean(), 0.01)
  synthesise = lambda styles: network.apply(variables, styles, train=False, method='synthesise')
  ours = jax.grad(lambda styles: (synthesise(styles) * noise).sum())(styles)
  penalty, new = penalties.path_length(ours / module.count**0.5, 0.7, decay=0.01)
  np.testing.assert_allclose([penalty, new], [(lengths - mean).square().mean().item(), mean.item()], rtol=1e-4)

  judge = torch_stylegan2.Discriminator(WIDTHS, 4, layers=LAYERS)
  critic = stylegan2.Discriminator(SIZE, WIDTHS, 4, clamp=0.0)
  weights = converted(critic, judge, IMAGES, tmp_path / 'd.pth')
  x = torch.as_tensor(np.moveaxis(IMAGES, -1, 1)).requires_grad_()
  (gradients,) = torch.autograd.grad(judge(x).sum(), x)
  ours = penalties.input_gradients(lambda x: critic.apply(weights, x, train=True), IMAGES)
  np.testing.assert_allclose(penalties.r1(ours), gradients.square().sum((1, 2, 3)).mean().item() / 2, rtol=1e-4)


def test_other_networks_are_told(tmp_path):
  network, module = generators(0)
  with pytest.raises(UserError, match=r'has shape .* in the config and .* there: give the --config'):
    converted(network.clone(channels=(32, 24, 16)), module, Z, tmp_path / 'g.pth')
  with pytest.raises(UserError, match=r'the weights lack synthesis\.b32\.conv0\.'):
    converted(network.clone(resolution=32, channels=(*WIDTHS, 8)), module, Z, tmp_path / 'g.pth')
  with pytest.raises(UserError, match=r'has no place for 1 tensors, such as mapping\.fc2'):
    module.mapping.fc2 = torch.nn.Linear(UNITS, UNITS, bias=False)
    converted(network.clone(layers=2), module, Z, tmp_path / 'g.pth')
